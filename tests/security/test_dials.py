"""Every address that a tenant, a lead or a carrier can set, and every way of writing an inner one:
nothing of ours ever dials it. A victim listens where nobody may reach; it must hear nothing."""

import ast
import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import app
from app import worker
from app.commands import receive
from app.commands.directory import require_url
from app.commands.receive import InboundPost
from app.demo import http_clients
from app.domain import ids
from app.domain.carriage import Account, InboundText, Media
from app.domain.problems import Invalid
from app.main import build_app
from app.resources import Resources
from app.settings import Settings
from app.web import presence
from app.wire.client import NotSent, Wire
from tests.makers import Data, Tenant
from tests.web.people import add_person, browser, form
from tests.world import World, served, until

INSIDE, OUTSIDE = "127.0.0.1", "127.0.0.2"
"""Two hosts on this machine. The service under test may reach only the second one."""
TRICKS = [
    "127.0.0.1", "localhost", "LOCALHOST.", "127.1", "2130706433", "0x7f000001", "0177.0.0.1",
    "0x7f.0.0.0x1", "127.000.000.001", "0", "0.0.0.0", "[::]", "[::1]", "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]", "[fe80::1%25lo]", "①②⑦.⓪.⓪.①", "127。0。0。1", "ⓛocalhost",
    "127.0.0.2@127.0.0.1", "127.0.0.1%2f@127.0.0.2", "127.0.0.1\\@127.0.0.2",
    "127.0.0.1%00.example.com", "127.0.0.1\t", "127.0.0.1#@127.0.0.2", "127.0.0.1?@127.0.0.2",
]  # fmt: skip


@dataclass(slots=True)
class Ear:
    """Who listens, and how many dialled."""

    port: int = 0
    connections: int = 0
    answer: bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"

    @property
    def urls(self) -> list[str]:
        """Its address written in each way; the port stands before what is a path or a query."""
        return [_address(host, self.port) for host in TRICKS]


def _address(host: str, port: int) -> str:
    for mark in "#?\\":
        if mark in host:
            head, tail = host.split(mark, 1)
            return f"http://{head}:{port}{mark}{tail}"
    return f"http://{host}:{port}/"


@asynccontextmanager
async def listening(*hosts: str) -> AsyncIterator[Ear]:
    ear = Ear()

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ear.connections += 1
        await reader.read(65_536)
        writer.write(ear.answer)
        writer.close()

    servers = []
    for host in hosts:
        servers.append(await asyncio.start_server(hear, host, ear.port))
        ear.port = servers[0].sockets[0].getsockname()[1]
    try:
        yield ear
    finally:
        for server in servers:
            server.close()


@pytest.fixture
async def victim() -> AsyncIterator[Ear]:
    async with listening(INSIDE, "::1") as ear:
        yield ear


@pytest.fixture
async def strict(resources: Resources) -> AsyncIterator[Resources]:
    """What a process holds whose environment allows one host and no other."""
    wire = Wire((ip_network(f"{OUTSIDE}/32"),))
    yield replace(resources, wire=wire)
    await wire.close()


@dataclass(frozen=True, slots=True)
class Guarded:
    """The world's tenant at a web process that may dial only the host outside."""

    url: str
    tenant: Tenant
    world: World
    resources: Resources


@pytest.fixture
async def guarded(world: World, strict: Resources, configuration: Settings) -> AsyncIterator[Guarded]:
    async with (
        served(build_app(configuration, strict)) as url,
        http_clients.build_client(base_url=url, timeout=20) as http,
    ):
        yield Guarded(url, replace(world.tenant, http=http), world, strict)


Door = Callable[[Guarded, list[str]], Awaitable[list[httpx.Response]]]


async def _test_button(guarded: Guarded, urls: list[str]) -> list[httpx.Response]:
    agent = f"/sms-agents/{guarded.world.smsagent['smsAgentId']}"
    answers = []
    for url in urls:
        answer = await guarded.tenant.ask("PATCH", agent, {"webhookUrl": url})
        if answer.is_success:
            answer = await guarded.tenant.ask("POST", f"{agent}/test")
        answers.append(answer)
    return answers


async def _endpoint_test(guarded: Guarded, urls: list[str]) -> list[httpx.Response]:
    made = await guarded.tenant.call("POST", "/webhook-endpoints", {"url": "https://backend.example.com"})
    endpoint = f"/webhook-endpoints/{made['endpointId']}"
    answers = []
    for url in urls:
        answer = await guarded.tenant.ask("PATCH", endpoint, {"url": url})
        if answer.is_success:
            answer = await guarded.tenant.ask("POST", f"{endpoint}/test")
        answers.append(answer)
    return answers


async def _notice_test(guarded: Guarded, urls: list[str]) -> list[httpx.Response]:
    email = f"{ids.make('user')}@example.com"
    await add_person(guarded.resources, guarded.tenant.tenant_id, email)
    sam = browser(guarded.url)
    await sam.sign_in(email)
    page = await sam.page("/account")
    csrf = form(page, "/notices/hook")[1]["csrf"]
    answers = []
    for url in urls:
        answer = await sam.post("/account/notices/hook", csrf=csrf, kinds=["needs_person"], url=url)
        if answer.status_code == 303:
            answer = await sam.post("/account/notices/hook/test", csrf=csrf)
        answers.append(answer)
    await sam.http.aclose()
    return answers


async def _replay(guarded: Guarded, urls: list[str]) -> list[httpx.Response]:
    await guarded.world.send("Hi Jane", agentMode=True)
    await guarded.world.text("Hey")
    turn = (await guarded.world.told(1))["turn"]["turnId"]
    path = f"/turns/{turn}/replay"
    return [await guarded.tenant.ask("POST", path, {"webhookUrl": url}) for url in urls]


async def _base_url(guarded: Guarded, urls: list[str]) -> list[httpx.Response]:
    account = f"/provider-accounts/{guarded.world.account['accountId']}"
    answers = []
    for url in urls:
        answer = await guarded.tenant.ask("PATCH", account, {"baseUrl": url})
        if answer.is_success:
            answer = await guarded.tenant.ask("POST", f"{account}/sync-numbers")
        answers.append(answer)
    return answers


async def _media(guarded: Guarded, urls: list[str]) -> list[httpx.Response]:
    world, tenant_id = guarded.world, guarded.tenant.tenant_id
    account = Account(tenant_id, world.account["accountId"], "simulator", {})
    await add_person(guarded.resources, tenant_id, "sam@example.com")
    sam = browser(guarded.url)
    await sam.sign_in("sam@example.com")
    texts = [
        InboundText(f"sim_{i}", world.phone, world.ours, "", (Media(url, "image/png"),)) for i, url in enumerate(urls)
    ]
    async with guarded.resources.database.system_tx() as tx:
        await receive.receive_texts(tx, [InboundPost(account, texts)])
    thread = await world.only_thread()
    here = f"/conversations/{thread['interactionId']}/texts"
    entries = thread["transcript"]
    assert len(entries) == len(urls)
    answers = [await sam.get(f"{here}/{entry['messageId']}/media/0") for entry in entries]
    await sam.http.aclose()
    return answers


DOORS: dict[str, Door] = {
    "the test button": _test_button,
    "the test of a webhook endpoint": _endpoint_test,
    "the test of a notice": _notice_test,
    "a replay": _replay,
    "a provider's base URL": _base_url,
    "an attachment": _media,
}
EACH_DOOR = pytest.mark.parametrize("door", DOORS.values(), ids=DOORS.keys())


@EACH_DOOR
async def test_no_door_leads_inside_however_the_address_is_written(guarded: Guarded, victim: Ear, door: Door) -> None:
    answers = await door(guarded, victim.urls)
    assert len(answers) == len(TRICKS)
    assert victim.connections == 0
    assert {answer.status_code for answer in answers} <= {200, 201, 400, 502}
    for answer in answers:
        if answer.status_code == 200:
            assert answer.json()["data"]["outcome"] == "failed"
        if answer.status_code == 201:
            assert answer.json()["data"]["state"] == "failed"


@EACH_DOOR
async def test_each_door_does_lead_out(guarded: Guarded, door: Door) -> None:
    """Or the test above would pass with doors that lead nowhere."""
    async with listening(OUTSIDE) as outside:
        await door(guarded, [f"http://{OUTSIDE}:{outside.port}/"])
        assert outside.connections > 0


@EACH_DOOR
async def test_a_redirect_from_outside_leads_no_further(guarded: Guarded, victim: Ear, door: Door) -> None:
    async with listening(OUTSIDE) as outside:
        for status in ("301 Moved", "302 Found", "303 See", "307 Temporary", "308 Permanent"):
            outside.answer = (
                f"HTTP/1.1 {status}\r\nLocation: http://{INSIDE}:{victim.port}/\r\nContent-Length: 0\r\n\r\n"
            ).encode()
            before = outside.connections
            if door in (_media, _replay) and not status.startswith("307"):
                continue  # these make a thread, which can be made once
            await door(guarded, [f"http://{OUTSIDE}:{outside.port}/"])
            assert outside.connections > before, status
    assert victim.connections == 0


# Names that resolve to something else each time.


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[list[str]]]:
    """Names and what they resolve to, one answer after the other, the last for ever."""
    known: dict[str, list[list[str]]] = {}
    real = socket.getaddrinfo

    def resolve(host: Any, port: Any, *more: Any, **others: Any) -> Any:
        if host not in known:
            return real(host, port, *more, **others)
        answers = known[host]
        addresses = answers.pop(0) if len(answers) > 1 else answers[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (one, int(port))) for one in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return known


async def test_a_name_that_resolves_anew_is_judged_anew(
    strict: Resources, victim: Ear, names: dict[str, list[list[str]]]
) -> None:
    names["rebinding.example"] = [[OUTSIDE], [INSIDE]]
    async with listening(OUTSIDE) as outside:
        outside.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        url = f"http://rebinding.example:{outside.port}/"
        answer = await strict.wire.exchange(httpx.Request("GET", url), 5)
        assert answer.status_code == 200
    url = f"http://rebinding.example:{victim.port}/"
    with pytest.raises(NotSent):
        await strict.wire.exchange(httpx.Request("GET", url), 5)
    assert victim.connections == 0


async def test_of_a_names_addresses_the_inner_ones_are_never_tried(
    strict: Resources, victim: Ear, names: dict[str, list[list[str]]]
) -> None:
    names["both.example"] = [[INSIDE, OUTSIDE, INSIDE]]
    url = f"http://both.example:{victim.port}/"
    with pytest.raises(NotSent):
        await strict.wire.exchange(httpx.Request("GET", url), 5)
    assert victim.connections == 0


# What a worker dials.


@asynccontextmanager
async def working_with(resources: Resources) -> AsyncIterator[None]:
    """A worker's loops over these resources."""
    loops = worker.build_loops(resources)
    running = asyncio.create_task(loops.run())
    yield
    loops.stop()
    await running


@pytest.fixture
async def strict_worker(strict: Resources) -> AsyncIterator[None]:
    async with working_with(strict):
        yield


async def test_a_worker_hands_no_turn_and_no_shadow_inside(idle_world: World, strict_worker: None, victim: Ear) -> None:
    world, url = idle_world, f"http://{INSIDE}:{victim.port}/"
    path = f"/sms-agents/{world.smsagent['smsAgentId']}"
    await world.tenant.call("PATCH", path, {"webhookUrl": url, "shadowWebhookUrl": url})
    sent = await world.send("Hi Jane", agentMode=True)
    await world.text("Hey")

    async def attempted() -> Data | None:
        turns = await world.turns(sent["interactionId"])
        tried = [turn for turn in turns if turn["kind"] == "live" and turn["attempts"]]
        return tried[0] if tried else None

    async def shadowed() -> bool:
        pairs = (await world.tenant.call("GET", f"{path}/shadow-report"))["pairs"]
        return bool(pairs) and pairs[0]["shadow"]["state"] == "failed"

    [attempt] = (await until(attempted))["attempts"]
    assert attempt["httpStatus"] is None
    await until(shadowed)
    assert victim.connections == 0


async def test_a_worker_posts_no_event_inside(idle_world: World, strict_worker: None, victim: Ear) -> None:
    tenant, url = idle_world.tenant, f"http://{INSIDE}:{victim.port}/"
    made = await tenant.call("POST", "/webhook-endpoints", {"url": url})
    await idle_world.send("Hi")

    async def attempted() -> list[Data] | None:
        page = await tenant.call("GET", f"/webhook-endpoints/{made['endpointId']}/deliveries")
        deliveries: list[Data] = page["deliveries"]
        return deliveries or None

    [delivery, *_] = await until(attempted)
    assert (delivery["httpStatus"], delivery["detail"]) == (None, "the address is not a public one")
    assert victim.connections == 0


async def test_a_worker_asks_about_no_phone_inside(
    idle_world: World, strict_worker: None, victim: Ear, resources: Resources
) -> None:
    url = f"http://{INSIDE}:{victim.port}/"
    await idle_world.tenant.call("PATCH", "/settings", {"contactCheckUrl": url})
    sent = await idle_world.send("Hi")
    assert sent["heldUntil"]

    async def attempted() -> str | None:
        async with resources.database.system_tx() as tx:
            sql = "SELECT failure FROM contact_checks WHERE tenant_id = $1"
            failure: str | None = await tx.fetch_value(sql, idle_world.tenant.tenant_id)
            return failure

    assert await until(attempted) == "the address is not a public one"
    assert victim.connections == 0


async def test_a_worker_delivers_no_text_inside(idle_world: World, strict_worker: None, victim: Ear) -> None:
    account = f"/provider-accounts/{idle_world.account['accountId']}"
    url = f"http://{INSIDE}:{victim.port}"
    await idle_world.tenant.call("PATCH", account, {"baseUrl": url})
    sent = await idle_world.send("Hi")

    async def attempted() -> list[Data] | None:
        told = await idle_world.tenant.call("GET", f"/messages/{sent['messageId']}")
        attempts: list[Data] = told["attempts"]
        return attempts or None

    [attempt, *_] = await until(attempted)
    assert attempt["httpStatus"] is None
    assert victim.connections == 0


async def test_a_worker_fetches_no_missed_text_inside(
    idle_world: World, strict_worker: None, victim: Ear, resources: Resources
) -> None:
    account = f"/provider-accounts/{idle_world.account['accountId']}"
    async with listening(OUTSIDE) as outside:
        for host, port in ((INSIDE, victim.port), (OUTSIDE, outside.port)):
            base = f"http://{host}:{port}"
            await idle_world.tenant.call("PATCH", account, {"baseUrl": base})
            async with resources.database.system_tx() as tx:
                await tx.execute("UPDATE installation SET alive_at = alive_at - interval '1 hour'")
            await presence.record_presence(resources.database)
            if host == INSIDE:
                await asyncio.sleep(2)

        async def asked() -> bool:
            return outside.connections > 0

        await until(asked)
    assert victim.connections == 0


# Addresses that cannot even be written into a request.


@given(st.text(st.characters(codec="utf-8"), max_size=30), st.sampled_from(["http", "https"]))
@settings(max_examples=500, deadline=None)
@example("ⓛocalhost", "http").via("discovered failure")
@example("127.000.000.001", "http").via("discovered failure")
def test_what_is_taken_as_an_address_can_be_asked(rest: str, scheme: str) -> None:
    try:
        url = require_url(f"{scheme}://{rest}", "webhookUrl")
    except Invalid:
        return
    assert httpx.Request("POST", url).url.host


async def test_one_tenants_bad_address_keeps_no_others_texts_missing(
    idle_world: World, other_tenant: Tenant, resources: Resources
) -> None:
    """A row from before addresses were judged so: its own look-ups fail, and nobody else's."""
    spoilt = await other_tenant.account("simulator")
    await other_tenant.number(providerAccountId=spoilt["accountId"])
    async with resources.database.system_tx() as tx:
        await tx.execute(
            "UPDATE provider_accounts SET base_url = 'http://ⓛocalhost' WHERE account_id = $1",
            spoilt["accountId"],
        )
    url = idle_world.carrier.known.inbound_urls.pop(idle_world.ours)
    await idle_world.carrier.text(idle_world.phone, idle_world.ours, "Nobody hears me")
    idle_world.carrier.known.inbound_urls[idle_world.ours] = url
    async with resources.database.system_tx() as tx:
        await tx.execute("UPDATE installation SET alive_at = alive_at - interval '1 hour'")
    await presence.record_presence(resources.database)
    async with resources.database.system_tx() as tx:  # the spoilt one comes first
        await tx.execute(
            "UPDATE provider_accounts SET noticed_at = noticed_at - interval '1 hour' WHERE account_id = $1",
            spoilt["accountId"],
        )

    async def fetched() -> bool:
        path = f"/interactions/lead/{idle_world.lead['leadId']}"
        return "Nobody hears me" in str(await idle_world.tenant.call("GET", path))

    async with working_with(resources):
        await until(fetched)
    path = f"/provider-accounts/{spoilt['accountId']}/webhook-check"
    answer = await other_tenant.ask("GET", path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "PROVIDER_ERROR")


# Nobody else dials.

DIALLERS = {"aiohttp", "socket", "urllib.request", "http.client", "requests", "ftplib", "smtplib"}
READERS = {"HTTPException", "parse_headers"}
"""They read what came, and dial nobody."""
CLIENTS = {"AsyncClient", "Client", "get", "post", "put", "patch", "delete", "request", "stream"}
"""What httpx would dial with; its values are everywhere, its clients nowhere."""
APART = {"wire", "embedded", "demo", "operations/up.py", "operations/probe.py"}
"""The one client; our own servers and processes on loopback; the demo, which is refused in production."""


def _sources() -> Iterator[tuple[str, ast.Module]]:
    root = Path(app.__file__).parent
    for file in sorted(root.rglob("*.py")):
        inside = file.relative_to(root)
        if not APART & {inside.parts[0], inside.as_posix()}:
            yield str(inside), ast.parse(file.read_text())


def test_nothing_dials_but_the_one_guarded_client() -> None:
    seen = 0
    for name, tree in _sources():
        seen += 1
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                assert not {alias.name for alias in node.names} & DIALLERS, name
            elif isinstance(node, ast.ImportFrom):
                assert node.module not in DIALLERS or {alias.name for alias in node.names} <= READERS, name
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                assert (node.value.id, node.attr) not in {("httpx", one) for one in CLIENTS}, name
                dials = {("asyncio", "open_connection"), ("loop", "create_connection")}
                assert (node.value.id, node.attr) not in dials, name
    assert seen > 80


def test_the_one_client_is_made_in_one_place_from_the_settings() -> None:
    made = [
        (name, ast.unparse(node))
        for name, tree in _sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Wire"
    ]
    assert made == [("resources.py", "Wire(settings.allowed_private_networks, traces.build_headers)")]
