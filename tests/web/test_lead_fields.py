"""Tags and custom fields of leads: what is taken, how it is changed, and who sees it."""

from typing import Any

import asyncpg
import pytest

from app.resources import Resources
from app.store import lead_lists
from app.store.lead_lists import LeadFilter
from tests.makers import Tenant, phone
from tests.web.test_directory import placeholder
from tests.world import World


async def test_tags_are_trimmed_and_kept_once_in_their_order(tenant: Tenant) -> None:
    lead = await tenant.call("POST", "/leads", {"tags": [" West ", "solar", "West", "Größe 5", "👩‍🌾"]})
    assert lead["tags"] == ["West", "solar", "Größe 5", "👩‍🌾"]
    path = f"/leads/{lead['leadId']}"
    assert (await tenant.call("PATCH", path, {"firstName": "Jane"}))["tags"] == lead["tags"]
    assert (await tenant.call("PATCH", path, {"tags": ["new"]}))["tags"] == ["new"]
    assert (await tenant.call("PUT", path, {"firstName": "Jane"}))["tags"] == []


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"tags": ["good", ""]}, "tags[1]: "),
        ({"tags": ["  "]}, "tags[0]: "),
        ({"tags": ["x" * 41]}, "tags[0]: "),
        ({"tags": ["\u200b"]}, "tags[0]: must consist of visible characters"),
        ({"tags": ["two\nlines"]}, "tags[0]: must consist of visible characters"),
        ({"tags": ["a,b"]}, "tags[0]: "),
        ({"tags": ["a;b"]}, "tags[0]: "),
        ({"tags": [f"tag {i}" for i in range(21)]}, "tags: "),
        ({"tags": "west"}, "tags: "),
        ({"tags": None}, "tags: must not be null"),
        ({"customFields": {"1st": "x"}}, "customFields.1st: must be a letter"),
        ({"customFields": {"": "x"}}, "customFields.: must be a letter"),
        ({"customFields": {"k" * 41: "x"}}, f"customFields.{'k' * 41}: must be a letter"),
        ({"customFields": {"plan\n": "x"}}, "customFields.plan?: must be a letter"),
        ({"customFields": {"a": "x" * 501}}, "customFields.a: must be a text of at most 500 characters"),
        ({"customFields": {"a": ["x"]}}, "customFields.a: must be a text"),
        ({"customFields": {"a": {"b": 1}}}, "customFields.a: must be a text"),
        ({"customFields": {"a": 2**53}}, "customFields.a: must be a text"),
        ({"customFields": {"a": -1e300}}, "customFields.a: must be a text"),
        ({"customFields": {"a": "\x00"}}, "customFields.a: must not contain the NUL character"),
        ({"customFields": {f"key{i}": i for i in range(21)}}, "customFields: "),
        ({"customFields": None}, "customFields: must not be null"),
        ({"customFields": []}, "customFields: "),
    ],
)
async def test_tags_and_custom_fields_are_refused_by_their_place(
    tenant: Tenant, fields: dict[str, Any], place: str
) -> None:
    lead = await tenant.lead()
    for method, path in (("POST", "/leads"), ("PATCH", f"/leads/{lead['leadId']}"), ("PUT", "/leads/own")):
        answer = await tenant.ask(method, path, fields)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "VALIDATION_ERROR")
        assert any(detail.startswith(place) for detail in answer.json()["error"]["details"]), answer.text


async def test_a_change_merges_custom_fields_and_a_put_replaces_them(tenant: Tenant) -> None:
    given = {"plan": "gold", "bill": 120.5, "rooms": 4, "owner": False, "gone": None}
    lead = await tenant.call("POST", "/leads", {"customFields": given})
    kept = {"plan": "gold", "bill": 120.5, "rooms": 4, "owner": False}
    assert lead["customFields"] == kept
    assert [type(lead["customFields"][key]) for key in kept] == [str, float, int, bool]
    path = f"/leads/{lead['leadId']}"
    changed = await tenant.call("PATCH", path, {"customFields": {"plan": None, "rooms": 5, "none": None}})
    assert changed["customFields"] == {"bill": 120.5, "rooms": 5, "owner": False}
    assert (await tenant.call("PATCH", path, {"status": "won"}))["customFields"] == changed["customFields"]
    assert (await tenant.call("PUT", path, {"customFields": {"a": "b"}}))["customFields"] == {"a": "b"}
    assert (await tenant.call("GET", path))["customFields"] == {"a": "b"}


async def test_merging_never_gives_a_lead_more_than_twenty_custom_fields(tenant: Tenant) -> None:
    lead = await tenant.lead(customFields={f"key{i}": i for i in range(20)})
    path = f"/leads/{lead['leadId']}"
    answer = await tenant.ask("PATCH", path, {"customFields": {"more": 1}})
    assert answer.json()["error"]["details"] == ["customFields: the lead would have more than 20"]
    changed = await tenant.call("PATCH", path, {"customFields": {"more": 1, "key0": None}})
    assert len(changed["customFields"]) == 20


async def test_leads_are_found_by_all_their_tags_and_custom_fields(tenant: Tenant) -> None:
    gold = await tenant.lead(tags=["a", "b"], customFields={"plan": "gold", "bill": 120, "owner": True, "code": "042"})
    iron = await tenant.lead(tags=["b", "A"], customFields={"plan": "iron", "bill": "120", "note": "a:b, c"})
    await tenant.lead()

    async def find(*query: tuple[str, str]) -> list[str]:
        page = await tenant.call("GET", "/leads", params=list(query))
        return sorted(lead["leadId"] for lead in page["leads"])

    both = sorted([gold["leadId"], iron["leadId"]])
    assert await find(("tags", "b")) == both
    assert await find(("tags", "a,b")) == await find(("tags", "a"), ("tags", "b")) == [gold["leadId"]]
    assert await find(("tags", "c")) == []
    assert await find(("customField", "bill:120")) == await find(("customField", "bill:120"), ("tags", "b")) == both
    assert await find(("customField", "owner:true")) == [gold["leadId"]]
    assert await find(("customField", "code:042")) == [gold["leadId"]]
    assert await find(("customField", "note:a:b, c")) == [iron["leadId"]]
    assert await find(("customField", "bill:120"), ("customField", "plan:iron")) == [iron["leadId"]]
    assert await find(("customField", "owner:false")) == []


@pytest.mark.parametrize("given", ["plan", "1st:x", ":x", "two words:x", "plan\n:x"])
async def test_a_filter_that_is_no_key_and_value_is_refused_by_name(tenant: Tenant, given: str) -> None:
    answer = await tenant.ask("GET", "/leads", params={"customField": given})
    assert answer.status_code == 400
    assert answer.json()["error"]["details"] == ["customField: must be key:value, such as plan:gold"]


async def test_agents_are_told_tags_and_custom_fields(world: World) -> None:
    fields = {"tags": ["solar", "west"], "customFields": {"plan": "gold", "bill": 120.5, "owner": True}}
    await world.tenant.call("PATCH", f"/leads/{world.lead['leadId']}", fields)
    await world.send(agentMode=True)
    await world.text("Hello?")
    payload = await world.told(1)
    assert {name: payload["lead"][name] for name in fields} == fields
    exported = await world.tenant.call("GET", f"/leads/{world.lead['leadId']}/export")
    assert {name: exported["lead"][name] for name in fields} == fields


async def test_what_a_placeholder_had_is_the_real_leads(tenant: Tenant, resources: Resources) -> None:
    number = phone()
    stand_in = await placeholder(resources, tenant, number)
    given = {"tags": ["b", "c"], "customFields": {"plan": "iron", "rooms": 4}}
    assert (await tenant.call("PATCH", f"/leads/{stand_in}", given))["isPlaceholder"] is True
    real = await tenant.lead(phone=number, tags=["a", "b"], customFields={"plan": "gold"})
    assert (real["tags"], real["customFields"]) == (["a", "b", "c"], {"plan": "gold", "rooms": 4})


FILL_SQL = """
INSERT INTO leads (tenant_id, lead_id, tags, custom_fields)
SELECT $1, 'lead_' || n, CASE WHEN n = 7 THEN '{rare}'::text[] WHEN n % 2 = 0 THEN '{even}' ELSE '{}' END,
       CASE WHEN n = 8 THEN '{"rare": "yes"}'::jsonb ELSE '{}' END
FROM generate_series(1, 4000) n
"""


SCANS_SQL = "SELECT pg_stat_get_xact_numscans('ix_leads_tags'::regclass)"


async def test_a_rare_tag_or_custom_field_is_found_by_its_index(tenant: Tenant, resources: Resources) -> None:
    async with resources.database.system_tx() as tx:
        await tx.execute(FILL_SQL, tenant.tenant_id)
    owner = await asyncpg.connect(resources.settings.database_url)
    await owner.execute("VACUUM ANALYZE leads")
    await owner.close()
    async with resources.database.read_tx(tenant.tenant_id) as read:
        for filters in (LeadFilter(tags=["rare"]), LeadFilter(custom_fields=[[{"rare": "yes"}]])):
            rows = await lead_lists.list_page(read, tenant.tenant_id, filters, None, 50)
            assert [row.lead_id for row in rows] == [f"lead_{7 if filters.tags else 8}"]
        assert await read.fetch_value(SCANS_SQL) == 2


UPDATED_SQL = """
SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_xact_user_tables WHERE relname = 'leads'
"""


async def test_a_change_of_other_fields_does_not_touch_the_index(tenant: Tenant, resources: Resources) -> None:
    lead = await tenant.lead(tags=["west"], customFields={"plan": "gold"})
    async with resources.database.system_tx() as tx:
        await tx.execute(
            "UPDATE leads SET status = 'won', updated_at = clock_timestamp() WHERE tenant_id = $1 AND lead_id = $2",
            tenant.tenant_id,
            lead["leadId"],
        )
        row = await tx.fetch_row(UPDATED_SQL)
    assert row is not None
    assert (row["n_tup_upd"], row["n_tup_hot_upd"]) == (1, 1)
