"""What the tenants' webhooks said about phones, and which phones they are to be asked about."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.domain.contact_checks import CHECK_LIFE, CHECK_RULE, CHECK_WAIT, RETRIES
from app.store.engine import ReadTx, Tx, as_columns
from app.store.held_texts import stop_holding_sql
from app.store.rows import columns_of, unnest_sql
from app.store.suppressions import PhoneKey


def known_check_sql(phone: str) -> str:
    """An expression for `parse_check`, where `tn` is the tenant; NULL if it asks nobody. What is too old counts as
    unknown."""
    return f"""CASE WHEN tn.contact_check_url IS NOT NULL THEN coalesce(
        (SELECT jsonb_build_object('state', k.state, 'reason', k.reason, 'words', k.words, 'until',
                    coalesce(k.valid_until, greatest(k.due_at, clock_timestamp()) + interval '{CHECK_WAIT}'))
         FROM contact_checks k WHERE k.tenant_id = tn.tenant_id AND k.phone = {phone}
           AND (k.state = 'asked' OR k.valid_until > clock_timestamp())),
        jsonb_build_object('state', 'unknown', 'reason', NULL, 'words', NULL,
                           'until', clock_timestamp() + interval '{CHECK_WAIT}')) END"""


ASK_ABOUT_SQL = """
INSERT INTO contact_checks AS k (tenant_id, phone, asked_at)
SELECT DISTINCT tenant_id, phone, statement_timestamp()
FROM unnest($1::text[], $2::text[]) AS a(tenant_id, phone) ORDER BY tenant_id, phone
ON CONFLICT (tenant_id, phone) DO UPDATE
SET state = 'asked', reason = NULL, words = NULL, due_at = clock_timestamp(), lease = NULL, attempts = 0,
    failure = NULL, valid_until = NULL, asked_at = statement_timestamp()
WHERE k.valid_until <= clock_timestamp()
"""


async def ask_about(tx: Tx, phones: Sequence[PhoneKey]) -> None:
    """The tenants' webhooks are to be asked about these phones, unless they are asked already, or their answer
    counts."""
    await tx.execute(ASK_ABOUT_SQL, *as_columns(phones, 2))


@dataclass(frozen=True, slots=True)
class ClaimedQuestion:
    """A phone to ask about that only this process may ask about until its lease ends."""

    tenant_id: str
    phone: str
    attempts: int
    asked_at: datetime | None
    url: str | None
    """None: the tenant asks nobody any more."""
    secret: bytes | None
    """Sealed."""
    is_wanted: bool
    """A text to the phone still waits."""


CLAIM_QUESTIONS_SQL = """
WITH RECURSIVE asking AS (  -- each tenant with an open question: skips through the index
    (SELECT tenant_id FROM contact_checks WHERE due_at IS NOT NULL ORDER BY tenant_id LIMIT 1)
    UNION ALL
    SELECT n.tenant_id FROM asking a CROSS JOIN LATERAL (
        SELECT k.tenant_id FROM contact_checks k WHERE k.due_at IS NOT NULL AND k.tenant_id > a.tenant_id
        ORDER BY k.tenant_id LIMIT 1) n
), candidates AS (
    SELECT q.*, row_number() OVER (PARTITION BY q.tenant_id ORDER BY q.due_at) AS turn
    FROM asking a CROSS JOIN LATERAL (
        SELECT k.tenant_id, k.phone, k.due_at FROM contact_checks k
        WHERE k.tenant_id = a.tenant_id AND k.due_at <= (SELECT clock_timestamp())
        ORDER BY k.due_at LIMIT $4) q
    WHERE a.tenant_id <> ALL ($5)
), due AS (
    SELECT k.tenant_id, k.phone
    FROM (SELECT tenant_id, phone FROM candidates ORDER BY turn, due_at LIMIT $1) c
    JOIN contact_checks k ON k.tenant_id = c.tenant_id AND k.phone = c.phone
    WHERE k.due_at <= (SELECT clock_timestamp()) FOR UPDATE OF k SKIP LOCKED
), claimed AS (
    UPDATE contact_checks k SET lease = $2, due_at = clock_timestamp() + $3::interval, attempts = k.attempts + 1
    FROM due WHERE k.tenant_id = due.tenant_id AND k.phone = due.phone
    RETURNING k.tenant_id, k.phone, k.attempts, k.asked_at
)
SELECT c.tenant_id, c.phone, c.attempts, c.asked_at, t.contact_check_url AS url, t.contact_check_secret AS secret,
       EXISTS (SELECT FROM outbox o WHERE o.tenant_id = c.tenant_id AND o.to_phone = c.phone
               AND o.state = 'queued') AS is_wanted
FROM claimed c JOIN tenants t ON t.tenant_id = c.tenant_id
"""


async def claim(
    tx: Tx, limit: int, lease: str, lease_time: timedelta, limit_per_tenant: int, busy_tenant_ids: Sequence[str] = ()
) -> list[ClaimedQuestion]:
    """Claims up to `limit` due questions, the tenants in rotation, without the busy ones."""
    return await tx.fetch(
        ClaimedQuestion, CLAIM_QUESTIONS_SQL, limit, lease, lease_time, limit_per_tenant, list(busy_tenant_ids)
    )


@dataclass(frozen=True, slots=True)
class SettledQuestion:
    """What came of a question. `wait`: it is asked again after this time; None: it was answered."""

    tenant_id: str
    phone: str
    state: str
    reason: str | None = None
    words: str | None = None
    failure: str | None = None
    wait: timedelta | None = None


FREE_TEXTS_SQL = stop_holding_sql(f"o.to_phone = $2 AND m.held_rule = '{CHECK_RULE}'")
SETTLE_QUESTIONS_SQL = f"""
UPDATE contact_checks k
SET state = a.state, reason = a.reason, words = a.words, failure = a.failure, lease = NULL,
    due_at = clock_timestamp() + a.wait,
    valid_until = CASE WHEN a.wait IS NULL THEN clock_timestamp()
        + coalesce(t.contact_check_hours * interval '1 hour', '{CHECK_LIFE}') END
FROM {unnest_sql(SettledQuestion, first=2)} JOIN tenants t ON t.tenant_id = a.tenant_id
WHERE k.tenant_id = a.tenant_id AND k.phone = a.phone AND k.lease = $1
"""


async def settle(tx: Tx, lease: str, question: SettledQuestion) -> None:
    """Records what came of the question. After an answer the texts that wait for it are judged again at once."""
    if question.wait is None:  # the texts first, as when they are released
        await tx.execute(FREE_TEXTS_SQL, question.tenant_id, question.phone)
    await tx.execute(SETTLE_QUESTIONS_SQL, lease, *columns_of([question]))


DROP_QUESTION_SQL = "DELETE FROM contact_checks WHERE tenant_id = $2 AND phone = $3 AND lease = $1"


async def drop(tx: Tx, lease: str, tenant_id: str, phone: str) -> None:
    """Nobody asks about the phone any more."""
    await tx.execute(DROP_QUESTION_SQL, lease, tenant_id, phone)


FORGET_ANSWERS_SQL = "DELETE FROM contact_checks WHERE tenant_id = $1"


async def forget_answers(tx: Tx, tenant_id: str) -> None:
    """What another webhook said does not count."""
    await tx.execute(FORGET_ANSWERS_SQL, tenant_id)


@dataclass(frozen=True, slots=True)
class SilentWebhook:
    """A tenant's webhook that has not answered questions for a while. `failure`: what came of one of them."""

    tenant_id: str
    count: int
    failure: str


LIST_SILENT_SQL = """
SELECT tenant_id, count(*) AS count, max(failure) AS failure FROM contact_checks
WHERE due_at IS NOT NULL AND failure IS NOT NULL AND attempts >= $1 AND ($2::text IS NULL OR tenant_id = $2)
GROUP BY tenant_id ORDER BY tenant_id
"""


async def list_silent(read: ReadTx, tenant_id: str | None = None) -> list[SilentWebhook]:
    """The webhooks, of this tenant or of all, that have answered some question wrong or not at all, so often in a row
    that they seem to be away."""
    return await read.fetch(SilentWebhook, LIST_SILENT_SQL, len(RETRIES), tenant_id)
