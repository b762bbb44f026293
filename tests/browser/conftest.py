"""People in real browsers, before a real service: uvicorn, a worker, the simulated carrier and
an agent. Without Chromium these tests are skipped."""

import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import (
    Browser,
    BrowserContext,
    Locator,
    Page,
    Response,
    async_playwright,
    expect,
)

from app.access import sessions
from app.demo import agent as demo_agent
from app.resources import Resources
from app.web.page import dependencies
from tests.makers import Tenant
from tests.service import Api
from tests.web.people import add_person
from tests.world import World, agent, carrier, idle_world, served, until, working, world

__all__ = ["agent", "carrier", "idle_world", "working", "world"]

PICTURES = Path(__file__).parents[1] / "output"
NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
PATIENT = 20_000
"""ms. Two cores may serve a whole run of tests beside these."""
ZONE = "America/New_York"
EMAIL = "sam@example.com"
TAKE_PICTURES = bool(os.environ.get("PICTURES"))
"""For a person's eye, with `make pictures`: they take a minute, and no test reads them."""
expect.set_options(timeout=PATIENT)
UNCOVERED = """(part) => {
    const {left, right, top, bottom} = part.getBoundingClientRect();
    const middle = [(left + right) / 2, (top + bottom) / 2];
    const spots = [middle, [left + 4, top + 4], [right - 4, top + 4], [left + 4, bottom - 4],
                   [right - 20, bottom - 4]];
    return spots.every(([x, y]) => part.contains(document.elementFromPoint(x, y)));
}"""
"""Whether nothing lies upon a part of the page."""


async def take_picture(page: Page, name: str, full_page: bool = False) -> None:
    if TAKE_PICTURES:
        await page.screenshot(path=PICTURES / f"{name}.png", full_page=full_page)


@pytest.fixture(scope="session")
async def chromium() -> AsyncIterator[Browser]:
    program = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if not program:
        pytest.skip("there is no Chromium here (CHROMIUM may name one)")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        yield browser
        await browser.close()


@dataclass(slots=True)
class Person:
    """Somebody at a browser. What the browser complains of is kept, and fails the test."""

    page: Page
    email: str
    complaints: list[str]

    async def open(self, path: str) -> Response:
        response = await self.page.goto(path)
        assert response is not None
        return response

    async def read(self, interaction_id: str) -> None:
        """Opens a thread; it is live when this returns."""
        async with self.page.expect_request("**/conversations/events?*"):
            await self.open(f"/conversations/{interaction_id}")

    @property
    def texts(self) -> Locator:
        return self.page.get_by_role("log", name="Transcript").get_by_role("article")

    def text(self, words: str) -> Locator:
        return self.texts.filter(has_text=words)

    @property
    def box(self) -> Locator:
        return self.page.get_by_role("textbox", name="Message")

    @property
    def state(self) -> Locator:
        return self.page.get_by_role("status", name="Agent state")

    @property
    def switch(self) -> Locator:
        return self.page.get_by_role("switch", name="Agent Mode")

    @property
    def threads(self) -> Locator:
        return self.page.get_by_role("navigation", name="Conversations").get_by_role("link")

    async def becomes(self, expression: str) -> None:
        """Waits until the expression is true. (`wait_for_function` would need `eval`.)"""
        await until(lambda: self.page.evaluate(f"() => Boolean({expression})"), PATIENT / 1000)

    async def same_page(self) -> Callable[[], Awaitable[bool]]:
        """Whether the page was never loaded anew since now."""
        await self.page.evaluate("window.stayed = true")

        async def asked() -> bool:
            stayed: bool = await self.page.evaluate("window.stayed === true")
            return stayed

        return asked


Enter = Callable[..., Awaitable[Person]]


@pytest.fixture
async def enter(chromium: Browser, resources: Resources, tenant: Tenant, api: Api) -> AsyncIterator[Enter]:
    """Opens a browser; a person with an e-mail is signed in already."""
    people: list[tuple[BrowserContext, Person]] = []

    async def come(email: str | None = EMAIL, role: str = "admin", **look: Any) -> Person:
        context = await chromium.new_context(**{"base_url": api.url, "timezone_id": ZONE, "locale": "en-US"} | look)
        context.set_default_timeout(PATIENT)
        cookies = [{"name": "zone", "value": ZONE, "url": api.url}]
        if email:
            user_id = await add_person(resources, tenant.tenant_id, email)
            async with resources.database.system_tx() as tx:
                await tx.execute("UPDATE users SET role = $2 WHERE user_id = $1", user_id, role)
                token = await sessions.begin(tx, tenant.tenant_id, user_id)
            cookies.append({"name": dependencies.get_cookie_name(resources), "value": token, "url": api.url})
        await context.add_cookies(cookies)  # type: ignore[arg-type]
        person = Person(await context.new_page(), email or "", [])
        person.page.on("pageerror", lambda error: person.complaints.append(str(error)))
        person.page.on(
            "console",
            lambda said: person.complaints.append(said.text) if said.type == "error" else None,
        )
        people.append((context, person))
        return person

    yield come
    try:
        for _, person in people:
            await expect(person.page.locator("#unsent .pending")).to_have_count(0)
    finally:  # a browser that stays holds its stream of events, and with it the server
        for context, _ in people:
            await context.close()
    assert [person.complaints for _, person in people if person.complaints] == []


@pytest.fixture
async def sam(enter: Enter) -> Person:
    return await enter()


@pytest.fixture
async def demo(world: World, api: Api) -> AsyncIterator[World]:
    """The world with the demo agent in it, which answers in its webhook's own answer. Its window
    is long enough for a countdown to be seen."""
    path = f"/sms-agents/{world.smsagent['smsAgentId']}"
    app = demo_agent.build_app(world.smsagent["signingSecret"])
    async with served(app) as url:
        await world.tenant.call("PATCH", path, {"webhookUrl": f"{url}/", "batchWindowMs": 4000, "maxWaitMs": 8000})
        yield world
