"""Canaries: words that exist nowhere else go through every path of the service, as processes of
their own that log all they can. None may be found in a log line, a figure, anything said to
Redis (keys, values, arguments of arq's jobs: every command is recorded) or an answer that refuses.
"""

import asyncio
import os
import re
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis.asyncio

from app.demo import http_clients
from app.resources import Resources
from app.settings import Settings
from tests import forks, makers
from tests.makers import CREDENTIALS, Tenant
from tests.processes import end, finish
from tests.web.people import PASSWORD, add_person, browser
from tests.world import AgentDouble, Carrier, World, furnished, until

WORD = "xyzzy"
EMAIL = f"{WORD}.mail@example.com"
TROUBLED = ["0001", "0002", "0003", "0004", "0006", "0012", "0013", "0014", "0025", "0026"]
"""Endings that trouble the simulated carrier, each in its own way."""


@dataclass(slots=True)
class Watched:
    """A web process and a worker, and all that they say to anybody but the database."""

    http: httpx.AsyncClient
    logs: dict[str, Path]
    figures: dict[str, str]
    redis_said: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    """Every answer of an error, with its headers."""

    async def keep(self, response: httpx.Response) -> None:
        await response.aread()
        if response.is_error:
            self.refused.append(f"{response.headers} {response.text}")

    async def all(self) -> dict[str, str]:
        """Everything said so far, by where."""
        said = {name: file.read_text() for name, file in self.logs.items()}
        async with http_clients.build_client() as http:
            for name, url in self.figures.items():
                said[f"figures of {name}"] = (await http.get(url)).text
        said["redis"] = "\n".join(self.redis_said)
        said["refusals"] = "\n".join(self.refused)
        return said


@asynccontextmanager
async def _process(name: str, env: dict[str, str], log: Path) -> AsyncIterator[None]:
    with log.open("wb") as out:
        process = await forks.start([name], env, out.fileno(), out.fileno())
    try:
        yield
    finally:
        await end(process)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


async def _listen(client: Any, said: list[str], ready: asyncio.Event) -> None:
    async with client.monitor() as monitor:
        ready.set()
        async for command in monitor.listen():
            said.append(command["command"])


@pytest.fixture
async def watched(configuration: Settings, resources: Resources, tmp_path: Path) -> AsyncIterator[Watched]:
    web_port, worker_port = _free_port(), _free_port()
    base = f"http://127.0.0.1:{web_port}"
    assert configuration.database_url
    assert configuration.redis_url
    assert configuration.secret_keys
    env = os.environ | {
        "DATABASE_URL": configuration.database_url,
        "REDIS_URL": configuration.redis_url,
        "SECRET_KEYS": configuration.secret_keys.get_secret_value(),
        "PORT": str(web_port),
        "PUBLIC_BASE_URL": base,
        "METRICS_PORT": str(worker_port),
        "ALLOWED_PRIVATE_NETWORKS": "127.0.0.0/8",
        "LOG_LEVEL": "DEBUG",
    }
    logs = {name: tmp_path / f"{name}.log" for name in ("web", "worker")}
    figures = {"web": f"{base}/metrics", "worker": f"http://127.0.0.1:{worker_port}/metrics"}
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(http_clients.build_client(base_url=base, timeout=10))
        watched = Watched(http, logs, figures)
        http.event_hooks = {"response": [watched.keep]}
        client = await stack.enter_async_context(
            redis.asyncio.from_url(configuration.redis_url)  # type: ignore[no-untyped-call]
        )
        ready = asyncio.Event()
        recording = asyncio.create_task(_listen(client, watched.redis_said, ready))
        await ready.wait()
        for name in ("web", "worker"):
            await stack.enter_async_context(_process(name, env, logs[name]))

        async def alive() -> bool:
            try:
                return (await http.get("/health/ready")).is_success
            except httpx.TransportError:
                return False

        await until(alive, 30)
        yield watched
        recording.cancel()
        await asyncio.gather(recording, return_exceptions=True)


async def _conversation(world: World) -> None:
    """A text out and back, an agent that fails, then answers; a person; a STOP and a START."""
    world.agent.answers = [(500, {"error": f"{WORD} broke"}), (200, {"reply": f"{WORD} reply"})]
    sent = await world.send(f"{WORD} out", agentMode=True)
    await world.status_is(sent["messageId"], "delivered")
    await world.text(f"{WORD} in")
    await world.told(1)
    await world.turn_is(sent["interactionId"], "replied")
    for url in (f"http://127.0.0.1:9/{WORD}?token={WORD}", "http://xyzzy.invalid/"):
        path = f"/sms-agents/{world.smsagent['smsAgentId']}"
        await world.tenant.call("PATCH", path, {"webhookUrl": url})
        await world.tenant.call("POST", f"{path}/test")
    for text in (f"{WORD} more", "STOP", "START", "HELP"):
        await world.text(text)
    await world.tenant.ask("POST", "/sms/send", {"leadId": world.lead["leadId"], "message": WORD})


async def _troubles(world: World) -> list[str]:
    """A text to each of the phones that trouble the carrier, and its bulk twin; the phones."""
    phones = [f"+1917555{ending}" for ending in TROUBLED]
    leads = [(await world.tenant.lead(phone=phone))["leadId"] for phone in phones]
    for lead in leads:
        await world.tenant.call("POST", "/sms/send", {"leadId": lead, "message": f"{WORD} hard"})
    many = [{"leadId": lead, "message": f"{WORD} many"} for lead in [*leads, f"{WORD}-nobody"]]
    await world.tenant.call("POST", "/sms/send/bulk", {"messages": many})

    async def attempted() -> bool:
        page = await world.tenant.call("GET", "/interactions?limit=100")
        states = []
        for thread in page["interactions"]:
            path = f"/interactions/{thread['interactionId']}/messages"
            states += [e["status"] for e in (await world.tenant.call("GET", path))["messages"]]
        return not {"queued", "sending"} & set(states) or states.count("failed") >= 4

    await until(attempted, 20)
    return phones


async def _mistakes(world: World, phone: str) -> None:
    """Everything a caller can get wrong with the word or the phone in it."""
    tenant, lead = world.tenant, world.lead["leadId"]
    good = {"leadId": lead, "message": WORD}
    bodies: list[Any] = [
        {**good, "to": f"{phone}{WORD}"}, {**good, "from": phone}, {**good, "message": WORD * 900},
        {**good, "source": WORD}, {**good, "sendAt": WORD}, {**good, "mediaUrls": [WORD]},
        {**good, "interactionId": f"{WORD}-int"}, {**good, "turnId": WORD, "source": "sms_agent"},
        {**good, "campaignId": WORD}, {"leadId": f"{WORD}-nobody", "message": WORD}, [good], WORD,
        {**good, "to": world.ours}, {**good, "validitySeconds": WORD},
    ]  # fmt: skip
    for body in bodies:
        assert (await tenant.ask("POST", "/sms/send", body)).is_error, body
    bad = f'{{"leadId": "{WORD}", "message": "{WORD} {phone}'
    await tenant.ask("POST", "/sms/send", content=bad, headers={"Content-Type": "application/json"})
    await tenant.ask("POST", "/suppressions", {"phones": [phone, f"{phone}{WORD}"]})
    await tenant.ask("POST", "/leads", {"phone": f"{phone}-{WORD}", "timezone": WORD})
    await tenant.ask("POST", "/phone-numbers", {"phoneNumber": world.ours})
    await tenant.ask("POST", "/sms-agents", {"name": WORD, "webhookUrl": f"ftp://{WORD}"})
    credentials = {"accountSid": f"{WORD}-sid", "authTokens": f"{WORD}-token"}
    account = {"provider": "twilio", "name": WORD, "credentials": credentials}
    await tenant.ask("POST", "/provider-accounts", account)
    for path in (
        f"/consent/{WORD}{phone}", f"/leads/{WORD}", f"/messages/{WORD}", f"/{WORD}/{phone}",
        f"/interactions?status={WORD}", f"/interactions?startDate={WORD}", f"/leads?cursor={WORD}",
        f"/events?after={WORD}", f"/leads?limit={WORD}", f"/leads?search={WORD}",
        f"/consent/{phone}",
    ):  # fmt: skip
        await tenant.ask("GET", path)
    await tenant.ask("GET", "/leads", headers={"X-API-Key": f"lss_{WORD}{WORD}"})
    once = {"Idempotency-Key": f"{WORD}-once"}
    for name in (WORD, f"{WORD}{WORD}"):
        await tenant.ask("POST", "/leads", {"firstName": name}, headers=once)
    hook = f"/webhooks/simulator/{world.account['accountId']}/inbound"
    forged = {"type": "inbound", "text": WORD, "from": phone, "to": world.ours}
    await tenant.http.post(hook, json=forged, headers={"X-Simulator-Signature": WORD})
    await tenant.http.post(f"/webhooks/{WORD}/{WORD}/inbound", json=forged)
    await tenant.http.get(f"/{WORD}/{phone}?{WORD}={phone}")


async def _at_the_page(watched: Watched, resources: Resources, world: World) -> str:
    """Somebody signs in, wrongly and rightly, reads, searches and writes; their session."""
    await add_person(resources, world.tenant.tenant_id, EMAIL)
    one = browser(str(watched.http.base_url).rstrip("/"))
    one.http.event_hooks = {"response": [watched.keep]}
    await one.sign_in("nobody@example.com", f"{WORD} guess")
    await one.sign_in(EMAIL)
    thread = await world.only_thread()
    here = f"/conversations/{thread['interactionId']}"
    page = await one.page(f"{here}?search={WORD}")
    await one.submit(page, "/texts", message=f"{WORD} by hand")
    await one.get(f"/conversations/{WORD}")
    session = next(iter(one.http.cookies.values()))
    await one.http.aclose()
    return session


async def _breakdown(resources: Resources, world: World) -> None:
    """Faults of ours: what the database says of a row it refuses has the whole row in it."""
    async with resources.database.system_tx() as tx:
        await tx.execute(
            "SELECT set_config('role', 'none', true);"
            f"ALTER TABLE leads ADD CONSTRAINT canary CHECK (last_name <> '{WORD} breaks')"
            " NOT VALID"
        )
    try:
        body = {"firstName": WORD, "lastName": f"{WORD} breaks", "phone": "+19175554242"}
        answer = await world.tenant.ask("POST", "/leads", body)
        assert answer.status_code == 500
    finally:
        async with resources.database.system_tx() as tx:
            await tx.execute("SELECT set_config('role', 'none', true); ALTER TABLE leads DROP CONSTRAINT canary")


QUOTING = """
import asyncio, logging, sys, asyncpg, structlog
from app import log
log.configure(sys.argv[1] == "production")

async def refused():
    connection = await asyncpg.connect(sys.argv[2])
    await connection.execute("CREATE TEMP TABLE t (word text CHECK (word = ''))")
    try:
        await connection.execute("INSERT INTO t VALUES ('xyzzy')")
    except asyncpg.CheckViolationError as error:
        assert "xyzzy" in str(error), "PostgreSQL quotes the row no more"
        try:
            raise RuntimeError("wrapped") from error
        except RuntimeError as outer:
            structlog.get_logger().error("told", exc_info=outer)
            structlog.get_logger().exception("told again")
            logging.getLogger("library").exception("and by a library")
    await connection.close()

asyncio.run(refused())
"""


@pytest.mark.parametrize("environment", ["development", "production"])
async def test_what_postgresql_quotes_of_a_row_is_not_logged(environment: str, database_url: str) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", QUOTING, environment, database_url,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await finish(process)
    assert process.returncode == 0, said
    for word in ("told again", "and by a library", "CheckViolationError", "violates check"):
        assert word in said, said
    assert WORD not in said


def _ways_of_writing(phone: str) -> set[str]:
    digits = phone.removeprefix("+1")
    return {digits, f"({digits[:3]}) {digits[3:6]}-{digits[6:]}",
            f"{digits[:3]}-{digits[3:6]}-{digits[6:]}"}  # fmt: skip


async def test_no_canary_is_found_where_none_belongs(
    watched: Watched, resources: Resources, carrier: Carrier, agent: AgentDouble
) -> None:
    tenant: Tenant = await makers.tenant(resources, watched.http)
    world = await furnished(tenant, carrier, agent, firstName=WORD, lastName=f"{WORD} last")
    await _conversation(world)
    phones = [world.phone, world.ours, *await _troubles(world)]
    await _mistakes(world, world.phone)
    session = await _at_the_page(watched, resources, world)
    await _breakdown(resources, world)
    assert any(WORD in text for text in carrier.received(world.phone))
    assert any(WORD in str(told) for told in agent.told)
    secrets = {tenant.key, CREDENTIALS["simulator"]["secret"], world.smsagent["signingSecret"],
               session, PASSWORD, EMAIL}  # fmt: skip
    canaries = {WORD, *secrets, *(way for phone in phones for way in _ways_of_writing(phone))}
    said = await watched.all()
    assert said["web"].count("route=/api/v1/sms/send") > 10
    assert said["worker"].count("\n") > 1
    assert "leadsail_http_request_seconds" in said["figures of web"]
    assert "leadsail" in said["figures of worker"]
    assert len(watched.redis_said) > 50
    assert any("arq" in command for command in watched.redis_said)
    assert len(watched.refused) > 30
    found = [
        (where, canary, _around(text, canary))
        for where, text in said.items()
        for canary in sorted(canaries)
        if canary.lower() in text.lower()
    ]
    assert found == []


def _around(text: str, canary: str) -> str:
    place = text.lower().index(canary.lower())
    return re.sub(r"\s+", " ", text[max(0, place - 300) : place + 200])
