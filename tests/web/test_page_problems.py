"""What goes wrong on a page is a page: a row that nothing of ours would write makes routes fail
that nobody foresaw."""

import json

import httpx
import pytest

from app.resources import Resources
from tests.makers import Data, Tenant
from tests.web.people import Browser, form
from tests.web.test_page import a_thread, ours

__all__ = ["ours"]


@pytest.fixture
async def broken(tenant: Tenant, ours: Data, resources: Resources) -> str:
    """A thread whose text holds a number where its attachments should stand."""
    _, sent = await a_thread(tenant)
    async with resources.database.system_tx() as tx:
        await tx.execute("UPDATE messages SET media = '7' WHERE tenant_id = $1", tenant.tenant_id)
        await tx.execute("UPDATE leads SET questionnaire = '7' WHERE tenant_id = $1", tenant.tenant_id)
    interaction_id: str = sent["interactionId"]
    return interaction_id


def is_a_page(answer: httpx.Response) -> None:
    assert answer.status_code == 500
    says_so(answer, answer.text)


def says_so(answer: httpx.Response, page: str) -> None:
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "<h1>Something went wrong on our side.</h1>" in page
    assert answer.headers["x-request-id"] in page
    assert 'href="/conversations"' in page
    assert 'rel="stylesheet"' in page
    assert "Traceback" not in page
    assert "TypeError" not in page


async def test_a_page_that_fails_is_a_page_that_says_so_with_the_requests_id(sam: Browser, broken: str) -> None:
    fetching = {"Accept": "*/*", "Sec-Fetch-Dest": "empty"}  # as the page's script does it
    answer = await sam.http.get(f"/conversations/{broken}?status=qualified", headers=fetching)
    is_a_page(answer)
    assert "Check before you try again" not in answer.text
    assert '<a href="">Try again</a>' in answer.text
    assert "Jane" in await sam.page("/conversations")  # and the others do not fail with it


async def read_parts(answer: httpx.Response, parts: list[str]) -> None:
    async for part in answer.aiter_text():
        parts.append(part)


async def test_a_page_that_fails_after_its_beginning_says_so_and_breaks_off(sam: Browser, broken: str) -> None:
    answer = await sam.http.send(sam.http.build_request("GET", f"/conversations/{broken}"), stream=True)
    parts: list[str] = []
    with pytest.raises(httpx.RemoteProtocolError):
        await read_parts(answer, parts)
    says_so(answer, "".join(parts))
    assert "".join(parts).count("<body") == 1
    metric = 'leadsail_http_request_seconds_count{method="GET",route="/conversations/{interaction_id}",status="500"}'
    assert metric in (await sam.get("/metrics")).text


async def test_a_form_that_fails_says_that_it_may_have_been_done(sam: Browser, tenant: Tenant, broken: str) -> None:
    _, hidden = form(await sam.page("/conversations"), "/sign-out")
    here = f"/conversations/{broken}"
    refused = await sam.post(f"{here}/texts", csrf=hidden["csrf"], once="x" * 12, message=" ")
    is_a_page(refused)
    assert "Check before you try again" in refused.text
    assert ">Try again</a>" not in refused.text
    assert f'<a href="{here}">Back to the conversation</a>' in refused.text


async def test_the_api_fails_in_its_envelope(tenant: Tenant, broken: str) -> None:
    answer = await tenant.ask("GET", f"/interactions/{broken}/export?format=csv")
    assert answer.status_code == 500
    assert json.loads(answer.content) == {
        "success": False,
        "error": {
            "code": "INTERNAL_ERROR",
            "message": "Something went wrong on our side.",
            "details": [],
        },
    }
