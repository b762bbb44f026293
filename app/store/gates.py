"""What the rules of tenants ask about a text: one expression for every statement that judges one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from app.domain.contact_checks import parse_check
from app.domain.law.caps import CAP_TIME, CountedText
from app.domain.law.gates import GateFacts
from app.store.contact_checks import known_check_sql
from app.store.engine import ReadTx, Tx, as_columns
from app.store.suppressions import PhoneKey

ANSWER_TIME = timedelta(hours=24)
"""For this time a text answers the lead's last one, if none of ours came between."""


IS_ANSWER_SQL = "w.last_direction = 'inbound'"


def gate_facts_sql(phone: str, grace: str, at: str = "clock_timestamp()", is_answer: str = IS_ANSWER_SQL) -> str:
    """An expression for `parse_facts`, where `tn` is the tenant, `c` the campaign and `l` the lead; NULL, at no cost,
    where no rule asks. `grace`: the time after a text of the lead in which each text is an answer. `at`: when the text
    was judged; `is_answer`: nothing of ours came between the lead's text and it."""
    return f"""CASE WHEN tn.law_rules = 'on' OR tn.max_first_contacts_per_day IS NOT NULL
             OR tn.max_texts_per_day_without_reply IS NOT NULL OR c.require_consent IS NOT NULL
             OR tn.contact_check_url IS NOT NULL
        THEN jsonb_build_object(
            'is_law_on', tn.law_rules = 'on', 'exceptions', tn.law_exceptions,
            'max_first_contacts', tn.max_first_contacts_per_day,
            'max_without_reply', tn.max_texts_per_day_without_reply,
            'campaign_purpose', c.purpose, 'require_consent', c.require_consent,
            'contact_check', {known_check_sql(phone)},
            'state', l.state, 'postal_code', l.postal_code) || (
            SELECT jsonb_build_object(
                'is_talking', coalesce(w.inbound_at > {at} - interval '{ANSWER_TIME}', false),
                'relation', CASE WHEN w.inbound_at IS NULL THEN 'first_contact'
                                 WHEN w.inbound_at > {at} - {grace}::interval
                                   OR w.inbound_at > {at} - interval '{ANSWER_TIME}' AND {is_answer}
                                 THEN 'reply' ELSE 'known' END)
            FROM (SELECT max(f.last_inbound_at) AS inbound_at,
                         (array_agg(f.last_direction ORDER BY f.last_message_at DESC))[1] AS last_direction
                  FROM interactions f WHERE f.tenant_id = tn.tenant_id AND f.lead_phone = {phone}) w) END"""


def parse_facts(facts: Mapping[str, Any] | None, *, may_answer: bool) -> GateFacts | None:
    """`may_answer`: the text may be an answer; one that was planned, or goes to many, is none."""
    if not facts:
        return None
    relation = facts["relation"]
    known_relation = "known" if relation == "reply" and not may_answer else relation
    return GateFacts(**{**facts, "relation": known_relation, "contact_check": parse_check(facts["contact_check"])})


LOCK_COUNTS_SQL = """
SELECT pg_advisory_xact_lock(h) FROM (
    SELECT hashtextextended(tenant_id || phone, 1) AS h
    FROM unnest($1::text[], $2::text[]) AS a(tenant_id, phone) GROUP BY 1 ORDER BY 1
) locks
"""


async def lock_counts(tx: Tx, phones: Sequence[PhoneKey]) -> None:
    """Locks the counts of texts to the phones. They come after the threads in the order of locks
    (docs/laws.md, law 9)."""
    await tx.execute(LOCK_COUNTS_SQL, *as_columns(phones, 2))


@dataclass(frozen=True, slots=True)
class _CountedRow:
    tenant_id: str
    phone: str
    last_inbound_at: datetime | None
    message_id: str | None
    at: datetime | None
    purpose: str | None
    matter: str | None
    first_contact: bool | None


LIST_COUNTED_SQL = """
SELECT a.tenant_id, a.phone, written.at AS last_inbound_at, m.message_id, m.counted_at AS at, m.purpose, m.matter,
       m.first_contact
FROM unnest($1::text[], $2::text[]) AS a(tenant_id, phone)
LEFT JOIN LATERAL (
    SELECT max(f.last_inbound_at) AS at FROM interactions f
    WHERE f.tenant_id = a.tenant_id AND f.lead_phone = a.phone) written ON true
LEFT JOIN messages m ON m.tenant_id = a.tenant_id AND m.to_phone = a.phone
    AND m.counted_at > clock_timestamp() - $3::interval AND m.status NOT IN ('cancelled', 'failed')
"""


@dataclass(frozen=True, slots=True)
class CountedPhone:
    """When the lead last wrote from the phone, and the texts to it that count, by message id."""

    last_inbound_at: datetime | None
    texts: dict[str, CountedText]


async def list_counted(read: ReadTx, phones: Sequence[PhoneKey]) -> dict[PhoneKey, CountedPhone]:
    """The texts of the last 24 hours, and those that wait, by phone. Without those that surely never came."""
    counted_phones: dict[PhoneKey, CountedPhone] = {}
    for row in await read.fetch(_CountedRow, LIST_COUNTED_SQL, *as_columns(phones, 2), CAP_TIME):
        phone_counts = counted_phones.setdefault(
            PhoneKey(row.tenant_id, row.phone), CountedPhone(row.last_inbound_at, {})
        )
        if row.message_id and row.at:
            phone_counts.texts[row.message_id] = CountedText(row.at, row.purpose, row.matter, bool(row.first_contact))
    return counted_phones
