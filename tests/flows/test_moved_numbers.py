"""A number that moved to another account: for a week its old account may still bring texts."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from app.resources import Resources
from tests.flows.test_dialects import CREDENTIALS as VONAGE_CREDENTIALS
from tests.flows.test_dialects import signed
from tests.flows.test_receive import twilio_post
from tests.flows.test_vendor import at_the_vendor, sync
from tests.makers import CREDENTIALS, Data, Tenant, phone
from tests.service import Api
from tests.world import World, until

Post = Callable[[Api, Data, str, str, str], Awaitable[httpx.Response]]
"""Posts (sender, to, text) to the account's webhook, signed as its carrier signs."""


async def post_by_twilio(api: Api, account: Data, sender: str, to: str, text: str) -> httpx.Response:
    form = {
        "MessageSid": f"SM-{sender}-{text}", "AccountSid": CREDENTIALS["twilio"]["accountSid"],
        "From": sender, "To": to, "Body": text,
    }  # fmt: skip
    return await twilio_post(api, account, form)


async def post_by_vonage(api: Api, account: Data, sender: str, to: str, text: str) -> httpx.Response:
    parameters = {
        "msisdn": sender.removeprefix("+"), "to": to.removeprefix("+"), "type": "text",
        "messageId": f"{sender}-{text}", "text": text,
    }  # fmt: skip
    return await api.http.get(account["webhooks"]["inbound"], params=signed(parameters))


POSTS: dict[str, Post] = {"twilio": post_by_twilio, "vonage": post_by_vonage}
carriers = pytest.mark.parametrize("carrier_name", sorted(POSTS))


async def add_account(tenant: Tenant, carrier_name: str) -> Data:
    given = {"credentials": VONAGE_CREDENTIALS["vonage"]} if carrier_name == "vonage" else {}
    return await tenant.account(carrier_name, **given)


async def move(world: World, number: Data, account: Data | None) -> None:
    path = f"/phone-numbers/{number['phoneNumberId']}"
    await world.tenant.call("PATCH", path, {"providerAccountId": account and account["accountId"]})


async def texts_of(tenant: Tenant, sender: str) -> list[str]:
    found = await tenant.call("GET", f"/interactions?search={sender.removeprefix('+')}")
    threads = [await tenant.call("GET", f"/interactions/{thread['interactionId']}") for thread in found["interactions"]]
    return [entry["message"] for thread in threads for entry in thread["transcript"] if entry["role"] == "user"]


async def make_older(resources: Resources, days: int) -> None:
    """Makes every move of a number this many days older."""
    async with resources.database.system_tx() as tx:
        await tx.execute(
            """UPDATE phone_numbers SET former_accounts = (
                   SELECT jsonb_object_agg(key, value::timestamptz - $1 * interval '1 day')
                   FROM jsonb_each_text(former_accounts)) WHERE former_accounts <> '{}'""",
            days,
        )


@carriers
async def test_the_old_account_brings_texts_for_a_week(
    idle_world: World, api: Api, resources: Resources, carrier_name: str
) -> None:
    world, post, sender = idle_world, POSTS[carrier_name], phone()
    old = await add_account(world.tenant, carrier_name)
    number = await world.tenant.number(providerAccountId=old["accountId"])
    await move(world, number, world.account)
    for text, days in (("at once", 6), ("after six days", 2), ("too late", 0)):
        assert (await post(api, old, sender, number["phoneNumber"], text)).is_success
        await make_older(resources, days)
    assert await texts_of(world.tenant, sender) == ["at once", "after six days"]


@carriers
async def test_a_stop_through_the_old_account_is_obeyed_at_once(idle_world: World, api: Api, carrier_name: str) -> None:
    world, post = idle_world, POSTS[carrier_name]
    old = await add_account(world.tenant, carrier_name)
    number = await world.tenant.number(providerAccountId=old["accountId"])
    await move(world, number, world.account)
    waiting = await world.send("Hi", **{"from": number["phoneNumber"]})
    assert (await post(api, old, world.phone, number["phoneNumber"], "STOP")).is_success
    assert (await world.thread(waiting["interactionId"]))["status"] == "dnc"
    assert (await world.tenant.call("GET", f"/messages/{waiting['messageId']}"))["status"] == "cancelled"
    consent = await world.tenant.call("GET", f"/consent/{world.phone}")
    assert consent["causes"] == ["lead"]


async def test_a_stop_through_the_old_account_is_confirmed_through_the_new_one(world: World, api: Api) -> None:
    old = await add_account(world.tenant, "vonage")
    number = await world.tenant.number(providerAccountId=old["accountId"])
    await move(world, number, world.account)
    sender = phone()
    assert (await post_by_vonage(api, old, sender, number["phoneNumber"], "STOP")).is_success

    async def look() -> list[str] | None:
        return world.carrier.received(sender) or None

    [confirmation] = await until(look)
    assert "unsubscribed" in confirmation


@carriers
async def test_no_other_account_may_bring_them(
    idle_world: World, api: Api, other_tenant: Any, carrier_name: str
) -> None:
    world, post, sender = idle_world, POSTS[carrier_name], phone()
    old, never = await add_account(world.tenant, carrier_name), await add_account(world.tenant, carrier_name)
    theirs = await add_account(other_tenant, carrier_name)
    number = await world.tenant.number(providerAccountId=old["accountId"])
    await move(world, number, world.account)
    for account in (never, theirs):
        assert (await post(api, account, sender, number["phoneNumber"], "STOP")).is_success
    assert await texts_of(world.tenant, sender) == []
    assert (await world.tenant.call("GET", f"/consent/{sender}"))["causes"] == []


@carriers
async def test_each_account_of_a_number_that_moved_twice_has_its_week(
    idle_world: World, api: Api, resources: Resources, carrier_name: str
) -> None:
    world, post, sender = idle_world, POSTS[carrier_name], phone()
    first, second = await add_account(world.tenant, carrier_name), await add_account(world.tenant, carrier_name)
    number = await world.tenant.number(providerAccountId=first["accountId"])
    await move(world, number, second)
    await make_older(resources, 4)
    await move(world, number, world.account)
    await post(api, first, sender, number["phoneNumber"], "by the first")
    await post(api, second, sender, number["phoneNumber"], "by the second")
    await make_older(resources, 4)
    await post(api, first, sender, number["phoneNumber"], "too late")
    await post(api, second, sender, number["phoneNumber"], "still by the second")
    assert await texts_of(world.tenant, sender) == ["by the first", "by the second", "still by the second"]


async def test_a_sync_and_a_number_without_account_keep_the_week_of_the_old_one(idle_world: World, api: Api) -> None:
    world, sender = idle_world, phone()
    old = await add_account(world.tenant, "twilio")
    number = await world.tenant.number(providerAccountId=old["accountId"])
    await move(world, number, None)
    at_the_vendor(world, world.ours, number["phoneNumber"])
    assert (await sync(world))["updated"] == 2
    moved = await world.tenant.call("GET", f"/phone-numbers/{number['phoneNumberId']}")
    assert moved["providerAccountId"] == world.account["accountId"]
    assert (await post_by_twilio(api, old, sender, number["phoneNumber"], "Hi")).is_success
    assert await texts_of(world.tenant, sender) == ["Hi"]
