"""psycopg 3 against managed tables.  Speaks TAP; the server is that of PG*."""

import collections
import contextlib
import datetime
import pathlib
import threading
import time
import uuid
from decimal import Decimal

import psycopg
from psycopg import errors as pg_errors
from psycopg.adapt import Dumper
from psycopg.rows import dict_row
from psycopg.types.composite import CompositeInfo, register_composite
from psycopg.types.json import Jsonb
from tap import COLUMNS, TENANT_A, TENANT_B, Table, Tap, eq, raises

SCHEMA = "client_psycopg"
TABLES = pathlib.Path(__file__).with_name("tables.sql")
NOON = datetime.datetime(2026, 11, 1, 12, tzinfo=datetime.timezone.utc)
tap = Tap()


def connect(user, **options):
    return psycopg.connect(
        user=user,
        autocommit=True,
        row_factory=dict_row,
        options=f"-c search_path={SCHEMA},public",
        **options,
    )


@contextlib.contextmanager
def working(db, has_tenants=True, tenant=TENANT_A):
    """A transaction, of a tenant where the table has them."""
    with db.transaction():
        if has_tenants:
            db.execute("SELECT ffs_set_tenant(%s)", [tenant])
        yield


class Xid8Dumper(Dumper):
    """psycopg knows no xid8, which is the type of transaction_id."""

    format = psycopg.pq.Format.BINARY
    oid = 5069

    def dump(self, obj):
        return obj.to_bytes(8, "big")


class Sweep(Table):
    """The same cases on each table."""

    def __init__(self, db, admin, shape):
        super().__init__(shape, hole=lambda n: "%s")
        self.db = db
        self.admin = admin

    def case(self, text):
        return tap.case(f"{self.table}: {text}")

    def tx(self, tenant=TENANT_A):
        return working(self.db, self.tenant, tenant)

    def one(self, code):
        return self.db.execute(f"SELECT * FROM {self.table} WHERE code = %s", [code]).fetchone()

    def run(self):
        self.rows()
        self.many()
        self.upserts()
        self.copies()
        self.functions()
        self.deletes()
        with self.case("laws"):
            eq(self.admin.execute(f"SELECT laws('{self.table}')").fetchall(), [])

    def rows(self):
        db, table = self.db, self.table
        with self.case("INSERT … RETURNING: key, stamps, generated column"):
            with self.tx():
                cursor = db.execute(
                    self.insert(
                        "title", "amount", "code", "tags", "data", "due", tail="RETURNING *"
                    ),
                    [
                        *self.keys(),
                        "first",
                        Decimal("12.50"),
                        "c1",
                        ["x", None],
                        Jsonb({"a": 1}),
                        NOON,
                    ],
                )
                row = cursor.fetchone()
            eq((cursor.rowcount, cursor.statusmessage), (1, "INSERT 0 1"))
            eq(
                (row["title"], row["twice"], row["tags"], row["due"], row["data"]),
                ("first", 25, ["x", None], NOON, {"a": 1}),
            )
            eq((row["created_by"], row["updated_by"]), ("clients_app", "clients_app"))
            assert all(row[c] is not None for c in self.key), row
            if self.tenant:
                eq(str(row["tenant_id"]), TENANT_A)
            if self.versions:
                eq((row["version"], row["valid_from"]), (1, row["created_at"]))
        with self.case("stamps that a statement supplies are ignored"):
            with self.tx():
                row = db.execute(
                    self.insert("title", "code", "created_by", "created_at", tail="RETURNING *"),
                    [*self.keys(), "second", "c2", "mallory", NOON],
                ).fetchone()
            eq(row["created_by"], "clients_app")
            assert row["created_at"] != NOON
        with self.case("UPDATE: row count, RETURNING; in binary too"):
            with self.tx():
                cursor = db.cursor(binary=True).execute(
                    f"UPDATE {table} SET amount = amount + %s WHERE code = 'c1' RETURNING *", [1]
                )
                found = cursor.fetchall()
            eq(
                (cursor.rowcount, [(r["amount"], r["twice"]) for r in found]),
                (1, [(Decimal("13.50"), 27)]),
            )
            if self.versions:
                eq(found[0]["version"], 2)
        with self.case("an UPDATE that changes nothing, and one of no row"):
            with self.tx():
                before = self.one("c1")
                eq(db.execute(f"UPDATE {table} SET amount = amount WHERE code = 'c1'").rowcount, 1)
                eq(self.one("c1"), before)
                eq(db.execute(f"UPDATE {table} SET amount = 0 WHERE code = 'nobody'").rowcount, 0)
        with self.case("rollback to a savepoint"):
            with self.tx():
                before = self.one("c1")
                with db.transaction() as inner:
                    db.execute(f"UPDATE {table} SET title = 'gone' WHERE code = 'c1'")
                    raise psycopg.Rollback(inner)
                eq(self.one("c1"), before)
                with db.transaction():
                    db.execute(f"UPDATE {table} SET title = 'kept' WHERE code = 'c1'")
                    with db.transaction():
                        db.execute(f"UPDATE {table} SET title = 'kept twice' WHERE code = 'c1'")
            with self.tx():
                row = self.one("c1")
            eq(row["title"], "kept twice")
            if self.versions:
                eq(row["version"], before["version"] + 1)
        with self.case("parameters bound by the client"):
            with self.tx():
                cursor = psycopg.ClientCursor(db)
                cursor.execute(
                    f"UPDATE {table} SET title = %s, due = %s WHERE code = %s",
                    ["it's", NOON, "c1"],
                )
                eq((cursor.rowcount, self.one("c1")["title"]), (1, "it's"))

    def many(self):
        db, table = self.db, self.table
        with self.case("executemany: total row count, and RETURNING of each"):
            with self.tx():
                cursor = db.cursor()
                cursor.executemany(
                    self.insert("title", "code"),
                    [[*self.keys(), f"many {n}", f"m{n}"] for n in range(50)],
                )
                eq(cursor.rowcount, 50)
                cursor.executemany(
                    f"UPDATE {table} SET amount = %s WHERE code = %s RETURNING twice",
                    [[n, f"m{n}"] for n in range(3)],
                    returning=True,
                )
                twice = []
                while True:
                    twice.append(cursor.fetchone()["twice"])
                    if not cursor.nextset():
                        break
                eq(twice, [0, 2, 4])
        with self.case("pipeline mode: row counts, an error takes its transaction only"):
            with self.tx(), db.pipeline():
                cursors = [
                    db.execute(
                        f"UPDATE {table} SET amount = amount + 1 WHERE code = %s", [f"m{n}"]
                    )
                    for n in range(20)
                ]
                cursors.append(db.execute(f"UPDATE {table} SET amount = 0 WHERE code = 'nobody'"))
            eq([c.rowcount for c in cursors], [1] * 20 + [0])
            with self.tx():
                before = self.one("m5")
            with raises(pg_errors.NotNullViolation, "23502"):
                with db.pipeline(), self.tx():
                    db.execute(f"UPDATE {table} SET amount = 99 WHERE code = 'm5'")
                    db.execute(f"UPDATE {table} SET title = NULL WHERE code = 'm6'")
                    db.execute(f"UPDATE {table} SET amount = 99 WHERE code = 'm7'")
            with self.tx():
                eq(self.one("m5"), before)

    def upserts(self):
        db, table = self.db, self.table
        arbiter = ", ".join(self.arbiter)
        extra = ["id"] if self.arbiter == ["id"] else []
        given = self.keys()
        key = [*given, *([uuid.uuid4()] if extra else [])]
        upsert = self.insert(
            *extra,
            "title",
            "code",
            tail=f"ON CONFLICT ({arbiter}) DO UPDATE "
            f"SET title = excluded.title, amount = {table}.amount + 1 RETURNING *",
        )
        with self.case("ON CONFLICT DO UPDATE … RETURNING, DO NOTHING"):
            with self.tx():
                first = db.execute(upsert, [*key, "up 1", "u1"]).fetchone()
            with self.tx():
                cursor = db.execute(upsert, [*key, "up 2", "u1"])
                second = cursor.fetchone()
            eq(
                (cursor.rowcount, second["title"], second["amount"], second["twice"]),
                (1, "up 2", 2, 4),
            )
            eq([second[c] for c in self.key], [first[c] for c in self.key])
            if self.versions:
                eq((first["version"], second["version"]), (1, 2))
            with self.tx():
                eq(
                    db.execute(
                        self.insert(
                            *extra, "title", "code", tail=f"ON CONFLICT ({arbiter}) DO NOTHING"
                        ),
                        [*key, "up 3", "u1"],
                    ).rowcount,
                    0,
                )
        with self.case("MERGE"):
            names = [*self.given, "title", "code"]
            on = " AND ".join(f"t.{c} = s.{c}" for c in self.given) or "t.code = s.code"
            merge = (
                f"MERGE INTO {table} t USING (VALUES ({', '.join(['%s'] * len(names))})) "
                f"AS s ({', '.join(names)}) ON {on} WHEN MATCHED THEN UPDATE SET title = s.title "
                f"WHEN NOT MATCHED THEN INSERT ({', '.join(names)}) "
                f"VALUES ({', '.join('s.' + n for n in names)})"
            )
            with self.tx():
                eq(db.execute(merge, [*given, "merged", "u1"]).rowcount, 1)
                eq(db.execute(merge, [*self.keys(), "merged", "u2"]).rowcount, 1)
                eq((self.one("u1")["title"], self.one("u2")["title"]), ("merged", "merged"))

    def copies(self):
        db, table = self.db, self.table
        columns = [*self.given, "title", "code", "due"]
        types = ["int8", "int4"][: len(self.given)] + ["text", "text", "timestamptz"]

        def copy_in(on, kind):
            cursor = on.cursor()
            statement = f"COPY {table} ({', '.join(columns)}) FROM STDIN (FORMAT {kind})"
            with cursor.copy(statement) as copy:
                if kind == "binary":
                    copy.set_types(types)
                for n in range(20):
                    copy.write_row([*self.keys(), f"copied {n}", f"{kind}{n}", NOON])
            return cursor.rowcount

        for kind in ("binary", "text"):
            with self.case(f"COPY FROM, {kind}"):
                if self.tenant:
                    # PostgreSQL refuses it to roles that row-level security binds.
                    with raises(pg_errors.FeatureNotSupported, "0A000"):
                        with self.tx():
                            copy_in(db, kind)
                    with working(self.admin):
                        eq(copy_in(self.admin, kind), 20)
                else:
                    eq(copy_in(db, kind), 20)
                with self.tx():
                    eq(
                        db.execute(
                            f"SELECT count(*) FROM {table} WHERE code LIKE %s AND due = %s",
                            [kind + "%", NOON],
                        ).fetchone()["count"],
                        20,
                    )
            with self.case(f"COPY TO, {kind}"):
                with self.tx():
                    cursor = db.cursor()
                    with cursor.copy(
                        f"COPY (SELECT code, due FROM {table} WHERE code LIKE '{kind}%') "
                        f"TO STDOUT (FORMAT {kind})"
                    ) as copy:
                        copy.set_types(["text", "timestamptz"])
                        found = list(copy.rows())
                eq(sorted(found), sorted((f"{kind}{n}", NOON) for n in range(20)))

    def functions(self):
        db, table = self.db, self.table

        def data(code, **more):
            return {**dict(zip(self.given, self.keys())), "title": "made", "code": code, **more}

        with self.case("ffs_create_many, jsonb parameter"):
            rows = [data(f"j{n}") for n in range(30)] + [data("bad", amount="much")]
            with self.tx():
                found = db.execute(
                    "SELECT * FROM ffs_create_many(%s, %s, on_error => 'report')",
                    [table, Jsonb(rows)],
                ).fetchall()
            eq([r["row_number"] for r in found], list(range(1, 32)))
            eq({r["action"] for r in found[:30]}, {"inserted"})
            eq((found[30]["action"], found[30]["sqlstate"]), ("rejected", "22P02"))
        for way in ("text", "binary"):
            with self.case(f"ffs_create_records, an array of tuples, in {way}"):
                columns = db.execute(COLUMNS.format("%s"), [table]).fetchone()["columns"]
                row_type = collections.namedtuple("row_type", columns)
                hole = "%s"
                if way == "binary":
                    db.adapters.register_dumper(None, Xid8Dumper)
                    register_composite(CompositeInfo.fetch(db, table), db, row_type)
                    hole = "%b"
                rows = [
                    row_type(
                        *self.record(columns, title='it\'s "x", y', code=f"{way} {n}", due=NOON)
                    )
                    for n in range(30)
                ]
                rows.append(row_type(*self.record(columns, code=f"{way} bad")))
                create = (
                    f"SELECT * FROM ffs_create_records({hole}::{table}[], on_error => 'report')"
                )
                with self.tx():
                    found = db.execute(create, [rows]).fetchall()
                    row = self.one(f"{way} 7")
                eq([r["row_number"] for r in found], list(range(1, 32)))
                eq({r["action"] for r in found[:30]}, {"inserted"})
                eq((found[30]["action"], found[30]["sqlstate"]), ("rejected", "23502"))
                eq((row["title"], row["twice"], row["due"]), ('it\'s "x", y', 2, NOON))
        with self.case("ffs_create, ffs_get: the driver's types, untyped text, jsonb"):
            with self.tx():
                made = db.execute(
                    "SELECT ffs_create(%s, %s) AS row", [table, Jsonb(data("g1"))]
                ).fetchone()["row"]
                eq(made["title"], "made")
                row = self.one("g1")
                holes, values = self.call(row)
                get = f"SELECT * FROM ffs_get(NULL::{table}, {holes})"
                eq(db.execute(get, values).fetchone(), row)
                # The driver gives Python's int and UUID types: no casts.
                untyped = ", ".join(["%s"] * len(values))
                eq(
                    db.execute(
                        f"SELECT * FROM ffs_get(NULL::{table}, {untyped})", values
                    ).fetchone(),
                    row,
                )
                eq(
                    db.execute(
                        f"SELECT * FROM ffs_get(NULL::{table}, %s)", [Jsonb(self.jsonb_key(row))]
                    ).fetchone(),
                    row,
                )
                if len(self.key) == 1:
                    eq(
                        db.execute(
                            f"SELECT * FROM ffs_get(NULL::{table}, %s)", [str(row["id"])]
                        ).fetchone(),
                        row,
                    )
        with self.case("ffs_get_many, in the order of the keys"):
            with self.tx():
                rows = db.execute(
                    f"SELECT * FROM {table} WHERE code LIKE 'j%' ORDER BY code DESC LIMIT 5"
                ).fetchall()
                many = f"SELECT * FROM ffs_get_many(NULL::{table}, %s)"
                eq(db.execute(many, [[Jsonb(self.jsonb_key(r)) for r in rows]]).fetchall(), rows)
                if len(self.key) == 1:
                    eq(db.execute(many, [[r["id"] for r in rows]]).fetchall(), rows)
                    eq(
                        db.execute(
                            f"SELECT * FROM ffs_get_many(NULL::{table}, %s::text[])",
                            [[str(r["id"]) for r in rows]],
                        ).fetchall(),
                        rows,
                    )
        with self.case("ffs_update_many, ffs_delete_many, ffs_restore_many"):

            def many(function, rows):
                call = f"SELECT * FROM {function}(%s, %s, on_error => 'report')"
                with self.tx():
                    found = db.execute(call, [table, Jsonb(rows)]).fetchall()
                return [r["sqlstate"] or r["action"] for r in found], [r["key"] for r in found]

            keys = many("ffs_create_many", [data(f"x{n}") for n in range(5)])[1]
            keys.append({**keys[0], self.key[-1]: self.absent()})
            patches = [{**key, "amount": n} for n, key in enumerate(keys)]
            eq(many("ffs_update_many", patches)[0], ["updated"] * 5 + ["ZF011"])
            with self.tx():
                row = self.one("x4")
            eq((row["amount"], row["twice"]), (4, 8))
            eq(many("ffs_delete_many", keys)[0], ["deleted"] * 5 + ["skipped"])
            if self.soft_delete:
                eq(many("ffs_restore_many", keys)[0], ["restored"] * 5 + ["skipped"])
        with self.case("ffs_list, ffs_count"):
            with self.tx():
                filters = Jsonb({"code": {"in": ["j1", "j2", "nobody"]}})
                found = db.execute(
                    f"SELECT * FROM ffs_list(NULL::{table}, %s, %s, %s)", [filters, "code desc", 5]
                )
                eq([r["code"] for r in found], ["j2", "j1"])
                found = db.execute("SELECT ffs_count(%s, %s) AS n", [table, filters])
                eq(found.fetchone(), {"n": 2})
        with self.case("ffs_update, and its expected_version"):
            with self.tx():
                row = self.one("g1")
            patch = Jsonb({**self.jsonb_key(row), "amount": 7})
            if self.versions:
                with raises(psycopg.DatabaseError, "ZF010") as caught:
                    with self.tx():
                        db.execute("SELECT ffs_update(%s, %s, %s)", [table, patch, 9])
                assert "1" in caught[0].diag.message_detail
            with self.tx():
                now = db.execute(
                    "SELECT ffs_update(%s, %s, %s) AS row",
                    [table, patch, 1 if self.versions else None],
                ).fetchone()["row"]
            eq(
                (now["amount"], now["twice"], now.get("version")),
                (7, 14, 2 if self.versions else None),
            )
        with self.case("ffs_delete, ffs_restore"):
            values = [row[c] for c in self.key]
            call = ", ".join(["%s"] * (1 + len(values)))
            with self.tx():
                eq(
                    db.execute(f"SELECT ffs_delete({call}) AS d", [table, *values]).fetchone()[
                        "d"
                    ],
                    True,
                )
                eq(
                    db.execute(f"SELECT ffs_delete({call}) AS d", [table, *values]).fetchone()[
                        "d"
                    ],
                    False,
                )
                eq(self.one("g1"), None)
            if self.soft_delete:
                with self.tx():
                    with raises(psycopg.DatabaseError, "ZF012"):
                        with db.transaction():
                            db.execute("SELECT ffs_update(%s, %s)", [table, patch])
                    eq(
                        db.execute(
                            f"SELECT ffs_restore({call}) AS r", [table, *values]
                        ).fetchone()["r"],
                        True,
                    )
                    eq(self.one("g1")["amount"], 7)
            else:
                with self.tx(), raises(pg_errors.ObjectNotInPrerequisiteState, "55000"):
                    with db.transaction():
                        db.execute(f"SELECT ffs_restore({call})", [table, *values])

    def deletes(self):
        db, table = self.db, self.table
        with self.case("DELETE: row count, RETURNING"):
            with self.tx():
                eq(db.execute(f"DELETE FROM {table} WHERE code LIKE %s", ["m%"]).rowcount, 50)
                cursor = db.execute(
                    f"DELETE FROM {table} WHERE code = 'c2' RETURNING title, twice"
                )
                eq((cursor.rowcount, cursor.fetchall()), (1, [{"title": "second", "twice": 2}]))
        with self.case("a server-side cursor, WHERE CURRENT OF"):
            with self.tx():
                with db.cursor(name="walk") as walk:
                    walk.itersize = 1
                    walk.execute(f"SELECT * FROM {table} WHERE code LIKE 'j%' FOR UPDATE")
                    seen = 0
                    for row in walk:
                        eq(
                            db.execute(
                                f"UPDATE {table} SET due = now() "
                                "WHERE CURRENT OF walk RETURNING code"
                            ).fetchall(),
                            [{"code": row["code"]}],
                        )
                        seen += 1
                eq(seen, 30)


def errors(db):
    """What the driver makes of our SQLSTATEs: their class is unknown to it."""
    with tap.case("class ZF is DatabaseError, with sqlstate, detail and hint"):
        with raises(psycopg.DatabaseError, "ZF001") as caught:
            db.execute("INSERT INTO notes_scd2_t (title) VALUES ('x')")
        eq(type(caught[0]), psycopg.DatabaseError)
        assert "ffs_set_tenant" in caught[0].diag.message_hint
    with tap.case("ZF002 tenant_violation, ZF003 tenant_pinned"):
        with raises(psycopg.DatabaseError, "ZF002"):
            with working(db):
                db.execute(
                    "INSERT INTO notes_scd2_t (title, tenant_id) VALUES ('x', %s)", [TENANT_B]
                )
        with raises(psycopg.DatabaseError, "ZF003"):
            with working(db):
                db.execute("SELECT ffs_set_tenant(%s)", [TENANT_B])
    with tap.case("ZF020 not_managed, ZF021 key_missing, ZF022 history_read_only"):
        with raises(psycopg.DatabaseError, "ZF020"):
            db.execute("SELECT ffs_create_many('shapes', '[]')")
        with raises(psycopg.DatabaseError, "ZF021"):
            db.execute("SELECT * FROM ffs_get(NULL::lines_scd2, %s)", ["1"])
        with connect("clients_owner") as owner, raises(psycopg.DatabaseError, "ZF022"):
            owner.execute("DELETE FROM notes_scd2_history")
    with tap.case("PostgreSQL's own stay what they were"):
        with raises(pg_errors.NotNullViolation, "23502"):
            db.execute("INSERT INTO notes_scd2 (title) VALUES (NULL)")
        with raises(pg_errors.UniqueViolation, "23505"):
            db.execute("INSERT INTO notes_scd2 (title, code) VALUES ('x', 'c1')")


def prepared(db):
    with tap.case("prepared statements serve tenant after tenant, generic plans too"):
        for tenant, titles in ((TENANT_A, ["theirs 1"]), (TENANT_B, ["theirs 1", "theirs 2"])):
            with working(db, tenant=tenant):
                for title in titles:
                    db.execute("INSERT INTO notes_scd2_t (title) VALUES (%s)", [title])
        for mode in ("auto", "force_generic_plan"):
            db.execute(f"SET plan_cache_mode = {mode}")
            for _ in range(8):
                for tenant, count in ((TENANT_A, 1), (TENANT_B, 2), (None, 0)):
                    with working(db, tenant is not None, tenant):
                        eq(
                            db.execute(
                                "SELECT count(*) FROM notes_scd2_t WHERE title LIKE %s",
                                ["theirs%"],
                                prepare=True,
                            ).fetchone()["count"],
                            count,
                        )
                        if tenant:
                            found = db.execute(
                                "UPDATE notes_scd2_t SET due = now() WHERE title LIKE %s "
                                "RETURNING tenant_id",
                                ["theirs%"],
                                prepare=True,
                            )
                            eq({str(r["tenant_id"]) for r in found}, {tenant})
        db.execute("RESET plan_cache_mode")

    with tap.case("a pipeline without BEGIN is a transaction until its next sync"):
        with db.pipeline() as pipeline:
            db.execute("SELECT ffs_set_tenant(%s)", [TENANT_B])
            found = db.execute("SELECT count(*) FROM notes_scd2_t WHERE title LIKE 'theirs%'")
            pipeline.sync()
            after = db.execute("SELECT ffs_tenant() AS tenant")
        eq((found.fetchone(), after.fetchone()), ({"count": 2}, {"tenant": None}))


def caches(db):
    with connect("clients_owner") as owner:
        owner.execute("CREATE TABLE late (id integer PRIMARY KEY, title text)")
        owner.execute("GRANT ALL ON late TO clients_app")
        db.execute("INSERT INTO late VALUES (1, 'x')")
        with tap.case(
            "ffs_manage under a prepared SELECT *: PostgreSQL's 0A000, until it is prepared anew"
        ):
            query = "SELECT * FROM late"
            eq(list(db.execute(query, prepare=True).fetchone()), ["id", "title"])
            owner.execute("SELECT ffs_manage('late', 'scd2')")
            with raises(pg_errors.FeatureNotSupported, "0A000") as caught:
                db.execute(query, prepare=True)
            assert "cached plan must not change result type" in str(caught[0])
            db.execute("DEALLOCATE ALL")
        with connect("clients_app") as fresh:
            with tap.case("… named columns, and writes, go on"):
                fresh.prepare_threshold = 0
                for word in ("scd2", "none", "copy_on_change"):
                    owner.execute("SELECT ffs_manage('late', %s)", [word])
                    eq(
                        fresh.execute("UPDATE late SET title = %s WHERE id = 1", [word]).rowcount,
                        1,
                    )
                    eq(
                        fresh.execute("SELECT id, title FROM late").fetchall(),
                        [{"id": 1, "title": word}],
                    )
                owner.execute("SELECT ffs_unmanage('late')")
                eq(fresh.execute("UPDATE late SET title = %s WHERE id = 1", ["off"]).rowcount, 1)


def cancels(db, admin):
    with tap.case("a cancelled UPDATE leaves nothing, and the connection goes on"):
        count = "SELECT count(*) FROM notes_scd2_history"
        before = admin.execute(count).fetchone()
        canceller = threading.Timer(0.3, db.cancel)
        canceller.start()
        begun = time.monotonic()
        with raises(pg_errors.QueryCanceled, "57014"):
            db.execute("UPDATE notes_scd2 SET amount = amount + 1 WHERE pg_sleep(0.1) IS NOT NULL")
        canceller.join()
        assert time.monotonic() - begun < 5
        eq(db.execute("SELECT 1 AS one").fetchone(), {"one": 1})
        eq(admin.execute(count).fetchone(), before)
    with tap.case("a two-phase transaction: its rows and their history come with COMMIT PREPARED"):
        db.execute("INSERT INTO notes_scd2 (title, code) VALUES ('two', 'p1')")
        with connect("clients_app") as other:
            other.autocommit = False
            xid = other.xid(1, "clients", "psycopg")
            other.tpc_begin(xid)
            other.execute("UPDATE notes_scd2 SET title = 'phase' WHERE code = 'p1'")
            other.tpc_prepare()
            eq(
                db.execute("SELECT title, version FROM notes_scd2 WHERE code = 'p1'").fetchone(),
                {"title": "two", "version": 1},
            )
            other.tpc_commit()
        eq(
            db.execute("SELECT title, version FROM notes_scd2 WHERE code = 'p1'").fetchone(),
            {"title": "phase", "version": 2},
        )


def main():
    admin = connect("postgres")
    admin.execute(f"CREATE SCHEMA {SCHEMA} AUTHORIZATION clients_owner")
    admin.execute(TABLES.read_text())
    db = connect("clients_app")
    for shape in admin.execute("SELECT * FROM shapes ORDER BY name").fetchall():
        Sweep(db, admin, shape).run()
    errors(db)
    prepared(db)
    caches(db)
    cancels(db, admin)
    with tap.case("laws, at the end"):
        eq(admin.execute("SELECT laws_all()").fetchall(), [])
    db.close()
    admin.close()
    tap.done()


main()
