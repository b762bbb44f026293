"""Coming in, staying in, leaving; and forms that did not come from a page of ours."""

import pytest
from playwright.async_api import expect
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route

from app.resources import Resources
from tests.browser.conftest import EMAIL, Enter, Person
from tests.makers import Tenant
from tests.service import Api
from tests.web.people import PASSWORD, add_person
from tests.world import World, served


async def test_a_person_signs_in_where_it_wanted_to_go_and_out_again(
    enter: Enter, world: World, resources: Resources, tenant: Tenant
) -> None:
    await add_person(resources, tenant.tenant_id, EMAIL)
    thread = (await world.send())["interactionId"]
    guest = await enter(None)
    await guest.open(f"/conversations/{thread}")
    page = guest.page
    await page.get_by_role("textbox", name="Email").fill(EMAIL)
    await page.get_by_role("textbox", name="Password").fill("wrong horse")
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("alert")).to_have_text("The email address or the password is wrong.")
    guest.complaints.clear()  # the browser tells of the 401
    await expect(page.get_by_role("textbox", name="Email")).to_have_value(EMAIL)
    await page.get_by_role("textbox", name="Password").fill(PASSWORD)
    await page.get_by_role("textbox", name="Password").press("Enter")
    await expect(guest.texts).to_have_count(1)
    assert page.url.endswith(thread)
    await guest.box.fill("Nobody else's business")
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_role("button", name="Sign in")).to_be_visible()
    assert await page.evaluate("sessionStorage.length") == 0
    await guest.open(f"/conversations/{thread}")
    await expect(page.get_by_role("button", name="Sign in")).to_be_visible()
    cookies = {cookie["name"] for cookie in await page.context.cookies()}
    assert "session" not in cookies


async def test_an_open_page_whose_session_ended_asks_to_sign_in(
    sam: Person, world: World, resources: Resources
) -> None:
    await sam.read((await world.send())["interactionId"])
    async with resources.database.system_tx() as tx:
        await tx.execute("DELETE FROM sessions")
    await world.text("Hello?")
    await expect(sam.page.get_by_role("button", name="Sign in")).to_be_visible()
    sam.complaints.clear()


@pytest.mark.parametrize("ends", ["before the page notices", "while the page looks on"])
async def test_a_text_that_met_an_ended_session_is_still_in_the_box_after_the_sign_in(
    sam: Person, world: World, resources: Resources, ends: str
) -> None:
    thread = (await world.send())["interactionId"]
    await sam.read(thread)
    page = sam.page
    await sam.box.fill("Not lost")
    async with resources.database.system_tx() as tx:
        await tx.execute("DELETE FROM sessions")
    if ends == "before the page notices":
        await page.get_by_role("button", name="Send", exact=True).click()
    else:
        await world.text("Hello?")
    await page.get_by_role("textbox", name="Email").fill(EMAIL)
    await page.get_by_role("textbox", name="Password").fill(PASSWORD)
    await page.get_by_role("button", name="Sign in").click()
    await expect(sam.box).to_have_value("Not lost")
    assert page.url.endswith(thread)
    await page.get_by_role("button", name="Send", exact=True).click()
    await expect(sam.text("Not lost")).to_be_visible()
    await expect(sam.box).to_have_value("")
    sam.complaints.clear()  # the browser tells of what failed without a session


FORM = """<!doctype html><form method="post" action="{action}">
<input name="csrf" value="{csrf}"><input name="once" value="0123456789ab">
<input name="message" value="Not mine"><button>Go</button></form>"""


async def test_a_form_on_another_site_sends_nothing_even_with_the_right_token(
    sam: Person, world: World, api: Api
) -> None:
    thread = (await world.send())["interactionId"]
    await sam.open(f"/conversations/{thread}")
    csrf = await sam.page.locator("form.compose [name=csrf]").get_attribute("value")
    action = f"{api.url}/conversations/{thread}/texts"

    async def lure(_: Request) -> HTMLResponse:
        return HTMLResponse(FORM.format(action=action, csrf=csrf))

    async with served(Starlette(routes=[Route("/", lure)])) as elsewhere:
        await sam.open(elsewhere)  # the same host at another port: the cookie goes along
        await sam.page.get_by_role("button", name="Go").click()
        await expect(sam.page.get_by_role("heading", level=1)).to_contain_text("did not come from")
    assert len((await world.thread(thread))["transcript"]) == 1
    sam.complaints.clear()


async def test_a_form_with_the_token_of_another_session_sends_nothing(sam: Person, enter: Enter, world: World) -> None:
    thread = (await world.send())["interactionId"]
    ann = await enter("ann@example.com")
    for one in (sam, ann):
        await one.open(f"/conversations/{thread}")
    token = sam.page.locator("form.compose [name=csrf]")
    theirs = await ann.page.locator("form.compose [name=csrf]").get_attribute("value")
    await token.evaluate("(field, value) => { field.value = value; }", theirs)
    await sam.box.fill("Not mine")
    await sam.box.press("Enter")
    await expect(token).not_to_have_value(theirs or "")  # the page comes anew, and the words stay
    await expect(sam.box).to_have_value("Not mine")
    assert len((await world.thread(thread))["transcript"]) == 1
    sam.complaints.clear()
