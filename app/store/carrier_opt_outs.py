"""Opt-outs that carriers report with their receipts, or when they refuse a text."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from app.store import suppressions
from app.store.engine import Tx, as_columns
from app.store.rows import columns_of, unnest_sql
from app.store.suppressions import Cause, ChangedThread, PhoneKey

FIND_NEW_CARRIER_CAUSES_SQL = """
SELECT a.nth FROM unnest($1::text[], $2::text[], $3::bytea[]) WITH ORDINALITY
    AS a(tenant_id, message_id, phone_hash, nth)
JOIN messages m ON m.tenant_id = a.tenant_id AND m.message_id = a.message_id
CROSS JOIN LATERAL (
    SELECT coalesce(max((h ->> 'at')::timestamptz) FILTER (WHERE h ->> 'status' = 'sending'),
                    m.created_at) AS at
    FROM jsonb_array_elements(m.status_history) h
) sent
WHERE NOT EXISTS (
    SELECT 1 FROM consent_events e
    WHERE e.tenant_id = a.tenant_id AND e.phone_hash = a.phone_hash
      AND (e.actor = 'carrier' AND e.message_id = a.message_id
           OR e.event = 'opted_in' AND e.at >= sent.at))
ORDER BY a.nth
"""


@dataclass(frozen=True, slots=True)
class ReportedOptOut:
    """A carrier reports for a text that its recipient has opted out. `message_id`: None if the text is
    not ours."""

    tenant_id: str
    message_id: str | None
    to_phone: str
    code: str | None


async def add_reported(tx: Tx, opt_outs: Sequence[ReportedOptOut]) -> list[ChangedThread]:
    """As `suppressions.add`, for opt-outs that carriers report for our texts. Each text counts
    once, however often it is reported. It does not count if the lead opted in after the text was
    last sent: then the report is about the time before."""
    if not opt_outs:
        return []
    causes = list({(opt_out.tenant_id, opt_out.message_id): build_reported(opt_out) for opt_out in opt_outs}.values())
    await suppressions.lock_phones_only(tx, suppressions.list_phone_keys(causes))
    keys = [(cause.tenant_id, cause.message_id, tx.hash_phone(cause.phone)) for cause in causes]
    new_rows = await tx.fetch_rows(FIND_NEW_CARRIER_CAUSES_SQL, *as_columns(keys, 3))
    return await suppressions.add(tx, [causes[row["nth"] - 1] for row in new_rows])


def build_reported(opt_out: ReportedOptOut) -> Cause:
    return Cause(
        tenant_id=opt_out.tenant_id,
        phone=opt_out.to_phone,
        cause="lead",
        actor="carrier",
        event="opted_out",
        rule="carrier",
        text=opt_out.code,
        message_id=opt_out.message_id,
    )


@dataclass(frozen=True, slots=True)
class ForeignOptOut:
    """A carrier's report that a phone opted out, about a text that we do not know."""

    tenant_id: str
    account_id: str
    carrier_id: str | None
    phone: str
    phone_hash: bytes
    at: datetime | None


FIND_FOREIGN_NEWS_SQL = f"""
WITH wanted AS (
    SELECT a.*, 'opted_out:' || a.carrier_id AS report_id FROM {unnest_sql(ForeignOptOut, with_numbers=True)}
    WHERE (EXISTS (SELECT 1 FROM leads l WHERE l.tenant_id = a.tenant_id AND l.phone = a.phone)
           OR EXISTS (SELECT 1 FROM interactions t WHERE t.tenant_id = a.tenant_id AND t.lead_phone = a.phone))
      AND NOT EXISTS (
          SELECT 1 FROM consent_events e WHERE e.tenant_id = a.tenant_id AND e.phone_hash = a.phone_hash
            AND e.event = 'opted_in' AND e.at >= coalesce(a.at, clock_timestamp()))
), fresh AS (
    INSERT INTO provider_ids_seen (tenant_id, account_id, provider_id)
    SELECT tenant_id, account_id, report_id FROM wanted ORDER BY 1, 2, 3
    ON CONFLICT DO NOTHING RETURNING tenant_id, account_id, provider_id
)
SELECT min(w.i) - 1 AS place FROM wanted w
JOIN fresh f ON f.tenant_id = w.tenant_id AND f.account_id = w.account_id AND f.provider_id = w.report_id
GROUP BY w.tenant_id, w.account_id, w.report_id ORDER BY 1
"""


async def find_foreign_news(tx: Tx, reports: Sequence[ForeignOptOut]) -> list[int]:
    """The places of those reports that are news about the phone of a lead: not heeded before, however
    often they come, and not older than the lead's last opt-in. Locks the phones."""
    await suppressions.lock_phones_only(tx, sorted({PhoneKey(report.tenant_id, report.phone) for report in reports}))
    rows = await tx.fetch_rows(FIND_FOREIGN_NEWS_SQL, *columns_of(reports))
    return [row["place"] for row in rows]
