"""Signing in and out, and forms that did not come from a page of ours."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from fastapi import Request

from app import settings
from app.access import tries
from app.demo import http_clients
from app.resources import Resources
from app.web.page import dependencies
from tests.makers import Tenant
from tests.service import Api
from tests.web.conftest import EMAIL
from tests.web.people import PASSWORD, Browser, add_person, form


async def test_without_a_session_every_page_leads_to_the_sign_in_and_back(
    stranger: Browser, resources: Resources, tenant: Tenant
) -> None:
    await add_person(resources, tenant.tenant_id, EMAIL)
    answer = await stranger.get("/conversations?status=dnc")
    assert answer.status_code == 303
    page = await stranger.page(answer.headers["location"])
    answer = await stranger.submit(page, "/sign-in", email=EMAIL, password=PASSWORD)
    assert answer.headers["location"] == "/conversations?status=dnc"
    assert "Sign out" in await stranger.page("/conversations?status=dnc")


@pytest.mark.parametrize("form_name", ["texts", "status", "agent-mode", "cancel", "held", "do-not-contact"])
async def test_a_form_of_a_thread_whose_session_ended_leads_back_to_the_thread(
    stranger: Browser, resources: Resources, tenant: Tenant, form_name: str
) -> None:
    await add_person(resources, tenant.tenant_id, EMAIL)
    thread = "/conversations/int_0123456789abcdefghijklmnop"
    answer = await stranger.post(f"{thread}/{form_name}?status=dnc", message="Hi")
    assert answer.status_code == 303
    signing_in = await stranger.page(answer.headers["location"])
    answer = await stranger.submit(signing_in, "/sign-in", email=EMAIL, password=PASSWORD)
    assert answer.headers["location"] == f"{thread}?status=dnc"


async def test_the_cookie_is_kept_from_scripts_and_other_sites(sam: Browser) -> None:
    answer = await sam.sign_in(EMAIL)
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert "path=/" in cookie


@pytest.mark.parametrize("password", ["", "wrong", "\x00", "x" * 1025])
async def test_a_wrong_password_opens_nothing_and_keeps_the_email(
    sam: Browser, stranger: Browser, password: str
) -> None:
    sam.http.cookies.clear()
    answer = await stranger.sign_in(EMAIL, password)
    assert answer.status_code in (400, 401)
    assert "set-cookie" not in answer.headers
    if answer.status_code == 401:
        assert f'value="{EMAIL}"' in answer.text
        assert "wrong" in answer.text


@pytest.mark.parametrize("next_page", ["//evil.example/", "https://evil.example/", "/\\evil.example", "", "/a\nb"])
async def test_the_sign_in_never_leads_to_another_site(sam: Browser, next_page: str) -> None:
    answer = await sam.post("/sign-in", email=EMAIL, password=PASSWORD, next=next_page)
    assert answer.headers["location"] == "/conversations"


async def test_signed_out_the_cookie_opens_nothing_any_more(sam: Browser) -> None:
    page = await sam.page("/conversations")
    kept = dict(sam.http.cookies)
    assert (await sam.submit(page, "/sign-out")).headers["location"] == "/sign-in"
    sam.http.cookies.update(kept)
    assert (await sam.get("/conversations")).status_code == 303


async def test_a_form_from_elsewhere_writes_nothing(sam: Browser, api: Api) -> None:
    _, hidden = form(await sam.page("/conversations"), "/sign-out")
    for headers in ({"Origin": "https://evil.example"}, {"Origin": "null"}, {}):
        answer = await sam.http.post("/sign-out", data=hidden, headers=headers)
        assert answer.status_code == 403
    assert (await sam.get("/conversations")).status_code == 200


@pytest.mark.parametrize("csrf", ["", "0" * 64, "é"])
async def test_a_form_without_the_sessions_token_writes_nothing(sam: Browser, csrf: str) -> None:
    assert (await sam.post("/sign-out", csrf=csrf)).status_code == 403
    assert (await sam.get("/conversations")).status_code == 200


async def test_pages_allow_no_inline_script_or_style(sam: Browser) -> None:
    answer = await sam.get("/conversations")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "<script>" not in answer.text
    assert "style=" not in answer.text
    style = answer.text.split('rel="stylesheet" href="')[1].split('"')[0]
    assert "immutable" in (await sam.get(style)).headers["cache-control"]


async def test_a_page_that_is_not_there_says_so_as_a_page(sam: Browser) -> None:
    answer = await sam.get("/conversations/int_unknown")
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")
    assert "NOT_FOUND" in answer.text


async def test_after_too_many_guesses_at_one_person_even_the_right_password_waits(
    sam: Browser, stranger: Browser, resources: Resources
) -> None:
    for _ in range(tries.MAX_BY_PERSON):
        assert (await stranger.sign_in(EMAIL, "a guess")).status_code == 401
    answer = await stranger.sign_in(EMAIL.upper())
    assert answer.status_code == 429
    assert "Too many attempts. Try again in 15 minutes." in answer.text
    assert 0 < int(answer.headers["retry-after"]) <= 15 * 60
    async with resources.database.system_tx() as tx:
        await tx.execute("UPDATE sign_in_tries SET until = until - interval '15 minutes'")
    assert (await stranger.sign_in(EMAIL)).status_code == 303


async def test_guesses_at_once_do_not_slip_past_the_limit(stranger: Browser) -> None:
    answers = await asyncio.gather(
        *(stranger.sign_in("nobody@example.com", "a guess") for _ in range(tries.MAX_BY_PERSON + 4))
    )
    assert [a.status_code for a in answers].count(401) == tries.MAX_BY_PERSON


async def test_a_right_password_ends_the_count(sam: Browser) -> None:
    for _ in range(3):
        for _ in range(tries.MAX_BY_PERSON - 1):
            assert (await sam.sign_in(EMAIL, "a guess")).status_code == 401
        assert (await sam.sign_in(EMAIL)).status_code == 303


async def test_guesses_at_many_people_from_one_address_are_stopped(stranger: Browser, resources: Resources) -> None:
    await stranger.sign_in("one@example.com", "a guess")
    async with resources.database.system_tx() as tx:
        await tx.execute("UPDATE sign_in_tries SET tries = $1", tries.MAX_BY_ADDRESS)
        await tx.execute("DELETE FROM sign_in_tries WHERE who <> $1", tries._digest_address("127.0.0.1"))
    assert (await stranger.sign_in("two@example.com", "a guess")).status_code == 429


def test_an_ipv6_network_counts_as_one_address_and_a_mapped_one_as_what_it_maps() -> None:
    assert tries._digest_address("2001:db8::1") == tries._digest_address("2001:db8::ffff:2")
    assert tries._digest_address("2001:db8::1") != tries._digest_address("2001:db8:0:1::1")
    assert tries._digest_address("::ffff:192.0.2.1") == tries._digest_address("192.0.2.1")
    assert tries._digest_address("192.0.2.1") != tries._digest_address("192.0.2.2")


@pytest.mark.parametrize(
    ("said", "trusted", "address"),
    [
        ("", "", "127.0.0.1"),
        ("203.0.113.9", "", "127.0.0.1"),
        ("203.0.113.9", "127.0.0.0/8", "203.0.113.9"),
        ("1.1.1.1, 203.0.113.9", "127.0.0.0/8", "203.0.113.9"),
        ("203.0.113.9, 10.0.0.2", "127.0.0.0/8,10.0.0.0/8", "203.0.113.9"),
        ("not an address", "127.0.0.0/8", "not an address"),
        ("127.0.0.9", "127.0.0.0/8", "127.0.0.9"),
    ],
)
def test_only_trusted_proxies_say_whence_a_person_comes(
    resources: Resources, said: str, trusted: str, address: str
) -> None:
    known = replace(resources, settings=settings.load(trusted_proxies=trusted))
    scope: dict[str, Any] = {"type": "http", "client": ("127.0.0.1", 5000), "headers": []}
    if said:
        scope["headers"] = [(b"x-forwarded-for", said.encode())]
    assert dependencies.get_client_ip(Request(scope), known) == address


async def test_signing_in_again_ends_the_session_before(sam: Browser) -> None:
    kept = dict(sam.http.cookies)
    await sam.sign_in(EMAIL)
    sam.http.cookies.clear()
    sam.http.cookies.update(kept)
    assert (await sam.get("/conversations")).status_code == 303


async def test_an_old_token_gives_place_to_a_fresh_one_and_forms_keep_fitting(
    sam: Browser, resources: Resources
) -> None:
    old, page = dict(sam.http.cookies), await sam.page("/conversations")
    async with resources.database.system_tx() as tx:
        await tx.execute("UPDATE sessions SET renewed_at = renewed_at - interval '61 minutes'")
    renewed = await sam.get("/conversations")
    cookie = renewed.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    fresh = dict(sam.http.cookies)
    assert fresh != old
    assert "set-cookie" not in (await sam.get("/conversations")).headers
    await becomes_old(resources)
    sam.http.cookies.update(old)
    assert (await sam.get("/conversations")).status_code == 303
    sam.http.cookies.update(fresh)
    assert (await sam.submit(page, "/sign-out")).headers["location"] == "/sign-in"
    sam.http.cookies.update(fresh)
    assert (await sam.get("/conversations")).status_code == 303


async def becomes_old(resources: Resources) -> None:
    async with resources.database.system_tx() as tx:
        until = await tx.fetch_value("SELECT previous_until FROM sessions")
        assert until
        await tx.execute("UPDATE sessions SET previous_until = now() - interval '1 second'")


async def test_of_requests_at_once_one_renews_and_none_is_turned_away(sam: Browser, resources: Resources) -> None:
    old = dict(sam.http.cookies)
    async with resources.database.system_tx() as tx:
        await tx.execute("UPDATE sessions SET renewed_at = renewed_at - interval '61 minutes'")
    header = {"Cookie": "; ".join(f"{name}={value}" for name, value in old.items())}
    async with http_clients.build_client(base_url=sam.origin) as http:
        answers = await asyncio.gather(*(http.get("/conversations", headers=header) for _ in range(6)))
    assert {answer.status_code for answer in answers} == {200}
    assert sum("set-cookie" in answer.headers for answer in answers) == 1


async def test_a_renewal_that_never_arrived_is_made_again(sam: Browser, resources: Resources) -> None:
    old = dict(sam.http.cookies)
    async with resources.database.system_tx() as tx:
        await tx.execute("UPDATE sessions SET renewed_at = renewed_at - interval '61 minutes'")
    await sam.get("/conversations")
    async with resources.database.system_tx() as tx:
        await tx.execute("UPDATE sessions SET renewed_at = renewed_at - interval '2 minutes'")
    sam.http.cookies.clear()
    sam.http.cookies.update(old)
    answer = await sam.get("/conversations")
    assert answer.status_code == 200
    assert "set-cookie" in answer.headers
    assert (await sam.get("/conversations")).status_code == 200


async def test_signing_out_while_the_token_is_renewed_leaves_no_cookie(sam: Browser, resources: Resources) -> None:
    page = await sam.page("/conversations")
    async with resources.database.system_tx() as tx:
        await tx.execute("UPDATE sessions SET renewed_at = renewed_at - interval '61 minutes'")
    answer = await sam.submit(page, "/sign-out")
    assert 'session=""' in answer.headers["set-cookie"]
    assert (await sam.get("/conversations")).status_code == 303
