"""
The application: uvicorn --factory app.main:create_app

Transactions begin and end inside of the endpoints' calls to the store, so that
an error of COMMIT is an error of the request.  (With a dependency that yields, it
depends on FastAPI's version whether the response is sent before the commit.)
"""

from contextlib import asynccontextmanager
from datetime import datetime, timezone
from importlib import import_module
from typing import Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, FastAPI, Header, HTTPException, Query, Request, Response
from fastapi.encoders import jsonable_encoder

from . import models
from .context import Caller, caller
from .errors import Refused, handle
from .settings import Settings

MOST_ROWS = 10_000
router = APIRouter()


def store(request: Request):
    return request.app.state.store


def moment(as_of: datetime | None = Query(default=None)) -> datetime | None:
    """?as_of=2026-11-01T00:00:00Z; without a zone it is UTC."""
    return as_of.replace(tzinfo=timezone.utc) if as_of and as_of.tzinfo is None else as_of


def expected_version(if_match: str | None = Header(default=None)) -> int | None:
    """The ETag of a contract is its version."""
    if if_match is None or if_match == "*":
        return None
    tag = if_match.strip('"')
    if not tag.isascii() or not tag.isdecimal() or len(tag) > 9:
        raise HTTPException(412, "there is no such version")
    return int(tag)


def found(contract, response: Response):
    if contract is None:
        raise Refused("ZF011", "there is no such contract")
    response.headers["ETag"] = f'"{contract["version"]}"'
    return contract


def sent(body) -> dict[str, Any]:
    """The members that the client sent, as JSON has them."""
    return jsonable_encoder(body, exclude_unset=True)


# ---- probes ----


@router.get("/health/live")
async def live():
    """The process answers.  Whether the database does is no reason to restart it."""
    return {"status": "alive"}


@router.get("/health/ready")
async def ready(response: Response, db=Depends(store)):
    """What ffstorage makes of itself and of the server; no connection is 503 as everywhere."""
    status = await db.health()
    response.status_code = 503 if status in db.settings.unready_when else 200
    return {"status": status}


# ---- customers: every change, field by field ----


@router.post("/customers", status_code=201, response_model=models.Customer)
async def create_customer(
    body: models.NewCustomer, db=Depends(store), who: Caller = Depends(caller)
):
    return await db.create_customer(who, jsonable_encoder(body))


@router.patch("/customers/{key}", response_model=models.Customer)
async def update_customer(
    key: UUID, body: models.CustomerPatch, db=Depends(store), who: Caller = Depends(caller)
):
    return await db.update_customer(who, str(key), sent(body))


@router.get("/customers/{key}/audit", response_model=list[models.Change])
async def audit(key: UUID, db=Depends(store), who: Caller = Depends(caller)):
    return await changes(db, who, "customers", key)


# ---- contracts: every version ----


@router.post("/contracts", status_code=201, response_model=models.Contract)
async def create(
    body: models.NewContract, response: Response, db=Depends(store), who: Caller = Depends(caller)
):
    return found(await db.create(who, jsonable_encoder(body)), response)


@router.post("/contracts/batch", status_code=201, response_model=list[models.RowResult])
async def create_many(
    rows: list[dict[str, Any]],
    response: Response,
    on_error: Literal["report", "abort"] = "report",
    db=Depends(store),
    who: Caller = Depends(caller),
):
    """The database judges each row: 201 if all are in, 207 if some are not, and why."""
    if len(rows) > MOST_ROWS:
        raise HTTPException(413, f"at most {MOST_ROWS} rows at a time")
    results = await db.create_many(who, rows, on_error)
    if any(result["action"] == "rejected" for result in results):
        response.status_code = 207
    return results


@router.get("/contracts", response_model=list[models.Contract])
async def list_contracts(
    status: models.Status | None = None,
    after: UUID = UUID(int=0),
    limit: int = Query(default=50, ge=1, le=500),
    as_of: datetime | None = Depends(moment),
    db=Depends(store),
    who: Caller = Depends(caller),
):
    """Pages by key: ask for those after the last id of the page before."""
    return await db.list(who, status, str(after), limit, as_of)


@router.get("/contracts/{key}", response_model=models.Contract)
async def get(
    key: UUID,
    response: Response,
    as_of: datetime | None = Depends(moment),
    db=Depends(store),
    who: Caller = Depends(caller),
):
    return found(await db.get(who, str(key), as_of), response)


@router.patch("/contracts/{key}", response_model=models.Contract)
async def update(
    key: UUID,
    body: models.ContractPatch,
    response: Response,
    version: int | None = Depends(expected_version),
    db=Depends(store),
    who: Caller = Depends(caller),
):
    return found(await db.update(who, str(key), sent(body), version), response)


@router.delete("/contracts/{key}", status_code=204)
async def delete(key: UUID, db=Depends(store), who: Caller = Depends(caller)):
    if not await db.delete(who, str(key)):
        raise Refused("ZF011", "there is no such contract")
    return Response(status_code=204)


@router.post("/contracts/{key}/restore", response_model=models.Contract)
async def restore(key: UUID, response: Response, db=Depends(store), who: Caller = Depends(caller)):
    return found(await db.restore(who, str(key)), response)


@router.get("/contracts/{key}/history", response_model=list[models.Change])
async def history(key: UUID, db=Depends(store), who: Caller = Depends(caller)):
    return await changes(db, who, "contracts", key)


@router.post("/contracts/{key}/renew", status_code=201, response_model=models.Contract)
async def renew(key: UUID, response: Response, db=Depends(store), who: Caller = Depends(caller)):
    return found(await db.renew(who, str(key)), response)


@router.post("/transfers", status_code=204)
async def transfer(body: models.Transfer, db=Depends(store), who: Caller = Depends(caller)):
    await db.transfer(who, str(body.from_id), str(body.to_id), body.cents)
    return Response(status_code=204)


async def changes(db, who, table, key):
    lines = await db.history(who, table, str(key))
    if not lines:
        raise Refused("ZF011", "there is no such row")
    return lines


# ---- the application ----


def create_app(settings: Settings | None = None) -> FastAPI:
    settings = settings or Settings.from_environment()
    # Only the data layer that is asked for has to be installed.
    data = import_module(f".store_{settings.data_layer}", __package__).Store(settings)

    @asynccontextmanager
    async def lifespan(_):
        await data.open()
        try:
            yield
        finally:
            await data.close()

    app = FastAPI(title="Contracts")
    app.router.lifespan_context = lifespan  # FastAPI(lifespan=…) from 0.93 on
    app.state.store = data
    app.include_router(router)
    for kind in (Refused, *data.errors):
        app.add_exception_handler(kind, handle)
    return app
