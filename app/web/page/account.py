"""The signed-in person's own page: password, and signing out everywhere."""

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse
from starlette.responses import Response

from app.access import sessions
from app.access.sessions import Person
from app.domain.problems import Problem
from app.resources import Resources
from app.store import access
from app.web.doors import Held, SystemTx
from app.web.page import doors, render
from app.web.page.doors import SameOrigin, SignedIn, Token, Writing

router = APIRouter(include_in_schema=False)


@router.get("/account")
async def account(request: Request, person: SignedIn, token: Token, held: Held, done: str = "") -> Response:
    return await _page(request, person, token, held, done=done == "password")


@router.post("/account/password", dependencies=[SameOrigin])
async def change_password(
    request: Request,
    person: Writing,
    token: Token,
    held: Held,
    current: Annotated[str, Form(alias="currentPassword", max_length=1024)] = "",
    wanted: Annotated[str, Form(alias="password", max_length=2048)] = "",
) -> Response:
    """Ends the person's sessions everywhere and begins one here."""
    try:
        fresh = await sessions.change_password(held.database, person, current, wanted, doors.address(request, held))
    except Problem as refused:
        return await _page(request, person, token, held, refused)
    response = RedirectResponse("/account?done=password", 303)
    request.state.answer_headers = {}
    doors.keep(response, held, fresh)
    return response


@router.post("/account/sign-out-everywhere", dependencies=[SameOrigin])
async def sign_out_everywhere(request: Request, person: Writing, held: Held, tx: SystemTx) -> Response:
    await sessions.end_all(tx, person.tenant_id, person.user_id)
    response = RedirectResponse("/sign-in", 303)
    doors.drop(request, response, held)
    return response


async def _page(
    request: Request,
    person: Person,
    token: str,
    held: Resources,
    refused: Problem | None = None,
    done: bool = False,
) -> Response:
    async with held.database.reading(person.tenant_id) as read:
        browsers = await access.count_sessions(read, person.tenant_id, person.user_id, sessions.IDLE)
    return render.page(
        request,
        "account.html",
        refused.status if refused else 200,
        person=person,
        csrf=sessions.csrf_token(token),
        browsers=browsers,
        refused=refused,
        faults=render.faults(refused),
        done=done,
    )
