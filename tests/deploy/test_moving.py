"""Two cells behind HAProxy: a tenant moves there and back while it is used, and nothing is lost or doubled."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from app import worker
from app.access import keys
from app.demo import http_clients
from app.domain import ids
from app.embedded.processes import find_free_port
from app.main import build_app
from app.operations import routes, tenant_moves
from app.operations.tenant_moves import Copied, Served
from app.operations.tenants import TenantStays
from app.resources import Resources
from app.store.engine import Database, as_columns
from tests.deploy.balancing import ADMIN_SOCKET, HAPROXY, balance_cells
from tests.makers import Data, Tenant
from tests.test_cells import count_rows, other
from tests.world import AgentDouble, Carrier, World, agent, carrier, furnished, served, until

__all__ = ["agent", "carrier", "other"]
pytestmark = pytest.mark.skipif(not HAPROXY, reason="haproxy is not installed")
SECONDS_PER_CELL = 1.5
WAIT_PART = 15
"""On a busy machine everything takes longer: work waits for less than this part of the copy."""
SERVERS = 6
"""Lines of servers in the shipped file; each is asked whether it is ready."""


@dataclass(slots=True)
class Cells:
    """The cells east and west behind one address, each with a web server and a worker."""

    http: httpx.AsyncClient
    east: Resources
    west: Resources
    socket: Path


@pytest.fixture
async def cells(resources: Resources, other: Database, tmp_path: Path) -> AsyncIterator[Cells]:
    port = find_free_port()
    url = f"http://127.0.0.1:{port}"

    def name_cell(cell: str, database: Database) -> Resources:
        settings = resources.settings.model_copy(update={"cell": cell, "public_base_url": url})
        return replace(resources, settings=settings, database=database)

    east, west = name_cell("east", resources.database), name_cell("west", other)
    async with AsyncExitStack() as stack:
        addresses = {}
        for cell in (east, west):
            address = await stack.enter_async_context(served(build_app(cell.settings, cell)))
            addresses[str(cell.settings.cell)] = address.removeprefix("http://")
        await stack.enter_async_context(balance_cells(tmp_path, port, addresses))
        http = await stack.enter_async_context(http_clients.build_client(base_url=url, timeout=20))

        async def are_ready() -> bool:
            try:
                reader, writer = await asyncio.open_unix_connection(tmp_path / ADMIN_SOCKET)
            except OSError:
                return False
            writer.write(b"show stat\n")
            states = (await reader.read()).decode()
            writer.close()
            return states.count(",L7OK,") == SERVERS

        await until(are_ready, 30)
        running = [worker.build_loops(cell) for cell in (east, west)]
        tasks = [asyncio.create_task(loops.run()) for loops in running]
        yield Cells(http, east, west, tmp_path / ADMIN_SOCKET)
        for loops in running:
            loops.stop()
        await asyncio.gather(*tasks)


@dataclass(slots=True)
class Load:
    """A backend that sends and a lead who writes, each without a pause, and as long as both are answered."""

    world: World
    statuses: Counter[int] = field(default_factory=Counter)
    message_ids: dict[str, str] = field(default_factory=dict)
    lead_texts: list[str] = field(default_factory=list)
    pause: float = 0.05
    is_over: bool = False

    async def send(self) -> None:
        """As clients do: what was answered 503 is sent again, with its key."""
        while not self.is_over:
            text = f"Sent {len(self.message_ids)}"
            body = {"leadId": self.world.lead["leadId"], "message": text}
            while True:
                answer = await self.world.tenant.ask("POST", "/sms/send", body, headers={"Idempotency-Key": text})
                self.statuses[answer.status_code] += 1
                if answer.status_code == 202:
                    break
                await asyncio.sleep(0.1)
            self.message_ids[text] = answer.json()["data"]["messageId"]
            await asyncio.sleep(self.pause)

    async def write(self) -> None:
        while not self.is_over:
            text = f"Written {len(self.lead_texts)}"
            assert await self.world.carrier.text(self.world.phone, self.world.ours, text) == 200
            self.lead_texts.append(text)
            await asyncio.sleep(2 * self.pause)


@dataclass(frozen=True, slots=True)
class Move:
    """How many rows were copied in how many seconds, and for how long work waited after that."""

    rows: int
    copy_seconds: float
    waited_seconds: float


async def move(cells: Cells, tenant_id: str, to: str) -> Move:
    """Moves the tenant, and tells HAProxy."""
    source, target = (cells.east, cells.west) if to == "west" else (cells.west, cells.east)
    copies: list[tuple[int, float]] = []
    waited: list[float] = []
    begun_at = 0.0

    async def tell(step: Copied | Served) -> None:
        if isinstance(step, Served):
            await routes.route_names(cells.socket, step.names, to)
            waited.append(step.seconds)
        else:
            copies.append((step.rows, time.monotonic() - begun_at))

    async def has_moved() -> bool:
        nonlocal begun_at
        begun_at = time.monotonic()
        try:
            await tenant_moves.move_tenant(source.database, target.database, source.seal, tenant_id, tell)
        except TenantStays as error:
            if "try again" not in str(error):
                raise
            return False
        return True

    await until(has_moved, 120)
    return Move(*copies[-1], waited[0])


FILL_LEADS_SQL = """
INSERT INTO leads (tenant_id, lead_id, first_name, last_name, phone)
SELECT $1, a.lead_id, 'Old', 'Friend', '+1' || 2000000000 + a.number * 7919 FROM unnest($2::int[], $3::text[])
AS a(number, lead_id)
"""
FILL_THREADS_SQL = """
INSERT INTO interactions (tenant_id, interaction_id, our_number, lead_phone, lead_id, status, last_seq)
SELECT $1, a.interaction_id, $5, '+1' || 2000000000 + a.number * 7919, a.lead_id, 'completed', 10
FROM unnest($2::int[], $3::text[], $4::text[]) AS a(number, lead_id, interaction_id)
"""
FILL_TEXTS_SQL = """
INSERT INTO messages (tenant_id, message_id, interaction_id, lead_id, seq, role, source, status, text)
SELECT $1, a.message_id, t.interaction_id, t.lead_id, a.seq, 'agent', 'api', 'delivered', 'Hello'
FROM unnest($2::text[], $3::text[], $4::int[]) AS a(interaction_id, message_id, seq)
JOIN interactions t ON t.tenant_id = $1 AND t.interaction_id = a.interaction_id
"""
TEXTS_PER_THREAD = 10
THREADS_AN_HOUR = 10


async def fill(database: Database, tenant_id: str, our_number: str, threads: int) -> None:
    """The threads of the last weeks, some in each hour; each hour is counted for the figures."""
    start = datetime.now(UTC) - timedelta(hours=threads / THREADS_AN_HOUR)
    for first in range(0, threads, 200):
        numbers = range(first, min(first + 200, threads))
        begins = [start + timedelta(hours=number / THREADS_AN_HOUR) for number in numbers]
        leads = [ids.first_since("lead", at) for at in begins]
        interactions = [ids.first_since("int", at) for at in begins]
        texts = [
            (interaction, ids.first_since("msg", at + timedelta(milliseconds=seq)), seq)
            for interaction, at in zip(interactions, begins, strict=True)
            for seq in range(1, TEXTS_PER_THREAD + 1)
        ]
        async with database.tenant_tx(tenant_id) as tx:
            await tx.execute(FILL_LEADS_SQL, tenant_id, numbers, leads)
            await tx.execute(FILL_THREADS_SQL, tenant_id, numbers, leads, interactions, our_number)
            await tx.execute(FILL_TEXTS_SQL, tenant_id, *as_columns(texts, 3))


@pytest.mark.parametrize(
    ("threads", "pause"),
    [
        pytest.param(0, 0.05, id="few"),
        pytest.param(10_000, 1.0, id="many", marks=[pytest.mark.long, pytest.mark.alone]),
    ],
)
async def test_a_tenant_moves_there_and_back_while_it_is_used(
    cells: Cells, tenant: Tenant, carrier: Carrier, agent: AgentDouble, threads: int, pause: float
) -> None:
    by_first_key = replace(tenant, http=cells.http)
    key = (await by_first_key.call("POST", "/api-keys", {"name": "East", "scope": "admin"}))["apiKey"]
    assert keys.KEY_PATTERN.fullmatch(key)
    assert key.startswith("lss_east_")
    world = await furnished(replace(by_first_key, key=key), carrier, agent)
    assert world.account["accountId"].startswith("acct_east_")
    await fill(cells.east.database, tenant.tenant_id, world.ours, threads)
    load = Load(world, pause=pause)
    tasks = [asyncio.create_task(load.send()), asyncio.create_task(load.write())]
    for cell in ("west", "east"):
        await asyncio.sleep(SECONDS_PER_CELL)
        sent = len(load.message_ids)
        moved = await move(cells, tenant.tenant_id, cell)
        print(
            f"to {cell}: {moved.rows} rows in {moved.copy_seconds:.1f} s, then work waited for "
            f"{moved.waited_seconds:.2f} s; {load.statuses[503]} requests were answered 503"
        )
        assert moved.waited_seconds < max(2, moved.copy_seconds / WAIT_PART), "more than two seconds on an idle machine"
        await until(lambda sent=sent: _exceeds(load, sent + 3))  # type: ignore[misc]
        home, gone = (cells.west, cells.east) if cell == "west" else (cells.east, cells.west)
        assert await count_rows(gone.database, tenant.tenant_id) == {}
        assert (await count_rows(home.database, tenant.tenant_id))["messages"] >= sent
    load.is_over = True
    await asyncio.gather(*tasks)
    assert load.statuses.keys() <= {202, 503}
    assert load.statuses[202] > 10

    async def is_delivered() -> bool:
        page = await world.tenant.call("GET", f"/interactions/{thread['interactionId']}")
        return all(text["status"] == "delivered" for text in page["transcript"] if text["source"] == "api")

    thread = await world.only_thread()
    await until(is_delivered, 20)
    transcript: list[Data] = (await world.thread(thread["interactionId"]))["transcript"]
    assert sorted(text["message"] for text in transcript) == sorted([*load.message_ids, *load.lead_texts])
    assert [text["seq"] for text in transcript] == list(range(1, len(transcript) + 1))
    assert sorted(carrier.received(world.phone)) == sorted(load.message_ids)


async def _exceeds(load: Load, count: int) -> bool:
    return len(load.message_ids) > count
