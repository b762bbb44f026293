"""The beginning of a page, which is sent while the rest is read."""

import asyncio
from types import SimpleNamespace

import asyncpg
import pytest
from fastapi import Request
from fastapi.responses import StreamingResponse

from app.domain.problems import NotFound, Unavailable
from app.resources import Resources
from app.store.engine import Tx
from app.web.page import render
from tests.makers import Data, Tenant
from tests.web.people import Browser
from tests.web.test_fragments import write_as_lead
from tests.web.test_page import a_thread, ours
from tests.world import until

__all__ = ["ours"]


@pytest.mark.parametrize("coding", ["gzip", "identity"])
async def test_the_beginning_of_a_page_does_not_wait_for_the_rest(
    sam: Browser, tenant: Tenant, ours: Data, resources: Resources, coding: str
) -> None:
    lead, sent = await a_thread(tenant, firstName="Ann", lastName="First")
    await write_as_lead(resources, tenant, ours, lead, "Hello?")
    request = sam.http.build_request(
        "GET", f"/conversations/{sent['interactionId']}", headers={"Accept-Encoding": coding}
    )
    async with resources.database.system_tx() as tx:
        # Nobody can mark the thread as read meanwhile.
        await tx.execute("SELECT 1 FROM interactions WHERE interaction_id = $1 FOR UPDATE", sent["interactionId"])
        answer = await sam.http.send(request, stream=True)
        parts = answer.aiter_text()
        beginning = await anext(parts)
    rest = "".join([part async for part in parts])
    assert answer.headers.get("content-encoding", "identity") == coding
    assert all(words in beginning for words in ("<title>Ann First", "page.css", "inbox.js", 'aria-label="Pages"'))
    assert "Transcript" not in beginning
    assert "Hello?" in rest
    assert "<body" not in rest
    assert rest.rstrip().endswith("</html>")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_thread_is_read_though_nobody_waits_for_the_rest(
    sam: Browser, tenant: Tenant, ours: Data, resources: Resources, method: str
) -> None:
    """A transaction that is cancelled takes its connection with it."""
    lead, sent = await a_thread(tenant)
    await write_as_lead(resources, tenant, ours, lead, "Hello?")
    id = sent["interactionId"]
    async with resources.database.system_tx() as tx:
        await tx.execute("SELECT 1 FROM interactions WHERE interaction_id = $1 FOR UPDATE", id)
        answer = await sam.http.send(sam.http.build_request(method, f"/conversations/{id}"), stream=True)
        await until(lambda: is_waiting(tx))
        await answer.aclose()
        await asyncio.sleep(0.05)

    async def is_read() -> bool:
        async with resources.database.system_tx() as tx:
            unread_count = await tx.fetch_value("SELECT unread_count FROM interactions WHERE interaction_id = $1", id)
            return bool(unread_count == 0)

    await until(is_read)


async def is_waiting(tx: Tx) -> bool:
    return bool(await tx.fetch_value("SELECT count(*) FROM pg_locks WHERE NOT granted"))


async def test_a_filter_that_is_refused_has_its_status(sam: Browser) -> None:
    """So such a page does not begin before all of it is read."""
    for query in ("cursor=WzEsMl0", "campaign=%00"):
        assert (await sam.get(f"/conversations?{query}")).status_code == 400, query


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (NotFound("There is no conversation at this address."), "There is no conversation at this address."),
        (asyncpg.DiskFullError(), Unavailable().message),
    ],
)
async def test_a_problem_takes_the_place_of_the_rest_of_a_page(error: Exception, words: str) -> None:
    request = Request(
        {"type": "http", "method": "GET", "path": "/conversations", "query_string": b"", "headers": []}
        | {"path_params": {}, "state": {"request_id": "req_1"}}
    )
    person = SimpleNamespace(email="sam@example.com", admin=False, unseen_notices=None)
    beginning = {"person": person, "csrf": "", "place": {}, "thread": None, "before": None, "cursor_of_events": "0-0"}

    async def build_rest() -> Data:
        raise error

    answer = render.page_in_parts(request, "conversations.html", beginning, build_rest)
    assert isinstance(answer, StreamingResponse)
    html = "".join([part.decode() async for part in answer.body_iterator if isinstance(part, bytes)])
    assert html.count("<html") == html.count("<body") == html.count("</html>") == 1
    assert f"<h1>{words}</h1>" in html.split('aria-label="Pages"')[1]
