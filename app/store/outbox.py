"""What is owed to carriers: claim it, perform elsewhere, settle it.

`due_at` is queue, lease, retry and schedule at once. A claim stamps a lease and every settle
names it: a worker that wakes late changes nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from app.domain.words import RANK
from app.store.engine import Row, Tx, spread

LEASE = timedelta(seconds=30)
UNKNOWN_HOLDS = timedelta(seconds=60)
"""For how long a text of unknown outcome holds back its successors in the thread."""

CLAIM = """
WITH due AS (
    SELECT o.tenant_id, o.message_id, o.state AS was FROM outbox o
    WHERE o.due_at <= clock_timestamp() AND NOT EXISTS (
        SELECT 1 FROM outbox p
        WHERE p.tenant_id = o.tenant_id AND p.interaction_id = o.interaction_id AND p.seq < o.seq
          AND NOT (p.state = 'unknown' AND p.begun_at < clock_timestamp() - $4::interval))
    ORDER BY o.lane, o.due_at LIMIT $1 FOR UPDATE OF o SKIP LOCKED
), claimed AS (
    UPDATE outbox o
    SET state = CASE WHEN due.was <> 'queued' THEN 'unknown'
                     WHEN o.expires_at <= clock_timestamp() THEN 'queued' ELSE 'sending' END,
        begun_at = CASE WHEN due.was = 'queued' THEN clock_timestamp() ELSE o.begun_at END,
        tries = o.tries + (due.was = 'queued')::int,
        lease = $2, due_at = clock_timestamp() + $3::interval
    FROM due WHERE o.tenant_id = due.tenant_id AND o.message_id = due.message_id
    RETURNING o.*, due.was
), marked AS (
    UPDATE messages m
    SET status = c.state, status_history = m.status_history
        || jsonb_build_object('status', c.state, 'at', clock_timestamp())
    FROM claimed c WHERE m.tenant_id = c.tenant_id AND m.message_id = c.message_id
      AND (c.state = 'sending' AND m.status = 'queued'
           OR c.was = 'sending' AND m.status = 'sending')
)
SELECT c.tenant_id, c.message_id, c.interaction_id, c.account_id, c.to_phone, c.from_phone, c.was,
       c.state, c.begun_at, c.tries, c.looked, c.resent,
       c.expires_at - clock_timestamp() AS validity,
       m.text, m.media, m.status AS message_status, a.provider, a.credentials, a.base_url,
       a.active AND EXISTS (
           SELECT 1 FROM phone_numbers n WHERE n.tenant_id = c.tenant_id
           AND n.phone_number = c.from_phone AND n.active) AS sender_active
FROM claimed c
JOIN messages m ON m.tenant_id = c.tenant_id AND m.message_id = c.message_id
JOIN provider_accounts a ON a.tenant_id = c.tenant_id AND a.account_id = c.account_id
"""


async def claim(tx: Tx, lease: str, limit: int) -> list[Row]:
    """Takes up to `limit` due rows, the oldest of each thread, replies before bulk.

    A queued row comes back as `sending`, or as `queued` when its validity has passed; one
    whose lease ran out while `sending`, or that is `unknown`, as `unknown`."""
    return await tx.rows(CLAIM, limit, lease, LEASE, UNKNOWN_HOLDS)


BLOCKED = """
SELECT a.tenant_id, a.message_id FROM unnest($1::text[], $2::text[], $3::text[])
    AS a(tenant_id, message_id, phone)
WHERE EXISTS (SELECT 1 FROM suppressions s
              WHERE s.tenant_id = a.tenant_id AND s.phone = a.phone)
   OR EXISTS (SELECT 1 FROM messages m JOIN leads l USING (tenant_id, lead_id)
              WHERE m.tenant_id = a.tenant_id AND m.message_id = a.message_id
                AND 'sms' = ANY (l.dnc_channels))
   OR NOT EXISTS (SELECT 1 FROM outbox o
              WHERE o.tenant_id = a.tenant_id AND o.message_id = a.message_id AND o.lease = $4)
"""


async def blocked(tx: Tx, claimed: Sequence[tuple[str, str, str]], lease: str) -> set[str]:
    """Of the claimed (tenant, message, phone): those that may no longer leave, because the
    phone was suppressed or the text cancelled since. Runs after the claim's commit, so that
    it sees every STOP that was committed before."""
    rows = await tx.rows(BLOCKED, *spread(claimed, 3), lease)
    return {row["message_id"] for row in rows}


SettledAs = Literal["sent", "queued", "unknown", "failed", "cancelled", "undelivered", "delivered"]


@dataclass(frozen=True, slots=True)
class Settlement:
    """How a claim ended. `again_in`: when to look at the row again; None: it is owed no more."""

    tenant_id: str
    message_id: str
    status: SettledAs
    again_in: timedelta | None = None
    provider_message_id: str | None = None
    code: str | None = None
    message: str | None = None
    looked: int = 0
    resent: bool = False
    outcome: str | None = None
    """Of the attempt to record; None: there was none."""
    at: datetime | None = None
    http_status: int | None = None
    duration_ms: int | None = None
    detail: str | None = None


SETTLE = """
WITH asked AS (
    SELECT a.* FROM unnest($1::text[], $2::text[], $3::text[], $4::interval[], $5::text[],
        $6::text[], $7::text[], $8::int[], $9::bool[], $10::text[], $11::timestamptz[], $12::int[],
        $13::int[], $14::text[])
        AS a(tenant_id, message_id, status, again_in, provider_message_id, code, message, looked,
             resent, outcome, at, http_status, duration_ms, detail)
), owed AS (
    SELECT a.*, o.account_id FROM asked a
    JOIN outbox o ON o.tenant_id = a.tenant_id AND o.message_id = a.message_id AND o.lease = $15
    ORDER BY a.tenant_id, a.message_id FOR UPDATE OF o
), recorded AS (
    INSERT INTO attempts (tenant_id, message_id, attempt, at, outcome, http_status, duration_ms,
        detail)
    SELECT tenant_id, message_id, 1 + (SELECT count(*) FROM attempts b
               WHERE b.tenant_id = a.tenant_id AND b.message_id = a.message_id),
           coalesce(at, clock_timestamp()), outcome, http_status, duration_ms, detail
    FROM owed a WHERE outcome IS NOT NULL
    ON CONFLICT DO NOTHING
), kept AS (
    UPDATE outbox o SET state = CASE a.status WHEN 'unknown' THEN 'unknown' ELSE 'queued' END,
        due_at = CASE a.status WHEN 'unknown' THEN greatest(o.begun_at + a.again_in,
                                                            clock_timestamp())
                      ELSE clock_timestamp() + a.again_in END,
        looked = a.looked, resent = a.resent, lease = NULL
    FROM owed a WHERE o.tenant_id = a.tenant_id AND o.message_id = a.message_id
      AND a.again_in IS NOT NULL
), done AS (
    DELETE FROM outbox o USING owed a
    WHERE o.tenant_id = a.tenant_id AND o.message_id = a.message_id AND a.again_in IS NULL
), early AS (
    DELETE FROM early_receipts e USING owed a
    WHERE e.tenant_id = a.tenant_id AND e.account_id = a.account_id
      AND e.provider_message_id = a.provider_message_id
    RETURNING a.tenant_id, a.message_id, e.status, e.code, e.at
), steps AS (
    SELECT tenant_id, message_id, status, code, message, clock_timestamp() AS at,
           status = 'queued' OR status = 'unknown' AND again_in IS NULL AS forced FROM owed
    UNION ALL SELECT tenant_id, message_id, status, code, NULL, at, false FROM early
), best AS (
    SELECT DISTINCT ON (tenant_id, message_id) * FROM steps
    ORDER BY tenant_id, message_id, ($16::jsonb ->> status)::int DESC
), history AS (
    SELECT tenant_id, message_id, jsonb_agg(jsonb_build_object('status', status, 'at', at)
               ORDER BY at) AS steps
    FROM steps GROUP BY tenant_id, message_id
)
UPDATE messages m SET
    status = CASE WHEN up.yes THEN b.status ELSE m.status END,
    error_code = CASE WHEN up.yes OR b.forced THEN b.code ELSE m.error_code END,
    error_message = CASE WHEN up.yes OR b.forced THEN b.message ELSE m.error_message END,
    provider_message_id = coalesce(m.provider_message_id, a.provider_message_id),
    status_history = CASE WHEN up.yes THEN m.status_history || h.steps ELSE m.status_history END
FROM owed a JOIN best b USING (tenant_id, message_id)
JOIN history h USING (tenant_id, message_id)
CROSS JOIN LATERAL (
    SELECT x.status IN ('sending', 'unknown') AND b.status = 'queued'
        OR ($16::jsonb ->> b.status)::int > ($16::jsonb ->> x.status)::int AS yes
    FROM messages x WHERE x.tenant_id = a.tenant_id AND x.message_id = a.message_id
) up
WHERE m.tenant_id = a.tenant_id AND m.message_id = a.message_id
"""


async def settle(tx: Tx, lease: str, settlements: Sequence[Settlement]) -> None:
    """Records how the claims of `lease` ended, all in one statement; those that another
    worker took over since are left alone. Statuses move forward only, but for `queued`."""
    rows = [
        (
            s.tenant_id, s.message_id, s.status, s.again_in, s.provider_message_id, s.code,
            s.message, s.looked, s.resent, s.outcome, s.at, s.http_status, s.duration_ms, s.detail,
        )
        for s in settlements
    ]  # fmt: skip
    await tx.rows(SETTLE, *spread(rows, 14), lease, RANK)


NEXT = "SELECT min(due_at) - clock_timestamp() FROM outbox"


async def next_due_in(tx: Tx) -> timedelta | None:
    """How long until a row is due (negative: overdue); None when nothing is owed."""
    wait: timedelta | None = await tx.value(NEXT)
    return wait


TAKEN = """
SELECT provider_message_id FROM messages
WHERE tenant_id = $1 AND account_id = $2 AND provider_message_id = ANY ($3) AND message_id <> $4
"""


async def taken(tx: Tx, tenant_id: str, account_id: str, ids: Sequence[str], but: str) -> set[str]:
    """Which of the carrier's ids are linked to another text of ours than `but`."""
    rows = await tx.rows(TAKEN, tenant_id, account_id, list(ids), but)
    return {row["provider_message_id"] for row in rows}


SENDING = """
SELECT extract(epoch FROM clock_timestamp() - max(begun_at))::float8 FROM outbox
WHERE tenant_id = $1 AND to_phone = ANY ($2) AND state = 'sending'
"""


async def seconds_since_claim(tx: Tx, tenant_id: str, phones: Sequence[str]) -> float | None:
    """How long ago the newest text to the phones was claimed for sending; None: none is."""
    seconds: float | None = await tx.value(SENDING, tenant_id, list(phones))
    return seconds
