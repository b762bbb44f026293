"""Addresses that are nearly ours, and hosts that are not: a client that meets a redirect says
all again, key and text, wherever it leads."""

from collections.abc import Iterator

import httpx
import pytest

from app.main import ROUTERS
from tests.makers import Tenant
from tests.security.test_limits import raw
from tests.service import Api
from tests.web.people import Browser

EVIL = "evil.example"
HEADERS = {"Host": EVIL, "X-Forwarded-Host": EVIL, "Forwarded": f"host={EVIL}"}
BESIDE = ("/", "/docs/assets", "/static", "/openapi.json", "/static/page.css", "/nothing", "/api")
STREAM = "/conversations/events"
PATHS = sorted({str(getattr(route, "path", "")) for router in ROUTERS for route in router.routes} | set(BESIDE))


def beside(path: str) -> Iterator[str]:
    """The address, and those that a slip of the hand makes of it."""
    plain = path.replace("{", "").replace("}", "")
    yield from (plain, f"{plain}/", f"{plain}//", f"/{plain}", f"//{EVIL}{plain}")


async def stray(http: httpx.AsyncClient, **headers: str) -> list[str]:
    """Asks each address of the service, and those beside it; the answers that name the host."""
    named, asked = [], 0
    for path in PATHS:
        for address in beside(path):
            if address == STREAM:
                continue
            for method in ("GET", "POST"):
                answer = await http.request(
                    method,
                    httpx.URL(str(http.base_url), raw_path=f"{address}?wait=0".encode()),
                    headers=HEADERS | headers,
                )
                asked += 1
                where = answer.headers.get("location", "")
                told = str(answer.headers.raw).replace("%2F%2Fevil.example", "")
                if EVIL in told or (where and not where.startswith("/")) or where[:2] == "//":
                    named.append(f"{method} {address}: {where}")
    assert asked > 1000
    return named


async def test_no_answer_leads_to_the_host_that_the_request_named(api: Api, tenant: Tenant) -> None:
    assert await stray(api.http) == []
    assert await stray(api.http, **{"X-API-Key": tenant.key}) == []


async def test_no_page_leads_a_person_to_the_host_that_the_request_named(sam: Browser) -> None:
    assert await stray(sam.http, Origin=sam.origin) == []


@pytest.mark.parametrize("path", ["/sms/send/", "/sms/send//", "/leads/", "/leads/some/", "//leads"])
async def test_a_slash_too_many_is_an_unknown_address_and_says_so_in_the_envelope(tenant: Tenant, path: str) -> None:
    body = {"leadId": "some", "message": "Hi"}
    for method in ("GET", "POST"):
        answer = await tenant.ask(method, path, body if method == "POST" else None)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "NOT_FOUND")
        assert "location" not in answer.headers


@pytest.mark.parametrize("path", ["//api/v1/leads", "//health/ready", "//webhooks/twilio/a/inbound"])
async def test_a_machine_is_told_of_a_doubled_slash_as_a_machine(api: Api, path: str) -> None:
    answer = await api.http.get(httpx.URL(api.url, raw_path=path.encode()))
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "NOT_FOUND")


@pytest.mark.parametrize("path", ["/docs/", "/redoc/", "/conversations/", "/sign-in/", "/settings/"])
async def test_a_slash_too_many_at_a_page_is_a_page_that_says_so(api: Api, path: str) -> None:
    answer = await api.http.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "location" not in answer.headers


@pytest.mark.parametrize("host", [b"", b"Host: evil.example/x\r\n", b"Host: x@evil.example\r\n"])
async def test_without_a_plain_host_the_way_to_sign_in_is_a_path(api: Api, host: bytes) -> None:
    said = await raw(api.url, b"GET /conversations/some?x=1 HTTP/1.0\r\n" + host + b"\r\n")
    assert b"location: /sign-in?next=%2Fconversations%2Fsome%3Fx%3D1\r\n" in said
    slash = await raw(api.url, b"POST /api/v1/sms/send/ HTTP/1.0\r\n" + host + b"\r\n")
    assert slash.startswith(b"HTTP/1.1 404 ")
    assert b"location:" not in slash.lower()
