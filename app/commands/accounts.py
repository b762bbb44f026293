"""Accounts with providers: add, change, remove. Credentials come sealed."""

from collections.abc import Mapping, Sequence

from app.commands.directory import (
    Given,
    found,
    merged,
    require_not_null,
    require_url,
    unless_in_use,
)
from app.domain import ids
from app.domain.callers import Caller
from app.domain.problems import InUse, Invalid
from app.store import accounts
from app.store.engine import Row, Tx

NOT_NULL = {"name": "name", "credentials": "credentials", "is_default": "default", "active": "active"}
ASKED_WITH = {"credentials", "base_url", "active"}
"""What decides whether a carrier answers: after such a change one that refused is asked anew."""
SHORTEST_HINTED = 8
"""Of a shorter secret, four characters would give half away."""


def require_credentials(given: Mapping[str, str], needed: Sequence[str], optional: Sequence[str]) -> None:
    """Raises `Invalid` naming each credential that is missing, unknown or blank."""
    faults = [f"credentials.{name}: is required" for name in needed if name not in given]
    for name, value in given.items():
        if name not in (*needed, *optional):
            faults.append(f"credentials.{_shown(name)}: is not a credential of this provider")
        elif not value.strip():
            faults.append(f"credentials.{name}: must not be blank")
    if faults:
        raise Invalid(details=faults)


def hints(credentials: Mapping[str, str]) -> dict[str, str]:
    """What may be shown of credentials: the last four characters."""
    return {
        name: "…" + (value.strip()[-4:] if len(value) >= SHORTEST_HINTED else "") for name, value in credentials.items()
    }


async def add(tx: Tx, caller: Caller, given: Given) -> Row:
    """`given` holds `provider`, `name`, sealed `credentials` and `hints`. The first account
    with a provider is its default; a new default takes the place of the old one."""
    _check(given)
    tenant_id, provider = caller.tenant_id, given["provider"]
    others = await accounts.lock_all(tx, tenant_id, provider)
    row = {
        "base_url": None,
        "active": True,
        "is_default": not others,
        **given,
        "tenant_id": tenant_id,
        "account_id": ids.make("acct"),
    }
    if row["is_default"]:
        await accounts.unset_default(tx, tenant_id, provider, row["account_id"])
    [added] = await accounts.add(tx, [row])
    return added


async def change(tx: Tx, caller: Caller, account_id: str, given: Given) -> Row:
    """Changes only what is given; credentials are replaced whole."""
    tenant_id = caller.tenant_id
    known = found(await accounts.get(tx, tenant_id, account_id))
    _check(given)
    rows = await accounts.lock_all(tx, tenant_id, known["provider"])
    row = found(next((row for row in rows if row["account_id"] == account_id), None))
    if given.get("is_default"):
        await accounts.unset_default(tx, tenant_id, row["provider"], account_id)
    wanted = merged(row, given)
    columns = ("tenant_id", "account_id", *accounts.COLUMNS)
    [changed] = await accounts.change(tx, [{column: wanted[column] for column in columns}])
    if ASKED_WITH & given.keys():
        return await accounts.fetch_now(tx, tenant_id, account_id)
    return changed


async def remove(tx: Tx, caller: Caller, account_id: str) -> None:
    """Raises `NotFound`; `InUse` while numbers belong to it or texts wait for it."""
    if await accounts.owes(tx, caller.tenant_id, account_id):
        raise InUse(details=["accountId: texts still wait to leave through it"])
    with unless_in_use("accountId: numbers belong to it"):
        found(await accounts.remove(tx, caller.tenant_id, account_id) or None)


def _check(given: Given) -> None:
    require_not_null(given, NOT_NULL)
    if given.get("base_url") is not None:
        require_url(given["base_url"], "baseUrl")


def _shown(name: str) -> str:
    return "".join(c for c in name[:64] if c.isascii() and c.isprintable()) or "?"
