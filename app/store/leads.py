"""Leads, and how a placeholder gives way to a real one."""

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
"""A row of `leads`, with `is_dnc`."""

ADD_LEADS_SQL = directory.insert_sql("leads", ("lead_id", *COLUMNS))


def mark_active_sql(leads_cte: str) -> str:
    """The leads (tenant_id, lead_id) of `leads_cte` are active now, where they share their phone: only
    among those does it matter who was active last. One alone is spared the write at each text,
    since whoever gets its phone later is active later. Whoever holds one of them is touching it
    too: nobody waits here for anybody.

    Found by key and by phone whatever the planner believes: where it takes the table for empty,
    which it was when it was last looked at, all indexes of the tenant look alike to it; only the
    order tells them apart."""
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
    """Adds the leads whose ids are free; returns those. Takes their phones' locks."""
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
    """Adds or replaces the leads; `created` tells which. Takes their phones' locks."""
    await _lock_phones(tx, leads)
    return await _add_is_dnc(tx, await tx.fetch_rows(PUT_LEADS_SQL, [dict(lead) for lead in leads]))


MERGE = directory.insert_sql(
    "leads",
    ("lead_id", *COLUMNS),
    f"""(tenant_id, lead_id) DO UPDATE SET updated_at = clock_timestamp(),
    active_at = clock_timestamp(), ({", ".join(COLUMNS)}) = (
        SELECT {", ".join(f"m.{column}" for column in COLUMNS)}
        FROM jsonb_populate_record(t, $2::jsonb -> excluded.lead_id) m)""",
)


async def merge(tx: Tx, tenant_id: str, fresh: Mapping[str, Any], given: Mapping[str, Mapping[str, Any]]) -> None:
    """`given`: id → columns. Adds those that are new, with what `fresh` says of the columns that
    are not given; of the others only what is given changes. Takes the phones' locks."""
    keys = sorted(given)  # two imports of the same leads wait in one order
    new = [{**fresh, **given[key], "tenant_id": tenant_id, "lead_id": key} for key in keys]
    await _lock_phones(tx, new)
    await tx.fetch_rows(MERGE, new, dict(given))


CHANGE_LEADS_SQL = directory.update_sql("leads", "lead_id", COLUMNS).replace(
    "updated_at = ", "active_at = clock_timestamp(), updated_at = "
)


async def change(tx: Tx, leads: Sequence[Mapping[str, Any]]) -> list[Lead]:
    """Changes the leads whole. Takes their phones' locks."""
    await _lock_phones(tx, leads)
    return await _add_is_dnc(tx, await tx.fetch_rows(CHANGE_LEADS_SQL, [dict(lead) for lead in leads]))


GET_LEAD_SQL = directory.select_one_sql("leads", "lead_id")


async def get(read: ReadTx, tenant_id: str, lead_id: str) -> Lead | None:
    row = await read.fetch_row(GET_LEAD_SQL, tenant_id, lead_id)
    return None if row is None else (await _add_is_dnc(read, [row]))[0]


LOCK_LEAD_SQL = directory.select_one_sql("leads", "lead_id", lock=True)


async def lock(tx: Tx, tenant_id: str, lead_id: str) -> Row | None:
    """Locks the lead, and its phone first (law 9): no text of it comes in meanwhile."""
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
    """Leads whose name, e-mail, id, or phone's digits contain `search` (None: all)."""
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
    """The placeholders with this phone give way to the lead: their threads and texts become
    its own, and so does what they were not to be contacted by.

    Whoever stored the lead has the phone's lock, so that no text of it comes in meanwhile."""
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
    """Of the phones those that a placeholder has."""
    rows = await read.fetch_rows(FIND_WITH_PLACEHOLDER_SQL, tenant_id, list(phones))
    return [row["phone"] for row in rows]


async def _lock_phones(tx: Tx, leads: Sequence[Mapping[str, Any]]) -> None:
    phones = sorted({(lead["tenant_id"], lead["phone"]) for lead in leads if lead["phone"]})
    if phones:
        await suppressions.lock_phones(tx, phones)


async def _add_is_dnc(read: ReadTx, rows: Sequence[Row]) -> list[Lead]:
    """`isDnc`: any channel, or the phone suppressed (contract 7)."""
    phones = {row["phone"] for row in rows if row["phone"]}
    causes = {}
    if phones:
        causes = await suppressions.get_causes(read, rows[0]["tenant_id"], sorted(phones))
    return [{**row, "is_dnc": bool(row["dnc_channels"]) or bool(causes.get(row["phone"]))} for row in rows]
