"""Measures the page as a browser sees it; no test. Run it alone, on a quiet machine:
`.venv/bin/python -m pytest tests/browser/measure.py -q -s`. The figures stand in decision 39."""

import asyncio
import time
from collections.abc import AsyncIterator
from statistics import median
from typing import Any

import pytest
from playwright.async_api import Page

from app.resources import Resources
from tests.browser.conftest import Enter
from tests.browser.inbox import fill_inbox, fill_thread
from tests.browser.test_in_view import LARGE
from tests.makers import Tenant
from tests.service import Api
from tests.web.people import Browser, add_person, browser
from tests.world import World

VISITS, CLICKS, ARRIVALS, REQUESTS, BATCHES, EVENTS_PER_BATCH, AT_ONCE = 21, 40, 40, 100, 5, 400, 10
PAINTED = "performance.getEntriesByType('paint').map((entry) => entry.startTime).at(0)"
LARGEST = """() => new Promise((resolve) => {
    const observer = new PerformanceObserver((list) => resolve(list.getEntries().at(-1).startTime));
    observer.observe({ type: 'largest-contentful-paint', buffered: true });
})"""
"""The list and the thread are painted."""
CLICK = """(name) => new Promise((resolve) => {
    const links = [...document.querySelectorAll('#list nav li a')], start = performance.now();
    const link = links.find((row) => row.querySelector('.name').textContent === name);
    const painted = () => requestAnimationFrame(() => resolve(performance.now() - start));
    document.addEventListener('opened', painted, { once: true });
    link.click();
})"""
APPEAR = """(words) => new Promise((resolve) => {
    const texts = document.querySelector('.texts');
    new MutationObserver((_, observer) => {
        if (!texts.textContent.includes(words)) return;
        observer.disconnect();
        requestAnimationFrame(resolve);
    }).observe(texts, { childList: true, subtree: true });
})"""


def show(what: str, values: list[float], unit: str) -> None:
    ordered = sorted(values)
    print(f"\n{what}: median {median(ordered):.0f} {unit}, p95 {ordered[int(len(ordered) * 0.95) - 1]:.0f} {unit}")


@pytest.fixture
async def sam_by_http(resources: Resources, tenant: Tenant, api: Api) -> AsyncIterator[Browser]:
    person = browser(api.url)
    await add_person(resources, tenant.tenant_id, "http@example.com")
    await person.sign_in("http@example.com")
    yield person
    await person.http.aclose()


async def test_the_page_is_measured(enter: Enter, sam_by_http: Browser, world: World, resources: Resources) -> None:
    thread = (await world.send("Text 1"))["interactionId"]
    await fill_inbox(resources, world, 60)
    await fill_thread(resources, thread, 1000)
    paints, whole = [], []
    for n in range(VISITS):  # a browser without a cache each time
        visitor = await enter(f"visitor{n}@example.com", viewport=LARGE)
        await visitor.open(f"/conversations/{thread}")
        await visitor.page.wait_for_function(f"{PAINTED} > 0")  # it may come after all has been loaded
        paints.append(await visitor.page.evaluate(PAINTED))
        whole.append(await visitor.page.evaluate(LARGEST))
        await visitor.page.goto("about:blank")  # so that it ends its stream; the fixture looks at it in the end
    show("first paint of the page with a thread of 1,000 texts, cold", paints[1:], "ms")
    show("until the list and the thread are painted, cold", whole[1:], "ms")

    sam = await enter(viewport=LARGE)
    await sam.read(thread)
    sizes: list[float] = []

    async def weigh(request: Any) -> None:
        if request.headers.get("x-fragment") == "opened":
            sizes.append((await request.sizes())["responseBodySize"])

    sam.page.on("requestfinished", weigh)
    clicks = [await sam.page.evaluate(CLICK, f"Lead {1 + n % 40}") for n in range(CLICKS)]
    show("a click on a thread", clicks[2:], "ms")
    show("its bytes", sizes, "bytes")

    await sam.read(thread)
    await measure_arrivals(sam.page, world)
    await measure_memory(sam.page, world)

    here = f"/conversations/{thread}"
    text_id = (await world.thread(thread))["transcript"][-1]["messageId"]
    await measure_cost(
        sam_by_http, "an event that changes a text", f"/conversations/changes?opened={here[15:]}&texts={text_id}"
    )
    await measure_cost(sam_by_http, "an event that changes a row", "/conversations/changes?rows=int_lead_7")
    await measure_cost(sam_by_http, "a click on a thread", here, "opened")
    await measure_cost(sam_by_http, "the whole page", here)


async def measure_arrivals(page: Page, world: World) -> None:
    """From the carrier's webhook until the text stands in the open thread."""
    spans = []
    for n in range(ARRIVALS):
        appears = asyncio.ensure_future(page.evaluate(APPEAR, f"Arrival {n}."))
        await page.evaluate("1")  # by then the page watches
        start = time.perf_counter()
        await world.text(f"Arrival {n}.")
        await appears
        spans.append((time.perf_counter() - start) * 1000)
    show("an inbound text until it is painted", spans, "ms")


async def measure_memory(page: Page, world: World) -> None:
    session = await page.context.new_cdp_session(page)
    await page.evaluate("window.heard = 0; stream.addEventListener('message', (e) => { window.heard += 1; })")

    async def used() -> float:
        await session.send("HeapProfiler.collectGarbage")
        return float((await session.send("Runtime.getHeapUsage"))["usedSize"]) / 1e6

    heaps = [await used()]
    for batch in range(BATCHES):
        for first in range(0, EVENTS_PER_BATCH, AT_ONCE):
            phones = [f"+1415556{1 + (first + n) % 40:04d}" for n in range(AT_ONCE)]
            await asyncio.gather(*(world.carrier.text(phone, world.ours, f"Batch {batch}") for phone in phones))
        await page.wait_for_timeout(3000)
        heaps.append(await used())
    events, heard = BATCHES * EVENTS_PER_BATCH, await page.evaluate("heard")
    print(f"\nheap over {events} events in other threads, MB: {[round(heap, 2) for heap in heaps]}, {heard} told")


async def measure_cost(person: Browser, what: str, path: str, fragment: str = "") -> None:
    headers = {"Accept-Encoding": "gzip"} | ({"X-Fragment": fragment} if fragment else {})

    async def spend(address: str) -> float:
        start = time.process_time()
        for _ in range(REQUESTS):
            await person.http.get(address, headers=headers)
        return (time.process_time() - start) / REQUESTS * 1000

    await spend(path)
    cost = min([await spend(path) - await spend("/health/live") for _ in range(3)])
    size = int((await person.http.get(path, headers=headers)).num_bytes_downloaded)
    print(f"\n{what}: {size} bytes, {cost:.1f} ms of CPU")
