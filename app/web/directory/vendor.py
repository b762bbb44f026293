"""What only the vendor can tell of an account: its numbers, and where it posts our texts. The
vendor is asked with no transaction open."""

from typing import Annotated

import httpx
from fastapi import APIRouter, Query

from app.commands import numbers as commands
from app.commands.directory import require_found
from app.domain.carriage import Account, VendorNumber
from app.domain.phones import format_phone
from app.domain.problems import Invalid, ProviderError
from app.providers import REGISTRY
from app.resources import Resources
from app.store import accounts, numbers
from app.web.dependencies import AdminCaller, AppResources
from app.web.directory.provider_accounts import build_shape
from app.web.envelope import Answer, Out
from app.wire.client import AnswerLost, NotSent

router = APIRouter(prefix="/api/v1/provider-accounts", tags=["Provider accounts"])
DEADLINE_SECONDS, MAX_PAGES, MAX_PAGE_BYTES = 10.0, 50, 4 << 20


class SyncedShape(Out):
    added: int
    updated: int
    deactivated: int
    unchanged: int


class Check(Out):
    ok: bool
    findings: list[str]
    """What is wrong or cannot be known, in plain words."""


@router.post("/{account_id}/sync-numbers", summary="Take over the numbers the vendor lists")
async def sync(
    account_id: str,
    caller: AdminCaller,
    resources: AppResources,
    force: Annotated[bool, Query(description="Switch off all that are gone at the vendor.")] = False,
) -> Answer[SyncedShape]:
    vendor_numbers = await _fetch_numbers(await _get_account(resources, caller.tenant_id, account_id), resources)
    async with resources.database.tenant_tx(caller.tenant_id) as tx:
        counts = await commands.sync(tx, caller, account_id, vendor_numbers, force)
    return Answer(data=SyncedShape.model_validate(counts))


@router.get("/{account_id}/webhook-check", summary="Does the vendor post our texts to us?")
async def check(account_id: str, caller: AdminCaller, resources: AppResources) -> Answer[Check]:
    account = await _get_account(resources, caller.tenant_id, account_id)
    vendor_numbers = {number.phone_number: number for number in await _fetch_numbers(account, resources)}
    async with resources.database.read_tx(caller.tenant_id) as read:
        own_numbers = await numbers.list_of_account(read, caller.tenant_id, account_id)
        row = require_found(await accounts.get(read, caller.tenant_id, account_id))
    wanted_url = build_shape(row, resources).webhooks.inbound
    findings = [fault for number in own_numbers if (fault := _describe_fault(number, vendor_numbers, wanted_url))]
    if not own_numbers:
        findings = ["No active number belongs to this account. Sync its numbers first."]
    return Answer(data=Check(ok=not findings, findings=findings))


def _describe_fault(number: str, vendor_numbers: dict[str, VendorNumber], wanted_url: str) -> str | None:
    """What is wrong with a number's webhook; None: nothing."""
    vendor_number = vendor_numbers.get(number)
    if vendor_number is None:
        return f"{format_phone(number)} is not among the vendor's numbers of this account."
    if vendor_number.inbound_url is None:
        return f"The vendor does not tell where texts to {format_phone(number)} go: set it to {wanted_url}"
    if not vendor_number.inbound_url:
        return f"Texts to {format_phone(number)} go nowhere: set the number's webhook to {wanted_url}"
    if vendor_number.inbound_url.split("#")[0] != wanted_url:
        return f"Texts to {format_phone(number)} go to another address: set the webhook to {wanted_url}"
    if vendor_number.inbound_method not in (None, "POST"):
        return f"Texts to {format_phone(number)} come by {vendor_number.inbound_method}: set the method to POST."
    return None


async def _get_account(resources: Resources, tenant_id: str, account_id: str) -> Account:
    async with resources.database.read_tx(tenant_id) as read:
        row = require_found(await accounts.get(read, tenant_id, account_id))
    return resources.seal.open_account(row)


async def _fetch_numbers(account: Account, resources: Resources) -> list[VendorNumber]:
    """The vendor's whole list. Raises `Invalid` where it has none, `ProviderError` when it does
    not come to its end."""
    provider = REGISTRY.get(account.provider)
    vendor_numbers: list[VendorNumber] = []
    page: str | None = None
    for _ in range(MAX_PAGES):
        try:
            request = provider.build_numbers_request(account, page) if provider else None
            if request is None:
                raise Invalid(details=["accountId: this provider does not list its numbers"])
            response = await resources.wire.exchange(request, DEADLINE_SECONDS, cap=MAX_PAGE_BYTES)
        except (
            AnswerLost,
            NotSent,
            httpx.InvalidURL,
        ):  # the last: the vendor named a bad next page
            raise ProviderError from None
        listing = provider.read_numbers(response) if provider else None
        if listing is None:
            raise ProviderError(details=[f"provider: answered {response.status_code}"])
        vendor_numbers += listing.numbers
        page = listing.next_page
        if page is None:
            return vendor_numbers
    raise ProviderError(details=["provider: the list of numbers does not end"])
