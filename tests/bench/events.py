"""One worker delivers events to an endpoint: how many a second, and how late at a hundred a second."""

import asyncio
import time
from statistics import median, quantiles

import httpx

from tests.bench import servers
from tests.bench.figures import ROUNDS, Figure, spread
from tests.bench.servers import Bench

EVENTS, THREADS = 5_000, 500
PER_SECOND, STEADY_SECONDS = 100, 10
ENDPOINT = """
INSERT INTO webhook_endpoints (tenant_id, endpoint_id, url, secret)
SELECT tenant_id, 'hook_bench', base_url || '/events', $2 FROM provider_accounts
WHERE tenant_id = $1 AND provider = 'simulator'
"""
SECRET = "SELECT secret FROM sms_agents WHERE tenant_id = $1"
HAPPEN = """
INSERT INTO tenant_events (tenant_id, type, name, interaction_id, data, before)
SELECT $1, 'receipt', 'message.sent', 'int_' || (($4::int + n) % $3),
       jsonb_build_object('messageId', 'msg_' || n, 'seq', n, 'role', 'agent', 'source', 'api', 'status', 'sent',
                          'errorCode', NULL, 'leadId', 'lead_' || n, 'turnId', NULL, 'bulkId', NULL,
                          'accountId', 'acct_bench'), '{"status": "sending"}'
FROM generate_series(1, $2::int) n
RETURNING transaction::text || '-' || event_id AS id
"""
OWED = "SELECT EXISTS (SELECT FROM webhook_queue WHERE tenant_id = $1)"


async def _heard(sink: int, count: int) -> dict[str, float]:
    """When each event came, once there are so many."""
    deadline = time.monotonic() + 120
    async with httpx.AsyncClient(trust_env=False) as http:
        while True:
            heard: dict[str, float] = (await http.get(f"http://127.0.0.1:{sink}/turns")).json()
            if len(heard) >= count:
                return heard
            if time.monotonic() > deadline:
                raise RuntimeError(f"{len(heard)} of {count} events came")
            await asyncio.sleep(0.5)


async def _burst(bench: Bench, tenant: str, sink: int) -> float:
    """Events a second from the commit to the last settlement."""
    async with httpx.AsyncClient(trust_env=False) as http:
        await http.post(f"http://127.0.0.1:{sink}/reset")
    async with bench.system() as connection:
        await connection.fetch(HAPPEN, tenant, EVENTS, THREADS, 0)
        began = time.time()
        heard = await _heard(sink, EVENTS)
        while await connection.fetchval(OWED, tenant):
            await asyncio.sleep(0.05)
    return EVENTS / (max(heard.values()) - began)


async def _steady(bench: Bench, tenant: str, sink: int) -> list[float]:
    """Milliseconds from each commit to its POST."""
    async with httpx.AsyncClient(trust_env=False) as http:
        await http.post(f"http://127.0.0.1:{sink}/reset")
    committed: dict[str, float] = {}
    async with bench.system() as connection:
        began = time.monotonic()
        for n in range(PER_SECOND * STEADY_SECONDS):
            await asyncio.sleep(max(began + n / PER_SECOND - time.monotonic(), 0))
            [row] = await connection.fetch(HAPPEN, tenant, 1, THREADS, n)
            committed[row["id"]] = time.time()
    heard = await _heard(sink, len(committed))
    return [(heard[event_id] - at) * 1000 for event_id, at in committed.items()]


async def events(bench: Bench) -> list[Figure]:
    tenant = f"org_{bench.run}000"
    async with bench.system() as connection:
        sealed = await connection.fetchval(SECRET, tenant)
        await connection.execute(ENDPOINT, tenant, sealed)
        url: str = await connection.fetchval("SELECT url FROM webhook_endpoints WHERE tenant_id = $1", tenant)
    sink = int(url.rpartition(":")[2].partition("/")[0])
    rates: list[float] = []
    with servers.worker(bench):
        await _burst(bench, tenant, sink)  # warm
        for _ in range(ROUNDS):
            rates.append(await _burst(bench, tenant, sink))
        late = await _steady(bench, tenant, sink)
    cuts = quantiles(late, n=100)
    return [
        Figure("events, one worker", f"{spread(rates)} events/s", "1,000 events/s", median(rates) / 1000, 1.0),
        Figure("events at 100 a second: p95", f"p50 {cuts[49]:.0f}, p95 {cuts[94]:.0f} ms", "ms from commit to POST",
               cuts[94], 500, "less"),
    ]  # fmt: skip
