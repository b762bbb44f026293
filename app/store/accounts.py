"""A tenant's accounts with providers. Credentials are sealed before they come here."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from app.store import directory
from app.store.engine import ReadTx, Row, Tx

GET_BY_ID_SQL = """
SELECT tenant_id, account_id, provider, credentials, base_url, active FROM provider_accounts
WHERE account_id = $1
"""


async def get_by_id(read: ReadTx, account_id: str) -> Row | None:
    """The account of whatever tenant, for webhooks: it decides tenant and secret."""
    return await read.fetch_row(GET_BY_ID_SQL, account_id)


COLUMNS = (
    "provider",
    "name",
    "credentials",
    "hints",
    "base_url",
    "is_default",
    "active",
)
ADD_ACCOUNTS_SQL = directory.insert_sql("provider_accounts", ("account_id", *COLUMNS))


async def add(tx: Tx, accounts: Sequence[Mapping[str, Any]]) -> list[Row]:
    return await tx.fetch_rows(ADD_ACCOUNTS_SQL, [_encode_credentials(account) for account in accounts])


CHANGE_ACCOUNTS_SQL = directory.update_sql("provider_accounts", "account_id", COLUMNS)


async def change(tx: Tx, accounts: Sequence[Mapping[str, Any]]) -> list[Row]:
    return await tx.fetch_rows(CHANGE_ACCOUNTS_SQL, [_encode_credentials(account) for account in accounts])


LOCK_ACCOUNTS_SQL = """
SELECT * FROM provider_accounts WHERE tenant_id = $1 AND provider = $2
ORDER BY account_id FOR UPDATE
"""
LOCK_TENANT_SQL = "SELECT 1 FROM tenants WHERE tenant_id = $1 FOR NO KEY UPDATE"


async def lock_all(tx: Tx, tenant_id: str, provider: str) -> list[Row]:
    """The tenant's accounts with a provider; which of them is the default changes under the
    tenant's lock, since two first accounts may come at once."""
    await tx.fetch_value(LOCK_TENANT_SQL, tenant_id)
    return await tx.fetch_rows(LOCK_ACCOUNTS_SQL, tenant_id, provider)


UNSET_DEFAULT_SQL = """
UPDATE provider_accounts SET is_default = false, updated_at = clock_timestamp()
WHERE tenant_id = $1 AND provider = $2 AND is_default AND account_id <> $3
"""


async def unset_default(tx: Tx, tenant_id: str, provider: str, except_id: str) -> None:
    """Only the account `except_id` may still be the default."""
    await tx.execute(UNSET_DEFAULT_SQL, tenant_id, provider, except_id)


GET_ACCOUNT_SQL = directory.select_one_sql("provider_accounts", "account_id")


async def get(read: ReadTx, tenant_id: str, account_id: str) -> Row | None:
    return await read.fetch_row(GET_ACCOUNT_SQL, tenant_id, account_id)


LIST_ACCOUNTS_SQL = directory.select_page_sql("provider_accounts", "account_id")


async def list_page(read: ReadTx, tenant_id: str, below: str | None, limit: int) -> list[Row]:
    return await read.fetch_rows(LIST_ACCOUNTS_SQL, tenant_id, below, limit)


LIST_ACTIVE_SQL = """
SELECT tenant_id, account_id, provider FROM provider_accounts WHERE active
ORDER BY tenant_id, account_id
"""


async def list_active(tx: Tx) -> list[Row]:
    """The accounts in use, of all tenants, as (tenant_id, account_id, provider)."""
    return await tx.fetch_rows(LIST_ACTIVE_SQL)


HAS_UNSENT_TEXTS_SQL = "SELECT 1 FROM outbox WHERE tenant_id = $1 AND account_id = $2 LIMIT 1"


async def has_unsent_texts(read: ReadTx, tenant_id: str, account_id: str) -> bool:
    """Whether texts still wait to leave through it."""
    return await read.fetch_value(HAS_UNSENT_TEXTS_SQL, tenant_id, account_id) is not None


REMOVE_ACCOUNT_SQL = directory.delete_sql("provider_accounts", "account_id")


async def remove(tx: Tx, tenant_id: str, account_id: str) -> bool:
    """Raises `StillReferenced` when numbers belong to it."""
    return await tx.fetch_value(REMOVE_ACCOUNT_SQL, tenant_id, account_id) is not None


def _encode_credentials(account: Mapping[str, Any]) -> dict[str, Any]:
    """The sealed bytes as JSON can carry them."""
    return {**account, "credentials": "\\x" + account["credentials"].hex()}


NOTICE_ABSENCE_SQL = """
UPDATE provider_accounts SET missing_since = coalesce(missing_since, $1),
    noticed_at = clock_timestamp() WHERE active
"""


async def notice_absence(tx: Tx, since: datetime) -> None:
    """Nobody took webhooks since then: texts may be missing on every account."""
    await tx.execute(NOTICE_ABSENCE_SQL, since)


CLAIM_FETCHES = """
UPDATE provider_accounts p SET fetch_at = clock_timestamp() + $2::interval
FROM (
    SELECT tenant_id, account_id FROM provider_accounts
    WHERE missing_since IS NOT NULL AND active
      AND (fetch_at IS NULL OR fetch_at <= clock_timestamp())
    ORDER BY fetch_at NULLS FIRST, noticed_at, account_id LIMIT $1
    FOR NO KEY UPDATE SKIP LOCKED
) due
WHERE p.tenant_id = due.tenant_id AND p.account_id = due.account_id
RETURNING p.*
"""


async def claim_fetches(tx: Tx, limit: int, lease: timedelta) -> list[Row]:
    """Accounts of which texts may be missing and that may be asked now, first those that were
    not asked yet, then those that have waited longest. Each belongs to the claimer until its
    `fetch_at`, which is the lease that `hold` and the settlements name."""
    return await tx.fetch_rows(CLAIM_FETCHES, limit, lease)


HOLD_FETCH = """
UPDATE provider_accounts SET fetch_at = clock_timestamp() + $4::interval
WHERE tenant_id = $1 AND account_id = $2 AND fetch_at = $3
RETURNING fetch_at
"""


async def hold_fetch(tx: Tx, tenant_id: str, account_id: str, lease: datetime, longer: timedelta) -> datetime | None:
    """A longer lease; None: it is no longer the caller's."""
    held: datetime | None = await tx.fetch_value(HOLD_FETCH, tenant_id, account_id, lease, longer)
    return held


FETCHED = """
UPDATE provider_accounts
SET missing_since = CASE WHEN noticed_at IS DISTINCT FROM $4 THEN missing_since END,
    noticed_at = CASE WHEN noticed_at IS DISTINCT FROM $4 THEN noticed_at END,
    fetch_at = NULL, fetch_failures = 0, fetch_error = NULL, failing_since = NULL
WHERE tenant_id = $1 AND account_id = $2 AND fetch_at = $3
RETURNING account_id
"""


async def fetched(tx: Tx, tenant_id: str, account_id: str, lease: datetime, noticed_at: datetime | None) -> bool:
    """What was missing is here; an absence that was noticed since then wants another look.
    False: the lease was no longer the caller's."""
    done = await tx.fetch_value(FETCHED, tenant_id, account_id, lease, noticed_at)
    return done is not None


NOT_FETCHED = """
UPDATE provider_accounts
SET fetch_at = clock_timestamp() + $4::interval, fetch_failures = fetch_failures + 1,
    fetch_error = $5, failing_since = coalesce(failing_since, clock_timestamp())
WHERE tenant_id = $1 AND account_id = $2 AND fetch_at = $3
RETURNING account_id
"""


async def not_fetched(tx: Tx, tenant_id: str, account_id: str, lease: datetime, rest: timedelta, why: str) -> bool:
    """It failed, and is tried again after `rest`. False: the lease was no longer the
    caller's."""
    done = await tx.fetch_value(NOT_FETCHED, tenant_id, account_id, lease, rest, why)
    return done is not None


FETCH_NOW = """
UPDATE provider_accounts SET fetch_at = NULL, fetch_failures = 0
WHERE tenant_id = $1 AND account_id = $2
RETURNING *
"""


async def fetch_now(tx: Tx, tenant_id: str, account_id: str) -> Row:
    """What it is asked with has changed: it is asked at once, whatever was said before."""
    row = await tx.fetch_row(FETCH_NOW, tenant_id, account_id)
    assert row is not None
    return row


FAILING = """
SELECT provider, account_id, fetch_error, missing_since, failing_since FROM provider_accounts
WHERE missing_since IS NOT NULL AND active AND failing_since IS NOT NULL
ORDER BY failing_since, account_id
"""


async def failing(tx: Tx) -> list[Row]:
    """The accounts, of all tenants, whose missed texts could not be fetched at the last try."""
    return await tx.fetch_rows(FAILING)
