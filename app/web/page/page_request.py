"""A request by a signed-in person for a page with forms, and what all such pages share."""

import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import tzinfo
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request
from starlette.responses import Response

from app.access import sessions
from app.access.sessions import Person
from app.domain.callers import Caller
from app.domain.idempotency import IdempotencyKey, ReplayedAnswer
from app.domain.problems import Problem
from app.resources import Resources
from app.store.engine import ReadTx, Tx
from app.store.standby import LaggingValue
from app.web.dependencies import AppResources
from app.web.idempotency import claim_key
from app.web.lagging import run_lagging_read
from app.web.page import forms, render, times
from app.web.page.dependencies import FormSender, SameOrigin, SignedIn, Token
from app.web.page.forms import Group, SubmittedForm

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RenderedForm:
    """A form as it is rendered."""

    action: str
    groups: Sequence[Group]
    values: Mapping[str, Any]
    faults: Mapping[str, str] = field(default_factory=dict)
    submit: str = "Save"
    second_submit: str = ""
    """The button that saves without the check that the first one makes, if there is one."""
    once: str = field(default_factory=lambda: secrets.token_urlsafe(12))
    seen: str = ""
    """The version of what the person saw, where a change since must not be overwritten unseen."""

    def with_seen(self, seen: str) -> "RenderedForm":
        return replace(self, seen=seen)


@dataclass(frozen=True, slots=True)
class PageRequest:
    """A request by a signed-in person."""

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

    @property
    def csrf(self) -> str:
        return sessions.csrf_token(self.token)

    @property
    def zone(self) -> tzinfo:
        return times.get_zone(self.request)

    def render_page(self, template: str, status: int = 200, /, **context: Any) -> Response:
        """Renders a file of templates/."""
        return render.page(self.request, f"{template}.html", status, person=self.person, csrf=self.csrf, **context)

    def render_page_in_parts(
        self, template: str, first_context: Mapping[str, Any], build_rest: Callable[[], Awaitable[Mapping[str, Any]]]
    ) -> Response:
        """As `render_page`; see `render.page_in_parts`."""
        about = {"person": self.person, "csrf": self.csrf}
        return render.page_in_parts(self.request, f"{template}.html", {**about, **first_context}, build_rest)

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

    async def run_change(self, work: Callable[[Tx], Awaitable[T]]) -> T:
        async with self.resources.database.tenant_tx(self.tenant_id, author=self.caller.author) as tx:
            return await work(tx)

    async def run_read(self, work: Callable[[ReadTx], Awaitable[T]]) -> T:
        async with self.resources.database.read_tx(self.tenant_id) as read:
            return await work(read)

    async def run_lagging_read(self, work: Callable[[ReadTx], Awaitable[T]]) -> LaggingValue[T]:
        """As `run_read`, where the answer may be a little older; it says how old."""
        return await run_lagging_read(self.request, self.resources, self.tenant_id, work)


def refill_form(form: SubmittedForm, action: str, problem: Problem, submit: str = "Save") -> RenderedForm:
    """Returns the form as it was submitted, with the faults of `problem` beside its fields."""
    return RenderedForm(action, form.groups, form.get_values(), forms.list_faults(form.groups, problem), submit)


async def require_page_get(request: Request, person: SignedIn, token: Token, resources: AppResources) -> PageRequest:
    return PageRequest(request, person, token, resources)


async def require_page_post(
    _: Annotated[None, SameOrigin], request: Request, person: FormSender, token: Token, resources: AppResources
) -> PageRequest:
    """Returns the request of a person's form. Raises `Forbidden` unless the form came from this site."""
    return PageRequest(request, person, token, resources)


PageGet = Annotated[PageRequest, Depends(require_page_get)]
PagePost = Annotated[PageRequest, Depends(require_page_post)]
"""The parameter of every route that writes."""
