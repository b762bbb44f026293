"""Searches pass by row-level security for their ids, and no further."""

import pytest

from app.resources import Resources
from app.store import search
from app.store.search import Filter
from tests.makers import Tenant


@pytest.mark.parametrize(
    ("asked", "in_messages"), [("jane", False), ("555", False), ("hello", True)]
)
async def test_a_search_finds_its_own_tenants_threads_only_and_leaves_the_guard_as_it_was(
    tenant: Tenant, other_tenant: Tenant, resources: Resources, asked: str, in_messages: bool
) -> None:
    sent = []
    for one in (tenant, other_tenant):
        account = await one.account("simulator")
        await one.number(providerAccountId=account["accountId"])
        lead = await one.lead(phone="+12125550199", leadId=f"555{one.tenant_id[-4:]}")
        sent.append(
            await one.call("POST", "/sms/send", {"leadId": lead["leadId"], "message": "Hello"})
        )
    narrowed = Filter(search=asked, in_messages=in_messages)
    async with resources.database.reading(tenant.tenant_id) as read:
        ids = await search.page(read, tenant.tenant_id, narrowed, None, 10)
        assert ids == [sent[0]["interactionId"]]
        assert await read.value("SELECT count(*) FROM interactions") == 1
        assert await read.value("SHOW plan_cache_mode") == "force_generic_plan"
    async with resources.database.system() as tx:
        assert await search.page(tx, tenant.tenant_id, narrowed, None, 10) == ids
        assert await tx.value("SELECT count(*) FROM interactions") == 2


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
