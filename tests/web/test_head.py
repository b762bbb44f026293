"""HEAD: as GET, with no body."""

import httpx
import pytest
from starlette.routing import Route

from app.main import ROUTERS
from app.web import webhooks
from tests.makers import Tenant
from tests.security.test_limits import raw
from tests.service import Api
from tests.web.people import Browser

STREAM = "/conversations/events"
TELLING = ("/metrics", "/api/v1/api-keys?")
"""They tell of these very requests, and grow."""
VOLATILE = {"date", "x-request-id", "set-cookie"}
PATHS = sorted(
    {str(getattr(route, "path", "")) for router in ROUTERS for route in router.routes
     if "GET" in getattr(route, "methods", ())}
    - {STREAM, *(route.path for route in webhooks.router.routes if isinstance(route, Route))}
    | {"/openapi.json", "/static/page.css", "/docs/assets/swagger-ui.css", "/nothing", "/api/none"}
)  # fmt: skip


async def differing(http: httpx.AsyncClient, **headers: str) -> list[str]:
    """Asks each address both ways; those whose answers differ in more than the body."""
    found = []
    for path in PATHS:
        plain = path.replace("{", "").replace("}", "") + "?wait=0"
        by_get = await http.get(plain, headers=headers)
        by_head = await http.request("HEAD", plain, headers=headers)
        told = [
            {name: value for name, value in answer.headers.items() if name not in VOLATILE}
            for answer in (by_get, by_head)
        ]
        if plain.startswith(TELLING):
            told = [{**one, "content-length": ""} for one in told]
        if by_get.status_code != by_head.status_code or told[0] != told[1] or by_head.content:
            found.append(f"{plain}: {by_get.status_code} {by_head.status_code} {told}")
    return found


async def test_head_is_answered_as_get_at_every_address(api: Api, tenant: Tenant) -> None:
    assert len(PATHS) > 60
    assert await differing(api.http) == []
    assert await differing(api.http, **{"X-API-Key": tenant.key}) == []


async def test_head_is_answered_as_get_at_every_page(sam: Browser) -> None:
    assert await differing(sam.http) == []


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/metrics", "/docs",
                                  "/openapi.json", "/sign-in", "/static/page.css"])  # fmt: skip
async def test_head_says_yes_without_a_byte_of_body(api: Api, path: str) -> None:
    ask = f"HEAD {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    head, _, body = (await raw(api.url, ask.encode())).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert b"content-length: 0\r\n" not in head
    assert body == b""


async def test_head_of_the_stream_ends_at_once(sam: Browser) -> None:
    answer = await sam.http.request("HEAD", STREAM, timeout=2)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")


async def test_head_stores_no_text_of_a_lead(api: Api) -> None:
    """A carrier's GET is a deed."""
    answer = await api.http.request("HEAD", "/webhooks/vonage/some/inbound?text=Hi")
    assert answer.status_code == 405


async def test_head_is_named_where_it_may_be_asked(api: Api) -> None:
    answer = await api.http.post("/health/ready")
    assert answer.headers["allow"] == "GET, HEAD"
    answer = await api.http.request("OPTIONS", "/api/v1/sms/send")
    assert answer.headers["allow"] == "POST"


async def test_head_is_counted_as_head(api: Api) -> None:
    await api.http.request("HEAD", "/health/live")
    told = (await api.http.get("/metrics")).text
    assert 'leadsail_http_request_seconds_count{method="HEAD",route="/health/live"' in told
