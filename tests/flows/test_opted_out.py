"""A carrier's word that the recipient of a text opted out: obeyed when it is news, and not when it
tells of what was before the lead opted in again."""

import asyncio

from app.demo.carrier import sign_webhook
from app.jobs.deliver import Delivery
from app.resources import Resources
from tests.flows.test_receive import twilio_post
from tests.makers import CREDENTIALS, Data
from tests.service import Api
from tests.world import World

SILENT, REPORTED = "+12125550024", "+12125550026"
"""Phones of which the simulated carrier says nothing, and that they opted out."""


async def receipt(world: World, api: Api, message: Data, code: str = "opted_out") -> None:
    """The carrier says what became of the text, as often as this is called."""
    url = f"{world.account['webhooks']['status']}?message={message['messageId']}"
    body = {"type": "status", "id": message["providerMessageId"], "status": "undelivered",
            "code": code}  # fmt: skip
    answer = await api.http.post(url, **sign_webhook(CREDENTIALS["simulator"]["secret"], url, body))
    assert answer.status_code == 200


async def consent(world: World, phone: str) -> tuple[list[str], list[str]]:
    """The causes that stand, and what was said and done."""
    told = await world.tenant.call("GET", f"/consent/{phone}")
    return told["causes"], [event["event"] for event in told["events"]]


async def text(world: World, phone: str, words: str) -> None:
    assert await world.carrier.text(phone, world.ours, words) == 200


async def test_the_same_receipt_again_after_a_start_leaves_the_phone_free(world: World, api: Api) -> None:
    sent = await world.send(to=REPORTED)
    message = await world.status_is(sent["messageId"], "undelivered")
    assert await consent(world, REPORTED) == (["lead"], ["opted_out"])
    await receipt(world, api, message)
    assert await consent(world, REPORTED) == (["lead"], ["opted_out"])
    await text(world, REPORTED, "START")
    for _ in range(2):
        await receipt(world, api, message)
    assert await consent(world, REPORTED) == ([], ["opted_out", "opted_in"])
    await world.send(to=REPORTED)


async def test_a_first_receipt_of_a_text_from_before_the_start_leaves_it_free(world: World, api: Api) -> None:
    sent = await world.send(to=SILENT)
    message = await world.status_is(sent["messageId"], "sent")
    await text(world, SILENT, "STOP")
    await text(world, SILENT, "START")
    await receipt(world, api, message)
    assert await consent(world, SILENT) == ([], ["opted_out", "opted_in"])
    assert (await world.status_is(sent["messageId"], "undelivered"))["errorCode"] == "opted_out"


async def test_a_receipt_of_a_text_from_after_the_start_is_obeyed(world: World, api: Api) -> None:
    first = await world.status_is((await world.send(to=SILENT))["messageId"], "sent")
    await receipt(world, api, first)
    await text(world, SILENT, "START")
    second = await world.status_is((await world.send(to=SILENT))["messageId"], "sent")
    await receipt(world, api, first)
    assert await consent(world, SILENT) == ([], ["opted_out", "opted_in"])
    await receipt(world, api, second)
    assert (await consent(world, SILENT))[0] == ["lead"]


async def test_a_scheduled_text_counts_from_when_it_was_sent(idle_world: World, api: Api, resources: Resources) -> None:
    world, held = idle_world, resources
    sent = await world.send(to=SILENT)
    await text(world, SILENT, "START")
    delivery = Delivery(held.database, held.wire, held.seal, held.settings.base_url)
    batch = await delivery.claim(10)
    assert batch
    await delivery.deliver_batch(batch)
    message = await world.status_is(sent["messageId"], "sent")
    await receipt(world, api, message)
    assert (await consent(world, SILENT))[0] == ["lead"]


async def test_a_refusal_that_was_asked_for_before_a_start_leaves_the_phone_free(
    idle_world: World, resources: Resources
) -> None:
    """The lead writes START while the carrier is asked."""
    world, held, phone = idle_world, resources, "+12125550002"
    delivery = Delivery(held.database, held.wire, held.seal, held.settings.base_url)
    sent = await world.send(to=phone)
    batch = await delivery.claim(10)
    assert batch
    await text(world, phone, "START")
    await delivery.deliver_batch(batch)
    await world.status_is(sent["messageId"], "failed")
    assert await consent(world, phone) == ([], ["opted_in"])
    again = await world.send(to=phone)
    batch = await delivery.claim(10)
    while batch is None:  # the number's pacing
        await asyncio.sleep(0.05)
        batch = await delivery.claim(10)
    await delivery.deliver_batch(batch)
    await world.status_is(again["messageId"], "failed")
    assert await consent(world, phone) == (["lead"], ["opted_in", "opted_out"])


async def test_a_twilio_receipt_is_heard_once_however_often_it_comes(idle_world: World, api: Api) -> None:
    world = idle_world
    account = await world.tenant.account("twilio")
    number = await world.tenant.number(providerAccountId=account["accountId"])
    sent = await world.send(**{"from": number["phoneNumber"]})
    form = {"MessageSid": "SM7", "AccountSid": CREDENTIALS["twilio"]["accountSid"],
            "To": world.phone, "From": number["phoneNumber"], "MessageStatus": "undelivered",
            "ErrorCode": "21610"}  # fmt: skip
    hooks = account["webhooks"]
    told = {"webhooks": {"status": f"{hooks['status']}?message={sent['messageId']}"}}
    for _ in range(3):
        assert (await twilio_post(api, told, form, "status")).is_success
    assert await consent(world, world.phone) == (["lead"], ["opted_out"])
    start = {"MessageSid": "SM8", "AccountSid": CREDENTIALS["twilio"]["accountSid"],
             "To": number["phoneNumber"], "From": world.phone, "Body": "START"}  # fmt: skip
    assert (await twilio_post(api, account, start)).is_success
    assert (await twilio_post(api, told, form, "status")).is_success
    assert await consent(world, world.phone) == ([], ["opted_out", "opted_in"])
