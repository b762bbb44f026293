"""Who may see a page, and whose form may write: the session's cookie, an Origin that is ours,
and the session's CSRF token."""

from datetime import timedelta
from ipaddress import ip_address
from typing import Annotated
from urllib.parse import urlencode, urlsplit

from fastapi import Depends, Form, Request
from fastapi.responses import RedirectResponse
from starlette.responses import Response

from app.access import sessions
from app.access.sessions import Person
from app.domain.problems import Forbidden
from app.web.doors import Held

ADMINS_ONLY = "This page is for the admins of your organization."
ELSEWHERE = "This form did not come from a page of ours. Go back, reload, and try again."
OUTDATED = "This form is out of date. Go back, reload, and try again."


class SignedOut(Exception):
    """A person must sign in first; answered by `to_sign_in`."""


async def to_sign_in(request: Request, _: Exception) -> Response:
    """The handler of `SignedOut`: to the sign-in page, and back after it."""
    wanted = request.url.path
    if request.url.query:
        wanted += f"?{request.url.query}"
    way_back = request.method == "GET" and wanted != "/conversations"
    # A path: a whole address would be made of the host that the request named.
    return RedirectResponse(f"/sign-in?{urlencode({'next': wanted})}" if way_back else "/sign-in", 303)


def address(request: Request, held: Held) -> str | None:
    """Whence the person comes: the peer, or what trusted proxies say of it. Their header is read
    from its end, because a browser may write what it likes in front."""
    hops = ",".join(request.headers.getlist("x-forwarded-for")).split(",")
    come_by = [hop.strip() for hop in hops if hop.strip()]
    come_by += [request.client.host] if request.client else []
    for hop in reversed(come_by):
        if not _trusted(hop, held):
            return hop
    return come_by[0] if come_by else None


def _trusted(hop: str, held: Held) -> bool:
    try:
        return any(ip_address(hop) in network for network in held.settings.trusted_proxies)
    except ValueError:
        return False


def cookie_name(held: Held) -> str:
    """Under https with the prefix that lets no other host and no plain page set it."""
    return "__Host-session" if secure(held) else "session"


def secure(held: Held) -> bool:
    return held.settings.base_url.startswith("https://")


async def token(request: Request, held: Held) -> str:
    """The session's token, as the cookie holds it; raises `SignedOut`."""
    given = request.cookies.get(cookie_name(held))
    if not given:
        raise SignedOut
    return given


Token = Annotated[str, Depends(token)]


async def person(request: Request, given: Token, held: Held) -> Person:
    """Who is signed in; raises `SignedOut`. A token that is due leaves with a fresh one, whatever
    the route answers."""
    renewed = None
    async with held.database.system() as tx:
        known = await sessions.see(tx, given)
        if known and known.due:
            renewed = await sessions.renew(tx, given)
    if known is None:
        raise SignedOut
    if renewed:
        told = Response()
        keep(told, held, renewed.token, renewed.lasts)
        request.state.answer_headers = {"Set-Cookie": told.headers["Set-Cookie"]}
    return known


def keep(answer: Response, held: Held, token: str, lasts: timedelta = sessions.ABSOLUTE) -> None:
    """Gives the browser the token."""
    answer.set_cookie(
        cookie_name(held),
        token,
        max_age=int(lasts.total_seconds()),
        secure=secure(held),
        httponly=True,
        samesite="lax",
    )


def drop(request: Request, answer: Response, held: Held) -> None:
    """Takes the token from the browser, also one that was just renewed."""
    request.state.answer_headers = {}
    answer.delete_cookie(cookie_name(held), secure=secure(held), httponly=True)


SignedIn = Annotated[Person, Depends(person)]


async def same_origin(request: Request, held: Held) -> None:
    """Raises `Forbidden` unless the form was on a page of ours. Browsers name the origin of
    every POST; a proxy in front may have changed the host, hence the two that are ours."""
    origin = request.headers.get("origin", "")
    ours = {held.settings.base_url, f"{request.url.scheme}://{request.headers.get('host')}"}
    if not origin or urlsplit(origin)[:2] not in {urlsplit(one)[:2] for one in ours}:
        raise Forbidden(ELSEWHERE)


SameOrigin = Depends(same_origin)


async def writing(known: SignedIn, given: Token, csrf: Annotated[str, Form(max_length=200)] = "") -> Person:
    """Who is signed in and sent a form of their own session."""
    if not sessions.csrf_matches(given, csrf):
        raise Forbidden(OUTDATED)
    return known


Writing = Annotated[Person, Depends(writing)]


def _admin(known: Person) -> Person:
    """Raises `Forbidden`."""
    if not known.admin:
        raise Forbidden(ADMINS_ONLY)
    return known


async def admin(known: SignedIn) -> Person:
    """An admin who looks."""
    return _admin(known)


Admin = Annotated[Person, Depends(admin)]


async def admin_writing(known: Writing) -> Person:
    """An admin who sent a form of their own session."""
    return _admin(known)


AdminWriting = Annotated[Person, Depends(admin_writing)]
