"""The account page of the signed-in person: change the password, sign out everywhere."""

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse
from starlette.responses import Response

from app.access import sessions
from app.access.sessions import Person
from app.domain.problems import Problem
from app.resources import Resources
from app.store import access
from app.web.dependencies import AppResources, SystemTx
from app.web.page import dependencies, render
from app.web.page.dependencies import FormSender, SameOrigin, SignedIn, Token

router = APIRouter(include_in_schema=False)


@router.get("/account")
async def show_account(
    request: Request, person: SignedIn, token: Token, resources: AppResources, done: str = ""
) -> Response:
    return await _render_account(request, person, token, resources, done=done == "password")


@router.post("/account/password", dependencies=[SameOrigin])
async def change_password(
    request: Request,
    person: FormSender,
    token: Token,
    resources: AppResources,
    current_password: Annotated[str, Form(alias="currentPassword", max_length=1024)] = "",
    new_password: Annotated[str, Form(alias="password", max_length=2048)] = "",
) -> Response:
    """Ends all sessions of the person and starts a new one in this browser."""
    try:
        new_token = await sessions.change_password(
            resources.database, person, current_password, new_password, dependencies.get_client_ip(request, resources)
        )
    except Problem as problem:
        return await _render_account(request, person, token, resources, problem)
    response = RedirectResponse("/account?done=password", 303)
    request.state.answer_headers = {}
    dependencies.set_session_cookie(response, resources, new_token)
    return response


@router.post("/account/sign-out-everywhere", dependencies=[SameOrigin])
async def sign_out_everywhere(request: Request, person: FormSender, resources: AppResources, tx: SystemTx) -> Response:
    await sessions.end_all(tx, person.tenant_id, person.user_id)
    response = RedirectResponse("/sign-in", 303)
    dependencies.delete_session_cookie(request, response, resources)
    return response


async def _render_account(
    request: Request,
    person: Person,
    token: str,
    resources: Resources,
    problem: Problem | None = None,
    done: bool = False,
) -> Response:
    async with resources.database.read_tx(person.tenant_id) as read:
        browsers = await access.count_sessions(read, person.tenant_id, person.user_id, sessions.MAX_IDLE)
    return render.page(
        request,
        "account.html",
        problem.status if problem else 200,
        person=person,
        csrf=sessions.csrf_token(token),
        browsers=browsers,
        refused=problem,
        faults=render.list_faults(problem),
        done=done,
    )
