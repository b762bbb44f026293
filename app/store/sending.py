"""Stores texts to send: one statement for any number of texts."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any

from app.domain.law.gates import describe_hold
from app.domain.orders import ResolvedOrder, build_order_data
from app.store.batching import MAX_BATCH
from app.store.engine import Batch, ReadTx, Tx, as_columns
from app.store.keys import MessageKey
from app.store.leads import mark_active_sql
from app.store.rows import columns_of, unnest_sql
from app.store.status_history import first_step_sql
from app.store.threads import is_agent_on_sql


@dataclass(slots=True, kw_only=True)
class NewText:
    """A text to store. Not frozen: one is built for each send, in half the time."""

    tenant_id: str
    message_id: str
    thread_id: str
    """The new thread's id, in case this text opens one."""
    our_number: str
    lead_phone: str
    lead_id: str
    campaign_id: str | None
    agent_mode: bool
    account_id: str
    provider: str
    source: str
    actor: str
    text: str
    turn_id: str | None
    encoding: str
    segments: int
    media: str
    """JSON: asyncpg would take a list for a dimension of the array."""
    keeps_agent_mode: bool
    """The text goes only to a thread whose agent mode is on."""
    validity: timedelta
    lane: int
    due: datetime | None
    """None: at once."""
    send_at: datetime | None
    held_until: datetime | None
    held_reason: str | None
    held_rule: str | None
    purpose: str | None
    counted: bool
    """The text counts against caps."""
    first_contact: bool
    cancel_on_reply: bool
    bulk_id: str | None
    sms_agent_id: str | None
    exempt: bool
    guarded: bool
    once_route: str | None
    """The idempotency key's; None: there is no key."""
    once_key: str | None
    once_digest: bytes | None
    answer: Annotated[dict[str, Any] | None, "jsonb"]
    """The answer to store under the key; the statement adds the thread's id."""


STORE_TEXTS_SQL = f"""
WITH given AS (
    SELECT *, due IS NOT NULL AS waits FROM {unnest_sql(NewText, with_numbers=True)}
), asked AS (
    SELECT *,
           count(*) FILTER (WHERE NOT waits) OVER (pair ORDER BY i) AS nth,
           count(*) FILTER (WHERE NOT waits) OVER pair AS together
    FROM given WINDOW pair AS (PARTITION BY tenant_id, our_number, lead_phone)
), threads AS (
    INSERT INTO interactions AS t (tenant_id, interaction_id, our_number, lead_phone, lead_id,
        campaign_id, agent_mode, last_seq, last_preview, last_direction)
    SELECT DISTINCT ON (tenant_id, our_number, lead_phone)
           tenant_id, thread_id, our_number, lead_phone, lead_id, campaign_id, agent_mode,
           together, CASE WHEN NOT waits THEN left(text, 160) END,
           CASE WHEN NOT waits THEN 'outbound' END
    FROM asked ORDER BY tenant_id, our_number, lead_phone, waits, i DESC
    ON CONFLICT (tenant_id, our_number, lead_phone) DO UPDATE
    SET last_seq = t.last_seq + excluded.last_seq,
        last_message_at = CASE WHEN excluded.last_seq > 0 THEN clock_timestamp()
                               ELSE t.last_message_at END,
        last_preview = coalesce(excluded.last_preview, t.last_preview),
        last_direction = coalesce(excluded.last_direction, t.last_direction),
        updated_at = clock_timestamp()
    RETURNING tenant_id, interaction_id, our_number, lead_phone, last_seq,
              {is_agent_on_sql("t")} AS has_agent_mode
), stored AS (  -- agent mode switched off meanwhile makes a NULL, and nothing of this statement is stored
    INSERT INTO messages (tenant_id, message_id, interaction_id, lead_id, seq, role, source, actor,
        text, media, status, status_history, to_phone, from_phone, account_id, provider, encoding,
        segments, turn_id, bulk_id, send_at, held_until, held_reason, held_rule, purpose, counted_at, matter,
        first_contact)
    SELECT a.tenant_id, a.message_id, t.interaction_id, a.lead_id,
           CASE WHEN NOT a.waits THEN t.last_seq - a.together + a.nth END,
           'agent', a.source, a.actor, CASE WHEN t.has_agent_mode OR NOT a.keeps_agent_mode THEN a.text END,
           a.media::jsonb, s.status,
           {first_step_sql("s.status")},
           a.lead_phone, a.our_number, a.account_id, a.provider, a.encoding, a.segments, a.turn_id,
           a.bulk_id, a.send_at, a.held_until, a.held_reason, a.held_rule, a.purpose,
           CASE WHEN a.counted THEN coalesce(a.due, clock_timestamp()) END,
           CASE WHEN a.counted THEN a.campaign_id END, a.first_contact
    FROM asked a JOIN threads t USING (tenant_id, our_number, lead_phone)
    CROSS JOIN LATERAL (
        SELECT CASE WHEN a.send_at IS NULL THEN 'queued' ELSE 'scheduled' END AS status) s
    RETURNING tenant_id, message_id, interaction_id, seq
), owed AS (
    INSERT INTO outbox (tenant_id, message_id, interaction_id, seq, account_id, to_phone,
        from_phone, lane, segments, sms_agent_id, exempt, guarded, cancel_on_reply, due_at,
        expires_at)
    SELECT a.tenant_id, a.message_id, s.interaction_id, s.seq, a.account_id, a.lead_phone,
           a.our_number, a.lane, a.segments, a.sms_agent_id, a.exempt, a.guarded, a.cancel_on_reply,
           coalesce(a.due + a.i * interval '1 microsecond', clock_timestamp()),  -- texts of one reply keep their order
           coalesce(a.due, clock_timestamp()) + a.validity
    FROM asked a JOIN stored s USING (tenant_id, message_id)
), answered AS (  -- a key taken meanwhile raises, and nothing of this statement is stored
    INSERT INTO idempotency (tenant_id, route, key, body_digest, status, answer)
    SELECT a.tenant_id, a.once_route, a.once_key, a.once_digest, 202,
           jsonb_build_object('success', true, 'data',
               a.answer || jsonb_build_object('interactionId', s.interaction_id))
    FROM asked a JOIN stored s USING (tenant_id, message_id)
    WHERE a.once_key IS NOT NULL ORDER BY a.tenant_id, a.once_route, a.once_key
), touched AS (
    {mark_active_sql("asked")}
)
SELECT s.message_id, s.interaction_id, s.seq FROM stored s WHERE true
"""


@dataclass(frozen=True, slots=True)
class StoredText:
    """Where a text was stored."""

    message_id: str
    interaction_id: str
    seq: int | None
    """None: scheduled or held."""


async def store_texts(tx: Tx | Batch, texts: Sequence[ResolvedOrder]) -> dict[str, StoredText]:
    """Stores the texts in their threads with their `seq`, outbox rows, and the answers under their
    idempotency keys; commits a `Batch`. Returns them by message id. Raises `UniqueViolationError`
    for an idempotency key that is in use, and from a `Batch` `NotNullViolationError` where `has_agent_mode` is no
    longer so.

    Opens or locks the threads in the common order (docs/laws.md, law 9)."""
    write = tx.commit if isinstance(tx, Batch) else (tx.fetch_planned_now if len(texts) > MAX_BATCH else tx.fetch)
    columns = columns_of([_build_text(text, isinstance(tx, Batch)) for text in texts])
    return _by_id(await write(StoredText, STORE_TEXTS_SQL, *columns))


def _build_text(text: ResolvedOrder, is_only_write: bool) -> NewText:
    """`is_only_write`: nothing of the same transaction could still switch agent mode on."""
    order, key, gate = text.order, text.order.idempotency_key, text.gate
    held_rule, held_reason = describe_hold(gate) if gate and text.held_until else (None, None)
    return NewText(
        tenant_id=order.tenant_id,
        message_id=order.message_id,
        thread_id=order.thread_id,
        our_number=text.sender,
        lead_phone=text.to,
        lead_id=text.lead_id,
        campaign_id=text.campaign_id,
        agent_mode=text.agent_mode,
        account_id=text.account_id,
        provider=text.provider,
        source=order.source,
        actor=order.actor,
        text=text.text,
        turn_id=order.turn_id,
        encoding=text.encoding,
        segments=text.segments,
        media=json.dumps([{"url": url} for url in order.media]),
        keeps_agent_mode=is_only_write and text.has_agent_mode,
        validity=order.validity,
        lane=order.lane,
        due=text.due,
        send_at=order.send_at if text.due else None,
        held_until=text.held_until,
        held_reason=held_reason,
        held_rule=held_rule,
        purpose=(gate and gate.purpose) or order.purpose,
        counted=bool(gate and gate.is_counted),
        first_contact=bool(gate and gate.relation == "first_contact"),
        cancel_on_reply=order.cancel_on_reply,
        bulk_id=order.bulk_id,
        sms_agent_id=order.agent_id,
        exempt=text.is_exempt,
        guarded=order.is_guarded,
        once_route=key.route if key else None,
        once_key=key.key if key else None,
        once_digest=key.digest if key else None,
        answer={"messageId": order.message_id, **build_order_data(text)} if key else None,
    )


def _by_id(stored_texts: Sequence[StoredText]) -> dict[str, StoredText]:
    return {text.message_id: text for text in stored_texts}


FIND_STORED_SQL = """
SELECT m.message_id, m.interaction_id, m.seq FROM messages m
JOIN unnest($1::text[], $2::text[]) AS a(tenant_id, message_id) USING (tenant_id, message_id)
"""


IS_BACKEND_ALIVE_SQL = "SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE pid = $1)"


async def find_stored(tx: ReadTx, keys: Sequence[MessageKey], backend: int) -> dict[str, StoredText] | None:
    """The texts that one transaction has stored, by message id: all or none.
    None instead of a dict: not there yet, but the `backend` process still runs and may commit."""
    # Check this before reading the texts: otherwise a commit in between would be missed.
    is_alive = await tx.fetch_value(IS_BACKEND_ALIVE_SQL, backend)
    stored_texts = await tx.fetch(StoredText, FIND_STORED_SQL, *as_columns(keys, 2))
    return None if is_alive and not stored_texts else _by_id(stored_texts)


COUNT_TODAY_SQL = """
INSERT INTO tenant_days AS d (tenant_id, day, texts)
SELECT tenant_id, (now() AT TIME ZONE 'UTC')::date, texts  -- the same at each count of one send
FROM unnest($1::text[], $2::int[]) AS a(tenant_id, texts) ORDER BY tenant_id
ON CONFLICT (tenant_id, day) DO UPDATE SET texts = d.texts + excluded.texts
RETURNING tenant_id, texts
"""


async def count_today(tx: Tx, texts: Mapping[str, int]) -> dict[str, int]:
    """Adds to each tenant's count of texts today (UTC; a number below 0 subtracts), and returns the
    new counts. Locks the counts."""
    rows = await tx.fetch_rows(COUNT_TODAY_SQL, *as_columns(list(texts.items()), 2))
    return {row["tenant_id"]: row["texts"] for row in rows}


RECORD_BULK_SQL = "INSERT INTO bulks (tenant_id, bulk_id, accepted, refused) VALUES ($1, $2, $3, $4)"


async def record_bulk(tx: Tx, tenant_id: str, bulk_id: str, accepted_count: int, refused_count: int) -> None:
    await tx.execute(RECORD_BULK_SQL, tenant_id, bulk_id, accepted_count, refused_count)
