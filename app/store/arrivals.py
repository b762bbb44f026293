"""Stores inbound texts whose lead is known, and completes those whose webhook comes later."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from app.domain.optout import ControlWord
from app.store.agent_of import agent_of_sql
from app.store.collecting import collect_sql
from app.store.engine import Tx
from app.store.inbox import IncomingText
from app.store.leads import mark_active_sql
from app.store.may_text import is_suppressed_sql
from app.store.opt_out_decisions import awaits_decision_sql
from app.store.rows import columns_of, unnest_sql
from app.store.status_history import first_step_sql
from app.store.suppressions import PhoneKey


@dataclass(slots=True, kw_only=True)
class WordText:
    """A text by a lead that may be a control word. Not frozen, nor is `Arrival`: one is built for each
    inbound text, in a quarter of the time."""

    tenant_id: str
    message_id: str
    thread_id: str
    """The new thread's id, in case this text, or our answer to it, opens one."""
    our_number: str
    lead_phone: str
    lead_id: str
    campaign_id: str | None
    account_id: str
    provider: str
    text: str
    word: ControlWord | None
    """STOP, START or HELP; None: conversation."""
    rule: str | None
    """The rule that decided `word`."""
    is_answered: bool = False
    """The carrier itself has answered the `word`."""

    @property
    def phone_key(self) -> PhoneKey:
        return PhoneKey(self.tenant_id, self.lead_phone)


@dataclass(slots=True, kw_only=True)
class Arrival(WordText):
    """An inbound text with its lead and campaign, ready to be stored."""

    provider_id: str
    media: str
    """The attachments, as JSON."""
    is_forwardable: bool
    """An agent may get it."""
    possible_opt_out: bool
    """It may be an opt-out, but not surely."""
    is_late: bool
    """Fetched from the carrier's record after a downtime."""
    is_suppressed: bool
    """Its phone may not be texted."""
    is_stopped: bool = False
    """Its phone opts out with it, or with a text beside it: no agent gets it now."""
    turn_id: str
    """The new turn's id, in case an agent gets the text and no turn collects yet."""


@dataclass(frozen=True, slots=True)
class StoredText:
    """Where an arrival is stored, and the turn that collects it for the agent of its thread, if one does."""

    interaction_id: str
    is_unclear: bool
    """It may be an opt-out, and waits for a person's decision."""
    turn_id: str | None
    due_at: datetime | None
    """When the turn is due."""


IS_UNCLEAR_SQL = """(a.possible_opt_out AND a.is_forwardable AND (
        SELECT s.possible_opt_out = 'hold' FROM tenants s WHERE s.tenant_id = a.tenant_id))"""
"""A condition on the arrival `a`: it may be an opt-out, and its tenant wants such texts held."""
STORE_ARRIVALS_SQL = f"""
WITH asked AS (
    SELECT *, {IS_UNCLEAR_SQL} AS is_unclear,
           row_number() OVER (PARTITION BY tenant_id, our_number, lead_phone ORDER BY i) AS nth,
           count(*) OVER (PARTITION BY tenant_id, our_number, lead_phone) AS together
    FROM {unnest_sql(Arrival, with_numbers=True)}
), threads AS (
    INSERT INTO interactions AS t (tenant_id, interaction_id, our_number, lead_phone, lead_id,
        campaign_id, status, agent_mode, last_seq, unread_count, last_preview, last_direction,
        last_inbound_at, waiting_since)
    SELECT a.tenant_id, a.thread_id, a.our_number, a.lead_phone, a.lead_id, a.campaign_id,
           CASE WHEN a.is_suppressed THEN 'dnc' ELSE 'in_progress' END,
           coalesce(agent.agent_mode_by_default, false), a.together, a.together, left(a.text, 160),
           'inbound', clock_timestamp(), clock_timestamp()
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
        waiting_since = CASE WHEN t.last_direction = 'inbound' THEN coalesce(t.waiting_since, t.last_inbound_at)
                             ELSE clock_timestamp() END,
        last_direction = 'inbound', last_inbound_at = clock_timestamp(),
        updated_at = clock_timestamp()
    RETURNING t.*
), stored AS (
    INSERT INTO messages (tenant_id, message_id, interaction_id, lead_id, seq, role, source, text,
        media, status, status_history, to_phone, from_phone, account_id, provider,
        provider_message_id, forwardable, possible_opt_out, awaits_decision, late, incomplete)
    SELECT a.tenant_id, a.message_id, t.interaction_id, t.lead_id, t.last_seq - a.together + a.nth,
           'user', 'inbound', a.text, a.media::jsonb, 'received',
           {first_step_sql("'received'")},
           a.our_number, a.lead_phone, a.account_id, a.provider, a.provider_id,
           a.is_forwardable AND t.agent_mode, a.possible_opt_out,
           a.is_unclear OR a.is_forwardable AND t.agent_mode AND (
               {awaits_decision_sql("t")}
               OR bool_or(a.is_unclear) OVER (PARTITION BY a.tenant_id, a.our_number, a.lead_phone)),
           a.is_late, a.is_late
    FROM asked a JOIN threads t USING (tenant_id, our_number, lead_phone)
    RETURNING tenant_id, message_id, interaction_id, seq, forwardable AND NOT awaits_decision AS forwardable
), touched AS (
    {mark_active_sql("threads")}
), arriving AS (
    SELECT s.tenant_id, s.interaction_id, s.message_id, s.seq, a.turn_id
    FROM asked a JOIN stored s USING (tenant_id, message_id) WHERE s.forwardable AND NOT a.is_stopped
), {collect_sql("threads")}
SELECT s.interaction_id, a.is_unclear, c.turn_id, c.due_at
FROM asked a JOIN stored s USING (tenant_id, message_id)
LEFT JOIN collecting c ON c.tenant_id = s.tenant_id AND c.interaction_id = s.interaction_id
    AND s.forwardable AND NOT a.is_stopped
ORDER BY a.i
"""


async def store(tx: Tx, arrivals: Sequence[Arrival]) -> list[StoredText]:
    """Opens or locks the threads, gives each text its `seq`, stores it, and adds it to the turn that
    collects the thread's texts for an agent; in order."""
    return await tx.fetch(StoredText, STORE_ARRIVALS_SQL, *columns_of(arrivals))


@dataclass(frozen=True, slots=True)
class AnsweredText:
    """Where a text came to, and the account that brought it."""

    tenant_id: str
    our_number: str
    account_id: str
    provider: str


@dataclass(frozen=True, slots=True)
class AnswerAccount:
    """The account that carries our answer to a text."""

    account_id: str
    provider: str


LIST_ANSWER_ACCOUNTS_SQL = f"""
SELECT coalesce(p.account_id, a.account_id) AS account_id, coalesce(p.provider, a.provider) AS provider
FROM {unnest_sql(AnsweredText, with_numbers=True)}
JOIN phone_numbers n ON n.tenant_id = a.tenant_id AND n.phone_number = a.our_number
LEFT JOIN provider_accounts p ON p.tenant_id = n.tenant_id AND p.account_id = n.account_id
ORDER BY a.i
"""


async def list_answer_accounts(tx: Tx, texts: Sequence[WordText]) -> list[AnswerAccount]:
    """For each text the account of its number, which may have moved; in order. A number without an
    account answers through the one that brought the text."""
    rows = [AnsweredText(text.tenant_id, text.our_number, text.account_id, text.provider) for text in texts]
    return await tx.fetch(AnswerAccount, LIST_ANSWER_ACCOUNTS_SQL, *columns_of(rows))


@dataclass(frozen=True, slots=True)
class IncompleteText:
    """A stored text whose webhook has not come yet. `place` is its position among those asked."""

    place: int
    tenant_id: str
    message_id: str
    interaction_id: str
    lead_id: str
    campaign_id: str | None
    text: str
    created_at: datetime
    has_media: bool
    suppressed: bool
    answers_short_codes: bool


FIND_INCOMPLETE_SQL = f"""
SELECT a.i - 1 AS place, m.tenant_id, m.message_id, m.interaction_id, m.lead_id, t.campaign_id, m.text,
       m.created_at, m.media <> '[]' AS has_media,
       {is_suppressed_sql("t.tenant_id", "t.lead_phone")} AS suppressed,
       (SELECT s.answer_short_codes FROM tenants s WHERE s.tenant_id = t.tenant_id) AS answers_short_codes
FROM {unnest_sql(IncomingText, with_numbers=True)}
JOIN messages m ON m.tenant_id = a.tenant_id AND m.account_id = a.account_id
    AND m.provider_message_id = a.provider_id AND m.role = 'user' AND m.incomplete
JOIN interactions t ON t.tenant_id = m.tenant_id AND t.interaction_id = m.interaction_id
ORDER BY a.i
"""


async def find_incomplete(tx: Tx, copies: Sequence[IncomingText]) -> list[IncompleteText]:
    """Finds the stored texts, of which these are copies, whose webhook has not come yet."""
    return await tx.fetch(IncompleteText, FIND_INCOMPLETE_SQL, *columns_of(copies))


COMPLETE_SQL = f"""
WITH asked AS (
    SELECT *, {IS_UNCLEAR_SQL} AS is_unclear FROM {unnest_sql(Arrival, with_numbers=True)}
), fuller AS (
    UPDATE messages m SET incomplete = false, text = a.text,
        media = CASE WHEN m.media = '[]' THEN a.media::jsonb ELSE m.media END,
        forwardable = m.forwardable OR a.is_forwardable AND t.agent_mode,
        possible_opt_out = m.possible_opt_out OR a.possible_opt_out,
        awaits_decision = m.awaits_decision OR a.is_unclear AND NOT m.possible_opt_out
            OR a.is_forwardable AND t.agent_mode AND {awaits_decision_sql("t")}
    FROM asked a, interactions t
    WHERE m.tenant_id = a.tenant_id AND m.message_id = a.message_id
      AND t.tenant_id = a.tenant_id AND t.interaction_id = m.interaction_id
    RETURNING m.tenant_id, m.interaction_id, m.message_id, m.seq, m.text, a.i, a.turn_id,
        a.is_forwardable AND t.agent_mode AND NOT m.awaits_decision AS forwardable,
        a.is_unclear AND m.awaits_decision AS is_unclear
), shown AS (
    UPDATE interactions t SET last_preview = left(f.text, 160), updated_at = clock_timestamp()
    FROM fuller f WHERE t.tenant_id = f.tenant_id AND t.interaction_id = f.interaction_id
      AND t.last_seq = f.seq
), arriving AS (
    SELECT tenant_id, interaction_id, message_id, seq, turn_id FROM fuller WHERE forwardable
), {collect_sql("interactions")}
SELECT f.interaction_id, f.is_unclear, c.turn_id, c.due_at
FROM fuller f
LEFT JOIN collecting c ON c.tenant_id = f.tenant_id AND c.interaction_id = f.interaction_id AND f.forwardable
ORDER BY f.i
"""


async def complete(tx: Tx, arrivals: Sequence[Arrival]) -> list[StoredText]:
    """Gives stored texts the arrivals' texts and the attachments that they lack, in order; their `seq` stays.
    Those that an agent gets now are collected, as in `store`. The caller has locked the threads."""
    return await tx.fetch(StoredText, COMPLETE_SQL, *columns_of(arrivals))
