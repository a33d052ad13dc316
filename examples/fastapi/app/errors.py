"""SQLSTATEs as HTTP: one handler for whatever the data layer raises."""

import asyncio
import logging
import random

from fastapi import Request
from fastapi.responses import JSONResponse

from .context import traceparent_of

log = logging.getLogger("contracts")

# What passes by itself: the whole transaction may be tried again.
TRANSIENT = {"40001", "40P01", "55P03"}

STATUS = {
    # The caller's affair.
    "ZF002": 403,  # tenant_violation
    "ZF004": 401,  # tenant_token_invalid
    "ZF010": 412,  # version_conflict: If-Match did not
    "ZF011": 404,  # row_not_found
    "ZF012": 410,  # row_deleted: it could be restored
    "ZF025": 404,  # as_of_unavailable
    "ZF040": 400,  # unsafe_query
    "ZF041": 400,  # unsafe_identifier
    "ZF050": 422,  # batch_rejected
    "P0002": 404,  # no_data_found, of our own functions
    "23502": 422,  # not_null_violation
    "23514": 422,  # check_violation
    "42501": 403,  # insufficient_privilege
    "42703": 422,  # undefined_column: a batch names its columns, no other query of ours does
    "55000": 409,  # object_not_in_prerequisite_state, of our own
    # A matter of time.
    "ZF030": 504,  # query_timeout
    "ZF031": 503,  # breaker_open
    "ZF032": 429,  # too_many_running: this tenant, not the others
    "ZF033": 503,  # retries_exhausted
    "57014": 504,  # query_canceled: statement_timeout
    "25006": 503,  # read_only_sql_transaction: in the middle of a switchover
    **dict.fromkeys(TRANSIENT, 503),
    # Mistakes of ours, which the caller can do nothing about.
    "ZF001": 500,  # tenant_not_set
    "ZF003": 500,  # tenant_pinned
    "ZF005": 500,  # tenant_column_invalid
    "ZF020": 500,  # not_managed
    "ZF021": 500,  # key_missing
    "ZF022": 500,  # history_read_only
    "ZF023": 500,  # as_of_read_only
    "ZF024": 500,  # history_out_of_step
    "ZF026": 500,  # unsupported_relation
    "ZF027": 500,  # name_taken
    "ZF051": 500,  # cache_unavailable
}
STATUS_OF_CLASS = {
    "08": 503,  # the connection broke
    "22": 422,  # a value that its type does not have
    "23": 409,  # unique, foreign and exclusion keys
    "53": 503,  # out of connections, memory, disk
    "57": 503,  # the server goes down, or comes up
}


class Refused(Exception):
    """What the application itself finds wrong, under the SQLSTATE that the database would use."""

    def __init__(self, sqlstate, message):
        super().__init__(message)
        self.sqlstate = sqlstate


def cause(error):
    """The driver's own exception, from under SQLAlchemy's and its adapter's."""
    adapted = getattr(error, "orig", None)
    return error if adapted is None else adapted.__cause__ or adapted


def sqlstate_of(error):
    return getattr(cause(error), "sqlstate", None)


def status_of(sqlstate):
    if sqlstate is None:
        return 503
    return STATUS.get(sqlstate) or STATUS_OF_CLASS.get(sqlstate[:2], 500)


async def handle(request: Request, error: Exception):
    """Exceptions without an SQLSTATE are of the way to the server: no connection, none free."""
    found = cause(error)
    sqlstate = sqlstate_of(error)
    status = status_of(sqlstate)
    trace = traceparent_of(request)
    body = {"status": status, "sqlstate": sqlstate, "trace": trace or None}
    if status >= 500:
        # Ours to read: messages of these kinds are about the inside.
        log.error("%s %s: %s [%s]", request.method, request.url.path, found, trace, exc_info=error)
        body["title"] = "internal error" if status == 500 else "try again later"
    else:
        body["title"] = found.args[0]
        # Which constraint, for clients that have words of their own for each.
        body["constraint"] = getattr(found, "constraint_name", None)
    headers = {"Retry-After": "1"} if status in (429, 503) else None
    return JSONResponse(body, status, headers, media_type="application/problem+json")


async def retrying(attempt, attempts=5, base_delay=0.02):
    """
    Runs a transaction again after what passes by itself.  Everything that it
    decides on must be read inside of attempt().
    """
    for number in range(1, attempts + 1):
        try:
            return await attempt()
        except Exception as error:
            if sqlstate_of(error) not in TRANSIENT or number == attempts:
                raise
        await asyncio.sleep(random.uniform(0, base_delay * 2**number))
