"""Phone numbers of the tenant: add, change, remove, sync from the vendor's list."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.commands.directory import (
    Fields,
    first_row,
    merge_fields,
    normalize_tenant_phone,
    require_found,
    require_known,
    require_not_null,
    unless_in_use,
)
from app.domain import ids
from app.domain.callers import Caller
from app.domain.carriage import VendorNumber
from app.domain.problems import AlreadyExists, InUse
from app.store import accounts, numbers
from app.store.engine import Row, Tx

DEFAULTS = {
    "account_id": None,
    "capabilities": ["sms"],
    "active": True,
    "label": None,
    "messages_per_second": None,
}
REFERENCE_FIELDS = {"account_id": ("providerAccountId", "account")}
NOT_NULL = {"capabilities": "capabilities", "active": "active"}


async def add(tx: Tx, caller: Caller, fields: Fields) -> Row:
    """Adds a number. Raises `Invalid`, `AlreadyExists`."""
    tenant_id = caller.tenant_id
    await _check_fields(tx, caller, fields)
    phone = await normalize_tenant_phone(tx, tenant_id, fields["phone_number"], "phoneNumber")
    key = {"tenant_id": tenant_id, "phone_number_id": ids.make("num"), "phone_number": phone}
    row = first_row(await numbers.add(tx, [{**DEFAULTS, **fields, **key}]))
    if row is None:
        raise AlreadyExists(details=["phoneNumber: is one of your numbers already"])
    number: Row = row
    return number


async def change(tx: Tx, caller: Caller, phone_number_id: str, fields: Fields) -> Row:
    """Changes only the given fields; the phone number itself cannot change. Raises `Invalid`,
    `NotFound`."""
    row = require_found(await numbers.lock(tx, caller.tenant_id, phone_number_id))
    await _check_fields(tx, caller, fields)
    new_row = merge_fields(row, fields)
    columns = ("tenant_id", "phone_number_id", *numbers.COLUMNS)
    [number] = await numbers.change(tx, [{column: new_row[column] for column in columns}])
    return number


async def remove(tx: Tx, caller: Caller, phone_number_id: str) -> None:
    """Raises `NotFound`; `InUse` while a campaign or an agent uses it, or it has threads."""
    row = require_found(await numbers.lock(tx, caller.tenant_id, phone_number_id))
    if await numbers.has_threads(tx, caller.tenant_id, row["phone_number"]):
        raise InUse(details=["phoneNumberId: has interactions"])
    with unless_in_use("phoneNumberId: a campaign or an SMS agent uses it"):
        await numbers.remove(tx, caller.tenant_id, phone_number_id)


@dataclass(frozen=True, slots=True)
class SyncResult:
    """How many numbers a sync added, updated, switched off and left unchanged."""

    added: int
    updated: int
    deactivated: int
    unchanged: int


async def sync(
    tx: Tx, caller: Caller, account_id: str, vendor_numbers: Sequence[VendorNumber], force: bool
) -> SyncResult:
    """Adds and updates the account's numbers from the vendor's complete list. Numbers that the list
    does not have are switched off; without `force`, never a number that was used in the last 7
    days, and nothing at all if it would be more than half of the account. Raises `NotFound`."""
    tenant_id = caller.tenant_id
    require_found(await accounts.get(tx, tenant_id, account_id))
    row_by_phone = {row["phone_number"]: row for row in await numbers.lock_all(tx, tenant_id)}
    vendor_by_phone = {number.phone_number: number for number in vendor_numbers}
    new_rows = [
        {
            **DEFAULTS,
            "tenant_id": tenant_id,
            "phone_number_id": ids.make("num"),
            "phone_number": number.phone_number,
            "account_id": account_id,
            "capabilities": list(number.capabilities),
            "label": number.label,
        }
        for number in vendor_by_phone.values()
        if number.phone_number not in row_by_phone
    ]
    changed_rows = [
        new_row
        for number in vendor_by_phone.values()
        if (row := row_by_phone.get(number.phone_number)) and (new_row := _merge_vendor_number(row, account_id, number))
    ]
    account_rows = [row for row in row_by_phone.values() if row["account_id"] == account_id and row["active"]]
    missing_rows = [row for row in account_rows if row["phone_number"] not in vendor_by_phone]
    if not force:
        used_numbers = await numbers.find_used_lately(tx, tenant_id, [row["phone_number"] for row in missing_rows])
        missing_rows = [row for row in missing_rows if row["phone_number"] not in used_numbers]
        if len(missing_rows) * 2 > len(account_rows):
            missing_rows = []
    inactive_rows = [{**row, "active": False} for row in missing_rows]
    await numbers.add(tx, new_rows)
    columns = ("tenant_id", "phone_number_id", *numbers.COLUMNS)
    await numbers.change(tx, [{name: row[name] for name in columns} for row in (*changed_rows, *inactive_rows)])
    unchanged_count = len(vendor_by_phone) - len(new_rows) - len(changed_rows)
    return SyncResult(len(new_rows), len(changed_rows), len(inactive_rows), unchanged_count)


def _merge_vendor_number(row: Row, account_id: str, number: VendorNumber) -> Fields | None:
    """The row with the vendor's data; None: nothing changes, or another account has the number."""
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


async def _check_fields(tx: Tx, caller: Caller, fields: Fields) -> None:
    require_not_null(fields, NOT_NULL)
    await require_known(tx, caller.tenant_id, fields, REFERENCE_FIELDS)
