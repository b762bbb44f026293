"""The outbox: texts owed to carriers. Claim them, send them (elsewhere), settle them.

`due_at` serves as queue order, lease end, retry time and schedule. A claim writes a lease token
and a settle must name it, so a worker whose lease ran out changes nothing (docs/laws.md, law 8).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from app.domain import quiet
from app.domain.words import STATUS_RANK
from app.store.engine import RESTORE_GENERIC_PLANS_SQL, Row, Tx, as_columns
from app.store.may_text import may_not_text_sql
from app.store.status_history import add_step_sql

TEXT_LEASE = timedelta(seconds=30)
UNKNOWN_BLOCK_TIME = timedelta(seconds=60)
"""How long a text of unknown outcome blocks the later texts of its thread."""

PACING_LOOKAHEAD = timedelta(milliseconds=250)
"""A claim takes as many texts of a number as it may send in this time, but at least one."""

CATCH_UP_WAIT = timedelta(seconds=30)
"""After a downtime, an account's numbers send nothing for at most this time, until the missed
inbound texts are fetched: there may be a STOP among them."""

OWED_ROW_SQL = """(SELECT k.* FROM (
        SELECT o.ctid AS place, o.* FROM outbox o
        WHERE o.tenant_id = a.tenant_id AND o.message_id >= a.message_id
        ORDER BY o.message_id LIMIT 1) k
    WHERE k.message_id = a.message_id)"""
"""The outbox row of `a` (tenant_id, message_id); used after LATERAL. ORDER BY … LIMIT 1 forces the
primary-key index: statistics usually say that the outbox is empty, and an empty table makes every
index look equally good. Later steps of the same statement find the row by its ctid (`place`)."""
SENDERS_SQL = """
RECURSIVE senders AS (  -- each number with a queued text: skips through the index
    (SELECT tenant_id, from_phone FROM outbox WHERE state = 'queued' AND seq IS NOT NULL
     ORDER BY tenant_id, from_phone LIMIT 1)
    UNION ALL
    SELECT n.tenant_id, n.from_phone FROM senders s CROSS JOIN LATERAL (
        SELECT o.tenant_id, o.from_phone FROM outbox o
        WHERE o.state = 'queued' AND o.seq IS NOT NULL
          AND (o.tenant_id, o.from_phone) > (s.tenant_id, s.from_phone)
        ORDER BY o.tenant_id, o.from_phone LIMIT 1) n
)
"""
CLAIM_TEXTS_SQL = f"""
WITH {SENDERS_SQL}, numbers AS (  -- that may send now; skips numbers locked by another worker
    SELECT n.tenant_id, n.phone_number AS from_phone, n.free_at, r.rate
    FROM phone_numbers n
    JOIN senders s ON s.tenant_id = n.tenant_id AND s.from_phone = n.phone_number
    JOIN tenants tn ON tn.tenant_id = n.tenant_id
    LEFT JOIN provider_accounts p ON p.tenant_id = n.tenant_id AND p.account_id = n.account_id
    CROSS JOIN LATERAL (
        SELECT coalesce(n.messages_per_second, ($6::jsonb -> p.provider ->> CASE
            WHEN n.phone_number NOT LIKE '+%' THEN 'short'
            WHEN n.phone_number ~ '^\\+18(00|33|44|55|66|77|88)' THEN 'toll_free'
            ELSE 'local' END)::float8, 1) AS rate
    ) r
    WHERE n.free_at <= clock_timestamp() AND n.paused_at IS NULL AND tn.paused_at IS NULL
      AND (p.noticed_at IS NULL OR p.noticed_at < clock_timestamp() - $7::interval)
    FOR NO KEY UPDATE OF n SKIP LOCKED
), free AS (
    SELECT * FROM numbers
    UNION ALL  -- removed numbers: their texts are claimed at once, to fail
    SELECT s.tenant_id, s.from_phone, clock_timestamp(), 1000 FROM senders s
    WHERE NOT EXISTS (SELECT 1 FROM phone_numbers n
                      WHERE n.tenant_id = s.tenant_id AND n.phone_number = s.from_phone)
), candidates AS (
    SELECT c.*, f.rate,
           row_number() OVER (PARTITION BY c.tenant_id ORDER BY c.lane, c.due_at) AS turn
    FROM free f CROSS JOIN LATERAL (
        SELECT q.*, sum(q.segments) OVER (ORDER BY q.lane, q.due_at, q.message_id)
                    - q.segments AS before
        FROM (
            SELECT o.ctid AS place, o.tenant_id, o.message_id, o.from_phone, o.lane, o.due_at,
                   o.segments
            FROM outbox o
            WHERE o.tenant_id = f.tenant_id AND o.from_phone = f.from_phone
              AND o.state = 'queued' AND o.seq IS NOT NULL AND o.due_at <= clock_timestamp()
              AND NOT EXISTS (
                  SELECT 1 FROM outbox p
                  WHERE p.tenant_id = o.tenant_id AND p.interaction_id = o.interaction_id
                    AND p.seq < o.seq
                    AND NOT (p.state = 'unknown' AND p.begun_at < clock_timestamp() - $4::interval))
              AND (o.sms_agent_id IS NULL OR (
                  SELECT g.paused_at FROM sms_agents g WHERE g.tenant_id = o.tenant_id
                    AND g.sms_agent_id = o.sms_agent_id) IS NULL)
            ORDER BY o.lane, o.due_at
            LIMIT least($1::int, 1 + ceil(f.rate * extract(epoch FROM $5::interval)),
                        greatest(8, ceil(2.0 * $1::int / (SELECT count(*) FROM free))))
        ) q
    ) c
    WHERE c.before <= f.rate * extract(epoch FROM $5::interval)
), due AS (
    SELECT o.*, c.seconds
    FROM ((SELECT place, segments / rate AS seconds FROM candidates
           ORDER BY lane, turn, due_at LIMIT $1)
          UNION ALL
          (SELECT ctid, NULL FROM outbox
           WHERE state <> 'queued' AND due_at <= (SELECT clock_timestamp())
           ORDER BY due_at LIMIT $1)
    ) c CROSS JOIN LATERAL (
        SELECT o.ctid AS place, o.tenant_id, o.message_id, o.state AS was, o.from_phone
        FROM outbox o WHERE o.ctid = c.place AND o.due_at <= clock_timestamp()
        FOR UPDATE SKIP LOCKED) o
), spent AS (
    UPDATE phone_numbers n
    SET free_at = greatest(n.free_at, clock_timestamp()) + c.seconds * interval '1 s'
    FROM (SELECT tenant_id, from_phone, sum(seconds) AS seconds
          FROM due WHERE seconds IS NOT NULL GROUP BY tenant_id, from_phone) c
    WHERE n.tenant_id = c.tenant_id AND n.phone_number = c.from_phone
), claimed AS (
    UPDATE outbox o
    SET state = CASE WHEN due.was <> 'queued' THEN 'unknown'
                     WHEN o.expires_at <= clock_timestamp() THEN 'queued' ELSE 'sending' END,
        begun_at = CASE WHEN due.was = 'queued' THEN clock_timestamp() ELSE o.begun_at END,
        tries = o.tries + (due.was = 'queued')::int,
        lease = $2, due_at = clock_timestamp() + $3::interval
    FROM due WHERE o.ctid = due.place
    RETURNING o.*, due.was
), marked AS (
    UPDATE messages m
    SET status = c.state, status_history = {add_step_sql("c.state")}
    FROM claimed c WHERE m.tenant_id = c.tenant_id AND m.message_id = c.message_id
      AND (c.state = 'sending' AND m.status = 'queued'
           OR c.was = 'sending' AND m.status = 'sending')
)
SELECT c.tenant_id, c.message_id, c.interaction_id, c.account_id, c.to_phone, c.from_phone, c.was,
       c.state, c.begun_at, c.tries, c.looked, c.resent, c.exempt,
       c.expires_at - clock_timestamp() AS validity, clock_timestamp() - c.begun_at AS age,
       m.text, nullif(m.media, '[]') AS media, m.turn_id, m.status AS message_status,
       a.provider, a.credentials, a.base_url,
       a.active AND EXISTS (
           SELECT 1 FROM phone_numbers n WHERE n.tenant_id = c.tenant_id
           AND n.phone_number = c.from_phone AND n.active) AS sender_active
FROM claimed c
JOIN messages m ON m.tenant_id = c.tenant_id AND m.message_id = c.message_id
JOIN provider_accounts a ON a.tenant_id = c.tenant_id AND a.account_id = c.account_id
WHERE {RESTORE_GENERIC_PLANS_SQL}
"""
PacingRates = Mapping[str, Mapping[str, float]]
"""Segments per second, by provider and kind of number (`local`, `toll_free`, `short`)."""


async def claim(tx: Tx, lease: str, limit: int, rates: PacingRates) -> list[Row]:
    """Claims up to `limit` due texts: the oldest of each thread, replies before bulk, tenants in
    rotation, and as many per number as its pacing allows now (the claim counts them as sent).

    A queued text comes back as `sending`, or as `queued` if its validity is over. A text whose
    outcome is `unknown`, or whose lease ran out while `sending`, comes back as `unknown`.

    Where many numbers have texts, each gives only a few; the next claim follows at once."""
    await tx.plan_afresh()
    return await tx.fetch_rows(
        CLAIM_TEXTS_SQL,
        limit,
        lease,
        TEXT_LEASE,
        UNKNOWN_BLOCK_TIME,
        PACING_LOOKAHEAD,
        rates,
        CATCH_UP_WAIT,
    )


FIND_BLOCKED_SQL = f"""
SELECT x.message_id, CASE WHEN x.gone THEN 'gone' WHEN x.suppressed THEN 'suppressed'
                          ELSE 'stale' END AS why
FROM (
    SELECT a.message_id, o.message_id IS NULL AS gone,
           NOT o.exempt AND {may_not_text_sql("a.tenant_id", "a.phone", "m.dnc_channels")} AS suppressed,
           o.guarded AND (
               SELECT true FROM turns u
               JOIN messages n ON n.tenant_id = u.tenant_id
                   AND n.interaction_id = m.interaction_id AND n.seq > u.through_seq
                   AND n.role = 'user' AND n.forwardable
               WHERE u.tenant_id = a.tenant_id AND u.turn_id = m.turn_id LIMIT 1) IS NOT NULL
               AS stale
    FROM unnest($1::text[], $2::text[], $3::text[]) AS a(tenant_id, message_id, phone)
    -- LIMIT makes it a lookup per text: a join might read the whole outbox.
    LEFT JOIN LATERAL {OWED_ROW_SQL} o ON o.lease = $4
    LEFT JOIN LATERAL (
        SELECT m.interaction_id, m.turn_id, l.dnc_channels
        FROM messages m JOIN leads l ON l.tenant_id = m.tenant_id AND l.lead_id = m.lead_id
        WHERE m.tenant_id = a.tenant_id AND m.message_id = a.message_id LIMIT 1) m ON true
) x WHERE x.gone OR x.suppressed OR x.stale
"""
BlockReason = Literal["gone", "suppressed", "stale"]


async def find_blocked(tx: Tx, claimed_texts: Sequence[tuple[str, str, str]], lease: str) -> dict[str, BlockReason]:
    """Which of the claimed (tenant, message, phone) may no longer be sent, and why: `suppressed`
    (the phone), `gone` (the text was cancelled) or `stale` (the lead wrote again after the turn
    that the text answers). Run it after the claim's commit: then it sees every STOP committed
    before."""
    await tx.plan_afresh()
    rows = await tx.fetch_rows(FIND_BLOCKED_SQL, *as_columns(claimed_texts, 3), lease)
    return {row["message_id"]: row["why"] for row in rows}


SettledStatus = Literal["sent", "queued", "unknown", "failed", "cancelled", "undelivered", "delivered"]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request to a carrier."""

    outcome: str
    at: datetime | None = None
    """When the text was claimed; None: now."""
    http_status: int | None = None
    duration_ms: int | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Settlement:
    """How a claim ended. `due_in`: when to claim the text again; None: it is no longer owed."""

    tenant_id: str
    message_id: str
    status: SettledStatus
    due_in: timedelta | None = None
    provider_message_id: str | None = None
    code: str | None = None
    message: str | None = None
    lookups: int = 0
    was_resent: bool = False
    attempt: Attempt | None = None
    """The attempt to record; None: there was none."""


IS_FORWARD_SQL = """(m.status IN ('sending', 'unknown') AND b.status = 'queued'
        OR ($16::jsonb ->> b.status)::int > ($16::jsonb ->> m.status)::int)"""
SETTLE_TEXTS_SQL = f"""
WITH asked AS (
    SELECT a.* FROM unnest($1::text[], $2::text[], $3::text[], $4::interval[], $5::text[],
        $6::text[], $7::text[], $8::int[], $9::bool[], $10::text[], $11::timestamptz[], $12::int[],
        $13::int[], $14::text[])
        AS a(tenant_id, message_id, status, again_in, provider_message_id, code, message, looked,
             resent, outcome, at, http_status, duration_ms, detail)
), owed AS (
    SELECT a.*, o.place, o.account_id
    FROM (SELECT * FROM asked ORDER BY tenant_id, message_id) a
    CROSS JOIN LATERAL {OWED_ROW_SQL} s
    CROSS JOIN LATERAL (
        SELECT o.ctid AS place, o.account_id FROM outbox o
        WHERE o.ctid = s.place AND o.lease = $15 FOR UPDATE) o
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
    FROM owed a WHERE o.ctid = a.place AND a.again_in IS NOT NULL
), done AS (
    DELETE FROM outbox o USING owed a WHERE o.ctid = a.place AND a.again_in IS NULL
), early AS (
    DELETE FROM early_receipts e USING owed a
    WHERE e.tenant_id = a.tenant_id AND e.account_id = a.account_id
      AND e.provider_message_id = a.provider_message_id
    RETURNING a.tenant_id, a.message_id, e.status, e.code, e.message, e.at,
        a.provider_message_id
), steps AS (
    SELECT tenant_id, message_id, status, code, message, clock_timestamp() AS at,
           provider_message_id,
           status = 'queued' OR status = 'unknown' AND again_in IS NULL AS forced FROM owed
    UNION ALL
    SELECT tenant_id, message_id, status, code, message, at, provider_message_id, false FROM early
), best AS (  -- the furthest step of each text, and all its steps as its history
    SELECT DISTINCT ON (tenant_id, message_id) *,
           jsonb_agg(jsonb_build_object('status', status, 'at', at)) OVER (
               PARTITION BY tenant_id, message_id ORDER BY at
               ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS history
    FROM steps ORDER BY tenant_id, message_id, ($16::jsonb ->> status)::int DESC
)
-- Compares with the locked row itself: a joined copy may be older.
UPDATE messages m SET
    status = CASE WHEN {IS_FORWARD_SQL} THEN b.status ELSE m.status END,
    error_code = CASE WHEN {IS_FORWARD_SQL} OR b.forced THEN b.code ELSE m.error_code END,
    error_message = CASE WHEN {IS_FORWARD_SQL} OR b.forced THEN b.message ELSE m.error_message END,
    provider_message_id = coalesce(m.provider_message_id, b.provider_message_id),
    status_history = CASE WHEN {IS_FORWARD_SQL} THEN m.status_history || b.history
                     ELSE m.status_history END
FROM best b
WHERE m.tenant_id = b.tenant_id AND m.message_id = b.message_id AND {RESTORE_GENERIC_PLANS_SQL}
"""


async def settle(tx: Tx, lease: str, settlements: Sequence[Settlement]) -> None:
    """Records how the claims of `lease` ended, in one statement. Rows that another worker has
    claimed since are left alone. A status moves forward only, except back to `queued`."""
    await tx.plan_afresh()
    await tx.fetch_rows(SETTLE_TEXTS_SQL, *settlement_columns(settlements), lease, STATUS_RANK)


def settlement_columns(settlements: Sequence[Settlement]) -> list[list[object]]:
    """The first 14 parameters of `SETTLE_TEXTS_SQL`."""
    rows = [
        (
            s.tenant_id,
            s.message_id,
            s.status,
            s.due_in,
            s.provider_message_id,
            s.code,
            s.message,
            s.lookups,
            s.was_resent,
            *_attempt_values(s.attempt),
        )
        for s in settlements
    ]
    return as_columns(rows, 14)


def _attempt_values(attempt: Attempt | None) -> tuple[object, ...]:
    if attempt is None:
        return (None,) * 5
    return attempt.outcome, attempt.at, attempt.http_status, attempt.duration_ms, attempt.detail


FIND_LEASED_SQL = """
SELECT o.message_id FROM outbox o
JOIN unnest($1::text[], $2::text[]) AS a(tenant_id, message_id) USING (tenant_id, message_id)
WHERE o.lease = $3
"""


async def find_leased(tx: Tx, lease: str, keys: Sequence[tuple[str, str]]) -> set[str]:
    """The ids of those texts (tenant, message) that are still claimed under this lease."""
    return {row["message_id"] for row in await tx.fetch_rows(FIND_LEASED_SQL, *as_columns(keys, 2), lease)}


GET_TIME_UNTIL_FREE_SQL = f"""
WITH {SENDERS_SQL}
SELECT min(n.free_at) - clock_timestamp() FROM senders s
JOIN phone_numbers n ON n.tenant_id = s.tenant_id AND n.phone_number = s.from_phone
JOIN tenants tn ON tn.tenant_id = n.tenant_id
WHERE n.free_at > clock_timestamp() AND n.paused_at IS NULL AND tn.paused_at IS NULL
"""


async def get_time_until_free(tx: Tx) -> timedelta | None:
    """How long until pacing lets the next number with queued texts send; None: none waits."""
    wait: timedelta | None = await tx.fetch_value(GET_TIME_UNTIL_FREE_SQL)
    return wait


FIND_RELEASABLE_SQL = """
SELECT o.tenant_id, o.message_id, o.interaction_id, o.to_phone, o.due_at, m.source, l.timezone,
       clock_timestamp() AS now,
       CASE WHEN (tn.quiet_hours ->> 'enabled')::bool AND NOT o.exempt AND NOT EXISTS (
                SELECT 1 FROM interactions f
                WHERE f.tenant_id = o.tenant_id AND f.lead_phone = o.to_phone
                  AND f.last_inbound_at > clock_timestamp() - $2::interval)
            THEN tn.quiet_hours END AS quiet_hours
FROM outbox o
JOIN messages m ON m.tenant_id = o.tenant_id AND m.message_id = o.message_id
JOIN leads l ON l.tenant_id = m.tenant_id AND l.lead_id = m.lead_id
JOIN tenants tn ON tn.tenant_id = o.tenant_id
WHERE o.state = 'queued' AND o.seq IS NULL AND o.due_at <= clock_timestamp()
ORDER BY o.due_at LIMIT $1
"""


async def find_releasable(tx: Tx, limit: int) -> list[Row]:
    """Finds scheduled and held texts that are due. Locks nothing."""
    return await tx.fetch_rows(FIND_RELEASABLE_SQL, limit, quiet.REPLY_GRACE)


HOLD_TEXTS_SQL = """
WITH held AS (
    UPDATE outbox o SET due_at = a.until, expires_at = o.expires_at + (a.until - o.due_at)
    FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS a(tenant_id, message_id, until)
    WHERE o.tenant_id = a.tenant_id AND o.message_id = a.message_id
      AND o.state = 'queued' AND o.seq IS NULL AND o.due_at <= clock_timestamp()
    RETURNING o.tenant_id, o.message_id, a.until
)
UPDATE messages m SET held_until = h.until, held_reason = $4
FROM held h WHERE m.tenant_id = h.tenant_id AND m.message_id = h.message_id
"""


async def hold_texts(tx: Tx, texts: Sequence[tuple[str, str, datetime]], why: str) -> None:
    """Holds each (tenant, message) until the given time. Their expiry moves by as much."""
    await tx.execute(HOLD_TEXTS_SQL, *as_columns(texts, 3), why)


RELEASE_TEXTS_SQL = f"""
WITH due AS (
    SELECT o.tenant_id, o.message_id, o.interaction_id, o.due_at FROM outbox o
    JOIN unnest($1::text[], $2::text[]) AS a(tenant_id, message_id) USING (tenant_id, message_id)
    WHERE o.state = 'queued' AND o.seq IS NULL AND o.due_at <= clock_timestamp()
    FOR UPDATE OF o
), placed AS (
    SELECT d.*, m.text, count(*) OVER thread AS together,
           row_number() OVER (thread ORDER BY d.due_at, d.message_id) AS nth
    FROM due d JOIN messages m USING (tenant_id, message_id)
    WINDOW thread AS (PARTITION BY d.tenant_id, d.interaction_id)
), threads AS (
    UPDATE interactions t SET last_seq = t.last_seq + p.together, last_preview = left(p.text, 160),
        last_direction = 'outbound', last_message_at = clock_timestamp(),
        updated_at = clock_timestamp()
    FROM placed p WHERE p.nth = p.together
      AND t.tenant_id = p.tenant_id AND t.interaction_id = p.interaction_id
    RETURNING t.tenant_id, t.interaction_id, t.last_seq
), numbered AS (
    SELECT p.tenant_id, p.message_id, p.interaction_id, t.last_seq - p.together + p.nth AS seq
    FROM placed p JOIN threads t USING (tenant_id, interaction_id)
), owed AS (
    UPDATE outbox o SET seq = n.seq, due_at = clock_timestamp()
    FROM numbered n WHERE o.tenant_id = n.tenant_id AND o.message_id = n.message_id
)
UPDATE messages m SET seq = n.seq, held_until = NULL, held_reason = NULL, status = 'queued',
    status_history = CASE WHEN m.status = 'queued' THEN m.status_history ELSE {add_step_sql("'queued'")} END
FROM numbered n WHERE m.tenant_id = n.tenant_id AND m.message_id = n.message_id
RETURNING m.tenant_id, m.interaction_id, m.source
"""


async def release(tx: Tx, texts: Sequence[tuple[str, str]]) -> list[Row]:
    """Gives each (tenant, message) its `seq` and makes it due now. The caller has locked the
    threads. Texts cancelled meanwhile are left out of the result."""
    return await tx.fetch_rows(RELEASE_TEXTS_SQL, *as_columns(texts, 2))


FIND_LINKED_IDS_SQL = """
SELECT provider_message_id FROM messages
WHERE tenant_id = $1 AND account_id = $2 AND provider_message_id = ANY ($3) AND message_id <> $4
"""


async def find_linked_ids(
    tx: Tx, tenant_id: str, account_id: str, ids: Sequence[str], except_message_id: str
) -> set[str]:
    """Which of the carrier's ids belong to one of our texts other than `except_message_id`."""
    rows = await tx.fetch_rows(FIND_LINKED_IDS_SQL, tenant_id, account_id, list(ids), except_message_id)
    return {row["provider_message_id"] for row in rows}


GET_SECONDS_SINCE_CLAIM_SQL = """
SELECT extract(epoch FROM clock_timestamp() - max(begun_at))::float8 FROM outbox
WHERE tenant_id = $1 AND to_phone = ANY ($2) AND state = 'sending'
"""


async def seconds_since_claim(tx: Tx, tenant_id: str, phones: Sequence[str]) -> float | None:
    """Seconds since the newest text to the phones was claimed; None: none is being sent."""
    seconds: float | None = await tx.fetch_value(GET_SECONDS_SINCE_CLAIM_SQL, tenant_id, list(phones))
    return seconds
