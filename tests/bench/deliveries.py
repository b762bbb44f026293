"""The delivery worker, with 200 texts in a claim, compared with its HTTP client alone."""

import asyncio
import sys
import time

import httpx

from tests.bench import servers
from tests.bench.figures import ROUNDS, SECONDS, Figure, ratio, spread
from tests.bench.processor import Cost, ProcessTimes, cost_figure
from tests.bench.servers import Bench

TEXTS = 6000
CLEAR = "DELETE FROM outbox"
OWED = "SELECT EXISTS (SELECT FROM outbox)"
BRAKE = "UPDATE tenants SET paused_at = CASE WHEN $1 THEN clock_timestamp() END"
OWE = """
WITH asked AS (
    SELECT l.tenant_id, l.lead_id, l.phone, n.phone_number, n.account_id,
           'msg_' || gen_random_uuid() AS message_id, 'int_' || gen_random_uuid() AS thread_id
    FROM leads l
    JOIN campaigns c ON c.tenant_id = l.tenant_id AND c.campaign_id = l.campaign_id
    JOIN phone_numbers n ON n.tenant_id = c.tenant_id AND n.phone_number_id = c.phone_number_id
    WHERE l.tenant_id LIKE $1 ORDER BY random() LIMIT $2
), threads AS (
    INSERT INTO interactions AS t (tenant_id, interaction_id, our_number, lead_phone, lead_id,
        last_seq, last_preview, last_direction)
    SELECT tenant_id, thread_id, phone_number, phone, lead_id, 1, 'Hi', 'outbound' FROM asked
    ON CONFLICT (tenant_id, our_number, lead_phone) DO UPDATE SET last_seq = t.last_seq + 1
    RETURNING tenant_id, interaction_id, lead_id, last_seq
), stored AS (
    INSERT INTO messages (tenant_id, message_id, interaction_id, lead_id, seq, role, source, text,
        status, to_phone, from_phone, account_id, provider, encoding, segments)
    SELECT a.tenant_id, a.message_id, t.interaction_id, t.lead_id, t.last_seq, 'agent', 'api',
           'Hi, following up on your inquiry.', 'queued', a.phone, a.phone_number, a.account_id,
           'simulator', 'GSM-7', 1
    FROM asked a JOIN threads t USING (tenant_id, lead_id)
    RETURNING *
)
INSERT INTO outbox (tenant_id, message_id, interaction_id, seq, account_id, to_phone, from_phone,
    due_at, expires_at)
SELECT tenant_id, message_id, interaction_id, seq, account_id, to_phone, from_phone,
       clock_timestamp(), clock_timestamp() + interval '4 hours' FROM stored
"""


async def _ask(port: int, path: str, method: str = "GET") -> dict[str, float]:
    async with httpx.AsyncClient(trust_env=False) as http:
        answer = await http.request(method, f"http://127.0.0.1:{port}{path}")
        told: dict[str, float] = answer.json()
        return told


async def _worker(bench: Bench, sink: int) -> tuple[float, Cost]:
    """Texts a second, from the first request to the last settlement, and what they cost."""
    async with bench.system() as connection:
        await connection.execute(BRAKE, True)
        await connection.execute(OWE, f"org_{bench.run}%", TEXTS)
        await _ask(sink, "/reset", "POST")
        before = ProcessTimes.read()
        await connection.execute(BRAKE, False)
        deadline = time.monotonic() + 60
        while (seen := await _ask(sink, "/count"))["texts"] < TEXTS or await connection.fetchval(OWED):
            if time.monotonic() > deadline:
                raise RuntimeError("the worker did not finish")
            await asyncio.sleep(0.02)  # each look costs the cores that are measured
        end, spent = time.time(), ProcessTimes.read().since(before)
    if seen["texts"] != TEXTS:
        raise RuntimeError(f"{TEXTS} texts were owed, {seen['texts']:.0f} arrived")
    return TEXTS / (end - seen["first"]), Cost(TEXTS, spent)


async def _client(kind: str, sink: int) -> float:
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.bench.client", kind, str(sink), str(SECONDS),
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    said, _ = await running.communicate()
    return float(said)


async def deliver(bench: Bench) -> list[Figure]:
    """One worker process, alternating with the clients, which run in processes of their own."""
    async with bench.system() as connection:
        await connection.execute(CLEAR)
        sink = int((await connection.fetchval(
            "SELECT base_url FROM provider_accounts WHERE tenant_id LIKE $1 LIMIT 1",
            f"org_{bench.run}%",
        )).rpartition(":")[2])  # fmt: skip
    mine: list[float] = []
    costs: list[Cost] = []
    wires: list[float] = []
    plain: list[float] = []
    with servers.worker(bench):
        await _worker(bench, sink)  # warm
        for _ in range(ROUNDS):
            rate, cost = await _worker(bench, sink)
            mine.append(rate)
            costs.append(cost)
            wires.append(await _client("wire", sink))
            plain.append(await _client("aiohttp", sink))
    name, value = "delivery worker, 200 claimed", f"{spread(mine)} texts/s"
    return [
        Figure(name, value, f"its own client alone {spread(wires)}/s", ratio(mine, wires), 0.75),
        Figure(f"{name}: aiohttp", value, f"aiohttp alone {spread(plain)}/s",
               ratio(mine, plain), 0.5),
        cost_figure(name, "text", costs, 0.7),
    ]  # fmt: skip
