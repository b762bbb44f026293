"""The references of the database alone: `pgbench` and `COPY`. Do not change them."""

import asyncio
import os
import re
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import asyncpg
from sqlalchemy.engine import make_url

from tests.bench.servers import LEADS, TENANTS, Bench

TOOL = shutil.which("pgbench") or next(
    (str(path) for path in sorted(Path("/usr/lib/postgresql").glob("*/bin/pgbench"))), None
)
WHY_NOT = "pgbench is not installed (Debian: postgresql-contrib)"
SCRIPT = """\\set t random(0, {tenants} - 1)
\\set l random(0, {leads} - 1)
WITH key AS (
    SELECT k.tenant_id FROM api_keys k
    WHERE k.tenant_id = 'org_{run}' || lpad((:t)::text, 3, '0')
      AND k.key_id = 'key_{run}' || lpad((:t)::text, 3, '0') AND k.revoked_at IS NULL
), found AS (
    SELECT l.tenant_id, l.lead_id, l.phone, c.campaign_id, n.phone_number, n.account_id
    FROM key JOIN leads l ON l.tenant_id = key.tenant_id AND l.lead_id = 'lead_' || (:l)::text
    JOIN campaigns c ON c.tenant_id = l.tenant_id AND c.campaign_id = l.campaign_id
    JOIN phone_numbers n ON n.tenant_id = c.tenant_id AND n.phone_number_id = c.phone_number_id
    WHERE NOT EXISTS (SELECT 1 FROM suppressions s
                      WHERE s.tenant_id = l.tenant_id AND s.phone = l.phone)
), thread AS (
    INSERT INTO interactions AS t (tenant_id, interaction_id, our_number, lead_phone, lead_id,
        campaign_id, last_seq, last_preview, last_direction)
    SELECT tenant_id, 'int_' || gen_random_uuid(), phone_number, phone, lead_id, campaign_id, 1,
           'Hi, following up on your inquiry.', 'outbound' FROM found
    ON CONFLICT (tenant_id, our_number, lead_phone) DO UPDATE
    SET last_seq = t.last_seq + 1, last_message_at = clock_timestamp(),
        last_preview = excluded.last_preview, last_direction = 'outbound',
        updated_at = clock_timestamp()
    RETURNING tenant_id, interaction_id, last_seq, lead_id
), stored AS (
    INSERT INTO messages (tenant_id, message_id, interaction_id, lead_id, seq, role, source, text,
        status, to_phone, from_phone, account_id, provider, encoding, segments)
    SELECT t.tenant_id, 'msg_' || to_hex((extract(epoch FROM clock_timestamp()) * 1e6)::bigint)
               || substr(gen_random_uuid()::text, 1, 8),
           t.interaction_id, t.lead_id, t.last_seq, 'agent', 'api',
           'Hi, following up on your inquiry.', 'queued', f.phone, f.phone_number, f.account_id,
           'simulator', 'GSM-7', 1
    FROM thread t JOIN found f ON f.tenant_id = t.tenant_id
    RETURNING tenant_id, message_id, interaction_id, seq, account_id, to_phone, from_phone
)
INSERT INTO outbox (tenant_id, message_id, interaction_id, seq, account_id, to_phone, from_phone,
    expires_at)
SELECT tenant_id, message_id, interaction_id, seq, account_id, to_phone, from_phone,
       clock_timestamp() + interval '4 hours' FROM stored;
"""
"""The single-statement send: key, lead, campaign, number, suppression, thread, text, outbox."""
TPS = re.compile(r"tps = ([\d.]+)")
LATENCY = re.compile(r"latency average = ([\d.]+) ms")


async def pgbench(bench: Bench, clients: int, seconds: int = 2) -> tuple[float, float]:
    """Transactions a second, and the mean latency in milliseconds."""
    assert TOOL
    url = make_url(bench.database_url)
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write(SCRIPT.format(tenants=TENANTS, leads=LEADS // TENANTS, run=bench.run))
        script.flush()
        env = {
            **os.environ,
            "PGHOST": str(url.host), "PGPORT": str(url.port or 5432), "PGUSER": str(url.username),
            "PGPASSWORD": str(url.password or ""), "PGDATABASE": str(url.database),
            "PGOPTIONS": "-c role=app_system -c plan_cache_mode=force_generic_plan "
                         "-c enable_seqscan=off -c jit=off",
        }  # fmt: skip
        running = await asyncio.create_subprocess_exec(
            TOOL, "-n", "-M", "prepared", "-c", str(clients), "-T", str(seconds), "-f", script.name,
            env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        said, wrong = await running.communicate()
    tps, latency = TPS.search(said.decode()), LATENCY.search(said.decode())
    if running.returncode or not tps or not latency or b"aborted" in wrong:
        raise RuntimeError(f"pgbench: {wrong.decode()[-2000:]}")
    return float(tps[1]), float(latency[1])


TABLE = """
CREATE TABLE IF NOT EXISTS bench_copy (LIKE messages INCLUDING DEFAULTS INCLUDING INDEXES)
"""
COLUMNS = ("tenant_id", "message_id", "interaction_id", "lead_id", "seq", "role", "source", "text",
           "status", "to_phone", "from_phone", "account_id", "provider", "encoding",
           "segments")  # fmt: skip
Row = tuple[str | int, ...]


async def copy(bench: Bench, seconds: float, of: int = 1000) -> float:
    """Rows a second into a table with the columns and indexes of `messages`, but without triggers and
    foreign keys; `of` rows in a transaction."""
    connection = await asyncpg.connect(bench.database_url)
    try:
        await connection.execute(TABLE)
        rows, began = 0, time.perf_counter()
        while (at := time.perf_counter()) - began < seconds:
            await connection.copy_records_to_table("bench_copy", records=_batch(bench, of, rows, at), columns=COLUMNS)
            rows += of
        return rows / (time.perf_counter() - began)
    finally:
        await connection.close()


def _batch(bench: Bench, of: int, so_far: int, at: float) -> Sequence[Row]:
    tenant = f"org_{bench.run}{so_far // of % TENANTS:03d}"
    return [
        (
            tenant, f"msg_{int(at * 1e6):012x}{i:04d}", f"int_{int(at * 1e6):x}", f"lead_{i}", i,
            "agent", "api", "Hi, following up on your inquiry.", "queued", "+14152000000",
            "+12122000000", "acct_bench", "simulator", "GSM-7", 1,
        )
        for i in range(of)
    ]  # fmt: skip
