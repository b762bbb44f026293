"""Leads to write to: what the page shows of each, with or without a conversation."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.store import search
from app.store.engine import ReadTx
from app.store.may_text import may_not_text_sql
from app.store.thread_filters import CommonFilter

MAX_CHOICES = 20


@dataclass(frozen=True, slots=True)
class LeadChoice:
    """A lead with its campaign. `thread_count`: its conversations so far."""

    lead_id: str
    first_name: str | None
    last_name: str | None
    phone: str | None
    timezone: str | None
    state: str | None
    postal_code: str | None
    status: str
    is_test: bool
    campaign_id: str | None
    campaign_name: str | None
    may_not_text: bool
    thread_count: int

    @property
    def name(self) -> str:
        return " ".join(part for part in (self.first_name, self.last_name) if part)


LEAD_CHOICES_SQL = f"""
SELECT l.lead_id, l.first_name, l.last_name, l.phone, l.timezone, l.state, l.postal_code,
       l.status, l.is_test, l.campaign_id, c.name AS campaign_name,
       {may_not_text_sql("l.tenant_id", "l.phone", "l.dnc_channels")} AS may_not_text,
       (SELECT count(*) FROM interactions t
        WHERE t.tenant_id = l.tenant_id AND t.lead_id = l.lead_id)::int AS thread_count
FROM leads l
LEFT JOIN campaigns c ON c.tenant_id = l.tenant_id AND c.campaign_id = l.campaign_id
WHERE l.tenant_id = $1 AND l.lead_id = ANY ($2) ORDER BY l.lead_id DESC
"""


async def get(read: ReadTx, tenant_id: str, lead_id: str) -> LeadChoice | None:
    return await read.fetch_one(LeadChoice, LEAD_CHOICES_SQL, tenant_id, [lead_id])


async def get_many(read: ReadTx, tenant_id: str, lead_ids: Sequence[str]) -> dict[str, LeadChoice]:
    """By lead id."""
    choices = await read.fetch(LeadChoice, LEAD_CHOICES_SQL, tenant_id, list(lead_ids)) if lead_ids else []
    return {choice.lead_id: choice for choice in choices}


async def find_page(
    read: ReadTx, tenant_id: str, filters: CommonFilter, without_thread: bool = False
) -> list[LeadChoice]:
    """The newest leads that match the search, up to `MAX_CHOICES`."""
    ids = await search.find_leads(read, tenant_id, filters, MAX_CHOICES, without_thread)
    return await read.fetch(LeadChoice, LEAD_CHOICES_SQL, tenant_id, ids) if ids else []


LIST_NEWEST_IDS_SQL = """
SELECT lead_id FROM leads l WHERE tenant_id = $1
  AND NOT EXISTS (SELECT 1 FROM interactions t WHERE t.tenant_id = $1 AND t.lead_id = l.lead_id)
  AND lead_id IN (SELECT lead_id FROM leads WHERE tenant_id = $1 ORDER BY lead_id DESC LIMIT 500)
ORDER BY lead_id DESC LIMIT $2
"""


async def list_newest(read: ReadTx, tenant_id: str) -> list[LeadChoice]:
    """Of the newest leads, those to whom nobody has written yet."""
    ids = [row["lead_id"] for row in await read.fetch_rows(LIST_NEWEST_IDS_SQL, tenant_id, MAX_CHOICES)]
    return await read.fetch(LeadChoice, LEAD_CHOICES_SQL, tenant_id, ids) if ids else []
