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
from app.web.dependencies import AppResources

ADMINS_ONLY = "This page is for the admins of your organization."
FOREIGN_FORM = "This form did not come from a page of ours. Go back, reload, and try again."
OUTDATED_FORM = "This form is out of date. Go back, reload, and try again."


class SignedOut(Exception):
    """A person must sign in first; answered by `redirect_to_sign_in`."""


async def redirect_to_sign_in(request: Request, _: Exception) -> Response:
    """The handler of `SignedOut`: to the sign-in page, and back after it."""
    next_path = request.url.path
    if request.url.query:
        next_path += f"?{request.url.query}"
    way_back = request.method == "GET" and next_path != "/conversations"
    # A path: a whole address would be made of the host that the request named.
    return RedirectResponse(f"/sign-in?{urlencode({'next': next_path})}" if way_back else "/sign-in", 303)


def get_client_ip(request: Request, resources: AppResources) -> str | None:
    """Whence the person comes: the peer, or what trusted proxies say of it. Their header is read
    from its end, because a browser may write what it likes in front."""
    hops = ",".join(request.headers.getlist("x-forwarded-for")).split(",")
    addresses = [hop.strip() for hop in hops if hop.strip()]
    addresses += [request.client.host] if request.client else []
    for hop in reversed(addresses):
        if not _is_trusted_proxy(hop, resources):
            return hop
    return addresses[0] if addresses else None


def _is_trusted_proxy(hop: str, resources: AppResources) -> bool:
    try:
        return any(ip_address(hop) in network for network in resources.settings.trusted_proxies)
    except ValueError:
        return False


def get_cookie_name(resources: AppResources) -> str:
    """Under https with the prefix that lets no other host and no plain page set it."""
    return "__Host-session" if is_https(resources) else "session"


def is_https(resources: AppResources) -> bool:
    return resources.settings.base_url.startswith("https://")


async def require_token(request: Request, resources: AppResources) -> str:
    """The session's token, as the cookie holds it; raises `SignedOut`."""
    token = request.cookies.get(get_cookie_name(resources))
    if not token:
        raise SignedOut
    return token


Token = Annotated[str, Depends(require_token)]


async def require_person(request: Request, token: Token, resources: AppResources) -> Person:
    """Who is signed in; raises `SignedOut`. A token that is due leaves with a fresh one, whatever
    the route answers."""
    renewed_token = None
    async with resources.database.system_tx() as tx:
        person = await sessions.find_and_touch(tx, token)
        if person and person.needs_renewal:
            renewed_token = await sessions.renew(tx, token)
    if person is None:
        raise SignedOut
    if renewed_token:
        cookie_response = Response()
        set_session_cookie(cookie_response, resources, renewed_token.token, renewed_token.time_left)
        request.state.answer_headers = {"Set-Cookie": cookie_response.headers["Set-Cookie"]}
    return person


def set_session_cookie(
    answer: Response, resources: AppResources, token: str, lasts: timedelta = sessions.MAX_SESSION
) -> None:
    """Gives the browser the token."""
    answer.set_cookie(
        get_cookie_name(resources),
        token,
        max_age=int(lasts.total_seconds()),
        secure=is_https(resources),
        httponly=True,
        samesite="lax",
    )


def delete_session_cookie(request: Request, answer: Response, resources: AppResources) -> None:
    """Takes the token from the browser, also one that was just renewed."""
    request.state.answer_headers = {}
    answer.delete_cookie(get_cookie_name(resources), secure=is_https(resources), httponly=True)


SignedIn = Annotated[Person, Depends(require_person)]


async def require_same_origin(request: Request, resources: AppResources) -> None:
    """Raises `Forbidden` unless the form was on a page of ours. Browsers name the origin of
    every POST; a proxy in front may have changed the host, hence the two that are ours."""
    origin = request.headers.get("origin", "")
    own_origins = {
        resources.settings.base_url,
        f"{request.url.scheme}://{request.headers.get('host')}",
    }
    if not origin or urlsplit(origin)[:2] not in {urlsplit(own_origin)[:2] for own_origin in own_origins}:
        raise Forbidden(FOREIGN_FORM)


SameOrigin = Depends(require_same_origin)


async def require_form_sender(
    person: SignedIn, token: Token, csrf: Annotated[str, Form(max_length=200)] = ""
) -> Person:
    """Who is signed in and sent a form of their own session."""
    if not sessions.csrf_matches(token, csrf):
        raise Forbidden(OUTDATED_FORM)
    return person


FormSender = Annotated[Person, Depends(require_form_sender)]


def _require_admin_role(person: Person) -> Person:
    """Raises `Forbidden`."""
    if not person.admin:
        raise Forbidden(ADMINS_ONLY)
    return person


async def require_admin(person: SignedIn) -> Person:
    """An admin who looks."""
    return _require_admin_role(person)


Admin = Annotated[Person, Depends(require_admin)]


async def require_admin_form_sender(person: FormSender) -> Person:
    """An admin who sent a form of their own session."""
    return _require_admin_role(person)


AdminFormSender = Annotated[Person, Depends(require_admin_form_sender)]
