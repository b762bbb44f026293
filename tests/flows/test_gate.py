"""The gate: idempotency, bulk, schedules, quiet hours, dry runs, limits, brakes."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.domain.idempotency import IdempotencyKey
from app.domain.orders import Order
from app.domain.problems import IdempotencyInProgress
from app.resources import Resources
from app.settings import Settings
from app.web.send_batches import build_send_batcher
from app.web.sms import ROUTE
from tests.flows.test_gathered import holding
from tests.makers import Data, Tenant, phone
from tests.world import World, until


def soon(seconds: float = 3600) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


async def sent_with(world: World, key: str, **more: Any) -> tuple[int, Data]:
    body = {"leadId": world.lead["leadId"], "message": "Hi Jane"} | more
    answer = await world.tenant.ask("POST", "/sms/send", body, headers={"Idempotency-Key": key})
    return answer.status_code, answer.json()


async def texts_of(world: World) -> list[Data]:
    path = f"/interactions/lead/{world.lead['leadId']}"
    threads = (await world.tenant.call("GET", path))["interactions"]
    return [entry for thread in threads for entry in thread["transcript"]]


# Idempotency.


async def test_twenty_sends_at_once_with_one_key_make_one_text(idle_world: World) -> None:
    answers = await asyncio.gather(*(sent_with(idle_world, "k1") for _ in range(20)))
    accepted = [body["data"] for status, body in answers if status == 202]
    assert {status for status, _ in answers} <= {202, 409}
    assert len({data["messageId"] for data in accepted}) == 1
    assert len(await texts_of(idle_world)) == 1


async def test_a_repeat_gets_the_first_answer_and_another_body_is_refused(
    idle_world: World,
) -> None:
    first = await sent_with(idle_world, "k2")
    assert await sent_with(idle_world, "k2") == first
    status, body = await sent_with(idle_world, "k2", message="Something else")
    assert (status, body["error"]["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")
    other = await sent_with(idle_world, "k3")
    assert other[1]["data"]["messageId"] != first[1]["data"]["messageId"]


async def test_a_refusal_frees_the_key(idle_world: World) -> None:
    status, body = await sent_with(idle_world, "k4", leadId="lead_unknown")
    assert (status, body["error"]["code"]) == (404, "NOT_FOUND")
    assert (await sent_with(idle_world, "k4"))[0] == 202


async def test_of_repeats_in_two_processes_at_once_one_texts(idle_world: World, resources: Resources) -> None:
    keyed = IdempotencyKey(ROUTE, "everywhere", b"the same body")

    def order(n: int) -> Order:
        return Order(
            tenant_id=idle_world.tenant.tenant_id, message_id=f"msg_{n}", thread_id=f"int_{n}",
            lead_id=idle_world.lead["leadId"], text="Hi", source="api", actor="test", idempotency_key=keyed,
        )  # fmt: skip

    first, second = build_send_batcher(resources.database), build_send_batcher(resources.database)
    results = await asyncio.gather(
        *((first if n % 2 else second).submit(order(n)) for n in range(40)), return_exceptions=True
    )
    told = [result for result in results if isinstance(result, dict)]
    assert {type(result) for result in results} <= {dict, IdempotencyInProgress}
    assert len({data["messageId"] for data in told}) == 1
    assert len({data["interactionId"] for data in told}) == 1
    assert len(await texts_of(idle_world)) == 1


async def test_a_repeat_while_the_first_waits_for_its_thread_is_told_so(
    idle_world: World, configuration: Settings
) -> None:
    thread = (await idle_world.send("One"))["interactionId"]
    async with holding(configuration, thread):
        first = asyncio.ensure_future(sent_with(idle_world, "slow"))
        await asyncio.sleep(0.5)
        status, body = await sent_with(idle_world, "slow")
        assert (status, body["error"]["code"]) == (409, "IDEMPOTENCY_IN_PROGRESS")
        assert not first.done()
    assert (await first)[0] == 202
    assert await sent_with(idle_world, "slow") == await first
    assert len(await texts_of(idle_world)) == 2


async def test_a_first_request_is_told_to_try_again_while_its_tenant_is_locked(
    idle_world: World, configuration: Settings
) -> None:
    """As while the tenant moves to another cell. Nobody else has the keys, so it is not said that somebody has."""
    tenant = idle_world.tenant
    async with holding(configuration, tenant.tenant_id):
        sent, made = await asyncio.gather(
            sent_with(idle_world, "k7"),
            tenant.ask("POST", "/leads", {"firstName": "Joe"}, headers={"Idempotency-Key": "k7"}),
        )
    assert [(status, body["error"]["code"]) for status, body in (sent, (made.status_code, made.json()))] == [
        (503, "UNAVAILABLE")
    ] * 2
    assert (await sent_with(idle_world, "k7"))[0] == 202
    assert len(await texts_of(idle_world)) == 1


async def test_a_repeat_is_answered_when_its_first_would_be_refused_by_now(
    idle_world: World,
) -> None:
    await idle_world.tenant.call("PATCH", "/settings", {"textsPerDay": 1})
    first = await sent_with(idle_world, "k5")
    again, fresh, other = await asyncio.gather(
        sent_with(idle_world, "k5"), sent_with(idle_world, "k6"),
        sent_with(idle_world, "k5", message="Another"),
    )  # fmt: skip
    assert again == first
    assert [fresh[0], other[0]] == [429, 422]
    await idle_world.tenant.call("PUT", f"/leads/{idle_world.lead['leadId']}/dnc",
                                 {"channels": ["sms"]})  # fmt: skip
    assert await sent_with(idle_world, "k5") == first


async def test_a_repeated_bulk_send_texts_once(idle_world: World) -> None:
    body = {"messages": [{"leadId": idle_world.lead["leadId"], "message": "Hi"}]}
    headers = {"Idempotency-Key": "bulk-1"}
    first = await idle_world.tenant.call("POST", "/sms/send/bulk", body, headers=headers)
    again = await idle_world.tenant.call("POST", "/sms/send/bulk", body, headers=headers)
    assert again == first
    assert len(await texts_of(idle_world)) == 1


# Bulk.


async def test_refusals_stand_beside_acceptances_in_the_order_given(idle_world: World) -> None:
    tenant = idle_world.tenant
    silent = await tenant.call("POST", "/leads", {"firstName": "No phone"})
    stopped = await tenant.lead()
    await tenant.call("PUT", f"/leads/{stopped['leadId']}/dnc", {"channels": ["sms"]})
    good = {"leadId": idle_world.lead["leadId"], "message": "Hi"}
    entries = [
        good,
        {"leadId": silent["leadId"], "message": "Hi"},
        {"leadId": stopped["leadId"], "message": "Hi"},
        {**good, "sendat": "now"},
        {**good, "message": "  "},
        {**good, "dryRun": True},
        {**good, "source": "sms_agent"},
        {**good, "turnId": "turn_1"},
        {**good, "turnId": "api"},
        {"message": "to nobody"},
        {**good, "validitySeconds": 86_400},
    ]
    done = await tenant.call("POST", "/sms/send/bulk", {"messages": entries})
    assert (done["accepted"], done["refused"]) == (2, 9)
    assert [result["index"] for result in done["results"]] == list(range(11))
    codes = [(result.get("error") or {}).get("code") for result in done["results"]]
    assert codes == [
        None, "MISSING_PHONE_NUMBER", "DNC_BLOCKED", *["VALIDATION_ERROR"] * 7, None,
    ]  # fmt: skip
    details: list[list[str]] = [(result.get("error") or {}).get("details", []) for result in done["results"]]
    assert details[3] == ["messages[3].sendat: is not a known field"]
    assert details[4] == ["messages[4].message: must not be blank"]
    for i, field in ((5, "dryRun"), (6, "source"), (7, "turnId"), (8, "turnId"), (9, "leadId")):
        assert details[i][0].startswith(f"messages[{i}].{field}: ")
    assert [entry["seq"] for entry in await texts_of(idle_world)] == [1, 2]
    accepted, *others = ({*result} for result in done["results"])
    assert accepted == {"index", "messageId", "interactionId"}
    assert others[:-1] == [{"index", "error"}] * 9


async def test_an_entry_that_cannot_even_be_read_spoils_no_other(idle_world: World) -> None:
    good = {"leadId": idle_world.lead["leadId"], "message": "Hi"}
    entries: list[Any] = [good, "x", None, [good], 5, *(
        {**good, field: value}
        for field, value in (
            ("message", "a\ud800b"), ("message", "a\x00b"), ("leadId", "\udfff"),
            ("to", "+1\ud800"), ("mediaUrls", ["https://example.com/\ud800"]), ("\ud800", 1),
        )
    )]  # fmt: skip
    content = json.dumps({"messages": entries}).encode()
    headers = {"Content-Type": "application/json"}
    answer = await idle_world.tenant.ask("POST", "/sms/send/bulk", content=content, headers=headers)
    assert answer.status_code == 202, answer.text
    done = answer.json()["data"]
    assert (done["accepted"], done["refused"]) == (1, 10)
    details = [result["error"]["details"][0] for result in done["results"][1:]]
    assert details[:4] == [f"messages[{i}]: must be an object" for i in range(1, 5)]
    assert [detail.split(": ")[0] for detail in details[4:9]] == [
        "messages[5].message", "messages[6].message", "messages[7].leadId", "messages[8].to",
        "messages[9].mediaUrls[0]",
    ]  # fmt: skip


@pytest.mark.parametrize("messages", [[], None, "x", [{}] * 1001])
async def test_a_bulk_that_is_no_list_of_texts_is_refused_whole(idle_world: World, messages: Any) -> None:
    answer = await idle_world.tenant.ask("POST", "/sms/send/bulk", {"messages": messages})
    assert answer.status_code == 400
    assert answer.json()["error"]["details"][0].startswith("messages")


async def test_a_bulk_send_is_counted_by_status_and_its_rest_cancelled(idle_world: World) -> None:
    tenant = idle_world.tenant
    entries = [{"leadId": idle_world.lead["leadId"], "message": f"Text {n}"} for n in range(5)]
    bulk_id = (await tenant.call("POST", "/sms/send/bulk", {"messages": entries}))["bulkId"]
    path = f"/sms/bulk/{bulk_id}"
    assert (await tenant.call("GET", path))["statuses"] == {"queued": 5}
    assert (await tenant.call("POST", f"{path}/cancel"))["cancelled"] == 5
    assert (await tenant.call("GET", path))["statuses"] == {"cancelled": 5}
    assert (await tenant.ask("GET", "/sms/bulk/bulk_unknown")).status_code == 404
    assert (await tenant.ask("POST", "/sms/bulk/bulk_unknown/cancel")).status_code == 404


async def test_a_thousand_texts_are_accepted_at_once_and_replies_overtake_them(
    idle_world: World, resources: Resources
) -> None:
    tenant = idle_world.tenant
    number = idle_world.number["phoneNumberId"]
    await tenant.call("PATCH", f"/phone-numbers/{number}", {"messagesPerSecond": 5})
    entries = [{"leadId": idle_world.lead["leadId"], "message": "Hi", "to": phone()} for _ in range(1000)]
    done = await tenant.call("POST", "/sms/send/bulk", {"messages": entries})
    assert done["accepted"] == 1000
    reply = await idle_world.send("A reply")
    from app import worker

    loops = worker.build_loops(resources)
    running = asyncio.create_task(loops.run())
    await idle_world.status_is(reply["messageId"], "delivered")
    counts = (await tenant.call("GET", f"/sms/bulk/{done['bulkId']}"))["statuses"]
    assert counts["queued"] > 950
    loops.stop()
    await running


async def test_a_number_sends_no_faster_than_its_pace(world: World) -> None:
    number = world.number["phoneNumberId"]
    await world.tenant.call("PATCH", f"/phone-numbers/{number}", {"messagesPerSecond": 4})
    began = asyncio.get_running_loop().time()
    sent = [await world.send("Hi", to=phone()) for _ in range(9)]
    for one in sent:
        await world.status_is(one["messageId"], "delivered")
    assert asyncio.get_running_loop().time() - began > 1.5


# Schedules.


async def test_a_scheduled_text_leaves_at_its_time_and_gets_its_place_then(world: World) -> None:
    later = await world.send("Later", sendAt=soon(1.5))
    now = await world.send("Now")
    assert (later["status"], now["status"]) == ("scheduled", "queued")
    thread = await world.thread(later["interactionId"])
    assert [entry["message"] for entry in thread["transcript"]] == ["Now"]
    assert [entry["message"] for entry in thread["scheduled"]] == ["Later"]
    await world.status_is(later["messageId"], "delivered")
    thread = await world.thread(later["interactionId"])
    assert [(e["message"], e["seq"]) for e in thread["transcript"]] == [("Now", 1), ("Later", 2)]
    assert thread["scheduled"] == []
    assert world.carrier.received(world.phone) == ["Now", "Later"]


@pytest.mark.parametrize(
    ("at", "said"),
    [
        (-120, "sendAt: is in the past"),
        (36 * 86_400, "sendAt: is more than 35 days ahead"),
        ("2030-01-01T10:00:00", "sendAt: must have an offset, such as Z or -05:00"),
        ("tomorrow", "sendAt: must be an ISO 8601 time with an offset"),
        (17.5, "sendAt: must be an ISO 8601 time with an offset"),
    ],
)
async def test_a_time_that_cannot_be_kept_is_refused(idle_world: World, at: Any, said: str) -> None:
    given = soon(at) if isinstance(at, int) else at
    body = {"leadId": idle_world.lead["leadId"], "message": "Hi", "sendAt": given}
    answer = await idle_world.tenant.ask("POST", "/sms/send", body)
    assert (answer.status_code, answer.json()["error"]["details"]) == (400, [said])


async def test_a_time_just_past_means_now(idle_world: World) -> None:
    assert (await idle_world.send(sendAt=soon(-30)))["status"] == "queued"


async def test_a_scheduled_or_queued_text_can_be_cancelled_once(idle_world: World) -> None:
    tenant = idle_world.tenant
    for sent in (await idle_world.send(sendAt=soon()), await idle_world.send()):
        path = f"/messages/{sent['messageId']}/cancel"
        assert (await tenant.call("POST", path))["status"] == "cancelled"
        again = await tenant.ask("POST", path)
        assert (again.status_code, again.json()["error"]["code"]) == (409, "NOT_CANCELLABLE")
    assert (await tenant.ask("POST", "/messages/msg_unknown/cancel")).status_code == 404


async def test_an_answer_to_any_number_cancels_what_it_makes_needless(idle_world: World) -> None:
    world = idle_world
    other = await world.tenant.number(providerAccountId=world.account["accountId"])
    world.carrier.known.inbound_urls[other["phoneNumber"]] = world.account["webhooks"]["inbound"]
    needless = await world.send("Still there?", sendAt=soon(), cancelOnReply=True)
    kept = await world.send("Reminder", sendAt=soon())
    assert await world.carrier.text(world.phone, other["phoneNumber"], "Hello") == 200
    statuses = [(await world.tenant.call("GET", f"/messages/{m['messageId']}"))["status"] for m in (needless, kept)]
    assert statuses == ["cancelled", "scheduled"]


async def test_cancel_on_reply_needs_a_time(idle_world: World) -> None:
    body = {"leadId": idle_world.lead["leadId"], "message": "Hi", "cancelOnReply": True}
    answer = await idle_world.tenant.ask("POST", "/sms/send", body)
    assert answer.json()["error"]["details"] == ["cancelOnReply: needs sendAt"]


async def test_a_stop_cancels_what_is_scheduled(idle_world: World) -> None:
    sent = await idle_world.send(sendAt=soon())
    await idle_world.text("STOP")
    message = await idle_world.tenant.call("GET", f"/messages/{sent['messageId']}")
    assert (message["status"], message["errorCode"]) == ("cancelled", "DNC_BLOCKED")


async def test_a_text_that_could_not_leave_in_time_expires(idle_world: World, resources: Resources) -> None:
    sent = await idle_world.send(validitySeconds=60)
    async with resources.database.system_tx() as tx:
        await tx.execute("UPDATE outbox SET expires_at = clock_timestamp()")
    from app import worker

    loops = worker.build_loops(resources)
    running = asyncio.create_task(loops.run())
    message = await idle_world.status_is(sent["messageId"], "failed")
    assert message["errorCode"] == "EXPIRED"
    loops.stop()
    await running
    assert idle_world.carrier.received(idle_world.phone) == []


# Quiet hours.


async def quiet_now(world: World) -> None:
    """Quiet hours in which it is night wherever the lead is."""
    hour = (datetime.now(UTC) + timedelta(hours=3)).hour % 23
    hours = {"enabled": True, "start": f"{hour:02}:00", "end": f"{hour:02}:30"}
    await world.tenant.call("PATCH", "/settings", {"quietHours": hours})
    await world.tenant.call("PATCH", f"/leads/{world.lead['leadId']}", {"timezone": "UTC"})


async def test_a_text_that_starts_contact_waits_for_the_morning(world: World) -> None:
    await quiet_now(world)
    sent = await world.send("Hi Jane")
    assert datetime.fromisoformat(sent["heldUntil"]) > datetime.now(UTC)
    message = await world.tenant.call("GET", f"/messages/{sent['messageId']}")
    assert (message["status"], message["heldReason"]) == ("queued", "quiet hours")
    assert message["heldUntil"] == sent["heldUntil"]
    thread = await world.thread(sent["interactionId"])
    assert (thread["transcript"], len(thread["scheduled"])) == ([], 1)


async def test_an_answer_to_a_fresh_text_passes_at_night(world: World) -> None:
    await world.text("Are you there?")
    await quiet_now(world)
    sent = await world.send("Yes, we are")
    assert "heldUntil" not in sent or sent["heldUntil"] is None
    await world.status_is(sent["messageId"], "delivered")


async def test_a_held_text_is_held_again_when_its_time_is_still_night(world: World, resources: Resources) -> None:
    await quiet_now(world)
    sent = await world.send("Hi Jane")
    async with resources.database.system_tx() as tx:
        await tx.execute("UPDATE outbox SET due_at = clock_timestamp()")
    await asyncio.sleep(1.5)
    message = await world.tenant.call("GET", f"/messages/{sent['messageId']}")
    assert (message["status"], message["heldUntil"]) == ("queued", sent["heldUntil"])
    await world.tenant.call("PATCH", "/settings", {"quietHours": {"enabled": False}})
    async with resources.database.system_tx() as tx:
        await tx.execute("UPDATE outbox SET due_at = clock_timestamp()")
    await world.status_is(sent["messageId"], "delivered")


def around_now(hours: int = 3) -> Data:
    """Quiet hours in which it is day now, in UTC."""
    hour = datetime.now(UTC).hour
    return {"enabled": True, "start": f"{hour:02}:00", "end": f"{min(hour + hours, 24) - 1:02}:59"}


@pytest.mark.parametrize("off", [{"enabled": False}, {"enabled": False, "start": "00:00"}, None])
async def test_what_waits_for_the_morning_leaves_at_once_when_quiet_hours_end_by_hand(
    world: World, off: Data | None
) -> None:
    await quiet_now(world)
    held = [await world.send(text) for text in ("one", "two")]
    await world.tenant.call("PATCH", "/settings", {"quietHours": off or around_now()})
    for sent in held:
        message = await world.status_is(sent["messageId"], "delivered")
        assert (message["heldUntil"], message["heldReason"]) == (None, None)
    assert world.carrier.received(world.phone) == ["one", "two"]


async def test_a_scheduled_text_that_quiet_hours_held_leaves_at_its_own_time_without_them(world: World) -> None:
    await quiet_now(world)
    send_at = (datetime.now(UTC) + timedelta(seconds=3)).isoformat()
    sent = await world.send("Hi Jane", sendAt=send_at)
    assert sent["heldUntil"]
    later = await world.send("Later", sendAt=soon())
    await world.tenant.call("PATCH", "/settings", {"quietHours": {"enabled": False}})
    message = await world.tenant.call("GET", f"/messages/{sent['messageId']}")
    assert (message["status"], message["heldUntil"]) == ("scheduled", None)
    await world.status_is(sent["messageId"], "delivered")
    assert (await world.tenant.call("GET", f"/messages/{later['messageId']}"))["status"] == "scheduled"


async def test_a_held_text_follows_new_quiet_hours(world: World) -> None:
    await quiet_now(world)
    sent = await world.send("Hi Jane")
    until_then = datetime.fromisoformat(sent["heldUntil"])
    start = f"{until_then:%H}:10"
    await world.tenant.call("PATCH", "/settings", {"quietHours": {"start": start}})

    async def look() -> Data | None:
        message = await world.tenant.call("GET", f"/messages/{sent['messageId']}")
        return message if message["heldUntil"] not in (None, sent["heldUntil"]) else None

    message = await until(look)
    assert datetime.fromisoformat(message["heldUntil"]) == until_then + timedelta(minutes=10)
    assert (message["status"], message["heldReason"]) == ("queued", "quiet hours")


async def test_other_settings_and_other_tenants_release_nothing(
    idle_world: World, other_tenant: Tenant, resources: Resources
) -> None:
    await quiet_now(idle_world)
    sent = await idle_world.send("Hi Jane")
    await idle_world.tenant.call("PATCH", "/settings", {"helpText": "Call us.", "quietHours": {"enabled": True}})
    await other_tenant.call("PATCH", "/settings", {"quietHours": {"enabled": True}})
    await other_tenant.call("PATCH", "/settings", {"quietHours": {"enabled": False}})
    message = await idle_world.tenant.call("GET", f"/messages/{sent['messageId']}")
    assert message["heldUntil"] == sent["heldUntil"]
    async with resources.database.system_tx() as tx:
        validity = await tx.fetch_value("SELECT expires_at - due_at FROM outbox")
    await idle_world.tenant.call("PATCH", "/settings", {"quietHours": {"enabled": False}})
    async with resources.database.system_tx() as tx:
        assert await tx.fetch_value("SELECT expires_at - due_at FROM outbox") == validity


# Dry run.


async def test_a_dry_run_answers_as_a_send_would_and_stores_nothing(idle_world: World) -> None:
    body = {"leadId": idle_world.lead["leadId"], "message": "Ahoj, żółw", "dryRun": True}
    answer = await idle_world.tenant.ask("POST", "/sms/send", body)
    assert answer.status_code == 200
    dry = answer.json()["data"]
    assert "messageId" not in dry
    assert (dry["culprit"], dry["encoding"], dry["segments"]) == ("ż", "UCS-2", 1)
    assert await texts_of(idle_world) == []
    real = await idle_world.send("Ahoj, żółw")
    for field in ("to", "from", "campaignId", "provider", "encoding", "segments", "resolution"):
        assert dry[field] == real[field], field


async def test_a_dry_run_is_refused_as_a_send_would_be(idle_world: World) -> None:
    await idle_world.text("STOP")
    body = {"leadId": idle_world.lead["leadId"], "message": "Hi", "dryRun": True}
    answer = await idle_world.tenant.ask("POST", "/sms/send", body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "DNC_BLOCKED")


# Encoding.


async def test_typographic_characters_become_their_gsm_twins_where_wanted(
    idle_world: World,
) -> None:
    text = "It\u2019s \u201cgreat\u201d \u2013 really\u2026"
    assert (await idle_world.send(text))["encoding"] == "UCS-2"
    await idle_world.tenant.call("PATCH", "/settings", {"smartEncoding": True})
    sent = await idle_world.send(text)
    assert sent["encoding"] == "GSM-7"
    message = await idle_world.tenant.call("GET", f"/messages/{sent['messageId']}")
    assert message["message"] == 'It\'s "great" - really...'
    emoji = await idle_world.send(f"{text} 👍")
    message = await idle_world.tenant.call("GET", f"/messages/{emoji['messageId']}")
    assert message["message"] == f"{text} 👍"


# Limits.


async def test_a_tenants_texts_of_a_day_are_limited(idle_world: World) -> None:
    tenant = idle_world.tenant
    await tenant.call("PATCH", "/settings", {"textsPerDay": 3})
    await idle_world.send()
    entry = {"leadId": idle_world.lead["leadId"], "message": "Hi"}
    done = await tenant.call("POST", "/sms/send/bulk", {"messages": [entry] * 4})
    assert (done["accepted"], done["refused"]) == (2, 2)
    over = await tenant.ask("POST", "/sms/send", entry)
    assert (over.status_code, over.json()["error"]["code"]) == (429, "RATE_LIMITED")
    assert int(over.headers["retry-after"]) > 0
    await tenant.call("PATCH", "/settings", {"textsPerDay": None})
    await idle_world.send()


async def test_a_text_over_the_daily_limit_uses_up_nothing(idle_world: World) -> None:
    tenant = idle_world.tenant
    entry = {"leadId": idle_world.lead["leadId"], "message": "Hi"}
    for limit, accepted in ((2, 2), (3, 1), (1, 0), (4, 1)):
        await tenant.call("PATCH", "/settings", {"textsPerDay": limit})
        answers = await asyncio.gather(*(tenant.ask("POST", "/sms/send", entry) for _ in range(9)))
        statuses = [answer.status_code for answer in answers]
        assert statuses.count(202) == accepted
        assert statuses.count(429) == 9 - accepted


async def test_a_text_that_waits_for_its_thread_does_not_hold_up_a_limited_day(
    idle_world: World, configuration: Settings
) -> None:
    tenant = idle_world.tenant
    await tenant.call("PATCH", "/settings", {"textsPerDay": 100})
    thread = (await idle_world.send("One"))["interactionId"]
    mine = {"leadId": idle_world.lead["leadId"], "message": "Two"}
    other = {"leadId": (await tenant.lead())["leadId"], "message": "Hi"}
    async with holding(configuration, thread):
        waiting = asyncio.ensure_future(tenant.ask("POST", "/sms/send", mine))
        await asyncio.sleep(0.5)  # by itself by now
        async with asyncio.timeout(2):
            await tenant.call("POST", "/sms/send", other)
        assert not waiting.done()
    assert (await waiting).status_code == 202


async def test_only_allowed_countries_are_texted(idle_world: World) -> None:
    await idle_world.tenant.call("PATCH", "/settings", {"allowedCountries": ["US"]})
    await idle_world.send()
    body = {"leadId": idle_world.lead["leadId"], "message": "Hi", "to": "+442079460000"}
    answer = await idle_world.tenant.ask("POST", "/sms/send", body)
    assert answer.json()["error"]["details"] == ["to: texts to GB are not allowed"]


async def test_a_keys_requests_per_second_are_limited_and_told(idle_world: World) -> None:
    tenant = idle_world.tenant
    made = await tenant.call("POST", "/api-keys", {"name": "slow", "scope": "api", "requestsPerSecond": 5})
    key = {"X-API-Key": made["apiKey"]}
    first = await tenant.http.get("/api/v1/leads", headers=key)
    assert first.status_code == 200
    assert first.headers["ratelimit-limit"] == "5"
    assert first.headers["ratelimit-remaining"] == "4"
    more = [tenant.http.get("/api/v1/leads", headers=key) for _ in range(20)]
    refused = next(a for a in await asyncio.gather(*more) if a.status_code == 429)
    assert refused.json()["error"]["code"] == "RATE_LIMITED"
    assert int(refused.headers["retry-after"]) >= 1
    assert refused.headers["ratelimit-limit"] == "5"
    assert refused.headers["ratelimit-remaining"] == "0"
    body = {"leadId": idle_world.lead["leadId"], "message": "Hi"}
    texts = [tenant.http.post("/api/v1/sms/send", headers=key, json=body) for _ in range(20)]
    sent = await asyncio.gather(*texts)
    assert 429 in {a.status_code for a in sent}
    assert all(a.headers["ratelimit-limit"] == "5" for a in sent)
    unlimited = await tenant.ask("GET", "/leads")
    assert "ratelimit-limit" not in unlimited.headers


# Brakes.


@pytest.mark.parametrize("what", ["settings", "number"])
async def test_what_is_paused_sends_nothing_until_it_is_resumed(world: World, what: str) -> None:
    path = "/settings" if what == "settings" else f"/phone-numbers/{world.number['phoneNumberId']}"
    paused = await world.tenant.call("POST", f"{path}/pause", {"reason": "complaints"})
    assert paused["pausedReason"] == "complaints"
    sent = await world.send()
    await asyncio.sleep(1.3)
    message = await world.tenant.call("GET", f"/messages/{sent['messageId']}")
    assert (message["status"], message["heldUntil"]) == ("queued", None)
    assert message["heldReason"].endswith("is paused: complaints")
    resumed = await world.tenant.call("POST", f"{path}/resume")
    assert resumed["pausedAt"] is None
    await world.status_is(sent["messageId"], "delivered")


async def test_a_paused_agents_texts_wait_and_a_persons_do_not(world: World) -> None:
    agent = f"/sms-agents/{world.smsagent['smsAgentId']}"
    await world.tenant.call("POST", f"{agent}/pause", {"reason": "odd answers"})
    world.agent.answers = [(200, {"reply": "From the agent"})]
    sent = await world.send("Hi", agentMode=True)
    await world.text("Hello?")
    turn = await world.turn_is(sent["interactionId"], "replied")
    [waiting] = turn["reply"]["messageIds"]
    await asyncio.sleep(1.2)
    message = await world.tenant.call("GET", f"/messages/{waiting}")
    assert message["status"] == "queued"
    assert message["heldReason"] == "the agent is paused: odd answers"
    await world.tenant.call("POST", f"{agent}/resume")
    await world.status_is(waiting, "delivered")


# Consent.


async def test_a_stop_is_confirmed_once_and_a_start_restores(world: World) -> None:
    sent = await world.send("Hi Jane")
    await world.status_is(sent["messageId"], "delivered")
    path = f"/interactions/{sent['interactionId']}"
    await world.tenant.call("PATCH", path, {"status": "qualified"})
    await world.tenant.call("PATCH", "/settings", {"optOutConfirmation": "You are out."})
    await world.text("STOP")
    await world.text("stop")

    async def confirmed() -> bool:
        return "You are out." in world.carrier.received(world.phone)

    await until(confirmed)
    thread = await world.thread(sent["interactionId"])
    texts = [e["source"] for e in thread["transcript"] if e["status"] != "note"]
    assert texts == ["api", "inbound", "system", "inbound"]
    assert thread["status"] == "dnc"
    await world.text("START")
    assert (await world.thread(sent["interactionId"]))["status"] == "qualified"
    again = await world.send("Welcome back")
    await world.status_is(again["messageId"], "delivered")
    assert world.carrier.received(world.phone).count("You are out.") == 1


async def test_help_is_answered_once_a_day_also_after_a_stop(world: World) -> None:
    await world.tenant.call("PATCH", "/settings", {"helpText": "We are Sunny Roofs."})
    await world.text("STOP")
    await world.text("HELP")
    await world.text("info")

    async def helped() -> bool:
        return "We are Sunny Roofs." in world.carrier.received(world.phone)

    await until(helped)
    await asyncio.sleep(0.3)
    assert world.carrier.received(world.phone).count("We are Sunny Roofs.") == 1


async def test_the_consent_record_tells_what_was_said_and_done(idle_world: World) -> None:
    world = idle_world
    unknown = await world.tenant.call("GET", "/consent/+12125559876")
    assert (unknown["suppressed"], unknown["causes"], unknown["events"]) == (False, [], [])
    await world.text("STOP")
    await world.tenant.call("POST", "/suppressions", {"phones": [world.phone], "reason": "by mail"})
    record = await world.tenant.call("GET", f"/consent/{world.phone}")
    assert record["causes"] == ["lead", "person"]
    assert [(e["event"], e["cause"], e["text"]) for e in record["events"]] == [
        ("opted_out", "lead", "STOP"), ("suppressed", "person", "by mail"),
    ]  # fmt: skip
    lifted = await world.tenant.call("DELETE", f"/suppressions/{world.phone}?reason=mistake")
    assert (lifted["causes"], lifted["suppressed"]) == (["lead"], True)
    refused = await world.tenant.ask("DELETE", f"/suppressions/{world.phone}")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "SUPPRESSION_ACTIVE")
    await world.text("UNSTOP")
    record = await world.tenant.call("GET", f"/consent/{world.phone}")
    assert (record["suppressed"], record["events"][-1]["event"]) == (False, "opted_in")


async def test_a_list_with_one_bad_phone_suppresses_nobody(idle_world: World) -> None:
    body = {"phones": [idle_world.phone, "12", "+12125550199"]}
    answer = await idle_world.tenant.ask("POST", "/suppressions", body)
    assert answer.json()["error"]["details"] == ["phones[1]: is not a valid phone number"]
    await idle_world.send()
