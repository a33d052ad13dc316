"""The data layer on SQLAlchemy (1.4 or 2): the ORM, and ffstorage's functions for what SQL lacks."""

import asyncio
import json
from contextlib import asynccontextmanager

import asyncpg
import sqlalchemy as sa
from sqlalchemy import orm, text
from sqlalchemy.dialects.postgresql import UUID
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm.exc import StaleDataError

from . import pooling
from .errors import Refused, retrying
from .run import ffs_run

Base = orm.declarative_base()


def made(kind, **options):
    """A column that the server fills in an INSERT."""
    return sa.Column(kind, server_default=sa.FetchedValue(), **options)


def stamp(kind, **options):
    """One that ffstorage fills in every write: fetched, never sent."""
    return made(kind, server_onupdate=sa.FetchedValue(), **options)


class Row:
    # All that the server fills comes back by RETURNING, in the same round trip.
    __mapper_args__ = {"eager_defaults": True}

    def as_dict(self):
        return {
            column.key: getattr(self, column.key) for column in sa.inspect(self).mapper.column_attrs
        }


class Customer(Row, Base):
    __tablename__ = "customers"
    id = made(UUID(as_uuid=False), primary_key=True)
    name = sa.Column(sa.Text)
    email = sa.Column(sa.Text)
    updated_at = stamp(sa.DateTime(timezone=True))
    updated_by = stamp(sa.Text)


class Contract(Row, Base):
    """The tenant column is not mapped: ffstorage fills it in, and shows no other tenant's rows."""

    __tablename__ = "contracts"
    id = made(UUID(as_uuid=False), primary_key=True)
    customer_id = sa.Column(UUID(as_uuid=False))
    renews_id = sa.Column(UUID(as_uuid=False))
    title = sa.Column(sa.Text)
    status = sa.Column(sa.Text)
    cents = sa.Column(sa.BigInteger)
    version = stamp(sa.Integer, nullable=False)
    updated_at = stamp(sa.DateTime(timezone=True))
    updated_by = stamp(sa.Text)
    # The server counts; a row that changed since it was loaded is a StaleDataError.
    __mapper_args__ = {
        **Row.__mapper_args__,
        "version_id_col": version,
        "version_id_generator": False,
    }


CONTEXT = text(
    "SELECT ffs_set_tenant(:tenant), ffs_set_actor(:actor, CAST(:metadata AS jsonb)),"
    " set_config('ffstorage.traceparent', :traceparent, true)"
)
CREATE_MANY = text(
    "SELECT * FROM ffs_create_many('contracts', CAST(:rows AS jsonb), on_error => :on_error)"
)
GET = sa.select(Contract).from_statement(
    text("SELECT * FROM ffs_get(NULL::contracts, CAST(:key AS text))")
)
GET_AT = sa.select(Contract).from_statement(
    text(
        "SELECT * FROM ffs_row_at(NULL::contracts, CAST(:as_of AS timestamptz), CAST(:key AS text))"
    )
)
PAGE = """
SELECT id, customer_id, renews_id, title, status, cents, version, updated_at, updated_by
  FROM contracts
 WHERE ($1 IS NULL OR status = $1) AND id > $2
 ORDER BY id LIMIT $3
"""
CACHED = text(
    "SELECT * FROM ffs_cached(:query, NULL,"
    " CAST(:status AS text), CAST(:after AS uuid), CAST(:limit AS integer))"
)
PAGE_AT = sa.select(Contract).from_statement(
    text(
        "SELECT * FROM contracts_as_of(CAST(:as_of AS timestamptz))"
        " WHERE (CAST(:status AS text) IS NULL OR status = CAST(:status AS text))"
        " AND id > CAST(:after AS uuid) ORDER BY id LIMIT CAST(:limit AS integer)"
    )
)
HISTORY = text(
    """
SELECT version, operation, valid_from, valid_to, changed_by, changes, h.metadata, traceparent
  FROM ffs_history(CAST(CAST(:table AS text) AS regclass), CAST(:key AS text)) h
  LEFT JOIN ffs_transactions t USING (transaction_id)
 ORDER BY valid_from, version
"""
)


class Store:
    # What the application has a handler for.
    errors = (
        sa.exc.DBAPIError,
        sa.exc.TimeoutError,
        asyncpg.PostgresError,
        asyncio.TimeoutError,
        OSError,
    )

    def __init__(self, settings):
        self.settings = settings
        self.engine = None
        self.sessions = None

    async def open(self):
        url = self.settings.database_url or "postgresql://"
        pooled = {}
        if self.settings.pgbouncer:
            pooled = {**pooling.SQLALCHEMY, "connection_class": pooling.PooledConnection}
        self.engine = create_async_engine(
            url.replace("postgresql://", "postgresql+asyncpg://", 1),
            pool_size=self.settings.pool_size,
            max_overflow=0,
            pool_timeout=self.settings.pool_timeout,
            connect_args={
                "command_timeout": 15,
                "server_settings": {"application_name": "contracts"},
                **pooled,
            },
        )
        self.sessions = orm.sessionmaker(self.engine, class_=AsyncSession, expire_on_commit=False)

    async def close(self):
        await self.engine.dispose()

    @asynccontextmanager
    async def transaction(self, caller, isolation=None):
        """A transaction of the caller's: its tenant is set before anything else, and final."""
        try:
            async with self.sessions() as session, session.begin():
                if isolation is not None:
                    await session.connection(execution_options={"isolation_level": isolation})
                await session.execute(
                    CONTEXT,
                    {
                        "tenant": caller.tenant,
                        "actor": caller.actor,
                        "metadata": json.dumps(caller.metadata),
                        "traceparent": caller.traceparent,
                    },
                )
                yield session
        except StaleDataError as error:
            raise Refused("ZF010", "the row has changed since it was read") from error

    async def health(self):
        async with self.engine.connect() as db:
            return await db.scalar(text("SELECT ffs_health_status()"))

    # ---- customers ----

    async def create_customer(self, caller, data):
        async with self.transaction(caller) as session:
            return await self.added(session, Customer(**data))

    async def update_customer(self, caller, key, patch):
        async with self.transaction(caller) as session:
            customer = await session.get(Customer, key, with_for_update=True)
            if customer is None:
                raise Refused("ZF011", "there is no such customer")
            return await self.changed(session, customer, patch)

    # ---- contracts ----

    async def create(self, caller, data):
        async with self.transaction(caller) as session:
            return await self.added(session, Contract(**data))

    async def create_many(self, caller, rows, on_error):
        """All of them with 'abort', the good ones with 'report'."""
        async with self.transaction(caller) as session:
            found = await session.execute(
                CREATE_MANY, {"rows": json.dumps(rows), "on_error": on_error}
            )
            return [dict(row) for row in found.mappings()]

    async def get(self, caller, key, as_of=None):
        """From the cache, or as it was at a moment."""
        async with self.transaction(caller) as session:
            if as_of is None:
                contract = await session.scalar(GET, {"key": key})
            else:
                contract = await session.scalar(GET_AT, {"key": key, "as_of": as_of})
            return contract and contract.as_dict()

    async def list(self, caller, status, after, limit, as_of=None):
        """A page; again it comes from the cache, until a contract of this tenant's changes."""
        async with self.transaction(caller) as session:
            if as_of is None:
                params = {"query": PAGE, "status": status, "after": after, "limit": limit}
                return (await session.scalars(CACHED, params)).all()
            params = {"as_of": as_of, "status": status, "after": after, "limit": limit}
            return [contract.as_dict() for contract in await session.scalars(PAGE_AT, params)]

    async def update(self, caller, key, patch, expected_version):
        async with self.transaction(caller) as session:
            contract = await session.get(Contract, key, with_for_update=True)
            if contract is None:
                raise await self.missing(session, key)
            if expected_version not in (None, contract.version):
                raise Refused("ZF010", "the contract has another version by now")
            return await self.changed(session, contract, patch)

    async def delete(self, caller, key):
        async with self.transaction(caller) as session:
            return await session.scalar(
                text("SELECT ffs_delete('contracts', CAST(:key AS text))"), {"key": key}
            )

    async def restore(self, caller, key):
        async with self.transaction(caller) as session:
            restore = text("SELECT ffs_restore('contracts', CAST(:key AS text))")
            if not await session.scalar(restore, {"key": key}):
                return None
            return (await session.scalar(GET, {"key": key})).as_dict()

    async def history(self, caller, table, key):
        """Of either strategy, with the trace that each change came with."""
        async with self.transaction(caller) as session:
            found = await session.execute(HISTORY, {"table": table, "key": key})
            return [dict(row) for row in found.mappings()]

    async def renew(self, caller, key):
        """
        Several statements that decide on what they read: serializable, and
        tried again from here, since ffs_run() runs one statement and gives no rows.
        """

        async def attempt():
            async with self.transaction(caller, isolation="SERIALIZABLE") as session:
                old = await session.get(Contract, key)
                if old is None:
                    raise await self.missing(session, key)
                if old.status != "open":
                    raise Refused("55000", "only an open contract can be renewed")
                old.status = "closed"
                new = Contract(
                    customer_id=old.customer_id,
                    renews_id=old.id,
                    title=old.title,
                    status="open",
                    cents=old.cents,
                )
                return await self.added(session, new)

        return await retrying(attempt)

    async def transfer(self, caller, from_id, to_id, cents):
        """One statement that gives no rows: the server has the transaction, and tries it again."""
        async with self.engine.connect() as connection:
            db = (await connection.get_raw_connection()).driver_connection
            await ffs_run(
                db,
                caller,
                "transfer_cents($1, $2, $3)",
                from_id,
                to_id,
                cents,
                isolation="serializable",
            )

    # ---- what the above share ----

    @staticmethod
    async def added(session, row):
        session.add(row)
        await session.flush()
        return row.as_dict()

    @staticmethod
    async def changed(session, row, patch):
        for name, value in patch.items():
            setattr(row, name, value)
        await session.flush()
        return row.as_dict()

    @staticmethod
    async def missing(session, key):
        """Why a row is not there, as ffs_update() tells it."""
        deleted = text(
            "SELECT EXISTS (SELECT FROM contracts_deleted WHERE id = CAST(:key AS uuid))"
        )
        if await session.scalar(deleted, {"key": key}):
            return Refused("ZF012", "the contract has been deleted")
        return Refused("ZF011", "there is no such contract")
