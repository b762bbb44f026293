"""A text that a person writes can be undone for some seconds, if the tenant wants that."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.makers import Data, Tenant
from tests.web.people import Browser
from tests.web.test_page import a_thread, ours

__all__ = ["ours"]


async def test_a_text_waits_so_long_and_is_undone_and_without_the_setting_it_leaves_at_once(
    sam: Browser, tenant: Tenant, ours: Data
) -> None:
    lead, sent = await a_thread(tenant)
    here = f"/conversations/{sent['interactionId']}"
    assert (await tenant.call("PATCH", "/settings", {"undoSeconds": 30}))["undoSeconds"] == 30
    await sam.submit(await sam.page(here), "/texts", message="A slip", **{"from": ""})
    thread = await tenant.call("GET", f"/interactions/{sent['interactionId']}")
    assert [text["message"] for text in thread["scheduled"]] == ["A slip"]
    page = await sam.page(here)
    assert ">Undo</button>" in page
    assert "Leaves in" in page
    assert (await sam.submit(page, "/cancel")).status_code == 303
    await sam.submit(
        await sam.page(f"/conversations/new?lead={lead['leadId']}"), "/texts", message="Another slip", action="send"
    )
    thread = await tenant.call("GET", f"/interactions/{sent['interactionId']}")
    assert [text["message"] for text in thread["scheduled"]] == ["Another slip"]
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M")
    await sam.submit(await sam.page(here), "/texts", message="Tomorrow", at=tomorrow, **{"from": ""})
    assert ">Cancel</button>" in await sam.page(here)
    assert (await tenant.call("PATCH", "/settings", {"undoSeconds": None}))["undoSeconds"] is None
    await sam.submit(await sam.page(here), "/texts", message="At once", **{"from": ""})
    thread = await tenant.call("GET", f"/interactions/{sent['interactionId']}")
    assert [text["message"] for text in thread["transcript"]][-1] == "At once"


async def test_what_programs_send_does_not_wait(sam: Browser, tenant: Tenant, ours: Data) -> None:
    await tenant.call("PATCH", "/settings", {"undoSeconds": 30})
    _, sent = await a_thread(tenant)
    assert sent["status"] == "queued"


@pytest.mark.parametrize("seconds", [0, -1, 61, 1.5, "5"])
async def test_a_time_to_undo_is_one_to_sixty_seconds(tenant: Tenant, seconds: Any) -> None:
    refused = await tenant.ask("PATCH", "/settings", {"undoSeconds": seconds})
    assert refused.status_code == 400
    assert "undoSeconds" in refused.text
