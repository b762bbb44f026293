"""Leads, and how a real lead replaces a placeholder."""

from collections.abc import Mapping, Sequence
from typing import Any

from app.domain.lead_fields import CustomFields
from app.domain.words import RowOutcome
from app.store import directory, lead_answers, suppressions, threads
from app.store.directory import Values
from app.store.engine import ReadTx, Tx
from app.store.schema import Lead

DNC_COLUMNS = ("dnc_channels", "dnc_reason")
"""Set by a command of their own; replacing a lead keeps them."""


def mark_active_sql(leads_cte: str) -> str:
    """Sets `active_at` of the leads (tenant_id, lead_id) in `leads_cte`, if another lead has the same
    phone: only then it matters who was active last. A lead with a phone of its own saves a write for
    each text; a lead that gets the same phone later is active later anyway. Locked leads are
    skipped, because their lock holder is updating them.

    ORDER BY … LIMIT forces the indexes by key and by phone: if statistics say that the table is
    empty, every index looks equally good to the planner."""
    return f"""
    UPDATE leads x SET active_at = clock_timestamp() WHERE x.ctid = ANY (ARRAY(
        SELECT free.place FROM (SELECT DISTINCT tenant_id, lead_id FROM {leads_cte}) a
        CROSS JOIN LATERAL (
            SELECT k.* FROM (
                SELECT o.ctid AS place, o.lead_id, o.phone FROM leads o
                WHERE o.tenant_id = a.tenant_id AND o.lead_id >= a.lead_id
                ORDER BY o.lead_id LIMIT 1) k
            WHERE k.lead_id = a.lead_id) l
        CROSS JOIN LATERAL (
            SELECT o.ctid AS place FROM leads o WHERE o.ctid = l.place
            FOR NO KEY UPDATE SKIP LOCKED) free
        WHERE 2 = (
            SELECT count(*) FROM (
                SELECT o.phone FROM leads o
                WHERE o.tenant_id = a.tenant_id AND o.phone >= l.phone
                ORDER BY o.phone LIMIT 2) two
            WHERE two.phone = l.phone)))
"""


async def add(tx: Tx, tenant_id: str, lead_id: str, values: Values) -> Lead | None:
    """Adds a lead; None if the id is taken. Locks its phone."""
    await _lock_phones(tx, tenant_id, [values.get("phone")])
    return await directory.add(tx, Lead, tenant_id, lead_id, values)


async def add_or_replace(tx: Tx, tenant_id: str, lead_id: str, values: Values) -> tuple[Lead, bool]:
    """Adds or replaces the lead; returns it, and whether it is new. Locks its phone."""
    await _lock_phones(tx, tenant_id, [values.get("phone")])
    return await directory.add_or_replace(tx, Lead, tenant_id, lead_id, values, kept_columns=DNC_COLUMNS)


MERGED_COLUMNS = ", ".join(directory.value_columns(Lead))
MERGED_LEAD_SQL = """jsonb_populate_record(t, $2::jsonb -> excluded.lead_id || jsonb_build_object(
    'custom_fields', t.custom_fields || coalesce($2::jsonb -> excluded.lead_id -> 'custom_fields', '{}')))"""
MERGE_LEADS_SQL = f"""
{directory.insert_many_sql(Lead)}
ON CONFLICT (tenant_id, lead_id) DO UPDATE SET updated_at = clock_timestamp(),
    active_at = clock_timestamp(), ({MERGED_COLUMNS}) = (
        SELECT {MERGED_COLUMNS} FROM {MERGED_LEAD_SQL})
WHERE t IS DISTINCT FROM {MERGED_LEAD_SQL}
RETURNING lead_id, xmax = 0 AS is_new
"""


async def merge(tx: Tx, tenant_id: str, values_by_id: Mapping[str, Mapping[str, Any]]) -> dict[str, RowOutcome]:
    """Adds new leads, with the defaults of columns without a value; changes only the named columns of
    leads that exist, and not a lead that has these values. Custom fields are merged by key.
    `values_by_id`: lead id → columns. Locks the phones. Returns what became of each lead."""
    lead_ids = sorted(values_by_id)  # so that two imports of the same leads cannot deadlock
    new_rows = [{**values_by_id[lead_id], "tenant_id": tenant_id, "lead_id": lead_id} for lead_id in lead_ids]
    await _lock_phones(tx, tenant_id, [row.get("phone") for row in new_rows])
    written_rows = await tx.fetch_rows(MERGE_LEADS_SQL, new_rows, dict(values_by_id))
    outcomes: dict[str, RowOutcome] = dict.fromkeys(values_by_id, "unchanged")
    return outcomes | {row["lead_id"]: "added" if row["is_new"] else "changed" for row in written_rows}


FIND_BY_PHONE_SQL = """
SELECT phone, min(lead_id) AS lead_id FROM leads
WHERE tenant_id = $1 AND phone = ANY ($2) AND NOT is_placeholder AND lead_id <> ALL ($3)
GROUP BY phone
"""


async def find_by_phone(read: ReadTx, tenant_id: str, phones: Sequence[str], but_not: Sequence[str]) -> dict[str, str]:
    """The lead with each of these phones, by phone; of several leads the one with the lowest id.
    Without placeholders, and without the ids `but_not`."""
    rows = await read.fetch_rows(FIND_BY_PHONE_SQL, tenant_id, list(phones), list(but_not))
    return {row["phone"]: row["lead_id"] for row in rows}


FIND_KNOWN_SQL = "SELECT lead_id FROM leads WHERE tenant_id = $1 AND lead_id = ANY ($2)"


async def find_known(read: ReadTx, tenant_id: str, lead_ids: Sequence[str]) -> set[str]:
    """Those of the ids that the tenant has."""
    return {row["lead_id"] for row in await read.fetch_rows(FIND_KNOWN_SQL, tenant_id, list(lead_ids))}


GET_CUSTOM_FIELDS_SQL = """
SELECT lead_id, custom_fields FROM leads WHERE tenant_id = $1 AND lead_id = ANY ($2) AND custom_fields <> '{}'
"""


async def get_custom_fields(read: ReadTx, tenant_id: str, lead_ids: Sequence[str]) -> dict[str, CustomFields]:
    """By lead id, for those of the leads that have some."""
    rows = await read.fetch_rows(GET_CUSTOM_FIELDS_SQL, tenant_id, list(lead_ids))
    return {row["lead_id"]: row["custom_fields"] for row in rows}


async def change(tx: Tx, tenant_id: str, lead_id: str, values: Values) -> Lead | None:
    """Writes only the given columns. Locks the phone that is given."""
    await _lock_phones(tx, tenant_id, [values.get("phone")])
    return await directory.change(tx, Lead, tenant_id, lead_id, values)


async def lock(tx: Tx, tenant_id: str, lead_id: str, new_phone: str | None = None) -> Lead | None:
    """Locks the phone and the one that it gets, then the lead (docs/laws.md, law 9): no text of it is
    stored meanwhile."""
    lead = await directory.get(tx, Lead, tenant_id, lead_id)
    await _lock_phones(tx, tenant_id, [lead.phone, new_phone] if lead else [])
    return await directory.lock(tx, Lead, tenant_id, lead_id)


SET_DNC_SQL = """
UPDATE leads SET dnc_channels = $3, dnc_reason = $4, updated_at = clock_timestamp()
WHERE tenant_id = $1 AND lead_id = $2
"""


async def set_dnc(tx: Tx, tenant_id: str, lead_id: str, channels: list[str], why: str | None) -> None:
    await tx.execute(SET_DNC_SQL, tenant_id, lead_id, channels, why)


LOCK_PLACEHOLDERS_SQL = """
SELECT lead_id, dnc_channels, tags, custom_fields FROM leads
WHERE tenant_id = $1 AND phone = $2 AND is_placeholder AND lead_id <> $3
ORDER BY lead_id FOR UPDATE
"""
LOCK_THREADS_SQL = f"""
SELECT 1 FROM interactions t WHERE t.tenant_id = $1 AND t.lead_id = ANY ($2)
{threads.LOCK_IN_ORDER_SQL}
"""
MOVE_THREADS_SQL = """
WITH threads AS (
    UPDATE interactions SET lead_id = $3, updated_at = clock_timestamp()
    WHERE tenant_id = $1 AND lead_id = ANY ($2)
    RETURNING interaction_id
)
UPDATE messages m SET lead_id = $3 FROM threads t
WHERE m.tenant_id = $1 AND m.interaction_id = t.interaction_id AND m.lead_id = ANY ($2)
"""
INHERIT_FIELDS_SQL = """
UPDATE leads SET dnc_channels = ARRAY(SELECT DISTINCT unnest(dnc_channels || $3::text[]) ORDER BY 1),
    tags = tags || ARRAY(SELECT DISTINCT tag FROM unnest($4::text[]) tag WHERE tag <> ALL (tags)),
    custom_fields = $5::jsonb || custom_fields
WHERE tenant_id = $1 AND lead_id = $2
"""
DELETE_MERGED_SQL = """
WITH gone AS (
    DELETE FROM leads WHERE tenant_id = $1 AND lead_id = ANY ($2) RETURNING lead_id
)
INSERT INTO tenant_events (tenant_id, type, name, actor, data)
SELECT $1, 'status', 'lead.merged', nullif(current_setting('app.actor', true), ''),
       jsonb_build_object('leadId', $3::text, 'mergedLeadId', lead_id)
FROM gone
"""


async def delete_merged(tx: Tx, tenant_id: str, lead_ids: Sequence[str], into_id: str) -> None:
    """Deletes leads whose threads and texts the lead `into_id` has got, and tells the feed."""
    await tx.execute(DELETE_MERGED_SQL, tenant_id, list(lead_ids), into_id)


async def adopt_placeholders(tx: Tx, tenant_id: str, lead_id: str, phone: str) -> None:
    """Replaces the placeholders with this phone by the lead: it gets their threads, texts,
    answers, do-not-contact channels, tags and custom fields.

    The caller holds the phone's lock, so no text of it is stored meanwhile."""
    placeholders = await tx.fetch_rows(LOCK_PLACEHOLDERS_SQL, tenant_id, phone, lead_id)
    if not placeholders:
        return
    ids = [row["lead_id"] for row in placeholders]
    await tx.fetch_rows(LOCK_THREADS_SQL, tenant_id, ids)
    await tx.execute(MOVE_THREADS_SQL, tenant_id, ids, lead_id)
    await lead_answers.adopt(tx, tenant_id, ids, lead_id)
    channels = [channel for row in placeholders for channel in row["dnc_channels"]]
    tags = [tag for row in placeholders for tag in row["tags"]]
    custom_fields = {key: value for row in placeholders for key, value in row["custom_fields"].items()}
    if channels or tags or custom_fields:
        await tx.execute(INHERIT_FIELDS_SQL, tenant_id, lead_id, channels, tags, custom_fields)
    await delete_merged(tx, tenant_id, ids, lead_id)


FIND_WITH_PLACEHOLDER_SQL = """
SELECT DISTINCT phone FROM leads WHERE tenant_id = $1 AND phone = ANY ($2) AND is_placeholder
"""


async def find_with_placeholder(read: ReadTx, tenant_id: str, phones: Sequence[str]) -> list[str]:
    """Those of the phones that belong to a placeholder."""
    rows = await read.fetch_rows(FIND_WITH_PLACEHOLDER_SQL, tenant_id, list(phones))
    return [row["phone"] for row in rows]


async def find_dnc(read: ReadTx, leads: Sequence[Lead]) -> set[str]:
    """The ids of those leads of one tenant that may not be contacted: a channel is blocked, or the
    phone is suppressed."""
    phones = sorted({lead.phone for lead in leads if lead.phone})
    causes = await suppressions.get_causes(read, leads[0].tenant_id, phones) if phones else {}
    return {lead.lead_id for lead in leads if lead.dnc_channels or causes.get(lead.phone or "")}


async def _lock_phones(tx: Tx, tenant_id: str, phones: Sequence[str | None]) -> None:
    keys = sorted({suppressions.PhoneKey(tenant_id, phone) for phone in phones if phone})
    if keys:
        await suppressions.lock_phones(tx, keys)
