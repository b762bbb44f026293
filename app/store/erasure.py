"""Erases a lead from every table that holds its data. Suppressions stay, under the keyed hash of
the phone alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.store import threads
from app.store.engine import Tx


@dataclass(frozen=True, slots=True)
class LockedThread:
    """A thread of the lead, or of one of its phones."""

    interaction_id: str
    lead_phone: str


LOCK_THREADS_SQL = f"""
SELECT t.interaction_id, t.lead_phone FROM interactions t
WHERE t.tenant_id = $1 AND (t.lead_id = ANY ($2) OR t.lead_phone = ANY ($3))
{threads.LOCK_IN_ORDER_SQL}
"""


async def lock_threads(tx: Tx, tenant_id: str, lead_ids: Sequence[str], phones: Sequence[str]) -> list[LockedThread]:
    """Locks the threads of the leads and of the phones."""
    return await tx.fetch(LockedThread, LOCK_THREADS_SQL, tenant_id, list(lead_ids), list(phones))


GET_PHONES_SQL = """
SELECT phone FROM leads WHERE tenant_id = $1 AND lead_id = ANY ($2) AND phone IS NOT NULL
UNION SELECT lead_phone FROM interactions WHERE tenant_id = $1 AND lead_id = ANY ($2) ORDER BY phone
"""


async def get_phones(tx: Tx, tenant_id: str, lead_ids: Sequence[str]) -> list[str]:
    """The phones of the leads and of their threads."""
    return [row["phone"] for row in await tx.fetch_rows(GET_PHONES_SQL, tenant_id, list(lead_ids))]


FORGET_EVENTS_SQL = (
    # What is queued of them for webhook endpoints is dropped when it is claimed.
    "DELETE FROM tenant_events WHERE tenant_id = $1 AND interaction_id = ANY ($2)",
    "DELETE FROM webhook_backlogs WHERE tenant_id = $1 AND subject = ANY ($2)",
    "DELETE FROM webhook_deliveries WHERE tenant_id = $1 AND interaction_id = ANY ($2)",
)
DELETE_THREADS_SQL = (
    # The outbox first and in key order: settling texts locks its rows in the same order.
    """
    DELETE FROM outbox o USING (
        SELECT tenant_id, message_id FROM outbox
        WHERE tenant_id = $1 AND interaction_id = ANY ($2) ORDER BY message_id FOR UPDATE
    ) owed WHERE o.tenant_id = owed.tenant_id AND o.message_id = owed.message_id
    """,
    # Attempts and turn texts go with them by ON DELETE CASCADE.
    "DELETE FROM turns WHERE tenant_id = $1 AND interaction_id = ANY ($2)",
    "DELETE FROM messages WHERE tenant_id = $1 AND interaction_id = ANY ($2)",
    "DELETE FROM interactions WHERE tenant_id = $1 AND interaction_id = ANY ($2)",
    *FORGET_EVENTS_SQL,
)


async def remove_threads(tx: Tx, tenant_id: str, interactions: Sequence[str]) -> None:
    """Removes the threads with all their texts and turns. The caller has locked them."""
    for sql in DELETE_THREADS_SQL:
        await tx.execute(sql, tenant_id, list(interactions))


SILENCE_THREADS_SQL = (
    """
    UPDATE interactions t SET lead_id = a.heir, summary = NULL, last_preview = NULL, refused_outcome = NULL
    FROM unnest($2::text[], $3::text[]) AS a(interaction_id, heir)
    WHERE t.tenant_id = $1 AND t.interaction_id = a.interaction_id
    """,
    # Where the thread goes, the files of its texts go with them by ON DELETE CASCADE.
    """
    DELETE FROM uploads f USING messages m, unnest($2::text[], $3::text[]) AS a(interaction_id, heir)
    WHERE m.tenant_id = $1 AND m.interaction_id = a.interaction_id AND m.lead_id = $4
      AND f.tenant_id = m.tenant_id AND f.message_id = m.message_id
    """,
    """
    UPDATE messages m SET text = '', media = '[]', incomplete = false, opt_out = NULL,
        awaits_decision = false, lead_id = a.heir
    FROM unnest($2::text[], $3::text[]) AS a(interaction_id, heir)
    WHERE m.tenant_id = $1 AND m.interaction_id = a.interaction_id AND m.lead_id = $4
    """,
    # Each attempt's body holds the conversation so far, with the lead's words.
    """
    DELETE FROM turn_attempts a USING turns u
    WHERE u.tenant_id = $1 AND u.interaction_id = ANY ($2)
      AND a.tenant_id = u.tenant_id AND a.turn_id = u.turn_id
    """,
    """
    UPDATE turns SET payload = NULL, unsent_reply = NULL, reply = NULL, held = NULL, refused = '[]',
        outcome = NULL,
        reason = regexp_replace(reason, 'handed off: .*', 'handed off')
    WHERE tenant_id = $1 AND interaction_id = ANY ($2)
    """,
    *FORGET_EVENTS_SQL,
)


async def hand_on_threads(tx: Tx, tenant_id: str, heirs: Mapping[str, str], lead_id: str) -> None:
    """Gives each thread to another lead (`heirs`: interaction id → lead id), and removes the erased
    lead's words from it. No thread may have an unfinished turn."""
    arguments = (tenant_id, list(heirs), list(heirs.values()), lead_id)
    for sql in SILENCE_THREADS_SQL:
        parameter_count = max(place for place in range(1, 5) if f"${place}" in sql)
        await tx.execute(sql, *arguments[:parameter_count])


FIND_HEIRS_SQL = """
SELECT DISTINCT ON (phone) phone, lead_id FROM leads
WHERE tenant_id = $1 AND phone = ANY ($2) AND lead_id <> $3
ORDER BY phone, active_at DESC, lead_id
"""


async def find_heirs(tx: Tx, tenant_id: str, phones: Sequence[str], except_lead_id: str) -> dict[str, str]:
    """By phone, another lead that has the same phone: the most recently active one."""
    rows = await tx.fetch_rows(FIND_HEIRS_SQL, tenant_id, list(phones), except_lead_id)
    return {row["phone"]: row["lead_id"] for row in rows}


FORGET_PHONES_SQL = (
    "UPDATE suppressions SET phone = NULL, reason = NULL WHERE tenant_id = $1 AND phone = ANY ($2)",
    """
    UPDATE consent_events SET phone = NULL, text = NULL, source = NULL, proof = NULL
    WHERE tenant_id = $1 AND phone = ANY ($2)
    """,
    "DELETE FROM tenant_events WHERE tenant_id = $1 AND data ->> 'phone' = ANY ($2)",
    """
    DELETE FROM webhook_deliveries d USING unnest($2::text[]) AS a(phone)
    WHERE d.tenant_id = $1 AND position(convert_to(a.phone, 'UTF8') IN d.request_body) > 0
    """,
    "DELETE FROM contact_checks WHERE tenant_id = $1 AND phone = ANY ($2)",
    "DELETE FROM inbound_parts WHERE tenant_id = $1 AND sender = ANY ($2)",
)


async def forget_phones(tx: Tx, tenant_id: str, phones: Sequence[str]) -> None:
    """Removes the phones. Their suppressions and consent events stay under their hashes."""
    for sql in FORGET_PHONES_SQL:
        await tx.execute(sql, tenant_id, list(phones))


DELETE_LEAD_SQL = "DELETE FROM leads WHERE tenant_id = $1 AND lead_id = $2"
DELETE_LEAD_EVENTS_SQL = """
WITH delivered AS (
    DELETE FROM webhook_deliveries
    WHERE tenant_id = $1 AND position(convert_to('"' || $2 || '"', 'UTF8') IN request_body) > 0
)
DELETE FROM tenant_events
WHERE tenant_id = $1 AND (data ->> 'leadId' = $2 OR data ->> 'mergedLeadId' = $2)
"""
DELETE_ANSWERS_SQL = """
DELETE FROM idempotency i USING unnest($2::text[]) AS a(word)
WHERE i.tenant_id = $1 AND position('"' || a.word || '"' IN i.answer::text) > 0
"""


async def remove_lead(tx: Tx, tenant_id: str, lead_id: str, other_names: Sequence[str]) -> None:
    """Removes the lead, and the stored answers to idempotent requests that contain its id or one of
    `other_names` (ids of its threads, its phones)."""
    await tx.execute(DELETE_LEAD_SQL, tenant_id, lead_id)
    await tx.execute(DELETE_LEAD_EVENTS_SQL, tenant_id, lead_id)
    await tx.execute(DELETE_ANSWERS_SQL, tenant_id, [lead_id, *other_names])
