"""Scheduled and held texts: they have no `seq` until they are released."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.domain import quiet
from app.domain.words import Purpose
from app.store.engine import Tx, as_columns
from app.store.gates import gate_facts_sql
from app.store.keys import MessageKey
from app.store.rows import columns_of, unnest_sql
from app.store.status_history import add_step_sql


@dataclass(frozen=True, slots=True)
class DueText:
    """A scheduled or held text that is due. `quiet_hours` of its tenant; None: it may be sent at any
    hour. `timezone` of its lead."""

    tenant_id: str
    message_id: str
    interaction_id: str
    to_phone: str
    timezone: str | None
    now: datetime
    quiet_hours: dict[str, Any] | None
    gate_facts: dict[str, Any] | None
    purpose: Purpose | None
    send_at: datetime | None
    lane: int
    matter: str | None
    """The campaign, as caps count it."""


FIND_RELEASABLE_SQL = f"""
SELECT o.tenant_id, o.message_id, o.interaction_id, o.to_phone, l.timezone, clock_timestamp() AS now,
       CASE WHEN (tn.quiet_hours ->> 'enabled')::bool AND NOT o.exempt AND NOT EXISTS (
                SELECT 1 FROM interactions f
                WHERE f.tenant_id = o.tenant_id AND f.lead_phone = o.to_phone
                  AND f.last_inbound_at > clock_timestamp() - $2::interval)
            THEN tn.quiet_hours END AS quiet_hours,
       CASE WHEN NOT o.exempt THEN {gate_facts_sql("o.to_phone", "$2")} END AS gate_facts,
       m.purpose, m.send_at, o.lane, coalesce(m.matter, c.campaign_id) AS matter
FROM outbox o
JOIN messages m ON m.tenant_id = o.tenant_id AND m.message_id = o.message_id
JOIN leads l ON l.tenant_id = m.tenant_id AND l.lead_id = m.lead_id
JOIN tenants tn ON tn.tenant_id = o.tenant_id
JOIN interactions t ON t.tenant_id = o.tenant_id AND t.interaction_id = o.interaction_id
LEFT JOIN campaigns c ON c.tenant_id = o.tenant_id AND c.campaign_id = coalesce(m.matter, t.campaign_id)
WHERE o.state = 'queued' AND o.seq IS NULL AND o.due_at <= (SELECT clock_timestamp())
ORDER BY o.due_at LIMIT $1
"""


async def find_releasable(tx: Tx, limit: int) -> list[DueText]:
    """Finds scheduled and held texts that are due. Locks nothing."""
    return await tx.fetch(DueText, FIND_RELEASABLE_SQL, limit, quiet.REPLY_GRACE)


@dataclass(frozen=True, slots=True)
class HeldText:
    """A text to hold until a time."""

    tenant_id: str
    message_id: str
    until: datetime
    rule: str
    reason: str


HOLD_TEXTS_SQL = f"""
WITH held AS (
    UPDATE outbox o SET due_at = a.until, expires_at = o.expires_at + (a.until - o.due_at)
    FROM {unnest_sql(HeldText)}
    WHERE o.tenant_id = a.tenant_id AND o.message_id = a.message_id
      AND o.state = 'queued' AND o.seq IS NULL AND o.due_at <= clock_timestamp()
    RETURNING o.tenant_id, o.message_id, a.until, a.rule, a.reason
)
UPDATE messages m SET held_until = h.until, held_reason = h.reason, held_rule = h.rule,
    counted_at = CASE WHEN m.counted_at IS NOT NULL THEN h.until END
FROM held h WHERE m.tenant_id = h.tenant_id AND m.message_id = h.message_id
"""


async def hold_texts(tx: Tx, texts: Sequence[HeldText]) -> None:
    """Holds the texts. Their expiry moves by as much."""
    await tx.execute(HOLD_TEXTS_SQL, *columns_of(texts))


@dataclass(frozen=True, slots=True)
class LeftPlace:
    """A text that is held after it had its `seq`, which is free now."""

    tenant_id: str
    interaction_id: str
    message_id: str
    seq: int
    reason: str


HOLD_CLAIMED_SQL = f"""
WITH claimed AS (
    SELECT o.tenant_id, o.message_id, o.interaction_id, o.seq, a.until, a.rule, a.reason
    FROM {unnest_sql(HeldText, first=2)} JOIN outbox o USING (tenant_id, message_id)
    WHERE o.state = 'sending' AND o.lease = $1
    ORDER BY o.tenant_id, o.message_id FOR UPDATE OF o
), held AS (
    UPDATE outbox o SET state = 'queued', seq = NULL, lease = NULL,
        due_at = c.until + c.seq * interval '1 microsecond',  -- so that their order stays
        expires_at = o.expires_at + (c.until - clock_timestamp())
    FROM claimed c WHERE o.tenant_id = c.tenant_id AND o.message_id = c.message_id
)
UPDATE messages m SET seq = NULL, status = 'queued', status_history = {add_step_sql("'queued'")},
    held_until = c.until, held_reason = c.reason, held_rule = c.rule,
    counted_at = CASE WHEN m.counted_at IS NOT NULL THEN c.until END
FROM claimed c WHERE m.tenant_id = c.tenant_id AND m.message_id = c.message_id
RETURNING m.tenant_id, m.interaction_id, m.message_id, c.seq, c.reason
"""


async def hold_claimed(tx: Tx, lease: str, texts: Sequence[HeldText]) -> list[LeftPlace]:
    """Holds texts that were claimed with `lease` and about which no carrier was asked: they lose their place in the
    thread, so that the answers behind them need not wait. Something else has to take the place: a transcript has no
    gap."""
    return await tx.fetch(LeftPlace, HOLD_CLAIMED_SQL, lease, *columns_of(texts))


@dataclass(frozen=True, slots=True)
class ReleasedText:
    tenant_id: str
    interaction_id: str
    source: str
    actor: str | None


RELEASE_TEXTS_SQL = f"""
WITH due AS (
    SELECT o.tenant_id, o.message_id, o.interaction_id, o.due_at FROM outbox o
    JOIN unnest($1::text[], $2::text[]) AS a(tenant_id, message_id) USING (tenant_id, message_id)
    WHERE o.state = 'queued' AND o.seq IS NULL AND o.due_at <= clock_timestamp()
    FOR UPDATE OF o
), placed AS (
    SELECT d.*, m.text, count(*) OVER thread AS together,
           row_number() OVER (thread ORDER BY d.due_at, coalesce(m.send_at, m.created_at), d.message_id) AS nth
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
    counted_at = CASE WHEN m.counted_at IS NOT NULL THEN clock_timestamp() END,
    status_history = CASE WHEN m.status = 'queued' THEN m.status_history ELSE {add_step_sql("'queued'")} END
FROM numbered n WHERE m.tenant_id = n.tenant_id AND m.message_id = n.message_id
RETURNING m.tenant_id, m.interaction_id, m.source, m.actor
"""


async def release(tx: Tx, texts: Sequence[MessageKey]) -> list[ReleasedText]:
    """Gives each text its `seq` and makes it due now. The caller has locked the
    threads. Texts cancelled meanwhile are left out of the result."""
    return await tx.fetch(ReleasedText, RELEASE_TEXTS_SQL, *as_columns(texts, 2))
