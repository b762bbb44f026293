"""What is measured: the service on embedded servers with seeded data; and how its processes start."""

import base64
import contextlib
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import httpx

from app import embedded
from app.access import keys
from app.access.sealing import Seal
from app.operations.migrations import migrate_to_head

SECRET = base64.urlsafe_b64encode(b"the benchmark's own sealing key!").decode()
TENANTS, LEADS = 100, 100_000
START_SECONDS = 120.0
"""The longest start of a process; a busy machine takes half a minute."""
PUBLIC = "http://bench.example"
"""The URL that the carrier signs."""
TWILIO = {"accountSid": "AC0123456789abcdef0123456789abcdef", "authToken": "bench-token"}


@dataclass(frozen=True, slots=True)
class Lead:
    """A lead, with its tenant's key and its carrier's secrets."""

    tenant_id: str
    lead_id: str
    phone: str
    key: str
    number: str
    """The sender of its campaign."""
    twilio_account: str
    twilio_number: str


@dataclass(frozen=True, slots=True)
class Bench:
    """The addresses of the servers, and the seeded data."""

    database_url: str
    redis_url: str
    run: str = ""
    """A part of every id of this run."""
    leads: list[Lead] = field(default_factory=list)
    """In mixed order: neighbours have different tenants."""

    @contextlib.asynccontextmanager
    async def system(self) -> AsyncIterator[Any]:
        """A connection with the rights of the service's system role."""
        connection = await connect(self.database_url)
        try:
            yield connection
        finally:
            await connection.close()


async def connect(url: str) -> Any:
    """A connection as `app_system`, if that role exists."""
    connection = await asyncpg.connect(url)
    with contextlib.suppress(asyncpg.PostgresError):
        await connection.execute("SET ROLE app_system")
    return connection


@contextmanager
def servers() -> Iterator[Bench]:
    """PostgreSQL (durable, so commits are real; migrated) and Valkey."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="leadsail-bench-")))
        folder.chmod(0o755)
        database = os.environ.get("DATABASE_URL") or (stack.enter_context(embedded.serve_postgres(folder)).url)
        clock = os.environ.get("REDIS_URL") or stack.enter_context(embedded.serve_valkey(folder)).url
        migrate_to_head(database)
        yield Bench(database, clock)


TENANT = """
WITH tenant AS (
    INSERT INTO tenants (tenant_id, name) VALUES ($1, 'Bench')
), key AS (
    INSERT INTO api_keys (tenant_id, key_id, name, scope, prefix, digest)
    VALUES ($1, 'key_' || $2, 'bench', 'admin', $3, $4)
), accounts AS (
    INSERT INTO provider_accounts
        (tenant_id, account_id, provider, name, credentials, hints, base_url)
    VALUES ($1, 'acct_' || $2, 'simulator', 'bench', $5, '{}', $9),
           ($1, 'twilio_' || $2, 'twilio', 'bench', $6, '{}', $9)
), numbers AS (
    INSERT INTO phone_numbers (tenant_id, phone_number_id, phone_number, account_id, capabilities,
        messages_per_second)
    VALUES ($1, 'num_' || $2, $7, 'acct_' || $2, '{sms}', 1000000),
           ($1, 'twin_' || $2, $8, 'twilio_' || $2, '{sms}', 1000000)
), agents AS (
    INSERT INTO sms_agents (tenant_id, sms_agent_id, name, phone_number_id, webhook_url, secret,
        agent_mode_by_default)
    VALUES ($1, 'agent_' || $2, 'Bench', 'twin_' || $2, $9 || '/agent', $10, true)
)
INSERT INTO campaigns (tenant_id, campaign_id, name, phone_number_id)
VALUES ($1, 'campaign', 'Bench', 'num_' || $2)
"""
LEAD_ROWS = """
INSERT INTO leads (tenant_id, lead_id, first_name, last_name, phone, campaign_id)
SELECT $1, 'lead_' || i, 'Lead', 'No ' || i, $2 || lpad(i::text, 4, '0'), 'campaign'
FROM generate_series(0, $3 - 1) i
"""

THREADS = """
INSERT INTO interactions (tenant_id, interaction_id, our_number, lead_phone, lead_id, campaign_id,
    last_seq, last_preview, last_direction)
SELECT tenant_id, 'int_seed_' || lead_id, $2, phone, lead_id, campaign_id, 1, 'Hi', 'outbound'
FROM leads WHERE tenant_id = $1
"""
TEXTS = """
INSERT INTO messages (tenant_id, message_id, interaction_id, lead_id, seq, role, source, text,
    status)
SELECT tenant_id, 'msg_seed_' || lead_id, interaction_id, lead_id, 1, 'agent', 'api', 'Hi',
       'delivered'
FROM interactions WHERE tenant_id = $1
"""


FORGET_EVENTS = "DELETE FROM tenant_events"
"""Else a worker would count the events of the seeded rows for figures, while it is measured."""


BEGIN_FIGURES = """
INSERT INTO figure_cursors (tenant_id, transaction, event_id)
SELECT tenant_id, pg_snapshot_xmin(pg_current_snapshot()), 0 FROM tenants ON CONFLICT DO NOTHING
"""
"""Else a worker would mark all hours since the seeded ids, which name one of half a century ago."""


async def seed(url: str, sink: int = 9) -> tuple[str, list[Lead]]:
    """Makes tenants, each with a key, two accounts, two numbers, an agent, a campaign and its share of
    leads. Each lead has a thread of one text; with empty tables the first minute would measure
    plans for empty tables. Carriers and agents are the sink on that port; pacing is off."""
    seal = Seal([base64.urlsafe_b64decode(SECRET)])
    sealed = seal.close_words({"secret": "bench"}), seal.close_words(TWILIO)
    signing = seal.close(b"whsec_" + base64.b64encode(b"the bench's agents' secret, long"))
    run = f"{time.time_ns():x}"
    each = LEADS // TENANTS
    leads: list[Lead] = []
    connection = await connect(url)
    try:
        for t in range(TENANTS):
            tenant, fresh, name = f"org_{run}{t:03d}", keys.make(), f"{run}{t:03d}"
            number, twin = f"+1212{200 + t:03d}{t:04d}", f"+1332{200 + t:03d}{t:04d}"
            await connection.execute(
                TENANT, tenant, name, fresh.prefix, fresh.digest,
                *sealed, number, twin, f"http://127.0.0.1:{sink}", signing,
            )  # fmt: skip
            area = f"+1415{200 + t:03d}"
            await connection.execute(LEAD_ROWS, tenant, area, each)
            await connection.execute(THREADS, tenant, number)
            await connection.execute(TEXTS, tenant)
            leads += [
                Lead(
                    tenant,
                    f"lead_{i}",
                    f"{area}{i:04d}",
                    fresh.full_key,
                    number,
                    f"twilio_{name}",
                    twin,
                )
                for i in range(each)
            ]
        await connection.execute(FORGET_EVENTS)
        await connection.execute(BEGIN_FIGURES)
        await connection.execute("RESET ROLE")
        await connection.execute("VACUUM (ANALYZE)")  # else the first minute would pay for what is seeded
    finally:
        await connection.close()
    random.Random(1).shuffle(leads)
    return run, leads


@contextmanager
def process(arguments: list[str], port: int, **env: str) -> Iterator[int]:
    """Starts a Python process; returns once it answers /health/live on `port`."""
    with started(arguments, PORT=str(port), **env) as running:
        wait(port, running)
        yield port


@contextmanager
def started(arguments: list[str], **env: str) -> Iterator[subprocess.Popen[bytes]]:
    """Starts a Python process and ends it at the end of the block."""
    running = subprocess.Popen(
        [sys.executable, *arguments],
        env={**os.environ, "HOST": "127.0.0.1", "LOG_LEVEL": "WARNING", **env},
    )
    try:
        yield running
    finally:
        running.terminate()
        running.wait(30)


def environment(bench: Bench) -> dict[str, str]:
    """The environment of a process of the service."""
    return {
        "DATABASE_URL": bench.database_url, "REDIS_URL": bench.redis_url, "SECRET_KEYS": SECRET,
        "PUBLIC_BASE_URL": PUBLIC, "ALLOWED_PRIVATE_NETWORKS": "127.0.0.0/8",
    }  # fmt: skip


def web(bench: Bench, **env: str) -> contextlib.AbstractContextManager[int]:
    """Starts one web process of the service."""
    return process(["-m", "app", "web"], free_port(), **environment(bench), **env)


def worker(bench: Bench) -> contextlib.AbstractContextManager[subprocess.Popen[bytes]]:
    """Starts one worker process of the service."""
    return started(["-m", "app", "worker"], **environment(bench))


def reference(module: str, **env: str) -> contextlib.AbstractContextManager[int]:
    """Starts one process of a reference: `bare`, `form` or `naive`."""
    return process(["-m", f"tests.bench.{module}"], free_port(), **env)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait(port: int, running: subprocess.Popen[bytes]) -> None:
    """Waits until the process answers on its port."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if running.poll() is not None:
            break
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"http://127.0.0.1:{port}/health/live", trust_env=False).is_success:
                return
        time.sleep(0.05)
    raise RuntimeError(f"nothing answers on port {port}")
