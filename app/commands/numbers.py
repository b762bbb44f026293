"""Numbers of ours: add, change, remove."""

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
from app.domain.problems import AlreadyExists, InUse
from app.store import numbers
from app.store.engine import Row, Tx

FRESH = {
    "account_id": None, "capabilities": ["sms"], "active": True, "label": None,
    "messages_per_second": None,
}  # fmt: skip
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


async def _check(tx: Tx, caller: Caller, given: Given) -> None:
    require_not_null(given, NOT_NULL)
    await require_known(tx, caller.tenant_id, given, NAMED)
