"""The page shows what the agent will write by itself, and people call it off."""

from app.resources import Resources
from tests.flows.moved_time import wait_silently
from tests.flows.test_follow_ups import DAY, HOUR, following
from tests.web.people import Browser
from tests.world import World


async def test_a_person_sees_what_will_come_and_calls_it_off(
    sam: Browser, idle_world: World, resources: Resources
) -> None:
    world = idle_world
    thread = await following(world, resources, HOUR, DAY)
    here = f"/conversations/{thread}"
    page = await sam.page(here)
    assert "stays silent, the agent follows up ·" in page
    [before] = (await world.thread(thread))["plannedTurns"]
    assert (await sam.submit(page, "/planned", action="postpone")).status_code == 303
    [after] = (await world.thread(thread))["plannedTurns"]
    assert after["dueAt"][:10] > before["dueAt"][:10]
    assert (await sam.submit(await sam.page(here), "/planned", action="skip")).status_code == 303
    page = await sam.page(here)
    assert "the agent follows up once more" in page
    assert "sam@example.com skipped what the agent was to write by itself." in page
    assert (await sam.submit(page, "/planned", action="skip")).status_code == 303
    page = await sam.page(here)
    assert "/planned" not in page
    await wait_silently(world, resources, days=3)
    assert not world.agent.told
    record = await sam.page(f"{here}/turns/{after['turnId']}")
    assert "The lead was silent, step 2" in record


async def test_a_persons_steps_are_those_of_the_api(sam: Browser, idle_world: World) -> None:
    world = idle_world
    path = f"/settings/agents/{world.smsagent['smsAgentId']}"
    fields: dict[str, str | list[str]] = {
        "name": "Sunny",
        "webhookUrl": world.agent.url,
        "batchWindowMs": "7",
        "replyDelayMs": "0",
        "maxTurnsPerDay": "50",
        "staleReply": "rerun",
        "active": "1",
        "inboundEnabled": "1",
    }
    steps: dict[str, str | list[str]] = {
        "followUps.afterMinutes": ["60", "1440", ""],
        "followUps.onlyIf": ["no_reply", "", ""],
    }
    assert (await sam.submit(await sam.page(path), path, **fields, **steps)).status_code == 303
    expected = [{"afterMinutes": 60, "onlyIf": ["no_reply"]}, {"afterMinutes": 1440, "onlyIf": []}]

    async def saved() -> object:
        return (await world.tenant.call("GET", f"/sms-agents/{world.smsagent['smsAgentId']}"))["followUps"]

    assert await saved() == expected
    page = await sam.page(path)
    assert 'value="1440"' in page
    assert (await sam.submit(page, path, **fields)).status_code == 303  # a form from before there were steps
    assert await saved() == expected
    wrong: dict[str, str | list[str]] = {"followUps.afterMinutes": ["soon"], "followUps.onlyIf": ["never"]}
    assert (await sam.submit(page, path, **fields, **wrong)).status_code == 400
