"""Applies receipts: what carriers report later about the texts we sent."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from app.domain.part_receipts import PartReceipt
from app.domain.words import STATUS_RANK
from app.store.engine import Tx
from app.store.outbox import OWED_ROW_SQL
from app.store.rows import columns_of, unnest_sql
from app.store.status_history import add_step_sql


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownReceipt:
    """A receipt of one account with a known status. Its text is found by our id first, then by the
    carrier's."""

    tenant_id: str
    account_id: str
    status: str
    at: datetime | None
    message_id: str | None
    provider_message_id: str | None
    code: str | None = None
    message: str | None = None
    has_opted_out: bool = False
    recipient: str | None = None
    """Whom the text was for, if the carrier says so."""
    price: Decimal | None = None
    currency: str | None = None
    is_price_of_part: bool = False


REPORTED_TEXT_SQL = """
    -- Two lookups, each with its own index, instead of one with OR; only that account's texts.
    LEFT JOIN LATERAL (
        SELECT * FROM (
            (SELECT 1 AS rung, m.message_id, m.to_phone, m.segments FROM messages m
             WHERE m.tenant_id = a.tenant_id AND m.message_id = a.message_id
               AND m.account_id = a.account_id AND m.role = 'agent' LIMIT 1)
            UNION ALL
            (SELECT 2, m.message_id, m.to_phone, m.segments FROM messages m
             WHERE m.tenant_id = a.tenant_id AND m.account_id = a.account_id
               AND m.provider_message_id = a.provider_message_id AND m.role = 'agent' LIMIT 1)
        ) either ORDER BY rung LIMIT 1
    ) m ON true
"""
"""The text `m` that a receipt `a` is about; its columns are NULL if we do not know it."""
APPLY_RECEIPTS_SQL = f"""
WITH said AS (
    SELECT a.*, m.message_id AS found, m.to_phone, m.segments
    FROM {unnest_sql(KnownReceipt, first=2)}
{REPORTED_TEXT_SQL}), early AS (
    INSERT INTO early_receipts (tenant_id, account_id, provider_message_id, status, code,
        message, opted_out, at, price, currency)
    SELECT tenant_id, account_id, provider_message_id, status, code, message, has_opted_out,
           coalesce(at, clock_timestamp()), CASE WHEN NOT is_price_of_part THEN price END,
           CASE WHEN NOT is_price_of_part THEN currency END
    FROM said WHERE found IS NULL AND provider_message_id IS NOT NULL
    ON CONFLICT DO NOTHING
), owing AS (
    -- Locks outbox rows before messages, in the order of a claim.
    SELECT o.place
    FROM (SELECT DISTINCT tenant_id, found AS message_id FROM said WHERE found IS NOT NULL
          ORDER BY tenant_id, message_id) a
    CROSS JOIN LATERAL {OWED_ROW_SQL} s
    CROSS JOIN LATERAL (
        SELECT o.ctid AS place FROM outbox o WHERE o.ctid = s.place FOR UPDATE) o
), best AS (
    SELECT DISTINCT ON (tenant_id, found) *, ($1::jsonb ->> status)::int AS rank,
           max(price * CASE WHEN is_price_of_part THEN coalesce(segments, 1) ELSE 1 END) OVER of_text AS told_price,
           max(currency) OVER of_text AS told_currency
    FROM said WHERE found IS NOT NULL
    WINDOW of_text AS (PARTITION BY tenant_id, found)
    ORDER BY tenant_id, found, rank DESC
), moved AS (
    -- Compares with the locked row itself: a joined copy is as old as the statement, and another
    -- receipt or the settling of the send may have changed the row while we waited for its lock.
    UPDATE messages m SET
        status = CASE WHEN b.rank > ($1::jsonb ->> m.status)::int
                      THEN b.status ELSE m.status END,
        error_code = CASE WHEN b.rank > ($1::jsonb ->> m.status)::int
                          THEN b.code ELSE m.error_code END,
        error_message = CASE WHEN b.rank > ($1::jsonb ->> m.status)::int
                             THEN b.message ELSE m.error_message END,
        provider_message_id = coalesce(m.provider_message_id, b.provider_message_id),
        price = coalesce(b.told_price, m.price), currency = coalesce(b.told_currency, m.currency),
        status_history = CASE
            WHEN m.status_history @> jsonb_build_array(jsonb_build_object('status', b.status))
            THEN m.status_history ELSE {add_step_sql("b.status", "coalesce(b.at, clock_timestamp())")} END
    FROM best b
    WHERE m.tenant_id = b.tenant_id AND m.message_id = b.found
      AND (SELECT count(*) FROM owing) >= 0
), settled AS (
    DELETE FROM outbox o USING owing w WHERE o.ctid = w.place AND o.state = 'unknown'
)
SELECT s.tenant_id, s.found AS message_id, coalesce(s.to_phone, s.recipient) AS to_phone, s.code,
       s.account_id, coalesce(s.provider_message_id, s.message_id) AS carrier_id, s.at
FROM said s
WHERE s.has_opted_out AND coalesce(s.to_phone, s.recipient) IS NOT NULL
"""


@dataclass(frozen=True, slots=True)
class ReceiptOptOut:
    """A receipt reports that the recipient of a text has opted out. `message_id`: None if we do not
    know the text; the carrier names it `carrier_id`. `at`: when, if the carrier says so."""

    tenant_id: str
    message_id: str | None
    to_phone: str
    code: str | None
    account_id: str
    carrier_id: str | None
    at: datetime | None


async def apply_receipts(tx: Tx, known_receipts: Sequence[KnownReceipt]) -> list[ReceiptOptOut]:
    """Moves the status of the texts forward, never back; returns the reported opt-outs. Receipts for
    texts that are not known yet are stored as early receipts."""
    return await tx.fetch_planned_now(ReceiptOptOut, APPLY_RECEIPTS_SQL, STATUS_RANK, *columns_of(known_receipts))


@dataclass(frozen=True, slots=True)
class LongText:
    """A text of several parts. `place` is the position of a receipt that is about it."""

    place: int
    tenant_id: str
    message_id: str
    part_receipts: dict[str, Any] | None


FIND_LONG_TEXTS_SQL = f"""
SELECT (a.i - 1)::int AS place, a.tenant_id, m.message_id,
       (SELECT t.part_receipts FROM messages t WHERE t.tenant_id = a.tenant_id AND t.message_id = m.message_id)
       AS part_receipts
FROM {unnest_sql(KnownReceipt, with_numbers=True)}
{REPORTED_TEXT_SQL}
WHERE m.segments > 1
"""


async def find_long_texts(tx: Tx, known_receipts: Sequence[KnownReceipt]) -> list[LongText]:
    """The texts of several parts that the receipts are about. Call it after `apply_receipts`, which has
    locked them."""
    return await tx.fetch_planned_now(LongText, FIND_LONG_TEXTS_SQL, *columns_of(known_receipts))


RECORD_PARTS_SQL = """
UPDATE messages m SET part_receipts = a.parts, error_code = a.code, error_message = a.message
FROM unnest($1::text[], $2::text[], $3::jsonb[], $4::text[], $5::text[])
    AS a(tenant_id, message_id, parts, code, message)
WHERE m.tenant_id = a.tenant_id AND m.message_id = a.message_id
"""


@dataclass(frozen=True, slots=True)
class RecordedParts:
    """The receipts of a text's parts, and the error that they leave."""

    tenant_id: str
    message_id: str
    parts: dict[str, PartReceipt]
    code: str | None
    message: str | None


async def record_parts(tx: Tx, recorded_parts: Sequence[RecordedParts]) -> None:
    await tx.execute(RECORD_PARTS_SQL, *columns_of(recorded_parts))
