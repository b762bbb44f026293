"""Signing in and out."""

import math
from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse
from starlette.responses import Response

from app.access import sessions
from app.domain.problems import RateLimited
from app.web.doors import Held, SystemTx
from app.web.page import doors, render
from app.web.page.doors import SameOrigin, Token, Writing

router = APIRouter(include_in_schema=False)
HOME = "/conversations"
WRONG = "E-mail or password is wrong."


@router.get("/")
async def home() -> Response:
    return RedirectResponse(HOME, 303)


@router.get("/sign-in")
async def sign_in(request: Request, next: str = HOME) -> Response:
    return render.page(request, "sign_in.html", next=_ours(next), email="", wrong=None)


@router.post("/sign-in", dependencies=[SameOrigin])
async def begin(
    request: Request,
    held: Held,
    email: Annotated[str, Form(max_length=320)] = "",
    password: Annotated[str, Form(max_length=1024)] = "",
    next: Annotated[str, Form(max_length=2000)] = HOME,
) -> Response:
    status, wrong, headers = 401, WRONG, {}
    try:
        token = await sessions.sign_in(held.database, email.strip(), password, doors.address(request, held))
    except RateLimited as refused:
        token, status, wrong, headers = None, refused.status, refused.message, _after(refused)
    if token is None:
        page = render.page(request, "sign_in.html", status, next=_ours(next), email=email, wrong=wrong)
        page.headers.update(headers)
        return page
    if before := request.cookies.get(doors.cookie_name(held)):
        async with held.database.system() as tx:
            await sessions.end(tx, before)
    response = RedirectResponse(_ours(next), 303)
    doors.keep(response, held, token)
    return response


def _after(refused: RateLimited) -> dict[str, str]:
    return {"Retry-After": str(math.ceil(refused.retry_after or 60))}


@router.post("/sign-out", dependencies=[SameOrigin])
async def end(request: Request, _: Writing, token: Token, held: Held, tx: SystemTx) -> Response:
    await sessions.end(tx, token)
    response = RedirectResponse("/sign-in", 303)
    doors.drop(request, response, held)
    return response


def _ours(address: str) -> str:
    """A path of this site, or the home page: never a way out to another one."""
    plain = address.startswith("/") and address.isprintable() and "\\" not in address
    return address if plain and not address.startswith("//") else HOME
