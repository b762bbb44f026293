"""Figures: counted as it went they are the same as counted anew, and as counted row by row."""

from datetime import UTC, datetime, timedelta

from app.commands.figures import count_all
from app.resources import Resources
from tests.flows.figure_history import History, count_by_hand, id_at, list_figures
from tests.makers import Data, Tenant


async def test_counted_as_it_went_is_counted_anew_and_counted_by_hand(tenant: Tenant, resources: Resources) -> None:
    history = History(tenant, resources, 7)
    await history.furnish()
    for _ in range(8):
        await history.go_on(40)
        await count_all(resources.database, anew=False)
        assert await list_figures(resources, tenant) == await count_by_hand(resources, tenant)
    as_it_went = await list_figures(resources, tenant)
    assert len({hour for hour, *_ in as_it_went}) > 8
    assert {measure.partition(".")[0] for *_, measure in as_it_went} >= {
        "texts", "segments", "delivered", "failed", "unknown", "inbound", "opened", "texted", "replied", "qualified",
        "replySeconds", "status", "turns", "handOffs", "staleReplies", "answers", "timedTurns", "agentMs", "optOuts",
    }  # fmt: skip
    await history.run("UPDATE figures SET value = value + 1 WHERE tenant_id = $1")
    assert await count_all(resources.database, anew=True) > 8
    assert await list_figures(resources, tenant) == as_it_went


async def test_an_agent_that_is_removed_takes_its_turns_out_of_the_figures(
    tenant: Tenant, resources: Resources
) -> None:
    history = History(tenant, resources, 3)
    await history.furnish()
    for step in (history.open_turn, history.open_turn, history.store_text):
        await step()
    await history.run("UPDATE turns SET state = 'failed', closed_at = now() WHERE tenant_id = $1")
    await count_all(resources.database, anew=False)
    before = await list_figures(resources, tenant)
    assert before == await count_by_hand(resources, tenant)
    await history.run("DELETE FROM sms_agents WHERE tenant_id = $1")
    await count_all(resources.database, anew=False)
    after = await list_figures(resources, tenant)
    assert after == await count_by_hand(resources, tenant)
    assert any(measure == "turns" for *_, measure in before)
    assert not any(measure == "turns" for *_, measure in after)


SPAN = "from=2026-10-31T20:00:00Z&to=2026-11-02"


async def get_figures(tenant: Tenant, query: str) -> list[Data]:
    found: list[Data] = (await tenant.call("GET", f"/figures?{query}"))["figures"]
    return found


async def test_figures_are_read_in_groups_and_pages(tenant: Tenant, other_tenant: Tenant, resources: Resources) -> None:
    history = History(tenant, resources, 11)
    await history.furnish()
    await history.go_on(60)
    await history.run("UPDATE campaigns SET client_id = 'client-7' WHERE tenant_id = $1")
    await count_all(resources.database, anew=False)
    by_hand = await list_figures(resources, tenant)

    [whole] = await get_figures(tenant, SPAN)
    for measure, value in whole["counts"].items():
        assert value == sum(count for (*_, name), count in by_hand.items() if name == measure), measure
    assert whole["group"] == {}
    replied = whole["rates"]["replied"]
    assert 0 <= replied["low"] <= replied["value"] <= replied["high"] <= 1
    assert sum(whole["turnsByEnd"].values()) == whole["counts"]["turns"]
    assert sum(whole["threadsByStatus"].values()) == whole["counts"]["opened"]
    assert sum(whole["optOutsByRule"].values()) == whole["counts"]["optOuts"]

    for dimension in (
        "hour",
        "day",
        "month",
        "weekday",
        "hourOfDay",
        "campaign",
        "client",
        "number",
        "agent",
        "source",
        "experiment",
        "side",
    ):
        groups = await get_figures(tenant, f"{SPAN}&by={dimension}")
        assert sum(group["counts"]["texts"] for group in groups) == whole["counts"]["texts"], dimension
    page = await tenant.call("GET", f"/figures?{SPAN}&by=hour,campaign&limit=3")
    paged = page["figures"]
    while page["hasMore"]:
        page = await tenant.call("GET", f"/figures?{SPAN}&by=hour,campaign&limit=3&cursor={page['nextCursor']}")
        paged += page["figures"]
    assert len(paged) > 9
    assert paged == await get_figures(tenant, f"{SPAN}&by=campaign,hour&limit=100")

    csv_text = (await tenant.ask("GET", f"/figures?{SPAN}&by=campaign&format=csv")).text
    head, *lines = csv_text.splitlines()
    assert head.startswith("campaign,texts,segments,")
    assert len(lines) == len(await get_figures(tenant, f"{SPAN}&by=campaign"))

    [mine] = await get_figures(tenant, f"{SPAN}&by=client&campaignIds={history.campaigns[0]}&clientIds=client-7")
    assert mine["group"] == {"client": "client-7"}
    assert 0 < mine["counts"]["texts"] < whole["counts"]["texts"]
    assert await get_figures(tenant, f"{SPAN}&clientIds=nobody") == []
    assert await get_figures(other_tenant, f"{SPAN}&campaignIds={history.campaigns[0]}") == []
    assert await get_figures(other_tenant, f"{SPAN}&by=campaign,number,agent") == []


async def test_a_day_is_a_day_of_the_zone_when_the_clocks_go_back(tenant: Tenant, resources: Resources) -> None:
    history = History(tenant, resources, 5)
    await history.furnish()
    await history.run("DELETE FROM messages WHERE tenant_id = $1")
    for hour in range(48):  # from midnight in New York: the day has 25 hours
        moment = datetime(2026, 11, 1, 4, tzinfo=UTC) + timedelta(hours=hour)
        await history.run(
            "INSERT INTO messages (tenant_id, message_id, interaction_id, lead_id, role, source, text, status) "
            "VALUES ($1, $2, $3, $4, 'user', 'inbound', '', 'received')",
            id_at("msg", moment),
            history.threads[0][0],
            history.threads[0][1]["leadId"],
        )
    await count_all(resources.database, anew=False)
    days = await get_figures(tenant, "by=day&from=2026-11-01&to=2026-11-03&timezone=America/New_York")
    assert [(day["group"]["day"], day["counts"]["inbound"]) for day in days] == [("2026-11-01", 25), ("2026-11-02", 23)]


async def test_what_figures_cannot_say_is_refused(tenant: Tenant) -> None:
    for query in (
        "by=moon",
        "timezone=Mars",
        "from=x",
        "to=2026-13-01",
        "by=hour,day,month,agent,source",
        "cursor=W10x",
    ):
        assert (await tenant.ask("GET", f"/figures?{query}")).status_code == 400, query
    assert await get_figures(tenant, "to=0001-01-01") == []
    agent = await tenant.with_scope("agent", (await tenant.agent())["smsAgentId"])
    assert (await agent.ask("GET", "/figures")).status_code == 403
