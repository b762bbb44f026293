"""Webhook endpoints: the addresses to which events are posted. A signing secret is shown once."""

from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import AfterValidator, ConfigDict, Field
from pydantic_core import to_json

from app.calls import endpoints
from app.calls.endpoints import EventPost
from app.commands import brakes
from app.commands import webhook_endpoints as commands
from app.commands.directory import require_found, rotate_secret
from app.domain.event_bodies import build_sample
from app.domain.events import EVENT_TYPES, SAMPLE_TYPE, Include
from app.resources import Resources
from app.store import directory, webhook_deliveries, webhook_endpoints
from app.store.engine import ReadTx
from app.store.schema import WebhookEndpoint
from app.store.webhook_deliveries import Delivery
from app.web.dependencies import ApiCaller, AppResources, ReadCaller, TenantRead, TenantTx
from app.web.directory import Deleted, Pause, list_rows
from app.web.envelope import Answer, Body, Line, Out, make_optional_in_schema
from app.web.filters import Value
from app.web.idempotency import Idempotent
from app.web.paging import PageParams, page_of
from app.web.shapes import show_fields_of
from app.web.signing import ONCE_SHOWN, SigningSecret, answer_with_secret, make_signing_secret

router = APIRouter(prefix="/api/v1/webhook-endpoints", tags=["Webhook endpoints"])


def require_event_type(name: str) -> str:
    if name not in EVENT_TYPES:
        raise ValueError(f"must be one of {', '.join(EVENT_TYPES)}")
    return name


EventTypeName = Annotated[str, AfterValidator(require_event_type), Field(json_schema_extra={"enum": [*EVENT_TYPES]})]


class EndpointChange(Body):
    url: Annotated[str, Field(min_length=1, max_length=2048)] | None = None
    types: Annotated[list[EventTypeName], Field(max_length=100)] | None = None
    """The events that it gets. Null: all, also types that are added later."""
    include: Annotated[list[Include], Field(max_length=2)] | None = None
    """`text`: the words of texts and outcomes. `phones`: phone numbers. Without it bodies have ids only."""
    description: Line | None = None
    active: bool | None = None
    """An inactive endpoint keeps its place, and goes on from there when it is active again."""


class NewEndpoint(EndpointChange):
    url: Annotated[str, Field(min_length=1, max_length=2048)]


@show_fields_of(EndpointChange, WebhookEndpoint, after="endpoint_id", types=list[str] | None, include=list[str])
class EndpointShape(Out):
    endpoint_id: str
    state: Literal["active", "inactive", "paused", "failing"]
    """`failing`: its last requests failed, and it is tried again."""
    paused_at: datetime | None
    paused_reason: str | None
    failures: int
    """Failed requests in a row."""
    failing_since: datetime | None
    created_at: datetime
    updated_at: datetime


class EndpointDetail(EndpointShape):
    queued: int
    """Events that wait in its queue: at most 2,000, of one thread at most 50. What comes then waits in the feed."""
    retrying: int
    """Queued events that were not taken and are sent again."""
    oldest_queued_at: datetime | None
    """When the oldest queued event happened."""
    last_delivered_at: datetime | None


class EndpointWithSecret(EndpointShape):
    model_config = ConfigDict(json_schema_extra=make_optional_in_schema(ONCE_SHOWN))
    signing_secret: str


class Endpoints(Out):
    webhook_endpoints: list[EndpointShape]
    next_cursor: str | None
    has_more: bool


def get_state_word(endpoint: WebhookEndpoint) -> str:
    if endpoint.paused_at:
        return "paused"
    if not endpoint.active:
        return "inactive"
    return "failing" if endpoint.failures else "active"


def build_shape(endpoint: WebhookEndpoint) -> EndpointShape:
    return EndpointShape.of(endpoint, state=get_state_word(endpoint))


def _show_secret(endpoint: WebhookEndpoint, secret: SigningSecret) -> EndpointWithSecret:
    return EndpointWithSecret.of(endpoint, state=get_state_word(endpoint), signing_secret=secret.text)


@router.post("", status_code=201, summary="Add an endpoint; the answer shows its signing secret once")
async def add_webhook_endpoint(
    body: NewEndpoint, caller: ApiCaller, tx: TenantTx, resources: AppResources, idempotency: Idempotent
) -> Answer[EndpointWithSecret]:
    """It gets what happens from now on. A tenant has at most ten endpoints."""
    secret = make_signing_secret(resources.seal)
    endpoint = await commands.add(tx, caller, body.get_named_fields(), secret.sealed)
    return await answer_with_secret(idempotency, _show_secret(endpoint, secret), 201)


@router.get("", summary="Endpoints, newest first")
async def list_webhook_endpoints(caller: ReadCaller, read: TenantRead, page_query: PageParams) -> Answer[Endpoints]:
    return await list_rows(read, caller, page_query, WebhookEndpoint, Endpoints, build_shape)


@router.get("/{endpoint_id}", summary="One endpoint, and what it is owed")
async def get_webhook_endpoint(endpoint_id: str, caller: ReadCaller, read: TenantRead) -> Answer[EndpointDetail]:
    return Answer(data=await get_detail(read, caller.tenant_id, endpoint_id))


async def get_detail(read: ReadTx, tenant_id: str, endpoint_id: str) -> EndpointDetail:
    endpoint = require_found(await directory.get(read, WebhookEndpoint, tenant_id, endpoint_id))
    queue = await webhook_endpoints.get_queue(read, tenant_id, endpoint_id)
    return EndpointDetail.of(
        endpoint,
        state=get_state_word(endpoint),
        queued=queue.queued,
        retrying=queue.retrying,
        oldest_queued_at=queue.oldest_at,
        last_delivered_at=queue.delivered_at,
    )


@router.patch("/{endpoint_id}", summary="Change the given fields; its place in the feed stays")
async def change_webhook_endpoint(
    endpoint_id: str, body: EndpointChange, caller: ApiCaller, tx: TenantTx
) -> Answer[EndpointShape]:
    return Answer(data=build_shape(await commands.change(tx, caller, endpoint_id, body.get_named_fields())))


@router.post("/{endpoint_id}/rotate-secret", summary="Make a new secret; the old one signs for one more day")
async def rotate_webhook_endpoint_secret(
    endpoint_id: str, caller: ApiCaller, tx: TenantTx, resources: AppResources, idempotency: Idempotent
) -> Answer[EndpointWithSecret]:
    secret = make_signing_secret(resources.seal)
    endpoint = await rotate_secret(tx, caller, WebhookEndpoint, endpoint_id, secret.sealed)
    return await answer_with_secret(idempotency, _show_secret(endpoint, secret), 200)


@router.post("/{endpoint_id}/pause", summary="Pause: nothing is sent, and nothing is lost")
async def pause_webhook_endpoint(
    endpoint_id: str, body: Pause, caller: ApiCaller, tx: TenantTx
) -> Answer[EndpointShape]:
    return Answer(data=build_shape(await brakes.pause(tx, caller, WebhookEndpoint, endpoint_id, body.reason)))


@router.post("/{endpoint_id}/resume", summary="Go on where the endpoint stands")
async def resume_webhook_endpoint(endpoint_id: str, caller: ApiCaller, tx: TenantTx) -> Answer[EndpointShape]:
    """What waits for a retry is sent at once."""
    return Answer(data=build_shape(await commands.resume(tx, caller, endpoint_id)))


class Rewind(Body):
    to: Annotated[str, Field(min_length=1, max_length=64)]
    """An `eventId`, which is the first to be sent again, or an ISO 8601 time with an offset."""


@router.post("/{endpoint_id}/rewind", summary="Send everything again from an event or a time on")
async def rewind_webhook_endpoint(
    endpoint_id: str, body: Rewind, caller: ApiCaller, tx: TenantTx
) -> Answer[EndpointShape]:
    """The bodies are the same bytes under the same `webhook-id`, unless the lead was merged or the campaign got
    another client since. A later event or time skips what lies before it. Requests that run are ended first,
    which takes up to 40 s if the endpoint hangs."""
    return Answer(data=build_shape(await commands.rewind(tx, caller, endpoint_id, body.to)))


class DeliveryShape(Out):
    delivery_id: str
    event_id: str
    type: str
    interaction_id: str | None
    attempt: int
    at: datetime
    outcome: Literal["delivered", "failed"]
    http_status: int | None
    """Null: no answer came."""
    duration_ms: int
    detail: str | None
    """Why it failed."""
    answer: str | None
    """The first 1,024 bytes of the answer."""
    request_body: str
    """The exact body."""


class Deliveries(Out):
    deliveries: list[DeliveryShape]
    next_cursor: str | None
    has_more: bool


def build_delivery(delivery: Delivery) -> DeliveryShape:
    return DeliveryShape(
        delivery_id=delivery.delivery_id,
        event_id=delivery.event_id,
        type=delivery.name,
        interaction_id=delivery.interaction_id,
        attempt=delivery.attempt,
        at=delivery.at,
        outcome="failed" if delivery.outcome == "failed" else "delivered",
        http_status=delivery.http_status,
        duration_ms=delivery.duration_ms,
        detail=delivery.detail,
        answer=delivery.answer,
        request_body=delivery.request_body.decode(),
    )


@router.get("/{endpoint_id}/deliveries", summary="What was sent to the endpoint, newest first")
async def list_webhook_deliveries(
    endpoint_id: str,
    caller: ReadCaller,
    read: TenantRead,
    page_query: PageParams,
    event_id: Annotated[Value | None, Query(alias="eventId", max_length=50)] = None,
    outcome: Annotated[Literal["delivered", "failed"] | None, Query()] = None,
) -> Answer[Deliveries]:
    """Each request with its bytes, its status and how long it took. The newest 1,000 are kept."""
    require_found(await directory.get(read, WebhookEndpoint, caller.tenant_id, endpoint_id))
    rows = await webhook_deliveries.list_page(
        read, caller.tenant_id, endpoint_id, page_query.get_id_below(), page_query.fetch_limit, event_id, outcome
    )
    return page_of(Deliveries, page_query, rows, lambda row: [row.delivery_id], build_delivery)


@router.post("/{endpoint_id}/test", summary="Send the endpoint a sample event now")
async def test_webhook_endpoint(endpoint_id: str, caller: ApiCaller, resources: AppResources) -> Answer[DeliveryShape]:
    """An event of the type `endpoint.test`, signed as all are. It is not tried again."""
    return Answer(data=await test_endpoint(resources, caller.tenant_id, endpoint_id))


async def test_endpoint(resources: Resources, tenant_id: str, endpoint_id: str) -> DeliveryShape:
    """POSTs with no transaction open. Raises `NotFound`."""
    async with resources.database.read_tx(tenant_id) as read:
        endpoint = require_found(await directory.get(read, WebhookEndpoint, tenant_id, endpoint_id))
    now = datetime.now(UTC)
    sample = build_sample(tenant_id, endpoint_id, now)
    event_id, body = sample["eventId"], to_json(sample)
    secrets = [endpoint.secret]
    if endpoint.previous_secret and endpoint.previous_secret_until and endpoint.previous_secret_until > now:
        secrets.append(endpoint.previous_secret)
    post = await endpoints.post_event(
        resources.wire, endpoint.url, [resources.seal.open(secret).decode() for secret in secrets], event_id, body
    )
    delivery = _record(tenant_id, endpoint_id, event_id, body, post)
    async with resources.database.tenant_tx(tenant_id) as tx:
        await webhook_deliveries.record(tx, [delivery])
    return build_delivery(delivery)


def _record(tenant_id: str, endpoint_id: str, event_id: str, body: bytes, post: EventPost) -> Delivery:
    return Delivery(
        tenant_id=tenant_id,
        endpoint_id=endpoint_id,
        delivery_id=event_id.replace("evt_", "dlv_"),
        event_id=event_id,
        name=SAMPLE_TYPE,
        interaction_id=None,
        attempt=1,
        at=post.at,
        outcome="failed" if post.failure else "delivered",
        http_status=post.http_status,
        duration_ms=post.duration_ms,
        detail=post.failure,
        answer=post.answer,
        request_body=body,
    )


@router.delete("/{endpoint_id}", summary="Remove an endpoint")
async def remove_webhook_endpoint(endpoint_id: str, caller: ApiCaller, tx: TenantTx) -> Answer[Deleted]:
    await commands.remove(tx, caller, endpoint_id)
    return Answer(data=Deleted())
