"""The pages that show the described API: they need no other host, and ask the one they came from."""

from urllib.parse import urlsplit

from playwright.async_api import expect

from tests.browser.conftest import Enter
from tests.service import Api


async def test_a_request_can_be_tried_under_whatever_name_the_page_was_opened(enter: Enter, api: Api) -> None:
    """The document names the public address; here the service has another name."""
    guest = await enter(None)
    await guest.open(f"http://localhost:{urlsplit(api.url).port}/docs")
    await guest.page.get_by_role("button", name="GET /health/live The process").click()
    await guest.page.get_by_role("button", name="Try it out").click()
    await guest.page.get_by_role("button", name="Execute").click()
    await expect(guest.page.locator(".live-responses-table .response-col_status").last).to_contain_text("200")
