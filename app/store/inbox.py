"""Inbound texts: whose they are, and the rows they become."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from app.domain import windows
from app.domain.optout import ControlWord
from app.store import suppressions
from app.store.agent_of import agent_of_sql
from app.store.engine import Row, Tx, as_columns
from app.store.leads import mark_active_sql

REMEMBER_NEW_SQL = f"""
WITH asked AS (
    SELECT * FROM unnest($1::int[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bytea[],
                         $7::text[])
        AS a(i, tenant_id, account_id, our_number, phone, phone_hash, provider_id)
), recognised AS (
    {suppressions.RECOGNIZE_SQL.format(asked="asked")}
), ours AS (
    SELECT a.* FROM asked a
    JOIN provider_accounts p ON p.tenant_id = a.tenant_id AND p.account_id = a.account_id
    JOIN phone_numbers n ON n.tenant_id = a.tenant_id AND n.phone_number = a.our_number
    WHERE n.account_id = a.account_id OR n.account_id IS NULL
), fresh AS (
    INSERT INTO provider_ids_seen (tenant_id, account_id, provider_id)
    SELECT tenant_id, account_id, provider_id FROM ours ORDER BY 1, 2, 3
    ON CONFLICT DO NOTHING RETURNING tenant_id, account_id, provider_id
)
SELECT o.i, f.provider_id IS NOT NULL AS fresh
FROM ours o LEFT JOIN fresh f USING (tenant_id, account_id, provider_id) ORDER BY o.i
"""


@dataclass(frozen=True, slots=True)
class IncomingText:
    """What a carrier says of a text before anything of it is believed."""

    tenant_id: str
    account_id: str
    our_number: str
    lead_phone: str
    provider_id: str

    @property
    def identity(self) -> tuple[str, str, str]:
        """What makes it one and the same text."""
        return self.tenant_id, self.account_id, self.provider_id


async def remember_new(tx: Tx, incoming_texts: Sequence[IncomingText]) -> dict[int, bool]:
    """By its place, each text sent to a number that may receive through its account (the number
    is the tenant's, and no other account's): whether its provider's id was never seen before.
    The ids are remembered for ever.

    Takes the phones' locks first, and recognises those that were erased once."""
    await suppressions.lock_phones_only(tx, [(text.tenant_id, text.lead_phone) for text in incoming_texts])
    rows = [
        (
            i,
            c.tenant_id,
            c.account_id,
            c.our_number,
            c.lead_phone,
            tx.hash_phone(c.lead_phone),
            c.provider_id,
        )
        for i, c in enumerate(incoming_texts)
    ]
    return {row["i"]: row["fresh"] for row in await tx.fetch_rows(REMEMBER_NEW_SQL, *as_columns(rows, 7))}


FIND_ROUTES_SQL = """
WITH asked AS (
    SELECT * FROM unnest($1::int[], $2::text[], $3::text[], $4::text[])
        AS a(i, tenant_id, our_number, lead_phone)
), owned AS (
    SELECT a.*, n.phone_number_id, agent.inbound_campaign_ids
    FROM asked a
    JOIN phone_numbers n ON n.tenant_id = a.tenant_id AND n.phone_number = a.our_number
    LEFT JOIN LATERAL (
        SELECT g.inbound_campaign_ids FROM sms_agents g
        WHERE g.tenant_id = a.tenant_id AND g.phone_number_id = n.phone_number_id
          AND g.active AND g.inbound_enabled
        ORDER BY g.created_at LIMIT 1
    ) agent ON true
)
SELECT o.i, t.interaction_id, coalesce(t.lead_id, member.lead_id, anybody.lead_id) AS lead_id,
       coalesce(t.campaign_id, lead.campaign_id) AS campaign_id,
       first.campaign_id AS primary_campaign,
       EXISTS (SELECT 1 FROM suppressions s
               WHERE s.tenant_id = o.tenant_id AND s.phone = o.lead_phone) AS suppressed,
       EXISTS (SELECT 1 FROM outbox x WHERE x.tenant_id = o.tenant_id
               AND x.to_phone = o.lead_phone AND x.cancel_on_reply) AS made_needless
FROM owned o
LEFT JOIN interactions t ON t.tenant_id = o.tenant_id AND t.our_number = o.our_number
    AND t.lead_phone = o.lead_phone
LEFT JOIN LATERAL (  -- the campaigns to search, in order
    SELECT array_agg(c.campaign_id ORDER BY c.rank, c.at, c.campaign_id) AS ids FROM (
        SELECT campaign_id, 0 AS rank, created_at AS at FROM campaigns
        WHERE tenant_id = o.tenant_id AND phone_number_id = o.phone_number_id AND active
        UNION ALL
        SELECT w.id, w.rank, now() FROM unnest(o.inbound_campaign_ids)
            WITH ORDINALITY AS w(id, rank)
        JOIN campaigns k ON k.tenant_id = o.tenant_id AND k.campaign_id = w.id
    ) c
) wanted ON t.interaction_id IS NULL
LEFT JOIN LATERAL (SELECT wanted.ids[1] AS campaign_id) first ON true
LEFT JOIN LATERAL (
    SELECT l.lead_id FROM leads l
    WHERE l.tenant_id = o.tenant_id AND l.phone = o.lead_phone AND l.campaign_id = ANY (wanted.ids)
    ORDER BY array_position(wanted.ids, l.campaign_id), l.active_at DESC, l.lead_id LIMIT 1
) member ON t.interaction_id IS NULL
LEFT JOIN LATERAL (
    SELECT l.lead_id FROM leads l
    WHERE l.tenant_id = o.tenant_id AND l.phone = o.lead_phone
    ORDER BY l.active_at DESC, l.lead_id LIMIT 1
) anybody ON t.interaction_id IS NULL AND member.lead_id IS NULL
LEFT JOIN leads lead ON lead.tenant_id = o.tenant_id
    AND lead.lead_id = coalesce(t.lead_id, member.lead_id, anybody.lead_id)
ORDER BY o.i
"""


async def find_routes(tx: Tx, pairs: Sequence[tuple[str, str, str]]) -> list[Row]:
    """For each (tenant, our number, lead's phone), in order: the lead and campaign by contract
    5's ladder (thread, the number's campaigns, its agent's campaigns, anybody), or None and
    the primary campaign for a placeholder."""
    return await tx.fetch_rows(FIND_ROUTES_SQL, *as_columns([(i, *pair) for i, pair in enumerate(pairs)], 4))


ADD_PLACEHOLDERS_SQL = """
INSERT INTO leads (tenant_id, lead_id, phone, campaign_id, is_placeholder)
SELECT *, true FROM unnest($1::text[], $2::text[], $3::text[], $4::text[])
"""


async def add_placeholders(tx: Tx, leads: Sequence[tuple[str, str, str, str | None]]) -> None:
    """A placeholder lead for each (tenant, lead id, phone, campaign)."""
    await tx.execute(ADD_PLACEHOLDERS_SQL, *as_columns(leads, 4))


@dataclass(frozen=True, slots=True)
class Arrival:
    """An inbound text with its route."""

    tenant_id: str
    message_id: str
    thread_id: str
    """The thread's id, if this text opens it."""
    our_number: str
    lead_phone: str
    lead_id: str
    campaign_id: str | None
    account_id: str
    provider: str
    provider_id: str
    text: str
    media: list[dict[str, Any]]
    word: ControlWord | None
    """STOP, START or HELP; None: conversation."""
    rule: str | None
    """What decided that."""
    answered: bool
    """By the carrier."""
    is_forwardable: bool
    """May be forwarded to an agent."""
    possible_opt_out: bool
    is_late: bool
    """Fetched from the carrier's record after we were away."""


STORE_ARRIVALS_SQL = f"""
WITH asked AS (
    SELECT *, row_number() OVER (PARTITION BY tenant_id, our_number, lead_phone ORDER BY i) AS nth,
           count(*) OVER (PARTITION BY tenant_id, our_number, lead_phone) AS together
    FROM unnest($1::int[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
                $8::text[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[],
                $14::bool[], $15::bool[], $16::bool[])
        AS a(i, tenant_id, message_id, thread_id, our_number, lead_phone, lead_id, campaign_id,
             account_id, provider, provider_id, text, media, conversation, possible_opt_out, late)
), threads AS (
    INSERT INTO interactions AS t (tenant_id, interaction_id, our_number, lead_phone, lead_id,
        campaign_id, status, agent_mode, last_seq, unread_count, last_preview, last_direction,
        last_inbound_at)
    SELECT a.tenant_id, a.thread_id, a.our_number, a.lead_phone, a.lead_id, a.campaign_id,
           CASE WHEN EXISTS (SELECT 1 FROM suppressions s WHERE s.tenant_id = a.tenant_id
                             AND s.phone = a.lead_phone) THEN 'dnc' ELSE 'in_progress' END,
           coalesce(agent.agent_mode_by_default, false), a.together, a.together, left(a.text, 160),
           'inbound', clock_timestamp()
    FROM asked a
    JOIN leads l ON l.tenant_id = a.tenant_id AND l.lead_id = a.lead_id
    LEFT JOIN LATERAL (
        {agent_of_sql("a.tenant_id", "a.campaign_id", "l.is_test", "a.our_number")}
    ) agent ON true
    WHERE a.nth = a.together ORDER BY a.tenant_id, a.our_number, a.lead_phone
    ON CONFLICT (tenant_id, our_number, lead_phone) DO UPDATE
    SET last_seq = t.last_seq + excluded.last_seq,
        unread_count = t.unread_count + excluded.last_seq,
        last_message_at = clock_timestamp(), last_preview = excluded.last_preview,
        last_direction = 'inbound', last_inbound_at = clock_timestamp(),
        updated_at = clock_timestamp()
    RETURNING t.*
), stored AS (
    INSERT INTO messages (tenant_id, message_id, interaction_id, lead_id, seq, role, source, text,
        media, status, status_history, to_phone, from_phone, account_id, provider,
        provider_message_id, forwardable, possible_opt_out, late, incomplete)
    SELECT a.tenant_id, a.message_id, t.interaction_id, t.lead_id, t.last_seq - a.together + a.nth,
           'user', 'inbound', a.text, a.media::jsonb, 'received',
           jsonb_build_array(jsonb_build_object('status', 'received', 'at', clock_timestamp())),
           a.our_number, a.lead_phone, a.account_id, a.provider, a.provider_id,
           a.conversation AND t.agent_mode, a.possible_opt_out, a.late, a.late
    FROM asked a JOIN threads t USING (tenant_id, our_number, lead_phone)
    RETURNING tenant_id, message_id, interaction_id, seq, forwardable
), touched AS (
    {mark_active_sql("threads")}
)
SELECT a.i, s.interaction_id, s.seq, s.forwardable
FROM asked a JOIN stored s USING (tenant_id, message_id) ORDER BY a.i
"""


async def store_arrivals(tx: Tx, arrivals: Sequence[Arrival]) -> list[Row]:
    """Opens or locks the threads, numbers and stores the texts; in order, each text's
    interaction_id, seq, and whether it is to be forwarded."""
    rows = [
        (
            i,
            a.tenant_id,
            a.message_id,
            a.thread_id,
            a.our_number,
            a.lead_phone,
            a.lead_id,
            a.campaign_id,
            a.account_id,
            a.provider,
            a.provider_id,
            a.text,
            json.dumps(a.media),
            a.is_forwardable,
            a.possible_opt_out,
            a.is_late,
        )
        for i, a in enumerate(arrivals)
    ]
    return await tx.fetch_rows(STORE_ARRIVALS_SQL, *as_columns(rows, 16))


INCOMPLETE = """
SELECT a.i, m.tenant_id, m.message_id, m.interaction_id, m.lead_id, t.campaign_id, m.text,
       m.created_at, m.text !~ '\\S' AND m.media = '[]' AS blank,
       EXISTS (SELECT 1 FROM suppressions s
               WHERE s.tenant_id = t.tenant_id AND s.phone = t.lead_phone) AS suppressed
FROM unnest($1::int[], $2::text[], $3::text[], $4::text[])
    AS a(i, tenant_id, account_id, provider_id)
JOIN messages m ON m.tenant_id = a.tenant_id AND m.account_id = a.account_id
    AND m.provider_message_id = a.provider_id AND m.role = 'user' AND m.incomplete
JOIN interactions t ON t.tenant_id = m.tenant_id AND t.interaction_id = m.interaction_id
ORDER BY a.i
"""


async def incomplete(tx: Tx, known: Sequence[tuple[str, str, str]]) -> list[Row]:
    """Of the (tenant, account, provider's id), by their place `i`, the stored texts whose fuller
    copy had not come; `blank` where nothing of them is known."""
    return await tx.fetch_rows(INCOMPLETE, *as_columns([(i, *key) for i, key in enumerate(known)], 4))


COMPLETE = """
WITH asked AS (
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bool[], $6::bool[])
        WITH ORDINALITY
        AS a(tenant_id, message_id, text, media, conversation, possible_opt_out, nth)
), fuller AS (
    UPDATE messages m SET incomplete = false,
        text = CASE WHEN m.text !~ '\\S' THEN a.text ELSE m.text END,
        media = CASE WHEN m.media = '[]' THEN a.media::jsonb ELSE m.media END,
        forwardable = m.forwardable OR a.conversation AND t.agent_mode,
        possible_opt_out = m.possible_opt_out OR a.possible_opt_out
    FROM asked a, interactions t
    WHERE m.tenant_id = a.tenant_id AND m.message_id = a.message_id
      AND t.tenant_id = a.tenant_id AND t.interaction_id = m.interaction_id
    RETURNING m.tenant_id, m.interaction_id, m.seq, m.text, a.nth, a.conversation AND t.agent_mode
        AS forwardable
), shown AS (
    UPDATE interactions t SET last_preview = left(f.text, 160), updated_at = clock_timestamp()
    FROM fuller f WHERE t.tenant_id = f.tenant_id AND t.interaction_id = f.interaction_id
      AND t.last_seq = f.seq
)
SELECT interaction_id, forwardable FROM fuller ORDER BY nth
"""


async def complete(tx: Tx, arrivals: Sequence[Arrival]) -> list[Row]:
    """Fills in what the stored texts lack, whose threads are locked; in order, each text's
    interaction_id, and whether it is to be forwarded now. It keeps its place."""
    rows = [
        (
            a.tenant_id,
            a.message_id,
            a.text,
            json.dumps(a.media),
            a.is_forwardable,
            a.possible_opt_out,
        )
        for a in arrivals
    ]
    return await tx.fetch_rows(COMPLETE, *as_columns(rows, 6))


COLLECT_TEXTS_SQL = f"""
WITH asked AS (
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[])
        AS a(tenant_id, interaction_id, turn_id)
), arriving AS (
    SELECT m.tenant_id, m.interaction_id, m.message_id, m.seq
    FROM unnest($4::text[], $5::text[]) AS a(tenant_id, message_id)
    JOIN messages m USING (tenant_id, message_id)
), windows AS (
    SELECT a.*, agent.sms_agent_id,
           coalesce(agent.batch_window_ms, $6) * interval '1 ms' AS wait,
           coalesce(agent.max_wait_ms, coalesce(agent.batch_window_ms, $6) * $7)
               * interval '1 ms' AS longest,
           (SELECT count(*) FROM arriving n WHERE n.tenant_id = a.tenant_id
                AND n.interaction_id = a.interaction_id)
           + (SELECT count(*) FROM turns u JOIN turn_messages y USING (tenant_id, turn_id)
              WHERE u.tenant_id = a.tenant_id AND u.interaction_id = a.interaction_id
                AND u.kind = 'live' AND u.state = 'collecting') >= $8 AS crowded
    FROM asked a
    JOIN interactions t ON t.tenant_id = a.tenant_id AND t.interaction_id = a.interaction_id
    JOIN leads l ON l.tenant_id = t.tenant_id AND l.lead_id = t.lead_id
    LEFT JOIN LATERAL (
        {agent_of_sql("t.tenant_id", "t.campaign_id", "l.is_test", "t.our_number")}
    ) agent ON true
), collecting AS (
    INSERT INTO turns AS u (tenant_id, turn_id, interaction_id, sms_agent_id, due_at, window_due_at)
    SELECT tenant_id, turn_id, interaction_id, sms_agent_id, due.at, due.at
    FROM windows, LATERAL (
        SELECT clock_timestamp() + CASE WHEN crowded THEN interval '0' ELSE wait END AS at) due
    ON CONFLICT (tenant_id, interaction_id) WHERE kind = 'live' AND state = 'collecting'
    DO UPDATE SET (due_at, window_due_at) = (
        SELECT due.at, due.at FROM windows w, LATERAL (
            SELECT least(excluded.due_at, u.opened_at + w.longest) AS at) due
        WHERE w.tenant_id = u.tenant_id AND w.interaction_id = u.interaction_id)
    RETURNING u.tenant_id, u.turn_id, u.interaction_id, u.due_at
), held AS (
    INSERT INTO turn_messages (tenant_id, turn_id, message_id, seq)
    SELECT c.tenant_id, c.turn_id, n.message_id, n.seq
    FROM arriving n JOIN collecting c USING (tenant_id, interaction_id)
)
SELECT tenant_id, interaction_id, turn_id, due_at FROM collecting
"""


async def collect_texts(
    tx: Tx, threads: Sequence[tuple[str, str, str]], messages: Sequence[tuple[str, str]]
) -> list[Row]:
    """Puts the texts (tenant, message) into the collecting turns of the threads (tenant,
    interaction, id for a new turn), whose locks are held, and starts each window again.

    Returns tenant_id, interaction_id, turn_id and due_at of each turn."""
    return await tx.fetch_rows(
        COLLECT_TEXTS_SQL,
        *as_columns(threads, 3),
        *as_columns(messages, 2),
        windows.WINDOW_MS,
        windows.MAX_WAIT_WINDOWS,
        windows.TEXTS_PER_TURN,
    )
