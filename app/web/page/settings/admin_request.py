"""A request by an admin for a settings page, and what all settings pages share."""

import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Form, Request
from fastapi.responses import RedirectResponse
from starlette.responses import Response

from app.access import sessions
from app.access.sessions import Person
from app.domain.callers import Caller
from app.domain.idempotency import IdempotencyKey, ReplayedAnswer
from app.domain.problems import Problem
from app.resources import Resources
from app.store.engine import ReadTx, Tx
from app.web.dependencies import AppResources
from app.web.idempotency import claim_key
from app.web.page import render
from app.web.page.dependencies import Admin, AdminFormSender, SameOrigin, Token
from app.web.page.settings import forms
from app.web.page.settings.forms import Group, SubmittedForm

T = TypeVar("T")
SECTIONS = {
    "general": "General",
    "people": "People",
    "accounts": "Provider accounts",
    "numbers": "Phone numbers",
    "agents": "SMS agents",
    "campaigns": "Campaigns",
    "webhooks": "Webhooks",
    "keys": "API keys",
    "canned": "Canned replies",
    "imports": "Imports",
    "audit": "Audit",
}
DONE_MESSAGES = {
    "added": "Added.",
    "saved": "Saved.",
    "removed": "Removed.",
    "paused": "Paused. Queued texts wait.",
    "resumed": "Resumed. Queued texts are sent now.",
    "endpoint-paused": "Paused. Events wait.",
    "endpoint-resumed": "Resumed. Events are sent now.",
    "rewound": "Rewound. Events are sent again.",
    "revoked": "Revoked. The key stops working within five seconds.",
}


@dataclass(frozen=True, slots=True)
class Item:
    """One line of a list."""

    id: str
    name: str
    facts: Sequence[str]
    marks: Sequence[tuple[str, str]] = ()
    """Badges: (kind, words)."""


@dataclass(frozen=True, slots=True)
class RenderedForm:
    """A form as it is rendered."""

    action: str
    groups: Sequence[Group]
    values: Mapping[str, Any]
    faults: Mapping[str, str] = field(default_factory=dict)
    submit: str = "Save"
    once: str = field(default_factory=lambda: secrets.token_urlsafe(12))


@dataclass(frozen=True, slots=True)
class AdminRequest:
    """A request by a signed-in admin."""

    request: Request
    person: Person
    token: str
    resources: Resources

    @property
    def caller(self) -> Caller:
        return self.person.caller

    @property
    def tenant_id(self) -> str:
        return self.person.tenant_id

    def show_page(self, template: str, section: str, status: int = 200, /, **context: Any) -> Response:
        return render.page(
            self.request,
            f"settings/{template}.html",
            status,
            person=self.person,
            csrf=sessions.csrf_token(self.token),
            sections=SECTIONS,
            section=section,
            done=DONE_MESSAGES.get(self.request.query_params.get("done", "")),
            **context,
        )

    async def run_once(
        self, form: SubmittedForm, work: Callable[[Tx], Awaitable[T]], get_id: Callable[[T], str]
    ) -> tuple[str, bool]:
        """Runs `work` once per form, in a transaction. Returns the id of what it made, and whether this
        request made it."""
        idempotency_key = IdempotencyKey(f"page {self.request.url.path}", form.once, form.digest)
        try:
            async with self.resources.database.tenant_tx(self.tenant_id, author=self.caller.author) as tx:
                idempotency = await claim_key(tx, self.tenant_id, idempotency_key)
                new_id = get_id(await work(tx))
                await idempotency.store_data({"id": new_id}, 201)
        except ReplayedAnswer as replayed_answer:
            return str(replayed_answer.data["id"]), False
        return new_id, True

    async def run_change(self, work: Callable[[Tx], Awaitable[object]]) -> None:
        async with self.resources.database.tenant_tx(self.tenant_id, author=self.caller.author) as tx:
            await work(tx)

    async def run_read(self, work: Callable[[ReadTx], Awaitable[T]]) -> T:
        async with self.resources.database.read_tx(self.tenant_id) as read:
            return await work(read)


def redirect_back(path: str, done_key: str) -> Response:
    """Redirects to a settings page that shows the message of `done_key`."""
    return RedirectResponse(f"/settings/{path}?done={done_key}", 303)


def refill_form(form: SubmittedForm, action: str, problem: Problem, submit: str = "Save") -> RenderedForm:
    """Returns the form as it was submitted, with the faults of `problem` beside its fields."""
    return RenderedForm(action, form.groups, form.get_values(), forms.list_faults(form.groups, problem), submit)


async def require_admin_get(request: Request, person: Admin, token: Token, resources: AppResources) -> AdminRequest:
    return AdminRequest(request, person, token, resources)


async def require_admin_post(
    _: Annotated[None, SameOrigin], request: Request, person: AdminFormSender, token: Token, resources: AppResources
) -> AdminRequest:
    """Returns the request of an admin's form. Raises `Forbidden` unless the form came from this site."""
    return AdminRequest(request, person, token, resources)


AdminGet = Annotated[AdminRequest, Depends(require_admin_get)]
AdminPost = Annotated[AdminRequest, Depends(require_admin_post)]
"""The parameter of every route that writes."""
PauseReason = Annotated[str, Form(max_length=500)]
