"""Lists of texts and turns over all threads, as backends read them."""

from datetime import UTC, datetime, timedelta

from tests.flows.test_agent_mode import talking
from tests.makers import Data, Tenant, phone
from tests.security.walk import DOCUMENT
from tests.web.test_directory import details
from tests.world import World


async def list_texts(tenant: Tenant, query: str = "") -> list[str]:
    """The words of all texts, in pages of one."""
    texts: list[Data] = []
    cursor = ""
    while True:
        page = await tenant.call("GET", f"/messages?limit=1&{query}{cursor}")
        texts += page["messages"]
        if not page["hasMore"]:
            return [text["message"] for text in texts]
        cursor = f"&cursor={page['nextCursor']}"


async def test_texts_of_all_threads_are_listed_newest_first(idle_world: World) -> None:
    tenant = idle_world.tenant
    other = await tenant.lead(phone=phone())
    await idle_world.send("One")
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    await idle_world.send("Two", leadId=other["leadId"], sendAt=tomorrow)
    await idle_world.text("Three")
    assert await list_texts(tenant) == ["Three", "Two", "One"]
    [third] = (await tenant.call("GET", "/messages?limit=1"))["messages"]
    assert {**third, "createdAt": "", "messageId": "", "interactionId": "", "providerMessageId": ""} == {
        "messageId": "", "interactionId": "", "leadId": idle_world.lead["leadId"], "seq": 2, "role": "user",
        "source": "inbound", "message": "Three", "media": [], "status": "received", "to": idle_world.ours,
        "from": idle_world.phone, "provider": "simulator", "providerMessageId": "", "encoding": third["encoding"],
        "segments": third["segments"], "errorCode": None, "errorMessage": None, "createdAt": "", "sendAt": None,
        "heldUntil": None, "heldReason": None, "heldRule": None, "purpose": None, "possibleOptOut": False,
        "optOut": None, "awaitsDecision": False,
    }  # fmt: skip


async def test_texts_are_filtered_by_status_source_number_lead_campaign_and_time(idle_world: World) -> None:
    tenant = idle_world.tenant
    await tenant.campaign(campaignId="elsewhere", clientId="c2", phoneNumberId=idle_world.number["phoneNumberId"])
    other = await tenant.lead(phone=phone(), campaignId="elsewhere")
    await idle_world.send("One")
    await idle_world.send("Two", leadId=other["leadId"])
    await idle_world.text("Three")
    second = (await tenant.call("GET", "/messages?source=api&limit=1"))["messages"][0]
    queries = {
        "status=queued": ["Two", "One"],
        "status=received,queued,received": ["Three", "Two", "One"],
        "source=inbound": ["Three"],
        f"leadId={other['leadId']}": ["Two"],
        f"phone={idle_world.phone.removeprefix('+1')}": ["Three", "One"],
        f"number={idle_world.ours.removeprefix('+1')}&status=received": ["Three"],
        "number=2125550000": [],
        "campaignIds=elsewhere": ["Two"],
        "clientIds=c2&status=received": [],
        f"startDate={second['createdAt']}": ["Three", "Two"],
        f"endDate={second['createdAt']}": ["One"],
    }
    assert {query: await list_texts(tenant, query) for query in queries} == queries


async def test_notes_are_no_texts(idle_world: World) -> None:
    await idle_world.send("One", agentMode=True)
    thread = await idle_world.only_thread()
    await idle_world.tenant.call("PATCH", f"/interactions/{thread['interactionId']}", {"agentMode": False})
    assert await list_texts(idle_world.tenant) == ["One"]


async def test_an_unknown_value_of_a_filter_is_refused_by_name(tenant: Tenant) -> None:
    for path, field in (
        ("/messages?status=note", "status"), ("/messages?source=robot", "source"), ("/messages?state=sent", "state"),
        ("/turns?state=sent", "state"), ("/turns?kind=dry", "kind"), ("/turns?startDate=soon", "startDate"),
        ("/messages?phone=abc", "phone"), ("/leads?phone=abc", "phone"),
    ):  # fmt: skip
        refused = await tenant.ask("GET", path)
        assert refused.status_code == 400
        assert details(refused)[0].startswith(f"{field}: "), path


EDGES = ("0001-01-01", "0001-01-01T00:00:00%2B05:00", "1969-12-31", "1970-01-01", "9999-12-31",
         "9999-12-31T23:59:59.999999-05:00")  # fmt: skip


async def test_a_filter_that_is_given_empty_does_not_select_everything(tenant: Tenant) -> None:
    """As a program writes it that joins a list without items. What a new route takes is asked, too."""
    no_filters = {"by", "after", "interactionId"}
    asked_names = set()
    for path, item in DOCUMENT["paths"].items():
        parameters = item.get("get", {}).get("parameters", []) if "{" not in path else []
        for name in [p["name"] for p in parameters if p["in"] == "query" and p["name"] not in no_filters]:
            asked_names.add(name)
            for value in ("", " ,\x1f"):
                answer = await tenant.ask("GET", path.removeprefix("/api/v1"), params={name: value})
                assert answer.status_code == 400, (path, name, value)
                assert details(answer)[0].startswith(name)
    assert asked_names >= {"campaignIds", "search", "agentId", "leadId", "tags", "types", "subject", "smsAgentIds"}


async def test_dates_at_the_ends_of_the_calendar_mean_always_or_never(idle_world: World) -> None:
    await idle_world.send("One")
    tenant = idle_world.tenant
    corpus = await tenant.call("POST", "/corpora", {"name": "Dates"})
    for day in EDGES:
        for path in ("/messages", "/turns", "/interactions", "/leads", "/audit"):
            for query in (f"startDate={day}", f"endDate={day}"):
                answer = await tenant.ask("GET", f"{path}?{query}")
                assert answer.status_code == 200, (path, query, answer.text)
        for name in ("startDate", "endDate"):
            body = {"filter": {name: day.replace("%2B", "+")}}
            assert await tenant.call("POST", f"/corpora/{corpus['corpusId']}/turns", body) == {"added": 0, "known": 0}
    assert await list_texts(tenant, "startDate=0001-01-01&endDate=9999-12-31") == ["One"]
    assert await list_texts(tenant, "endDate=0001-01-01") == []
    assert await list_texts(tenant, "startDate=9999-12-31") == []


async def test_turns_of_all_threads_are_listed_and_filtered(world: World) -> None:
    thread = await talking(world)
    world.agent.answers = [(200, {"reply": "Five stars"})]
    await world.text("How good?")
    await world.turn_is(thread, "replied")
    tenant, agent_id = world.tenant, world.smsagent["smsAgentId"]
    [turn] = (await tenant.call("GET", "/turns"))["turns"]
    whole = await tenant.call("GET", f"/turns/{turn['turnId']}")
    assert whole.pop("attempts")
    assert turn == whole
    queries = {
        "state=replied": 1, "state=failed,expired": 0, "kind=live": 1, "kind=shadow": 0, f"agentId={agent_id}": 1,
        "agentId=other": 0, f"leadId={world.lead['leadId']}": 1, "leadId=other": 0,
        f"campaignIds={world.campaign['campaignId']}": 1, f"startDate={turn['openedAt']}": 1,
        f"endDate={turn['openedAt']}": 0,
    }  # fmt: skip
    assert {query: len((await tenant.call("GET", f"/turns?{query}"))["turns"]) for query in queries} == queries


async def test_an_agents_key_lists_the_turns_of_its_agent_only(world: World) -> None:
    thread = await talking(world)
    world.agent.answers = [(200, {"reply": "Five stars"})]
    await world.text("How good?")
    await world.turn_is(thread, "replied")
    other = await world.tenant.agent()
    own_key = await world.tenant.with_scope("agent", world.smsagent["smsAgentId"])
    other_key = await world.tenant.with_scope("agent", other["smsAgentId"])
    assert len((await own_key.call("GET", "/turns"))["turns"]) == 1
    assert (await own_key.call("GET", f"/turns?agentId={other['smsAgentId']}"))["turns"] == []
    assert (await other_key.call("GET", "/turns"))["turns"] == []
    assert (await own_key.ask("GET", "/messages")).status_code == 403


async def test_leads_are_found_by_their_phone_in_any_form(tenant: Tenant) -> None:
    await tenant.lead(leadId="jane", phone="+12125551234")
    await tenant.lead(leadId="june", phone="+12125551234")
    await tenant.lead(leadId="other", phone="+12125551235")
    found = await tenant.call("GET", "/leads?phone=(212)%20555-1234")
    assert [lead["leadId"] for lead in found["leads"]] == ["june", "jane"]
