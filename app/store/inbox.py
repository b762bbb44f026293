"""Inbound texts: which lead and campaign each belongs to, and the rows it becomes."""

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
from app.store.may_text import is_suppressed_sql
from app.store.status_history import first_step_sql

REMEMBER_NEW_SQL = f"""
WITH asked AS (
    SELECT * FROM unnest($1::int[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bytea[],
                         $7::text[])
        AS a(i, tenant_id, account_id, our_number, phone, phone_hash, provider_id)
), recognised AS (
    {suppressions.RECOGNIZE_SQL.format(asked="asked")}
), deliverable AS (
    SELECT a.* FROM asked a
    JOIN provider_accounts p ON p.tenant_id = a.tenant_id AND p.account_id = a.account_id
    JOIN phone_numbers n ON n.tenant_id = a.tenant_id AND n.phone_number = a.our_number
    WHERE n.account_id = a.account_id OR n.account_id IS NULL
), fresh AS (
    INSERT INTO provider_ids_seen (tenant_id, account_id, provider_id)
    SELECT tenant_id, account_id, provider_id FROM deliverable ORDER BY 1, 2, 3
    ON CONFLICT DO NOTHING RETURNING tenant_id, account_id, provider_id
)
SELECT d.i, f.provider_id IS NOT NULL AS fresh
FROM deliverable d LEFT JOIN fresh f USING (tenant_id, account_id, provider_id) ORDER BY d.i
"""


@dataclass(frozen=True, slots=True)
class IncomingText:
    """An inbound text as its carrier describes it; not yet checked against the tenant's numbers."""

    tenant_id: str
    account_id: str
    our_number: str
    lead_phone: str
    provider_id: str

    @property
    def identity(self) -> tuple[str, str, str]:
        """Equal for copies of the same text."""
        return self.tenant_id, self.account_id, self.provider_id


async def remember_new(tx: Tx, incoming_texts: Sequence[IncomingText]) -> dict[int, bool]:
    """Remembers the provider's ids of the texts, for ever. Returns, by position, whether the id is
    new. Texts to a number that is not the tenant's, or belongs to another account, are left out.

    Takes the phones' locks first. A phone that was once erased gets its suppressions back."""
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


FIND_ROUTES_SQL = f"""
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
       {is_suppressed_sql("o.tenant_id", "o.lead_phone")} AS suppressed,
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
    """The lead and campaign of each (tenant, our number, lead's phone), in order. Tries the thread,
    the number's campaigns, its agent's campaigns, then any lead with the phone (docs/webhooks.md,
    "Whose text it is"). Without a lead, `primary_campaign` is the one for a placeholder."""
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
    """An inbound text with its lead and campaign, ready to be stored."""

    tenant_id: str
    message_id: str
    thread_id: str
    """The new thread's id, in case this text opens one."""
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
    """The rule that decided `word`."""
    is_answered: bool
    """The carrier itself has answered the `word`."""
    is_forwardable: bool
    """An agent may get it."""
    possible_opt_out: bool
    """It may be an opt-out, but not surely."""
    is_late: bool
    """Fetched from the carrier's record after a downtime."""


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
           CASE WHEN {is_suppressed_sql("a.tenant_id", "a.lead_phone")} THEN 'dnc' ELSE 'in_progress' END,
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
           {first_step_sql("'received'")},
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
    """Opens or locks the threads, gives each text its `seq` and stores it. Returns (interaction_id,
    seq, forwardable) of each text, in order."""
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


FIND_INCOMPLETE_SQL = f"""
SELECT a.i, m.tenant_id, m.message_id, m.interaction_id, m.lead_id, t.campaign_id, m.text,
       m.created_at, m.text !~ '\\S' AND m.media = '[]' AS blank,
       {is_suppressed_sql("t.tenant_id", "t.lead_phone")} AS suppressed
FROM unnest($1::int[], $2::text[], $3::text[], $4::text[])
    AS a(i, tenant_id, account_id, provider_id)
JOIN messages m ON m.tenant_id = a.tenant_id AND m.account_id = a.account_id
    AND m.provider_message_id = a.provider_id AND m.role = 'user' AND m.incomplete
JOIN interactions t ON t.tenant_id = m.tenant_id AND t.interaction_id = m.interaction_id
ORDER BY a.i
"""


async def find_incomplete(tx: Tx, keys: Sequence[tuple[str, str, str]]) -> list[Row]:
    """Finds, by (tenant, account, provider's id), stored texts whose webhook has not come yet. `i`
    is the position in `keys`; `blank`: neither text nor attachments are known."""
    return await tx.fetch_rows(FIND_INCOMPLETE_SQL, *as_columns([(i, *key) for i, key in enumerate(keys)], 4))


COMPLETE_SQL = """
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
    """Adds missing text and attachments to stored texts; their `seq` stays. The caller has locked
    the threads. Returns (interaction_id, forwardable) of each text, in order."""
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
    return await tx.fetch_rows(COMPLETE_SQL, *as_columns(rows, 6))


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
    """Adds the texts (tenant, message) to the collecting turns of their threads, and restarts the
    windows. Each thread is (tenant, interaction, id for a new turn) and locked by the caller.

    Returns (tenant_id, interaction_id, turn_id, due_at) of each turn."""
    return await tx.fetch_rows(
        COLLECT_TEXTS_SQL,
        *as_columns(threads, 3),
        *as_columns(messages, 2),
        windows.WINDOW_MS,
        windows.MAX_WAIT_WINDOWS,
        windows.TEXTS_PER_TURN,
    )
