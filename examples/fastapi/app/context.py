"""Who asks, for which tenant, and as part of which trace: what ffstorage is told of a request."""

import re
from dataclasses import dataclass
from uuid import UUID

from fastapi import Header, HTTPException, Request

# W3C trace context: version, trace id, parent id, flags; ids that are all zeros are none.
TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
)


def traceparent_of(request: Request) -> str:
    """The request's trace context; nothing where there is none, or one that is malformed."""
    header = request.headers.get("traceparent", "")
    return header if TRACEPARENT.fullmatch(header) else ""


@dataclass(frozen=True)
class Caller:
    tenant: str
    actor: str
    metadata: dict
    traceparent: str


def caller(
    request: Request,
    x_tenant: UUID | None = Header(default=None),
    x_actor: str | None = Header(default=None),
) -> Caller:
    """
    The two headers stand for your authentication: take tenant and actor from
    what it has verified (a token's claims), never from what a client may write.
    """
    if x_tenant is None or not x_actor:
        raise HTTPException(401, "who asks, and for which tenant?")
    metadata = {"request": f"{request.method} {request.url.path}"}
    return Caller(str(x_tenant), x_actor, metadata, traceparent_of(request))
