"""One tenant's key opens nothing of another's, on any route, by any way an id can be given."""

from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from app.resources import Resources
from tests.makers import Data, Tenant
from tests.security.walk import BY_NAME, DOCUMENT, OPERATIONS, PARAMETERS, Operation, nobodys
from tests.web.people import add_person
from tests.world import World, until

SECRET = "Zanzibar"
"""Stands in every text field of the first tenant's things."""
UPSERTS = {"putLead", "putCampaign"}
"""Callers choose these ids, so that two tenants may choose the same."""
FREE = {"clientId", "offerId", "clientIds", "offerIds"}
"""Names of the caller's own world, that refer to nothing here."""


@dataclass(frozen=True, slots=True)
class Owned:
    """A tenant with one of everything, and the id of each by its name in paths."""

    tenant: Tenant
    ids: dict[str, str]
    said: tuple[str, ...]
    """What nobody else may read."""
    person_id: str


@pytest.fixture
async def owned(world: World, resources: Resources) -> Owned:
    """The first tenant: also a thread, texts, a bulk send, and a turn with an attempt."""
    tenant = world.tenant
    lead = await tenant.call("PATCH", f"/leads/{world.lead['leadId']}", {"firstName": SECRET, "status": SECRET})
    for path, given in (
        (f"/campaigns/{world.campaign['campaignId']}", {"name": SECRET}),
        (f"/sms-agents/{world.smsagent['smsAgentId']}", {"name": SECRET}),
        (f"/phone-numbers/{world.number['phoneNumberId']}", {"label": SECRET}),
        (f"/provider-accounts/{world.account['accountId']}", {"name": SECRET}),
    ):
        await tenant.call("PATCH", path, given)
    sent = await world.send(f"Hi from {SECRET}", agentMode=True)
    await world.status_is(sent["messageId"], "delivered")
    many = {"messages": [{"leadId": lead["leadId"], "message": SECRET}]}
    bulk = await tenant.call("POST", "/sms/send/bulk", many)
    await world.text(f"{SECRET}?")
    told = await world.told(1)
    key = await tenant.call("POST", "/api-keys", {"name": SECRET, "scope": "read"})
    reply = await tenant.call("POST", "/canned-replies", {"title": SECRET, "text": SECRET})
    hook = {"url": "https://backend.example.com", "description": SECRET}
    endpoint = await tenant.call("POST", "/webhook-endpoints", hook)
    view = await tenant.call("POST", "/saved-views", {"name": SECRET, "filter": {"search": SECRET}})
    await tenant.call("POST", f"/interactions/{sent['interactionId']}/notes", {"text": SECRET})
    person = await add_person(resources, tenant.tenant_id, f"{SECRET}@example.com")
    corpus = await tenant.call("POST", "/corpora", {"name": SECRET, "description": SECRET})
    made = {"made": [{"name": SECRET, "says": [SECRET]}]}
    await tenant.call("POST", f"/corpora/{corpus['corpusId']}/turns", made)
    [kept] = (await tenant.call("GET", f"/corpora/{corpus['corpusId']}/turns"))["turns"]
    trial = await tenant.call(
        "POST", "/trials", {"corpusId": corpus["corpusId"], "smsAgentId": world.smsagent["smsAgentId"]}
    )
    experiment = await tenant.call(
        "POST",
        "/experiments",
        {"smsAgentId": world.smsagent["smsAgentId"], "name": SECRET, "webhookUrl": "https://b.example.com"},
    )
    ids = {
        "experimentId": experiment["experimentId"],
        "corpusId": corpus["corpusId"],
        "corpusTurnId": kept["corpusTurnId"],
        "trialId": trial["trialId"],
        "savedViewId": view["savedViewId"],
        "endpointId": endpoint["endpointId"],
        "cannedReplyId": reply["cannedReplyId"],
        "leadId": lead["leadId"],
        "campaignId": world.campaign["campaignId"],
        "interactionId": sent["interactionId"],
        "messageId": sent["messageId"],
        "bulkId": bulk["bulkId"],
        "turnId": told["turn"]["turnId"],
        "smsAgentId": world.smsagent["smsAgentId"],
        "phoneNumberId": world.number["phoneNumberId"],
        "accountId": world.account["accountId"],
        "keyId": key["keyId"],
        "phone": world.phone,
    }
    return Owned(tenant, ids, (SECRET, world.ours, *ids.values()), person)


@pytest.fixture
async def stranger(other_tenant: Tenant) -> Tenant:
    """Another tenant, with one of each that can be made by a single call."""
    await other_tenant.account()
    await other_tenant.number()
    await other_tenant.agent()
    await other_tenant.campaign()
    await other_tenant.call("POST", "/webhook-endpoints", {"url": "https://own.example.com"})
    await other_tenant.call("POST", "/canned-replies", {"title": "Own", "text": "Own"})
    await other_tenant.call("POST", "/corpora", {"name": "Own"})
    await other_tenant.call("POST", "/saved-views", {"name": "Own", "filter": {}})
    await other_tenant.lead(leadId="own")
    return other_tenant


def plain(answer: httpx.Response) -> tuple[int, bytes]:
    return answer.status_code, answer.content


MOVED_BY_THE_CLOCK = ["last_used_at", "free_at", "transaction", "event_id", "failures", "failing_since", "quiet_until"]
"""The last of them by a worker, which finds nobody at the endpoint's address."""


async def snapshot(resources: Resources, tenant_id: str) -> dict[str, Any]:
    """All rows of the tenant but those that work by the clock."""
    alive = {"leads", "campaigns", "canned_replies", "phone_numbers", "sms_agents", "api_keys",
             "suppressions", "consent_events", "tenants", "webhook_endpoints"}  # fmt: skip
    kept = {}
    async with resources.database.system_tx() as tx:
        for table in sorted(alive):
            rows = await tx.fetch_rows(
                f"SELECT to_jsonb(t) - $2::text[] AS row FROM {table} t WHERE tenant_id = $1 ORDER BY 1",
                tenant_id,
                MOVED_BY_THE_CLOCK,
            )
            kept[table] = [row["row"] for row in rows]
    return kept


async def test_no_id_in_a_path_opens_another_tenants_thing(
    owned: Owned, stranger: Tenant, resources: Resources
) -> None:
    assert owned.ids.keys() == PARAMETERS, "a new kind of id needs one of it here"
    before = await snapshot(resources, owned.tenant.tenant_id)
    asked = 0
    for operation in OPERATIONS:
        if not operation.needs or operation.name in UPSERTS or "phone" in operation.needs:
            continue
        foreign = await operation.ask(stranger, owned.ids)
        assert foreign.status_code == 404, (operation.name, foreign.text)
        assert plain(foreign) == plain(await operation.ask(stranger, nobodys())), operation.name
        asked += 1
    assert asked > 35
    assert await snapshot(resources, owned.tenant.tenant_id) == before


async def test_the_owner_gets_what_the_stranger_does_not(owned: Owned) -> None:
    """Or the test above would pass with a service that answers 404 to everything."""
    for operation in OPERATIONS:
        if operation.needs and operation.method == "get" and operation.name != "checkProviderWebhooks":
            answer = await operation.ask(owned.tenant, owned.ids)
            assert answer.status_code == 200, (operation.name, answer.text)


async def test_an_id_that_both_chose_is_two_things(owned: Owned, stranger: Tenant) -> None:
    for name, body in (("putLead", {"firstName": "Mine"}), ("putCampaign", {"name": "Mine"})):
        before = await BY_NAME[name.replace("put", "get")].ask(owned.tenant, owned.ids)
        made = await BY_NAME[name].ask(stranger, owned.ids, body)
        assert made.status_code == 201
        after = await BY_NAME[name.replace("put", "get")].ask(owned.tenant, owned.ids)
        assert before.content == after.content


async def test_a_phone_tells_a_stranger_nothing_of_another_tenants_consent(owned: Owned, stranger: Tenant) -> None:
    phone = owned.ids["phone"]
    await owned.tenant.call("POST", "/suppressions", {"phones": [phone], "reason": SECRET})
    seen = await stranger.call("GET", f"/consent/{phone}")
    assert (seen["suppressed"], seen["causes"], seen["events"]) == (False, [], [])
    await stranger.call("DELETE", f"/suppressions/{phone}")
    assert (await owned.tenant.call("GET", f"/consent/{phone}"))["suppressed"]


async def test_no_list_shows_another_tenants_things(owned: Owned, stranger: Tenant) -> None:
    counted_later = "listFigures"  # a worker counts first: its own test does, and asks as a stranger
    lists = [one for one in OPERATIONS if one.method == "get" and not one.needs and one.name != counted_later]
    assert len(lists) >= 9
    for operation in lists:
        mine = await operation.ask(owned.tenant, {})
        if operation.name == "countViews":  # numbers alone
            theirs = await operation.ask(stranger, {})
            assert (mine.json()["data"]["all"], theirs.json()["data"]["all"]) == (1, 0)
            continue
        assert any(word in mine.text for word in (SECRET, owned.tenant.tenant_id, *owned.said)), (
            f"{operation.name} shows its owner nothing: it proves nothing"
        )
        theirs = await operation.ask(stranger, {})
        assert theirs.status_code == 200
        shown = [word for word in (*owned.said, owned.tenant.tenant_id) if word in theirs.text]
        assert shown == [], operation.name


async def test_no_filter_reaches_into_another_tenant(owned: Owned, stranger: Tenant) -> None:
    for query in (
        {"search": SECRET}, {"search": SECRET, "in": "messages"},
        {"leadId": owned.ids["leadId"]}, {"campaignIds": owned.ids["campaignId"]},
    ):  # fmt: skip
        mine = await owned.tenant.call("GET", "/interactions", params=query)
        assert len(mine["interactions"]) == 1, query
        theirs = await stranger.call("GET", "/interactions", params=query)
        assert theirs["interactions"] == [], query
    assert (await owned.tenant.call("GET", f"/leads?search={SECRET}"))["leads"]
    assert (await stranger.call("GET", f"/leads?search={SECRET}"))["leads"] == []


async def test_a_cursor_of_another_tenants_list_reads_on_in_ones_own(owned: Owned, stranger: Tenant) -> None:
    await owned.tenant.lead(leadId="zzz")
    page = await owned.tenant.call("GET", "/leads?limit=1")
    answer = await stranger.ask("GET", "/leads", params={"cursor": page["nextCursor"]})
    assert [lead["leadId"] for lead in answer.json()["data"]["leads"]] == ["own"]


# Ids inside bodies.

BASES: dict[str, Data] = {
    "addLead": {},
    "putLead": {},
    "changeLead": {},
    "addCampaign": {"name": "C"},
    "putCampaign": {"name": "C"},
    "changeCampaign": {},
    "addPhoneNumber": {"phoneNumber": "+12125550171"},
    "changePhoneNumber": {},
    "addSmsAgent": {"name": "A", "webhookUrl": "https://agent.example.com"},
    "changeSmsAgent": {},
    "addApiKey": {"name": "K", "scope": "agent"},
    "sendText": {"leadId": "own", "message": "Hi"},
    "sendBulk": {"leadId": "own", "message": "Hi"},
    "markInteractionRead": {"throughSeq": 1},
    "markInteractionUnread": {},
    "changeInteractions": {"status": "qualified"},
    "addSavedView": {"name": "V", "filter": {}},
    "openTurn": {},
    "enrolLeads": {},
    "addCorpusTurns": {},
    "startTrial": {},
    "startExperiment": {"name": "E", "webhookUrl": "https://b.example.com"},
}
OWN = {("addLead", "leadId"), ("addCampaign", "campaignId")}
"""Ids that are given and name nothing yet."""
IN_PATHS = {
    "leadId": "leadId", "leadIds": "leadId", "campaignId": "campaignId", "interactionId": "interactionId",
    "turnId": "turnId", "phoneNumberId": "phoneNumberId", "smsAgentId": "smsAgentId",
    "testSmsAgentId": "smsAgentId", "providerAccountId": "accountId",
    "inboundCampaignIds": "campaignId", "interactionIds": "interactionId", "personId": "personId",
    "turnIds": "turnId", "corpusId": "corpusId",
}  # fmt: skip


def references() -> list[tuple[str, str]]:
    """Every field of every request body that names another thing."""
    found = []
    for item in DOCUMENT["paths"].values():
        for operation in item.values():
            if "requestBody" not in operation:
                continue
            schema = operation["requestBody"]["content"]["application/json"]["schema"]
            if "properties" not in schema:
                schema = DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
            if operation["operationId"] == "sendBulk":
                schema = schema["properties"]["messages"]["items"]
            found += [
                (operation["operationId"], field)
                for field in schema["properties"]
                if field.endswith(("Id", "Ids")) and field not in FREE
            ]
    return [pair for pair in found if pair not in OWN]


def test_the_walk_finds_the_references_of_every_body() -> None:
    assert {name for name, _ in references()} == BASES.keys()
    assert {field for _, field in references()} == IN_PATHS.keys()


async def _referring(operation: Operation, asker: Tenant, body: Data) -> tuple[int, Any]:
    own = {"leadId": "own", "interactionId": "nobody"}
    for path, name, plural in (
        ("/campaigns", "campaignId", "campaigns"), ("/sms-agents", "smsAgentId", "smsAgents"),
        ("/phone-numbers", "phoneNumberId", "phoneNumbers"), ("/corpora", "corpusId", "corpora"),
    ):  # fmt: skip
        own[name] = (await asker.call("GET", path))[plural][0][name]
    if operation.name == "startTrial":
        body = {name: own[name] for name in ("corpusId", "smsAgentId")} | body
    bulk = operation.name == "sendBulk"
    answer = await operation.ask(asker, own, {"messages": [body]} if bulk else body)
    if bulk or operation.name in ("changeInteractions", "enrolLeads"):
        [result] = answer.json()["data"]["results"]
        result.pop("leadId", None)
        code = {"NOT_FOUND": 404, "VALIDATION_ERROR": 400}.get(result.get("error", {}).get("code"))
        return code or answer.status_code, {**result, "interactionId": None}
    return answer.status_code, answer.json()


async def test_no_id_in_a_body_opens_another_tenants_thing(owned: Owned, stranger: Tenant) -> None:
    for name, field in references():
        given: Any = {**owned.ids, "personId": owned.person_id}[IN_PATHS[field]]
        unknown: Any = "nobody"
        if field.endswith("Ids"):
            given, unknown = [given], [unknown]
        base = BASES[name]
        if (name, field) == ("sendText", "turnId"):
            base = base | {"source": "sms_agent"}
        foreign = await _referring(BY_NAME[name], stranger, base | {field: given})
        missing = await _referring(BY_NAME[name], stranger, base | {field: unknown})
        assert foreign == missing, (name, field)
        assert foreign[0] in (400, 404), (name, field, foreign)


async def test_what_is_said_to_one_tenants_number_stays_there(owned: Owned, stranger: Tenant, world: World) -> None:
    """Also when the stranger owns the very same phones in its own directory."""
    await stranger.lead(leadId="twin", phone=world.phone)
    await world.text(f"{SECRET} again")

    async def heard() -> bool:
        return SECRET in str(await world.thread(owned.ids["interactionId"]))

    await until(heard)
    assert (await stranger.call("GET", "/interactions/lead/twin"))["interactions"] == []
