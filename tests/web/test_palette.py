"""What the palette can go to."""

from typing import Any

from app.resources import Resources
from tests.makers import Data, Tenant
from tests.web.people import Browser
from tests.web.test_page import a_thread, ours

__all__ = ["ours"]


async def find(person: Browser, search: str) -> list[tuple[str, str, str]]:
    answer = await person.http.get("/palette", params={"search": search})
    assert answer.status_code == 200
    goals: list[Any] = answer.json()["goals"]
    return [(goal["group"], goal["name"], goal["href"]) for goal in goals]


async def test_conversations_leads_and_settings_are_found_by_name(
    sam: Browser, tenant: Tenant, other_tenant: Tenant, ours: Data
) -> None:
    lead, sent = await a_thread(tenant, firstName="Ann", lastName="Keys")
    await other_tenant.lead(firstName="Ann", lastName="Keys")
    assert await find(sam, "keys ann") == [
        ("Conversation", "Ann Keys", f"/conversations/{sent['interactionId']}"),
        ("Lead", "Ann Keys", f"/leads/{lead['leadId']}"),
    ]
    assert ("Setting", "API keys", "/settings/keys") in await find(sam, "API keys")
    assert [name for _, name, _ in await find(sam, "")][:2] == ["Conversations", "Leads"]


async def test_who_is_no_admin_is_led_to_no_page_of_admins(
    sam: Browser, tenant: Tenant, ours: Data, resources: Resources
) -> None:
    async with resources.database.system_tx() as tx:
        await tx.execute("UPDATE users SET role = 'agent' WHERE tenant_id = $1", tenant.tenant_id)
    assert {href for _, _, href in await find(sam, "")} == {"/conversations", "/leads", "/account", "/notices"}


async def test_a_stranger_finds_nothing(stranger: Browser) -> None:
    assert (await stranger.get("/palette?search=ann")).status_code == 303
