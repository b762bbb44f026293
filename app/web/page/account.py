"""The account page of the signed-in person: the password, sessions, and what the person is told."""

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse
from starlette.responses import Response

from app.access import sessions
from app.access.sessions import Person
from app.domain.notices import NOTICE_KINDS, NoticeWay
from app.domain.problems import Invalid, Problem
from app.resources import Resources
from app.store import access, notices, people
from app.web.dependencies import AppResources, SystemTx
from app.web.page import dependencies, render, text_sizes
from app.web.page.dependencies import FormSender, SameOrigin, SignedIn, Token
from app.web.page.text_sizes import SIZE_WORDS, TextSize

DONE_WORDS = {
    "name": "Your name was saved.",
    "changed": "Your password was changed. You are signed out in all other browsers.",
    "notices": "Your notices were saved.",
    "text-size": "The size of the text was saved for this browser.",
    "test": "The test was taken. Look whether it came.",
}
KIND_WORDS = {
    "needs_person": "A conversation needs a person",
    "mention": "A colleague mentions you in a note",
    "agent_down": "An agent is down, or its A/B test has stopped",
    "account_failing": "A carrier refuses an account",
}
MAX_NAME_LENGTH = 100
router = APIRouter(include_in_schema=False)


@router.get("/account")
async def show_account(
    request: Request, person: SignedIn, token: Token, resources: AppResources, done: str = ""
) -> Response:
    return await render_account(request, person, token, resources, done=done)


@router.post("/account/name", dependencies=[SameOrigin])
async def change_name(
    request: Request,
    person: FormSender,
    token: Token,
    resources: AppResources,
    name: Annotated[str, Form(max_length=1024)] = "",
) -> Response:
    """How colleagues call the person; empty: by the e-mail."""
    words = " ".join(name.split())
    if len(words) > MAX_NAME_LENGTH or "\x00" in words:
        problem = Invalid(details=[f"name: must have at most {MAX_NAME_LENGTH} characters"])
        return await render_account(request, person, token, resources, problem)
    async with resources.database.tenant_tx(person.tenant_id, author=person.caller.author) as tx:
        await people.set_name(tx, person.tenant_id, person.user_id, words or None)
    return RedirectResponse("/account?done=name", 303)


@router.post("/account/text-size", dependencies=[SameOrigin])
async def change_text_size(_: FormSender, resources: AppResources, size: Annotated[TextSize, Form()]) -> Response:
    response = RedirectResponse("/account?done=text-size", 303)
    text_sizes.set_text_size(response, size, secure=dependencies.is_https(resources))
    return response


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
            resources.database,
            person,
            current_password,
            new_password,
            dependencies.get_client_ip(request, resources),
            resources.settings.cell,
        )
    except Problem as problem:
        return await render_account(request, person, token, resources, problem)
    response = RedirectResponse("/account?done=changed", 303)
    request.state.answer_headers = {}
    dependencies.set_session_cookie(response, resources, new_token)
    return response


@router.post("/account/sign-out-everywhere", dependencies=[SameOrigin])
async def sign_out_everywhere(request: Request, person: FormSender, resources: AppResources, tx: SystemTx) -> Response:
    await sessions.end_all(tx, person.tenant_id, person.user_id)
    response = RedirectResponse("/sign-in", 303)
    dependencies.delete_session_cookie(request, response, resources)
    return response


async def render_account(
    request: Request,
    person: Person,
    token: str,
    resources: Resources,
    problem: Problem | None = None,
    done: str = "",
    faulty_way: NoticeWay | None = None,
) -> Response:
    """`faulty_way`: whose form the problem is about; None: that of the password."""
    async with resources.database.read_tx(person.tenant_id) as read:
        ways = {way.way: way for way in await notices.list_ways(read, person.tenant_id, person.user_id)}
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
        faulty_way=faulty_way,
        done=DONE_WORDS.get(done),
        text_sizes=SIZE_WORDS,
        ways=ways,
        kinds=[(kind, KIND_WORDS[kind]) for kind in NOTICE_KINDS],
        has_mail=resources.mail is not None,
    )
