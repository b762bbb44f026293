"""A tenant's accounts with providers. Credentials are sealed before they come here."""

from collections.abc import Mapping, Sequence
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
