"""ffs_run() from asyncpg, in a form that goes through every pooler."""

import json

# The server quotes what goes into the text.
CALL = """
SELECT format('CALL ffs_run(%L, %L, isolation => %L, tenant => %L, actor => %L, metadata => %L)',
              $1::text, $2::text, $3::text, $4::text, $5::text, $6::text)
"""


async def ffs_run(db, caller, statement, *params, isolation="read committed"):
    """
    Runs a statement in a transaction that the server itself tries again.  The
    call stands alone, outside of a transaction; as a plain text without
    parameters it is one message, which no pooler can tear apart.

    The trace goes in as the parameter after the statement's own: ffs_run() has
    no word for it.
    """
    statement = f"SELECT set_config('ffstorage.traceparent', ${len(params) + 1}, true), {statement}"
    async with db.transaction():
        call = await db.fetchval(
            CALL,
            statement, json.dumps([*params, caller.traceparent]), isolation,
            caller.tenant, caller.actor, json.dumps(caller.metadata),
        )  # fmt: skip
    await db.execute(call)
