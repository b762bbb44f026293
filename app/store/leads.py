"""Leads, and how a real lead replaces a placeholder."""

from collections.abc import Mapping, Sequence
from typing import Any

from app.store import directory, suppressions, threads
from app.store.engine import ReadTx, Row, Tx

COLUMNS = (
    "first_name",
    "last_name",
    "email",
    "phone",
    "status",
    "is_test",
    "is_placeholder",
    "campaign_id",
    "timezone",
    "questionnaire",
)
Lead = dict[str, Any]
"""A row of `leads` plus `is_dnc`."""

ADD_LEADS_SQL = directory.insert_sql("leads", ("lead_id", *COLUMNS))


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


async def add(tx: Tx, leads: Sequence[Mapping[str, Any]]) -> list[Lead]:
    """Adds the leads whose ids are free, and returns those. Locks their phones."""
    await _lock_phones(tx, leads)
    return await _add_is_dnc(tx, await tx.fetch_rows(ADD_LEADS_SQL, [dict(lead) for lead in leads]))


PUT_LEADS_SQL = directory.insert_sql(
    "leads",
    ("lead_id", *COLUMNS),
    "(tenant_id, lead_id) DO UPDATE SET updated_at = clock_timestamp(), "
    + "active_at = clock_timestamp(), "
    + ", ".join(f"{column} = excluded.{column}" for column in COLUMNS),
).replace("RETURNING t.*", "RETURNING t.*, t.xmax = 0 AS created")


async def put(tx: Tx, leads: Sequence[Mapping[str, Any]]) -> list[Lead]:
    """Adds or replaces the leads; `created` is true for those that were added. Locks their
    phones."""
    await _lock_phones(tx, leads)
    return await _add_is_dnc(tx, await tx.fetch_rows(PUT_LEADS_SQL, [dict(lead) for lead in leads]))


MERGE_LEADS_SQL = directory.insert_sql(
    "leads",
    ("lead_id", *COLUMNS),
    f"""(tenant_id, lead_id) DO UPDATE SET updated_at = clock_timestamp(),
    active_at = clock_timestamp(), ({", ".join(COLUMNS)}) = (
        SELECT {", ".join(f"m.{column}" for column in COLUMNS)}
        FROM jsonb_populate_record(t, $2::jsonb -> excluded.lead_id) m)""",
)


async def merge(
    tx: Tx, tenant_id: str, defaults: Mapping[str, Any], values_by_id: Mapping[str, Mapping[str, Any]]
) -> None:
    """Adds new leads with `defaults` for columns without a value; changes only the named columns of
    leads that exist. `values_by_id`: lead id → columns. Locks the phones."""
    lead_ids = sorted(values_by_id)  # so that two imports of the same leads cannot deadlock
    new_rows = [
        {**defaults, **values_by_id[lead_id], "tenant_id": tenant_id, "lead_id": lead_id} for lead_id in lead_ids
    ]
    await _lock_phones(tx, new_rows)
    await tx.fetch_rows(MERGE_LEADS_SQL, new_rows, dict(values_by_id))


CHANGE_LEADS_SQL = directory.update_sql("leads", "lead_id", COLUMNS).replace(
    "updated_at = ", "active_at = clock_timestamp(), updated_at = "
)


async def change(tx: Tx, leads: Sequence[Mapping[str, Any]]) -> list[Lead]:
    """Writes all columns of the leads. Locks their phones."""
    await _lock_phones(tx, leads)
    return await _add_is_dnc(tx, await tx.fetch_rows(CHANGE_LEADS_SQL, [dict(lead) for lead in leads]))


GET_LEAD_SQL = directory.select_one_sql("leads", "lead_id")


async def get(read: ReadTx, tenant_id: str, lead_id: str) -> Lead | None:
    row = await read.fetch_row(GET_LEAD_SQL, tenant_id, lead_id)
    return None if row is None else (await _add_is_dnc(read, [row]))[0]


LOCK_LEAD_SQL = directory.select_one_sql("leads", "lead_id", lock=True)


async def lock(tx: Tx, tenant_id: str, lead_id: str) -> Row | None:
    """Locks the phone, then the lead (docs/laws.md, law 9): no text of it is stored meanwhile."""
    current_row = await tx.fetch_row(GET_LEAD_SQL, tenant_id, lead_id)
    await _lock_phones(tx, [current_row] if current_row else [])
    return await tx.fetch_row(LOCK_LEAD_SQL, tenant_id, lead_id)


LIST_LEADS_SQL = directory.select_page_sql(
    "leads",
    "lead_id",
    """($4::text IS NULL OR concat_ws(' ', first_name, last_name) ILIKE $4 OR email ILIKE $4
        OR lead_id ILIKE $4 OR phone LIKE $5)""",
)


async def list_page(read: ReadTx, tenant_id: str, below: str | None, limit: int, search: str | None) -> list[Lead]:
    """Leads whose name, e-mail, id or phone contains `search` (None: all)."""
    pattern = digits = None
    if search:
        pattern_text = search.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
        pattern = f"%{pattern_text}%"
        typed_digits = "".join(c for c in search if c.isascii() and c.isdigit())
        digits = f"%{typed_digits}%" if len(typed_digits) >= 3 else None
    return await _add_is_dnc(read, await read.fetch_rows(LIST_LEADS_SQL, tenant_id, below, limit, pattern, digits))


REMOVE_LEAD_SQL = directory.delete_sql("leads", "lead_id")


async def remove(tx: Tx, tenant_id: str, lead_id: str) -> bool:
    """Raises `StillReferenced` when the lead has threads."""
    return await tx.fetch_value(REMOVE_LEAD_SQL, tenant_id, lead_id) is not None


SET_DNC_SQL = """
UPDATE leads t SET dnc_channels = a.dnc_channels, dnc_reason = a.dnc_reason,
    updated_at = clock_timestamp()
FROM jsonb_populate_recordset(NULL::leads, $1) a
WHERE t.tenant_id = a.tenant_id AND t.lead_id = a.lead_id
"""


async def set_dnc(tx: Tx, tenant_id: str, lead_id: str, channels: list[str], why: str | None) -> None:
    new_values = {
        "tenant_id": tenant_id,
        "lead_id": lead_id,
        "dnc_channels": channels,
        "dnc_reason": why,
    }
    await tx.execute(SET_DNC_SQL, [new_values])


LOCK_PLACEHOLDERS_SQL = """
SELECT lead_id, dnc_channels FROM leads
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
INHERIT_DNC_SQL = """
UPDATE leads SET dnc_channels = ARRAY(SELECT DISTINCT unnest(dnc_channels || $3::text[]) ORDER BY 1)
WHERE tenant_id = $1 AND lead_id = $2
"""
DELETE_LEADS_SQL = "DELETE FROM leads WHERE tenant_id = $1 AND lead_id = ANY ($2)"


async def adopt_placeholders(tx: Tx, tenant_id: str, lead_id: str, phone: str) -> None:
    """Replaces the placeholders with this phone by the lead: it gets their threads, texts and
    do-not-contact channels.

    The caller holds the phone's lock, so no text of it is stored meanwhile."""
    placeholders = await tx.fetch_rows(LOCK_PLACEHOLDERS_SQL, tenant_id, phone, lead_id)
    if not placeholders:
        return
    ids = [row["lead_id"] for row in placeholders]
    await tx.fetch_rows(LOCK_THREADS_SQL, tenant_id, ids)
    await tx.execute(MOVE_THREADS_SQL, tenant_id, ids, lead_id)
    channels = [channel for row in placeholders for channel in row["dnc_channels"]]
    if channels:
        await tx.execute(INHERIT_DNC_SQL, tenant_id, lead_id, channels)
    await tx.execute(DELETE_LEADS_SQL, tenant_id, ids)


FIND_WITH_PLACEHOLDER_SQL = """
SELECT DISTINCT phone FROM leads WHERE tenant_id = $1 AND phone = ANY ($2) AND is_placeholder
"""


async def find_with_placeholder(read: ReadTx, tenant_id: str, phones: Sequence[str]) -> list[str]:
    """Those of the phones that belong to a placeholder."""
    rows = await read.fetch_rows(FIND_WITH_PLACEHOLDER_SQL, tenant_id, list(phones))
    return [row["phone"] for row in rows]


async def _lock_phones(tx: Tx, leads: Sequence[Mapping[str, Any]]) -> None:
    phones = sorted({suppressions.PhoneKey(lead["tenant_id"], lead["phone"]) for lead in leads if lead["phone"]})
    if phones:
        await suppressions.lock_phones(tx, phones)


async def _add_is_dnc(read: ReadTx, rows: Sequence[Row]) -> list[Lead]:
    """Adds `is_dnc`: a channel is blocked, or the phone is suppressed."""
    phones = {row["phone"] for row in rows if row["phone"]}
    causes = {}
    if phones:
        causes = await suppressions.get_causes(read, rows[0]["tenant_id"], sorted(phones))
    return [{**row, "is_dnc": bool(row["dnc_channels"]) or bool(causes.get(row["phone"]))} for row in rows]
