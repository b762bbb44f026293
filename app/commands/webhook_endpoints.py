"""Webhook endpoints: add, change, pause, resume, rewind."""

from datetime import datetime

from app.commands.directory import Fields, add_row, change_row, lock_row, require_found, require_not_null, require_url
from app.domain.callers import Caller
from app.domain.events import parse_event_id
from app.domain.problems import Invalid, NotFound
from app.store import directory, events, webhook_endpoints
from app.store.engine import Tx
from app.store.schema import WebhookEndpoint

MAX_ENDPOINTS = 10
"""Of one tenant."""


async def add(tx: Tx, caller: Caller, fields: Fields, sealed_secret: bytes) -> WebhookEndpoint:
    """Adds an endpoint; it hears what happens from now on. Raises `Invalid`."""
    fields = _check_fields(fields)
    if await webhook_endpoints.count_locked(tx, caller.tenant_id) >= MAX_ENDPOINTS:
        raise Invalid(details=[f"url: a tenant has at most {MAX_ENDPOINTS} webhook endpoints"])
    return await add_row(tx, caller, WebhookEndpoint, "hook", {**fields, "secret": sealed_secret})


async def change(tx: Tx, caller: Caller, endpoint_id: str, fields: Fields) -> WebhookEndpoint:
    """Changes only the given fields; the cursor stays. Raises `Invalid`, `NotFound`."""
    fields = _check_fields(fields)
    return await change_row(tx, caller, WebhookEndpoint, endpoint_id, fields)


async def resume(tx: Tx, caller: Caller, endpoint_id: str) -> WebhookEndpoint:
    """Lets the endpoint go on where it stands. Raises `NotFound`."""
    return require_found(await webhook_endpoints.resume(tx, caller.tenant_id, endpoint_id))


async def rewind(tx: Tx, caller: Caller, endpoint_id: str, to: str) -> WebhookEndpoint:
    """Sends everything again from an event (its id, itself included) or a time (ISO 8601) on. Raises
    `Invalid`, `NotFound`."""
    await lock_row(tx, caller, WebhookEndpoint, endpoint_id)
    if parse_event_id(to):
        cursor = await events.find_place(tx, caller.tenant_id, to)
        if cursor is None or not await webhook_endpoints.has_event(tx, caller.tenant_id, cursor):
            raise Invalid(details=["to: this event is not kept"])
    else:
        cursor = await webhook_endpoints.find_first_since(tx, caller.tenant_id, _parse_time(to))
    before = None if cursor is None else (cursor[0], cursor[1] - 1)
    return require_found(await webhook_endpoints.rewind(tx, caller.tenant_id, endpoint_id, before))


async def remove(tx: Tx, caller: Caller, endpoint_id: str) -> None:
    """Raises `NotFound`."""
    if not await directory.remove(tx, WebhookEndpoint, caller.tenant_id, endpoint_id):
        raise NotFound


def _check_fields(fields: Fields) -> Fields:
    """The fields, with an empty `include` for null."""
    fields = {name: [] if (name, value) == ("include", None) else value for name, value in fields.items()}
    require_not_null(WebhookEndpoint, fields)
    if "url" in fields:
        require_url(fields["url"], "url")
    if fields.get("types") == []:
        raise Invalid(details=["types: must name at least one type, or be null for all"])
    return fields


def _parse_time(to: str) -> datetime:
    try:
        at = datetime.fromisoformat(to)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise Invalid(details=["to: must be an event id, or an ISO 8601 time with an offset"])
    return at
