"""Agent turns: a thousand due within one second, and what a long transcript costs."""

import asyncio
import time
from statistics import median, quantiles
from typing import Any

import httpx
import redis.asyncio

from app.store.clock import CLOCK_KEY
from tests.bench import servers
from tests.bench.figures import ROUNDS, Figure, ratio
from tests.bench.processor import Cost, ProcessTimes, cost_figure
from tests.bench.servers import Bench

TURNS, TEXTS, AHEAD = (1000, 600), 10, 4.0
THREADS = """
WITH chosen AS (
    SELECT l.*, row_number() OVER (ORDER BY l.lead_id, l.tenant_id) AS nth
    FROM leads l WHERE l.tenant_id LIKE $1 AND l.lead_id < 'lead_2' LIMIT $3
)
INSERT INTO interactions (tenant_id, interaction_id, our_number, lead_phone, lead_id, campaign_id,
    agent_mode, last_seq, last_preview, last_direction)
SELECT l.tenant_id, $2 || '_' || l.nth, n.phone_number, '+1617' || $5 || lpad(l.nth::text, 4, '0'),
       l.lead_id, l.campaign_id, true, $4::int, 'Yes', 'inbound'
FROM chosen l JOIN phone_numbers n ON n.tenant_id = l.tenant_id
    AND n.phone_number_id LIKE 'twin\\_%'
RETURNING tenant_id, interaction_id
"""
"""Neighbours have different tenants, and so different agents."""
MESSAGES = """
INSERT INTO messages (tenant_id, message_id, interaction_id, lead_id, seq, role, source, text,
    status, forwardable)
SELECT t.tenant_id, 'msg_' || gen_random_uuid(), t.interaction_id, t.lead_id, s,
       CASE WHEN s % 2 = 0 THEN 'user' ELSE 'agent' END,
       CASE WHEN s % 2 = 0 THEN 'inbound' ELSE 'api' END,
       'Thank you for asking. The roof is about twenty years old, and it faces south.',
       CASE WHEN s % 2 = 0 THEN 'received' ELSE 'delivered' END, s = $2
FROM interactions t, generate_series(1, $2) s WHERE t.interaction_id LIKE $1
"""
COLLECT = """
WITH turned AS (
    INSERT INTO turns (tenant_id, turn_id, interaction_id, due_at, window_due_at)
    SELECT a.tenant_id, 'turn_' || a.interaction_id, a.interaction_id, a.at, a.at
    FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS a(tenant_id, interaction_id, at)
    RETURNING tenant_id, turn_id, interaction_id
)
INSERT INTO turn_messages (tenant_id, turn_id, message_id, seq)
SELECT m.tenant_id, d.turn_id, m.message_id, m.seq
FROM turned d JOIN messages m USING (tenant_id, interaction_id) WHERE m.forwardable
"""
OUTCOME = """
SELECT u.turn_id, extract(epoch FROM u.window_due_at)::float8 AS due,
       a.duration_ms / 1000.0 AS took
FROM turns u LEFT JOIN turn_attempts a USING (tenant_id, turn_id)
WHERE u.interaction_id LIKE $1
"""
HISTORY = """
INSERT INTO turns (tenant_id, turn_id, interaction_id, state, reason, due_at, window_due_at)
SELECT tenant_id, 'turn_of_' || interaction_id, interaction_id, 'replied', 'bench', now(), now()
FROM interactions WHERE tenant_id LIKE $1 AND interaction_id LIKE 'int\\_seed\\_%'
ON CONFLICT DO NOTHING
"""
"""A past turn in every thread, as in an installation that has run for a day."""
_runs = 0


async def _prepare(bench: Bench, turns: int, texts: int) -> tuple[str, list[Any]]:
    """Makes threads with a transcript and nothing due yet; returns their common name and the rows."""
    global _runs
    _runs += 1
    name = f"bench{_runs}"
    async with bench.system() as connection:
        rows = await connection.fetch(THREADS, f"org_{bench.run}%", name, turns, texts, f"{200 + _runs}")
        await connection.execute(MESSAGES, f"{name}\\_%", texts)
    return name, rows


async def _due(bench: Bench, rows: list[Any], begin: float, over: float) -> None:
    """Makes turns that fall due evenly within `over` seconds from `begin`, with their hints."""
    from datetime import UTC, datetime

    at = [begin + over * i / len(rows) for i in range(len(rows))]
    async with bench.system() as connection:
        await connection.execute(
            COLLECT, [r["tenant_id"] for r in rows], [r["interaction_id"] for r in rows],
            [datetime.fromtimestamp(t, UTC) for t in at],
        )  # fmt: skip
    async with redis.asyncio.from_url(bench.redis_url) as clock:  # type: ignore[no-untyped-call]
        hints = {f"turn:{r['tenant_id']}:{r['interaction_id']}": t * 1000
                 for r, t in zip(rows, at, strict=True)}  # fmt: skip
        await clock.zadd(CLOCK_KEY, hints)


async def _hear(sink: int, name: str, turns: int) -> dict[str, float]:
    """When each turn came to the agent, once all are there. PostgreSQL is not asked: that would be a part of
    what is measured."""
    deadline = time.monotonic() + 60
    async with httpx.AsyncClient(trust_env=False) as http:
        while True:
            seen: dict[str, float] = (await http.get(f"http://127.0.0.1:{sink}/turns")).json()
            if sum(turn_id.startswith(f"turn_{name}_") for turn_id in seen) == turns:
                return seen
            if time.monotonic() > deadline:
                raise RuntimeError("not every turn was handed over")
            await asyncio.sleep(0.1)


async def _outcome(bench: Bench, name: str, turns: int, sink: int) -> tuple[list[float], list[float], Cost]:
    """How late each turn was handed over and answered, in milliseconds; and what they cost from now on."""
    before = ProcessTimes.read()
    seen = await _hear(sink, name, turns)
    rows: list[Any] = []
    while len(rows) < turns or any(row["took"] is None for row in rows):
        await asyncio.sleep(0.5)  # to settle the last ones
        spent = ProcessTimes.read().since(before)
        async with bench.system() as connection:
            rows = await connection.fetch(OUTCOME, f"{name}\\_%")
    fired = [(seen[row["turn_id"]] - row["due"]) * 1000 for row in rows]
    # An upper bound: a part of this time is the request itself.
    answered = [late + float(row["took"]) * 1000 for late, row in zip(fired, rows, strict=True)]
    return fired, answered, Cost(turns, spent)


async def _sink(bench: Bench) -> int:
    async with bench.system() as connection:
        await connection.execute("DELETE FROM outbox")
        await connection.execute("DELETE FROM turns WHERE state <> 'replied'")
        await connection.execute(HISTORY, f"org_{bench.run}%")
        await connection.execute(servers.FORGET_EVENTS)
        await connection.execute("RESET ROLE; ANALYZE turns; ANALYZE outbox")
        await connection.execute("SELECT set_config('role', 'app_system', false)")
        url: str = await connection.fetchval(
            "SELECT base_url FROM provider_accounts WHERE tenant_id LIKE $1 LIMIT 1",
            f"org_{bench.run}%",
        )  # fmt: skip
    return int(url.rpartition(":")[2])


async def turns(bench: Bench) -> list[Figure]:
    """A thousand threads of ten texts, due evenly within a second, for one worker; then six hundred, which
    shows how late the clock is if the machine cannot keep up with a thousand."""
    sink = await _sink(bench)
    late: dict[int, list[list[float]]] = {count: [] for count in TURNS}
    costs: list[Cost] = []
    with servers.worker(bench):
        for i in range(ROUNDS + 1):
            for count, rounds in late.items():
                name, rows = await _prepare(bench, count, TEXTS)
                begin = time.time() + AHEAD
                await _due(bench, rows, begin, 1.0)
                await asyncio.sleep(begin - time.time())
                fired, answered, cost = await _outcome(bench, name, count, sink)
                if i == 0:
                    continue  # warm
                costs.append(cost)
                cuts = quantiles(fired, n=100)
                rounds.append([cuts[49], cuts[98], quantiles(answered, n=100)[98], min(fired)])
    return [
        *_told(1000, late[1000], (None, 400, None)),
        *_told(600, late[600], (None, 60, None)),
        cost_figure(f"turn of {TEXTS} texts", "turn", costs, 1.2),
    ]


def _told(count: int, rounds: list[list[float]], goals: tuple[float | None, ...]) -> list[Figure]:
    """Rows from rounds of (handed over p50, p99, answered p99, earliest)."""
    fired50, fired99, answered99, _ = (median(column) for column in zip(*rounds, strict=True))
    earliest = min(each[3] for each in rounds)
    name = f"turns, {count:,} due within a second"
    value = f"p50 {fired50:.1f}, p99 {fired99:.1f} ms late"
    return [
        Figure(f"{name}: fired p50", value, "ms after due", fired50, goals[0], "less"),
        Figure(f"{name}: fired p99", value, "ms after due", fired99, goals[1], "less"),
        Figure(f"{name}: earliest", f"{earliest:.2f} ms", "never early", earliest, 0),
        Figure(f"{name}: answered p99", f"{answered99:.1f} ms", "ms after due", answered99,
               goals[2], "less"),
    ]  # fmt: skip


async def transcript(bench: Bench) -> list[Figure]:
    """One turn at a time with a transcript of 1,000 texts, alternating with one of 10."""
    sink = await _sink(bench)
    long: list[float] = []
    short: list[float] = []
    at_a_time = 10
    with servers.worker(bench):
        for i in range(ROUNDS + 1):
            for texts, late in ((1000, long), (10, short)):
                name, rows = await _prepare(bench, at_a_time, texts)
                await _due(bench, rows, time.time() + 1.5, at_a_time * 0.15)
                fired, *_ = await _outcome(bench, name, at_a_time, sink)
                if i:
                    late.append(median(fired))
    return [
        Figure("turn with a transcript of 1,000 texts", f"{median(long):.1f} ms after due",
               f"of 10: {median(short):.1f} ms", ratio(long, short), 2.5, "less"),
    ]  # fmt: skip
