"""
asyncpg behind a PgBouncer in transaction mode that is older than 1.21, or has
max_prepared_statements = 0.

What a client sends between two transactions may reach two servers, so nothing may
be kept in a session, and no statement be prepared in one message and run in
another outside of a transaction.  The stores keep to that; this is the rest.
"""

import asyncpg

# With PooledConnection; SQLAlchemy's own cache of statements is off as well.
ASYNCPG = {"statement_cache_size": 0}
SQLALCHEMY = {**ASYNCPG, "prepared_statement_cache_size": 0}


class PooledConnection(asyncpg.Connection):
    """
    A statement that is prepared has no name on the server: SQLAlchemy prepares
    each by name, asyncpg's names come twice where there are several
    processes, and what one server keeps another is asked to close.  (Newer
    versions of asyncpg do so by themselves where there is no cache.)
    """

    def _get_unique_id(self, prefix):
        return "" if prefix == "stmt" else super()._get_unique_id(prefix)

    def _maybe_gc_stmt(self, stmt):
        # Without a name there is nothing to close but the one that came after it.
        if stmt.name:
            super()._maybe_gc_stmt(stmt)

    def get_reset_query(self):
        # Nothing was set, and another server would be told.
        return ""

    _get_reset_query = get_reset_query  # as it was called before asyncpg 0.30
