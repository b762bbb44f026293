"""The routes that most settings pages have: list, new form, add, show, change, remove.

A `SettingsPage` holds the texts and functions of one section, and `build_router` makes its routes. A
route that only one section needs is a plain route function in the file of that section."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from fastapi import APIRouter
from starlette.responses import Response

from app.commands import brakes
from app.domain.callers import Caller
from app.domain.problems import NotFound, Problem
from app.store.engine import ReadTx, Tx
from app.store.schema import PhoneNumber, SmsAgent, WebhookEndpoint
from app.web.page import forms
from app.web.page.forms import Group, SubmittedForm
from app.web.page.page_request import RenderedForm, refill_form
from app.web.page.settings.admin_request import (
    AdminGet,
    AdminPost,
    AdminRequest,
    Item,
    PauseReason,
    redirect_back,
)
from app.web.paging import PageParams, PageQuery

Pausable = TypeVar("Pausable", PhoneNumber, SmsAgent, WebhookEndpoint)


@dataclass(frozen=True, slots=True)
class FormPage:
    """A page with one form: for a new item, or for one that exists. Without groups it takes no form."""

    title: str
    groups: Sequence[Group]
    values: Mapping[str, Any]
    about: str | None = None
    action: str | None = None
    """The address of the form; None: of the page."""
    submits: tuple[str, str] = ("", "")
    """The words of the buttons where the first one checks something and the second one does not."""
    template: str = "form"
    """A file in templates/settings."""
    context: Mapping[str, Any] = field(default_factory=dict)
    """What else the template needs."""


@dataclass(frozen=True, slots=True)
class SettingsPage:
    """The pages of one section. The functions that take an item's id raise `NotFound`."""

    section: str
    """A key of `SECTIONS`, and the path below /settings."""
    about: str
    empty_text: str
    add_label: str
    list_items: Callable[[AdminRequest, ReadTx, PageQuery], Awaitable[Sequence[Item]]]
    """Reads `fetch_limit` items, the newest first."""
    build_new_page: Callable[[AdminRequest, ReadTx], Awaitable[FormPage]]
    build_item_page: Callable[[AdminRequest, ReadTx, str], Awaitable[FormPage]]
    add: Callable[[AdminRequest, SubmittedForm], Awaitable[Response]]
    """Adds an item, once per form. Raises `Problem`, whose words are shown beside the fields."""
    change: Callable[[AdminRequest, str, SubmittedForm], Awaitable[Response]]
    """Changes the item with this id. Raises `Problem`, as `add` does."""
    remove: Callable[[Tx, Caller, str], Awaitable[None]] | None = None
    """Removes the item with this id. Raises `Problem`, for example while something uses it."""
    removal_label: str | None = None
    """None: the page has no button that removes the item."""
    removal_hint: str = ""


async def refuse_change(_: AdminRequest, __: str, ___: SubmittedForm) -> Response:
    """For items that no form changes."""
    raise NotFound


def build_router(page: SettingsPage) -> APIRouter:
    """Returns a router with the routes of `page`. More routes may be added to it."""
    path = f"/settings/{page.section}"
    router = APIRouter(prefix=path, include_in_schema=False)

    @router.get("")
    async def show_list(admin: AdminGet, page_query: PageParams) -> Response:
        items = await admin.run_read(lambda read: page.list_items(admin, read, page_query))
        page_items, cursor = page_query.cut_page(items, lambda item: [item.id])
        return admin.show_page("list", page.section, page=page, items=page_items, cursor=cursor)

    @router.get("/new")
    async def show_new(admin: AdminGet) -> Response:
        new = await admin.run_read(lambda read: page.build_new_page(admin, read))
        return _show_form(admin, page, new, new.action or f"{path}/new", page.add_label)

    @router.post("/new")
    async def add(admin: AdminPost) -> Response:
        new = await admin.run_read(lambda read: page.build_new_page(admin, read))
        if not new.groups:
            raise NotFound
        form = await forms.read_form(admin.request, new.groups)
        try:
            return await page.add(admin, form)
        except Problem as problem:
            return _show_form(admin, page, new, new.action or f"{path}/new", page.add_label, problem, form)

    @router.get("/{item_id}")
    async def show(admin: AdminGet, item_id: str) -> Response:
        return await show_item(admin, page, item_id)

    @router.post("/{item_id}")
    async def change(admin: AdminPost, item_id: str) -> Response:
        item = await admin.run_read(lambda read: page.build_item_page(admin, read, item_id))
        form = await forms.read_form(admin.request, item.groups)
        try:
            return await page.change(admin, item_id, form)
        except Problem as problem:
            return await show_item(admin, page, item_id, problem, form)

    if remove_item := page.remove:

        @router.post("/{item_id}/remove")
        async def remove(admin: AdminPost, item_id: str) -> Response:
            try:
                await admin.run_change(lambda tx: remove_item(tx, admin.caller, item_id))
            except Problem as problem:
                return await show_item(admin, page, item_id, problem)
            return redirect_back(page.section, "removed")

    return router


def add_pause_routes(
    router: APIRouter,
    section: str,
    kind: type[Pausable],
    resume_item: Callable[[Tx, Caller, str], Awaitable[object]] | None = None,
    done_prefix: str = "",
) -> None:
    """Adds the routes that pause and resume an item. `resume_item`: how, if it is no brake; `done_prefix`: of
    the messages that say that it is done."""
    resume_item = resume_item or (lambda tx, caller, item_id: brakes.resume(tx, caller, kind, item_id))

    @router.post("/{item_id}/pause")
    async def pause(admin: AdminPost, item_id: str, reason: PauseReason = "") -> Response:
        await admin.run_change(lambda tx: brakes.pause(tx, admin.caller, kind, item_id, reason.strip() or None))
        return redirect_back(f"{section}/{item_id}", f"{done_prefix}paused")

    @router.post("/{item_id}/resume")
    async def resume(admin: AdminPost, item_id: str) -> Response:
        await admin.run_change(lambda tx: resume_item(tx, admin.caller, item_id))
        return redirect_back(f"{section}/{item_id}", f"{done_prefix}resumed")


async def show_item(
    admin: AdminRequest,
    page: SettingsPage,
    item_id: str,
    problem: Problem | None = None,
    form: SubmittedForm | None = None,
    **results: Any,
) -> Response:
    """Shows an item's page. A problem is shown beside the fields of `form`, or without a form at the
    top of the page. `results` go to the template. Raises `NotFound`."""
    item = await admin.run_read(lambda read: page.build_item_page(admin, read, item_id))
    here = f"/settings/{page.section}/{item_id}"
    if page.removal_label:
        results |= {"removal_label": page.removal_label, "removal_hint": page.removal_hint}
    return _show_form(admin, page, item, here, "Save", problem, form, here=here, item_id=item_id, **results)


def _show_form(
    admin: AdminRequest,
    page: SettingsPage,
    form_page: FormPage,
    action: str,
    submit: str,
    problem: Problem | None = None,
    form: SubmittedForm | None = None,
    **context: Any,
) -> Response:
    shown_form = RenderedForm(action, form_page.groups, form_page.values, submit=submit)
    if problem and form:
        shown_form = refill_form(form, action, problem, submit)
    if any(form_page.submits):
        submit, second_submit = form_page.submits
        shown_form = replace(shown_form, submit=submit, second_submit=second_submit)
    return admin.show_page(
        form_page.template,
        page.section,
        problem.status if problem else 200,
        title=form_page.title,
        about=form_page.about,
        form=shown_form,
        refused=None if form else problem,
        **form_page.context,
        **context,
    )
