"""The data layer on asyncpg alone."""

import asyncio
import json
from contextlib import asynccontextmanager

import asyncpg

from . import pooling
from .errors import Refused, retrying
from .run import ffs_run

CONTRACT = "id, customer_id, renews_id, title, status, cents, version, updated_at, updated_by"
CUSTOMER = "id, name, email, updated_at, updated_by"

# One round trip.  All of it ends with the transaction, and goes to no other client of a pooler.
CONTEXT = """
SELECT ffs_set_tenant($1), ffs_set_actor($2, $3), set_config('ffstorage.traceparent', $4, true)
"""

GET = f"SELECT {CONTRACT} FROM ffs_get(NULL::contracts, $1)"

PAGE = f"""
SELECT {CONTRACT} FROM %s
 WHERE ($1::text IS NULL OR status = $1::text) AND id > $2::uuid
 ORDER BY id LIMIT $3::integer
"""

HISTORY = """
SELECT version, operation, valid_from, valid_to, changed_by, changes, h.metadata, traceparent
  FROM ffs_history($1::text::regclass, $2::text) h
  LEFT JOIN ffs_transactions t USING (transaction_id)
 ORDER BY valid_from, version
"""


class Store:
    # What the application has a handler for.
    errors = (asyncpg.PostgresError, asyncio.TimeoutError, OSError)

    def __init__(self, settings):
        self.settings = settings
        self.pool = None

    async def open(self):
        pooled = {}
        if self.settings.pgbouncer:
            pooled = {**pooling.ASYNCPG, "connection_class": pooling.PooledConnection}
        self.pool = await asyncpg.create_pool(
            self.settings.database_url,
            min_size=0,  # starts, and answers the probes, without a server too
            max_size=self.settings.pool_size,
            command_timeout=15,
            server_settings={"application_name": "contracts"},
            init=self.prepare,
            **pooled,
        )

    async def close(self):
        await self.pool.close()

    @staticmethod
    async def prepare(db):
        """Once for each connection: jsonb is Python's dicts and lists."""
        await db.set_type_codec(
            "jsonb", encoder=json.dumps, decoder=json.loads, schema="pg_catalog"
        )

    def acquire(self):
        return self.pool.acquire(timeout=self.settings.pool_timeout)

    @asynccontextmanager
    async def transaction(self, caller, isolation="read_committed"):
        """A transaction of the caller's: its tenant is set before anything else, and final."""
        async with self.acquire() as db, db.transaction(isolation=isolation):
            await db.execute(
                CONTEXT, caller.tenant, caller.actor, caller.metadata, caller.traceparent
            )
            yield db

    async def health(self):
        async with self.acquire() as db, db.transaction():
            return await db.fetchval("SELECT ffs_health_status()")

    # ---- customers ----

    async def create_customer(self, caller, data):
        async with self.transaction(caller) as db:
            insert = f"INSERT INTO customers (name, email) VALUES ($1, $2) RETURNING {CUSTOMER}"
            return dict(await db.fetchrow(insert, data["name"], data["email"]))

    async def update_customer(self, caller, key, patch):
        async with self.transaction(caller) as db:
            return await db.fetchval("SELECT ffs_update('customers', $1)", {**patch, "id": key})

    # ---- contracts ----

    async def create(self, caller, data):
        async with self.transaction(caller) as db:
            return await db.fetchval("SELECT ffs_create('contracts', $1)", data)

    async def create_many(self, caller, rows, on_error):
        """All of them with 'abort', the good ones with 'report'."""
        async with self.transaction(caller) as db:
            create = "SELECT * FROM ffs_create_many('contracts', $1, on_error => $2)"
            return [dict(row) for row in await db.fetch(create, rows, on_error)]

    async def get(self, caller, key, as_of=None):
        """From the cache, or as it was at a moment."""
        async with self.transaction(caller) as db:
            if as_of is None:
                row = await db.fetchrow(GET, key)
            else:
                row = await db.fetchrow(
                    f"SELECT {CONTRACT} FROM ffs_row_at(NULL::contracts, $1, $2)", as_of, key
                )
            return row and dict(row)

    async def list(self, caller, status, after, limit, as_of=None):
        """A page; again it comes from the cache, until a contract of this tenant's changes."""
        async with self.transaction(caller) as db:
            if as_of is None:
                rows = await db.fetch(
                    "SELECT * FROM ffs_cached($1, NULL, $2::text, $3::uuid, $4::integer)",
                    PAGE % "contracts", status, after, limit,
                )  # fmt: skip
                return [row[0] for row in rows]
            rows = await db.fetch(PAGE % "contracts_as_of($4)", status, after, limit, as_of)
            return [dict(row) for row in rows]

    async def update(self, caller, key, patch, expected_version):
        async with self.transaction(caller) as db:
            return await db.fetchval(
                "SELECT ffs_update('contracts', $1, $2)", {**patch, "id": key}, expected_version
            )

    async def delete(self, caller, key):
        async with self.transaction(caller) as db:
            return await db.fetchval("SELECT ffs_delete('contracts', $1)", key)

    async def restore(self, caller, key):
        async with self.transaction(caller) as db:
            if not await db.fetchval("SELECT ffs_restore('contracts', $1)", key):
                return None
            return dict(await db.fetchrow(GET, key))

    async def history(self, caller, table, key):
        """Of either strategy, with the trace that each change came with."""
        async with self.transaction(caller) as db:
            return [dict(row) for row in await db.fetch(HISTORY, table, key)]

    async def renew(self, caller, key):
        """
        Several statements that decide on what they read: serializable, and
        tried again from here, since ffs_run() runs one statement and gives no rows.
        """

        async def attempt():
            async with self.transaction(caller, isolation="serializable") as db:
                old = await db.fetchrow(
                    f"SELECT {CONTRACT} FROM contracts WHERE id = $1::text::uuid", key
                )
                if old is None:
                    raise Refused("ZF011", "there is no such contract")
                if old["status"] != "open":
                    raise Refused("55000", "only an open contract can be renewed")
                await db.execute("UPDATE contracts SET status = 'closed' WHERE id = $1", old["id"])
                new = await db.fetchrow(
                    "INSERT INTO contracts (customer_id, renews_id, title, status, cents)"
                    f" VALUES ($1, $2, $3, 'open', $4) RETURNING {CONTRACT}",
                    old["customer_id"], old["id"], old["title"], old["cents"],
                )  # fmt: skip
                return dict(new)

        return await retrying(attempt)

    async def transfer(self, caller, from_id, to_id, cents):
        """One statement that gives no rows: the server has the transaction, and tries it again."""
        async with self.acquire() as db:
            await ffs_run(
                db,
                caller,
                "transfer_cents($1, $2, $3)",
                from_id,
                to_id,
                cents,
                isolation="serializable",
            )
