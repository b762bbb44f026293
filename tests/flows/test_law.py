"""Texts obey the law's rules and the tenant's own, and every one that waits or is refused says why."""

import asyncio
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from app.demo import http_clients
from app.resources import Resources
from tests.fuzz.conftest import fuzzed_url
from tests.makers import Data
from tests.web.people import Browser
from tests.world import World, until

__all__ = ["fuzzed_url"]


def zone_where_it_is(hour: int) -> str:
    """A zone where it is about this hour now."""
    ahead = (hour - datetime.now(UTC).hour + 12) % 24 - 12
    return f"Etc/GMT{-ahead:+}"


async def live_in(world: World, state: str, hour: int) -> None:
    """The law counts, and the lead lives there; it is about this hour."""
    await world.tenant.call("PATCH", "/settings", {"lawRules": "on"})
    change = {"state": state, "timezone": zone_where_it_is(hour)}
    await world.tenant.call("PATCH", f"/leads/{world.lead['leadId']}", change)


async def ask(world: World, **more: object) -> httpx.Response:
    return await world.tenant.ask("POST", "/sms/send", {"leadId": world.lead["leadId"], "message": "Hi", **more})


async def may_text(world: World, **params: str) -> Data:
    return await world.tenant.call("GET", f"/leads/{world.lead['leadId']}/may-text", params=params)


async def message_of(world: World, sent: Data) -> Data:
    return await world.tenant.call("GET", f"/messages/{sent['messageId']}")


# Hours.


async def test_without_the_law_nothing_is_asked(idle_world: World) -> None:
    await idle_world.tenant.call(
        "PATCH", f"/leads/{idle_world.lead['leadId']}", {"state": "FL", "timezone": zone_where_it_is(2)}
    )
    sent = await idle_world.send()
    assert (sent["heldUntil"], sent["verdict"], sent["status"]) == (None, None, "queued")
    message = await message_of(idle_world, sent)
    assert (message["purpose"], message["heldRule"]) == (None, None)
    assert (await may_text(idle_world))["verdict"] == "may"


async def test_a_marketing_text_at_night_waits_and_says_which_rule_wants_it(idle_world: World) -> None:
    world = idle_world
    await live_in(world, "Florida", 2)
    sent = await world.send()
    verdict = sent["verdict"]
    assert {key: verdict[key] for key in ("verdict", "purpose", "relation", "jurisdictions", "placeFrom")} == {
        "verdict": "later", "purpose": "marketing", "relation": "first_contact", "jurisdictions": ["US", "US-FL"],
        "placeFrom": "lead",
    }  # fmt: skip
    assert {reason["rule"] for reason in verdict["reasons"]} == {"us-hours", "us-fl-hours"}
    florida = next(reason for reason in verdict["reasons"] if reason["rule"] == "us-fl-hours")
    assert "501.616(6)(a)" in florida["citation"]
    assert florida["until"] == sent["heldUntil"] == verdict["earliestAt"]
    assert florida["liftedBy"]
    message = await message_of(world, sent)
    assert (message["status"], message["purpose"]) == ("queued", "marketing")
    assert "Florida: marketing texts only from 8:00 to 20:00 (Fla. Stat." in message["heldReason"]
    assert message["heldRule"] in ("us-hours", "us-fl-hours")
    by_rule = {reason["rule"]: reason for reason in verdict["reasons"]}
    assert message["heldBy"] == by_rule[message["heldRule"]]
    assert await may_text(world) == verdict
    forecast = (await ask(world, dryRun=True)).json()["data"]
    assert forecast["verdict"] == verdict
    assert (await may_text(world, purpose="transactional"))["verdict"] == "may"
    tomorrow = datetime.fromisoformat(sent["heldUntil"]) + timedelta(hours=4)
    assert (await may_text(world, at=tomorrow.isoformat()))["verdict"] == "may"


async def test_a_transactional_text_and_an_answer_leave_at_night(world: World) -> None:
    await live_in(world, "FL", 2)
    sent = await world.send(purpose="transactional")
    assert (sent["heldUntil"], sent["verdict"]["verdict"]) == (None, "may")
    await world.text("Are you there?")
    answer = await world.send("Yes")
    assert (answer["verdict"]["purpose"], answer["verdict"]["relation"]) == ("conversational", "reply")
    await world.status_is(answer["messageId"], "delivered")
    planned = await world.send(sendAt=(datetime.now(UTC) + timedelta(minutes=5)).isoformat())
    assert (planned["verdict"]["relation"], planned["verdict"]["verdict"]) == (
        "known",
        "later",
    )  # no answer: it is planned


async def test_a_campaign_says_what_its_texts_are_for(idle_world: World) -> None:
    world = idle_world
    await live_in(world, "FL", 2)
    await world.tenant.call("PATCH", f"/campaigns/{world.campaign['campaignId']}", {"purpose": "transactional"})
    assert (await world.send())["verdict"]["purpose"] == "transactional"
    assert (await world.send(purpose="marketing"))["heldUntil"]
    assert (await world.send(purpose="conversational"))["verdict"]["purpose"] == "marketing"  # nobody wrote yet


async def test_held_texts_follow_the_rules_as_they_change(world: World) -> None:
    await live_in(world, "FL", 2)
    sent = await world.send()
    assert sent["heldUntil"]
    exceptions = [{"rule": rule, "reason": "Our counsel says so"} for rule in ("us-hours", "us-fl-hours")]
    await world.tenant.call("PATCH", "/settings", {"lawExceptions": exceptions})
    await world.status_is(sent["messageId"], "delivered")
    changes = (await world.tenant.call("GET", "/audit"))["audit"]
    assert any(change["to"] == exceptions for entry in changes for change in entry["changes"])
    held = [await world.send() for _ in range(1)]
    assert held[0]["heldUntil"] is None
    await world.tenant.call("PATCH", "/settings", {"lawExceptions": []})
    later = await world.send()
    assert later["heldUntil"]
    await world.tenant.call("PATCH", "/settings", {"lawRules": "off"})
    await world.status_is(later["messageId"], "delivered")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"lawExceptions": [{"rule": "us-fl-hour", "reason": "x"}]}, "lawExceptions[0].rule"),
        ({"lawExceptions": [{"rule": "us-fl-hours", "reason": " "}]}, "lawExceptions[0].reason"),
        ({"lawExceptions": [{"rule": "us-fl-hours"}]}, "lawExceptions[0].reason"),
        ({"lawRules": "strict"}, "lawRules"),
        ({"lawRules": None}, "lawRules"),
        ({"maxFirstContactsPerDay": -1}, "maxFirstContactsPerDay"),
    ],
)  # fmt: skip
async def test_a_rule_is_loosened_only_by_name_and_with_a_reason(idle_world: World, change: Data, field: str) -> None:
    answer = await idle_world.tenant.ask("PATCH", "/settings", change)
    assert answer.status_code == 400
    assert answer.json()["error"]["details"][0].startswith(f"{field}: ")


async def test_a_dry_run_of_many_counts_what_holds_and_refuses_them(idle_world: World) -> None:
    world = idle_world
    await live_in(world, "FL", 2)
    nobody = {"leadId": "nobody", "message": "Hi"}
    entry = {"leadId": world.lead["leadId"], "message": "Hi"}
    body = {"messages": [entry, nobody, {**entry, "purpose": "transactional"}, entry, entry, entry], "dryRun": True}
    answer = await world.tenant.ask("POST", "/sms/send/bulk", body)
    assert answer.status_code == 200
    told = answer.json()["data"]
    assert (told["accepted"], told["refused"], told["held"]) == (4, 2, 3)
    assert told["reasons"] == {"us-hours": 4, "us-fl-hours": 4, "us-fl-cap": 1, "NOT_FOUND": 1}
    assert [result["index"] for result in told["results"]] == list(range(6))
    assert told["results"][5]["error"]["verdict"]["reasons"][0]["rule"] == "us-fl-cap"
    assert told["results"][1]["error"]["code"] == "NOT_FOUND"
    assert (await world.tenant.call("GET", "/messages"))["messages"] == []


async def test_a_person_reads_why_a_text_waits_and_answers_at_any_hour(
    idle_world: World, sam: Browser, resources: Resources
) -> None:
    world = idle_world
    await live_in(world, "FL", 2)
    sent = await world.send()
    await world.tenant.call("POST", f"/consent/{world.phone}", consent(source="the form"))
    here = f"/conversations/{sent['interactionId']}"
    page = await sam.page(here)
    assert "Florida: marketing texts only from 8:00 to 20:00 (Fla. Stat." in page
    assert "<strong>Consent</strong> express written (marketing)" in page
    start = await sam.page(f"/conversations/new?lead={world.lead['leadId']}")
    assert "It waits until" in start
    assert "Fla. Stat. § 501.616(6)(a)" in start
    await world.text("Call me, I am awake")
    await world.send("An hour ago", purpose="transactional")
    async with resources.database.system_tx() as tx:
        await tx.execute("UPDATE interactions SET last_inbound_at = last_inbound_at - interval '1 hour'")
    assert (await world.send("Sale!"))["heldUntil"]
    answer = await sam.submit(await sam.page(here), "/texts", message="We call you now")
    assert answer.status_code == 303
    texts = (await world.tenant.call("GET", "/messages?source=manual"))["messages"]
    assert [(text["message"], text["purpose"], text["heldUntil"]) for text in texts] == [
        ("We call you now", "conversational", None)
    ]


async def test_an_erasure_leaves_of_a_consent_what_names_nobody(idle_world: World) -> None:
    world = idle_world
    await world.tenant.call("POST", f"/consent/{world.phone}", consent(source="jane@example.com", proof="jane-1"))
    await world.tenant.call("POST", f"/leads/{world.lead['leadId']}/erase")
    record = await world.tenant.call("GET", f"/consent/{world.phone}")
    assert [(event["event"], event["source"], event["proof"]) for event in record["events"]] == [
        ("consent_given", None, None), ("erased", None, None),
    ]  # fmt: skip
    assert record["standing"][0]["basis"] == "express_written"


# Caps.


async def test_the_law_allows_three_marketing_texts_a_day_on_one_matter(idle_world: World) -> None:
    world = idle_world
    await live_in(world, "OK", 14)
    for _ in range(3):
        await world.send()
    refused = await ask(world)
    error = refused.json()["error"]
    assert (refused.status_code, error["code"]) == (403, "CAP_REACHED")
    assert error["details"][0].startswith("to: Oklahoma: at most 3 marketing texts in 24 hours on one matter (15 O.S.")
    [reason] = error["verdict"]["reasons"]
    assert (reason["rule"], "775C" in reason["citation"]) == ("us-ok-cap", True)
    until = datetime.fromisoformat(reason["until"])
    assert timedelta(hours=23, minutes=58) < until - datetime.now(UTC) <= timedelta(hours=24)
    assert (await may_text(world))["verdict"] == "no"
    assert (await may_text(world, at=(until + timedelta(seconds=1)).isoformat()))["reasons"] == []
    other = await world.tenant.campaign(name="Roofs", phoneNumberId=world.number["phoneNumberId"])
    await world.send(campaignId=other["campaignId"])
    await world.send(purpose="transactional")
    await world.text("Tell me more")
    for _ in range(5):  # answers are free
        await world.send("Gladly")


async def test_what_was_cancelled_does_not_count(idle_world: World) -> None:
    world = idle_world
    await world.tenant.call("PATCH", "/settings", {"maxTextsPerDayWithoutReply": 1})
    sent = await world.send()
    assert (await ask(world)).status_code == 403
    await world.tenant.call("POST", f"/messages/{sent['messageId']}/cancel")
    await world.send()


async def test_planned_texts_count_when_they_will_leave(idle_world: World) -> None:
    world = idle_world
    await world.tenant.call("PATCH", "/settings", {"maxTextsPerDayWithoutReply": 2})

    def at(hours: int) -> str:
        return (datetime.now(UTC) + timedelta(hours=hours)).isoformat()

    for hours in (1, 20, 26, 49):
        await world.send(sendAt=at(hours))
    for hours in (0, 10, 22, 30, 44):
        assert (await ask(world, sendAt=at(hours))).status_code == 403, hours
    await world.send(sendAt=at(51))


async def test_first_contacts_are_capped_until_somebody_writes(idle_world: World) -> None:
    world = idle_world
    await world.tenant.call("PATCH", "/settings", {"maxFirstContactsPerDay": 2})
    entry = {"leadId": world.lead["leadId"], "message": "Hi"}
    done = await world.tenant.call("POST", "/sms/send/bulk", {"messages": [entry] * 4})
    assert [result.get("error", {}).get("code") for result in done["results"]] == [None, None, *["CAP_REACHED"] * 2]
    await world.text("Hello")
    for _ in range(3):
        await world.send("Again")


async def test_a_text_that_was_held_is_counted_again_before_it_leaves(world: World, resources: Resources) -> None:
    await world.tenant.call("PATCH", "/settings", {"maxTextsPerDayWithoutReply": 1})
    planned = await world.send(sendAt=(datetime.now(UTC) + timedelta(hours=30)).isoformat())
    await world.send("Now")
    async with resources.database.system_tx() as tx:
        await tx.execute("UPDATE outbox SET due_at = clock_timestamp() WHERE message_id = $1", planned["messageId"])

    async def look() -> Data | None:
        message = await message_of(world, planned)
        return message if message["heldUntil"] else None

    message = await until(look)
    assert message["heldRule"] == "max_texts_per_day_without_reply"
    assert message["heldReason"] == "at most 1 texts to a phone in 24 hours without a reply"


async def test_a_cap_is_exact_across_processes(idle_world: World, fuzzed_url: str) -> None:
    world, headers = idle_world, {"X-API-Key": idle_world.tenant.key}
    await world.tenant.call("PATCH", "/settings", {"maxFirstContactsPerDay": 3})
    other_number = await world.tenant.number(providerAccountId=world.account["accountId"])
    body = {"leadId": world.lead["leadId"], "message": "Hi"}
    bodies = [body, {**body, "from": other_number["phoneNumber"]}]  # two threads with the phone
    statuses: list[int] = []

    async def send_through(http: httpx.AsyncClient, url: str) -> None:
        for i in range(50):
            answer = await http.post(f"{url}/api/v1/sms/send", json=bodies[i % 2], headers=headers)
            statuses.append(answer.status_code)

    async with http_clients.build_client(timeout=60) as http:
        urls = (str(world.tenant.http.base_url).rstrip("/").removesuffix("/api/v1"), fuzzed_url)
        await asyncio.gather(*(send_through(http, urls[i % 2]) for i in range(20)))
    assert (len(statuses), statuses.count(202), statuses.count(403)) == (1000, 3, 997)
    assert len((await world.tenant.call("GET", "/messages"))["messages"]) == 3


# Consent.


def consent(**more: object) -> Data:
    return {"basis": "express_written", "scopes": ["marketing"], **more}


async def test_a_campaign_that_asks_for_consent_texts_nobody_without(idle_world: World) -> None:
    world = idle_world
    demands = {"marketing": "express_written", "conversational": "inquiry"}
    await world.tenant.call("PATCH", f"/campaigns/{world.campaign['campaignId']}", {"requireConsent": demands})
    refused = await ask(world)
    error = refused.json()["error"]
    assert (refused.status_code, error["code"]) == (403, "CONSENT_MISSING")
    assert error["verdict"]["reasons"][0]["rule"] == "consent"
    assert (await may_text(world))["verdict"] == "no"
    await world.tenant.call("POST", f"/consent/{world.phone}", consent(basis="express"))
    assert (await ask(world)).status_code == 403
    given = await world.tenant.call(
        "POST", f"/consent/{world.phone}", consent(wording="Yes", source="form", proof="p1")
    )
    assert [(one["scope"], one["basis"]) for one in given["standing"]] == [("marketing", "express_written")]
    assert given["events"][-1]["wordingHash"] == "85a39ab345d672ff8ca9b9c6876f3adcacf45ee7c1e2dbd2408fd338bd55e07e"
    await world.send()
    await world.send(purpose="transactional")
    planned = await world.send(sendAt=(datetime.now(UTC) + timedelta(hours=1)).isoformat())
    revoked = await world.tenant.call("POST", f"/consent/{world.phone}/revoke", {"scopes": ["marketing"]})
    assert revoked["standing"] == []
    message = await message_of(world, planned)
    assert (message["status"], message["errorCode"]) == ("cancelled", "CONSENT_MISSING")
    assert (await ask(world)).status_code == 403
    await world.text("Tell me more")
    await world.send("Gladly")  # an answer needs none


async def test_an_opt_out_revokes_what_was_consented_to_before_it(idle_world: World) -> None:
    world = idle_world
    await world.tenant.call("POST", f"/consent/{world.phone}", consent())
    before = datetime.now(UTC).isoformat()
    await world.send()
    await world.text("STOP")
    record = await world.tenant.call("GET", f"/consent/{world.phone}")
    assert (record["suppressed"], record["standing"]) == (True, [])
    late = await world.tenant.call("POST", f"/consent/{world.phone}", consent(obtainedAt=before))
    assert (late["suppressed"], late["standing"]) == (True, [])
    await world.text("START")
    record = await world.tenant.call("GET", f"/consent/{world.phone}")
    assert [(one["scope"], one["basis"]) for one in record["standing"]] == [
        ("marketing", "express"), ("conversational", "express"),
    ]  # fmt: skip
    fresh = await world.tenant.call("POST", f"/consent/{world.phone}", consent())
    assert fresh["standing"][0]["basis"] == "express_written"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "basis"),
        (consent(basis="implied"), "basis"),
        (consent(scopes=[]), "scopes"),
        (consent(wordingHash="abc"), "wordingHash"),
        (consent(wording="Yes", wordingHash="a" * 64), "wordingHash"),
        (consent(obtainedAt="2100-01-01T00:00:00Z"), "obtainedAt"),
    ],
)  # fmt: skip
async def test_a_consent_that_says_too_little_is_refused(idle_world: World, body: Data, field: str) -> None:
    answer = await idle_world.tenant.ask("POST", f"/consent/{idle_world.phone}", body)
    assert answer.status_code == 400
    assert answer.json()["error"]["details"][0].startswith(f"{field}: ")


# Disclosure.


async def test_an_agents_first_text_in_a_thread_says_that_it_is_one(world: World) -> None:
    agent_path = f"/sms-agents/{world.campaign['smsAgentId']}"
    await world.tenant.call("PATCH", agent_path, {"disclosure": "always", "batchWindowMs": 1000})
    await world.tenant.call("PATCH", "/settings", {"agentDisclosure": "An assistant of Example Solar writes."})
    world.agent.answers = [(200, {"replies": ["Hello!", "How are you?"]}), (200, {"reply": "Fine"})]
    await world.send("Hi", agentMode=True)
    await world.text("Are you a bot?")
    told = await world.told(1)
    assert told["message"]["messages"][0]["askedWhetherHuman"] is True
    await until(lambda: _received(world, 3))
    await world.text("And you, then?")
    told = await world.told(2)
    assert "askedWhetherHuman" not in told["message"]["messages"][0]
    await until(lambda: _received(world, 4))
    assert world.carrier.received(world.phone) == [
        "Hi", "An assistant of Example Solar writes.\nHello!", "How are you?", "Fine",
    ]  # fmt: skip


async def _received(world: World, count: int) -> bool:
    return len(world.carrier.received(world.phone)) >= count


@pytest.mark.parametrize(
    ("state", "excepted_rule", "is_told"),
    [("ME", None, True), ("NY", None, False), ("ME", "us-me-disclosure", False), ("ME", "us-fl-hours", True)],
)
async def test_an_agent_says_that_it_is_one_where_the_law_wants_it(
    world: World, state: str, excepted_rule: str | None, is_told: bool
) -> None:
    if excepted_rule:
        exceptions = [{"rule": excepted_rule, "reason": "Our counsel, 12 May"}]
        await world.tenant.call("PATCH", "/settings", {"lawExceptions": exceptions})
    agent_path = f"/sms-agents/{world.campaign['smsAgentId']}"
    await world.tenant.call("PATCH", agent_path, {"disclosure": "where_required", "batchWindowMs": 1000})
    sentence = f"An automated assistant writes for us{' and all of our friends' * 6}."
    await world.tenant.call("PATCH", "/settings", {"agentDisclosure": sentence})
    await world.tenant.call("PATCH", f"/leads/{world.lead['leadId']}", {"state": state})
    world.agent.answers = [(200, {"reply": "Hello!"})]
    await world.send("Hi", agentMode=True)
    await world.text("Hi there")
    await until(lambda: _received(world, 2))
    words = world.carrier.received(world.phone)[1]
    assert words == (f"{sentence}\nHello!" if is_told else "Hello!")
    [text] = (await world.tenant.call("GET", "/messages?source=sms_agent"))["messages"]
    assert text["segments"] == (2 if is_told else 1)
