"""The Figures page: what it sums up, and where its figures lead."""

import re
from datetime import UTC, datetime, timedelta
from html import unescape

import pytest

from app.resources import Resources
from app.web.page.key_figures import build_key_figures
from tests.flows.figure_history import count_now
from tests.makers import Tenant
from tests.web.test_system import SignIn, figure, rows, sign_in
from tests.world import World

__all__ = ["sign_in"]


@pytest.mark.parametrize(("seconds", "shown"), [(0, (0, "s")), (80, (40, "s")), (600, (5, "min")), (18000, (2.5, "h"))])
def test_the_time_to_a_reply_is_told_in_a_unit_of_its_size(seconds: int, shown: tuple[float, str]) -> None:
    figures = build_key_figures({"replied": 2, "replySeconds": seconds}, {}, {})
    assert [(one.value, one.unit) for one in figures if one.name == "First reply after"] == [shown]


async def test_figures_are_shown_against_the_span_before_and_lead_to_conversations(
    idle_world: World, resources: Resources, sign_in: SignIn
) -> None:
    tenant, campaign = idle_world.tenant, idle_world.campaign["campaignId"]
    sent = await idle_world.send(agentMode=True)
    async with resources.database.system_tx() as tx:
        await tx.execute(
            "UPDATE messages SET status = 'delivered', price = 0.31, currency = 'USD' WHERE message_id = $1",
            sent["messageId"],
        )
    await idle_world.text("yes please")
    await tenant.call("PATCH", f"/interactions/{sent['interactionId']}", {"status": "qualified"})
    async with resources.database.system_tx() as tx:
        await tx.execute("UPDATE turns SET sms_agent_id = $1", idle_world.smsagent["smsAgentId"])
    await count_now(resources)
    async with resources.database.system_tx() as tx:  # ten days ago there were two texts
        await tx.execute(
            "INSERT INTO figures (tenant_id, level, hour, campaign_id, our_number, sms_agent_id, source, counts) "
            """VALUES ($1, 'tenant_day', $2, '', '', '', '', '{"texts": 2}')""",
            tenant.tenant_id,
            datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=10),
        )
    browser = await sign_in(tenant)
    page = (await browser.http.get("/figures?span=week")).text
    assert figure(page, "Texts") == "1 -50.0 %"
    assert figure(page, "Replied") == "100.0 % nothing before"
    assert figure(page, "Cost per qualified lead") == "0.31 USD nothing before"
    assert "told the price of 1 of 1 texts" in page
    assert f"Best hour: {datetime.now(UTC):%H}:00. " in page or datetime.now(UTC).minute == 0
    assert [row[:2] for row in rows(page, "From the first text on")] == [
        ["Texted", "1"],
        ["Replied", "1"],
        ["Qualified", "1"],
    ]
    [by_campaign] = rows(page, "By campaign")
    assert by_campaign[1:4] == ["1", "100.0 % 20.7 to 100.0 %", "1"]
    assert by_campaign[-2] == "0.31 USD"
    links = [unescape(link) for link in re.findall(r'href="(/conversations\?[^"]*opened_from[^"]*)"', page)]
    assert len(links) == 8, "two key figures, three steps, a campaign, an agent, a status"
    for link in links:
        assert sent["interactionId"] in (await browser.http.get(link)).text, link
    assert any(f"campaign={campaign}" in link for link in links)
    assert any("status=qualified" in link for link in links)
    [of_agent] = {link for link in links if "agent=" in link}
    listed = (await browser.http.get(of_agent)).text
    assert f">{idle_world.smsagent['name']}<" in listed
    assert sent["interactionId"] not in (await browser.http.get(of_agent.replace("agent=", "agent=x"))).text
    [qualified] = {link for link in links if "reached=qualified" in link}
    await tenant.call("PATCH", f"/interactions/{sent['interactionId']}", {"status": "disqualified"})
    listed = (await browser.http.get(qualified)).text
    assert sent["interactionId"] not in listed
    assert "qualified after a reply" in listed

    member = await sign_in(tenant, "member")
    assert (await member.http.get("/figures")).status_code == 403


async def test_the_page_says_when_a_day_begins_later_than_at_midnight(idle_world: World, sign_in: SignIn) -> None:
    browser = await sign_in(idle_world.tenant)
    assert "Days are those of UTC (<a" in (await browser.http.get("/figures")).text
    await idle_world.tenant.call("PATCH", "/settings", {"timezone": "Asia/Kolkata"})
    page = (await browser.http.get("/figures")).text
    assert "Days are those of Asia/Kolkata (" in page
    assert "and begin at 00:30, because figures are kept by full hours of UTC" in page
    assert "No carrier told a price, so there is no cost." in page


async def test_figures_are_exported_as_on_the_page(
    idle_world: World, resources: Resources, tenant: Tenant, sign_in: SignIn
) -> None:
    await idle_world.text("hello")
    await count_now(resources)
    browser = await sign_in(idle_world.tenant)
    assert "Nothing was texted" in (await browser.http.get("/figures?campaign=none")).text
    head, line = (await browser.http.get("/figures/export?span=month")).text.splitlines()
    assert head.split(",")[:4] == ["day", "campaign", "agent", "texts"]
    assert dict(zip(head.split(","), line.split(","), strict=True))["inbound"] == "1"
