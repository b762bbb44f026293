"""`POST /sms/send` and the bulk send, compared with bare, naive, pgbench and COPY."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import cycle, islice
from statistics import median

import asyncpg

from tests.bench import database, naive, servers
from tests.bench.figures import ROUNDS, SECONDS, Figure, ratio, spread
from tests.bench.later import measure_all_work
from tests.bench.load import Run, drive, post
from tests.bench.processor import Cost, cost_figure, yardstick_figure
from tests.bench.servers import Bench, Lead

BULK = 1000


def requests(leads: list[Lead]) -> Iterator[bytes]:
    """Endless sends to all leads of all tenants."""
    return cycle([
        post(
            "/api/v1/sms/send",
            json.dumps({"leadId": one.lead_id, "message": "Hi, following up on your inquiry."})
            .encode(),
            {"X-API-Key": one.key, "Content-Type": "application/json"},
        )
        for one in leads
    ])  # fmt: skip


def bulks(leads: list[Lead]) -> Iterator[bytes]:
    """Bulk sends, each to a thousand leads of one tenant."""
    by_tenant: dict[str, list[Lead]] = {}
    for one in leads:
        by_tenant.setdefault(one.tenant_id, []).append(one)
    return cycle([
        post(
            "/api/v1/sms/send/bulk",
            json.dumps({"messages": [
                {"leadId": one.lead_id, "message": "Hi, following up on your inquiry."}
                for one in islice(cycle(held), BULK)
            ]}).encode(),
            {"X-API-Key": held[0].key, "Content-Type": "application/json"},
        )
        for held in by_tenant.values()
    ])  # fmt: skip


def told(runs: list[Run], unit: str = "/s") -> str:
    return (f"{spread([r.per_second for r in runs])}{unit}, p50 {median(r.p50 for r in runs):.1f}, "
            f"p99 {median(r.p99 for r in runs):.1f} ms")  # fmt: skip


def none_refused(runs: list[Run]) -> None:
    if refused := sum(run.refused for run in runs):
        raise RuntimeError(f"{refused} requests were refused")


async def prepare_naive(bench: Bench) -> None:
    """Makes the tables of `naive`, with the benchmark's leads."""
    connection = await asyncpg.connect(bench.database_url)
    try:
        await naive.fill(connection, bench.leads)
    finally:
        await connection.close()


async def send(bench: Bench) -> list[Figure]:
    """One web process, 64, 16 and 1 in flight, alternating with the references."""
    await prepare_naive(bench)
    sends = requests(bench.leads)
    with ExitStack() as stack:
        ours = stack.enter_context(servers.web(bench))
        bare = stack.enter_context(servers.reference("bare"))
        plain = stack.enter_context(
            servers.reference("naive", DATABASE_URL=bench.database_url, REDIS_URL=bench.redis_url)
        )
        for port in (ours, bare, plain):
            await drive([port], sends, 16, SECONDS)  # warm
        return [
            *await _at_64(bench, sends, ours, bare, plain),
            *await _at_16(sends, ours, bare),
            *await _at_1(bench, sends, ours),
        ]


async def _at_64(bench: Bench, sends: Iterator[bytes], ours: int, bare: int, plain: int) -> list[Figure]:
    mine: list[Run] = []
    bares: list[Run] = []
    naives: list[Run] = []
    tps: list[float] = []
    for _ in range(ROUNDS):
        mine.append(await drive([ours], sends, 64, SECONDS))
        bares.append(await drive([bare], sends, 64, SECONDS))
        naives.append(await drive([plain], sends, 64, SECONDS))
        if database.TOOL:
            tps.append((await database.pgbench(bench, 32))[0])
    none_refused(mine + naives)
    name, rates = "send, 64 in flight", [run.per_second for run in mine]
    figures = [
        Figure(name, told(mine), f"bare {told(bares)}",
               ratio(rates, [r.per_second for r in bares]), 0.7),
        Figure(f"{name}: naive", told(mine), f"naive {told(naives)}",
               ratio(rates, [r.per_second for r in naives]), 20),
    ]  # fmt: skip
    limit = f"pgbench, 32 clients {spread(tps)}/s" if tps else database.WHY_NOT
    figures.append(Figure(f"{name}: pgbench", told(mine), limit, ratio(rates, tps) if tps else None, 1.1))
    return [
        *figures,
        cost_figure(name, "text", [run.cost for run in mine], 0.7),
        await measure_all_work(bench, name, "text", lambda: drive([ours], sends, 64, SECONDS)),
        yardstick_figure([run.cost for run in bares]),
    ]


async def _at_16(sends: Iterator[bytes], ours: int, bare: int) -> list[Figure]:
    mine: list[Run] = []
    bares: list[Run] = []
    for _ in range(ROUNDS):
        mine.append(await drive([ours], sends, 16, SECONDS))
        bares.append(await drive([bare], sends, 16, SECONDS))
    none_refused(mine)
    name = "send, 16 in flight"
    return [
        Figure(name, told(mine), f"bare {told(bares)}",
               ratio([r.per_second for r in mine], [r.per_second for r in bares]), 0.5),
        Figure(f"{name}: p99", told(mine), f"bare {told(bares)}",
               ratio([r.p99 for r in mine], [r.p99 for r in bares]), 2, "less"),
        cost_figure(name, "text", [run.cost for run in mine]),
    ]  # fmt: skip


async def _at_1(bench: Bench, sends: Iterator[bytes], ours: int) -> list[Figure]:
    mine: list[Run] = []
    latencies: list[float] = []
    for _ in range(ROUNDS):
        mine.append(await drive([ours], sends, 1, SECONDS))
        if database.TOOL:
            latencies.append((await database.pgbench(bench, 1))[1])
    none_refused(mine)
    name = "send, 1 in flight: p50"
    cost = cost_figure("send, 1 in flight", "text", [run.cost for run in mine])
    if not latencies:
        return [Figure(name, told(mine), database.WHY_NOT, None, 3, "less"), cost]
    limit = f"pgbench, 1 client: mean {median(latencies):.2f} ms"
    return [Figure(name, told(mine), limit, ratio([r.p50 for r in mine], latencies), 3, "less"), cost]


async def two(bench: Bench) -> list[Figure]:
    """Two web processes with 64 in flight, compared with two of bare."""
    sends = requests(bench.leads)
    with ExitStack() as stack:
        ours = [stack.enter_context(servers.web(bench)) for _ in range(2)]
        bare = [stack.enter_context(servers.reference("bare")) for _ in range(2)]
        mine: list[Run] = []
        bares: list[Run] = []
        for ports in (ours, bare):
            await drive(ports, sends, 16, SECONDS)  # warm
        for _ in range(ROUNDS):
            mine.append(await drive(ours, sends, 64, SECONDS))
            bares.append(await drive(bare, sends, 64, SECONDS))
    none_refused(mine)
    return [
        Figure("send, two web processes, 64 in flight", told(mine), f"bare {told(bares)}",
               ratio([r.per_second for r in mine], [r.per_second for r in bares]), 0.6,
               note="one generator drives both: it bounds bare first"),
        cost_figure("send, two web processes, 64 in flight", "text", [run.cost for run in mine]),
    ]  # fmt: skip


async def bulk(bench: Bench) -> list[Figure]:
    """A thousand texts in a request, 1 and 4 in flight, compared with pgbench and COPY."""
    asked = bulks(bench.leads)
    figures: list[Figure] = []
    with servers.web(bench) as ours:
        await drive([ours], asked, 4, SECONDS)  # warm
        for in_flight, of_pgbench, of_copy in ((1, 3.0, 0.10), (4, 5.0, 0.15)):
            mine: list[Run] = []
            tps: list[float] = []
            copied: list[float] = []
            for _ in range(ROUNDS):
                mine.append(await drive([ours], asked, in_flight, SECONDS))
                if database.TOOL:
                    tps.append((await database.pgbench(bench, 8))[0])
                copied.append(await database.copy(bench, 1.0))
            none_refused(mine)
            name = f"bulk of 1,000, {in_flight} in flight"
            texts = [run.per_second * BULK for run in mine]
            value = (f"{spread(texts)} texts/s, p50 {median(r.p50 for r in mine):.0f}, "
                     f"p99 {median(r.p99 for r in mine):.0f} ms")  # fmt: skip
            limit = f"pgbench, 8 clients {spread(tps)}/s" if tps else database.WHY_NOT
            figures += [
                Figure(f"{name}: pgbench", value, limit, ratio(texts, tps) if tps else None,
                       of_pgbench),
                Figure(f"{name}: COPY", value, f"COPY {spread(copied)} rows/s",
                       ratio(texts, copied), of_copy),
                cost_figure(name, "text", [Cost(run.cost.items * BULK, run.cost.seconds) for run in mine], 0.22),
            ]  # fmt: skip
    return figures
