"""Figures: counted as it went they are the same as counted anew, and as counted row by row."""

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import asyncpg
import pytest

from app.commands.figures import count_all, count_figures
from app.domain.zones import list_zones
from app.operations.tenant_moves import Copied, Served, move_tenant
from app.resources import Resources
from app.store import tenant_rows
from app.store.counting import HOUR, MAX_WAIT, TenantHour, mark_due
from app.store.engine import Database, Tx
from app.store.hour_counts import count_due
from tests.flows.figure_history import (
    BEGIN,
    History,
    count_by_hand,
    count_now,
    id_at,
    list_figures,
    make_counted_history,
)
from tests.makers import Data, Tenant
from tests.test_cells import other
from tests.world import until

__all__ = ["other"]
MIDNIGHT = datetime(2026, 11, 1, tzinfo=UTC)


async def test_counted_as_it_went_is_counted_anew_and_counted_by_hand(tenant: Tenant, resources: Resources) -> None:
    history = History(tenant, resources, 7)
    await history.furnish()
    for _ in range(8):
        await history.go_on(40)
        await count_now(resources)
        assert await list_figures(resources, tenant) == await count_by_hand(resources, tenant)
    as_it_went = await list_figures(resources, tenant)
    assert len({hour for hour, *_ in as_it_went}) > 8
    assert {measure.partition(".")[0] for *_, measure in as_it_went} >= {
        "texts", "segments", "delivered", "failed", "unknown", "inbound", "opened", "texted", "replied", "qualified",
        "replySeconds", "status", "pricedTexts", "cost", "threadCost", "turns", "handOffs", "staleReplies", "answers",
        "timedTurns", "agentMs", "optOuts",
    }  # fmt: skip
    await history.run("UPDATE figures SET counts = '{\"texts\": 1}' WHERE tenant_id = $1")
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
    await count_now(resources)
    before = await list_figures(resources, tenant)
    assert before == await count_by_hand(resources, tenant)
    await history.run("DELETE FROM sms_agents WHERE tenant_id = $1")
    await count_now(resources)
    after = await list_figures(resources, tenant)
    assert after == await count_by_hand(resources, tenant)
    assert any(measure == "turns" for *_, measure in before)
    assert not any(measure == "turns" for *_, measure in after)


async def test_workers_that_count_hours_of_the_same_day_sum_it_up_one_after_the_other(
    tenant: Tenant, resources: Resources
) -> None:
    database = resources.database
    history = await make_counted_history(tenant, resources, 29, 40)
    await history.run("UPDATE figures SET counts = '{\"texts\": 1}' WHERE tenant_id = $1 AND hour < $2", MIDNIGHT)

    async def count_hour(tx: Tx, hour: datetime) -> int:
        await mark_due(tx, [TenantHour(tenant.tenant_id, hour)])
        return await count_due(tx, MAX_WAIT)

    async def count_next_hour() -> int:
        async with database.system_tx() as tx:
            return await count_hour(tx, BEGIN + HOUR)

    async def is_waiting() -> bool:
        async with database.system_tx() as tx:
            sql = "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)"
            return bool(await tx.fetch_value(sql))

    async with database.system_tx() as tx:
        assert await count_hour(tx, BEGIN) == 1
        counting = asyncio.create_task(count_next_hour())
        await until(is_waiting)
    assert await counting == 1
    assert await list_figures(resources, tenant) == await count_by_hand(resources, tenant)


COUNT_AS_BEFORE_SQL = """
UPDATE figure_hours SET due_at = NULL, counted_at = clock_timestamp() WHERE tenant_id = $1
"""


async def test_what_a_worker_of_the_version_before_counted_is_counted_again_with_its_days(
    tenant: Tenant, resources: Resources
) -> None:
    """In a deploy it counts on the new schema, and knows no sums of days."""
    history = await make_counted_history(tenant, resources, 31, 40)
    by_hand = await count_by_hand(resources, tenant)
    for spoil_sql in ("DELETE FROM figures", "UPDATE figures SET counts = '{\"texts\": 1}'"):
        await history.run(f"{spoil_sql} WHERE tenant_id = $1 AND level LIKE '%_day'")
        await history.run(COUNT_AS_BEFORE_SQL)
        while await count_figures(resources.database):
            pass
        assert await list_figures(resources, tenant) == by_hand


async def test_a_count_of_all_waits_for_what_a_worker_has_claimed_and_leaves_again(
    tenant: Tenant, resources: Resources
) -> None:
    history = await make_counted_history(tenant, resources, 37, 40)
    await history.run("UPDATE figures SET counts = '{\"texts\": 1}' WHERE tenant_id = $1 AND hour = $2", BEGIN)
    async with resources.database.system_tx() as tx:
        await mark_due(tx, [TenantHour(tenant.tenant_id, BEGIN)])
    async with resources.database.system_tx() as tx:
        await tx.execute(LOCK_HOURS_SQL, tenant.tenant_id)
        counting = asyncio.create_task(count_all(resources.database, anew=False))
        done, _ = await asyncio.wait([counting], timeout=0.5)
        assert not done
    assert await counting >= 1
    assert await list_figures(resources, tenant) == await count_by_hand(resources, tenant)


LOCK_HOURS_SQL = "SELECT FROM figure_hours WHERE tenant_id = $1 FOR UPDATE"
ADD_FIGURE_SQL = """
INSERT INTO figures (tenant_id, level, hour, campaign_id, our_number, sms_agent_id, source, counts)
VALUES ($1, 'tenant', now(), '', '', '', '', '{}')
"""


async def test_a_count_that_takes_long_does_not_hold_up_a_move_and_the_other_cell_has_exact_figures(
    tenant: Tenant, resources: Resources, other: Database
) -> None:
    history = await make_counted_history(tenant, resources, 13, 60)
    has_begun, is_served = asyncio.Event(), asyncio.Event()

    async def count_slowly() -> None:
        """As a worker counts: it has the hours, and needs the tenant's row when the move has locked that."""
        async with resources.database.system_tx() as tx:
            await tenant_rows.allow_long(tx)
            await tx.execute(LOCK_HOURS_SQL, tenant.tenant_id)
            has_begun.set()
            await is_served.wait()
            await tx.execute(ADD_FIGURE_SQL, tenant.tenant_id)

    async def go_on(step: Copied | Served) -> None:
        if isinstance(step, Copied):
            await history.go_on(40)
            counting.append(asyncio.create_task(count_slowly()))
            await has_begun.wait()
        else:
            is_served.set()

    counting: list[asyncio.Task[None]] = []
    try:
        deleted = await move_tenant(resources.database, other, resources.seal, tenant.tenant_id, go_on)
    finally:
        is_served.set()
    with pytest.raises(asyncpg.QueryCanceledError):
        await counting[0]
    there = replace(resources, database=other)
    assert await list_figures(there, tenant) != await count_by_hand(there, tenant)
    await count_now(there)
    assert await list_figures(there, tenant) == await count_by_hand(there, tenant)
    assert deleted["figures"] > 8


SPAN = "from=2026-10-31T20:00:00Z&to=2026-11-29"


async def get_figures(tenant: Tenant, query: str) -> list[Data]:
    found: list[Data] = (await tenant.call("GET", f"/figures?{query}"))["figures"]
    return found


async def test_figures_are_read_in_groups_and_pages(tenant: Tenant, other_tenant: Tenant, resources: Resources) -> None:
    history = History(tenant, resources, 11)
    await history.furnish()
    await history.go_on(60)
    await history.run("UPDATE campaigns SET client_id = 'client-7' WHERE tenant_id = $1")
    await count_now(resources)
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
    await count_now(resources)
    days = await get_figures(tenant, "by=day&from=2026-11-01&to=2026-11-03&timezone=America/New_York")
    assert [(day["group"]["day"], day["counts"]["inbound"]) for day in days] == [("2026-11-01", 25), ("2026-11-02", 23)]


async def test_days_are_those_of_the_tenants_zone_whatever_it_changes_to(tenant: Tenant, resources: Resources) -> None:
    await make_counted_history(tenant, resources, 13, 60)
    by_hand = await count_by_hand(resources, tenant)
    for name in ("UTC", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"):
        await tenant.call("PATCH", "/settings", {"timezone": name})
        wanted: Counter[str] = Counter()
        for (hour, *_, measure), value in by_hand.items():
            if measure == "texts":
                wanted[hour.astimezone(ZoneInfo(name)).date().isoformat()] += value
        days = await get_figures(tenant, "by=day&from=2026-10-30&to=2026-11-30&limit=100")
        told = {day["group"]["day"]: day["counts"]["texts"] for day in days if day["counts"]["texts"]}
        assert told == wanted, name
        assert days == await get_figures(tenant, f"by=day&from=2026-10-30&to=2026-11-30&limit=100&timezone={name}")
    for name in ("Mars/Base", "localtime"):
        refused = await tenant.ask("PATCH", "/settings", {"timezone": name})
        assert (refused.status_code, "timezone: must be an IANA time zone" in refused.text) == (400, True)
    async with resources.database.system_tx() as tx:
        known_zones = {row["name"] for row in await tx.fetch_rows("SELECT name FROM pg_timezone_names")}
    assert list_zones() <= known_zones


async def test_days_and_the_hours_beside_them_make_up_the_span(tenant: Tenant, resources: Resources) -> None:
    await make_counted_history(tenant, resources, 23, 120)
    by_hand = await count_by_hand(resources, tenant)
    dimensions = {"campaign": 1, "agent": 3, "source": 4}
    for start, end in (
        (BEGIN + HOUR, BEGIN + timedelta(days=26, hours=2)),
        (BEGIN - timedelta(minutes=30), BEGIN + timedelta(days=1, minutes=30)),
        (MIDNIGHT - timedelta(days=1), MIDNIGHT + timedelta(days=11)),
        (MIDNIGHT, MIDNIGHT + timedelta(days=30)),
        (BEGIN, MIDNIGHT),
        (MIDNIGHT, BEGIN),
    ):
        for by in ("campaign", "agent", "source", "campaign,agent", ""):
            wanted: Counter[tuple[str, ...]] = Counter()
            names = [name for name in dimensions if name in by]
            for key, value in by_hand.items():
                if start <= key[0] < end:
                    wanted[*[str(key[dimensions[name]]) for name in names], key[-1]] += value
            span = f"from={start:%Y-%m-%dT%H:%MZ}&to={end:%Y-%m-%dT%H:%MZ}"
            told = {
                (*[group["group"][name] or "" for name in names], measure): value
                for group in await get_figures(tenant, f"{span}&by={by}&limit=100")
                for measure, value in group["counts"].items()
                if value
            }
            assert told == {key: value for key, value in wanted.items() if "." not in key[-1]}, (start, end, by)


async def test_costs_are_told_by_currency_and_never_added(tenant: Tenant, resources: Resources) -> None:
    history = History(tenant, resources, 17)
    await history.furnish()
    await history.run("DELETE FROM messages WHERE tenant_id = $1")
    await history.run("UPDATE interactions SET status = 'qualified' WHERE tenant_id = $1")
    for seq, (role, price, currency) in enumerate(
        (("agent", "0.0079", "USD"), ("user", None, None), ("agent", "0.05", "EUR"), ("agent", "0.0158", "USD")), 1
    ):
        await history.run(
            "INSERT INTO messages (tenant_id, message_id, interaction_id, lead_id, seq, role, source, text, status, "
            "price, currency) VALUES ($1, $2, $3, $4, $5, $6, 'api', '', $7, $8::text::numeric, $9)",
            id_at("msg", BEGIN), history.threads[0][0], history.threads[0][1]["leadId"], seq, role,
            "sent" if role == "agent" else "received", price, currency,
        )  # fmt: skip
    await count_now(resources)
    [whole] = await get_figures(tenant, SPAN)
    costs = {"USD": 0.0237, "EUR": 0.05}
    assert whole["costs"] == {"texts": costs, "threads": costs, "perReply": costs, "perQualified": costs}
    assert (whole["counts"]["texts"], whole["counts"]["pricedTexts"]) == (3, 3)
    csv_text = (await tenant.ask("GET", f"/figures?{SPAN}&format=csv")).text
    assert csv_text.splitlines()[0].endswith(",costEUR,threadCostEUR,costUSD,threadCostUSD")
    assert csv_text.splitlines()[1].endswith(",0.05,0.05,0.0237,0.0237")
    await history.run("UPDATE messages SET price = NULL WHERE tenant_id = $1")
    await count_now(resources)
    [whole] = await get_figures(tenant, SPAN)
    assert whole["costs"] == {"texts": {}, "threads": {}, "perReply": {}, "perQualified": {}}


async def test_a_figure_leads_to_the_threads_behind_it(tenant: Tenant, resources: Resources) -> None:
    await make_counted_history(tenant, resources, 19, 90)
    span, opened = "from=2026-10-31T23:00Z&to=2026-11-20", "openedFrom=2026-10-31T23:00Z&openedTo=2026-11-20"
    for by, name in (("campaign", "campaignIds"), ("agent", "smsAgentIds")):
        counted = 0
        for group in await get_figures(tenant, f"{span}&by={by}"):
            if value := group["group"][by]:
                for measure in ("opened", "texted", "replied", "qualified"):
                    reached = "" if measure == "opened" else f"&reached={measure}"
                    path = f"/interactions?{opened}{reached}&{name}={value}&limit=100"
                    found = (await tenant.call("GET", path))["interactions"]
                    assert len(found) == group["counts"][measure], (by, measure)
                    counted += len(found)
        assert counted > 2, by


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
