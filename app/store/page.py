"""Reads what the Conversations page shows besides threads and texts."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.domain.media import get_max_bytes
from app.store.agent_of import agent_of_sql
from app.store.engine import ReadTx
from app.store.may_text import may_not_text_sql


@dataclass(frozen=True, slots=True)
class FilterChoices:
    """The choices of the list's filters, each `[[id, name]…]`."""

    campaigns: list[Any]
    clients: list[Any]
    offers: list[Any]
    agents: list[Any]


GET_CHOICES_SQL = """
SELECT
  coalesce((SELECT jsonb_agg(jsonb_build_array(campaign_id, name) ORDER BY name)
            FROM campaigns WHERE tenant_id = $1), '[]') AS campaigns,
  coalesce((SELECT jsonb_agg(jsonb_build_array(id, name) ORDER BY name)
            FROM (SELECT client_id AS id, max(coalesce(client_name, client_id)) AS name
                  FROM campaigns WHERE tenant_id = $1 AND client_id IS NOT NULL GROUP BY 1) c),
           '[]') AS clients,
  coalesce((SELECT jsonb_agg(jsonb_build_array(id, name) ORDER BY name)
            FROM (SELECT offer_id AS id, max(coalesce(offer_name, offer_id)) AS name
                  FROM campaigns WHERE tenant_id = $1 AND offer_id IS NOT NULL GROUP BY 1) o),
           '[]') AS offers,
  coalesce((SELECT jsonb_agg(jsonb_build_array(sms_agent_id, name) ORDER BY name)
            FROM sms_agents WHERE tenant_id = $1), '[]') AS agents
"""


async def get_choices(read: ReadTx, tenant_id: str) -> FilterChoices:
    [choices] = await read.fetch(FilterChoices, GET_CHOICES_SQL, tenant_id)
    return choices


@dataclass(frozen=True, slots=True)
class SenderChoice:
    """A number that may send a text. `kind`: the number of the `thread`, the `campaign` or an `agent`,
    or an `other` one. `provider` None: the number belongs to no account."""

    phone_number: str
    label: str | None
    kind: str
    agent_name: str | None
    provider: str | None
    has_mms: bool

    @property
    def max_media_bytes(self) -> int:
        """How much media one text may have; 0: none."""
        return get_max_bytes(self.provider) if self.has_mms else 0


LIST_SENDERS_SQL = """
SELECT n.phone_number, n.label,
       CASE WHEN n.phone_number = $3 THEN 'thread'
            WHEN n.phone_number_id = c.phone_number_id THEN 'campaign'
            WHEN g.name IS NOT NULL THEN 'agent' ELSE 'other' END AS kind, g.name AS agent_name,
       p.provider, 'mms' = ANY (n.capabilities) AS has_mms
FROM phone_numbers n
LEFT JOIN campaigns c ON c.tenant_id = n.tenant_id AND c.campaign_id = $2
LEFT JOIN provider_accounts p ON p.tenant_id = n.tenant_id AND p.account_id = n.account_id
LEFT JOIN LATERAL (
    SELECT a.name FROM sms_agents a WHERE a.tenant_id = n.tenant_id AND a.active
      AND a.phone_number_id = n.phone_number_id ORDER BY a.created_at LIMIT 1
) g ON true
WHERE n.tenant_id = $1 AND n.active AND 'sms' = ANY (n.capabilities)
ORDER BY n.phone_number = $3 DESC NULLS LAST, n.phone_number_id IS DISTINCT FROM c.phone_number_id,
         g.name IS NULL, n.created_at, n.phone_number_id
LIMIT 200
"""


async def list_senders(
    read: ReadTx, tenant_id: str, campaign_id: str | None, thread_number: str | None
) -> list[SenderChoice]:
    """The numbers that may send a text to a lead of the campaign: the number of the thread first, then
    the campaign's, those of agents, and the others."""
    return await read.fetch(SenderChoice, LIST_SENDERS_SQL, tenant_id, campaign_id, thread_number)


@dataclass(frozen=True, slots=True)
class Contact:
    """A thread's lead, with the thread's campaign and its `questions`."""

    lead_id: str
    first_name: str | None
    last_name: str | None
    email: str | None
    phone: str | None
    status: str
    is_test: bool
    is_placeholder: bool
    timezone: str | None
    state: str | None
    postal_code: str | None
    tags: list[str]
    custom_fields: dict[str, Any]
    questionnaire: list[Any]
    dnc_channels: list[str]
    dnc_reason: str | None
    campaign_name: str | None
    client_name: str | None
    offer_name: str | None
    questions: list[Any]


GET_CONTACT_SQL = """
SELECT l.lead_id, l.first_name, l.last_name, l.email, l.phone, l.status, l.is_test, l.is_placeholder,
       l.timezone, l.state, l.postal_code, l.tags, l.custom_fields, l.questionnaire, l.dnc_channels, l.dnc_reason,
       c.name AS campaign_name, c.client_name, c.offer_name, coalesce(c.questionnaire, '[]') AS questions
FROM interactions t
JOIN leads l ON l.tenant_id = t.tenant_id AND l.lead_id = t.lead_id
LEFT JOIN campaigns c ON c.tenant_id = t.tenant_id AND c.campaign_id = t.campaign_id
WHERE t.tenant_id = $1 AND t.interaction_id = $2
"""


async def get_contact(read: ReadTx, tenant_id: str, interaction_id: str) -> Contact:
    """The thread must exist."""
    [contact] = await read.fetch(Contact, GET_CONTACT_SQL, tenant_id, interaction_id)
    return contact


@dataclass(frozen=True, slots=True)
class NewWriters:
    """Who wrote in a thread since a person looked: the lead, another person of the tenant, the agent."""

    lead: bool
    colleague: bool
    agent: bool


FIND_NEW_WRITERS_SQL = """
SELECT coalesce(bool_or(m.role = 'user'), false) AS lead,
       coalesce(bool_or(m.role = 'agent' AND m.status <> 'note' AND m.actor <> $4
                        AND EXISTS (SELECT 1 FROM users u WHERE u.tenant_id = $1 AND u.user_id = m.actor)),
                false) AS colleague,
       coalesce(bool_or(m.source = 'sms_agent' AND m.status NOT IN ('note', 'cancelled')
                        AND (m.actor IS NULL OR m.actor NOT LIKE 'user\\_%')), false) AS agent
FROM messages m WHERE m.tenant_id = $1 AND m.interaction_id = $2 AND m.seq > $3
"""


async def find_new_writers(
    read: ReadTx, tenant_id: str, interaction_id: str, seen_seq: int, user_id: str
) -> NewWriters:
    """Who wrote after the text `seen_seq`, apart from the person `user_id` and other machines than the agent."""
    [writers] = await read.fetch(NewWriters, FIND_NEW_WRITERS_SQL, tenant_id, interaction_id, seen_seq, user_id)
    return writers


GET_TURNS_OF_TEXTS_SQL = """
SELECT DISTINCT ON (x.message_id) x.message_id, x.turn_id
FROM turn_messages x JOIN turns u USING (tenant_id, turn_id)
WHERE x.tenant_id = $1 AND u.interaction_id = $2 AND x.message_id = ANY ($3) AND u.kind = 'live'
ORDER BY x.message_id, u.opened_at DESC
"""


async def get_turns_of_texts(
    read: ReadTx, tenant_id: str, interaction_id: str, message_ids: Sequence[str]
) -> dict[str, str]:
    """The turn id of each of the lead's texts; the newest turn if the text moved to a later one."""
    rows = await read.fetch_rows(GET_TURNS_OF_TEXTS_SQL, tenant_id, interaction_id, list(message_ids))
    return {row["message_id"]: row["turn_id"] for row in rows}


@dataclass(frozen=True, slots=True)
class ThreadFacts:
    """What the page tells around the texts of a thread. `last_turn`: the id of its newest live turn; a follow-up that
    never came is none. `brakes`: each that keeps texts of the thread waiting, with its reason. `smart_encoding`: the
    tenant's setting."""

    last_turn: str | None
    brakes: list[str]
    is_suppressed: bool
    smart_encoding: bool


GET_FACTS_SQL = f"""
SELECT (SELECT u.turn_id FROM turns u
        WHERE u.tenant_id = $1 AND u.interaction_id = $2 AND u.kind = 'live' AND u.state <> 'planned'
          AND (u.trigger <> 'silence' OR u.handed_over_at IS NOT NULL)
        ORDER BY u.opened_at DESC LIMIT 1) AS last_turn,
       ARRAY(SELECT concat_ws(': ', x.what || ' is paused', x.why) FROM (
           SELECT 'everything' AS what, n.paused_reason AS why WHERE n.paused_at IS NOT NULL
           UNION ALL
           SELECT 'this number', p.paused_reason FROM phone_numbers p
           WHERE p.tenant_id = t.tenant_id AND p.phone_number = t.our_number AND p.paused_at IS NOT NULL
           UNION ALL
           SELECT 'the agent', a.paused_reason FROM (
               {agent_of_sql("t.tenant_id", "t.campaign_id", "l.is_test", "t.our_number")}
           ) a WHERE a.paused_at IS NOT NULL
       ) x) AS brakes,
       {may_not_text_sql("t.tenant_id", "t.lead_phone", "l.dnc_channels")} AS is_suppressed, n.smart_encoding
FROM interactions t
JOIN tenants n ON n.tenant_id = t.tenant_id
JOIN leads l ON l.tenant_id = t.tenant_id AND l.lead_id = t.lead_id
WHERE t.tenant_id = $1 AND t.interaction_id = $2
"""


async def get_facts(read: ReadTx, tenant_id: str, interaction_id: str) -> ThreadFacts:
    """The thread must exist."""
    [facts] = await read.fetch(ThreadFacts, GET_FACTS_SQL, tenant_id, interaction_id)
    return facts


@dataclass(frozen=True, slots=True)
class ThreadNote:
    """What happened in a thread besides texts."""

    message_id: str
    text: str
    actor: str | None
    at: datetime


LIST_NOTES_SQL = """
SELECT message_id, text, actor, created_at AS at FROM messages
WHERE tenant_id = $1 AND interaction_id = $2 AND status = 'note' AND seq > $3
ORDER BY seq DESC LIMIT 30
"""
NOTES_AMONG = 1000
"""Of how many of a thread's newest entries the notes are listed."""


async def list_notes(read: ReadTx, tenant_id: str, interaction_id: str, last_seq: int) -> list[ThreadNote]:
    """The newest notes of a thread, the newest first."""
    return await read.fetch(ThreadNote, LIST_NOTES_SQL, tenant_id, interaction_id, last_seq - NOTES_AMONG)


@dataclass(frozen=True, slots=True)
class CannedChoice:
    """A canned reply that can be put into the compose box."""

    canned_reply_id: str
    title: str
    text: str


LIST_CANNED_REPLIES_SQL = """
SELECT canned_reply_id, title, text FROM canned_replies WHERE tenant_id = $1
ORDER BY lower(title), canned_reply_id LIMIT 200
"""


async def list_canned_replies(read: ReadTx, tenant_id: str) -> list[CannedChoice]:
    """The tenant's canned replies, by title."""
    return await read.fetch(CannedChoice, LIST_CANNED_REPLIES_SQL, tenant_id)


@dataclass(frozen=True, slots=True)
class Attachment:
    """The address of an attachment, and the account of its text."""

    url: str
    account_id: str | None


GET_ATTACHMENT_SQL = """
SELECT m.media -> $4::int ->> 'url' AS url, m.account_id
FROM messages m
WHERE m.tenant_id = $1 AND m.interaction_id = $2 AND m.message_id = $3
  AND m.media -> $4::int ->> 'url' IS NOT NULL
"""


async def get_attachment(
    read: ReadTx, tenant_id: str, interaction_id: str, message_id: str, place: int
) -> Attachment | None:
    """The attachment at `place` of a text; 0 is the first."""
    return await read.fetch_one(Attachment, GET_ATTACHMENT_SQL, tenant_id, interaction_id, message_id, place)
