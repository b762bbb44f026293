"""The audit: every change of a tenant's settings is recorded, with who made it, and no secret's value."""

import re
from datetime import timedelta
from typing import Any

import pytest

from app.access import keys as access
from app.commands import api_keys
from app.domain.callers import Caller
from app.resources import Resources
from app.store import sealed, sweeping
from app.store.schema import Table
from app.web.directory.audit import SUBJECTS
from app.web.page.settings.audit import format_value
from tests.makers import CREDENTIALS, Data, Tenant
from tests.web.people import PASSWORD, Browser, form
from tests.world import World, until

SAM = "sam@example.com"


async def entries(tenant: Tenant, query: str = "") -> list[Data]:
    """Newest first."""
    return list((await tenant.call("GET", f"/audit?{query}"))["audit"])


async def newest(tenant: Tenant) -> Data:
    return (await entries(tenant))[0]


def values(entry: Data) -> dict[str, tuple[Any, Any]]:
    return {change["field"]: (change["from"], change["to"]) for change in entry["changes"]}


async def test_each_change_names_what_it_changed_from_what_to_what(tenant: Tenant) -> None:
    for field, value, before in (
        ("defaultCountry", "DE", "US"), ("possibleOptOut", "forward", "hold"), ("answerShortCodes", True, False),
        ("textsPerDay", 500, None), ("undoSeconds", 5, None), ("allowedCountries", ["DE", "FR"], None),
        ("helpText", "Write to us", None), ("timezone", "America/New_York", "UTC"),
        ("quietHours", {"enabled": True, "start": "08:00", "end": "21:00"},
         {"enabled": False, "start": "08:00", "end": "21:00"}),
    ):  # fmt: skip
        await tenant.call("PATCH", "/settings", {field: value})
        entry = await newest(tenant)
        assert (entry["subject"], entry["action"], entry["subjectId"]) == ("settings", "changed", tenant.tenant_id)
        assert values(entry) == {field: (before, value)}
        assert (entry["actor"][:8], entry["actorName"]) == ("key:key_", "First key")
    count = len(await entries(tenant))
    await tenant.call("PATCH", "/settings", {"defaultCountry": "DE", "textsPerDay": 500})
    assert len(await entries(tenant)) == count, "what is so already is no change"


async def test_everything_in_the_directory_but_leads_is_audited(tenant: Tenant) -> None:
    account = await tenant.account("twilio")
    number = await tenant.number(providerAccountId=account["accountId"], label="Main")
    agent = await tenant.agent(phoneNumberId=number["phoneNumberId"])
    campaign = await tenant.campaign(smsAgentId=agent["smsAgentId"])
    canned = await tenant.call("POST", "/canned-replies", {"title": "Hours", "text": "We open at nine."})
    key = await tenant.call("POST", "/api-keys", {"name": "Backend", "scope": "api"})
    await tenant.lead()
    body = {"smsAgentId": agent["smsAgentId"], "name": "Shorter", "webhookUrl": "https://b.example.com"}
    experiment = await tenant.call("POST", "/experiments", body)
    made = [
        ("account", account["accountId"], "twilio"), ("number", number["phoneNumberId"], number["phoneNumber"]),
        ("agent", agent["smsAgentId"], "Agent"), ("campaign", campaign["campaignId"], "Campaign"),
        ("cannedReply", canned["cannedReplyId"], "Hours"), ("key", key["keyId"], "Backend"),
        ("experiment", experiment["experimentId"], "Shorter"),
    ]  # fmt: skip
    found = [(entry["subject"], entry["subjectId"], entry["subjectName"]) for entry in reversed(await entries(tenant))]
    assert found[1:] == made, "the first is the tenant's own key"
    assert {entry["action"] for entry in await entries(tenant)} == {"added"}
    await tenant.call("PATCH", f"/phone-numbers/{number['phoneNumberId']}", {"label": "Other", "active": False})
    assert values(await newest(tenant)) == {"label": ("Main", "Other"), "active": (True, False)}
    await tenant.call("PUT", f"/campaigns/{campaign['campaignId']}", {"name": "Campaign"})
    assert values(await newest(tenant)) == {"smsAgentId": (agent["smsAgentId"], None)}
    await tenant.call("PUT", f"/campaigns/{campaign['campaignId']}", {"name": "Campaign"})
    await tenant.call("POST", f"/sms-agents/{agent['smsAgentId']}/pause", {"reason": "holiday"})
    paused = values(await newest(tenant))
    assert (paused["pausedReason"], paused["pausedAt"][0]) == ((None, "holiday"), None)
    for path, subject in (
        (f"/campaigns/{campaign['campaignId']}", "campaign"), (f"/sms-agents/{agent['smsAgentId']}", "agent"),
        (f"/canned-replies/{canned['cannedReplyId']}", "cannedReply"), (f"/api-keys/{key['keyId']}", "key"),
        (f"/phone-numbers/{number['phoneNumberId']}", "number"),
        (f"/provider-accounts/{account['accountId']}", "account"),
    ):  # fmt: skip
        await tenant.call("DELETE", path)
        entry = (await entries(tenant, f"subject={subject}"))[0]  # an agent takes its A/B test along
        assert (entry["subject"], entry["action"]) == (subject, "removed")
        assert entry["actorName"] == "First key"


async def test_of_secrets_only_that_they_were_set_or_changed_is_recorded(
    tenant: Tenant, sam: Browser, resources: Resources
) -> None:
    account = await tenant.account("twilio")
    assert values(await newest(tenant))["credentials"] == (None, "set")
    path = f"/provider-accounts/{account['accountId']}"
    await tenant.call("PATCH", path, {"credentials": CREDENTIALS["twilio"] | {"authToken": "another-token-2"}})
    assert values(await newest(tenant)) == {"credentials": ("set", "changed")}
    agent = await tenant.agent()
    assert values(await newest(tenant))["secret"] == (None, "set")
    rotated = await tenant.call("POST", f"/sms-agents/{agent['smsAgentId']}/rotate-secret")
    assert values(await newest(tenant)) == {"secret": ("set", "changed")}
    key = await tenant.call("POST", "/api-keys", {"name": "K", "scope": "read"})
    assert values(await newest(tenant)) == {"name": (None, "K"), "scope": (None, "read")}
    await change_password(sam, "another horse battery")
    entry = await newest(tenant)
    assert (values(entry), entry["subject"]) == ({"passwordHash": ("set", "changed")}, "person")
    assert (entry["actor"], entry["actorName"]) == (f"person:{entry['subjectId']}", SAM)
    async with resources.database.system_tx() as tx:
        stored = str([row["text"] for row in await tx.fetch_rows("SELECT a::text AS text FROM audit_entries a")])
    words = [*CREDENTIALS["twilio"].values(), "another-token-2", agent["signingSecret"], rotated["signingSecret"],
             key["apiKey"], SAM, PASSWORD, "argon2", "\\x"]  # fmt: skip
    assert [word for word in words if word in stored] == []


async def test_who_gets_the_events_is_audited_and_each_delivery_is_not(world: World) -> None:
    tenant = world.tenant
    made = await tenant.call("POST", "/webhook-endpoints", {"url": world.agent.url})
    path, url = f"/webhook-endpoints/{made['endpointId']}", made["url"]
    entry = await newest(tenant)
    assert (entry["subject"], entry["action"], entry["subjectName"]) == ("endpoint", "added", url)
    assert values(entry) == {"url": (None, url), "active": (None, True), "include": (None, []), "secret": (None, "set")}
    await tenant.call("PATCH", path, {"include": ["text"], "types": ["optout"]})
    assert values(await newest(tenant)) == {"include": ([], ["text"]), "types": (None, ["optout"])}
    await tenant.call("POST", f"{path}/rotate-secret")
    assert values(await newest(tenant)) == {"secret": ("set", "changed")}
    before = await entries(tenant)
    await world.send()
    await world.text("STOP")

    async def delivered() -> bool:
        shown = await tenant.call("GET", path)
        return bool(shown["lastDeliveredAt"] or shown["failures"])

    await until(delivered)
    await tenant.call("POST", f"{path}/rewind", {"to": "2026-01-01T00:00:00Z"})
    assert await entries(tenant) == before
    await tenant.call("DELETE", path)
    entry = await newest(tenant)
    assert (entry["subject"], entry["action"], entry["subjectName"]) == ("endpoint", "removed", None)
    assert values(entry)["url"] == (url, None)
    assert made["signingSecret"] not in str(await entries(tenant))


async def change_password(person: Browser, password: str) -> None:
    page = await person.page("/account")
    answer = await person.submit(page, "/account/password", currentPassword=PASSWORD, password=password)
    assert answer.status_code == 303


async def test_storing_a_secret_in_another_form_is_no_change(tenant: Tenant, resources: Resources) -> None:
    await tenant.account("twilio")
    count = len(await entries(tenant))
    async with resources.database.system_tx() as tx:
        [value] = [one for one in await sealed.list_all(tx) if one.table == "provider_accounts"]
    async with resources.database.system_tx() as tx:
        await sealed.replace(tx, value, value.bytes + b"x")
    assert len(await entries(tenant)) == count


async def test_texts_that_leave_and_keys_that_are_used_are_no_changes(world: World) -> None:
    before = await entries(world.tenant)
    sent = await world.send()
    await world.status_is(sent["messageId"], "delivered")
    await world.text("Hello")
    assert await entries(world.tenant) == before


async def test_people_are_audited_by_their_ids(tenant: Tenant, sam: Browser) -> None:
    page = await sam.page("/settings/people/new")
    made = await sam.submit(page, "/settings/people/new", email="max@example.com", role="member")
    assert made.status_code == 200
    entry = await newest(tenant)
    assert (entry["subject"], entry["action"], entry["subjectName"]) == ("person", "added", "max@example.com")
    assert entry["actorName"] == SAM
    assert values(entry) == {"active": (None, True), "passwordHash": (None, "set"), "role": (None, "member")}
    path = f"/settings/people/{entry['subjectId']}"
    await sam.submit(await sam.page(path), path, role="admin", active="on")
    assert values(await newest(tenant)) == {"role": ("member", "admin")}


async def test_the_command_line_is_the_service(tenant: Tenant, resources: Resources) -> None:
    new_key = access.make()
    async with resources.database.system_tx() as tx:
        caller = Caller(tenant.tenant_id, "service", "service", "admin")
        await api_keys.add(tx, caller, "By hand", "read", None, new_key.prefix, new_key.digest)
    entry = await newest(tenant)
    assert (entry["actor"], entry["actorName"], entry["subjectName"]) == ("service", None, "By hand")


async def test_the_list_is_paged_and_filtered(tenant: Tenant) -> None:
    number = await tenant.number()
    path = f"/phone-numbers/{number['phoneNumberId']}"
    for n in range(5):
        await tenant.call("PATCH", path, {"label": str(n)})
    await tenant.campaign()
    everything = await entries(tenant)
    paged: list[Data] = []
    cursor = ""
    while True:
        page = await tenant.call("GET", f"/audit?limit=3{cursor}")
        paged += page["audit"]
        if not page["hasMore"]:
            break
        cursor = f"&cursor={page['nextCursor']}"
    assert paged == everything
    assert len(await entries(tenant, "subject=number")) == 6
    assert len(await entries(tenant, f"subjectId={number['phoneNumberId']}")) == 6
    assert len(await entries(tenant, "subject=number,campaign")) == 7
    actor = everything[0]["actor"]
    assert len(await entries(tenant, f"actor={actor}")) == 7
    assert await entries(tenant, "actor=person:user_nobody") == []
    middle = everything[3]["at"].replace("+", "%2B")
    newer, older = await entries(tenant, f"startDate={middle}"), await entries(tenant, f"endDate={middle}")
    assert newer + older == everything
    assert len(newer) == 4


@pytest.mark.parametrize(
    "query", ["subject=lead", "startDate=x", "cursor=x", "limit=0", "subjct=key", "cursor=WyJhIl0"]
)
async def test_what_the_list_cannot_read_is_refused(tenant: Tenant, query: str) -> None:
    answer = await tenant.ask("GET", f"/audit?{query}")
    assert answer.json()["error"]["code"] == "VALIDATION_ERROR"


@pytest.mark.parametrize("scope", ["api", "read", "agent"])
async def test_the_audit_is_for_admins(tenant: Tenant, scope: str) -> None:
    agent_id = (await tenant.agent())["smsAgentId"] if scope == "agent" else None
    other = await tenant.with_scope(scope, agent_id)
    assert (await other.ask("GET", "/audit")).status_code == 403


async def test_the_page_shows_the_newest_first_and_leads_on(tenant: Tenant, sam: Browser) -> None:
    await tenant.call("PATCH", "/settings", {"helpText": "Write <b>to</b> us"})
    page = await sam.page("/settings/audit?limit=1")
    assert "First key" in page
    assert "Write &lt;b&gt;to&lt;/b&gt; us" in page
    more = re.search(r'href="(/settings/audit\?cursor=[^"]+)"', page)
    assert more
    assert "Before" in page
    older = await sam.page(more[1])
    assert "the API key" in older
    assert "Before" not in older, "what was added was nothing before"
    with pytest.raises(AssertionError):
        form(page, "/audit")


async def test_the_page_says_when_a_key_was_revoked(tenant: Tenant, sam: Browser) -> None:
    key = await tenant.call("POST", "/api-keys", {"name": "CRM", "scope": "read"})
    await tenant.call("DELETE", f"/api-keys/{key['keyId']}")
    before, revoked_at = values(await newest(tenant))["revokedAt"]
    assert before is None
    assert revoked_at in await sam.page("/settings/audit?limit=1")
    campaign = await tenant.campaign()
    await tenant.call("DELETE", f"/campaigns/{campaign['campaignId']}")
    assert "After" not in await sam.page("/settings/audit?limit=1"), "what was deleted is nothing now"


@pytest.mark.parametrize(
    ("value", "words"),
    [(None, "–"), (True, "yes"), (False, "no"), (0, "0"), ("US", "US"), ([], "none"), (["DE", "FR"], "DE, FR"),
     ([{"key": "owner"}], '[{"key": "owner"}]'), ({"start": "08:00"}, '{"start": "08:00"}')],
    ids=str,
)  # fmt: skip
def test_the_page_shows_values_in_words(value: Any, words: str) -> None:
    assert format_value(value) == words


async def test_entries_are_only_added_and_grow_old(tenant: Tenant, resources: Resources) -> None:
    for write in ("UPDATE audit_entries SET actor = 'x'", "DELETE FROM audit_entries"):
        with pytest.raises(Exception, match="permission denied"):
            async with resources.database.tenant_tx(tenant.tenant_id) as tx:
                await tx.execute(write)
    for age, left in ((timedelta(days=730), 1), (timedelta(0), 0)):
        async for _ in sweeping.prune(resources.database, {"audit_entries": age}):
            pass
        assert len(await entries(tenant)) == left


WATCHED_SQL = """
SELECT c.relname AS table, encode(t.tgargs, 'escape') AS arguments FROM pg_trigger t
JOIN pg_class c ON c.oid = t.tgrelid WHERE t.tgname = 'audit_changes'
"""


async def test_no_bytes_of_an_audited_table_are_shown(resources: Resources) -> None:
    """Sealed and hashed values are bytes: each such column is declared a secret, or no setting."""
    async with resources.database.system_tx() as tx:
        rows = await tx.fetch_rows(WATCHED_SQL)
    subjects = set()
    for row in rows:
        subject, _, internal, secret = row["arguments"].split("\\000")[:4]
        subjects.add(subject)
        declared = {*internal.split(","), *secret.split(",")}
        columns = Table.metadata.tables[row["table"]].c
        shown = {column.name for column in columns if column.type.python_type is bytes} - declared
        assert shown == set(), row["table"]
        assert declared - {""} <= {column.name for column in columns}, row["table"]
    assert subjects == set(SUBJECTS)
