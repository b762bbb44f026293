"""New inbound texts: which of them came before, and which lead and campaign each belongs to."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.store import suppressions
from app.store.agent_of import number_agent_sql
from app.store.engine import Tx
from app.store.may_text import is_suppressed_sql
from app.store.rows import columns_of, unnest_sql
from app.store.suppressions import PhoneKey


@dataclass(frozen=True, slots=True)
class IncomingText:
    """An inbound text as its carrier describes it; not yet checked against the tenant's numbers."""

    tenant_id: str
    account_id: str
    our_number: str
    lead_phone: str
    phone_hash: bytes
    provider_id: str
    may_quote: bool
    """It may quote one of our texts."""

    @property
    def identity(self) -> tuple[str, str, str]:
        """Equal for copies of the same text."""
        return self.tenant_id, self.account_id, self.provider_id

    @property
    def phone_key(self) -> PhoneKey:
        return PhoneKey(self.tenant_id, self.lead_phone)


@dataclass(frozen=True, slots=True)
class Route:
    """The lead and campaign of an inbound text. Without a lead, `primary_campaign` is the one for a
    placeholder. `made_needless`: a queued text to the phone asks to be cancelled by a reply.
    `answers_short_codes`: the tenant talks with short codes too."""

    lead_id: str | None
    campaign_id: str | None
    primary_campaign: str | None
    suppressed: bool
    made_needless: bool
    answers_short_codes: bool
    our_texts: list[str]
    """Our last three texts in the thread and our name, if the lead may have quoted one."""


@dataclass(frozen=True, slots=True)
class KnownText(Route):
    """An incoming text to a number of its account; `place` is its position among those asked."""

    place: int
    is_new: bool


REMEMBER_NEW_SQL = f"""
WITH asked AS (
    SELECT *, lead_phone AS phone FROM {unnest_sql(IncomingText, with_numbers=True)}
), recognised AS (
    {suppressions.RECOGNIZE_SQL.format(asked="asked")}
), deliverable AS (
    SELECT a.*, n.phone_number_id FROM asked a
    JOIN provider_accounts p ON p.tenant_id = a.tenant_id AND p.account_id = a.account_id
    JOIN phone_numbers n ON n.tenant_id = a.tenant_id AND n.phone_number = a.our_number
    WHERE n.account_id = a.account_id OR n.account_id IS NULL
       OR (n.former_accounts ->> a.account_id)::timestamptz > clock_timestamp() - interval '7 days'
), fresh AS (
    INSERT INTO provider_ids_seen (tenant_id, account_id, provider_id)
    SELECT tenant_id, account_id, provider_id FROM deliverable ORDER BY 1, 2, 3
    ON CONFLICT DO NOTHING RETURNING tenant_id, account_id, provider_id
)
SELECT coalesce(t.lead_id, member.lead_id, anybody.lead_id) AS lead_id,
       coalesce(t.campaign_id, lead.campaign_id) AS campaign_id,
       first.campaign_id AS primary_campaign,
       {is_suppressed_sql("o.tenant_id", "o.lead_phone", "o.phone_hash")} AS suppressed,
       EXISTS (SELECT 1 FROM outbox x WHERE x.tenant_id = o.tenant_id
               AND x.to_phone = o.lead_phone AND x.cancel_on_reply) AS made_needless,
       w.answer_short_codes AS answers_short_codes,
       CASE WHEN o.may_quote THEN ARRAY(
           SELECT m.text FROM messages m
           WHERE m.tenant_id = t.tenant_id AND m.interaction_id = t.interaction_id AND m.role = 'agent'
             AND m.seq IS NOT NULL AND m.status NOT IN ('note', 'cancelled')
           ORDER BY m.seq DESC LIMIT 3) || w.name ELSE '{{}}' END AS our_texts,
       o.i - 1 AS place, f.provider_id IS NOT NULL AS is_new
FROM deliverable o
LEFT JOIN fresh f USING (tenant_id, account_id, provider_id)
JOIN tenants w ON w.tenant_id = o.tenant_id
LEFT JOIN interactions t ON t.tenant_id = o.tenant_id AND t.our_number = o.our_number
    AND t.lead_phone = o.lead_phone
LEFT JOIN LATERAL (  -- the campaigns to search, in order: those of the number, then those of its agent
    SELECT array_agg(c.campaign_id ORDER BY c.rank, c.at, c.campaign_id) AS ids FROM (
        SELECT campaign_id, 0 AS rank, created_at AS at FROM campaigns
        WHERE tenant_id = o.tenant_id AND phone_number_id = o.phone_number_id AND active
        UNION ALL
        SELECT x.id, x.rank, now() FROM unnest((
            SELECT g.inbound_campaign_ids FROM sms_agents g
            WHERE g.tenant_id = o.tenant_id AND g.active AND {number_agent_sql("o")}
            ORDER BY g.created_at LIMIT 1)) WITH ORDINALITY AS x(id, rank)
        JOIN campaigns k ON k.tenant_id = o.tenant_id AND k.campaign_id = x.id
    ) c WHERE t.interaction_id IS NULL
) wanted ON true
LEFT JOIN LATERAL (SELECT wanted.ids[1] AS campaign_id) first ON true
LEFT JOIN LATERAL (
    SELECT l.lead_id FROM leads l
    WHERE l.tenant_id = o.tenant_id AND l.phone = o.lead_phone AND l.campaign_id = ANY (wanted.ids)
      AND t.interaction_id IS NULL
    ORDER BY array_position(wanted.ids, l.campaign_id), l.active_at DESC, l.lead_id LIMIT 1
) member ON true
LEFT JOIN LATERAL (
    SELECT l.lead_id FROM leads l
    WHERE l.tenant_id = o.tenant_id AND l.phone = o.lead_phone
      AND t.interaction_id IS NULL AND member.lead_id IS NULL
    ORDER BY l.active_at DESC, l.lead_id LIMIT 1
) anybody ON true
LEFT JOIN leads lead ON lead.tenant_id = o.tenant_id
    AND lead.lead_id = coalesce(t.lead_id, member.lead_id, anybody.lead_id)
ORDER BY o.i
"""


async def remember_new(tx: Tx, texts: Sequence[IncomingText]) -> list[KnownText]:
    """Remembers the provider's ids of the texts, for ever. Tells which are new, and the route of each: tries
    the thread, the number's campaigns, its agent's campaigns, then any lead with the phone
    (docs/webhooks.md, "Whose text it is"). Texts to a number that is not the tenant's, or belongs to another
    account, are left out. For seven days after a number moved, its old account may still bring texts.

    Takes the phones' locks first. A phone that was once erased gets its suppressions back."""
    await suppressions.lock_phones_only(tx, [text.phone_key for text in texts])
    return await tx.fetch(KnownText, REMEMBER_NEW_SQL, *columns_of(texts))


@dataclass(frozen=True, slots=True)
class Placeholder:
    """A lead of whom only the phone is known."""

    tenant_id: str
    lead_id: str
    phone: str
    campaign_id: str | None


ADD_PLACEHOLDERS_SQL = f"""
INSERT INTO leads (tenant_id, lead_id, phone, campaign_id, is_placeholder)
SELECT *, true FROM {unnest_sql(Placeholder)}
"""


async def add_placeholders(tx: Tx, placeholders: Sequence[Placeholder]) -> None:
    await tx.execute(ADD_PLACEHOLDERS_SQL, *columns_of(placeholders))
