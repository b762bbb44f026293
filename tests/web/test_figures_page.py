"""The Figures page: what it sums up, and where its figures lead."""

import re
from datetime import UTC, datetime, timedelta

from app.commands.figures import count_all
from app.resources import Resources
from tests.makers import Tenant
from tests.web.test_system import SignIn, figure, rows, sign_in
from tests.world import World

__all__ = ["sign_in"]


async def test_figures_are_shown_against_the_span_before_and_lead_to_conversations(
    idle_world: World, resources: Resources, sign_in: SignIn
) -> None:
    tenant, campaign = idle_world.tenant, idle_world.campaign["campaignId"]
    sent = await idle_world.send()
    async with resources.database.system_tx() as tx:
        await tx.execute("UPDATE messages SET status = 'delivered' WHERE message_id = $1", sent["messageId"])
    await idle_world.text("yes please")
    await tenant.call("PATCH", f"/interactions/{sent['interactionId']}", {"status": "qualified"})
    await count_all(resources.database, anew=False)
    async with resources.database.system_tx() as tx:  # ten days ago there were two texts
        await tx.execute(
            "INSERT INTO figures VALUES ($1, $2, $3, '', '', '', 'texts', 2)",
            tenant.tenant_id,
            datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=10),
            campaign,
        )
    page = (await (await sign_in(tenant)).http.get("/figures?span=week")).text
    assert figure(page, "Texts") == "1 -50.0 %"
    assert figure(page, "Replied") == "100.0 % nothing before"
    assert [row[:2] for row in rows(page, "From the first text on")] == [
        ["Texted", "1"],
        ["Replied", "1"],
        ["Qualified", "1"],
    ]
    [by_campaign] = rows(page, "By campaign")
    assert by_campaign[1:4] == ["1", "100.0 % 20.7 to 100.0 %", "1"]
    assert f"/conversations?campaign={campaign}" in page
    assert re.search(r'href="/conversations\?status=qualified">', page)

    browser = await sign_in(tenant, "member")
    assert (await browser.http.get("/figures")).status_code == 403


async def test_figures_are_exported_as_on_the_page(
    idle_world: World, resources: Resources, tenant: Tenant, sign_in: SignIn
) -> None:
    await idle_world.text("hello")
    await count_all(resources.database, anew=False)
    browser = await sign_in(idle_world.tenant)
    assert "Nothing was texted" in (await browser.http.get("/figures?campaign=none")).text
    head, line = (await browser.http.get("/figures/export?span=month")).text.splitlines()
    assert head.split(",")[:4] == ["day", "campaign", "agent", "texts"]
    assert dict(zip(head.split(","), line.split(","), strict=True))["inbound"] == "1"
