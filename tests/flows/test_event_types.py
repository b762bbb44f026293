"""Each kind of event is told with its ids, as the description says."""

from jsonschema_rs import Draft202012Validator

from app.resources import Resources
from tests.flows.test_events import all_of, feed, settle
from tests.flows.test_statement_counts import names_of
from tests.makers import Data, phone
from tests.security.walk import DOCUMENT
from tests.world import World

FAIL_SQL = """
UPDATE provider_accounts SET paused_at = clock_timestamp(), paused_reason = '20003: wrong' WHERE tenant_id = $1
"""
TELL_GONE_SQL = """
INSERT INTO tenant_events (tenant_id, type, name, interaction_id, data)
VALUES ($1, 'turn', 'turn.opened', 'int_gone', '{"turnId": "turn_gone"}')
"""


def require_described(event: Data) -> None:
    content = DOCUMENT["webhooks"][event["type"]]["post"]["requestBody"]["content"]["application/json"]
    schema = {**content["schema"], "components": DOCUMENT["components"]}
    faults = Draft202012Validator(schema, validate_formats=True).iter_errors(event)
    assert [f"{event['type']} {fault.instance_path}: {fault.message}" for fault in faults] == []


async def all_full(world: World, resources: Resources, query: str = "") -> list[Data]:
    await settle(resources)
    events = await all_of(world.tenant, f"&types=all{query}")
    for event in events:
        require_described(event)
    return events


def find(events: list[Data], event_type: str) -> list[Data]:
    return [event for event in events if event["type"] == event_type]


async def test_turns_outcomes_and_refusals_are_told(world: World, resources: Resources) -> None:
    sent = await world.send("Hi Jane", agentMode=True)
    outcome = {"status": "qualified", "answers": [{"key": "bill", "answer": "80"}], "summary": "Wants a visit"}
    world.agent.answers = [(200, {"reply": "x" * 2000}), (200, {"reply": "Good", **outcome})]
    await world.text("Hello?")
    await world.told(1)
    await world.text("Anybody?")
    await world.turn_is(sent["interactionId"], "replied")
    events = await all_full(world, resources, "&include=text")
    [refused] = find(events, "turn.refused")
    assert (refused["data"]["code"], refused["data"]["by"]) == ("VALIDATION_ERROR", "inline")
    [recorded] = find(events, "outcome.recorded")
    assert (recorded["data"]["status"], recorded["data"]["answerKeys"]) == ("qualified", ["bill"])
    assert recorded["data"]["outcome"]["summary"] == "Wants a visit"
    agent = f"agent:{world.smsagent['smsAgentId']}"
    assert [event["actor"] for event in (recorded, *find(events, "turn.refused"))] == [agent, agent]
    [replied] = find(events, "turn.replied")
    assert replied["data"]["texts"] == ["Good"]
    assert find(events, "message.received")[0]["data"]["text"] == "Hello?"
    [status] = find(events, "interaction.status")
    assert (status["before"], status["data"]["status"]) == ({"status": "in_progress"}, "qualified")
    bare = await all_full(world, resources)
    assert "Wants a visit" not in str(bare)
    assert "Hello?" not in str(bare)


async def test_leads_brakes_and_accounts_are_told(world: World, resources: Resources) -> None:
    tenant = world.tenant
    unknown = phone()
    assert await world.carrier.text(unknown, world.ours, "Who is this?") == 200
    await tenant.lead(leadId="real", phone=unknown)
    number, agent = world.number["phoneNumberId"], world.smsagent["smsAgentId"]
    await tenant.call("POST", f"/phone-numbers/{number}/pause", {"reason": "filtered"})
    await tenant.call("POST", f"/phone-numbers/{number}/resume")
    await tenant.call("POST", f"/sms-agents/{agent}/pause", {})
    async with resources.database.system_tx() as tx:
        await tx.execute(FAIL_SQL, tenant.tenant_id)
    events = await all_full(world, resources)
    [merged] = find(events, "lead.merged")
    created = {event["data"]["leadId"]: event["data"]["isPlaceholder"] for event in find(events, "lead.created")}
    assert merged["data"]["leadId"] == "real"
    assert created[merged["data"]["mergedLeadId"]] is True
    assert created["real"] is False
    assert find(events, "number.paused")[0]["data"] == {"phoneNumberId": number, "reason": "filtered"}
    assert find(events, "number.resumed")
    assert find(events, "agent.paused")[0]["data"]["smsAgentId"] == agent
    assert find(events, "account.failing")[0]["data"]["reason"] == "20003: wrong"
    assert find(events, "interaction.lead")[0]["data"]["leadId"] == "real"


async def test_consent_and_what_needs_a_person_is_told(world: World, resources: Resources) -> None:
    sent = await world.send("Hi Jane", agentMode=True)
    thread = sent["interactionId"]
    await world.text("wrong number")
    await world.text("STOP")
    await world.text("START")
    await world.tenant.call("PATCH", f"/interactions/{thread}", {"status": "follow_up"})
    events = await all_full(world, resources)
    told = [event["type"] for event in events if event["interactionId"] == thread]
    assert told.index("message.received") < told.index("possible_optout") < told.index("optout") < told.index("optin")
    reasons = [event["data"]["reason"] for event in find(events, "interaction.needs_person")]
    assert reasons == ["possible_optout", "follow_up"]
    assert world.phone not in str(events)
    with_phones = await all_full(world, resources, "&include=phones")
    assert find(with_phones, "optout")[0]["data"]["phone"] == world.phone
    assert find(with_phones, "interaction.opened")[0]["data"]["leadPhone"] == world.phone


async def test_each_event_of_a_thread_names_what_the_thread_belongs_to(world: World, resources: Resources) -> None:
    tenant, campaign_id = world.tenant, world.campaign["campaignId"]
    await tenant.call("PATCH", f"/campaigns/{campaign_id}", {"clientId": "client-9"})
    world.agent.answers = [(200, {"reply": "x" * 2000}), (200, {"reply": "Good", "status": "qualified"})]
    sent = await world.send("Hi Jane", agentMode=True)
    await world.text("Hello?")
    await world.told(1)
    await world.text("Anybody?")
    turn = await world.turn_is(sent["interactionId"], "replied")
    await world.status_is(turn["reply"]["messageIds"][0], "delivered")
    await world.text("wrong number")
    await world.text("STOP")
    events = [event for event in await all_full(world, resources) if event["interactionId"]]
    ids = {
        "leadId": world.lead["leadId"], "campaignId": campaign_id, "clientId": "client-9",
        "phoneNumberId": world.number["phoneNumberId"],
    }  # fmt: skip
    for event in events:
        assert {name: event["data"][name] for name in ids} == ids, event["type"]
    assert {
        "message.received", "message.queued", "message.delivered", "interaction.opened", "interaction.status",
        "interaction.needs_person", "turn.opened", "turn.handed_over", "turn.refused", "turn.replied",
        "outcome.recorded", "possible_optout", "optout",
    } <= {event["type"] for event in events}  # fmt: skip
    await tenant.call("PATCH", f"/campaigns/{campaign_id}", {"clientId": "client-10"})
    later = [event for event in await all_full(world, resources) if event["interactionId"]][: len(events)]
    assert later == [event | {"data": event["data"] | {"clientId": "client-10"}} for event in events]


async def test_an_event_of_a_thread_that_is_gone_names_no_ids(idle_world: World, resources: Resources) -> None:
    tenant = idle_world.tenant
    async with resources.database.system_tx() as tx:
        await tx.execute(TELL_GONE_SQL, tenant.tenant_id)
    await settle(resources)
    [event] = await all_of(tenant, "&types=turn.opened")
    assert event["data"] == {
        "turnId": "turn_gone", "leadId": None, "campaignId": None, "clientId": None, "phoneNumberId": None,
    }  # fmt: skip


async def test_the_ids_of_a_page_of_events_take_one_statement(
    idle_world: World, resources: Resources, said: list[str]
) -> None:
    await idle_world.send("Hi Jane")
    await idle_world.text("Hello?")
    await settle(resources)
    said.clear()
    events = (await feed(idle_world.tenant, "types=all&wait=0"))["events"]
    assert len(events) > 2
    assert await names_of(said) == ["event_words.GET_THREADS_SQL"]


async def test_consent_without_a_thread_and_a_new_lead_name_what_is_known(world: World, resources: Resources) -> None:
    await world.tenant.call("POST", "/suppressions", {"phones": [phone()]})
    events = await all_full(world, resources)
    [optout] = find(events, "optout")
    names = ("leadId", "campaignId", "clientId", "phoneNumberId")
    assert [optout["data"][name] for name in names] == [None] * 4
    [created] = find(events, "lead.created")
    assert created["data"]["campaignId"] == world.campaign["campaignId"]
    assert created["data"]["clientId"] == world.campaign["clientId"]
