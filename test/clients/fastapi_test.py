"""The FastAPI example, in this process: both data layers, straight to the server
and through a PgBouncer in transaction mode.  Speaks TAP; the server is that of PG*."""

import asyncio
import contextlib
import logging
import os
import pathlib
import secrets
import subprocess
import sys
import tempfile
import time
import uuid

import httpx
import psycopg
from tap import TENANT_A, TENANT_B, Tap, eq

SOURCES = pathlib.Path(__file__).parents[2]
EXAMPLE = SOURCES / "examples" / "fastapi"
sys.path.insert(0, str(EXAMPLE))

# pylint: disable=wrong-import-position
from app import errors  # noqa: E402
from app.main import create_app  # noqa: E402
from app.settings import Settings  # noqa: E402

DATABASE = "ffs_fastapi"
LAYERS = ["asyncpg", "sqlalchemy"]
NOBODY = str(uuid.uuid4())
tap = Tap()


# ---- the database, PgBouncer, the application ----


def prepare():
    """As the example's page says."""
    with psycopg.connect(autocommit=True) as db:
        db.execute(f"CREATE DATABASE {DATABASE}")
    for file in (EXAMPLE / "schema.sql", SOURCES / "test" / "laws.sql"):
        subprocess.run(
            ["psql", "-X", "-q", "-o", "/dev/null", "-d", DATABASE, "-f", str(file)], check=True
        )


def admin():
    return psycopg.connect(dbname=DATABASE, autocommit=True)


def ask(query, *params):
    """The first row of a superuser's query."""
    with admin() as db:
        return db.execute(query, params).fetchone()


def url(host, port):
    return f"postgresql://contracts_app@/{DATABASE}?host={host}&port={port}"


DIRECT = url(os.environ["PGHOST"], os.environ["PGPORT"])
CONFIG = """
[databases]
{database} = host={host} port={port}
[pgbouncer]
listen_port = 6432
unix_socket_dir = {folder}
auth_type = trust
auth_file = {folder}/users
pool_mode = transaction
default_pool_size = 2
max_client_conn = 100
logfile = {folder}/log
"""


@contextlib.contextmanager
def pgbouncer(program):
    """A PgBouncer before the server, with two connections to it; gives its URL."""
    with tempfile.TemporaryDirectory(prefix="ffs-", dir="/tmp") as folder:
        path = pathlib.Path(folder)
        env = os.environ
        config = CONFIG.format(
            folder=folder, database=DATABASE, host=env["PGHOST"], port=env["PGPORT"]
        )
        (path / "ini").write_text(config, encoding="ascii")
        (path / "users").write_text('"contracts_app" ""\n', encoding="ascii")
        env = {**env, "LD_LIBRARY_PATH": env.get("FFS_PGBOUNCER_LIBRARIES", "")}
        run = [program, "-q", str(path / "ini")]
        with subprocess.Popen(run, env=env, stderr=subprocess.DEVNULL) as process:
            try:
                wait_for(process, path / ".s.PGSQL.6432", path / "log")
                yield url(folder, 6432)
            finally:
                process.terminate()


def wait_for(process, socket, log):
    for _ in range(200):
        if socket.exists():
            return
        if process.poll() is not None:
            break
        time.sleep(0.05)
    raise RuntimeError(log.read_text() if log.exists() else "PgBouncer did not start")


@contextlib.asynccontextmanager
async def running(layer, database_url=DIRECT, **settings):
    """The application, started; gives a client for it."""
    app = create_app(Settings(database_url=database_url, data_layer=layer, **settings))
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://contracts") as http:
            http.store = app.state.store
            yield http


@contextlib.contextmanager
def role_settings(**settings):
    """For connections that the application makes meanwhile."""
    with admin() as db:
        query = "SELECT setconfig FROM pg_db_role_setting WHERE setrole = 'contracts_app'::regrole"
        before = db.execute(query).fetchone()[0]
        for name, value in settings.items():
            db.execute(f"ALTER ROLE contracts_app SET {name.replace('__', '.')} = '{value}'")
        try:
            yield
        finally:
            db.execute("ALTER ROLE contracts_app RESET ALL")
            for line in before:
                name, value = line.split("=", 1)
                # search_path is a list.
                value = value if "," in value else f"'{value}'"
                db.execute(f"ALTER ROLE contracts_app SET {name} = {value}")


def new_trace():
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"


class Api:
    """Requests of one tenant's user."""

    def __init__(self, http, tenant, actor="ana"):
        self.http = http
        self.headers = {"X-Tenant": tenant, "X-Actor": actor}

    async def __call__(self, method, path, json=None, **headers):
        """Header names with _ for -; the response, which must be JSON or empty."""
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.http.request(method, path, json=json, headers={**self.headers, **names})

    async def ok(self, method, path, json=None, status=200, **headers):
        answer = await self(method, path, json, **headers)
        if answer.status_code != status:
            raise AssertionError(
                f"{method} {path}: {answer.status_code} {answer.text}, expected {status}"
            )
        return answer.json() if answer.content else None

    async def fails(self, status, sqlstate, method, path, json=None, **headers):
        answer = await self(method, path, json, **headers)
        eq((answer.status_code, answer.json().get("sqlstate")), (status, sqlstate))
        if sqlstate is not None:
            eq(answer.headers["content-type"], "application/problem+json")
        return answer

    async def customer(self, **values):
        return (await self.ok("POST", "/customers", {"name": "Acme", **values}, 201))["id"]

    async def contract(self, **values):
        values = {"title": "Lease", **values}
        if "customer_id" not in values:
            values["customer_id"] = await self.customer()
        return await self.ok("POST", "/contracts", values, 201)


def fresh(http):
    """A tenant that nothing is there of."""
    return Api(http, str(uuid.uuid4()))


# ---- what the application does ----


async def probes(http):
    answer = await http.get("/health/live")
    eq((answer.status_code, answer.json()), (200, {"status": "alive"}))
    answer = await http.get("/health/ready")
    word = ask("SELECT ffs_health_status()")[0]
    eq((answer.status_code, answer.json()), (200, {"status": word}))


async def customers(http):
    api = fresh(http)
    email = "info@acme.example"
    key = await api.customer(email=email)
    answer = await api.fails(409, "23505", "POST", "/customers", {"name": "Again", "email": email})
    eq(answer.json()["constraint"], "customer_email_once")
    await fresh(http).customer(email=email)
    answer = await api.fails(422, "23514", "POST", "/customers", {"name": ""})
    eq(answer.json()["constraint"], "customer_has_a_name")
    changed = await api.ok(
        "PATCH", f"/customers/{key}", {"email": None, "name": "Acme Ltd"}, X_Actor="bo"
    )
    eq((changed["name"], changed["email"], changed["updated_by"]), ("Acme Ltd", None, "bo"))
    await api.fails(404, "ZF011", "PATCH", f"/customers/{NOBODY}", {"name": "x"})


async def contracts(http):
    api = fresh(http)
    made = await api.contract(cents=700)
    path = f"/contracts/{made['id']}"
    eq(
        (made["version"], made["status"], made["cents"], made["updated_by"]),
        (1, "draft", 700, "ana"),
    )
    answer = await api("GET", path)
    eq((answer.json(), answer.headers["etag"]), (made, '"1"'))

    changed = await api.ok("PATCH", path, {"cents": 800}, If_Match='"1"')
    eq((changed["version"], changed["cents"], changed["title"]), (2, 800, "Lease"))
    await api.fails(412, "ZF010", "PATCH", path, {"cents": 900}, If_Match='"1"')
    eq((await api("PATCH", path, {"cents": 900}, If_Match='"W"')).status_code, 412)
    # What changes nothing is no version.
    eq((await api.ok("PATCH", path, {"cents": 800}))["version"], 2)
    eq((await api.ok("GET", path))["cents"], 800)

    await api.ok("DELETE", path, status=204)
    await api.fails(404, "ZF011", "GET", path)
    await api.fails(404, "ZF011", "DELETE", path)
    await api.fails(410, "ZF012", "PATCH", path, {"cents": 1})
    back = await api.ok("POST", f"{path}/restore")
    eq((back["cents"], back["version"]), (800, 3))
    await api.fails(404, "ZF011", "POST", f"{path}/restore")
    await api.fails(404, "ZF011", "PATCH", f"/contracts/{NOBODY}", {"cents": 1})


async def lost_update(http):
    """The ORM's own check: a row that changed after it was loaded."""
    api = fresh(http)
    path = f"/contracts/{(await api.contract())['id']}"
    store = http.store
    if not hasattr(store, "engine"):
        # Without an ORM the check is ffs_update()'s; both at once, one wins.
        answers = await asyncio.gather(
            *(api("PATCH", path, {"cents": n}, If_Match='"1"') for n in (5, 6))
        )
        eq(sorted(answer.status_code for answer in answers), [200, 412])
        return
    from app.context import Caller  # pylint: disable=import-outside-toplevel
    from app.store_sqlalchemy import Contract  # pylint: disable=import-outside-toplevel

    caller = Caller(api.headers["X-Tenant"], "ana", {}, "")
    try:
        async with store.transaction(caller) as session:
            contract = await session.get(Contract, path.rsplit("/", 1)[1])
            await api.ok("PATCH", path, {"cents": 5})
            contract.cents = 6
        raise AssertionError("changed what had changed meanwhile")
    except errors.Refused as error:
        eq(error.sqlstate, "ZF010")
    eq((await api.ok("GET", path))["cents"], 5)


async def batch(http):
    api = fresh(http)
    customer = await api.customer()
    foreign = await fresh(http).customer()
    good = {"customer_id": customer, "title": "good"}
    rows = [
        good,
        {**good, "cents": -1},
        {**good, "title": None},
        {**good, "cents": "many"},
        {**good, "customer_id": foreign},
        {**good, "tenant_id": TENANT_B},
        {**good, "colour": "red"},
        {**good, "title": "\0"},
        {**good, "version": 99, "created_by": "x"},
    ]
    # A NUL is no text in jsonb: the call as a whole is refused.
    answer = await api("POST", "/contracts/batch", rows[:7] + rows[8:])
    eq(answer.status_code, 207)
    states = [(row["row_number"], row["action"], row["sqlstate"]) for row in answer.json()]
    eq(
        states,
        [
            (1, "inserted", None),
            (2, "rejected", "23514"),
            (3, "rejected", "23502"),
            (4, "rejected", "22P02"),
            (5, "rejected", "23503"),
            (6, "rejected", "ZF002"),
            (7, "rejected", "42703"),
            (8, "inserted", None),
        ],
    )
    keys = {row["key"]["id"] for row in answer.json() if row["action"] == "inserted"}
    listed = await api.ok("GET", "/contracts")
    eq({row["id"] for row in listed}, keys)
    eq({(row["version"], row["updated_by"]) for row in listed}, {(1, "ana")})

    for row, status, sqlstate in [
        (rows[1], 422, "23514"),
        (rows[2], 422, "23502"),
        (rows[3], 422, "22P02"),
        (rows[4], 409, "23503"),
        (rows[5], 403, "ZF002"),
        (rows[6], 422, "42703"),
        (rows[7], 422, "22P05"),
    ]:
        await api.fails(status, sqlstate, "POST", "/contracts/batch?on_error=abort", [good, row])
    eq(len(await api.ok("GET", "/contracts")), 2)
    made = await api.ok("POST", "/contracts/batch?on_error=abort", [good] * 300, 201)
    eq(len(made), 300)
    eq((await api("POST", "/contracts/batch", [{}] * 10_001)).status_code, 413)


async def cached(http):
    api = fresh(http)
    made = [await api.contract(status=status) for status in ("open", "draft", "open")]
    opened = sorted((row for row in made if row["status"] == "open"), key=lambda row: row["id"])

    figures = "SELECT hits, result_hits FROM ffs_stat_cache"
    path = f"/contracts/{made[0]['id']}"
    await api.ok("GET", path)
    eq(await api.ok("GET", "/contracts?status=open"), opened)
    hits, results = ask(figures)
    for _ in range(5):
        eq(await api.ok("GET", path), made[0])
        eq(await api.ok("GET", "/contracts?status=open"), opened)
    after = ask(figures)
    eq((after[0] - hits >= 5, after[1] - results >= 5), (True, True))

    # Another tenant has a page of its own; a change is seen at once.
    eq(await fresh(http).ok("GET", "/contracts?status=open"), [])
    await api.ok("PATCH", path, {"status": "closed"})
    left = [row for row in opened if row["id"] != made[0]["id"]]
    eq(await api.ok("GET", "/contracts?status=open"), left)
    eq((await api.ok("GET", path))["status"], "closed")

    everything = sorted(row["id"] for row in made)
    first = await api.ok("GET", "/contracts?limit=2")
    rest = await api.ok("GET", f"/contracts?limit=2&after={first[-1]['id']}")
    eq([row["id"] for row in first + rest], everything)


async def past(http):
    api = fresh(http)
    made = await api.contract(cents=1)
    path = f"/contracts/{made['id']}"
    before = ask(
        "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US')"
    )[0]
    await api.ok("PATCH", path, {"cents": 2}, X_Actor="bo")
    await api.ok("DELETE", path, status=204)
    for moment in (before, f"{before}Z"):
        eq(await api.ok("GET", f"{path}?as_of={moment}"), made)
        eq(await api.ok("GET", f"/contracts?as_of={moment}"), [made])
    eq(await api.ok("GET", f"/contracts?status=open&as_of={before}"), [])
    eq(await api.ok("GET", "/contracts"), [])
    await api.fails(404, "ZF011", "GET", f"{path}?as_of=2001-01-01T00:00:00Z")
    await api.ok("POST", f"{path}/restore")

    lines = await api.ok("GET", f"{path}/history")
    eq([line["operation"] for line in lines], ["insert", "update", "delete", "restore"])
    eq([line["changed_by"] for line in lines], ["ana", "bo", "ana", "ana"])
    eq(lines[1]["changes"], {"cents": {"old": 1, "new": 2}})
    eq(lines[1]["metadata"], {"request": f"PATCH {path}"})
    eq(lines[3]["valid_to"], None)
    await api.fails(404, "ZF011", "GET", f"/contracts/{NOBODY}/history")


async def trace(http):
    api = fresh(http)
    traces = [new_trace() for _ in range(4)]
    customer = await api.ok("POST", "/customers", {"name": "A"}, 201, traceparent=traces[0])
    await api.ok("PATCH", f"/customers/{customer['id']}", {"name": "B"}, traceparent=traces[1])
    lines = await api.ok("GET", f"/customers/{customer['id']}/audit")
    found = [(line["operation"], line["traceparent"]) for line in lines]
    eq(found, [("insert", traces[0]), ("update", traces[1])])
    eq(lines[1]["changes"], {"name": {"old": "A", "new": "B"}})

    made = [await api.contract(customer_id=customer["id"], cents=5) for _ in range(2)]
    keys = [row["id"] for row in made]
    body = {"from_id": keys[0], "to_id": keys[1], "cents": 2}
    await api.ok("POST", "/transfers", body, 204, traceparent=traces[2])
    # One that is malformed is none, and one request's does not stay for the next.
    await api.ok(
        "PATCH", f"/contracts/{keys[0]}", {"cents": 9}, traceparent="00-" + "0" * 32 + "-1-01"
    )
    await api.ok("PATCH", f"/contracts/{keys[0]}", {"cents": 8})
    lines = await api.ok("GET", f"/contracts/{keys[0]}/history")
    eq([line["traceparent"] for line in lines], [None, traces[2], None, None])
    eq(lines[1]["changed_by"], "ana")

    answer = await api.fails(404, "ZF011", "GET", f"/contracts/{NOBODY}", traceparent=traces[3])
    eq(answer.json()["trace"], traces[3])


async def wrong_tenant(http):
    api, other = fresh(http), fresh(http)
    customer = await api.customer()
    made = await api.contract(customer_id=customer, status="open", cents=5)
    own = await other.contract()
    path = f"/contracts/{made['id']}"
    for method, where, body in [
        ("GET", path, None),
        ("GET", f"{path}?as_of=2100-01-01T00:00:00Z", None),
        ("GET", f"{path}/history", None),
        ("GET", f"/customers/{customer}/audit", None),
        ("PATCH", path, {"cents": 0}),
        ("PATCH", f"/customers/{customer}", {"name": "taken"}),
        ("DELETE", path, None),
        ("POST", f"{path}/renew", None),
    ]:
        await other.fails(404, "ZF011", method, where, body)
    body = {"from_id": made["id"], "to_id": own["id"], "cents": 1}
    await other.fails(404, "P0002", "POST", "/transfers", body)
    await other.fails(409, "23503", "POST", "/contracts", {"customer_id": customer, "title": "x"})
    eq([row["id"] for row in await other.ok("GET", "/contracts")], [own["id"]])
    eq(
        [row["id"] for row in await other.ok("GET", "/contracts?as_of=2100-01-01T00:00:00Z")],
        [own["id"]],
    )
    await api.ok("DELETE", path, status=204)
    await other.fails(404, "ZF011", "POST", f"{path}/restore")
    await other.fails(404, "ZF011", "PATCH", path, {"cents": 0})
    eq((await api.ok("POST", f"{path}/restore"))["cents"], 5)

    eq((await http.get(path)).status_code, 401)
    eq((await http.get(path, headers={"X-Tenant": TENANT_A})).status_code, 401)
    eq((await http.get(path, headers={"X-Tenant": "acme", "X-Actor": "ana"})).status_code, 422)


async def transfers(http):
    api = fresh(http)
    customer = await api.customer()
    keys = [(await api.contract(customer_id=customer, cents=1000))["id"] for _ in range(2)]

    def move(n, cents):
        return api(
            "POST", "/transfers", {"from_id": keys[n % 2], "to_id": keys[1 - n % 2], "cents": cents}
        )

    answers = await asyncio.gather(*(move(n, 1 + n) for n in range(24)))
    # Under SERIALIZABLE some may lose every attempt: then they say so, and are not done.
    eq({answer.status_code for answer in answers} - {204, 503}, set())
    done = [n for n, answer in enumerate(answers) if answer.status_code == 204]
    eq(len(done) > 0, True)
    moved = sum((1 + n) * (-1 if n % 2 == 0 else 1) for n in done)
    found = [(await api.ok("GET", f"/contracts/{key}"))["cents"] for key in keys]
    eq(found, [1000 + moved, 1000 - moved])

    answer = await move(0, 10**6)
    eq((answer.status_code, answer.json()["constraint"]), (422, "contract_cents"))
    body = {"from_id": keys[0], "to_id": NOBODY, "cents": 1}
    await api.fails(404, "P0002", "POST", "/transfers", body)
    eq([(await api.ok("GET", f"/contracts/{key}"))["cents"] for key in keys], found)


async def renewals(http):
    """Tried again by the application: one wins, the others then find the contract closed."""
    api = fresh(http)
    made = await api.contract(status="open", cents=3, title="it's \\ 'quoted'")
    path = f"/contracts/{made['id']}"
    answers = await asyncio.gather(*(api("POST", f"{path}/renew") for _ in range(6)))
    eq(sorted(answer.status_code for answer in answers), [201] + [409] * 5)
    new = next(answer.json() for answer in answers if answer.status_code == 201)
    eq(
        (new["renews_id"], new["status"], new["cents"], new["title"]),
        (made["id"], "open", 3, made["title"]),
    )
    eq((await api.ok("GET", path))["status"], "closed")
    await api.fails(404, "ZF011", "POST", f"/contracts/{NOBODY}/renew")


async def two_tenants(http):
    """On one pool, at once, some of them cancelled: nobody meets what is another's."""
    apis = [fresh(http), fresh(http)]
    homes = [await api.customer(name=f"of {n}") for n, api in enumerate(apis)]

    async def user(number):
        tenant = number % 2
        api = apis[tenant]
        for n in range(10):
            title = f"of {tenant}"
            made = await api.contract(customer_id=homes[tenant], title=title)
            eq((await api.ok("GET", f"/contracts/{made['id']}"))["title"], title)
            await apis[1 - tenant].fails(404, "ZF011", "GET", f"/contracts/{made['id']}")
            eq({row["title"] for row in await api.ok("GET", "/contracts?limit=500")}, {title})
            # One that goes away in the middle of something.
            task = asyncio.ensure_future(api("PATCH", f"/contracts/{made['id']}", {"cents": n}))
            await asyncio.sleep(0.001 * n)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    await asyncio.gather(*(user(number) for number in range(6)))
    for api, home in zip(apis, homes):
        eq({row["customer_id"] for row in await api.ok("GET", "/contracts?limit=500")}, {home})


CASES = [
    probes,
    customers,
    contracts,
    lost_update,
    batch,
    cached,
    past,
    trace,
    wrong_tenant,
    transfers,
    renewals,
    two_tenants,
]


# ---- what goes wrong ----

logged = []


class Keep(logging.Handler):
    """What the application's log would say."""

    def emit(self, record):
        logged.append(record.getMessage())


@contextlib.contextmanager
def locked(table):
    with admin() as db:
        db.execute("BEGIN")
        db.execute(f"LOCK TABLE contracts.{table}")
        yield
        db.execute("ROLLBACK")


async def meets(layer, status, sqlstate, table="customers", count=1, **settings):
    """A batch that waits for a lock, under settings of the role: what the last of so many gets."""
    with role_settings(**settings):
        async with running(layer, pool_size=4) as http:
            api = fresh(http)
            customer = await api.customer()
            body = [{"customer_id": customer, "title": "x"}]
            with locked(table):
                waiting = []
                for _ in range(count - 1):
                    waiting.append(
                        asyncio.ensure_future(api("POST", "/contracts/batch?on_error=abort", body))
                    )
                    await asyncio.sleep(0.3)
                trace_id = new_trace()
                answer = await api.fails(
                    status,
                    sqlstate,
                    "POST",
                    "/contracts/batch?on_error=abort",
                    body,
                    traceparent=trace_id,
                )
                eq(answer.headers.get("retry-after"), "1" if status in (429, 503) else None)
                eq(any(trace_id in line for line in logged), status >= 500)
            await asyncio.gather(*waiting)
            return answer


async def mapping(layer):
    """Each error of ours has a status that was chosen for it."""
    del layer
    with admin() as db:
        ours = [row[0] for row in db.execute("SELECT sqlstate FROM ffs_errors")]
    eq(len(ours) > 20, True)
    eq([sqlstate for sqlstate in ours if sqlstate not in errors.STATUS], [])


async def time_is_up(layer):
    await meets(layer, 504, "ZF030", ffstorage__query_timeout="200ms")
    await meets(layer, 504, "57014", statement_timeout="200ms")
    answer = await meets(layer, 503, "55P03", lock_timeout="200ms")
    eq(answer.json()["title"], "try again later")


async def too_many(layer):
    limits = {"ffstorage__max_running_per_tenant": 1, "ffstorage__admission_timeout": "100ms"}
    await meets(layer, 429, "ZF032", count=2, **limits)


async def mistakes(layer):
    """Of ours: the caller is told nothing of the inside."""
    with role_settings(search_path="public"):
        async with running(layer) as http:
            answer = await fresh(http).fails(500, "42704", "GET", f"/contracts/{NOBODY}")
            eq(answer.json()["title"], "internal error")


async def no_server(layer):
    async with running(layer, url("/nowhere", 1)) as http:
        eq((await http.get("/health/live")).status_code, 200)
        answer = await http.get("/health/ready")
        eq((answer.status_code, answer.headers["retry-after"]), (503, "1"))
        await fresh(http).fails(503, None, "GET", "/contracts")


async def no_connection_free(layer):
    async with running(layer, pool_size=1, pool_timeout=0.3) as http:
        api = fresh(http)
        customer = await api.customer()
        with locked("customers"):
            task = asyncio.ensure_future(
                api("POST", "/contracts", {"customer_id": customer, "title": "x"})
            )
            await asyncio.sleep(0.1)
            eq((await api("GET", "/contracts")).status_code, 503)
        eq((await task).status_code, 201)
        eq(len(await api.ok("GET", "/contracts")), 1)


async def server_goes_away(layer):
    """Connections that were lost are 503 at most, and then made anew."""
    async with running(layer, pool_size=2) as http:
        api = fresh(http)
        await api.contract()
        with admin() as db:
            db.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE usename = 'contracts_app'"
            )
        answers = [(await api("GET", "/contracts")).status_code for _ in range(4)]
        eq((set(answers) - {200, 503}, answers[-1]), (set(), 200))


async def unready(layer):
    async with running(layer, unready_when=("healthy", "degraded", "unhealthy")) as http:
        eq((await http.get("/health/ready")).status_code, 503)


async def slow(layer):
    """A trace is found again among slow operations, with its tenant and actor; of failures too."""
    with role_settings(ffstorage__slow_operation="0"):
        async with running(layer) as http:
            api = fresh(http)
            done, failed = new_trace(), new_trace()
            row = {"customer_id": await api.customer(), "title": "x"}
            await api.ok("POST", "/contracts/batch", [row], 201, traceparent=done)
            row["customer_id"] = NOBODY
            await api.fails(
                409, "23503", "POST", "/contracts/batch?on_error=abort", [row], traceparent=failed
            )
            for traceparent, sqlstate in ((done, None), (failed, "23503")):
                found = ask(
                    "SELECT tenant, actor, sqlstate, application_name FROM ffs_slow_operations"
                    " WHERE traceparent = %s AND operation = 'ffs_create_many'",
                    traceparent,
                )
                eq(found, (api.headers["X-Tenant"], "ana", sqlstate, "contracts"))


TROUBLE = [
    mapping,
    time_is_up,
    too_many,
    mistakes,
    no_server,
    no_connection_free,
    server_goes_away,
    unready,
    slow,
]


def nothing_left(pooled):
    """On either of the pooler's two connections: no statement, no tenant, no trace."""
    with psycopg.connect(pooled, prepare_threshold=None) as one:
        with psycopg.connect(pooled, prepare_threshold=None) as two:
            found = [
                db.execute(
                    "SELECT count(*), ffs_tenant(), current_setting('ffstorage.traceparent')"
                    " FROM pg_prepared_statements"
                ).fetchone()
                for db in (one, two)
            ]
            pids = {db.execute("SELECT pg_backend_pid()").fetchone()[0] for db in (one, two)}
    eq((found, len(pids)), ([(0, None, "")] * 2, 2))


async def each(label, http):
    for case in CASES:
        with tap.case(f"{label}, {case.__name__}"):
            await case(http)


async def all_at_once(http):
    """Connections that are made while others work, and a trace for each request."""
    api = fresh(http)
    await api.contract()
    requests = (api("GET", "/contracts", traceparent=new_trace()) for _ in range(60))
    answers = await asyncio.gather(*requests)
    eq([answer.text for answer in answers if answer.status_code != 200], [])


async def through_pgbouncer(program):
    with pgbouncer(program) as pooled:
        for layer in LAYERS:
            behind = {"pool_timeout": 30, "pgbouncer": True}
            async with running(layer, pooled, pool_size=6, **behind) as http:
                await each(f"{layer} through PgBouncer", http)
            with tap.case(f"{layer} through PgBouncer, all at once, and nothing stays there"):
                async with running(layer, pooled, pool_size=20, **behind) as http:
                    await all_at_once(http)
                    nothing_left(pooled)


async def main():
    logger = logging.getLogger("contracts")
    logger.addHandler(Keep())
    logger.propagate = False
    prepare()
    for layer in LAYERS:
        async with running(layer, pool_size=3, pool_timeout=30) as http:
            await each(layer, http)
        for case in TROUBLE:
            with tap.case(f"{layer}, {case.__name__}"):
                await case(layer)
    program = os.environ.get("FFS_PGBOUNCER", "")
    if program:
        await through_pgbouncer(program)
    else:
        tap.skip(
            "through PgBouncer",
            os.environ.get("FFS_NO_PGBOUNCER", "FFS_PGBOUNCER names no pgbouncer"),
        )
    with tap.case("laws, at the end"):
        with admin() as db:
            db.execute("SET search_path = contracts, public")
            broken = db.execute("SELECT laws_all()").fetchall()
        eq(broken, [])
    tap.done()


asyncio.run(main())
