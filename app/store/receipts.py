"""A carrier's later word about texts of ours."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from app.domain.words import RANK
from app.store.engine import Row, Tx, spread


@dataclass(frozen=True, slots=True)
class Word:
    """A receipt with a status we know. Found by our id first, by the carrier's second."""

    status: str
    at: datetime | None
    message_id: str | None
    provider_message_id: str | None
    to: str | None = None
    code: str | None = None
    message: str | None = None
    opted_out: bool = False


APPLY = """
WITH said AS (
    SELECT a.*, m.message_id AS found, m.to_phone
    FROM unnest($3::text[], $4::timestamptz[], $5::text[], $6::text[], $7::text[], $8::text[],
                $9::bool[]) AS a(status, at, ours, theirs, code, message, opted_out)
    LEFT JOIN LATERAL (
        SELECT m.message_id, m.to_phone FROM messages m
        WHERE m.tenant_id = $1 AND m.account_id = $2 AND m.role = 'agent'
          AND (m.message_id = a.ours
               OR m.provider_message_id = a.theirs)
        ORDER BY m.message_id = a.ours DESC NULLS LAST LIMIT 1
    ) m ON true
), early AS (
    INSERT INTO early_receipts (tenant_id, account_id, provider_message_id, status, code,
        message, opted_out, at)
    SELECT $1, $2, theirs, status, code, message, opted_out, coalesce(at, clock_timestamp())
    FROM said WHERE found IS NULL AND theirs IS NOT NULL
    ON CONFLICT DO NOTHING
), owing AS (
    -- The outbox first, then messages: the order in which a claim takes them.
    SELECT o.message_id FROM outbox o
    WHERE o.tenant_id = $1 AND o.message_id IN (SELECT found FROM said)
    ORDER BY o.message_id FOR UPDATE
), best AS (
    SELECT DISTINCT ON (found) *, ($10::jsonb ->> status)::int AS rank
    FROM said WHERE found IS NOT NULL
    ORDER BY found, rank DESC
), moved AS (
    -- Compared with the row itself: a join's copy of it would be as old as the statement, and
    -- another receipt, or the settling of the send, may have moved it while we waited.
    UPDATE messages m SET
        status = CASE WHEN b.rank > ($10::jsonb ->> m.status)::int
                      THEN b.status ELSE m.status END,
        error_code = CASE WHEN b.rank > ($10::jsonb ->> m.status)::int
                          THEN b.code ELSE m.error_code END,
        error_message = CASE WHEN b.rank > ($10::jsonb ->> m.status)::int
                             THEN b.message ELSE m.error_message END,
        provider_message_id = coalesce(m.provider_message_id, b.theirs),
        status_history = CASE
            WHEN m.status_history @> jsonb_build_array(jsonb_build_object('status', b.status))
            THEN m.status_history ELSE m.status_history
            || jsonb_build_object('status', b.status, 'at', coalesce(b.at, clock_timestamp())) END
    FROM best b
    WHERE m.tenant_id = $1 AND m.message_id = b.found AND (SELECT count(*) FROM owing) >= 0
    RETURNING m.message_id
), settled AS (
    DELETE FROM outbox o USING moved m
    WHERE o.tenant_id = $1 AND o.message_id = m.message_id AND o.state = 'unknown'
)
SELECT s.found AS message_id, s.to_phone, s.opted_out, s.code FROM said s
"""


async def apply(tx: Tx, tenant_id: str, account_id: str, words: Sequence[Word]) -> list[Row]:
    """Moves the texts' status forward, never back; keeps words about unknown texts a while.

    In order: the text each word was about (None: not known yet), its recipient, and whether
    the word was an opt-out."""
    columns = spread(
        [
            (
                w.status,
                w.at,
                w.message_id,
                w.provider_message_id,
                w.code,
                w.message,
                w.opted_out,
            )
            for w in words
        ],
        7,
    )
    return await tx.rows(APPLY, tenant_id, account_id, *columns, RANK)
