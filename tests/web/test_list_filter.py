"""The filters of the list: several values at once, presets of dates, and what is told of them."""

import re
from datetime import UTC, datetime, timedelta
from html import unescape
from urllib.parse import quote

import pytest

from app.resources import Resources
from tests.makers import Data, Tenant
from tests.web.people import Browser
from tests.web.test_page import a_thread, names, ours

__all__ = ["ours"]


@pytest.fixture
async def three(tenant: Tenant, ours: Data) -> None:
    """A thread in each of three campaigns; Cid's is qualified."""
    for n, name in (("one", "Ann"), ("two", "Bob"), ("three", "Cid")):
        await tenant.campaign(
            campaignId=f"c_{n}", name=f"Campaign {n}", clientId=f"client_{n}", clientName=n.title(), offerId=f"o_{n}"
        )
        _, sent = await a_thread(tenant, firstName=name, lastName="X", campaignId=f"c_{n}")
        if name == "Cid":
            await tenant.call("PATCH", f"/interactions/{sent['interactionId']}", {"status": "qualified"})


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("campaign=c_one&campaign=c_two", ["Bob X", "Ann X"]),
        ("campaign=c_one,c_two", ["Bob X", "Ann X"]),
        ("campaign=c_one&campaign=", ["Ann X"]),
        ("campaign=,", ["Cid X", "Bob X", "Ann X"]),
        ("campaign=c_one&campaign=c_unknown", ["Ann X"]),
        ("client=client_one&client=client_three", ["Cid X", "Ann X"]),
        ("offer=o_two,o_three&status=qualified", ["Cid X"]),
        ("status=qualified&status=in_progress", ["Cid X", "Bob X", "Ann X"]),
        ("range=custom&start=0001-01-01&end=9999-12-31", ["Cid X", "Bob X", "Ann X"]),
        ("status=completed,qualified&campaign=c_one", []),
    ],
)
async def test_several_values_of_a_filter_are_alternatives(
    sam: Browser, three: None, query: str, expected: list[str]
) -> None:
    assert names(await sam.page(f"/conversations?{query}")) == expected


@pytest.mark.parametrize(("preset", "days"), [("7d", 7), ("14d", 14), ("30d", 30), ("90d", 90)])
async def test_a_preset_counts_days_in_the_persons_zone(
    sam: Browser, tenant: Tenant, ours: Data, resources: Resources, preset: str, days: int
) -> None:
    sam.http.cookies.set("zone", "UTC")
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    first_day = midnight - timedelta(days=days - 1)
    for name, at in (("In", first_day), ("Out", first_day - timedelta(seconds=1))):
        _, sent = await a_thread(tenant, firstName=name, lastName="X")
        async with resources.database.system_tx() as tx:
            await tx.execute(
                "UPDATE interactions SET last_message_at = $2 WHERE interaction_id = $1", sent["interactionId"], at
            )
    page = await sam.page(f"/conversations?range={preset}")
    assert names(page) == ["In X"]
    assert f'aria-label="Remove Date: Last {days} days"' in page


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/New_York", "UTC"])
async def test_a_day_at_the_end_of_the_calendar_shows_what_there_is(sam: Browser, three: None, zone: str) -> None:
    sam.http.cookies.set("zone", zone)
    for days in ("start=0001-01-01", "end=9999-12-31", "start=0001-01-01&end=9999-12-31", "start=0001-01-02"):
        assert names(await sam.page(f"/conversations?range=custom&{days}")) == ["Cid X", "Bob X", "Ann X"], days
    assert names(await sam.page("/conversations?range=custom&start=9999-12-30&end=9999-12-30")) == []


async def test_active_filters_are_told_and_each_is_taken_away_by_itself(sam: Browser, three: None) -> None:
    query = "search=x&campaign=c_one&campaign=c_two&status=in_progress&unread=1&range=custom&start=2026-01-05&limit=20"
    page = await sam.page(f"/conversations?{query}")
    chips = {
        unescape(words): unescape(link)
        for link, words in re.findall(r'href="([^"]*)" aria-label="Remove ([^"]*)"', page)
    }
    assert list(chips) == [
        "Search: x", "Campaign: Campaign one", "Campaign: Campaign two", "Status: In progress", "Date: from 5 Jan 2026",
        "Only: unread",
    ]  # fmt: skip
    without = chips["Campaign: Campaign one"]
    assert "campaign=c_two" in without
    assert "c_one" not in without
    assert "search=x" in without
    assert "start" not in chips["Date: from 5 Jan 2026"]
    assert '<option value="c_one,c_two" selected>2 campaigns</option>' in page
    assert 'aria-label="Another campaign"' in page
    assert "Remove" not in await sam.page("/conversations")


async def test_the_filters_stay_while_a_thread_is_read_and_a_text_is_sent(sam: Browser, three: None) -> None:
    page = await sam.page("/conversations?campaign=c_one&campaign=c_two")
    [link, _] = re.findall(r'href="(/conversations/int_[^"]*)"', page)
    opened = await sam.page(unescape(link))
    assert names(opened) == ["Bob X", "Ann X"]
    answer = await sam.submit(opened, "/texts", message="Hi", **{"from": ""})
    assert names(await sam.page(answer.headers["location"])) == ["Bob X", "Ann X"]


async def test_a_value_that_is_no_choice_any_more_is_told_as_it_is(sam: Browser, three: None) -> None:
    page = await sam.page("/conversations?client=" + quote('<gone> & "'))
    assert "Remove Client: &lt;gone&gt; &amp; &#34;" in page
    assert names(page) == []
