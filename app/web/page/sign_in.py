"""Signing in and out."""

import math
from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse
from starlette.responses import Response

from app.access import sessions
from app.domain.problems import RateLimited
from app.web.dependencies import AppResources, SystemTx
from app.web.page import dependencies, render
from app.web.page.dependencies import FormSender, SameOrigin, Token

router = APIRouter(include_in_schema=False)
HOME_PATH = "/conversations"
SIGN_IN_REFUSED = "The email address or the password is wrong."


@router.get("/")
async def redirect_home() -> Response:
    return RedirectResponse(HOME_PATH, 303)


@router.get("/sign-in")
async def sign_in(request: Request, next: str = HOME_PATH) -> Response:
    return render.page(request, "sign_in.html", next=_make_local_path(next), email="", wrong=None)


@router.post("/sign-in", dependencies=[SameOrigin])
async def submit_sign_in(
    request: Request,
    resources: AppResources,
    email: Annotated[str, Form(max_length=320)] = "",
    password: Annotated[str, Form(max_length=1024)] = "",
    next: Annotated[str, Form(max_length=2000)] = HOME_PATH,
) -> Response:
    status, wrong, headers = 401, SIGN_IN_REFUSED, {}
    try:
        token = await sessions.sign_in(
            resources.database,
            email.strip(),
            password,
            dependencies.get_client_ip(request, resources),
            resources.settings.cell,
        )
    except RateLimited as problem:
        token, status, wrong, headers = None, problem.status, problem.message, _build_retry_headers(problem)
    if token is None:
        page = render.page(request, "sign_in.html", status, next=_make_local_path(next), email=email, wrong=wrong)
        page.headers.update(headers)
        return page
    if old_token := request.cookies.get(dependencies.get_cookie_name(resources)):
        async with resources.database.system_tx() as tx:
            await sessions.end(tx, old_token)
    response = RedirectResponse(_make_local_path(next), 303)
    dependencies.set_session_cookie(response, resources, token)
    return response


def _build_retry_headers(problem: RateLimited) -> dict[str, str]:
    return {"Retry-After": str(math.ceil(problem.retry_after or 60))}


@router.post("/sign-out", dependencies=[SameOrigin])
async def sign_out(request: Request, _: FormSender, token: Token, resources: AppResources, tx: SystemTx) -> Response:
    await sessions.end(tx, token)
    response = RedirectResponse("/sign-in", 303)
    dependencies.delete_session_cookie(request, response, resources)
    return response


def _make_local_path(address: str) -> str:
    """Returns `address` if it is a path of this site, else the home page."""
    plain = address.startswith("/") and address.isprintable() and "\\" not in address
    return address if plain and not address.startswith("//") else HOME_PATH
