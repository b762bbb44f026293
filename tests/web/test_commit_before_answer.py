"""Whoever gets a 2xx can rely on it: the commit came before the answer left."""

import asyncpg

from tests.makers import Tenant, phone

TIMES = 20


async def test_the_row_is_visible_to_others_when_the_answer_arrives(tenant: Tenant, database_url: str) -> None:
    elsewhere = await asyncpg.connect(database_url)
    try:
        await elsewhere.execute("SET ROLE app_system")
        for _ in range(TIMES):
            lead = await tenant.lead(phone=phone())
            found = await elsewhere.fetchval("SELECT first_name FROM leads WHERE lead_id = $1", lead["leadId"])
            assert found == "Jane"
    finally:
        await elsewhere.close()


async def test_nothing_is_kept_of_a_refused_request(tenant: Tenant, database_url: str) -> None:
    refused = await tenant.ask("POST", "/leads", {"leadId": "a", "campaignId": "unknown"})
    assert refused.status_code == 400
    assert (await tenant.ask("GET", "/leads/a")).status_code == 404
