"""Accounts with providers. Credentials are write-only."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field

from app.commands import accounts as commands
from app.commands.directory import require_found
from app.domain.callers import Caller
from app.domain.carriage import build_webhook_url
from app.domain.problems import Invalid
from app.providers import REGISTRY
from app.resources import Resources
from app.store import accounts, directory
from app.store.engine import Tx
from app.store.schema import ProviderAccount
from app.web.dependencies import AdminCaller, AppResources, TenantRead, TenantTx
from app.web.directory import Deleted, list_rows
from app.web.envelope import Answer, Body, Name, Out, ProviderName
from app.web.idempotency import Idempotent
from app.web.paging import PageParams
from app.web.versions import VersionedRoute, guarded_by

router = APIRouter(prefix="/api/v1/provider-accounts", route_class=VersionedRoute, tags=["Provider accounts"])
Credentials = Annotated[
    dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=8192, pattern=r"^[^\x00]*$")]],
    Field(max_length=20),
]
IS_DEFAULT = Field(alias="default")


class AccountChange(Body):
    name: Name | None = None
    credentials: Credentials | None = None
    """Replaces all stored credentials. The old ones still check webhooks for 24 hours, because the
    carrier may sign with them for a while; nothing is sent with them."""
    base_url: Annotated[str, Field(min_length=1, max_length=2048)] | None = None
    is_default: Annotated[bool | None, IS_DEFAULT] = None
    active: bool | None = None


class NewAccount(AccountChange):
    provider: ProviderName
    name: Name
    credentials: Credentials


class Webhooks(Out):
    """The webhook addresses to enter at the provider."""

    inbound: str
    status: str


class MissedTexts(Out):
    """The service was down for a while, or refused webhooks with a wrong signature; texts of that time
    are not yet fetched from the provider."""

    since: datetime
    failing_since: datetime | None
    """Null if the last try did not fail."""
    error: str | None
    next_try_at: datetime | None
    """Null: as soon as possible."""


class AccountShape(Out):
    account_id: str
    provider: ProviderName
    name: str
    credentials: dict[str, str]
    """The last four characters of each credential."""
    base_url: str | None
    is_default: Annotated[bool, IS_DEFAULT]
    active: bool
    webhooks: Webhooks
    missed_texts: MissedTexts | None
    """Null if no texts are missing."""
    paused_at: datetime | None
    """Since when the carrier refuses the account: its texts wait. Null: it does not."""
    paused_reason: str | None
    resumes_at: datetime | None
    """When one text is tried again. A change of the account tries at once."""
    created_at: datetime
    updated_at: datetime


class Accounts(Out):
    provider_accounts: list[AccountShape]
    next_cursor: str | None
    has_more: bool


def build_shape(account: ProviderAccount, resources: Resources) -> AccountShape:
    address = resources.settings.base_url, account.provider, account.account_id
    return AccountShape.of(
        account,
        credentials=account.hints,
        webhooks=Webhooks(inbound=build_webhook_url(*address, "inbound"), status=build_webhook_url(*address, "status")),
        missed_texts=_build_missed_texts(account),
    )


def _build_missed_texts(account: ProviderAccount) -> MissedTexts | None:
    if account.missing_since is None:
        return None
    return MissedTexts(
        since=account.missing_since,
        failing_since=account.failing_since,
        error=account.fetch_error,
        next_try_at=account.fetch_at,
    )


def seal_credentials(fields: dict[str, Any], provider: str, resources: Resources) -> dict[str, Any]:
    """Returns the fields for the command, with the credentials checked and sealed and with hints.

    Raises `Invalid`."""
    if fields.get("credentials") is not None:
        credentials = fields["credentials"]
        carrier = REGISTRY[provider]
        commands.require_credentials(credentials, carrier.CREDENTIALS, carrier.OPTIONAL_CREDENTIALS)
        fields |= {
            "credentials": resources.seal.close_words(credentials),
            "hints": commands.make_hints(credentials),
        }
    return fields


def require_real(provider: str, resources: Resources) -> None:
    """Raises `Invalid` for the simulated carrier in production, unless a setting allows it."""
    if provider == "simulator" and not resources.settings.has_simulator:
        raise Invalid(details=["provider: simulator is not available in production"])


@router.post("", status_code=201, summary="Add an account")
async def add_provider_account(
    body: NewAccount, caller: AdminCaller, tx: TenantTx, resources: AppResources, idempotency: Idempotent
) -> Answer[AccountShape]:
    require_real(body.provider, resources)
    fields = {name: value for name, value in body.get_named_fields().items() if value is not None}
    sealed_fields = seal_credentials(fields, body.provider, resources)
    account = await commands.add(tx, caller, sealed_fields, resources.settings.cell)
    return await idempotency.store_answer(Answer(data=build_shape(account, resources)))


@router.get("", summary="Accounts, newest first")
async def list_provider_accounts(
    caller: AdminCaller, read: TenantRead, resources: AppResources, page_query: PageParams
) -> Answer[Accounts]:
    return await list_rows(
        read, caller, page_query, ProviderAccount, Accounts, lambda account: build_shape(account, resources)
    )


@router.get("/{account_id}", summary="One account")
async def get_provider_account(
    account_id: str, caller: AdminCaller, read: TenantRead, resources: AppResources
) -> Answer[AccountShape]:
    account = require_found(await directory.get(read, ProviderAccount, caller.tenant_id, account_id))
    return Answer(data=build_shape(account, resources))


async def _lock_accounts(tx: Tx, caller: Caller, account_id: str) -> None:
    account = await directory.get(tx, ProviderAccount, caller.tenant_id, account_id)
    if account:  # with all of its provider, as a change does
        await accounts.lock_all(tx, caller.tenant_id, account.provider)


AccountTx = Annotated[Tx, guarded_by(get_provider_account, _lock_accounts)]


@router.patch("/{account_id}", summary="Change the given fields; null clears a field")
async def change_provider_account(
    account_id: str, body: AccountChange, caller: AdminCaller, tx: AccountTx, resources: AppResources
) -> Answer[AccountShape]:
    current = require_found(await directory.get(tx, ProviderAccount, caller.tenant_id, account_id))
    fields = seal_credentials(body.get_named_fields(), current.provider, resources)
    return Answer(data=build_shape(await commands.change(tx, caller, account_id, fields), resources))


@router.delete("/{account_id}", summary="Remove an account without numbers")
async def remove_provider_account(account_id: str, caller: AdminCaller, tx: AccountTx) -> Answer[Deleted]:
    await commands.remove(tx, caller, account_id)
    return Answer(data=Deleted())
