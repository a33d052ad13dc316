"""asyncpg against managed tables.  Speaks TAP; the server is that of PG*."""

import asyncio
import contextlib
import datetime
import io
import json
import pathlib
import uuid
from decimal import Decimal

import asyncpg
from tap import COLUMNS, TENANT_A, TENANT_B, Table, Tap, eq, raises

SCHEMA = "client_asyncpg"
TABLES = pathlib.Path(__file__).with_name("tables.sql")
NOON = datetime.datetime(2026, 11, 1, 12, tzinfo=datetime.timezone.utc)
tap = Tap()


async def connect(user, **options):
    return await asyncpg.connect(
        user=user, server_settings={"search_path": f"{SCHEMA}, public"}, **options
    )


@contextlib.asynccontextmanager
async def working(db, has_tenants=True, tenant=TENANT_A):
    """A transaction, of a tenant where the table has them."""
    async with db.transaction():
        if has_tenants:
            await db.execute("SELECT ffs_set_tenant($1)", tenant)
        yield


class Sweep(Table):
    """The same cases on each table."""

    def __init__(self, db, admin, shape):
        super().__init__(shape, hole=lambda n: f"${n}")
        self.db = db
        self.admin = admin

    def case(self, text):
        return tap.case(f"{self.table}: {text}")

    def tx(self, tenant=TENANT_A):
        return working(self.db, self.tenant, tenant)

    async def one(self, code):
        return await self.db.fetchrow(f"SELECT * FROM {self.table} WHERE code = $1", code)

    async def run(self):
        await self.rows()
        await self.upserts()
        await self.copies()
        await self.functions()
        await self.deletes()
        with self.case("laws"):
            eq([r[0] for r in await self.admin.fetch(f"SELECT laws('{self.table}')")], [])

    async def rows(self):
        db, table = self.db, self.table
        with self.case("INSERT … RETURNING: key, stamps, generated column"):
            async with self.tx():
                row = await db.fetchrow(
                    self.insert(
                        "title", "amount", "code", "tags", "data", "due", tail="RETURNING *"
                    ),
                    *self.keys(),
                    "first",
                    Decimal("12.50"),
                    "c1",
                    ["x", None],
                    json.dumps({"a": 1}),
                    NOON,
                )
            eq(
                (row["title"], row["twice"], row["tags"], row["due"]),
                ("first", 25, ["x", None], NOON),
            )
            eq((row["created_by"], row["updated_by"]), ("clients_app", "clients_app"))
            eq(row["created_at"], row["updated_at"])
            assert all(row[c] is not None for c in self.key), row
            if self.tenant:
                eq(str(row["tenant_id"]), TENANT_A)
            if self.versions:
                eq((row["version"], row["valid_from"]), (1, row["created_at"]))
        with self.case("stamps that a statement supplies are ignored"):
            async with self.tx():
                row = await db.fetchrow(
                    self.insert("title", "code", "created_by", "created_at", tail="RETURNING *"),
                    *self.keys(),
                    "second",
                    "c2",
                    "mallory",
                    NOON,
                )
            eq(row["created_by"], "clients_app")
            assert row["created_at"] != NOON
        with self.case("executemany"):
            async with self.tx():
                await db.executemany(
                    self.insert("title", "code"),
                    [[*self.keys(), f"many {n}", f"m{n}"] for n in range(50)],
                )
                eq(
                    await db.fetchval(f"SELECT count(*) FROM {table} WHERE title LIKE 'many %'"),
                    50,
                )
        with self.case("UPDATE: row count, RETURNING"):
            async with self.tx():
                eq(
                    await db.execute(
                        f"UPDATE {table} SET amount = 2 WHERE title LIKE $1", "many %"
                    ),
                    "UPDATE 50",
                )
            async with self.tx():
                found = await db.fetch(
                    f"UPDATE {table} SET amount = amount + $1 WHERE code = 'c1' RETURNING *", 1
                )
            eq([(r["amount"], r["twice"]) for r in found], [(Decimal("13.50"), 27)])
            if self.versions:
                eq(found[0]["version"], 2)
        with self.case("an UPDATE that changes nothing counts its rows and makes no version"):
            before = None
            async with self.tx():
                before = await self.one("c1")
                eq(
                    await db.execute(f"UPDATE {table} SET amount = amount WHERE code = 'c1'"),
                    "UPDATE 1",
                )
                eq(await self.one("c1"), before)
        with self.case("an UPDATE of no row counts none"):
            async with self.tx():
                eq(
                    await db.execute(f"UPDATE {table} SET amount = 0 WHERE code = 'nobody'"),
                    "UPDATE 0",
                )
        with self.case("rollback, and rollback to a savepoint"):
            async with self.tx():
                before = await self.one("c1")
                with contextlib.suppress(ZeroDivisionError):
                    async with db.transaction():
                        await db.execute(f"UPDATE {table} SET title = 'gone' WHERE code = 'c1'")
                        raise ZeroDivisionError
                eq(await self.one("c1"), before)
                async with db.transaction():
                    await db.execute(f"UPDATE {table} SET title = 'kept' WHERE code = 'c1'")
                    async with db.transaction():
                        await db.execute(
                            f"UPDATE {table} SET title = 'kept twice' WHERE code = 'c1'"
                        )
            async with self.tx():
                row = await self.one("c1")
            eq(row["title"], "kept twice")
            if self.versions:
                eq(row["version"], before["version"] + 1)

    async def upserts(self):
        db, table = self.db, self.table
        arbiter = ", ".join(self.arbiter)
        extra = ["id"] if self.arbiter == ["id"] else []
        key = [uuid.uuid4()] if extra else []
        given = self.keys()
        upsert = self.insert(
            *extra,
            "title",
            "code",
            tail=f"ON CONFLICT ({arbiter}) DO UPDATE SET title = excluded.title, "
            f"amount = {table}.amount + 1 RETURNING *",
        )
        with self.case("ON CONFLICT DO UPDATE … RETURNING"):
            async with self.tx():
                first = await db.fetchrow(upsert, *given, *key, "up 1", "u1")
            async with self.tx():
                second = await db.fetchrow(upsert, *given, *key, "up 2", "u1")
            eq([second[c] for c in self.key], [first[c] for c in self.key])
            eq((second["title"], second["amount"], second["twice"]), ("up 2", 2, 4))
            eq(second["created_at"], first["created_at"])
            if self.versions:
                eq((first["version"], second["version"]), (1, 2))
        with self.case("ON CONFLICT DO NOTHING"):
            async with self.tx():
                eq(
                    await db.execute(
                        self.insert(
                            *extra, "title", "code", tail=f"ON CONFLICT ({arbiter}) DO NOTHING"
                        ),
                        *given,
                        *key,
                        "up 3",
                        "u1",
                    ),
                    "INSERT 0 0",
                )
        with self.case("MERGE"):
            on = " AND ".join(f"t.{c} = s.{c}" for c in self.given) or "t.code = s.code"
            names = [*self.given, "title", "code"]
            types = ["bigint", "integer"][: len(self.given)] + ["text", "text"]
            source = ", ".join(f"unnest(${n + 1}::{t}[])" for n, t in enumerate(types))
            merge = (
                f"MERGE INTO {table} t USING (SELECT {source}) AS s ({', '.join(names)}) ON {on} "
                "WHEN MATCHED THEN UPDATE SET title = s.title "
                f"WHEN NOT MATCHED THEN INSERT ({', '.join(names)}) "
                f"VALUES ({', '.join('s.' + n for n in names)})"
            )
            other = self.keys()
            columns = [[a, b] for a, b in zip(given, other)] + [["merged", "merged"], ["u1", "u2"]]
            async with self.tx():
                eq(await db.execute(merge, *columns), "MERGE 2")
                eq((await self.one("u1"))["title"], "merged")

    async def copies(self):
        db, admin, table = self.db, self.admin, self.table
        columns = [*self.given, "title", "code", "due"]

        async def copy_in(on, kind):
            rows = [(*self.keys(), f"copied {n}", f"{kind}{n}", NOON) for n in range(20)]
            if kind == "binary":
                return await on.copy_records_to_table(table, records=rows, columns=columns)
            text = "\n".join("\t".join(str(v) for v in row) for row in rows) + "\n"
            return await on.copy_to_table(table, source=io.BytesIO(text.encode()), columns=columns)

        for kind in ("binary", "text"):
            with self.case(f"COPY FROM, {kind}"):
                if self.tenant:
                    # PostgreSQL refuses it to roles that row-level security binds.
                    with raises(asyncpg.FeatureNotSupportedError, "0A000"):
                        async with self.tx():
                            await copy_in(db, kind)
                    async with working(admin):
                        eq(await copy_in(admin, kind), "COPY 20")
                else:
                    eq(await copy_in(db, kind), "COPY 20")
                async with self.tx():
                    eq(
                        await db.fetchval(
                            f"SELECT count(*) FROM {table} WHERE code LIKE $1 AND due = $2",
                            kind + "%",
                            NOON,
                        ),
                        20,
                    )
        for kind in ("binary", "text"):
            with self.case(f"COPY TO, {kind}, and back"):
                out = io.BytesIO()
                async with self.tx():
                    # A query: row-level security lets its rows through.
                    status = await db.copy_from_query(
                        f"SELECT title, code FROM {table} WHERE code LIKE 'text%'",
                        output=out,
                        format=kind,
                    )
                eq(status, "COPY 20")
                out.seek(0)
                eq(
                    await db.execute("CREATE TEMPORARY TABLE back (title text, code text)"),
                    "CREATE TABLE",
                )
                eq(await db.copy_to_table("back", source=out, format=kind), "COPY 20")
                eq(await db.execute("DROP TABLE back"), "DROP TABLE")

    async def functions(self):
        db, table = self.db, self.table
        given = self.given

        def data(code, **more):
            return {**dict(zip(given, self.keys())), "title": "made", "code": code, **more}

        with self.case("ffs_create_many, jsonb parameter"):
            async with self.tx():
                rows = [data(f"j{n}") for n in range(30)] + [data("bad", amount="much")]
                found = await db.fetch(
                    "SELECT * FROM ffs_create_many($1, $2, on_error => 'report')",
                    table,
                    json.dumps(rows),
                )
            eq([r["row_number"] for r in found], list(range(1, 32)))
            eq({r["action"] for r in found[:30]}, {"inserted"})
            eq((found[30]["action"], found[30]["sqlstate"]), ("rejected", "22P02"))
            eq(sorted(json.loads(found[0]["key"])), sorted(self.key))
        with self.case("ffs_create_records, an array of tuples, in binary"):
            columns = await db.fetchval(COLUMNS.format("$1::text"), table)
            rows = [
                self.record(columns, title="recorded", code=f"r{n}", amount=Decimal(n), due=NOON)
                for n in range(30)
            ]
            rows.append(self.record(columns, code="bad"))
            async with self.tx():
                found = await db.fetch(
                    f"SELECT * FROM ffs_create_records($1::{table}[], on_error => 'report')", rows
                )
                eq([r["row_number"] for r in found], list(range(1, 32)))
                eq({r["action"] for r in found[:30]}, {"inserted"})
                eq((found[30]["action"], found[30]["sqlstate"]), ("rejected", "23502"))
                row = await self.one("r7")
                eq(
                    (row["title"], row["amount"], row["twice"], row["due"]),
                    ("recorded", 7, 14, NOON),
                )
                eq(json.loads(found[7]["key"]).keys(), set(self.key))
                # What was read goes back in: an upsert of whole rows.
                again = {**row, "title": "again", "twice": None}
                upsert = (
                    f"SELECT * FROM ffs_create_records($1::{table}[], "
                    "on_conflict => 'update', conflict_columns => $2)"
                )
                if self.table == "notes_audit_t":
                    # GENERATED ALWAYS AS IDENTITY: no value, so by another key.
                    with raises(asyncpg.GeneratedAlwaysError, "428C9"):
                        async with db.transaction():
                            await db.fetch(upsert, [tuple(again.values())], self.key)
                    again["id"] = None
                found = await db.fetch(upsert, [tuple(again.values())], self.arbiter)
                eq([r["action"] for r in found], ["updated"])
                after = await self.one("r7")
                eq((after["title"], after["due"]), ("again", NOON))
                eq([after[c] for c in self.key], [row[c] for c in self.key])
        with self.case("ffs_create, ffs_get by typed values, as text, as jsonb"):
            async with self.tx():
                made = json.loads(
                    await db.fetchval("SELECT ffs_create($1, $2)", table, json.dumps(data("g1")))
                )
                row = await self.one("g1")
                eq(made["title"], "made")
                holes, values = self.call(row)
                eq(
                    await db.fetchrow(f"SELECT * FROM ffs_get(NULL::{table}, {holes})", *values),
                    row,
                )
                eq(
                    await db.fetchrow(
                        f"SELECT * FROM ffs_get(NULL::{table}, $1::jsonb)",
                        json.dumps(self.jsonb_key(row)),
                    ),
                    row,
                )
                if len(self.key) == 1:
                    eq(
                        await db.fetchrow(
                            f"SELECT * FROM ffs_get(NULL::{table}, $1)", str(row["id"])
                        ),
                        row,
                    )
                else:
                    # Nothing says which types: no function of that name is chosen.
                    untyped = ", ".join(f"${n + 1}" for n in range(len(values)))
                    with raises(asyncpg.IndeterminateDatatypeError, "42P18"):
                        async with db.transaction():
                            await db.fetchrow(
                                f"SELECT * FROM ffs_get(NULL::{table}, {untyped})", *values
                            )
        with self.case("ffs_get_many, in the order of the keys"):
            async with self.tx():
                rows = await db.fetch(
                    f"SELECT * FROM {table} WHERE code LIKE 'j%' ORDER BY code DESC LIMIT 5"
                )
                found = await db.fetch(
                    f"SELECT * FROM ffs_get_many(NULL::{table}, $1::jsonb[])",
                    [json.dumps(self.jsonb_key(r)) for r in rows],
                )
                eq(found, rows)
                if len(self.key) == 1:
                    kind = self.key_types[0]
                    eq(
                        await db.fetch(
                            f"SELECT * FROM ffs_get_many(NULL::{table}, $1::{kind}[])",
                            [r["id"] for r in rows],
                        ),
                        rows,
                    )
                    eq(
                        await db.fetch(
                            f"SELECT * FROM ffs_get_many(NULL::{table}, $1::text[])",
                            [str(r["id"]) for r in rows],
                        ),
                        rows,
                    )
        with self.case("ffs_update_many, ffs_delete_many, ffs_restore_many"):
            async with self.tx():
                made = await db.fetch(
                    "SELECT key FROM ffs_create_many($1, $2)",
                    table,
                    json.dumps([data(f"x{n}") for n in range(5)]),
                )
            keys = [json.loads(r["key"]) for r in made]
            keys.append({**keys[0], self.key[-1]: self.absent()})
            patches = json.dumps([{**key, "amount": n} for n, key in enumerate(keys)])

            async def many(function, rows):
                async with self.tx():
                    found = await db.fetch(
                        f"SELECT * FROM {function}($1, $2, on_error => 'report')", table, rows
                    )
                return [r["sqlstate"] or r["action"] for r in found]

            eq(await many("ffs_update_many", patches), ["updated"] * 5 + ["ZF011"])
            async with self.tx():
                row = await self.one("x4")
            eq((row["amount"], row["twice"]), (4, 8))
            keys = json.dumps(keys)
            eq(await many("ffs_delete_many", keys), ["deleted"] * 5 + ["skipped"])
            if self.soft_delete:
                eq(await many("ffs_restore_many", keys), ["restored"] * 5 + ["skipped"])
        with self.case("ffs_list, ffs_count"):
            async with self.tx():
                filters = json.dumps({"code": {"in": ["j1", "j2", "nobody"]}})
                found = await db.fetch(
                    f"SELECT * FROM ffs_list(NULL::{table}, $1, $2, $3)", filters, "code desc", 5
                )
                eq([r["code"] for r in found], ["j2", "j1"])
                eq(await db.fetchval("SELECT ffs_count($1, $2)", table, filters), 2)
        with self.case("ffs_update, and its expected_version"):
            async with self.tx():
                row = await self.one("g1")
            patch = {**self.jsonb_key(row), "amount": 7}
            if self.versions:
                with raises(asyncpg.PostgresError, "ZF010") as caught:
                    async with self.tx():
                        await db.fetchval(
                            "SELECT ffs_update($1, $2, $3)", table, json.dumps(patch), 9
                        )
                assert "1" in caught[0].detail, caught[0].detail
            async with self.tx():
                now = json.loads(
                    await db.fetchval(
                        "SELECT ffs_update($1, $2, $3)",
                        table,
                        json.dumps(patch),
                        1 if self.versions else None,
                    )
                )
            eq(
                (now["amount"], now["twice"], now.get("version")),
                (7, 14, 2 if self.versions else None),
            )
        with self.case("ffs_delete, ffs_restore"):
            holes, values = self.call(row, 2)
            async with self.tx():
                eq(await db.fetchval(f"SELECT ffs_delete($1, {holes})", table, *values), True)
                eq(await db.fetchval(f"SELECT ffs_delete($1, {holes})", table, *values), False)
                eq(await self.one("g1"), None)
            if self.soft_delete:
                async with self.tx():
                    eq(
                        await db.fetchval(
                            "SELECT ffs_restore($1, $2::jsonb)",
                            table,
                            json.dumps(self.jsonb_key(row)),
                        ),
                        True,
                    )
                    eq((await self.one("g1"))["amount"], 7)
                nobody = {**patch, self.key[-1]: self.absent()}
                with raises(asyncpg.PostgresError, "ZF011"):
                    async with self.tx():
                        await db.fetchval("SELECT ffs_update($1, $2)", table, json.dumps(nobody))
            else:
                async with self.tx():
                    with raises(asyncpg.ObjectNotInPrerequisiteStateError, "55000"):
                        async with db.transaction():
                            await db.fetchval(f"SELECT ffs_restore($1, {holes})", table, *values)

    async def deletes(self):
        db, table = self.db, self.table
        with self.case("DELETE: row count, RETURNING"):
            async with self.tx():
                eq(await db.execute(f"DELETE FROM {table} WHERE code LIKE $1", "m%"), "DELETE 50")
                found = await db.fetch(
                    f"DELETE FROM {table} WHERE code = 'c2' RETURNING title, twice"
                )
            eq([tuple(r) for r in found], [("second", 2)])
            if self.soft_delete:
                async with self.tx():
                    eq(await db.fetchval(f"SELECT count(*) FROM {table}_deleted"), 51)
        with self.case("a cursor sees its snapshot, and rows that it stands on can be changed"):
            async with self.tx():
                seen = 0
                async for row in db.cursor(
                    f"SELECT * FROM {table} WHERE code LIKE 'j%'", prefetch=7
                ):
                    where, values = self.where(row)
                    eq(
                        await db.execute(f"UPDATE {table} SET due = now() WHERE {where}", *values),
                        "UPDATE 1",
                    )
                    seen += 1
                eq(seen, 30)


async def errors(db):
    """What the driver makes of our SQLSTATEs: it knows exact codes only."""
    with tap.case("class ZF is UnknownPostgresError, with sqlstate, detail and hint"):
        with raises(asyncpg.PostgresError, "ZF001") as caught:
            await db.execute("INSERT INTO notes_scd2_t (title) VALUES ('x')")
        eq(type(caught[0]).__name__, "UnknownPostgresError")
        assert caught[0].hint and "ffs_set_tenant" in caught[0].hint, caught[0].hint
    with tap.case("ZF002 tenant_violation"):
        with raises(asyncpg.PostgresError, "ZF002"):
            async with db.transaction():
                await db.execute("SELECT ffs_set_tenant($1)", TENANT_A)
                await db.execute(
                    "INSERT INTO notes_scd2_t (title, tenant_id) VALUES ('x', $1)", TENANT_B
                )
    with tap.case("ZF003 tenant_pinned, ROLLBACK TO included"):
        async with db.transaction():
            with contextlib.suppress(ZeroDivisionError):
                async with db.transaction():
                    await db.execute("SELECT ffs_set_tenant($1)", TENANT_A)
                    raise ZeroDivisionError
            with raises(asyncpg.PostgresError, "ZF003"):
                async with db.transaction():
                    await db.execute("SELECT ffs_set_tenant($1)", TENANT_B)
    with tap.case("ZF020 not_managed, ZF021 key_missing, ZF022 history_read_only"):
        with raises(asyncpg.PostgresError, "ZF020"):
            await db.fetch("SELECT ffs_create_many('shapes', '[]')")
        with raises(asyncpg.PostgresError, "ZF021"):
            await db.fetch("SELECT * FROM ffs_get(NULL::lines_scd2, $1)", "1")
        owner = await connect("clients_owner")
        with raises(asyncpg.PostgresError, "ZF022"):
            await owner.execute("DELETE FROM notes_scd2_history")
        await owner.close()
    with tap.case("PostgreSQL's own stay what they were"):
        with raises(asyncpg.NotNullViolationError, "23502"):
            await db.execute("INSERT INTO notes_scd2 (title) VALUES (NULL)")
        with raises(asyncpg.UniqueViolationError, "23505"):
            await db.execute("INSERT INTO notes_scd2 (title, code) VALUES ('x', 'c1')")
        with raises(asyncpg.InsufficientPrivilegeError, "42501"):
            await db.execute("TRUNCATE notes_scd2")


def pool_of(size):
    return asyncpg.create_pool(
        user="clients_app",
        min_size=size,
        max_size=size,
        server_settings={"search_path": f"{SCHEMA}, public"},
    )


async def prepared(db):
    """One prepared statement, many tenants."""
    with tap.case("a prepared statement serves tenant after tenant, generic plans too"):
        await db.execute("SET plan_cache_mode = auto")
        read = await db.prepare("SELECT count(*) FROM notes_scd2_t WHERE title LIKE $1")
        write = await db.prepare(
            "UPDATE notes_scd2_t SET due = now() WHERE title LIKE $1 RETURNING tenant_id"
        )
        get = await db.prepare("SELECT * FROM ffs_get(NULL::notes_scd2_t, $1::uuid)")
        async with db.transaction():
            await db.execute("SELECT ffs_set_tenant($1)", TENANT_B)
            await db.execute("INSERT INTO notes_scd2_t (title) VALUES ('theirs 1'), ('theirs 2')")
        async with db.transaction():
            await db.execute("SELECT ffs_set_tenant($1)", TENANT_A)
            await db.execute("INSERT INTO notes_scd2_t (title) VALUES ('theirs 1')")
            key = await db.fetchval("SELECT id FROM notes_scd2_t WHERE title = 'theirs 1'")
        for mode in ("auto", "force_generic_plan"):
            await db.execute(f"SET plan_cache_mode = {mode}")
            for turn in range(8):
                for tenant, count in ((TENANT_A, 1), (TENANT_B, 2), (None, 0)):
                    async with db.transaction():
                        if tenant:
                            await db.execute("SELECT ffs_set_tenant($1)", tenant)
                        eq(await read.fetchval("theirs%"), count)
                        eq(len(await get.fetch(key)), 1 if tenant == TENANT_A else 0)
                        if tenant:
                            eq({str(r[0]) for r in await write.fetch("theirs%")}, {tenant})
                async with db.transaction():
                    await db.execute("SELECT ffs_set_tenants($1)", [TENANT_A, TENANT_B])
                    eq(await read.fetchval("theirs%"), 3)
        await db.execute("RESET plan_cache_mode")
    with tap.case("a pool's connections carry no tenant over"):
        async with pool_of(1) as pool:
            async with pool.acquire() as one, one.transaction():
                await one.execute("SELECT ffs_set_tenant($1)", TENANT_B)
                eq(await one.fetchval("SELECT count(*) FROM notes_scd2_t"), 2)
            async with pool.acquire() as two:
                eq(await two.fetchval("SELECT ffs_tenant()"), None)
                eq(await two.fetchval("SELECT count(*) FROM notes_scd2_t"), 0)

    with tap.case("nor does a tenant of the session's outlive its use: the pool says RESET ALL"):
        async with pool_of(1) as pool:
            async with pool.acquire() as one:
                await one.execute("SELECT ffs_set_tenant($1, 'session')", TENANT_B)
                eq(await one.fetchval("SELECT count(*) FROM notes_scd2_t"), 2)
            async with pool.acquire() as two:
                eq(await two.fetchval("SELECT ffs_tenant()"), None)


async def races():
    """Many connections after one row."""
    async with pool_of(8) as pool:
        key = await pool.fetchval("INSERT INTO notes_scd2 (title) VALUES ('raced') RETURNING id")

        async def attempt(version):
            patch = json.dumps({"id": str(key), "title": f"won {version}"})
            try:
                await pool.execute("SELECT ffs_update('notes_scd2', $1, $2)", patch, version)
            except asyncpg.PostgresError as error:
                return error.sqlstate
            return "won"

        with tap.case("expected_version: of eight at once one wins, each time"):
            for version in range(1, 6):
                found = await asyncio.gather(*(attempt(version) for _ in range(8)))
                eq(sorted(found), ["ZF010"] * 7 + ["won"])
        with tap.case("tenants side by side on one pool"):

            async def work(n):
                tenant = (TENANT_A, TENANT_B)[n % 2]
                async with pool.acquire() as db, working(db, tenant=tenant):
                    await db.execute("INSERT INTO notes_scd2_t (title) VALUES ('side by side')")
                    await asyncio.sleep(0.001 * (n % 5))
                    return tenant, await db.fetch("SELECT DISTINCT tenant_id FROM notes_scd2_t")

            async with asyncio.timeout(30):
                found = await asyncio.gather(*(work(n) for n in range(40)))
            eq([[str(r[0]) for r in rows] for _, rows in found], [[t] for t, _ in found])


async def caches(db):
    """The statement cache when the table's columns change underneath."""
    owner = await connect("clients_owner")
    await owner.execute(
        "CREATE TABLE late (id integer PRIMARY KEY, title text); GRANT ALL ON late TO clients_app"
    )
    await db.execute("INSERT INTO late VALUES (1, 'x')")
    query = "SELECT * FROM late"
    with tap.case(
        "ffs_manage under a cached statement: asyncpg prepares anew, outside of a transaction"
    ):
        eq(list((await db.fetchrow(query)).keys()), ["id", "title"])
        await owner.execute("SELECT ffs_manage('late', 'scd2')")
        eq((await db.fetchrow(query))["version"], 1)
    with tap.case("… and is InvalidCachedStatementError within one"):
        eq((await db.fetchrow(query))["version"], 1)
        await owner.execute("ALTER TABLE late ADD COLUMN more text")
        caught = None
        try:
            async with db.transaction():
                await db.fetchrow(query)
        except asyncpg.InvalidCachedStatementError as error:
            caught = error
        assert caught is not None
        eq((await db.fetchrow(query))["more"], None)
    with tap.case("writes that return no changed columns go on"):
        statement = "UPDATE late SET title = $1 WHERE id = 1"
        eq(await db.execute(statement, "y"), "UPDATE 1")
        await owner.execute("ALTER TABLE late DROP COLUMN more")
        eq(await db.execute(statement, "z"), "UPDATE 1")
        await owner.execute("SELECT ffs_manage('late', 'none')")
        eq(await db.execute(statement, "w"), "UPDATE 1")
        await owner.execute("SELECT ffs_unmanage('late')")
        eq(await db.execute(statement, "v"), "UPDATE 1")
    await owner.close()


async def cancels(db, admin):
    with tap.case("a cancelled UPDATE leaves nothing, and the connection goes on"):
        before = await admin.fetchval("SELECT count(*) FROM notes_scd2_history")
        try:
            await db.execute(
                "UPDATE notes_scd2 SET amount = amount + 1 WHERE pg_sleep(0.05) IS NOT NULL",
                timeout=0.3,
            )
        except asyncio.TimeoutError:
            pass
        else:
            raise AssertionError("was not cancelled")
        eq(await db.fetchval("SELECT 1"), 1)
        eq(await admin.fetchval("SELECT count(*) FROM notes_scd2_history"), before)
    with tap.case("statement_timeout within a batch"):
        with raises(asyncpg.QueryCanceledError, "57014"):
            async with db.transaction():
                await db.execute("SET LOCAL statement_timeout = 100")
                await db.fetch(
                    "SELECT * FROM ffs_create_many('notes_scd2', "
                    "(SELECT jsonb_agg(jsonb_build_object("
                    "'title', n)) FROM generate_series(1, 200000) n))"
                )
        eq(await db.fetchval("SELECT count(*) FROM notes_scd2 WHERE title = '1'"), 0)


async def main():
    admin = await connect("postgres")
    await admin.execute(f"CREATE SCHEMA {SCHEMA} AUTHORIZATION clients_owner")
    await admin.execute(TABLES.read_text())
    db = await connect("clients_app")
    for shape in await admin.fetch("SELECT * FROM shapes ORDER BY name"):
        await Sweep(db, admin, shape).run()
    await errors(db)
    await prepared(db)
    await races()
    await caches(db)
    await cancels(db, admin)
    with tap.case("laws, at the end"):
        eq([r[0] for r in await admin.fetch("SELECT laws_all()")], [])
    await db.close()
    await admin.close()
    tap.done()


asyncio.run(main())
