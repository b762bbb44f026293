"""Resolves and stores texts to send: two statements for any number of texts."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.domain import quiet
from app.domain.orders import QUIET_HOURS_REASON, Order, ResolvedOrder, build_order_data
from app.store.agent_of import agent_of_sql
from app.store.engine import RESTORE_GENERIC_PLANS_SQL, ReadTx, Row, Tx, as_columns
from app.store.leads import mark_active_sql
from app.store.may_text import may_not_text_sql
from app.store.status_history import first_step_sql

RESOLVE_ORDERS_SQL = f"""
WITH asked AS (
    SELECT * FROM unnest($1::int[], $2::text[], $3::text[], $4::text[], $5::bytea[], $6::text[],
                         $7::text[], $8::text[])
        AS a(i, tenant_id, lead_id, given_to, given_hash, given_from, given_campaign, given_thread)
)
SELECT a.i, l.lead_id AS known_lead, t.interaction_id AS known_thread, t.lead_id AS thread_lead,
       t.lead_phone AS thread_phone, t.our_number AS thread_number, l.phone AS lead_phone,
       c.campaign_id, goal.phone AS to_phone,
       EXISTS (SELECT 1 FROM phone_numbers o
               WHERE o.tenant_id = a.tenant_id AND o.phone_number = goal.phone) AS to_ourselves,
       {may_not_text_sql("a.tenant_id", "goal.phone", "l.dnc_channels", "a.given_hash")} AS suppressed,
       coalesce(named.rule, CASE WHEN free.phone_number IS NOT NULL THEN 'first_available' END)
           AS from_rule,
       coalesce(named.phone_number, free.phone_number) AS from_phone,
       coalesce(named.account_id, free.account_id) AS account_id,
       coalesce(named.provider, free.provider) AS provider,
       coalesce(named.has_mms, free.has_mms) AS has_mms,
       CASE WHEN coalesce(named.own_account, free.own_account) THEN 'number'
            ELSE preferred.rule END AS provider_rule,
       coalesce(agent.agent_mode_by_default, false) AS agent_mode_by_default,
       clock_timestamp() AS now, l.timezone, tn.smart_encoding, tn.texts_per_day,
       tn.allowed_countries,
       CASE WHEN (tn.quiet_hours ->> 'enabled')::bool AND NOT EXISTS (
                SELECT 1 FROM interactions f
                WHERE f.tenant_id = a.tenant_id AND f.lead_phone = goal.phone
                  AND f.last_inbound_at > clock_timestamp() - $9::interval)
            THEN tn.quiet_hours END AS quiet_hours
FROM asked a
JOIN tenants tn ON tn.tenant_id = a.tenant_id
LEFT JOIN leads l ON l.tenant_id = a.tenant_id AND l.lead_id = a.lead_id
LEFT JOIN interactions t ON t.tenant_id = a.tenant_id AND t.interaction_id = a.given_thread
LEFT JOIN campaigns c ON c.tenant_id = a.tenant_id
    AND c.campaign_id = coalesce(a.given_campaign, l.campaign_id)
CROSS JOIN LATERAL (SELECT coalesce(a.given_to, t.lead_phone, l.phone) AS phone) goal
CROSS JOIN LATERAL (
    SELECT coalesce(c.provider, tn.default_provider, 'vonage') AS provider,
           CASE WHEN c.provider IS NOT NULL THEN 'campaign'
                WHEN tn.default_provider IS NOT NULL THEN 'tenant'
                ELSE 'fallback' END AS rule
) preferred
LEFT JOIN LATERAL (  -- the account for numbers that belong to none
    SELECT p.account_id, p.provider FROM provider_accounts p
    WHERE p.tenant_id = a.tenant_id AND p.provider = preferred.provider AND p.active
    ORDER BY p.is_default DESC, p.created_at, p.account_id LIMIT 1
) stray ON true
LEFT JOIN LATERAL (
    SELECT g.phone_number_id FROM sms_agents g
    WHERE g.tenant_id = a.tenant_id AND g.active
      AND (g.sms_agent_id = c.sms_agent_id OR l.is_test AND g.sms_agent_id = c.test_sms_agent_id)
    ORDER BY (l.is_test AND g.sms_agent_id = c.test_sms_agent_id) DESC NULLS LAST LIMIT 1
) slot ON true
LEFT JOIN LATERAL (  -- the rules that name a number
    SELECT r.rule, n.phone_number, n.phone_number_id, n.account_id IS NOT NULL AS own_account,
           coalesce(n.account_id, stray.account_id) AS account_id,
           coalesce(p.provider, stray.provider) AS provider, 'mms' = ANY (n.capabilities) AS has_mms
    FROM (VALUES (1, 'thread', NULL, t.our_number),
                 (2, 'override', NULL, CASE WHEN t.interaction_id IS NULL THEN a.given_from END),
                 (3, 'campaign', c.phone_number_id, NULL),
                 (4, 'agent', slot.phone_number_id, NULL)) AS r(rung, rule, id, phone)
    JOIN phone_numbers n ON n.tenant_id = a.tenant_id
        AND (n.phone_number_id = r.id OR n.phone_number = r.phone)
    LEFT JOIN provider_accounts p ON p.tenant_id = n.tenant_id AND p.account_id = n.account_id
    WHERE n.active AND 'sms' = ANY (n.capabilities)
      AND coalesce(p.active, stray.account_id IS NOT NULL)
      AND (a.given_thread IS NULL OR r.rung = 1)
      AND (a.given_from IS NULL OR r.rung <= 2)
    ORDER BY r.rung LIMIT 1
) named ON true
LEFT JOIN LATERAL (  -- first available: the last thread's, the preferred provider's, the oldest
    SELECT n.phone_number, n.phone_number_id, n.account_id IS NOT NULL AS own_account,
           coalesce(n.account_id, stray.account_id) AS account_id,
           coalesce(p.provider, stray.provider) AS provider, 'mms' = ANY (n.capabilities) AS has_mms
    FROM phone_numbers n
    LEFT JOIN provider_accounts p ON p.tenant_id = n.tenant_id AND p.account_id = n.account_id
    LEFT JOIN LATERAL (
        SELECT max(i.last_message_at) AS at FROM interactions i
        WHERE i.tenant_id = a.tenant_id AND i.lead_id = l.lead_id
          AND i.our_number = n.phone_number
    ) thread ON true
    WHERE named.phone_number IS NULL AND a.given_thread IS NULL AND a.given_from IS NULL
      AND n.tenant_id = a.tenant_id AND n.active AND 'sms' = ANY (n.capabilities)
      AND coalesce(p.active, stray.account_id IS NOT NULL)
    ORDER BY thread.at DESC NULLS LAST,
             (coalesce(p.provider, stray.provider) = preferred.provider) DESC,
             n.created_at, n.phone_number_id
    LIMIT 1
) free ON true
LEFT JOIN LATERAL (
    {
    agent_of_sql(
        "a.tenant_id",
        "c.campaign_id",
        "l.is_test",
        "coalesce(named.phone_number, free.phone_number)",
    )
}
) agent ON true
ORDER BY a.i
"""


async def resolve(read: ReadTx, orders: Sequence[Order]) -> list[Row]:
    """Resolves each order to its recipient, sender and account, with the facts that decide about
    it. Rows come in order and have the position `i`; an unknown tenant's order has no row."""
    return await read.fetch_rows(
        RESOLVE_ORDERS_SQL,
        *as_columns(
            [
                (
                    i,
                    o.tenant_id,
                    o.lead_id,
                    o.to,
                    read.hash_phone(o.to) if o.to else None,
                    o.sender,
                    o.campaign_id,
                    o.interaction_id,
                )
                for i, o in enumerate(orders)
            ],
            8,
        ),
        quiet.REPLY_GRACE,
    )


STORE_TEXTS_SQL = f"""
WITH given AS (
    SELECT *, due IS NOT NULL AS waits
    FROM unnest($1::int[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
                $8::text[], $9::bool[], $10::text[], $11::text[], $12::text[], $13::text[],
                $14::text[], $15::text[], $16::text[], $17::int[], $18::text[], $19::interval[],
                $20::int[], $21::timestamptz[], $22::timestamptz[], $23::timestamptz[],
                $24::bool[], $25::text[], $26::text[], $27::bool[], $28::bool[], $29::text[],
                $30::text[], $31::bytea[], $32::jsonb[])
        AS a(i, tenant_id, message_id, thread_id, our_number, lead_phone, lead_id, campaign_id,
             agent_mode, account_id, provider, source, actor, text, turn_id, encoding, segments,
             media, validity, lane, due, send_at, held_until, cancel_on_reply, bulk_id,
             sms_agent_id, exempt, guarded, once_route, once_key, once_digest, answer)
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
    RETURNING tenant_id, interaction_id, our_number, lead_phone, last_seq
), stored AS (
    INSERT INTO messages (tenant_id, message_id, interaction_id, lead_id, seq, role, source, actor,
        text, media, status, status_history, to_phone, from_phone, account_id, provider, encoding,
        segments, turn_id, bulk_id, send_at, held_until, held_reason)
    SELECT a.tenant_id, a.message_id, t.interaction_id, a.lead_id,
           CASE WHEN NOT a.waits THEN t.last_seq - a.together + a.nth END,
           'agent', a.source, a.actor, a.text, a.media::jsonb, s.status,
           {first_step_sql("s.status")},
           a.lead_phone, a.our_number, a.account_id, a.provider, a.encoding, a.segments, a.turn_id,
           a.bulk_id, a.send_at, a.held_until, CASE WHEN a.held_until IS NOT NULL THEN $33 END
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
           coalesce(a.due, clock_timestamp()), coalesce(a.due, clock_timestamp()) + a.validity
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
SELECT a.i, s.interaction_id, s.seq FROM asked a JOIN stored s USING (tenant_id, message_id)
WHERE {RESTORE_GENERIC_PLANS_SQL} ORDER BY a.i
"""


@dataclass(frozen=True, slots=True)
class StoredText:
    """Where a text was stored."""

    interaction_id: str
    seq: int | None
    """None: scheduled or held."""


async def store_texts(tx: Tx, texts: Sequence[ResolvedOrder]) -> list[StoredText]:
    """Stores the texts in their threads with their `seq`, outbox rows, and the answers under their
    idempotency keys. Raises `UniqueViolationError` for an idempotency key that is in use.

    Opens or locks the threads in the common order (docs/laws.md, law 9)."""
    rows = await tx.fetch_rows(
        STORE_TEXTS_SQL,
        *as_columns(
            [
                (
                    i,
                    r.order.tenant_id,
                    r.order.message_id,
                    r.order.thread_id,
                    r.sender,
                    r.to,
                    r.lead_id,
                    r.campaign_id,
                    r.agent_mode,
                    r.account_id,
                    r.provider,
                    r.order.source,
                    r.order.actor,
                    r.text,
                    r.order.turn_id,
                    r.encoding,
                    r.segments,
                    json.dumps([{"url": url} for url in r.order.media]),
                    r.order.validity,
                    r.order.lane,
                    r.due,
                    r.order.send_at if r.due else None,
                    r.held_until,
                    r.order.cancel_on_reply,
                    r.order.bulk_id,
                    r.order.agent_id,
                    r.is_exempt,
                    r.order.is_guarded,
                    *_idempotency_values(r),
                )
                for i, r in enumerate(texts)
            ],
            32,
        ),
        QUIET_HOURS_REASON,
    )
    return [StoredText(row["interaction_id"], row["seq"]) for row in rows]


def _idempotency_values(text: ResolvedOrder) -> tuple[Any, ...]:
    """(route, key, digest, answer); the statement adds the thread's id to the answer."""
    idempotency_key = text.order.idempotency_key
    if idempotency_key is None:
        return None, None, None, None
    answer = {"messageId": text.order.message_id, **build_order_data(text)}
    return idempotency_key.route, idempotency_key.key, idempotency_key.digest, answer


FIND_STORED_SQL = """
SELECT m.message_id, m.interaction_id, m.seq FROM messages m
JOIN unnest($1::text[], $2::text[]) AS a(tenant_id, message_id) USING (tenant_id, message_id)
"""


IS_BACKEND_ALIVE_SQL = "SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE pid = $1)"


async def find_stored(tx: Tx, keys: Sequence[tuple[str, str]], backend: int) -> dict[str, StoredText] | None:
    """The texts (tenant, message) that one transaction has stored, by message id: all or none.
    None instead of a dict: not there yet, but the `backend` process still runs and may commit."""
    # Check this before reading the texts: otherwise a commit in between would be missed.
    is_alive = await tx.fetch_value(IS_BACKEND_ALIVE_SQL, backend)
    rows = await tx.fetch_rows(FIND_STORED_SQL, *as_columns(keys, 2))
    if is_alive and not rows:
        return None
    return {row["message_id"]: StoredText(row["interaction_id"], row["seq"]) for row in rows}


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


GET_COUNTRIES_SQL = "SELECT tenant_id, default_country FROM tenants WHERE tenant_id = ANY($1)"


async def get_countries(read: ReadTx, tenant_ids: Sequence[str]) -> dict[str, str]:
    """Each tenant's default country, for phones without a country code."""
    rows = await read.fetch_rows(GET_COUNTRIES_SQL, list(tenant_ids))
    return {row["tenant_id"]: row["default_country"] for row in rows}
