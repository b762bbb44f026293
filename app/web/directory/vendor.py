"""What only the vendor can tell of an account: its numbers, and where it posts our texts. The
vendor is asked with no transaction open."""

from typing import Annotated

import httpx
from fastapi import APIRouter, Query

from app.commands import numbers as commands
from app.commands.directory import found
from app.domain.carriage import Account, Listed
from app.domain.phones import shown
from app.domain.problems import Invalid, ProviderError
from app.providers import REGISTRY
from app.resources import Resources
from app.store import accounts, numbers
from app.web.directory.provider_accounts import shape
from app.web.doors import AdminCaller, Held
from app.web.envelope import Answer, Out
from app.wire.client import Lost, NotSent

router = APIRouter(prefix="/api/v1/provider-accounts", tags=["Provider accounts"])
DEADLINE, PAGES, LONGEST_PAGE = 10.0, 50, 4 << 20


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
    held: Held,
    force: Annotated[bool, Query(description="Switch off all that are gone at the vendor.")] = False,
) -> Answer[SyncedShape]:
    listed = await _listed(await _account(held, caller.tenant_id, account_id), held)
    async with held.database.tenant(caller.tenant_id) as tx:
        done = await commands.sync(tx, caller, account_id, listed, force)
    return Answer(data=SyncedShape.model_validate(done))


@router.get("/{account_id}/webhook-check", summary="Does the vendor post our texts to us?")
async def check(account_id: str, caller: AdminCaller, held: Held) -> Answer[Check]:
    account = await _account(held, caller.tenant_id, account_id)
    listed = {number.phone_number: number for number in await _listed(account, held)}
    async with held.database.reading(caller.tenant_id) as read:
        ours = await numbers.of_account(read, caller.tenant_id, account_id)
        row = found(await accounts.get(read, caller.tenant_id, account_id))
    wanted = shape(row, held).webhooks.inbound
    findings = [said for number in ours if (said := _finding(number, listed, wanted))]
    if not ours:
        findings = ["No active number belongs to this account. Sync its numbers first."]
    return Answer(data=Check(ok=not findings, findings=findings))


def _finding(number: str, listed: dict[str, Listed], wanted: str) -> str | None:
    """What is wrong with a number's webhook; None: nothing."""
    there = listed.get(number)
    if there is None:
        return f"{shown(number)} is not among the vendor's numbers of this account."
    if there.inbound_url is None:
        return f"The vendor does not tell where texts to {shown(number)} go: set it to {wanted}"
    if not there.inbound_url:
        return f"Texts to {shown(number)} go nowhere: set the number's webhook to {wanted}"
    if there.inbound_url.split("#")[0] != wanted:
        return f"Texts to {shown(number)} go to another address: set the webhook to {wanted}"
    if there.inbound_method not in (None, "POST"):
        return f"Texts to {shown(number)} come by {there.inbound_method}: set the method to POST."
    return None


async def _account(held: Resources, tenant_id: str, account_id: str) -> Account:
    async with held.database.reading(tenant_id) as read:
        row = found(await accounts.get(read, tenant_id, account_id))
    return held.seal.open_account(row)


async def _listed(account: Account, held: Resources) -> list[Listed]:
    """The vendor's whole list. Raises `Invalid` where it has none, `ProviderError` when it does
    not come to its end."""
    provider = REGISTRY.get(account.provider)
    collected: list[Listed] = []
    page: str | None = None
    for _ in range(PAGES):
        try:
            request = provider.numbers(account, page) if provider else None
            if request is None:
                raise Invalid(details=["accountId: this provider does not list its numbers"])
            response = await held.wire.exchange(request, DEADLINE, cap=LONGEST_PAGE)
        except (Lost, NotSent, httpx.InvalidURL):  # the last: the vendor named a bad next page
            raise ProviderError from None
        listing = provider.listed(response) if provider else None
        if listing is None:
            raise ProviderError(details=[f"provider: answered {response.status_code}"])
        collected += listing.numbers
        page = listing.next_page
        if page is None:
            return collected
    raise ProviderError(details=["provider: the list of numbers does not end"])
