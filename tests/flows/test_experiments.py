"""A/B tests with two real webhooks: a lead stays on its side, and opt-outs on one side send all leads to the other."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from app.agents.payload import repeat_turn
from app.commands.experiments import look_at_next
from app.commands.figures import count_all
from app.demo.agent import is_genuine
from app.domain.experiments import choose_side
from app.resources import Resources
from app.store import page
from tests.flows.figure_history import count_now
from tests.makers import Data, Tenant
from tests.world import AgentDouble, World, served, until

ASKS_BACK = {"reply": "Do you own your home?"}


@pytest.fixture
async def other_agent() -> AsyncIterator[AgentDouble]:
    """Side B."""
    double = AgentDouble()
    async with served(Starlette(routes=[Route("/", double.hear, methods=["POST"])])) as url:
        double.url = f"{url}/"
        yield double


async def start(tenant: Tenant, agent_id: str, url: str, **more: Any) -> Data:
    body = {"smsAgentId": agent_id, "name": "Shorter", "webhookUrl": url, **more}
    return await tenant.call("POST", "/experiments", body)


async def add_leads(world: World, experiment_id: str, wanted: dict[str, int]) -> dict[str, list[Data]]:
    """So many leads of each side, each in agent mode."""
    leads: dict[str, list[Data]] = {"a": [], "b": []}
    number = 0
    while any(len(leads[side]) < count for side, count in wanted.items()):
        number += 1
        lead_id = f"crm-{number}"
        side = choose_side(experiment_id, lead_id, 0.5)
        if len(leads[side]) < wanted[side]:
            lead = await world.tenant.lead(leadId=lead_id, campaignId=world.campaign["campaignId"])
            sent = await world.tenant.call("POST", "/sms/send", {"leadId": lead_id, "message": "Hi", "agentMode": True})
            leads[side].append(lead | {"interactionId": sent["interactionId"]})
    return leads


async def write(world: World, leads: list[Data], text: str) -> None:
    statuses = await asyncio.gather(*[world.carrier.text(lead["phone"], world.ours, text) for lead in leads])
    assert set(statuses) == {200}


async def read(world: World, experiment_id: str) -> Data:
    return await world.tenant.call("GET", f"/experiments/{experiment_id}")


async def test_a_lead_stays_on_its_side_and_opt_outs_of_b_send_everybody_to_a(
    world: World, other_agent: AgentDouble, resources: Resources
) -> None:
    tenant, agent_id = world.tenant, world.smsagent["smsAgentId"]
    world.agent.answers = [(200, ASKS_BACK)] * 100
    other_agent.answers = [(200, ASKS_BACK)] * 100
    made = await start(tenant, agent_id, other_agent.url)
    experiment_id, secret_b = made["experimentId"], made["signingSecret"]
    assert (made["state"], made["share"], made["verdict"]) == ("running", 0.5, "Nothing is sure yet.")
    leads = await add_leads(world, experiment_id, {"a": 4, "b": 13})
    everybody = leads["a"] + leads["b"]
    both = {"a": world.agent, "b": other_agent}

    async def answered(times: int) -> bool:
        return all(len(world.carrier.received(lead["phone"])) > times for lead in everybody)

    for times, text in enumerate(("How does it work?", "I own it"), 1):
        await write(world, everybody, text)
        await until(partial(answered, times))
    for side, double in both.items():
        heard = Counter(told["lead"]["leadId"] for told in double.told)
        assert heard == Counter({lead["leadId"]: 2 for lead in leads[side]}), side
        assert all(told["turn"]["experiment"] == {"experimentId": experiment_id, "side": side} for told in double.told)
        secret = secret_b if side == "b" else world.smsagent["signingSecret"]
        assert all(is_genuine(secret, headers, body) for headers, body in double.requests), side

    async def counted() -> Data | None:
        shown = await read(world, experiment_id)
        return shown if sum(side["replied"] for side in shown["sides"]) == len(everybody) else None

    shown = await until(counted)
    assert [(side["leads"], side["replied"], side["optedOut"]) for side in shown["sides"]] == [(4, 4, 0), (13, 13, 0)]
    assert shown["sides"][0]["rates"]["replied"]["value"] == 1
    assert shown["comparison"]["optedOut"] == {"more": None, "low": None, "high": None}
    last = leads["b"].pop()
    await write(world, leads["b"], "STOP")

    async def stopped() -> Data | None:
        shown = await read(world, experiment_id)
        return shown if shown["state"] == "stopped" else None

    ended = await until(stopped)
    counts = [(side["leads"], side["replied"], side["optedOut"]) for side in ended["sides"]]
    assert (ended["keptSide"], counts[0], counts[1][:2]) == ("a", (4, 4, 0), (13, 13))
    assert 9 <= counts[1][2] <= 12
    assert ended["reason"] == f"More leads of B opted out: {counts[1][2]} of 13, and 0 of 4 of A."
    world.agent.answers, other_agent.answers = [(200, ASKS_BACK)], []
    before = len(other_agent.told), len(world.agent.told)
    await write(world, [last], "Are you there?")
    turn = await world.turn_is(last["interactionId"], "replied")
    assert (len(other_agent.told), len(world.agent.told)) == (before[0], before[1] + 1)
    assert "experiment" not in world.agent.told[-1]["turn"]
    assert turn["experiment"] is None
    turns = (await tenant.call("GET", "/turns?limit=100"))["turns"]
    sides = Counter(turn["experiment"] and turn["experiment"]["side"] for turn in turns)
    assert sides == {"a": 8, "b": 26, None: 1}

    feed = (await tenant.call("GET", "/events?types=turn.handed_over,turn.replied,experiment.stopped&limit=100"))[
        "events"
    ]
    [told] = [event for event in feed if event["type"] == "experiment.stopped"]
    assert told["data"] == {
        "experimentId": experiment_id, "smsAgentId": agent_id, "keptSide": "a", "reason": ended["reason"],
    }  # fmt: skip
    assert Counter(event["data"].get("side") for event in feed if event["type"] == "turn.replied") == sides
    newest = (await tenant.call("GET", f"/audit?subject=experiment&subjectId={experiment_id}"))["audit"]
    assert [(entry["action"], entry["actor"][:4], entry["subjectName"]) for entry in newest] == [
        ("changed", "serv", "Shorter"), ("added", "key:", "Shorter"),
    ]  # fmt: skip
    assert {change["field"] for change in newest[0]["changes"]} == {"keptSide", "reason", "stoppedAt"}
    assert secret_b not in str(newest)

    await count_all(resources.database, anew=False)
    figures = (await tenant.call("GET", "/figures?by=experiment,side"))["figures"]
    turns_by_side = {figure["group"]["side"]: figure["counts"]["turns"] for figure in figures}
    assert turns_by_side["b"] == 26
    assert {figure["group"]["experiment"] for figure in figures} == {None, experiment_id}

    again = await tenant.call("POST", f"/experiments/{experiment_id}/stop", {"keep": "a"})
    assert again["reason"] == ended["reason"], "leads go there already"
    await tenant.call("POST", f"/leads/{leads['b'][0]['leadId']}/erase")
    assert [side["leads"] for side in (await read(world, experiment_id))["sides"]] == [4, 13], "it has stopped"


async def test_a_person_stops_it_and_side_b_may_be_kept(
    world: World, other_agent: AgentDouble, other_tenant: Tenant, resources: Resources
) -> None:
    tenant, agent_id = world.tenant, world.smsagent["smsAgentId"]
    await tenant.call("PATCH", f"/sms-agents/{agent_id}", {"followUps": [{"afterMinutes": 60}]})
    for wrong in ({"share": 0.6}, {"share": 0}, {"webhookUrl": "ftp://x"}, {"smsAgentId": "smsagent_unknown"}):
        body = {"smsAgentId": agent_id, "name": "X", "webhookUrl": other_agent.url} | wrong
        assert (await tenant.ask("POST", "/experiments", body)).status_code == 400, wrong
    made = await start(tenant, agent_id, other_agent.url, share=0.01)
    path = f"/experiments/{made['experimentId']}"
    body = {"smsAgentId": agent_id, "name": "Another", "webhookUrl": other_agent.url}
    refused = await tenant.ask("POST", "/experiments", body)
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "ALREADY_EXISTS")
    for method, at in (("GET", path), ("POST", f"{path}/stop")):
        assert (await other_tenant.ask(method, at, {} if method == "POST" else None)).status_code == 404
    stopped = await tenant.call("POST", f"{path}/stop", {"keep": "b"})
    assert (stopped["state"], stopped["keptSide"], stopped["reason"]) == ("stopped", "b", "stopped by hand")
    rotated = await tenant.call("POST", f"{path}/rotate-secret")
    assert (await other_tenant.ask("POST", f"{path}/rotate-secret")).status_code == 404
    other_agent.answers = [(200, ASKS_BACK)]
    sent = await world.send("Hi Jane", agentMode=True)
    await world.text("How does it work?")
    turn = await world.turn_is(sent["interactionId"], "replied")
    assert turn["experiment"] == {"experimentId": made["experimentId"], "side": "b"}
    assert (len(other_agent.told), world.agent.told) == (1, [])
    changes = {"status": "qualified", "agentMode": False}
    await tenant.call("PATCH", f"/interactions/{sent['interactionId']}", changes)
    called_off = [turn for turn in await world.turns(sent["interactionId"]) if turn["trigger"] == "silence"]
    assert [turn["state"] for turn in called_off] == ["cancelled"]
    async with resources.database.tenant_tx(tenant.tenant_id) as tx:
        assert (await page.get_facts(tx, tenant.tenant_id, sent["interactionId"])).last_turn == turn["turnId"]
    await count_now(resources)
    figures = (await tenant.call("GET", "/figures?by=side"))["figures"]
    counted = {
        figure["group"]["side"]: (figure["counts"]["turns"], figure["counts"]["qualified"]) for figure in figures
    }
    assert counted == {None: (0, 0), "b": (1, 1)}
    [request] = other_agent.requests
    secrets = {made["signingSecret"], rotated["signingSecret"]}
    assert [is_genuine(secret, *request) for secret in secrets] == [True, True], "for a day both sign"
    [entry, *_] = (await tenant.call("GET", f"/audit?subject=experiment&subjectId={made['experimentId']}"))["audit"]
    assert entry["changes"] == [{"field": "secret", "from": "set", "to": "changed"}]
    assert not any(secret in str(entry) for secret in secrets)
    assert (await tenant.ask("POST", "/experiments", body)).status_code == 409, "B is in force"
    await tenant.call("POST", f"{path}/stop", {"keep": "a"})
    told = (await tenant.call("GET", "/events?types=experiment.stopped"))["events"]
    assert [event["data"]["keptSide"] for event in told] == ["b", "a"]
    again = await start(tenant, agent_id, other_agent.url, share=0.3)
    assert (await tenant.ask("POST", f"{path}/stop", {"keep": "b"})).status_code == 409
    listed = (await tenant.call("GET", "/experiments"))["experiments"]
    assert [one["experimentId"] for one in listed] == [again["experimentId"], made["experimentId"]]
    assert "signingSecret" not in listed[0]
    assert (await other_tenant.call("GET", "/experiments"))["experiments"] == []


async def test_a_count_that_takes_long_holds_up_no_stop_by_hand_and_no_other_test(
    idle_world: World, other_agent: AgentDouble, resources: Resources
) -> None:
    tenant, database = idle_world.tenant, resources.database
    agents = [idle_world.smsagent, await tenant.agent()]
    first, second = [await start(tenant, agent["smsAgentId"], other_agent.url) for agent in agents]

    async def are_taken(count: int) -> bool:
        async with database.system_tx() as tx:
            taken = await tx.fetch_value("SELECT count(*) FROM experiments WHERE due_at > clock_timestamp()")
        return bool(taken == count)

    async with asyncio.TaskGroup() as group, database.system_tx() as tx:
        await tx.execute("LOCK TABLE status_changes")
        looks = [group.create_task(look_at_next(database))]
        await until(partial(are_taken, 1))
        async with asyncio.timeout(5):
            await tenant.call("POST", f"/experiments/{first['experimentId']}/stop", {"keep": "b"})
        looks.append(group.create_task(look_at_next(database)))
        await until(partial(are_taken, 2))
    assert [look.result() for look in looks] == [True, True]
    assert not await look_at_next(database), "they are not due again yet"
    stopped, running = [await read(idle_world, experiment["experimentId"]) for experiment in (first, second)]
    assert (stopped["keptSide"], stopped["reason"], running["state"]) == ("b", "stopped by hand", "running")


def test_a_turn_that_is_repeated_after_the_end_says_nothing_of_the_test() -> None:
    now = datetime.now(UTC)
    first = b'{"turn": {"turnId": "turn_1", "attempt": 1, "experiment": {"experimentId": "x", "side": "b"}}}'
    assert b'"experiment":{"experimentId":"x","side":"a"}' in repeat_turn(
        first, 2, now, now, {"experimentId": "x", "side": "a"}
    )
    assert b"experiment" not in repeat_turn(first, 2, now, now)
