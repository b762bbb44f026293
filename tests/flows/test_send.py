"""Sending: every rung of the ladder, threads from both sides, delivery."""

import asyncio
from functools import partial

import asyncpg
import pytest

from app.resources import Resources
from tests.makers import Data, Tenant, phone
from tests.service import Api
from tests.world import World, until


def rules(sent: Data) -> dict[str, str]:
    return {rung["field"]: rung["rule"] for rung in sent["resolution"]}


async def test_only_lead_and_message_are_needed_and_the_text_reaches_the_lead(
    world: World,
) -> None:
    sent = await world.send("Hi Jane, following up.")
    assert sent["status"] == "queued"
    assert sent["to"] == world.phone
    assert sent["from"] == world.ours
    assert sent["campaignId"] == world.campaign["campaignId"]
    assert sent["provider"] == "simulator"
    assert (sent["encoding"], sent["segments"]) == ("GSM-7", 1)
    message = await world.status_is(sent["messageId"], "delivered")
    assert world.carrier.received(world.phone) == ["Hi Jane, following up."]
    assert [step["status"] for step in message["history"]] == [
        "queued", "sending", "sent", "delivered",
    ]  # fmt: skip
    assert message["providerMessageId"]
    [attempt] = message["attempts"]
    assert (attempt["outcome"], attempt["httpStatus"]) == ("accepted", 202)


async def test_an_override_decides_the_recipient(world: World) -> None:
    other = phone()
    sent = await world.send(to=other)
    assert sent["to"] == other
    assert rules(sent)["to"] == "override"


async def test_an_overriding_recipient_may_be_written_in_any_readable_form(world: World) -> None:
    sent = await world.send(to="(212) 555-7799")
    assert sent["to"] == "+12125557799"


async def test_the_recipient_may_not_be_one_of_our_own_numbers(world: World) -> None:
    body = {"leadId": world.lead["leadId"], "message": "Hi", "to": world.ours}
    refused = await world.tenant.ask("POST", "/sms/send", body)
    assert refused.status_code == 400
    assert refused.json()["error"]["details"][0].startswith("to:")


async def test_a_lead_without_a_phone_has_no_recipient(world: World) -> None:
    lead = await world.tenant.call("POST", "/leads", {"firstName": "Nobody"})
    refused = await world.tenant.ask("POST", "/sms/send", {"leadId": lead["leadId"], "message": "Hi"})
    assert refused.status_code == 400
    assert refused.json()["error"]["code"] == "MISSING_PHONE_NUMBER"
    assert refused.json()["error"]["details"] == ["to: the lead has no phone number"]


async def test_a_tenant_without_numbers_has_no_sender(api: Api, tenant: Tenant) -> None:
    lead = await tenant.lead()
    refused = await tenant.ask("POST", "/sms/send", {"leadId": lead["leadId"], "message": "Hi"})
    assert refused.json()["error"]["code"] == "MISSING_PHONE_NUMBER"
    assert refused.json()["error"]["details"][0].startswith("from:")


async def test_a_campaign_may_be_overridden_for_resolution(world: World) -> None:
    special = await world.tenant.number(providerAccountId=world.account["accountId"])
    campaign = await world.tenant.campaign(phoneNumberId=special["phoneNumberId"])
    sent = await world.send(campaignId=campaign["campaignId"])
    assert rules(sent)["campaign"] == "override"
    assert rules(sent)["from"] == "campaign"
    assert sent["from"] == special["phoneNumber"]


async def test_without_any_campaign_the_rule_is_none(world: World) -> None:
    lead = await world.tenant.lead()
    sent = await world.tenant.call("POST", "/sms/send", {"leadId": lead["leadId"], "message": "Hi"})
    assert rules(sent) == {
        "to": "lead", "campaign": "none", "from": "first_available", "provider": "number",
    }  # fmt: skip
    assert sent["campaignId"] is None


async def test_a_given_sender_must_be_ours_and_active(world: World) -> None:
    other = await world.tenant.number(providerAccountId=world.account["accountId"])
    sent = await world.send(**{"from": other["phoneNumber"]})
    assert (sent["from"], rules(sent)["from"]) == (other["phoneNumber"], "override")
    await world.tenant.call("PATCH", f"/phone-numbers/{other['phoneNumberId']}", {"active": False})
    for number in (other["phoneNumber"], phone()):
        body = {"leadId": world.lead["leadId"], "message": "Hi", "from": number}
        refused = await world.tenant.ask("POST", "/sms/send", body)
        assert refused.status_code == 400
        assert refused.json()["error"]["details"][0].startswith("from:")


async def test_the_agents_number_is_the_rung_below_the_campaigns(world: World) -> None:
    assert rules(await world.send())["from"] == "agent"


async def test_a_test_lead_takes_the_test_slot_and_falls_back_when_it_is_inactive(
    world: World,
) -> None:
    number = await world.tenant.number(providerAccountId=world.account["accountId"])
    tester = await world.tenant.agent(isTest=True, phoneNumberId=number["phoneNumberId"])
    path = f"/campaigns/{world.campaign['campaignId']}"
    await world.tenant.call("PATCH", path, {"testSmsAgentId": tester["smsAgentId"]})
    lead = await world.tenant.lead(isTest=True, campaignId=world.campaign["campaignId"])
    body = {"leadId": lead["leadId"], "message": "Hi"}
    sent = await world.tenant.call("POST", "/sms/send", body)
    assert (sent["from"], rules(sent)["from"]) == (number["phoneNumber"], "agent")
    await world.tenant.call("PATCH", f"/sms-agents/{tester['smsAgentId']}", {"active": False})
    assert (await world.tenant.call("POST", "/sms/send", body))["from"] == world.ours


@pytest.mark.parametrize("off", [{"active": False}, {"capabilities": ["voice"]}])
async def test_a_number_that_cannot_send_is_passed_over_to_the_next_rung(world: World, off: Data) -> None:
    special = await world.tenant.number(providerAccountId=world.account["accountId"])
    path = f"/campaigns/{world.campaign['campaignId']}"
    await world.tenant.call("PATCH", path, {"phoneNumberId": special["phoneNumberId"]})
    assert rules(await world.send())["from"] == "campaign"
    await world.tenant.call("PATCH", f"/phone-numbers/{special['phoneNumberId']}", off)
    assert rules(await world.send())["from"] == "agent"


async def test_first_available_prefers_a_thread_then_the_provider_then_age(world: World) -> None:
    twilio = await world.tenant.account("twilio", baseUrl=world.carrier.url)
    lead = await world.tenant.lead()
    body = {"leadId": lead["leadId"], "message": "Hi"}
    preferred = await world.tenant.number(providerAccountId=twilio["accountId"])
    assert (await world.tenant.call("POST", "/sms/send", body))["from"] == world.ours
    other = await world.tenant.lead()
    await world.tenant.call("PATCH", "/settings", {"defaultProvider": "twilio"})
    fresh = {"leadId": other["leadId"], "message": "Hi"}
    sent = await world.tenant.call("POST", "/sms/send", fresh)
    assert (sent["from"], sent["provider"]) == (preferred["phoneNumber"], "twilio")
    assert (await world.tenant.call("POST", "/sms/send", body))["from"] == world.ours


@pytest.mark.parametrize(
    ("campaign", "settings", "rule"),
    [
        ({"provider": "simulator"}, {"defaultProvider": "twilio"}, "campaign"),
        ({}, {"defaultProvider": "simulator"}, "tenant"),
    ],
)
async def test_a_number_of_no_account_goes_through_the_preferred_provider(
    world: World, campaign: Data, settings: Data, rule: str
) -> None:
    stray = await world.tenant.number()
    await world.tenant.call("PATCH", "/settings", settings)
    path = f"/campaigns/{world.campaign['campaignId']}"
    await world.tenant.call("PATCH", path, {"phoneNumberId": stray["phoneNumberId"]} | campaign)
    sent = await world.send()
    assert sent["from"] == stray["phoneNumber"]
    assert (sent["provider"], rules(sent)["provider"]) == ("simulator", rule)
    await world.status_is(sent["messageId"], "delivered")


async def test_the_provider_falls_back_to_vonage(world: World) -> None:
    await world.tenant.account("vonage", baseUrl=world.carrier.url)
    stray = await world.tenant.number()
    lead = await world.tenant.lead()
    body = {"leadId": lead["leadId"], "message": "Hi", "from": stray["phoneNumber"]}
    sent = await world.tenant.call("POST", "/sms/send", body)
    assert (sent["provider"], rules(sent)["provider"]) == ("vonage", "fallback")


async def test_texts_of_a_pair_stand_in_one_thread_in_order(world: World) -> None:
    first, second = await world.send("one"), await world.send("two")
    assert first["interactionId"] == second["interactionId"]
    await world.status_is(second["messageId"], "delivered")
    thread = await world.only_thread()
    told = [(e["seq"], e["role"], e["source"], e["message"]) for e in thread["transcript"]]
    assert told == [(1, "agent", "api", "one"), (2, "agent", "api", "two")]
    assert world.carrier.received(world.phone) == ["one", "two"]


async def test_a_thread_may_be_named_and_its_two_numbers_are_used(world: World) -> None:
    opened = await world.send()
    namesake = await world.tenant.lead(phone=world.phone)
    sent = await world.tenant.call(
        "POST", "/sms/send",
        {"leadId": namesake["leadId"], "message": "Hi", "interactionId": opened["interactionId"]},
    )  # fmt: skip
    assert sent["interactionId"] == opened["interactionId"]
    assert (rules(sent)["to"], rules(sent)["from"]) == ("thread", "thread")


async def test_a_named_thread_takes_neither_a_stranger_nor_another_number(world: World) -> None:
    opened = await world.send()
    stranger = await world.tenant.lead()
    cases: list[tuple[Data, str]] = [
        ({"leadId": stranger["leadId"]}, "leadId"), ({"to": phone()}, "to"),
        ({"from": phone()}, "from"),
    ]  # fmt: skip
    for wrong, field in cases:
        body = {"leadId": world.lead["leadId"], "message": "Hi",
                "interactionId": opened["interactionId"]} | wrong  # fmt: skip
        refused = await world.tenant.ask("POST", "/sms/send", body)
        assert refused.status_code == 400
        assert refused.json()["error"]["details"][0].startswith(f"{field}:")


async def test_racing_first_messages_make_one_interaction(world: World) -> None:
    sent = await asyncio.gather(*(world.send(f"text {n}") for n in range(12)))
    assert len({one["interactionId"] for one in sent}) == 1
    thread = await world.only_thread()
    assert [entry["seq"] for entry in thread["transcript"]] == list(range(1, 13))


async def test_the_text_is_committed_before_the_answer_arrives(world: World, database_url: str) -> None:
    stranger = await asyncpg.connect(database_url)
    try:
        for n in range(20):
            sent = await world.send(f"text {n}")
            # As the owner of the tables, whom row-level security hides nothing from here.
            await stranger.execute("SET ROLE app_system")
            seen = await stranger.fetchval("SELECT text FROM messages WHERE message_id = $1", sent["messageId"])
            assert seen == f"text {n}"
    finally:
        await stranger.close()


@pytest.mark.parametrize(("digits", "code"), [("0001", "bad_number"), ("0004", "unauthorized"), ("0005", "no_credit")])
async def test_a_carriers_refusal_fails_the_text_with_its_code(world: World, digits: str, code: str) -> None:
    sent = await world.send(to=f"+1212555{digits}")
    message = await world.status_is(sent["messageId"], "failed")
    assert message["errorCode"] == code
    thread = await world.thread(sent["interactionId"])
    assert thread["errorCode"] == code


async def test_a_throttled_text_goes_out_once_after_the_wait(world: World) -> None:
    sent = await world.send(to="+12125550003")
    message = await world.status_is(sent["messageId"], "delivered")
    assert [attempt["outcome"] for attempt in message["attempts"]] == ["later", "accepted"]
    assert len(world.carrier.known.accepted[sent["messageId"]]) == 1


@pytest.mark.parametrize("digits", ["0012", "0013"])
async def test_a_text_whose_answer_was_lost_is_settled_by_its_receipt_or_look_up(
    world: World, resources: Resources, digits: str
) -> None:
    sent = await world.send(to=f"+1212555{digits}")
    await world.status_is(sent["messageId"], "unknown")
    async with resources.database.system_tx() as tx:  # fifteen seconds go by
        await tx.execute("UPDATE outbox SET due_at = clock_timestamp()")
    await world.status_is(sent["messageId"], "sent")
    assert len(world.carrier.known.accepted[sent["messageId"]]) == 1


@pytest.mark.parametrize("asked_after", [("15 seconds", "60 seconds"), ("70 seconds", "85 seconds")])
async def test_a_text_that_was_twice_denied_is_sent_once_more_also_when_it_was_asked_for_late(
    world: World, resources: Resources, asked_after: tuple[str, str]
) -> None:
    sent = await world.send(to="+12125550006")
    await world.status_is(sent["messageId"], "unknown")
    await deny(world, resources, sent["messageId"], asked_after)
    assert world.carrier.known.request_counts[sent["messageId"]] == 2


async def test_a_text_that_is_denied_after_its_one_resend_too_has_failed(world: World, resources: Resources) -> None:
    """Nobody took it, as far as anybody says: that is an end, and not left open for ever."""
    sent = await world.send(to="+12125550006")
    for _ in range(2):
        await world.status_is(sent["messageId"], "unknown")
        await deny(world, resources, sent["messageId"], ("15 seconds", "60 seconds"))
    message = await world.status_is(sent["messageId"], "failed")
    assert message["errorCode"] == "NOT_TAKEN"
    assert world.carrier.known.request_counts[sent["messageId"]] == 2


async def deny(world: World, resources: Resources, message_id: str, asked_after: tuple[str, str]) -> None:
    """So much time goes by that the carrier is asked for the text, once and again."""
    denied = world.carrier.known.denied_lookup_counts
    before = denied.get(message_id, 0)

    async def told(times: int) -> bool:
        return denied.get(message_id, 0) >= times

    for n, begun_ago in enumerate(asked_after, 1):
        async with resources.database.system_tx() as tx:
            await tx.execute(
                f"UPDATE outbox SET due_at = clock_timestamp(), begun_at = clock_timestamp() - interval '{begun_ago}'"
            )
        await until(partial(told, before + n))
        await asyncio.sleep(1)


@pytest.mark.parametrize(
    ("digits", "status"), [("0021", "delivered"), ("0022", "delivered"), ("0023", "delivered"),
                           ("0024", "sent"), ("0025", "undelivered")],
)  # fmt: skip
async def test_receipts_early_reversed_doubled_missing_and_failing_end_right(
    world: World, digits: str, status: str
) -> None:
    sent = await world.send(to=f"+1212555{digits}")
    await world.status_is(sent["messageId"], status)

    async def recorded() -> Data | None:
        """A receipt may come before the send's own answer is."""
        message = await world.tenant.call("GET", f"/messages/{sent['messageId']}")
        return message if message["attempts"] else None

    message = await until(recorded)
    assert message["status"] == status
    assert len(message["attempts"]) == 1


async def test_receipts_that_wait_for_each_other_do_not_turn_the_status_back(
    idle_world: World, resources: Resources
) -> None:
    world = idle_world
    sent = await world.send()
    url = f"{world.account['webhooks']['status']}?message={sent['messageId']}"

    def report(word: str) -> asyncio.Task[int]:
        body = {"type": "status", "id": "sim-1", "status": word}
        return asyncio.create_task(world.carrier.known.post_webhook(url, body))

    async with resources.database.system_tx() as tx:  # a settlement that takes its time
        await tx.execute("SELECT FROM outbox FOR UPDATE")
        delivered = report("delivered")
        await asyncio.sleep(0.3)
        late = report("sent")
        await asyncio.sleep(0.3)
    assert (await delivered, await late) == (200, 200)
    message = await world.tenant.call("GET", f"/messages/{sent['messageId']}")
    assert message["status"] == "delivered"


async def test_a_carriers_opted_out_code_suppresses_the_phone(world: World) -> None:
    to = "+12125550002"
    sent = await world.send(to=to)
    await world.status_is(sent["messageId"], "failed")
    body = {"leadId": world.lead["leadId"], "message": "Hi", "to": to}
    refused = await world.tenant.ask("POST", "/sms/send", body)
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "DNC_BLOCKED")


async def test_a_number_switched_off_before_the_text_leaves_fails_it(world: World, resources: Resources) -> None:
    sent = await world.send(to="+12125550003")
    await world.tenant.call("PATCH", f"/phone-numbers/{world.number['phoneNumberId']}", {"active": False})
    message = await world.status_is(sent["messageId"], "failed")
    assert message["errorCode"] == "SENDER_INACTIVE"


async def test_a_failure_has_a_code_also_where_the_carrier_gives_none(idle_world: World) -> None:
    sent = await idle_world.send()
    url = f"{idle_world.account['webhooks']['status']}?message={sent['messageId']}"
    body = {"type": "status", "id": "sim-1", "status": "undelivered"}
    assert await idle_world.carrier.known.post_webhook(url, body) == 200
    message = await idle_world.tenant.call("GET", f"/messages/{sent['messageId']}")
    assert (message["status"], message["errorCode"]) == ("undelivered", "UNDELIVERED")
