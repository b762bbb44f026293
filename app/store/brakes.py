"""Brakes: pause and resume sending for a tenant, a number or an agent, by hand; for an account, when
its carrier refuses it. The claim checks them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from app.store import core
from app.store.directory import id_column_of
from app.store.engine import Tx
from app.store.rows import columns_of, unnest_sql
from app.store.schema import PhoneNumber, SmsAgent, Tenant, WebhookEndpoint

B = TypeVar("B", Tenant, PhoneNumber, SmsAgent, WebhookEndpoint)
PAUSE_SQL = """
UPDATE {table} SET paused_at = coalesce(paused_at, clock_timestamp()), paused_reason = $3,
    updated_at = clock_timestamp()
WHERE tenant_id = $1 AND {key} = $2 RETURNING *
"""
RESUME_SQL = """
UPDATE {table} SET paused_at = NULL, paused_reason = NULL, updated_at = clock_timestamp()
WHERE tenant_id = $1 AND {key} = $2 RETURNING *
"""


async def pause(tx: Tx, kind: type[B], tenant_id: str, id: str, reason: str | None) -> B | None:
    return await core.fetch_first(tx, kind, _name_table(PAUSE_SQL, kind), tenant_id, id, reason)


async def resume(tx: Tx, kind: type[B], tenant_id: str, id: str) -> B | None:
    return await core.fetch_first(tx, kind, _name_table(RESUME_SQL, kind), tenant_id, id)


def _name_table(sql: str, kind: type[B]) -> str:
    return sql.format(table=kind.__tablename__, key=id_column_of(kind).name)


FIRST_ACCOUNT_PAUSE, MAX_ACCOUNT_PAUSE = timedelta(seconds=5), timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class AccountAnswer:
    """What a carrier's answer to a request says about the account itself. `reason`: why it refuses the
    account; None: it takes texts."""

    tenant_id: str
    account_id: str
    begun_at: datetime
    reason: str | None


JUDGE_ACCOUNTS_SQL = f"""
UPDATE provider_accounts p SET
    paused_at = CASE WHEN a.reason IS NOT NULL THEN coalesce(p.paused_at, clock_timestamp()) END,
    paused_reason = a.reason,
    resumes_at = CASE WHEN a.reason IS NOT NULL THEN
        clock_timestamp() + least($1::interval * 2 ^ least(p.pauses, 20), $2::interval) END,
    pauses = CASE WHEN a.reason IS NOT NULL THEN p.pauses + 1 ELSE 0 END,
    judged_at = clock_timestamp()
FROM {unnest_sql(AccountAnswer, first=3)}
WHERE p.tenant_id = a.tenant_id AND p.account_id = a.account_id
  AND (p.judged_at IS NULL OR p.judged_at < a.begun_at)
RETURNING p.account_id, p.provider, p.paused_reason
"""


@dataclass(frozen=True, slots=True)
class JudgedAccount:
    account_id: str
    provider: str
    paused_reason: str | None


async def judge_accounts(tx: Tx, answers: Sequence[AccountAnswer]) -> list[JudgedAccount]:
    """Pauses accounts that their carrier refuses, longer each time, and releases those that it takes
    again; one answer for each account. Answers to requests that began before the last change of the
    brake are old news; returns the accounts that were changed."""
    return await tx.fetch(
        JudgedAccount, JUDGE_ACCOUNTS_SQL, FIRST_ACCOUNT_PAUSE, MAX_ACCOUNT_PAUSE, *columns_of(answers)
    )


@dataclass(frozen=True, slots=True)
class PausedAccount:
    provider: str
    account_id: str
    paused_at: datetime
    paused_reason: str | None


LIST_PAUSED_ACCOUNTS_SQL = """
SELECT provider, account_id, paused_at, paused_reason FROM provider_accounts
WHERE paused_at IS NOT NULL AND active ORDER BY paused_at, account_id
"""


async def list_paused_accounts(tx: Tx) -> list[PausedAccount]:
    """The paused accounts of all tenants."""
    return await tx.fetch(PausedAccount, LIST_PAUSED_ACCOUNTS_SQL)
