"""Numbers of ours: add, change, remove, take over from the vendor's list."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.commands.directory import (
    Given,
    found,
    merged,
    only_one,
    readable_phone,
    require_known,
    require_not_null,
    unless_in_use,
)
from app.domain import ids
from app.domain.callers import Caller
from app.domain.carriage import Listed
from app.domain.problems import AlreadyExists, InUse
from app.store import accounts, numbers
from app.store.engine import Row, Tx

FRESH = {
    "account_id": None,
    "capabilities": ["sms"],
    "active": True,
    "label": None,
    "messages_per_second": None,
}
NAMED = {"account_id": ("providerAccountId", "account")}
NOT_NULL = {"capabilities": "capabilities", "active": "active"}


async def add(tx: Tx, caller: Caller, given: Given) -> Row:
    """A new number. Raises `Invalid`, `AlreadyExists`."""
    tenant_id = caller.tenant_id
    await _check(tx, caller, given)
    phone = await readable_phone(tx, tenant_id, given["phone_number"], "phoneNumber")
    key = {"tenant_id": tenant_id, "phone_number_id": ids.make("num"), "phone_number": phone}
    row = only_one(await numbers.add(tx, [{**FRESH, **given, **key}]))
    if row is None:
        raise AlreadyExists(details=["phoneNumber: is one of your numbers already"])
    number: Row = row
    return number


async def change(tx: Tx, caller: Caller, phone_number_id: str, given: Given) -> Row:
    """Changes only what is given; the number itself stays what it is."""
    row = found(await numbers.lock(tx, caller.tenant_id, phone_number_id))
    await _check(tx, caller, given)
    wanted = merged(row, given)
    columns = ("tenant_id", "phone_number_id", *numbers.COLUMNS)
    [changed] = await numbers.change(tx, [{column: wanted[column] for column in columns}])
    return changed


async def remove(tx: Tx, caller: Caller, phone_number_id: str) -> None:
    """Raises `NotFound`; `InUse` while a campaign or an agent uses it, or it has threads."""
    row = found(await numbers.lock(tx, caller.tenant_id, phone_number_id))
    if await numbers.has_threads(tx, caller.tenant_id, row["phone_number"]):
        raise InUse(details=["phoneNumberId: has interactions"])
    with unless_in_use("phoneNumberId: a campaign or an SMS agent uses it"):
        await numbers.remove(tx, caller.tenant_id, phone_number_id)


@dataclass(frozen=True, slots=True)
class Synced:
    """What a sync did."""

    added: int
    updated: int
    deactivated: int
    unchanged: int


async def sync(tx: Tx, caller: Caller, account_id: str, listed: Sequence[Listed], force: bool) -> Synced:
    """Takes over the account's numbers from the vendor's complete list. Numbers that are gone
    there are switched off, but never more than half of the account's nor one that was used in
    the last 7 days, unless `force`. Raises `NotFound`."""
    tenant_id = caller.tenant_id
    found(await accounts.get(tx, tenant_id, account_id))
    here = {row["phone_number"]: row for row in await numbers.lock_all(tx, tenant_id)}
    there = {number.phone_number: number for number in listed}
    fresh = [
        {
            **FRESH,
            "tenant_id": tenant_id,
            "phone_number_id": ids.make("num"),
            "phone_number": number.phone_number,
            "account_id": account_id,
            "capabilities": list(number.capabilities),
            "label": number.label,
        }
        for number in there.values()
        if number.phone_number not in here
    ]
    changed = [
        wanted
        for number in there.values()
        if (row := here.get(number.phone_number)) and (wanted := _synced(row, account_id, number))
    ]
    mine = [row for row in here.values() if row["account_id"] == account_id and row["active"]]
    gone = [row for row in mine if row["phone_number"] not in there]
    if not force:
        used = await numbers.used_lately(tx, tenant_id, [row["phone_number"] for row in gone])
        gone = [row for row in gone if row["phone_number"] not in used]
        if len(gone) * 2 > len(mine):
            gone = []
    off = [{**row, "active": False} for row in gone]
    await numbers.add(tx, fresh)
    columns = ("tenant_id", "phone_number_id", *numbers.COLUMNS)
    await numbers.change(tx, [{name: row[name] for name in columns} for row in (*changed, *off)])
    unchanged = len(there) - len(fresh) - len(changed)
    return Synced(len(fresh), len(changed), len(off), unchanged)


def _synced(row: Row, account_id: str, number: Listed) -> Given | None:
    """The row as the vendor tells of it; None when it is so already, or another account's."""
    if row["account_id"] not in (None, account_id):
        return None
    capabilities = sorted(number.capabilities or row["capabilities"])
    label = row["label"] or number.label
    if (row["account_id"], sorted(row["capabilities"]), row["label"]) == (
        account_id,
        capabilities,
        label,
    ):
        return None
    return {**row, "account_id": account_id, "capabilities": capabilities, "label": label}


async def _check(tx: Tx, caller: Caller, given: Given) -> None:
    require_not_null(given, NOT_NULL)
    await require_known(tx, caller.tenant_id, given, NAMED)
