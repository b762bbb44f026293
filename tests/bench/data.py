"""`make bench-data` (SIZE=1000000): a large data set and a small one, by COPY.

Two databases on one embedded PostgreSQL below `.data-bench`: SIZE interactions with ten times as
many texts, and a thousand with ten thousand. There are a hundred tenants. The first has 60 % of
all, with one thread of 10,000 texts and one of 50. Every interaction has its own lead. Some names
are frequent and most are rare, as people's names are.

During the copy, triggers are off and indexes and foreign keys are dropped; afterwards they are as
the migrations made them.
"""

import asyncio
import random
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
from sqlalchemy.engine import make_url

from app import embedded
from app.embedded.postgres import SERVER_SETTINGS
from app.embedded.supervisor import Server
from app.operations.migrations import migrate_to_head

FOLDER = Path(".data-bench")
SIZE, SMALL, EACH = 1_000_000, 1_000, 10
TENANTS = 100
FIRST = "org_big_000"
LONG, SHORT = "int_long", "int_short"
"""The threads of 10,000 and of 50 texts, in the first tenant."""
NOW = datetime(2026, 11, 1, tzinfo=UTC)
STATUSES = ("in_progress", "completed", "incomplete", "follow_up", "qualified", "disqualified",
            "dnc")  # fmt: skip
LASTS = ("Smith", "Johnson", "Williams", "Brown", "Jones", "Garcia", "Miller", "Davis", "Nguyen",
         "Lopez", "Wilson", "Anderson", "Thomas", "Taylor", "Moore", "Jackson", "Martin", "Lee",
         "Perez", "Thompson", "White", "Harris", "Sanchez", "Clark", "Ramirez", "Lewis",
         "Robinson", "Walker", "Young", "Allen", "King", "Wright", "Scott", "Torres", "Hill",
         "Flores", "Green", "Adams", "Nelson", "Baker")  # fmt: skip
FIRSTS = ("James", "Mary", "Robert", "Patricia", "John", "Jennifer", "Michael", "Linda", "David",
          "Elizabeth", "William", "Barbara", "Richard", "Susan", "Joseph", "Jessica", "Thomas",
          "Sarah", "Carlos", "Karen", "Daniel", "Nancy", "Matthew", "Lisa", "Anthony", "Betty",
          "Mark", "Margaret", "Zoe", "Ximena")  # fmt: skip
SYLLABLES = ("ba", "ce", "di", "fo", "gu", "ha", "je", "ki", "lo", "mu", "na", "pe", "ri", "so",
             "tu", "va", "we", "xi", "yo", "zu")  # fmt: skip
TALK = """thanks the roof price panels call me tomorrow morning after work yes no maybe when can
you come look at house please send more about monthly bill my wife husband asked how long does it
take good time next week weekend sure sounds great what is total cost with loan without any down
payment we own home since garage south side shade trees battery tesla insurance permit city
inspector crew install warranty years"""
Rows = Iterator[bytes]


def tenant_of(i: int) -> int:
    """The tenant of interaction `i`; the first tenant has 60 %."""
    return 0 if i % 10 < 6 else 1 + i // 10 % (TENANTS - 1)


def last_name(i: int) -> str:
    """A third of all leads share forty names; the others have rarer names, made of syllables."""
    if i % 3 == 0:
        return LASTS[min(i // 3 % 97, i // 3 % 53, 39)]
    n = i * 2654435761 % 64_000_000
    return "".join(SYLLABLES[n // 20**k % 20] for k in range(4)).capitalize()


def phone_of(i: int) -> str:
    return f"+1{2_000_000_000 + i * 7_919 % 7_999_999_999:010d}"


def leads(size: int) -> Rows:
    for i in range(size):
        first = FIRSTS[min(i % 31, i % 47, 29)]
        yield (f"org_big_{tenant_of(i):03d}\tlead_{i}\t{first}\t{last_name(i)}\t{phone_of(i)}\t"
               f"campaign_{i % 20}\n").encode()  # fmt: skip


def at(i: int, size: int) -> datetime:
    """The time of its last text: spread over a year, independent of the order of ids."""
    return NOW - timedelta(seconds=(i * 48_271 % size) * (31_536_000 / size))


def interactions(size: int) -> Rows:
    for i in range(size):
        tenant = tenant_of(i)
        status = STATUSES[min(i // 7 % 11, 6)]
        name, texts = thread(i)
        yield (f"org_big_{tenant:03d}\t{name}\t+1212{200 + tenant:03d}0000\t{phone_of(i)}\t"
               f"lead_{i}\tcampaign_{i % 20}\t{status}\t{texts}\t{int(i % 9 == 0)}\tHello\t"
               f"inbound\t{at(i, size).isoformat()}\n").encode()  # fmt: skip


def thread(i: int) -> tuple[str, int]:
    """Name and number of texts of a thread."""
    return {0: (LONG, 10_000), 1: (SHORT, 50)}.get(i, (f"int_{i:08d}", EACH))


def messages(size: int) -> Rows:
    chance = random.Random(7)
    words = TALK.split()
    texts = [" ".join(chance.choices(words, k=9)).capitalize() for _ in range(20_000)]
    for i in range(size):
        name, count = thread(i)
        tenant = tenant_of(i)
        when = at(i, size).isoformat()
        for s in range(1, count + 1):
            text = texts[(i * 31 + s * 17) % 20_000]
            if (i * 10 + s) % 50_021 == 0:
                text += " zyzzyva"
            who = "user\tinbound\treceived" if s % 2 else "agent\tapi\tdelivered"
            yield (f"org_big_{tenant:03d}\tmsg_{i:08d}{s:05d}\t{name}\tlead_{i}\t{s}\t{who}\t"
                   f"{text}\tSM{i:09d}{s:05d}\tacct_{tenant:03d}\t{when}\n").encode()  # fmt: skip


TABLES: dict[str, tuple[tuple[str, ...], Callable[[int], Rows]]] = {
    "leads": (("tenant_id", "lead_id", "first_name", "last_name", "phone", "campaign_id"), leads),
    "interactions": (
        ("tenant_id", "interaction_id", "our_number", "lead_phone", "lead_id", "campaign_id",
         "status", "last_seq", "unread_count", "last_preview", "last_direction",
         "last_message_at"),
        interactions,
    ),
    "messages": (
        ("tenant_id", "message_id", "interaction_id", "lead_id", "seq", "role", "source",
         "status", "text", "provider_message_id", "account_id", "created_at"),
        messages,
    ),
}  # fmt: skip
DIRECTORY = """
INSERT INTO tenants (tenant_id, name)
SELECT 'org_big_' || lpad(t::text, 3, '0'), 'Big ' || t FROM generate_series(0, {last}) t;
INSERT INTO provider_accounts (tenant_id, account_id, provider, name, credentials, hints)
SELECT 'org_big_' || lpad(t::text, 3, '0'), 'acct_' || lpad(t::text, 3, '0'), 'simulator', 'Big',
       '', '{{}}' FROM generate_series(0, {last}) t;
INSERT INTO phone_numbers (tenant_id, phone_number_id, phone_number, account_id, capabilities)
SELECT 'org_big_' || lpad(t::text, 3, '0'), 'num', '+1212' || 200 + t || '0000',
       'acct_' || lpad(t::text, 3, '0'), '{{sms}}' FROM generate_series(0, {last}) t;
INSERT INTO campaigns (tenant_id, campaign_id, name, phone_number_id, client_id, offer_id)
SELECT 'org_big_' || lpad(t::text, 3, '0'), 'campaign_' || c, 'Campaign ' || c, 'num',
       'client_' || c % 5, 'offer_' || c % 4
FROM generate_series(0, {last}) t, generate_series(0, 19) c;
"""
AWAY = """
SELECT c.conrelid::regclass::text AS on, c.conname AS name, pg_get_constraintdef(c.oid) AS made
FROM pg_constraint c
WHERE c.contype = 'f' AND (c.conrelid::regclass::text = ANY ($1) OR
                           c.confrelid::regclass::text = ANY ($1))
"""
INDEXES = """
SELECT i.indexrelid::regclass::text AS name, pg_get_indexdef(i.indexrelid) AS made
FROM pg_index i LEFT JOIN pg_constraint c ON c.conindid = i.indexrelid AND c.contype IN ('p', 'u')
WHERE i.indrelid::regclass::text = ANY ($1) AND c.oid IS NULL
"""
KEYS = """
SELECT c.conrelid::regclass::text AS on, c.conname AS name, pg_get_constraintdef(c.oid) AS made
FROM pg_constraint c
WHERE c.contype IN ('p', 'u') AND c.conrelid::regclass::text = ANY ($1)
"""


async def load(url: str, size: int) -> None:
    """Fills an empty, migrated database."""
    connection = await asyncpg.connect(url)
    try:
        names = list(TABLES)
        async with connection.transaction():
            if await connection.fetchval("SELECT count(*) FROM pg_roles WHERE rolname = $1",
                                         "app_system"):  # fmt: skip
                await connection.execute("SET LOCAL ROLE app_system")
            await connection.execute(DIRECTORY.format(last=TENANTS - 1))
        foreign = await connection.fetch(AWAY, names)
        indexes = await connection.fetch(INDEXES, names)
        keys = await connection.fetch(KEYS, names)
        for one in foreign:
            await connection.execute(f"ALTER TABLE {one['on']} DROP CONSTRAINT {one['name']}")
        for one in indexes:
            await connection.execute(f"DROP INDEX {one['name']}")
        for one in keys:
            await connection.execute(f"ALTER TABLE {one['on']} DROP CONSTRAINT {one['name']}")
        await connection.execute("SET maintenance_work_mem = '1GB'")
        for name, (columns, rows) in TABLES.items():
            await _copy(connection, name, columns, rows(size), _rows_of(name, size))
        for one in keys + foreign:
            await _timed(
                connection, one["name"],
                f"ALTER TABLE {one['on']} ADD CONSTRAINT {one['name']} {one['made']}",
            )  # fmt: skip
        for one in indexes:
            await _timed(connection, one["name"], one["made"])
        await connection.execute("VACUUM ANALYZE")
    finally:
        await connection.close()


def _rows_of(name: str, size: int) -> int:
    return size if name != "messages" else sum(thread(i)[1] for i in range(2)) + (size - 2) * EACH


async def _timed(connection: Any, name: str, statement: str) -> None:
    began = time.perf_counter()
    await connection.execute(statement, timeout=7200)
    print(f"  {name:<60} {time.perf_counter() - began:7.1f} s", flush=True)


async def _copy(connection: Any, name: str, columns: tuple[str, ...], rows: Rows, total: int) -> None:
    # COPY is refused under row-level security; the owner switches it off meanwhile.
    forced = await connection.fetchval("SELECT relforcerowsecurity FROM pg_class WHERE oid = $1::text::regclass", name)
    await connection.execute(f"ALTER TABLE {name} NO FORCE ROW LEVEL SECURITY")
    await connection.execute(f"ALTER TABLE {name} DISABLE TRIGGER USER")
    await connection.copy_to_table(name, source=_shown(rows, name, total), columns=columns,
                                   timeout=7200)  # fmt: skip
    await connection.execute(f"ALTER TABLE {name} ENABLE TRIGGER USER")
    if forced:
        await connection.execute(f"ALTER TABLE {name} FORCE ROW LEVEL SECURITY")


async def _shown(rows: Rows, name: str, total: int) -> AsyncIterator[bytes]:
    """Yields the rows in pieces and draws a progress bar."""
    began, done, piece = time.perf_counter(), 0, bytearray()
    for row in rows:
        piece += row
        done += 1
        if len(piece) > 262_144:
            yield bytes(piece)
            piece.clear()
            _bar(name, done, total, began)
    yield bytes(piece)
    _bar(name, done, total, began)
    print(flush=True)


def _bar(name: str, done: int, total: int, began: float) -> None:
    part = done / total
    rate = done / max(time.perf_counter() - began, 0.001)
    if sys.stdout.isatty() or done == total:
        print(f"\r  {name:<13} [{'#' * int(part * 30):<30}] {part:4.0%} {done:>11,} rows, "
              f"{rate:,.0f}/s", end="", flush=True)  # fmt: skip


async def fresh(url: str, name: str) -> str:
    """A new, empty database on the same server; its address."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(f"DROP DATABASE IF EXISTS {name}")
        await connection.execute(f"CREATE DATABASE {name}")
    finally:
        await connection.close()
    return named(url, name)


def named(url: str, name: str) -> str:
    return make_url(url).set(database=name).render_as_string(hide_password=False)


def server() -> Server:
    """PostgreSQL with the memory settings of a server of this size."""
    SERVER_SETTINGS["shared_buffers"] = "1GB"
    return embedded.serve_postgres(FOLDER)


def main(size: int) -> int:
    FOLDER.mkdir(exist_ok=True)
    FOLDER.chmod(0o755)
    with server() as running:
        for name, rows in (("bench_small", SMALL), ("bench_big", size)):
            print(f"{name}: {rows:,} interactions, {_rows_of('messages', rows):,} texts")
            url = asyncio.run(fresh(running.url, name))
            migrate_to_head(url)
            asyncio.run(load(url, rows))
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else SIZE))
