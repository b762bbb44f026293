"""The statements of the way out read by keys, however much is owed."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from app.domain import quiet
from app.domain.words import STATUS_RANK
from app.jobs.deliver import RATES
from app.resources import Resources
from app.store import access, counting, hour_counts, leaving, notices, outbox, text_settling, views
from app.store.agent_of import agent_of_sql
from app.store.engine import Tx, as_columns
from app.store.leads import mark_active_sql
from app.store.rows import columns_of
from app.store.text_settling import Settlement
from tests.makers import Data, Tenant
from tests.web.people import add_person

OWED, CLAIMED = 800, 200
PAGES_EACH = 100
"""For one text. All that is owed would be thousands, and so would each text beside each other."""
LEADS = """
INSERT INTO leads (tenant_id, lead_id, phone)
SELECT $1, 'lead_' || n, '+1415555' || lpad(n::text, 4, '0') FROM generate_series(1, $2) n
"""

MANY_AGENTS = """
WITH agents AS (
    INSERT INTO sms_agents (tenant_id, sms_agent_id, name, webhook_url, secret)
    SELECT $1, 'agent_' || n, 'A', 'https://agent.test', '\\x00' FROM generate_series(1, $2) n
)
INSERT INTO campaigns (tenant_id, campaign_id, name, sms_agent_id)
SELECT $1, 'camp_' || n, 'C', 'agent_' || n FROM generate_series(1, $2) n
"""
AGENT_OF_EACH = f"""
SELECT c.campaign_id, agent.sms_agent_id FROM campaigns c
CROSS JOIN LATERAL ({agent_of_sql("c.tenant_id", "c.campaign_id", "false", "'+12125550100'")}) agent
WHERE c.tenant_id = $1
"""

ALL = "asked AS (SELECT $1::text AS tenant_id, 'lead_' || n AS lead_id FROM generate_series(1, $2) n)"


async def owe(tenant: Tenant) -> None:
    orders = [{"leadId": f"lead_{n}", "message": "Hi"} for n in range(1, OWED + 1)]
    sent = await tenant.call("POST", "/sms/send/bulk", {"messages": orders})
    assert sent["accepted"] == OWED


@pytest.fixture
async def owing(resources: Resources, tenant: Tenant) -> Tenant:
    """Many texts are owed by one number that may send them all at once; and the planner takes
    the outbox for empty: it was, when it was last looked at."""
    account = await tenant.account()
    await tenant.number(providerAccountId=account["accountId"], messagesPerSecond=1000)
    async with resources.database.system_tx() as tx:
        await tx.execute(LEADS, tenant.tenant_id, OWED)
    await owe(tenant)
    async with resources.database.system_tx() as tx:
        await tx.execute("DELETE FROM outbox")
    owner = await asyncpg.connect(resources.settings.database_url)
    await owner.execute("VACUUM (ANALYZE, TRUNCATE false) outbox")
    await owner.execute("ANALYZE leads")
    await owner.execute("ANALYZE messages")
    await owner.close()
    await owe(tenant)
    return tenant


async def explained(tx: Tx, sql: str, *args: Any) -> list[Data]:
    """The nodes of the plan, with what each did; it was done."""
    told = await tx.fetch_value(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}", *args)
    return list(nodes(told[0]["Plan"]))


def nodes(plan: Data) -> Iterator[Data]:
    yield plan
    for below in plan.get("Plans", []):
        yield from nodes(below)


def reads_by_keys(plan: list[Data], texts: int) -> bool:
    compared = sum(n.get("Rows Removed by Join Filter", 0) * n["Actual Loops"] for n in plan)
    pages = plan[0]["Shared Hit Blocks"] + plan[0]["Shared Read Blocks"]
    return bool(compared <= texts and pages <= texts * PAGES_EACH)


async def test_what_a_claim_and_its_settlement_read_does_not_grow_with_what_is_owed(
    resources: Resources, owing: Tenant
) -> None:
    more = (
        outbox.TEXT_LEASE,
        outbox.UNKNOWN_BLOCK_TIME,
        outbox.PACING_LOOKAHEAD,
        RATES,
        outbox.CATCH_UP_WAIT,
    )
    async with resources.database.system_tx(plan_now=True) as tx:
        plan = await explained(tx, outbox.CLAIM_TEXTS_SQL, CLAIMED, "evt_1", *more)
        assert reads_by_keys(plan, CLAIMED)
    async with resources.database.system_tx(plan_now=True) as tx:
        rows = await tx.fetch_rows("SELECT * FROM outbox WHERE lease = 'evt_1'")
        assert len(rows) == CLAIMED
        keys = [(row["tenant_id"], row["message_id"], row["to_phone"]) for row in rows]
        times = (quiet.REPLY_GRACE, timedelta(0))
        assert reads_by_keys(
            await explained(tx, leaving.FIND_BLOCKED_SQL, *as_columns(keys, 3), "evt_1", *times), CLAIMED
        )
    settled = [
        Settlement(row["tenant_id"], row["message_id"], "sent", outcome="accepted",
                   provider_message_id=f"sim_{row['message_id']}")
        for row in rows
    ]  # fmt: skip
    async with resources.database.system_tx(plan_now=True) as tx:
        plan = await explained(tx, text_settling.SETTLE_TEXTS_SQL, "evt_1", STATUS_RANK, *columns_of(settled))
        assert reads_by_keys(plan, CLAIMED)


async def test_the_triggers_of_a_replanned_statement_keep_their_plans(resources: Resources, owing: Tenant) -> None:
    async with resources.database.system_tx() as tx:
        texts = await outbox.claim(tx, "evt_1", CLAIMED, RATES)
        assert await tx.fetch_value("SHOW plan_cache_mode") == "force_generic_plan"
    settled = [Settlement(*text.key, "sent") for text in texts]
    async with resources.database.system_tx() as tx:
        await text_settling.settle(tx, "evt_1", settled)
        assert await tx.fetch_value("SHOW plan_cache_mode") == "force_generic_plan"
        assert await tx.fetch_value("SELECT count(*) FROM outbox") == OWED - CLAIMED


async def test_whose_phone_is_shared_is_found_by_keys_though_the_planner_takes_leads_for_empty(
    resources: Resources, tenant: Tenant
) -> None:
    async with resources.database.system_tx() as tx:
        await tx.execute(LEADS, tenant.tenant_id, OWED)
    async with resources.database.system_tx() as tx:
        await tx.execute("DELETE FROM leads WHERE tenant_id = $1", tenant.tenant_id)
    owner = await asyncpg.connect(resources.settings.database_url)
    await owner.execute("VACUUM (ANALYZE, TRUNCATE false) leads")
    await owner.close()
    async with resources.database.system_tx() as tx:
        await tx.execute(LEADS, tenant.tenant_id, OWED)
        twins = "UPDATE leads SET phone = '+14155550001' WHERE tenant_id = $1 AND lead_id = 'lead_2'"
        await tx.execute(twins, tenant.tenant_id)
    async with resources.database.system_tx(plan_now=True) as tx:
        plan = await explained(tx, f"WITH {ALL} {mark_active_sql('asked')}", tenant.tenant_id, OWED)
        assert reads_by_keys(plan, OWED)
        active = "SELECT lead_id FROM leads WHERE tenant_id = $1 AND active_at >= now()"
        rows = await tx.fetch_rows(active, tenant.tenant_id)
    assert sorted(row["lead_id"] for row in rows) == ["lead_1", "lead_2"]


async def test_the_agent_of_a_thread_is_found_by_keys_among_many(resources: Resources, tenant: Tenant) -> None:
    async with resources.database.system_tx() as tx:
        await tx.execute(MANY_AGENTS, tenant.tenant_id, OWED)
    owner = await asyncpg.connect(resources.settings.database_url)
    await owner.execute("ANALYZE sms_agents")
    await owner.execute("ANALYZE campaigns")
    await owner.close()
    async with resources.database.system_tx(plan_now=True) as tx:
        plan = await explained(tx, AGENT_OF_EACH, tenant.tenant_id)
        filtered_rows = sum(n.get("Rows Removed by Filter", 0) * n["Actual Loops"] for n in plan)
        assert filtered_rows <= OWED
        assert reads_by_keys(plan, OWED)
        rows = await tx.fetch_rows(AGENT_OF_EACH, tenant.tenant_id)
    assert {row["campaign_id"][5:] for row in rows} == {row["sms_agent_id"][6:] for row in rows}
    assert len(rows) == OWED


MANY_EVENTS = """
INSERT INTO tenant_events (tenant_id, type, name, interaction_id, data)
SELECT $1, 'message', CASE WHEN n % 100 = 0 THEN 'interaction.needs_person' ELSE 'message.sent' END, 'int_' || n, '{}'
FROM generate_series(1, 40000) n
"""


async def test_a_look_for_notices_reads_few_events_however_many_others_came(
    resources: Resources, tenant: Tenant
) -> None:
    user_id = await add_person(resources, tenant.tenant_id, f"{tenant.tenant_id}@example.com")
    async with resources.database.system_tx() as tx:
        await notices.save_way(tx, tenant.tenant_id, user_id, "hook", ["account_failing"], b"sealed")
        await notices.save_way(tx, tenant.tenant_id, user_id, "page", ["needs_person"], None)
        await access.open_session(tx, tenant.tenant_id, user_id, b"digest of a plan", timedelta(days=1))
        await tx.execute(MANY_EVENTS, tenant.tenant_id)
    async with resources.database.system_tx(plan_now=True) as tx:
        claim = await explained(tx, notices.CLAIM_WAYS_SQL, ["hook"], 20, "lease", timedelta(seconds=60))
    async with resources.database.system_tx() as tx:
        session = await explained(
            tx, access.GET_SESSION_SQL, b"digest of a plan", timedelta(hours=12), timedelta(hours=1)
        )
    for plan in (claim, session):
        scans = [node for node in plan if node.get("Relation Name") == "tenant_events"]
        assert scans
        assert {node.get("Index Name") for node in scans} == {"ix_tenant_events_tellable"}
        assert plan[0]["Shared Hit Blocks"] + plan[0]["Shared Read Blocks"] < 2 * notices.MAX_COUNTED


READ_ALL_EVENTS = """
INSERT INTO figure_cursors (tenant_id, transaction, event_id)
SELECT tenant_id, transaction, event_id FROM tenant_events WHERE tenant_id = $1
ORDER BY tenant_events.transaction DESC, event_id DESC LIMIT 1
ON CONFLICT (tenant_id) DO UPDATE SET transaction = excluded.transaction, event_id = excluded.event_id
"""


async def test_a_look_for_news_to_count_reads_one_event_of_a_tenant_at_most(
    resources: Resources, tenant: Tenant
) -> None:
    async with resources.database.system_tx() as tx:
        await tx.execute(MANY_EVENTS, tenant.tenant_id)
    async with resources.database.system_tx(plan_now=True) as tx:
        await tx.execute(READ_ALL_EVENTS, tenant.tenant_id)
        await tx.execute("SET LOCAL enable_nestloop = off")  # a planner that takes the table for empty
        plan = await explained(tx, counting.LOCK_CURSORS_SQL, counting.TENANTS_PER_LOOK)
    scans = [node for node in plan if node.get("Relation Name") == "tenant_events"]
    assert scans
    assert all(node["Actual Rows"] <= 1 and not node.get("Rows Removed by Filter") for node in scans)


COUNTED_HOURS = """
INSERT INTO figure_hours (tenant_id, hour, counted_at, summed_at)
SELECT $1, '2020-01-01Z'::timestamptz + n * interval '1 hour', now(), now() FROM generate_series(1, 20000) n
"""


async def test_a_look_for_hours_that_are_due_reads_none_of_those_that_are_counted(
    resources: Resources, tenant: Tenant
) -> None:
    async with resources.database.system_tx() as tx:
        await tx.execute(COUNTED_HOURS, tenant.tenant_id)
    owner = await asyncpg.connect(resources.settings.database_url)
    await owner.execute("ANALYZE figure_hours")
    await owner.close()
    async with resources.database.system_tx(plan_now=True) as tx:
        args = timedelta(0), None, hour_counts.HOURS_AT_ONCE, hour_counts.TIME_AT_ONCE
        claim = await explained(tx, hour_counts.CLAIM_HOURS_SQL, *args)
    assert "ix_figure_hours_waiting" in {node.get("Index Name") for node in claim}
    assert claim[0]["Shared Hit Blocks"] + claim[0]["Shared Read Blocks"] < 100


MANY_THREADS = """
INSERT INTO interactions (tenant_id, interaction_id, our_number, lead_phone, lead_id, last_direction, last_inbound_at,
                          waiting_since, snoozed_at, assigned_to, last_message_at)
SELECT l.tenant_id, 'int_' || l.lead_id, '+13055550100', l.phone, l.lead_id,
       CASE WHEN n <= 3 THEN 'inbound' ELSE 'outbound' END, now(), now(), CASE WHEN n IN (4, 5) THEN now() END,
       CASE WHEN n = 6 THEN $2 END, now()
FROM leads l, LATERAL (SELECT substr(l.lead_id, 6)::int AS n) x WHERE l.tenant_id = $1
"""


async def test_views_are_counted_from_small_indexes_however_many_threads_there_are(
    resources: Resources, tenant: Tenant
) -> None:
    user_id = await add_person(resources, tenant.tenant_id, f"{tenant.tenant_id}@example.com")
    async with resources.database.system_tx() as tx:
        await tx.execute(LEADS, tenant.tenant_id, 5000)
        await tx.execute(MANY_THREADS, tenant.tenant_id, user_id)
    owner = await asyncpg.connect(resources.settings.database_url)
    await owner.execute("ANALYZE interactions")
    await owner.close()
    async with resources.database.read_tx(tenant.tenant_id) as read:
        counts = await views.count(read, tenant.tenant_id, user_id)
    assert (counts.waiting, counts.snoozed, counts.mine, counts.all) == (3, 2, 1, views.MAX_COUNTED)
    async with resources.database.tenant_tx(tenant.tenant_id) as tx:
        plan = await explained(tx, views.COUNT_VIEWS_SQL, tenant.tenant_id, user_id)
    used = {node.get("Index Name") for node in plan}
    assert {"ix_interactions_waiting", "ix_interactions_snoozed", "ix_interactions_assigned"} <= used
    assert plan[0]["Shared Hit Blocks"] + plan[0]["Shared Read Blocks"] < 6 * views.MAX_IN_VIEW
