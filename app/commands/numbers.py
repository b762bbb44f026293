"""Phone numbers of the tenant: add, change, remove, sync from the vendor's list."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from app.commands.directory import (
    Fields,
    change_row,
    check_columns,
    lock_row,
    require_found,
    unless_in_use,
)
from app.domain import ids, phones
from app.domain.callers import Caller
from app.domain.carriage import VendorNumber
from app.domain.problems import AlreadyExists, InUse, Invalid
from app.store import directory, numbers, tenants
from app.store.engine import Tx
from app.store.schema import PhoneNumber, ProviderAccount

DEFAULT_CAPABILITIES = ["sms"]


async def add(tx: Tx, caller: Caller, fields: Fields, name_providers: Collection[str]) -> PhoneNumber:
    """Adds a number, or a sender's name to an account of one of `name_providers`. Raises `Invalid`,
    `AlreadyExists`."""
    await check_columns(tx, caller, PhoneNumber, fields)
    country = await tenants.get_country(tx, caller.tenant_id)
    phone = phones.normalize_own(fields["phone_number"], country, "phoneNumber")
    if phones.is_name(phone) and not await _takes_names(tx, caller, fields.get("account_id"), name_providers):
        phones.refuse("phoneNumber")
    values = {"capabilities": DEFAULT_CAPABILITIES, **fields, "phone_number": phone}
    number = await directory.add(tx, PhoneNumber, caller.tenant_id, ids.make("num"), values)
    if number is None:
        raise AlreadyExists(details=["phoneNumber: is one of your numbers already"])
    return number


async def change(
    tx: Tx, caller: Caller, phone_number_id: str, fields: Fields, name_providers: Collection[str]
) -> PhoneNumber:
    """Changes only the given fields; the phone number itself cannot change. Raises `Invalid`,
    `NotFound`."""
    number = await lock_row(tx, caller, PhoneNumber, phone_number_id)
    await check_columns(tx, caller, PhoneNumber, fields)
    if (
        phones.is_name(number.phone_number)
        and "account_id" in fields
        and not await _takes_names(tx, caller, fields["account_id"], name_providers)
    ):
        raise Invalid(details=["providerAccountId: its provider sends from no names"])
    return await change_row(tx, caller, PhoneNumber, phone_number_id, fields)


async def _takes_names(tx: Tx, caller: Caller, account_id: str | None, name_providers: Collection[str]) -> bool:
    if account_id is None:
        return False
    account = await directory.get(tx, ProviderAccount, caller.tenant_id, account_id)
    return account is not None and account.provider in name_providers


async def remove(tx: Tx, caller: Caller, phone_number_id: str) -> None:
    """Raises `NotFound`; `InUse` while a campaign or an agent uses it, or it has threads."""
    number = await lock_row(tx, caller, PhoneNumber, phone_number_id)
    if await numbers.has_threads(tx, caller.tenant_id, number.phone_number):
        raise InUse(details=["phoneNumberId: has interactions"])
    with unless_in_use("phoneNumberId: a campaign or an SMS agent uses it"):
        await directory.remove(tx, PhoneNumber, caller.tenant_id, phone_number_id)


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
    days, and nothing at all if it would be more than half of the account. A short code is switched off
    only by a list that has others, because many carriers do not list them, and a name never. Raises
    `NotFound`."""
    tenant_id = caller.tenant_id
    require_found(await directory.get(tx, ProviderAccount, tenant_id, account_id))
    known_numbers = {number.phone_number: number for number in await numbers.lock_all(tx, tenant_id)}
    vendor_by_phone = {number.phone_number: number for number in vendor_numbers}
    new_rows = [
        {
            "tenant_id": tenant_id,
            "phone_number_id": ids.make("num"),
            "phone_number": number.phone_number,
            "account_id": account_id,
            "capabilities": list(number.capabilities) or _get_unlisted_capabilities(number),
            "label": number.label,
        }
        for number in vendor_by_phone.values()
        if number.phone_number not in known_numbers
    ]
    changed_rows = [
        new_row
        for number in vendor_by_phone.values()
        if (own_number := known_numbers.get(number.phone_number))
        and (new_row := _merge_vendor_number(own_number, account_id, number))
    ]
    own_numbers = [number for number in known_numbers.values() if number.account_id == account_id and number.active]
    lists_short_codes = any(map(phones.is_short_code, vendor_by_phone))
    missing_numbers = [
        number
        for number in own_numbers
        if number.phone_number not in vendor_by_phone
        and not phones.is_name(number.phone_number)
        and (lists_short_codes or not phones.is_short_code(number.phone_number))
    ]
    if not force:
        used_phones = await numbers.find_used_lately(tx, tenant_id, [number.phone_number for number in missing_numbers])
        missing_numbers = [number for number in missing_numbers if number.phone_number not in used_phones]
        if len(missing_numbers) * 2 > len(own_numbers):
            missing_numbers = []
    await numbers.add_many(tx, new_rows)
    await numbers.update_many(tx, changed_rows)
    await numbers.switch_off(tx, tenant_id, [number.phone_number_id for number in missing_numbers])
    unchanged_count = len(vendor_by_phone) - len(new_rows) - len(changed_rows)
    return SyncResult(len(new_rows), len(changed_rows), len(missing_numbers), unchanged_count)


def _get_unlisted_capabilities(number: VendorNumber) -> list[str]:
    """What a number can do whose entry says nothing of it."""
    return DEFAULT_CAPABILITIES if phones.is_short_code(number.phone_number) else []


def _merge_vendor_number(own_number: PhoneNumber, account_id: str, number: VendorNumber) -> Fields | None:
    """The key and the vendor's data; None: nothing changes, or another account has the number."""
    if own_number.account_id not in (None, account_id):
        return None
    capabilities = sorted(number.capabilities or own_number.capabilities)
    label = own_number.label or number.label
    if (own_number.account_id, sorted(own_number.capabilities), own_number.label) == (
        account_id,
        capabilities,
        label,
    ):
        return None
    return {
        "tenant_id": own_number.tenant_id,
        "phone_number_id": own_number.phone_number_id,
        "account_id": account_id,
        "capabilities": capabilities,
        "label": label,
    }
