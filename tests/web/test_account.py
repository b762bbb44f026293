"""The head of every page, and the signed-in person's own page."""

import re

import pytest

from app.resources import Resources
from tests.makers import Tenant
from tests.web.people import PASSWORD, Browser, add_person, form

MEMBER = "max@example.com"


@pytest.fixture
async def max_(sam: Browser, resources: Resources, tenant: Tenant) -> Browser:
    """Max, a member, signed in where Sam, the admin, was before."""
    await add_person(resources, tenant.tenant_id, MEMBER)
    sam.http.cookies.clear()
    assert (await sam.sign_in(MEMBER, PASSWORD)).status_code == 303
    return sam


def tabs(page: str) -> list[str]:
    nav = page.split('aria-label="Pages"')[1].split("</nav>")[0]
    return re.findall(r">([^<>]+)</a>", nav)


async def test_the_first_person_of_a_tenant_rules_and_is_led_to_the_settings(sam: Browser) -> None:
    page = await sam.page("/conversations")
    assert tabs(page) == ["Conversations", "Leads", "Figures", "System", "Settings", "Account"]


async def test_a_member_is_led_to_nothing_it_may_not_see(max_: Browser) -> None:
    assert tabs(await max_.page("/conversations")) == ["Conversations", "Leads", "Account"]


async def test_the_account_tells_who_is_signed_in_and_signs_out(max_: Browser) -> None:
    page = await max_.page("/account")
    assert MEMBER in page
    assert re.search(r'href="/account" aria-current="page"', page)
    assert form(page, "/sign-out")
    assert (await max_.submit(page, "/sign-out")).status_code == 303
    assert (await max_.get("/account")).headers["location"] == "/sign-in?next=%2Faccount"


async def test_a_changed_password_signs_out_everywhere_else(sam: Browser) -> None:
    kept = dict(sam.http.cookies)
    page = await sam.page("/account")
    answer = await sam.submit(page, "/password", currentPassword=PASSWORD, password="another long one")
    assert answer.status_code == 303
    assert "was changed" in await sam.page(answer.headers["location"])
    sam.http.cookies.clear()
    sam.http.cookies.update(kept)
    assert (await sam.get("/account")).status_code == 303
    assert (await sam.sign_in("sam@example.com", PASSWORD)).status_code == 401
    assert (await sam.sign_in("sam@example.com", "another long one")).status_code == 303


async def test_a_person_chooses_the_size_of_the_text_for_this_browser(sam: Browser) -> None:
    page = await sam.page("/account")
    assert '<html lang="en">' in page
    answer = await sam.submit(page, "/text-size", size="largest")
    assert answer.status_code == 303
    page = await sam.page(answer.headers["location"])
    assert "was saved for this browser" in page
    for path in ("/account", "/conversations", "/leads", "/settings/general", "/sign-in"):
        assert '<html lang="en" class="text-largest">' in await sam.page(path), path
    assert '<option value="largest" selected>' in page
    assert (await sam.submit(page, "/text-size", size="huge")).status_code == 400
    sam.http.cookies.set("text-size", '"><b>')
    assert '<html lang="en">' in (await sam.get("/account")).text


@pytest.mark.parametrize(
    ("current", "wanted", "field", "said"),
    [
        ("not it", "another long one", "currentPassword", "Is wrong"),
        (PASSWORD, "short", "password", "at least 10"),
        (PASSWORD, "sam@example.com", "password", "easy to guess"),
        (PASSWORD, "x" * 1025, "password", "at most 1024"),
    ],
)
async def test_a_refused_password_says_why_beside_the_field(
    sam: Browser, current: str, wanted: str, field: str, said: str
) -> None:
    page = await sam.page("/account")
    answer = await sam.submit(page, "/password", currentPassword=current, password=wanted)
    assert answer.status_code == 400
    assert said in answer.text.split(f'id="fault-{field}">')[1].split("<")[0]
    assert wanted not in answer.text or wanted == "sam@example.com"
    assert (await sam.get("/account")).status_code == 200


async def test_signed_out_everywhere_no_browser_opens_anything(sam: Browser, resources: Resources) -> None:
    first = dict(sam.http.cookies)
    sam.http.cookies.clear()
    await sam.sign_in("sam@example.com")
    page = await sam.page("/account")
    assert "In 2 browsers" in page
    await sam.submit(page, "/sign-out-everywhere")
    assert (await sam.get("/account")).status_code == 303
    sam.http.cookies.update(first)
    assert (await sam.get("/account")).status_code == 303
