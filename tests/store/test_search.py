"""Searches pass by row-level security for their ids, and no further."""

from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from app.resources import Resources
from app.store import search
from app.store.thread_filters import ThreadFilter
from tests.makers import Tenant


@pytest.mark.parametrize(("asked", "in_messages"), [("jane", False), ("555", False), ("hello", True)])
async def test_a_search_finds_its_own_tenants_threads_only_and_leaves_the_guard_as_it_was(
    tenant: Tenant, other_tenant: Tenant, resources: Resources, asked: str, in_messages: bool
) -> None:
    sent = []
    for one in (tenant, other_tenant):
        account = await one.account("simulator")
        await one.number(providerAccountId=account["accountId"])
        lead = await one.lead(phone="+12125550199", leadId=f"555{one.tenant_id[-4:]}")
        sent.append(await one.call("POST", "/sms/send", {"leadId": lead["leadId"], "message": "Hello"}))
    narrowed = ThreadFilter(search=asked, in_messages=in_messages)
    async with resources.database.read_tx(tenant.tenant_id) as read:
        ids = await search.find_page(read, tenant.tenant_id, narrowed, None, 10)
        assert ids == [sent[0]["interactionId"]]
        assert await read.fetch_value("SELECT count(*) FROM interactions") == 1
        assert await read.fetch_value("SHOW plan_cache_mode") == "force_generic_plan"
    async with resources.database.system_tx() as tx:
        assert await search.find_page(tx, tenant.tenant_id, narrowed, None, 10) == ids
        assert await tx.fetch_value("SELECT count(*) FROM interactions") == 2


async def test_a_full_page_of_the_newest_is_in_the_lists_order(tenant: Tenant) -> None:
    account = await tenant.account("simulator")
    await tenant.number(providerAccountId=account["accountId"])
    threads = []
    for n in range(5):
        lead = await tenant.lead(firstName="Jane", lastName=f"No {n}", phone=f"+1212555010{n}")
        threads.append(
            (await tenant.call("POST", "/sms/send", {"leadId": lead["leadId"], "message": "Hi"}))
            ["interactionId"]
        )  # fmt: skip
    for query in ("search=jane", "search=hi&in=messages", "search=1212555"):
        found: list[str] = []
        cursor = ""
        while True:
            page = await tenant.call("GET", f"/interactions?limit=2&{query}{cursor}")
            found += [thread["interactionId"] for thread in page["interactions"]]
            if not page["hasMore"]:
                break
            cursor = f"&cursor={page['nextCursor']}"
        assert found == threads[::-1], query


THREADS = 12_500
"""More than are walked, and some of them with what more than a few have."""
NAME = """'Jane ' || CASE WHEN n > 10000 THEN 'Past' WHEN n % 40 = 0 THEN 'Often' ELSE 'Always' END
    || CASE WHEN n % 500 = 7 THEN ' Seldom' ELSE '' END
    || CASE WHEN n <= 500 AND n % 25 = 0 THEN ' Lately' ELSE '' END
    || CASE WHEN n > 10000 OR n <= 500 AND n % 25 = 0 THEN ' Again' ELSE '' END"""
EVERYBODY = range(1, THREADS + 1)
HAVING = {
    "jane": list(EVERYBODY),
    "always": [n for n in EVERYBODY if n <= 10_000 and n % 40],
    "often": [n for n in EVERYBODY if n <= 10_000 and n % 40 == 0],
    "seldom": [n for n in EVERYBODY if n % 500 == 7],
    "past": [n for n in EVERYBODY if n > 10_000],
    "lately": [n for n in EVERYBODY if n <= 500 and n % 25 == 0],
    "again": [n for n in EVERYBODY if n > 10_000 or (n <= 500 and n % 25 == 0)],
    "nobody": [],
}
"""Which threads have the word, newest first."""
FILL = (
    f"""INSERT INTO leads (tenant_id, lead_id, phone, first_name)
    SELECT $1, 'lead_' || n, '+1415' || lpad(n::text, 7, '0'), {NAME}
    FROM generate_series(1, $2) n""",
    """INSERT INTO interactions (tenant_id, interaction_id, our_number, lead_phone, lead_id,
        last_message_at)
    SELECT $1, 'int_' || n, '+12125550100', '+1415' || lpad(n::text, 7, '0'), 'lead_' || n,
           timestamptz '2026-01-01 00:00Z' - n * interval '1 second'
    FROM generate_series(1, $2) n""",
    f"""INSERT INTO messages (tenant_id, message_id, interaction_id, lead_id, seq, role, source,
        text, status)
    SELECT $1, 'msg_' || n, 'int_' || n, 'lead_' || n, 1, 'user', 'inbound',
           'Said by ' || {NAME}, 'received'
    FROM generate_series(1, $2) n""",
)
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
async def talkative(resources: Resources, tenant: Tenant) -> Tenant:
    owner = await asyncpg.connect(resources.settings.database_url)
    for statement in FILL:
        await owner.execute(statement, tenant.tenant_id, THREADS)
        await owner.execute("ANALYZE leads, interactions, messages")
    await owner.close()
    return tenant


@pytest.mark.parametrize("in_messages", [False, True], ids=["names", "texts"])
async def test_what_many_have_and_what_few_have_is_shown_newest_first_and_whole(
    resources: Resources, talkative: Tenant, in_messages: bool
) -> None:
    at_once = 50
    for word, wanted in HAVING.items():
        narrowed = ThreadFilter(search=word, in_messages=in_messages)
        # From the beginning, in the midst, and where the page is the last one.
        for seen in {0, len(wanted) // 2, max(0, len(wanted) - 20)}:
            last = wanted[seen - 1] if seen else 0
            before = (BEGAN - timedelta(seconds=last), f"int_{last}")
            async with resources.database.read_tx(talkative.tenant_id) as read:
                ids = await search.find_page(read, talkative.tenant_id, narrowed, before, at_once)
            assert ids == [f"int_{n}" for n in wanted[seen : seen + at_once]], word
