"""A tenant's accounts with providers. Credentials are sealed before they come here."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from app.store import directory
from app.store.engine import Read, Row, Tx

BY_ID = """
SELECT tenant_id, account_id, provider, credentials, base_url, active FROM provider_accounts
WHERE account_id = $1
"""


async def by_id(read: Read, account_id: str) -> Row | None:
    """The account of whatever tenant, for webhooks: it decides tenant and secret."""
    return await read.row(BY_ID, account_id)


COLUMNS = (
    "provider",
    "name",
    "credentials",
    "hints",
    "base_url",
    "is_default",
    "active",
)
ADD = directory.adding("provider_accounts", ("account_id", *COLUMNS))


async def add(tx: Tx, accounts: Sequence[Mapping[str, Any]]) -> list[Row]:
    return await tx.rows(ADD, [_plain(account) for account in accounts])


CHANGE = directory.changing("provider_accounts", "account_id", COLUMNS)


async def change(tx: Tx, accounts: Sequence[Mapping[str, Any]]) -> list[Row]:
    return await tx.rows(CHANGE, [_plain(account) for account in accounts])


LOCK_ALL = """
SELECT * FROM provider_accounts WHERE tenant_id = $1 AND provider = $2
ORDER BY account_id FOR UPDATE
"""
LOCK_TENANT = "SELECT 1 FROM tenants WHERE tenant_id = $1 FOR NO KEY UPDATE"


async def lock_all(tx: Tx, tenant_id: str, provider: str) -> list[Row]:
    """The tenant's accounts with a provider; which of them is the default changes under the
    tenant's lock, since two first accounts may come at once."""
    await tx.value(LOCK_TENANT, tenant_id)
    return await tx.rows(LOCK_ALL, tenant_id, provider)


UNSET_DEFAULT = """
UPDATE provider_accounts SET is_default = false, updated_at = clock_timestamp()
WHERE tenant_id = $1 AND provider = $2 AND is_default AND account_id <> $3
"""


async def unset_default(tx: Tx, tenant_id: str, provider: str, but: str) -> None:
    """Only the account `but` may still be the default."""
    await tx.execute(UNSET_DEFAULT, tenant_id, provider, but)


GET = directory.getting("provider_accounts", "account_id")


async def get(read: Read, tenant_id: str, account_id: str) -> Row | None:
    return await read.row(GET, tenant_id, account_id)


LIST = directory.listing("provider_accounts", "account_id")


async def listed(read: Read, tenant_id: str, below: str | None, limit: int) -> list[Row]:
    return await read.rows(LIST, tenant_id, below, limit)


ACTIVE = """
SELECT tenant_id, account_id, provider FROM provider_accounts WHERE active
ORDER BY tenant_id, account_id
"""


async def active(tx: Tx) -> list[Row]:
    """The accounts in use, of all tenants, as (tenant_id, account_id, provider)."""
    return await tx.rows(ACTIVE)


OWING = "SELECT 1 FROM outbox WHERE tenant_id = $1 AND account_id = $2 LIMIT 1"


async def owes(read: Read, tenant_id: str, account_id: str) -> bool:
    """Whether texts still wait to leave through it."""
    return await read.value(OWING, tenant_id, account_id) is not None


REMOVE = directory.removing("provider_accounts", "account_id")


async def remove(tx: Tx, tenant_id: str, account_id: str) -> bool:
    """Raises `StillReferenced` when numbers belong to it."""
    return await tx.value(REMOVE, tenant_id, account_id) is not None


def _plain(account: Mapping[str, Any]) -> dict[str, Any]:
    """The sealed bytes as JSON can carry them."""
    return {**account, "credentials": "\\x" + account["credentials"].hex()}


NOTICE = """
UPDATE provider_accounts SET missing_since = coalesce(missing_since, $1),
    noticed_at = clock_timestamp() WHERE active
"""


async def notice_absence(tx: Tx, since: datetime) -> None:
    """Nobody took webhooks since then: texts may be missing on every account."""
    await tx.execute(NOTICE, since)


MISSING = """
SELECT tenant_id, account_id, provider, credentials, base_url, missing_since
FROM provider_accounts WHERE missing_since IS NOT NULL AND active
ORDER BY noticed_at, account_id LIMIT $1
"""


async def missing_texts(tx: Tx, limit: int) -> list[Row]:
    """Accounts of which texts may be missing."""
    return await tx.rows(MISSING, limit)


CAUGHT_UP = """
UPDATE provider_accounts SET missing_since = NULL, noticed_at = NULL
WHERE tenant_id = $1 AND account_id = $2 AND missing_since = $3
"""


async def caught_up(tx: Tx, tenant_id: str, account_id: str, since: datetime) -> None:
    """What was missing since then is here; a later absence stays noticed."""
    await tx.execute(CAUGHT_UP, tenant_id, account_id, since)
