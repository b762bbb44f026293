"""Phones that a tenant has stored: whatever a carrier brought."""

from collections.abc import Sequence

from app.store.engine import ReadTx

FIND_KNOWN_PHONES_SQL = """
SELECT a.phone FROM unnest($2::text[], $3::bytea[]) AS a(phone, phone_hash)
WHERE EXISTS (SELECT 1 FROM leads l WHERE l.tenant_id = $1 AND l.phone = a.phone)
   OR EXISTS (SELECT 1 FROM interactions i WHERE i.tenant_id = $1 AND i.lead_phone = a.phone)
   OR EXISTS (SELECT 1 FROM consent_events e WHERE e.tenant_id = $1 AND e.phone_hash = a.phone_hash)
"""


async def find_known(read: ReadTx, tenant_id: str, phones: Sequence[str]) -> set[str]:
    """Which of the phones a lead, a thread or a consent event has."""
    hashes = [read.hash_phone(phone) for phone in phones]
    rows = await read.fetch_rows(FIND_KNOWN_PHONES_SQL, tenant_id, list(phones), hashes)
    return {row["phone"] for row in rows}
