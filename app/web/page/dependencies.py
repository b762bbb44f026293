"""Access to pages and forms: the session cookie, the Origin header and the CSRF token."""

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

ADMINS_ONLY = "Only admins of your organization can open this page."
FOREIGN_FORM = "This form did not come from this site. Go back, reload the page, and try again."
OUTDATED_FORM = "This form is out of date. Go back, reload the page, and try again."


class SignedOut(Exception):
    """Raised if nobody is signed in; `redirect_to_sign_in` answers it."""


async def redirect_to_sign_in(request: Request, _: Exception) -> Response:
    """The exception handler of `SignedOut`: redirects to sign-in, which leads back afterwards: to the
    page, or to the thread or the lead whose form was sent."""
    page_path = request.url.path if request.method == "GET" else _find_page_of_form(request)
    next_path = page_path or ""
    if request.url.query:
        next_path += f"?{request.url.query}"
    leads_back = page_path and next_path != "/conversations"
    # A path and no host: a client may send any Host header.
    return RedirectResponse(f"/sign-in?{urlencode({'next': next_path})}" if leads_back else "/sign-in", 303)


def _find_page_of_form(request: Request) -> str | None:
    """The page on which the form of the request stands; None: it is not known."""
    if request.url.path.startswith("/conversations/new/"):
        return "/conversations/new"
    for name, pages in (("interaction_id", "/conversations"), ("lead_id", "/leads")):
        if item_id := request.path_params.get(name):
            return f"{pages}/{item_id}"
    return None


def get_client_ip(request: Request, resources: AppResources) -> str | None:
    """Returns the client's IP: the peer, or the last hop of X-Forwarded-For that is no trusted proxy.
    The header is read from its end, because a client can write anything at its beginning."""
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
    """Returns the cookie's name. With https it has the prefix `__Host-`, so that no other host and no
    page without https can set it."""
    return "__Host-session" if is_https(resources) else "session"


def is_https(resources: AppResources) -> bool:
    return resources.settings.base_url.startswith("https://")


async def require_token(request: Request, resources: AppResources) -> str:
    """Returns the session's token from the cookie. Raises `SignedOut`."""
    token = request.cookies.get(get_cookie_name(resources))
    if not token:
        raise SignedOut
    return token


Token = Annotated[str, Depends(require_token)]


async def require_person(request: Request, token: Token, resources: AppResources) -> Person:
    """Returns the signed-in person. Raises `SignedOut`. An old token is renewed, and the cookie is set
    on whatever the route answers."""
    person = await sessions.find_and_touch(resources.database, token)
    if person is None:
        raise SignedOut
    renewed_token = None
    if person.needs_renewal:
        async with resources.database.system_tx() as tx:
            renewed_token = await sessions.renew(tx, token)
    if renewed_token:
        cookie_response = Response()
        set_session_cookie(cookie_response, resources, renewed_token.token, renewed_token.time_left)
        request.state.answer_headers = {"Set-Cookie": cookie_response.headers["Set-Cookie"]}
    return person


def set_session_cookie(
    answer: Response, resources: AppResources, token: str, lasts: timedelta = sessions.MAX_SESSION
) -> None:
    """Sets the session cookie."""
    answer.set_cookie(
        get_cookie_name(resources),
        token,
        max_age=int(lasts.total_seconds()),
        secure=is_https(resources),
        httponly=True,
        samesite="lax",
    )


def delete_session_cookie(request: Request, answer: Response, resources: AppResources) -> None:
    """Deletes the session cookie, and drops the one that `require_person` may have just renewed."""
    request.state.answer_headers = {}
    answer.delete_cookie(get_cookie_name(resources), secure=is_https(resources), httponly=True)


SignedIn = Annotated[Person, Depends(require_person)]


async def require_same_origin(request: Request, resources: AppResources) -> None:
    """Raises `Forbidden` unless the form came from this site. Browsers send the Origin of every POST.
    Two origins are accepted, because a proxy may have changed the host."""
    origin = request.headers.get("origin", "")
    own_origins = {resources.settings.base_url, f"{request.url.scheme}://{request.headers.get('host')}"}
    if not origin or urlsplit(origin)[:2] not in {urlsplit(own_origin)[:2] for own_origin in own_origins}:
        raise Forbidden(FOREIGN_FORM)


SameOrigin = Depends(require_same_origin)


async def require_form_sender(
    person: SignedIn, token: Token, csrf: Annotated[str, Form(max_length=200)] = ""
) -> Person:
    """Returns the signed-in person. Raises `Forbidden` unless the form has the session's CSRF token."""
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
    """Returns the signed-in admin. Raises `SignedOut`, `Forbidden`."""
    return _require_admin_role(person)


Admin = Annotated[Person, Depends(require_admin)]


async def require_admin_form_sender(person: FormSender) -> Person:
    """Returns the admin who sent a form of their own session. Raises `SignedOut`, `Forbidden`."""
    return _require_admin_role(person)


AdminFormSender = Annotated[Person, Depends(require_admin_form_sender)]
