"""What has served its time goes, in steps; what is still owed stays."""

import tomllib
from collections import Counter
from datetime import timedelta

import pytest

from app.domain.law.rules import FILE
from app.resources import Resources
from app.store import sweeping
from tests.flows.test_agent_mode import talking
from tests.world import World

AGED = (
    "UPDATE attempts SET at = at - interval '10 years' WHERE tenant_id = $1",
    "UPDATE turn_attempts SET at = at - interval '10 years' WHERE tenant_id = $1",
    "UPDATE tenant_events SET at = at - interval '10 years' WHERE tenant_id = $1",
    "UPDATE idempotency SET created_at = created_at - interval '10 years' WHERE tenant_id = $1",
)
NINE_YEARS = dict.fromkeys(sweeping.RETENTION, timedelta(days=9 * 365))


async def aged(resources: Resources, world: World) -> None:
    async with resources.database.system_tx() as tx:
        for sql in AGED:
            await tx.execute(sql, world.tenant.tenant_id)


async def pruned(resources: Resources) -> tuple[Counter[str], Counter[str]]:
    """By table: rows removed, and steps taken. Nothing of other tests is as old."""
    rows: Counter[str] = Counter()
    steps: Counter[str] = Counter()
    async for table, removed in sweeping.prune(resources.database, NINE_YEARS):
        rows[table] += removed
        steps[table] += 1
    return rows, steps


async def test_old_requests_go_and_the_conversation_stays(world: World, resources: Resources) -> None:
    thread = await talking(world)
    world.agent.answers = [(200, {"reply": "Hello"})]
    await world.text("Hey")
    turn = await world.turn_is(thread, "replied")
    await world.status_is(turn["reply"]["messageIds"][0], "delivered")
    body = {"leadId": world.lead["leadId"], "message": "Once"}
    await world.tenant.call("POST", "/sms/send", body, headers={"Idempotency-Key": "one"})
    assert await pruned(resources) == (Counter(), Counter(dict.fromkeys(sweeping.RETENTION, 1)))

    await aged(resources, world)
    rows, _ = await pruned(resources)
    assert rows["turn_attempts"] == 1
    assert rows["idempotency"] == 1
    assert rows["attempts"] >= 2
    assert rows["tenant_events"] >= 5
    again = await world.tenant.call("GET", f"/turns/{turn['turnId']}")
    assert again == {**turn, "attempts": []}
    replay = await world.tenant.ask("POST", f"/turns/{turn['turnId']}/replay", {})
    assert replay.json()["error"]["details"] == ["turnId: was never handed over, or too long ago"]
    transcript = (await world.tenant.call("GET", f"/interactions/{thread}/messages"))["messages"]
    assert [one["message"] for one in transcript][1:3] == ["Hey", "Hello"]


async def test_a_turn_that_is_still_open_keeps_what_it_will_send_again(world: World, resources: Resources) -> None:
    thread = await talking(world)
    world.agent.answers = [(503, {})]
    await world.text("Hey")
    await world.told(1)
    await aged(resources, world)
    assert (await pruned(resources))[0]["turn_attempts"] == 1
    world.agent.answers = [(200, {"reply": "Back again"})]
    turn = await world.turn_is(thread, "replied")
    first, second = world.agent.told
    assert second["turn"]["attempt"] == 2
    assert second["message"] == first["message"]
    assert len(turn["attempts"]) == 1


async def test_much_goes_in_many_small_steps(
    world: World, resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping, "ROWS_PER_STEP", 2)
    for n in range(3):
        await world.send(f"Text {n}")
    await aged(resources, world)
    rows, steps = await pruned(resources)
    assert rows["tenant_events"] >= 3
    assert steps["tenant_events"] == rows["tenant_events"] // 2 + 1


LAW = tomllib.loads(FILE.read_text(encoding="utf-8"))["rules"]
LONGEST_RETENTION = timedelta(days=366 * max(rule["years"] for rule in LAW if rule["kind"] == "retention"))


async def test_an_opt_out_outlives_every_clean_up_an_erasure_and_a_new_lead(
    idle_world: World, resources: Resources
) -> None:
    world = idle_world
    await world.send("Hi")
    await world.text("STOP")
    async with resources.database.system_tx() as tx:
        for table, column in (("suppressions", "created_at"), ("consent_events", "at")):
            await tx.execute(
                f"UPDATE {table} SET {column} = {column} - $2::interval WHERE tenant_id = $1",
                world.tenant.tenant_id,
                LONGEST_RETENTION,
            )
    assert not {"suppressions", "consent_events"} & set(sweeping.RETENTION)
    await pruned(resources)
    await world.tenant.call("POST", f"/leads/{world.lead['leadId']}/erase")
    again = await world.tenant.lead(phone=world.phone, campaignId=world.campaign["campaignId"])
    refused = await world.tenant.ask("POST", "/sms/send", {"leadId": again["leadId"], "message": "Hi"})
    assert refused.json()["error"]["code"] == "DNC_BLOCKED"
    events = (await world.tenant.call("GET", f"/consent/{world.phone}"))["events"]
    assert [event["event"] for event in events] == ["opted_out", "erased"]
