"""API keys. A key is shown once, when it is created."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter
from pydantic import ConfigDict, Field

from app.access import keys
from app.commands import api_keys as commands
from app.commands.directory import require_found
from app.domain.words import Scope
from app.store import directory
from app.store.api_keys import NOT_REVOKED
from app.store.engine import Tx
from app.store.schema import ApiKey
from app.web.dependencies import AdminCaller, AppKeyCache, AppResources, TenantRead, TenantTx
from app.web.directory import Deleted, list_rows
from app.web.envelope import Answer, AnyId, Body, Name, Out, make_optional_in_schema
from app.web.idempotency import Idempotent
from app.web.paging import PageParams
from app.web.versions import VersionedRoute, guarded_by, lock_row_of

router = APIRouter(prefix="/api/v1/api-keys", route_class=VersionedRoute, tags=["API keys"])


Limit = Annotated[int, Field(ge=1, le=100_000)]


class KeyChange(Body):
    name: Name | None = None
    requests_per_second: Limit | None = None
    """A bulk send counts as many requests as it has entries. Null: no limit."""


class NewKey(Body):
    name: Name
    scope: Scope
    requests_per_second: Limit | None = None
    sms_agent_id: AnyId | None = None
    """Required with scope `agent`: the key may answer the turns of this agent."""


class KeyShape(Out):
    key_id: str
    name: str
    scope: Scope
    sms_agent_id: str | None
    prefix: str
    requests_per_second: int | None
    created_at: datetime
    last_used_at: datetime | None


class KeyWithSecret(KeyShape):
    model_config = ConfigDict(json_schema_extra=make_optional_in_schema("apiKey"))
    api_key: str


class Keys(Out):
    api_keys: list[KeyShape]
    next_cursor: str | None
    has_more: bool


@router.post("", status_code=201, summary="Add a key; the answer shows it once")
async def add_api_key(
    body: NewKey, caller: AdminCaller, tx: TenantTx, idempotency: Idempotent, resources: AppResources
) -> Answer[KeyWithSecret]:
    new_key = keys.make(resources.settings.cell)
    api_key = await commands.add(
        tx,
        caller,
        body.name,
        body.scope,
        body.sms_agent_id,
        new_key.prefix,
        new_key.digest,
        body.requests_per_second,
    )
    key = KeyWithSecret.of(api_key, api_key=new_key.full_key)
    return await idempotency.store_answer(Answer(data=key), secret=["apiKey"])


@router.get("", summary="Active keys, newest first")
async def list_api_keys(caller: AdminCaller, read: TenantRead, page_query: PageParams) -> Answer[Keys]:
    return await list_rows(read, caller, page_query, ApiKey, Keys, KeyShape.of, NOT_REVOKED)


@router.get("/{key_id}", summary="One key")
async def get_api_key(key_id: str, caller: AdminCaller, read: TenantRead) -> Answer[KeyShape]:
    api_key = require_found(await directory.get(read, ApiKey, caller.tenant_id, key_id, NOT_REVOKED))
    return Answer(data=KeyShape.of(api_key))


KeyTx = Annotated[Tx, guarded_by(get_api_key, lock_row_of(ApiKey, NOT_REVOKED))]


@router.patch("/{key_id}", summary="Change name or limit; null removes the limit")
async def change_api_key(key_id: str, body: KeyChange, caller: AdminCaller, tx: KeyTx) -> Answer[KeyShape]:
    return Answer(data=KeyShape.of(await commands.change(tx, caller, key_id, body.get_named_fields())))


@router.delete("/{key_id}", summary="Revoke a key; it stops working within five seconds")
async def revoke_api_key(key_id: str, caller: AdminCaller, tx: KeyTx, key_cache: AppKeyCache) -> Answer[Deleted]:
    await commands.revoke(tx, caller, key_id)
    key_cache.forget(key_id)
    return Answer(data=Deleted())
