"""What only the carrier knows of an account: its numbers, and where it posts their texts. The
carrier is asked with no transaction open."""

from typing import Annotated

from fastapi import APIRouter, Query

from app.calls import carriers
from app.commands import numbers as commands
from app.commands.directory import require_found
from app.commands.numbers import SyncResult
from app.domain.callers import Caller
from app.resources import Resources
from app.store import directory, numbers
from app.store.schema import ProviderAccount
from app.web.dependencies import AdminCaller, AppResources
from app.web.envelope import Answer, Out

router = APIRouter(prefix="/api/v1/provider-accounts", tags=["Provider accounts"])


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
async def sync_provider_numbers(
    account_id: str,
    caller: AdminCaller,
    resources: AppResources,
    force: Annotated[bool, Query(description="Switch off all that are gone at the vendor.")] = False,
) -> Answer[SyncedShape]:
    counts = await sync_numbers(resources, caller, account_id, force)
    return Answer(data=SyncedShape.model_validate(counts))


async def sync_numbers(resources: Resources, caller: Caller, account_id: str, force: bool = False) -> SyncResult:
    """Takes over the account's numbers from the carrier's list. Raises `NotFound`, and as
    `carriers.list_numbers` does."""
    async with resources.database.read_tx(caller.tenant_id) as read:
        row = require_found(await directory.get(read, ProviderAccount, caller.tenant_id, account_id))
    vendor_numbers = await carriers.list_numbers(resources.wire, resources.seal.open_account(row))
    async with resources.database.tenant_tx(caller.tenant_id, author=caller.author) as tx:
        return await commands.sync(tx, caller, account_id, vendor_numbers, force)


@router.get("/{account_id}/webhook-check", summary="Does the vendor post our texts to us?")
async def check_provider_webhooks(account_id: str, caller: AdminCaller, resources: AppResources) -> Answer[Check]:
    return Answer(data=await check_webhooks(resources, caller.tenant_id, account_id))


async def check_webhooks(resources: Resources, tenant_id: str, account_id: str) -> Check:
    """Asks the carrier where it posts texts. Raises `NotFound`, and as `carriers.list_numbers` does."""
    async with resources.database.read_tx(tenant_id) as read:
        row = require_found(await directory.get(read, ProviderAccount, tenant_id, account_id))
        own_numbers = await numbers.list_of_account(read, tenant_id, account_id)
    findings = await carriers.find_webhook_faults(
        resources.wire, resources.seal.open_account(row), resources.settings.base_url, own_numbers
    )
    return Check(ok=not findings, findings=findings)
