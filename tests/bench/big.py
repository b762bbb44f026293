"""`make bench-big`: the list, the search and the store at a million interactions, each compared with
a thousand. Needs `make bench-data`.

It calls the store's functions under row-level security, as the routes do, and the page over HTTP.
It checks the plan of every statement: none may scan a table or skip rows by OFFSET.
"""

import asyncio
import base64
import gc
import random
import re
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from app import embedded, resources, settings
from app.commands import send
from app.domain import ids
from app.domain.orders import Order
from app.main import build_app
from app.operations.migrations import migrate_to_head
from app.store import interactions, pools
from app.store.clock import Clock
from app.store.engine import Database, ReadTx
from app.store.thread_filters import ThreadFilter
from tests.bench import data
from tests.bench.__main__ import recorded
from tests.bench.data import FIRST, LONG, SHORT
from tests.bench.figures import Figure
from tests.web.people import add_person, browser
from tests.world import served

OUTPUT = Path("tests/output/bench-big.json")
EMAIL = "bench@example.com"
PAGES = {
    "the list": "/conversations",
    "the list, narrowed": "/conversations?status=follow_up",
    "a thread of 10,000": f"/conversations/{LONG}",
    "a thread of 50": f"/conversations/{SHORT}",
}
TIMES, WARM, ROUNDS = 20, 5, 5
"""Repetitions of one case in a round. The two data sets alternate."""
Case = Callable[[ReadTx, random.Random], Awaitable[object]]
OLD_NAME = """
SELECT t.interaction_id FROM interactions t
JOIN leads l ON l.tenant_id = t.tenant_id AND l.lead_id = t.lead_id
WHERE t.tenant_id = $1 AND concat_ws(' ', l.first_name, l.last_name) ILIKE $2
ORDER BY t.last_message_at DESC, t.interaction_id DESC LIMIT 51
"""
"""The obvious search by name, to show what it costs."""


@dataclass(frozen=True, slots=True)
class Size:
    """One of the two data sets."""

    database: Database
    size: int
    url: str
    redis_url: str


def listing(**narrowed: Any) -> Case:
    async def case(read: ReadTx, _: random.Random) -> object:
        return await interactions.list_page(read, FIRST, ThreadFilter(**narrowed), None, 51)

    return case


async def deep(read: ReadTx, chance: random.Random) -> object:
    before = (data.NOW - timedelta(seconds=chance.uniform(0, 31_000_000)), "int_5")
    return await interactions.list_page(read, FIRST, ThreadFilter(), before, 51)


async def by_phone(read: ReadTx, chance: random.Random) -> object:
    digits = f"{chance.randrange(10**7):07d}"
    return await interactions.list_page(read, FIRST, ThreadFilter(search=digits), None, 51)


def by_name(*names: str) -> Case:
    async def case(read: ReadTx, chance: random.Random) -> object:
        name = chance.choice(names)
        return await interactions.list_page(read, FIRST, ThreadFilter(search=name), None, 51)

    return case


async def rare_name(read: ReadTx, chance: random.Random) -> object:
    name = data.last_name(chance.randrange(1000) * 3 + 1)
    return await interactions.list_page(read, FIRST, ThreadFilter(search=name), None, 51)


async def first_and_last(read: ReadTx, chance: random.Random) -> object:
    name = f"{chance.choice(data.FIRSTS)} {chance.choice(data.LASTS)}"
    return await interactions.list_page(read, FIRST, ThreadFilter(search=name), None, 51)


def by_text(*words: str) -> Case:
    async def case(read: ReadTx, chance: random.Random) -> object:
        narrowed = ThreadFilter(search=chance.choice(words), in_messages=True)
        return await interactions.list_page(read, FIRST, narrowed, None, 51)

    return case


def texts(thread: str) -> Case:
    async def case(read: ReadTx, chance: random.Random) -> object:
        before = chance.randrange(60, 10_000) if thread == LONG else 51
        return await interactions.get_transcript_page(read, FIRST, thread, None, before, 50)

    return case


async def naive_name(read: ReadTx, chance: random.Random) -> object:
    name = chance.choice([*data.LASTS[:5], data.last_name(chance.randrange(1000) * 3 + 1)])
    return await read.fetch_rows_without_rls(OLD_NAME, FIRST, f"%{name}%")


COMMON = data.LASTS[:8]
LISTS: dict[str, Case] = {
    "list: first page": listing(),
    "list: page at any depth": deep,
    "list: campaign": listing(campaign_ids=["campaign_3"]),
    "list: client": listing(client_ids=["client_3"]),
    "list: offer": listing(offer_ids=["offer_2"]),
    "list: status": listing(statuses=["qualified"]),
    "list: two statuses": listing(statuses=["qualified", "completed"]),
    "list: campaign and status": listing(campaign_ids=["campaign_3"], statuses=["qualified"]),
    "list: unread": listing(unread=True),
    "list: lead": listing(lead_id="lead_100"),
    "list: dates": listing(start=data.NOW - timedelta(days=90), end=data.NOW - timedelta(days=60)),
    "list: who needs a person": listing(needs_person=True),
    "list: who needs nobody": listing(needs_person=False),
}
BESIDE_FIRST_PAGE = ("list: page at any depth", "list: campaign and status")
"""Compared with the first page as well. Of the latter, a thousand threads do not fill a page."""
NAMES: dict[str, Case] = {
    "search: name, common": by_name(*COMMON),
    "search: name, first and last": first_and_last,
    "search: name, rare": rare_name,
    "search: name, nobody's": by_name("Qqzzyx", "Xylophon"),
}
TEXTS: dict[str, Case] = {
    "search: text, rare": by_text("zyzzyva"),
    "search: text, common": by_text("panels", "tomorrow", "battery"),
    "search: text, two words": by_text("panels battery", "permit inspector"),
    "search: text, three words": by_text("panels battery crew", "permit inspector tesla"),
    "search: text, nowhere": by_text("qqzzyx"),
}


async def timed(size: Size, case: Case, times: int, chance: random.Random) -> list[float]:
    """The milliseconds of each repetition, in one transaction under row-level security."""
    took = []
    async with size.database.read_tx(FIRST) as read:
        for _ in range(times):
            began = time.perf_counter()
            await case(read, chance)
            took.append((time.perf_counter() - began) * 1000)
    return took


async def both(small: Size, big: Size, case: Case, times: int = TIMES) -> list[list[float]]:
    """All repetitions with the small and the big data set in alternation."""
    chance = random.Random(11)
    seen: list[list[float]] = [[], []]
    for size in (small, big):
        await timed(size, case, WARM, chance)
    for _ in range(ROUNDS):
        for size, values in zip((small, big), seen, strict=True):
            values += await timed(size, case, times, chance)
    return seen


def cut(values: Sequence[float], percent: int) -> float:
    return quantiles(values, n=100)[percent - 1]


def told(values: Sequence[float]) -> str:
    return f"p50 {cut(values, 50):.2f}, p95 {cut(values, 95):.2f}, p99 {cut(values, 99):.2f} ms"


async def lists(small: Size, big: Size) -> list[Figure]:
    figures = []
    first_page: list[float] = []
    for name, case in {**LISTS, "search: phone's end": by_phone}.items():
        few, many = await both(small, big, case)
        first_page = first_page or many
        goal = 3 if name.startswith("search") else 2
        has_few_threads = name == "list: campaign and status"
        figures.append(Figure(name, told(many), f"at 1,000{', three threads' * has_few_threads}: {told(few)}",
                              cut(many, 95) / cut(few, 95), None if has_few_threads else goal, "less"))  # fmt: skip
        if name in BESIDE_FIRST_PAGE:
            figures.append(Figure(name, told(many), f"the first page at a million: {told(first_page)}",
                                  cut(many, 95) / cut(first_page, 95), 2, "less"))  # fmt: skip
            ours, others = [median(await spend(big, each)) for each in (case, LISTS["list: first page"])]
            figures.append(Figure(f"{name}: processor", f"{ours:.2f} ms", f"first page {others:.2f} ms",
                                  ours / others, 2, "less"))  # fmt: skip
    return figures


async def spend(size: Size, case: Case) -> list[float]:
    """The milliseconds of processor time of each repetition: PostgreSQL's and ours. Others on the machine slow
    them down less than the clock says."""
    chance, spent = random.Random(), []
    async with size.database.read_tx(FIRST) as read:
        for _ in range(WARM + TIMES * ROUNDS):
            before = read_spent_ms(read)
            await case(read, chance)
            spent.append(read_spent_ms(read) - before)
    return spent[WARM:]


def read_spent_ms(read: ReadTx) -> float:
    """Processor time of this process and of its server process."""
    server_pid = read._connection.get_server_pid()
    nanoseconds, *_ = Path(f"/proc/{server_pid}/schedstat").read_text().split()
    return (int(nanoseconds) + time.process_time_ns()) / 1e6


async def names(small: Size, big: Size) -> list[Figure]:
    _, plain = await both(small, big, naive_name, 2)
    limit = f"ILIKE over the join: {told(plain)}"
    figures, everything = [], []
    for name, case in NAMES.items():
        _, many = await both(small, big, case)
        everything += many
        figures.append(Figure(name, told(many), limit, cut(many, 95) / cut(plain, 95), 0.12, "less"))
        figures.append(Figure(f"{name}: p99 to p50", told(many), "itself",
                              cut(many, 99) / cut(many, 50), 3, "less"))  # fmt: skip
    return figures


async def words(small: Size, big: Size) -> list[Figure]:
    figures = []
    for name, case in TEXTS.items():
        few, many = await both(small, big, case)
        figures.append(Figure(name, told(many), f"at 1,000: {told(few)}; ms",
                              cut(many, 95), 150, "less"))  # fmt: skip
        spent = median(await spend(big, case))
        figures.append(Figure(f"{name}: processor", f"{spent:.1f} ms", "ms", spent))
    return figures


async def transcripts(small: Size, big: Size) -> list[Figure]:
    long, short = [], []
    chance = random.Random(5)
    for _ in range(ROUNDS):
        long += await timed(big, texts(LONG), TIMES, chance)
        short += await timed(big, texts(SHORT), TIMES, chance)
    return [Figure("transcript: page of 50 in a thread of 10,000", told(long),
                   f"in one of 50: {told(short)}", cut(long, 95) / cut(short, 95), 1.5,
                   "less")]  # fmt: skip


async def inserts(small: Size, big: Size) -> list[Figure]:
    """Stores batches of 50 sends to any leads, as the batcher does; the data sets alternate each second."""
    chance = random.Random(3)
    rates: tuple[list[float], list[float]] = ([], [])
    await asyncio.gather(merge_words(small), merge_words(big))
    for turn in range(ROUNDS + 1):
        for size, seen in zip((small, big), rates, strict=True):
            stored, began = 0, time.perf_counter()
            while (took := time.perf_counter() - began) < 1.5:
                async with size.database.batch() as batch:
                    sent = await send.accept_batch(batch, _orders(size, chance))
                if any(not hasattr(one, "message_id") for one in sent):
                    raise RuntimeError(f"a send was refused: {sent[0]}")
                stored += len(sent)
            took += await merge_words(size)
            if turn:
                seen.append(stored / took)
    from tests.bench.figures import ratio, spread

    return [Figure("set-based insert of 50", f"{spread(rates[1])} texts/s",
                   f"at 1,000: {spread(rates[0])}/s", ratio(rates[1], rates[0]), 0.35)]  # fmt: skip


async def merge_words(size: Size) -> float:
    """Puts the words that wait into their index, which else some later text or vacuum does; the seconds it takes."""
    began = time.perf_counter()
    async with size.database.system_tx() as tx:
        await tx.execute("SET LOCAL ROLE NONE")  # the index's owner alone may
        await tx.execute("SELECT gin_clean_pending_list('ix_messages_folded')")
    return time.perf_counter() - began


def _orders(size: Size, chance: random.Random) -> list[Order]:
    chosen: list[Order] = []
    while len(chosen) < 50:
        i = chance.randrange(2, size.size)
        tenant = f"org_big_{data.tenant_of(i):03d}"
        if tenant == FIRST:
            continue  # the lists are measured, and must be the same at the next run
        chosen.append(
            Order(
                tenant_id=tenant,
                message_id=ids.make("msg"),
                thread_id=ids.make("int"),
                lead_id=f"lead_{i}",
                text="Hi, following up on your inquiry.",
                source="api",
                actor="key_bench",
            )
        )
    return chosen


class Looking:
    """A connection that records the plan of each statement before it runs it."""

    def __init__(self, connection: Any, seen: list[tuple[str, Any]]) -> None:
        self._connection = connection
        self._seen = seen

    async def fetch(self, sql: str, *args: Any, **more: Any) -> Any:
        plan = await self._connection.fetch(f"EXPLAIN (FORMAT JSON) {sql}", *args)
        self._seen.append((sql, plan[0][0]))
        return await self._connection.fetch(sql, *args, **more)

    async def fetchrow(self, sql: str, *args: Any, **more: Any) -> Any:
        return await self._connection.fetchrow(sql, *args, **more)


def scans(plan: Any) -> list[str]:
    """The tables that the plan scans completely."""
    if isinstance(plan, list):
        return [name for one in plan for name in scans(one)]
    if not isinstance(plan, dict):
        return []
    here = [plan["Relation Name"]] if plan.get("Node Type") == "Seq Scan" else []
    return here + [name for value in plan.values() for name in scans(value)]


async def pages(_: Size, big: Size) -> list[Figure]:
    """The page over HTTP, as a signed-in person gets it, with the big data set."""
    given = settings.load(
        database_url=big.url, redis_url=big.redis_url,
        secret_keys=base64.urlsafe_b64encode(b"the large data set's sealing key").decode(),
    )  # fmt: skip
    figures = []
    async with resources.open_resources(given) as held, served(build_app(given, held)) as base:
        sam = browser(base)
        async with held.database.system_tx() as tx:
            await tx.execute("DELETE FROM users WHERE email = $1", EMAIL)
        await add_person(held, FIRST, EMAIL)
        assert (await sam.sign_in(EMAIL)).status_code == 303
        gc.freeze()  # as a web process does at its start; here a full collection takes 0.3 s
        for name, path in PAGES.items():
            took = []
            for n in range(WARM + TIMES * ROUNDS):
                began = time.perf_counter()
                await sam.page(path)
                if n >= WARM:
                    took.append((time.perf_counter() - began) * 1000)
            cut = quantiles(took, n=100)
            value = f"p50 {cut[49]:.1f}, p95 {cut[94]:.1f}, p99 {cut[98]:.1f} ms"
            figures.append(Figure(f"page: {name}, p95", value, "50 ms", cut[94], 50, "less"))
        await sam.http.aclose()
    return figures


async def plans(_: Size, big: Size) -> list[Figure]:
    """Asserts that no statement above scans a table or has an OFFSET."""
    seen: list[tuple[str, Any]] = []
    cases = {**LISTS, "phone": by_phone, **NAMES, **TEXTS, "texts": texts(LONG)}
    async with big.database.read_tx(FIRST) as read:
        looking = ReadTx(Looking(read._connection, seen), b"", big.database.two_roles)
        for case in cases.values():
            await case(looking, random.Random(1))
    bad = [name for sql, plan in seen for name in scans(plan)]
    offsets = sum(bool(re.search(r"OFFSET\s+[^0\s]", sql)) for sql, _ in seen)  # OFFSET 0 skips nothing
    return [Figure(f"plans of {len(seen)} statements", ", ".join(bad) or "no sequential scan",
                   f"{offsets} with OFFSET", len(bad) + offsets, 0, "less")]  # fmt: skip


PARTS: dict[str, Callable[[Size, Size], Awaitable[list[Figure]]]] = {
    "lists": lists,
    "names": names,
    "words": words,
    "texts": transcripts,
    "pages": pages,
    "plans": plans,
    "inserts": inserts,
}


@asynccontextmanager
async def opened(url: str, redis_url: str) -> AsyncIterator[Size]:
    clock = Clock(redis_url)
    database = await pools.connect(url, clock)
    database.phone_key = b"bench"
    try:
        async with database.system_tx() as tx:
            size = await tx.fetch_value("SELECT reltuples::bigint FROM pg_class WHERE oid = 'interactions'::regclass")
        yield Size(database, round(size, -3), url, redis_url)
    finally:
        await database.close()
        await clock.close()


async def measure(base: str, redis_url: str, only: Sequence[str]) -> None:
    async with (
        opened(data.named(base, "bench_small"), redis_url) as small,
        opened(data.named(base, "bench_big"), redis_url) as big,
    ):
        for name in only or PARTS:
            with recorded(OUTPUT, name) as figures:
                figures += await PARTS[name](small, big)


def main(only: Sequence[str]) -> int:
    if not data.FOLDER.exists():
        print("there are no data: make bench-data", file=sys.stderr)
        return 2
    with data.server() as server, embedded.serve_valkey(data.FOLDER) as clock:
        for name in ("bench_small", "bench_big"):
            migrate_to_head(data.named(server.url, name))
        asyncio.run(measure(server.url, clock.url, only))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
