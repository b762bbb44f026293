"""What every page of the settings has at hand: who sits there, and how a page is shown."""

import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.responses import RedirectResponse
from starlette.responses import Response

from app.access import sessions
from app.access.sessions import Person
from app.domain.callers import Caller
from app.domain.idempotency import IdempotencyKey, Replayed
from app.domain.problems import Problem
from app.resources import Resources
from app.store import idempotency as kept
from app.store.engine import Read, Tx
from app.web.doors import Held
from app.web.idempotency import begin
from app.web.page import render
from app.web.page.doors import Admin, AdminWriting, SameOrigin, Token
from app.web.page.settings import forms
from app.web.page.settings.forms import Group, Sent

SECTIONS = {
    "general": "General",
    "people": "People",
    "accounts": "Provider accounts",
    "numbers": "Phone numbers",
    "agents": "SMS agents",
    "campaigns": "Campaigns",
    "keys": "API keys",
    "canned": "Canned replies",
}
DONE = {
    "added": "Added.",
    "saved": "Saved.",
    "removed": "Removed.",
    "paused": "Paused: what is queued waits.",
    "resumed": "Resumed: what waited goes on.",
    "revoked": "Revoked: it stops within five seconds.",
}


@dataclass(frozen=True, slots=True)
class Item:
    """A line of a list."""

    path: str
    name: str
    facts: Sequence[str]
    marks: Sequence[tuple[str, str]] = ()
    """Badges: (kind, words)."""


@dataclass(frozen=True, slots=True)
class Form:
    """A form as it is shown."""

    action: str
    groups: Sequence[Group]
    values: dict[str, Any]
    faults: dict[str, str]
    submit: str = "Save"
    once: str = field(default_factory=lambda: secrets.token_urlsafe(12))


@dataclass(frozen=True, slots=True)
class Desk:
    """An admin at the settings."""

    request: Request
    person: Person
    token: str
    held: Resources

    @property
    def caller(self) -> Caller:
        return self.person.caller

    @property
    def tenant_id(self) -> str:
        return self.person.tenant_id

    def page(self, template: str, section: str, status: int = 200, /, **shown: Any) -> Response:
        return render.page(
            self.request,
            f"settings/{template}.html",
            status,
            person=self.person,
            csrf=sessions.csrf_token(self.token),
            sections=SECTIONS,
            section=section,
            done=DONE.get(self.request.query_params.get("done", "")),
            **shown,
        )

    def listed(
        self,
        section: str,
        about: str,
        items: Sequence[Item],
        cursor: str | None,
        nothing: str,
        add: str,
    ) -> Response:
        return self.page("list", section, about=about, items=items, cursor=cursor, nothing=nothing, add=add)

    async def add(self, form: Sent, work: Callable[[Tx], Awaitable[str]]) -> tuple[str, bool]:
        """Does the work once for one form; the id of what it made, and whether it did so now."""
        keyed = IdempotencyKey(f"page {self.request.url.path}", form.once, form.digest)
        try:
            async with self.held.database.tenant(self.tenant_id) as tx:
                await begin(tx, self.tenant_id, keyed)
                made = await work(tx)
                answer = {"data": {"id": made}}
                await kept.finish(tx, self.tenant_id, keyed, 201, answer)
        except Replayed as first:
            return str(first.data["id"]), False
        return made, True

    async def change(self, work: Callable[[Tx], Awaitable[object]]) -> None:
        async with self.held.database.tenant(self.tenant_id) as tx:
            await work(tx)

    async def read(self, work: Callable[[Read], Awaitable[Any]]) -> Any:
        async with self.held.database.reading(self.tenant_id) as read:
            return await work(read)


def back(path: str, done: str) -> Response:
    """To a page of the settings, which says what was done."""
    return RedirectResponse(f"/settings/{path}?done={done}", 303)


def refilled(form: Sent, action: str, refused: Problem, submit: str) -> Form:
    """The form as it was sent, with what was refused of it."""
    faults = forms.faults(form.groups, refused)
    return Form(action, form.groups, form.values(), faults, submit)


async def sitting(request: Request, person: Admin, token: Token, held: Held) -> Desk:
    return Desk(request, person, token, held)


async def writing(request: Request, person: AdminWriting, token: Token, held: Held) -> Desk:
    return Desk(request, person, token, held)


Reading = Annotated[Desk, Depends(sitting)]
Writing = Annotated[Desk, Depends(writing)]
OURS = [SameOrigin]
"""Dependencies of every route that writes."""
