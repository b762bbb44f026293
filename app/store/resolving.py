"""Resolves orders to texts: one statement for any number of orders."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.domain import quiet
from app.domain.orders import Order
from app.store.agent_of import agent_of_sql, campaign_agent_sql, test_agent_sql
from app.store.batching import MAX_BATCH
from app.store.engine import ReadTx
from app.store.gates import gate_facts_sql
from app.store.may_text import may_not_text_sql
from app.store.rows import columns_of, unnest_sql
from app.store.threads import is_agent_on_sql


@dataclass(frozen=True, slots=True)
class GivenFields:
    """What an order names. `given_hash`: the keyed hash of `given_to`."""

    tenant_id: str
    lead_id: str
    given_to: str | None
    given_hash: bytes | None
    given_from: str | None
    given_campaign: str | None
    given_thread: str | None
    given_agent: str | None
    wants_agent_mode: bool


RESOLVE_ORDERS_SQL = f"""
WITH asked AS (
    SELECT * FROM {unnest_sql(GivenFields, first=2, with_numbers=True)}
)
SELECT a.i - 1 AS position, l.lead_id AS known_lead, t.interaction_id AS known_thread, t.lead_id AS thread_lead,
       t.lead_phone AS thread_phone, t.our_number AS thread_number, l.phone AS lead_phone,
       c.campaign_id, goal.phone AS to_phone,
       EXISTS (SELECT 1 FROM phone_numbers o
               WHERE o.tenant_id = a.tenant_id AND o.phone_number = goal.phone) AS is_ours,
       {may_not_text_sql("a.tenant_id", "goal.phone", "l.dnc_channels", "a.given_hash")} AS is_suppressed,
       coalesce(named.rule, CASE WHEN free.phone_number IS NOT NULL THEN 'first_available' END)
           AS from_rule,
       coalesce(named.phone_number, free.phone_number) AS from_phone,
       coalesce(named.account_id, free.account_id) AS account_id,
       coalesce(named.provider, free.provider) AS provider,
       coalesce(named.has_mms, free.has_mms) AS has_mms,
       CASE WHEN coalesce(named.own_account, free.own_account) THEN 'number'
            ELSE preferred.rule END AS provider_rule,
       coalesce(agent.agent_mode_by_default, false) AS agent_mode_by_default,
       a.wants_agent_mode AND EXISTS (
           SELECT 1 FROM interactions g
           WHERE g.tenant_id = a.tenant_id AND g.our_number = coalesce(named.phone_number, free.phone_number)
             AND g.lead_phone = goal.phone AND {is_agent_on_sql("g")}) AS has_agent_mode,
       clock_timestamp() AS now, l.timezone, tn.smart_encoding, tn.texts_per_day,
       tn.allowed_countries,
       CASE WHEN (tn.quiet_hours ->> 'enabled')::bool AND NOT EXISTS (
                SELECT 1 FROM interactions f
                WHERE f.tenant_id = a.tenant_id AND f.lead_phone = goal.phone
                  AND f.last_inbound_at > clock_timestamp() - $1::interval)
            THEN tn.quiet_hours END AS quiet_hours,
       {gate_facts_sql("goal.phone", "$1")} AS gate_facts,
       CASE WHEN a.given_agent IS NOT NULL THEN (
           SELECT jsonb_build_object('when', s.disclosure, 'sentence', tn.agent_disclosure, 'name', tn.name,
                                     'state', l.state, 'postal_code', l.postal_code,
                                     'exceptions', tn.law_exceptions)
           FROM sms_agents s
           WHERE s.tenant_id = a.tenant_id AND s.sms_agent_id = a.given_agent AND s.disclosure <> 'off'
             AND NOT EXISTS (SELECT 1 FROM messages m
                             WHERE m.tenant_id = a.tenant_id AND m.interaction_id = t.interaction_id
                               AND m.source = 'sms_agent' AND m.status NOT IN ('cancelled', 'failed'))) END
           AS disclosure
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
      AND {campaign_agent_sql("c", "l.is_test")}
    ORDER BY {test_agent_sql("c", "l.is_test")} DESC NULLS LAST LIMIT 1
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
      AND n.phone_number !~ '[A-Za-z]'  -- nobody can answer a name: it must be wanted
      AND coalesce(p.active, stray.account_id IS NOT NULL)
    ORDER BY thread.at DESC NULLS LAST,
             (coalesce(p.provider, stray.provider) = preferred.provider) DESC,
             n.created_at, n.phone_number_id
    LIMIT 1
) free ON true
LEFT JOIN LATERAL (
    {agent_of_sql("a.tenant_id", "c.campaign_id", "l.is_test", "coalesce(named.phone_number, free.phone_number)")}
) agent ON true
WHERE true
"""


@dataclass(frozen=True, slots=True)
class OrderFacts:
    """What decides about an order, and what was found for it. The fields `known_…` are None where the
    order names something that does not exist; `thread_…` are of the thread that it names."""

    position: int
    known_lead: str | None
    known_thread: str | None
    thread_lead: str | None
    thread_phone: str | None
    thread_number: str | None
    lead_phone: str | None
    campaign_id: str | None
    to_phone: str | None
    is_ours: bool
    """`to_phone` is a number of the tenant itself."""
    is_suppressed: bool
    from_rule: str | None
    from_phone: str | None
    """None: there is no number to send from; then `account_id`, `provider` and `has_mms` are None."""
    account_id: str | None
    provider: str | None
    has_mms: bool | None
    provider_rule: str
    agent_mode_by_default: bool
    has_agent_mode: bool
    """The order wants agent mode, and its thread has it: there is nothing to switch. Nothing is locked yet."""
    now: datetime
    timezone: str | None
    smart_encoding: bool
    texts_per_day: int | None
    allowed_countries: list[str] | None
    quiet_hours: dict[str, Any] | None
    """None: they are off, or the lead wrote a moment ago."""
    gate_facts: dict[str, Any] | None
    """None: no other rule asks about the text."""
    disclosure: dict[str, Any] | None
    """For an agent's first text in its thread, if the agent may have to say that it is one."""


async def resolve(read: ReadTx, orders: Sequence[Order]) -> dict[int, OrderFacts]:
    """The facts about each order, by its position. The order of an unknown tenant has none."""
    given_fields = [
        GivenFields(
            o.tenant_id,
            o.lead_id,
            o.to,
            read.hash_phone(o.to) if o.to else None,
            o.sender,
            o.campaign_id,
            o.interaction_id,
            o.agent_id,
            o.agent_mode is True,
        )
        for o in orders
    ]
    fetch = read.fetch_planned_now if len(orders) > MAX_BATCH else read.fetch
    facts = await fetch(OrderFacts, RESOLVE_ORDERS_SQL, quiet.REPLY_GRACE, *columns_of(given_fields))
    return {order_facts.position: order_facts for order_facts in facts}


GET_COUNTRIES_SQL = "SELECT tenant_id, default_country FROM tenants WHERE tenant_id = ANY($1)"


async def get_countries(read: ReadTx, tenant_ids: Sequence[str]) -> dict[str, str]:
    """Each tenant's default country, for phones without a country code."""
    rows = await read.fetch_rows(GET_COUNTRIES_SQL, list(tenant_ids))
    return {row["tenant_id"]: row["default_country"] for row in rows}
