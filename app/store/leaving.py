"""The last look at claimed texts before they leave: whether they may still be sent, and now."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from app.domain import quiet
from app.domain.words import Purpose
from app.store.engine import Tx, as_columns
from app.store.gates import gate_facts_sql
from app.store.may_text import may_not_text_sql
from app.store.outbox import OWED_ROW_SQL, ClaimedText
from app.store.rows import columns_of, unnest_sql

BlockReason = Literal["gone", "suppressed", "stale"]
"""Why a claimed text may no longer be sent: the text was cancelled; the phone may not be texted; the
lead wrote again after the turn that the text answers."""


JUDGED_TIME = timedelta(seconds=60)
"""So long the hours count by which a text was accepted."""


@dataclass(frozen=True, slots=True)
class JudgedText:
    """A claimed text that may not be sent (`why`), or that was accepted a while ago, of a tenant with rules about
    hours. `quiet_hours`, `gate_facts` and `timezone` as for a `DueText`."""

    why: BlockReason | None
    tenant_id: str
    message_id: str
    to_phone: str
    timezone: str | None
    now: datetime
    quiet_hours: dict[str, Any] | None
    gate_facts: dict[str, Any] | None
    purpose: Purpose | None
    send_at: datetime | None
    lane: int


JUDGED_AT_SQL = "(CASE WHEN m.send_at IS NULL AND m.held_rule IS NULL THEN m.created_at ELSE clock_timestamp() END)"
WAS_ANSWER_SQL = """coalesce((SELECT p.role = 'user' FROM messages p
    WHERE p.tenant_id = a.tenant_id AND p.interaction_id = m.interaction_id AND p.seq < o.seq AND p.status <> 'note'
    ORDER BY p.seq DESC LIMIT 1), false)"""
FIND_BLOCKED_SQL = f"""
SELECT CASE WHEN x.gone THEN 'gone' WHEN x.suppressed THEN 'suppressed' WHEN x.stale THEN 'stale' END AS why,
       x.tenant_id, x.message_id, x.to_phone, x.timezone, coalesce(x.now, clock_timestamp()) AS now,
       x.quiet_hours, x.gate_facts, x.purpose, x.send_at, coalesce(x.lane, 0) AS lane
FROM (
    SELECT a.message_id, a.tenant_id, a.phone AS to_phone, late.*, o.message_id IS NULL AS gone,
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
        SELECT m.interaction_id, m.turn_id, m.created_at, m.purpose, m.matter, m.send_at, m.held_rule, l.dnc_channels,
               l.timezone, l.state, l.postal_code
        FROM messages m JOIN leads l ON l.tenant_id = m.tenant_id AND l.lead_id = m.lead_id
        WHERE m.tenant_id = a.tenant_id AND m.message_id = a.message_id LIMIT 1) m ON true
    LEFT JOIN LATERAL (  -- nothing is read for a text that was accepted just now
        SELECT m.timezone, clock_timestamp() AS now, m.purpose, m.send_at, o.lane,
               CASE WHEN (tn.quiet_hours ->> 'enabled')::bool AND NOT EXISTS (
                        SELECT 1 FROM interactions f
                        WHERE f.tenant_id = a.tenant_id AND f.lead_phone = a.phone
                          AND f.last_inbound_at > {JUDGED_AT_SQL} - $5::interval)
                    THEN tn.quiet_hours END AS quiet_hours,
               {gate_facts_sql("a.phone", "$5", JUDGED_AT_SQL, WAS_ANSWER_SQL)} AS gate_facts
        FROM tenants tn
        CROSS JOIN LATERAL (SELECT m.state, m.postal_code) l
        JOIN interactions t ON t.tenant_id = tn.tenant_id AND t.interaction_id = m.interaction_id
        LEFT JOIN campaigns c ON c.tenant_id = tn.tenant_id AND c.campaign_id = coalesce(m.matter, t.campaign_id)
        WHERE o.state = 'sending' AND NOT o.exempt AND m.created_at < clock_timestamp() - $6::interval
          AND tn.tenant_id = a.tenant_id AND (tn.law_rules = 'on' OR (tn.quiet_hours ->> 'enabled')::bool) LIMIT 1
    ) late ON true
) x WHERE (x.gone OR x.suppressed OR x.stale OR x.now IS NOT NULL)
"""


async def find_blocked(
    tx: Tx, claimed_texts: Sequence[ClaimedText], lease: str
) -> tuple[dict[str, BlockReason], list[JudgedText]]:
    """Which of the texts that were claimed with `lease` may no longer be sent, and why, by message
    id; and those whose hours must be judged again. Run it after the claim's commit: then it sees every STOP
    committed before."""
    recipients = [(*text.key, text.to_phone) for text in claimed_texts]
    judged_texts = await tx.fetch_planned_now(
        JudgedText, FIND_BLOCKED_SQL, *as_columns(recipients, 3), lease, quiet.REPLY_GRACE, JUDGED_TIME
    )
    reasons = {text.message_id: text.why for text in judged_texts if text.why}
    return reasons, [text for text in judged_texts if text.why is None]


@dataclass(frozen=True, slots=True)
class ClaimedRecipient:
    """A claimed text, and a hash of its phone."""

    tenant_id: str
    message_id: str
    phone_hash: bytes


FIND_WITHDRAWN_SQL = f"""
SELECT DISTINCT a.message_id
FROM {unnest_sql(ClaimedRecipient, first=2)}
CROSS JOIN LATERAL {OWED_ROW_SQL} o
CROSS JOIN LATERAL (
    SELECT m.source, m.purpose FROM messages m
    WHERE m.tenant_id = a.tenant_id AND m.message_id = a.message_id LIMIT 1) m
WHERE o.lease = $1 AND (
    o.cancel_on_reply AND EXISTS (
        SELECT FROM interactions f WHERE f.tenant_id = a.tenant_id AND f.lead_phone = o.to_phone
        AND f.last_inbound_at > o.begun_at)
    OR m.source = 'sms_agent' AND EXISTS (
        SELECT FROM interactions t WHERE t.tenant_id = a.tenant_id AND t.interaction_id = o.interaction_id AND (
            t.agent_off_at > o.begun_at AND coalesce(t.last_change ->> 'rule', '') <> 'handoff'
            OR EXISTS (SELECT FROM messages n WHERE n.tenant_id = t.tenant_id AND n.interaction_id = t.interaction_id
                       AND n.seq > o.seq AND n.source = 'manual')))
    OR EXISTS (
        SELECT FROM consent_events e
        WHERE e.tenant_id = a.tenant_id AND e.phone_hash = a.phone_hash AND e.at > o.begun_at
          AND (e.event IN ('opted_out', 'suppressed') OR e.event = 'consent_revoked' AND m.purpose = ANY (e.scopes))))
"""


async def find_withdrawn(tx: Tx, lease: str, texts: Sequence[JudgedText]) -> set[str]:
    """The ids of those texts, which are claimed with `lease`, that what came since the claim would have cancelled if
    they had waited: a reply, an opt-out, consent that was revoked, or a person who took over. The caller has locked
    their phones and threads."""
    recipients = [
        ClaimedRecipient(text.tenant_id, text.message_id, phone_hash)
        for text in texts
        for phone_hash in tx.hash_forms(text.to_phone)
    ]
    rows = await tx.fetch_rows(FIND_WITHDRAWN_SQL, lease, *columns_of(recipients))
    return {row["message_id"] for row in rows}
