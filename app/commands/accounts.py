"""Accounts with providers: add, change, remove. Callers pass sealed credentials."""

from collections.abc import Mapping, Sequence

from app.commands.directory import (
    Fields,
    change_row,
    require_found,
    require_not_null,
    require_url,
    unless_in_use,
)
from app.domain import ids
from app.domain.callers import Caller
from app.domain.problems import InUse, Invalid
from app.store import accounts, directory
from app.store.clock import AT_ONCE, OUTBOX_HINT
from app.store.engine import Tx
from app.store.schema import ProviderAccount

CONNECTION_FIELDS = {"credentials", "base_url", "active"}
"""After a change of these, a carrier that refused our requests may take them: try again at once."""
MIN_HINTED_LENGTH = 8
"""A hint shows four characters; of a shorter secret that would be more than half."""


def require_credentials(
    credentials: Mapping[str, str], required_names: Sequence[str], optional_names: Sequence[str]
) -> None:
    """Raises `Invalid` naming each credential that is missing, unknown or blank."""
    faults = [f"credentials.{name}: is required" for name in required_names if name not in credentials]
    for name, value in credentials.items():
        if name not in (*required_names, *optional_names):
            faults.append(f"credentials.{_clean_name(name)}: is not a credential of this provider")
        elif not value.strip():
            faults.append(f"credentials.{name}: must not be blank")
    if faults:
        raise Invalid(details=faults)


def make_hints(credentials: Mapping[str, str]) -> dict[str, str]:
    """Hints to show instead of credentials: the last four characters of each."""
    return {
        name: "…" + (value.strip()[-4:] if len(value) >= MIN_HINTED_LENGTH else "")
        for name, value in credentials.items()
    }


async def add(tx: Tx, caller: Caller, fields: Fields, cell: str | None = None) -> ProviderAccount:
    """Adds an account. `fields` has `provider`, `name`, sealed `credentials` and `hints`. The first
    account with a provider becomes its default; a new default replaces the old one. `cell`: stands in its
    id, and so in the addresses of its webhooks. Raises `Invalid`."""
    _check_fields(fields)
    tenant_id, provider = caller.tenant_id, fields["provider"]
    other_accounts = await accounts.lock_all(tx, tenant_id, provider)
    account_id, values = ids.make("acct", cell), {"is_default": not other_accounts, **fields}
    if values["is_default"]:
        await accounts.unset_default(tx, tenant_id, provider, account_id)
    account = await directory.add(tx, ProviderAccount, tenant_id, account_id, values)
    assert account is not None
    return account


async def change(tx: Tx, caller: Caller, account_id: str, fields: Fields) -> ProviderAccount:
    """Changes only the given fields; credentials are replaced as a whole, and the old ones check
    webhooks for another day. Raises `Invalid`, `NotFound`."""
    tenant_id = caller.tenant_id
    provider = require_found(await directory.get(tx, ProviderAccount, tenant_id, account_id)).provider
    _check_fields(fields)
    await accounts.lock_all(tx, tenant_id, provider)
    if fields.get("is_default"):
        await accounts.unset_default(tx, tenant_id, provider, account_id)
    if "credentials" in fields:
        await accounts.keep_credentials(tx, tenant_id, account_id)
    account = await change_row(tx, caller, ProviderAccount, account_id, fields)
    if CONNECTION_FIELDS & fields.keys():
        tx.hints[OUTBOX_HINT] = AT_ONCE
        return await accounts.try_now(tx, tenant_id, account_id)
    return account


async def remove(tx: Tx, caller: Caller, account_id: str) -> None:
    """Raises `NotFound`; `InUse` while it has numbers or queued texts."""
    if await accounts.has_unsent_texts(tx, caller.tenant_id, account_id):
        raise InUse(details=["accountId: texts are queued on it"])
    with unless_in_use("accountId: numbers belong to it"):
        require_found(await directory.remove(tx, ProviderAccount, caller.tenant_id, account_id) or None)


def _check_fields(fields: Fields) -> None:
    require_not_null(ProviderAccount, fields)
    if fields.get("base_url") is not None:
        require_url(fields["base_url"], "baseUrl")


def _clean_name(name: str) -> str:
    return "".join(c for c in name[:64] if c.isascii() and c.isprintable()) or "?"
