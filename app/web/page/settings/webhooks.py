"""Webhook endpoints: their form, signing secret, pause, rewind, test and deliveries."""

from typing import Annotated, Any

from fastapi import Form
from starlette.responses import Response

from app.commands import webhook_endpoints as commands
from app.commands.directory import require_found
from app.domain.events import ABOUT_BY_TYPE
from app.domain.problems import Problem
from app.store import directory, webhook_deliveries, webhook_endpoints
from app.store.engine import ReadTx
from app.store.schema import WebhookEndpoint
from app.web.directory.webhook_endpoints import (
    EndpointChange,
    NewEndpoint,
    build_delivery,
    build_shape,
    get_state_word,
    test_endpoint,
)
from app.web.page import forms
from app.web.page.forms import Field, Heading, SubmittedForm, group_fields
from app.web.page.settings.admin_request import AdminGet, AdminPost, AdminRequest, Item, redirect_back
from app.web.page.settings.pages import FormPage, SettingsPage, add_pause_routes, build_router, show_item
from app.web.page.settings.signing import SecretPage, add_rotation_route, store_secret
from app.web.paging import PageParams, PageQuery

INCLUDE_CHOICES = [("text", "The words of texts and outcomes"), ("phones", "Phone numbers")]
GROUPS = group_fields(
    Heading("Endpoint"),
    Field("url", "Address", required=True, hint="The address to which events are posted."),
    Field("description", "Description"),
    Field("active", "Active", "switch", hint="An inactive endpoint keeps its place and goes on from there."),
    Heading("Events"),
    Field(
        "types",
        "Types",
        "several",
        choices=[(name, name) for name in ABOUT_BY_TYPE],
        hint="If none is chosen, it gets all.",
    ),
    Field("include", "Besides ids", "several", choices=INCLUDE_CHOICES, hint="Without it, bodies have ids only."),
)
MARKS = {"paused": ("stopped", "Paused"), "inactive": ("off", "Inactive"), "failing": ("stopped", "Failing")}


def _get_plain_values(form: SubmittedForm) -> dict[str, Any]:
    plain = form.get_plain_values()
    plain["types"] = plain["types"] or None
    return plain


async def list_endpoints(admin: AdminRequest, read: ReadTx, page_query: PageQuery) -> list[Item]:
    rows = await directory.list_page(
        read, WebhookEndpoint, admin.tenant_id, page_query.get_id_below(), page_query.fetch_limit
    )
    return [
        Item(
            row.endpoint_id,
            row.description or row.url,
            [row.url if row.description else "", f"{len(row.types)} types" if row.types else "All events"],
            [MARKS[word]] if (word := get_state_word(row)) in MARKS else [],
        )
        for row in rows
    ]


async def build_new_page(admin: AdminRequest, read: ReadTx) -> FormPage:
    about = "It gets what happens from now on. A signing secret is created and shown once."
    return FormPage("New webhook endpoint", GROUPS, {"active": True}, about=about)


async def _get_endpoint(admin: AdminRequest, read: ReadTx, endpoint_id: str) -> WebhookEndpoint:
    return require_found(await directory.get(read, WebhookEndpoint, admin.tenant_id, endpoint_id))


async def build_endpoint_page(admin: AdminRequest, read: ReadTx, endpoint_id: str) -> FormPage:
    row = await _get_endpoint(admin, read, endpoint_id)
    queue = await webhook_endpoints.get_queue(read, admin.tenant_id, endpoint_id)
    values = forms.get_values(GROUPS, build_shape(row))
    context = {"endpoint": row, "queue": queue}
    return FormPage(row.description or row.url, GROUPS, values, template="webhook", context=context)


SECRET_PAGE = SecretPage(
    "webhooks", "With this secret your backend verifies that an event comes from LeadSail SMS.", "the endpoint's page"
)


async def add_endpoint(admin: AdminRequest, form: SubmittedForm) -> Response:
    plain = {name: value for name, value in _get_plain_values(form).items() if value is not None}
    body = forms.parse_body(NewEndpoint, plain)
    endpoint_id, secret = await store_secret(
        admin,
        form,
        lambda tx, sealed_secret: commands.add(tx, admin.caller, body.get_named_fields(), sealed_secret),
        lambda row: row.endpoint_id,
    )
    return SECRET_PAGE.show(admin, endpoint_id, secret, "The endpoint was added")


async def change_endpoint(admin: AdminRequest, endpoint_id: str, form: SubmittedForm) -> Response:
    fields = forms.parse_body(EndpointChange, _get_plain_values(form)).get_named_fields()
    await admin.run_change(lambda tx: commands.change(tx, admin.caller, endpoint_id, fields))
    return redirect_back(f"webhooks/{endpoint_id}", "saved")


PAGE = SettingsPage(
    "webhooks",
    about="What happens is posted to these addresses: in order, signed, and again until it is taken.",
    empty_text="No webhook endpoints yet. Add an address of yours that should hear what happens.",
    add_label="Add an endpoint",
    list_items=list_endpoints,
    build_new_page=build_new_page,
    build_item_page=build_endpoint_page,
    add=add_endpoint,
    change=change_endpoint,
    remove=commands.remove,
    removal_label="Remove this endpoint",
    removal_hint="What it was not sent yet is dropped. You can pause it instead.",
)
router = build_router(PAGE)
add_pause_routes(router, "webhooks", WebhookEndpoint, commands.resume, done_prefix="endpoint-")
add_rotation_route(router, SECRET_PAGE, WebhookEndpoint, lambda _: "The endpoint")


@router.post("/{endpoint_id}/rewind")
async def rewind(admin: AdminPost, endpoint_id: str, to: Annotated[str, Form(max_length=64)] = "") -> Response:
    try:
        await admin.run_change(lambda tx: commands.rewind(tx, admin.caller, endpoint_id, to.strip()))
    except Problem as problem:
        return await show_item(admin, PAGE, endpoint_id, problem)
    return redirect_back(f"webhooks/{endpoint_id}", "rewound")


@router.post("/{endpoint_id}/test")
async def send_test(admin: AdminPost, endpoint_id: str) -> Response:
    """Posts a sample event, with no transaction open."""
    delivery = await test_endpoint(admin.resources, admin.tenant_id, endpoint_id)
    return await show_item(admin, PAGE, endpoint_id, tested=delivery)


@router.get("/{endpoint_id}/deliveries")
async def show_deliveries(admin: AdminGet, endpoint_id: str, page_query: PageParams) -> Response:
    row = await admin.run_read(lambda read: _get_endpoint(admin, read, endpoint_id))
    deliveries = await admin.run_read(
        lambda read: webhook_deliveries.list_page(
            read, admin.tenant_id, endpoint_id, page_query.get_id_below(), page_query.fetch_limit
        )
    )
    page_rows, cursor = page_query.cut_page(deliveries, lambda delivery: [delivery.delivery_id])
    return admin.show_page(
        "deliveries",
        "webhooks",
        endpoint=row,
        here=f"/settings/webhooks/{endpoint_id}",
        deliveries=[build_delivery(delivery) for delivery in page_rows],
        cursor=cursor,
    )
