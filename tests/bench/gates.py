"""What each gate of a send costs, and what row-level security costs the reads of the page and the API.

Each gate is switched on for its own group of tenants, all of the same size. Its slices alternate
with those of plain sends. One more group without a gate shows how much two equal groups differ.
"""

import json
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from itertools import count, cycle
from statistics import median
from typing import Any

from app.store import interactions, pools
from app.store.clock import Clock
from app.store.engine import ReadTx
from app.store.thread_filters import ThreadFilter
from tests.bench import servers
from tests.bench.figures import ROUNDS, SECONDS, Figure, ratio
from tests.bench.load import Run, drive, post
from tests.bench.processor import cost_figure
from tests.bench.sends import told
from tests.bench.servers import Bench, Lead

PLAIN = "plain"
TEXT = "Hi, following up on your inquiry."
TYPED = "Hi, following up on your “inquiry” – it’s time…"
"""Typographic characters, as phones write them: smart encoding replaces them."""
TURN = "@@@@@@@@@@@@"
"""In a prebuilt request this stands for what differs each time."""


@dataclass(frozen=True, slots=True)
class Gate:
    """What is switched on for the tenants, and what is added to their requests."""

    name: str
    switch: str | None = None
    """A statement that changes the tenants $1."""
    bodies: Sequence[dict[str, Any]] = ({},)
    """All leads are texted with the first one, then all with the next."""
    headers: dict[str, str] = field(default_factory=dict)


GATES = (
    Gate(PLAIN),
    Gate("none: plain beside plain"),
    Gate("idempotency key", headers={"Idempotency-Key": TURN}),
    Gate(
        "quiet hours on (awake)",
        """UPDATE tenants SET quiet_hours = '{"enabled": true, "start": "00:00", "end": "23:59"}'
           WHERE tenant_id = ANY ($1::text[])""",
    ),
    Gate(
        "daily limit on",
        "UPDATE tenants SET texts_per_day = 2000000000 WHERE tenant_id = ANY ($1::text[])",
    ),
    Gate(
        "rate limit per key on",
        "UPDATE api_keys SET requests_per_second = 1000000 WHERE tenant_id = ANY ($1::text[])",
    ),
    Gate("typographic text, as it is (UCS-2)", bodies=({"message": TYPED},)),
    Gate(
        "typographic text, smart encoding on",
        "UPDATE tenants SET smart_encoding = true WHERE tenant_id = ANY ($1::text[])",
        bodies=({"message": TYPED},),
    ),
    Gate(
        "agentMode set, as it is",
        "UPDATE interactions SET agent_mode = true WHERE tenant_id = ANY ($1::text[])",
        bodies=({"agentMode": True},),
    ),
    Gate("agentMode set, and switched", bodies=({"agentMode": True}, {"agentMode": False})),
)


async def gates(bench: Bench) -> list[Figure]:
    """The cost of row-level security, then of each gate, each compared with the same without it."""
    return [*await _guarded(bench), *await _gated(bench)]


async def _gated(bench: Bench) -> list[Figure]:
    """One web process, 64 and 16 in flight, each gate alternating with plain sends."""
    groups = _groups(bench.leads)
    async with bench.system() as connection:
        for gate, leads in zip(GATES, groups, strict=True):
            if gate.switch:
                await connection.execute(gate.switch, sorted({one.tenant_id for one in leads}))
    plain, *gated = [(gate, _requests(gate, leads)) for gate, leads in zip(GATES, groups, strict=True)]
    figures: list[Figure] = []
    with servers.web(bench) as port:
        for in_flight in (64, 16):
            for _, requests in (plain, *gated):
                await drive([port], requests, in_flight, SECONDS / 2)  # warm
            runs: dict[str, tuple[list[Run], list[Run]]] = {g.name: ([], []) for g, _ in gated}
            for _ in range(ROUNDS):
                for gate, requests in gated:
                    mine, plains = runs[gate.name]
                    mine.append(await drive([port], requests, in_flight, SECONDS))
                    plains.append(await drive([port], plain[1], in_flight, SECONDS))
            for name, (mine, plains) in runs.items():
                refused = sum(run.refused for run in mine + plains)
                title = f"gate, {in_flight} in flight: {name}"
                figures += [
                    Figure(title, told(mine), f"plain {told(plains)}",
                           ratio([r.per_second for r in mine], [r.per_second for r in plains]), 0.9,
                           note=f"{refused} refused, both together" if refused else ""),
                    cost_figure(title, "text", [run.cost for run in mine]),
                ]  # fmt: skip
    return figures


def _groups(leads: list[Lead]) -> list[list[Lead]]:
    """Leads for each gate, of the same number of tenants."""
    tenants = sorted({one.tenant_id for one in leads})
    each = len(tenants) // len(GATES)
    place = {name: i // each for i, name in enumerate(tenants)}
    groups: list[list[Lead]] = [[] for _ in GATES]
    for one in leads:
        if place[one.tenant_id] < len(GATES):
            groups[place[one.tenant_id]].append(one)
    return groups


def _requests(gate: Gate, leads: list[Lead]) -> Iterator[bytes]:
    """Endless sends to all leads of the group. Where a gate needs it, each request is different."""
    made = cycle([
        post(
            "/api/v1/sms/send",
            json.dumps({"leadId": one.lead_id, "message": TEXT} | body).encode(),
            {"X-API-Key": one.key, "Content-Type": "application/json"} | gate.headers,
        )
        for body in gate.bodies
        for one in leads
    ])  # fmt: skip
    if TURN not in gate.headers.values():
        return made
    return (
        request.replace(TURN.encode(), f"{n:0{len(TURN)}}".encode()) for n, request in zip(count(), made, strict=False)
    )


# Reads.

THREADS, LENGTH, TIMES = 20, 50, 100
"""How many texts the threads have, and repetitions of each read in a round."""
LENGTHEN = """
WITH chosen AS (
    SELECT tenant_id, min(interaction_id) AS interaction_id FROM interactions
    WHERE tenant_id LIKE $1 GROUP BY tenant_id ORDER BY tenant_id LIMIT $2
), longer AS (
    UPDATE interactions t SET last_seq = $3::int FROM chosen c
    WHERE t.tenant_id = c.tenant_id AND t.interaction_id = c.interaction_id
    RETURNING t.tenant_id, t.interaction_id, t.lead_id
), texts AS (
    INSERT INTO messages (tenant_id, message_id, interaction_id, lead_id, seq, role, source, text,
        status)
    SELECT tenant_id, 'msg_gates_' || s, interaction_id, lead_id, s, 'agent', 'api', 'Hi',
           'delivered'
    FROM longer, generate_series(2, $3) s
)
SELECT tenant_id, interaction_id FROM longer
"""
Reading = Callable[[ReadTx, str, str], Awaitable[object]]
Opened = Callable[[str], AbstractAsyncContextManager[ReadTx]]


async def _list(read: ReadTx, tenant_id: str, _: str) -> object:
    return await interactions.list_page(read, tenant_id, ThreadFilter(), None, 51)


async def _by_status(read: ReadTx, tenant_id: str, _: str) -> object:
    return await interactions.list_page(read, tenant_id, ThreadFilter(statuses=["in_progress"]), None, 51)


async def _thread(read: ReadTx, tenant_id: str, interaction_id: str) -> object:
    return await interactions.get(read, tenant_id, interaction_id)


async def _transcript(read: ReadTx, tenant_id: str, interaction_id: str) -> object:
    return await interactions.get_transcript(read, tenant_id, interaction_id, 1000)


async def _page(read: ReadTx, tenant_id: str, interaction_id: str) -> object:
    return await interactions.get_transcript_page(read, tenant_id, interaction_id, None, LENGTH, 30)


READS: dict[str, Reading] = {
    "list of 50": _list,
    "list of 50, by a status": _by_status,
    "thread": _thread,
    f"transcript of {LENGTH}": _transcript,
    "page of a transcript": _page,
}


async def _guarded(bench: Bench) -> list[Figure]:
    """The same statements under the policy, and as the role that sees everything. Each has its own
    connection, because plans are made for a role."""
    async with bench.system() as connection:
        rows = await connection.fetch(LENGTHEN, f"org_{bench.run}%", THREADS, LENGTH)
        await connection.execute("RESET ROLE; ANALYZE messages; ANALYZE interactions")
    places = [(row["tenant_id"], row["interaction_id"]) for row in rows]
    chance, figures = random.Random(1), []
    async with _both(bench) as (guarded, free):
        for name, reading in READS.items():
            ours: list[tuple[float, float]] = []
            theirs: list[tuple[float, float]] = []
            for i in range(ROUNDS + 1):
                pairs = [
                    (await _timed(guarded, reading, place), await _timed(free, reading, place))
                    for place in chance.choices(places, k=TIMES)
                ]
                if i:  # the first round warms up
                    ours.append(_medians([mine for mine, _ in pairs]))
                    theirs.append(_medians([other for _, other in pairs]))
            for what, of in (("the statement", 0), ("with its transaction", 1)):
                mine, other = [pair[of] for pair in ours], [pair[of] for pair in theirs]
                figures.append(
                    Figure(f"row-level security, {name}: {what}", f"p50 {median(mine):.3f} ms",
                           f"tenant named, no policy {median(other):.3f} ms", ratio(mine, other),
                           better="less")
                )  # fmt: skip
    return figures


@asynccontextmanager
async def _both(bench: Bench) -> AsyncIterator[tuple[Opened, Opened]]:
    """Transactions under the policy and without it."""
    clock = Clock(bench.redis_url)
    under = await pools.connect(bench.database_url, clock, pool_size=1)
    above = await pools.connect(bench.database_url, clock, pool_size=1)
    try:
        yield under.read_tx, lambda _: above.system_tx()
    finally:
        await under.close()
        await above.close()
        await clock.close()


async def _timed(opened: Opened, reading: Reading, place: tuple[str, str]) -> tuple[float, float]:
    """The milliseconds of the read alone, and of the read with its transaction."""
    tenant_id, interaction_id = place
    began = time.perf_counter()
    async with opened(tenant_id) as read:
        asked = time.perf_counter()
        found = await reading(read, tenant_id, interaction_id)
        answered = time.perf_counter()
    assert found is not None
    return (answered - asked) * 1000, (time.perf_counter() - began) * 1000


def _medians(times: list[tuple[float, float]]) -> tuple[float, float]:
    return median(alone for alone, _ in times), median(whole for _, whole in times)
