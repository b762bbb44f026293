"""What only the vendor can tell: its numbers, where it posts, and the texts we missed."""

import asyncio
from datetime import timedelta

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from app.resources import Resources
from app.web import presence
from tests.makers import CREDENTIALS, Data, Tenant, phone
from tests.world import World, served, until

ONE, TWO, THREE = "+12125550151", "+12125550152", "+12125550153"


async def sync(world: World, query: str = "") -> Data:
    path = f"/provider-accounts/{world.account['accountId']}/sync-numbers{query}"
    return await world.tenant.call("POST", path)


async def numbers(world: World) -> dict[str, Data]:
    listed = await world.tenant.call("GET", "/phone-numbers")
    return {number["phoneNumber"]: number for number in listed["phoneNumbers"]}


def at_the_vendor(world: World, *there: str, url: str | None = None) -> None:
    known = world.carrier.known.inbound_urls
    known.clear()
    known.update(dict.fromkeys(there, url or world.account["webhooks"]["inbound"]))


async def test_numbers_are_taken_over_once(idle_world: World) -> None:
    world = idle_world
    at_the_vendor(world, world.ours, ONE, TWO)
    assert await sync(world) == {"added": 2, "updated": 1, "deactivated": 0, "unchanged": 0}
    assert await sync(world) == {"added": 0, "updated": 0, "deactivated": 0, "unchanged": 3}
    number = (await numbers(world))[ONE]
    assert number["providerAccountId"] == world.account["accountId"]
    assert sorted(number["capabilities"]) == ["mms", "sms"]


async def test_what_is_gone_is_switched_off_but_never_most_of_it(idle_world: World) -> None:
    world = idle_world
    at_the_vendor(world, world.ours, ONE, TWO, THREE)
    await sync(world)
    at_the_vendor(world, world.ours, ONE)
    assert (await sync(world))["deactivated"] == 2
    assert not (await numbers(world))[TWO]["active"]
    at_the_vendor(world, TWO)
    assert (await sync(world))["deactivated"] == 0
    assert (await sync(world, "?force=true"))["deactivated"] == 2


async def test_a_number_that_was_used_lately_stays_on(idle_world: World) -> None:
    world = idle_world
    at_the_vendor(world, world.ours, ONE, TWO)
    await sync(world)
    await world.send("Hi", **{"from": TWO})
    at_the_vendor(world, world.ours, ONE)
    assert (await sync(world))["deactivated"] == 0
    assert (await numbers(world))[TWO]["active"]


async def test_short_codes_are_taken_over_and_switched_off_as_other_numbers(idle_world: World) -> None:
    world = idle_world
    at_the_vendor(world, world.ours, "72345", "83456")
    assert (await sync(world))["added"] == 2
    at_the_vendor(world, world.ours, "83456")
    assert (await sync(world))["deactivated"] == 1
    assert not (await numbers(world))["72345"]["active"]


async def test_a_list_without_short_codes_says_nothing_about_ours(idle_world: World) -> None:
    world = idle_world
    path = f"/provider-accounts/{world.account['accountId']}/webhook-check"
    await world.tenant.number(phoneNumber="72345", providerAccountId=world.account["accountId"])
    at_the_vendor(world, world.ours, ONE, TWO)
    for query in ("", "?force=true"):
        assert (await sync(world, query))["deactivated"] == 0
    assert (await numbers(world))["72345"]["active"]
    inbound = world.account["webhooks"]["inbound"]
    assert (await world.tenant.call("GET", path))["findings"] == [
        f"The vendor does not say where texts to 72345 go: set it to {inbound}"
    ]
    at_the_vendor(world, world.ours, ONE, TWO, "72345")
    assert (await world.tenant.call("GET", path))["ok"]


async def test_twilios_two_lists_of_numbers_are_one(tenant: Tenant) -> None:
    account_path = f"/2010-04-01/Accounts/{CREDENTIALS['twilio']['accountSid']}"
    lists: dict[str, Data] = {
        "IncomingPhoneNumbers.json": {"incoming_phone_numbers": [{"phone_number": ONE, "capabilities": {"sms": True}}]},
        "SMS/ShortCodes.json": {"short_codes": [{"short_code": "72345", "friendly_name": "Promo"}]},
    }

    async def show(request: Request) -> JSONResponse:
        return JSONResponse(lists[request.path_params["list"]])

    async with served(Starlette(routes=[Route(f"{account_path}/{{list:path}}", show)])) as url:
        account = await tenant.account("twilio", baseUrl=url)
        sync_path = f"/provider-accounts/{account['accountId']}/sync-numbers"
        assert (await tenant.call("POST", sync_path))["added"] == 2
        [code] = [n for n in (await tenant.call("GET", "/phone-numbers"))["phoneNumbers"] if n["label"] == "Promo"]
        assert (code["phoneNumber"], code["capabilities"], code["active"]) == ("72345", ["sms"], True)
        await tenant.call("PATCH", f"/phone-numbers/{code['phoneNumberId']}", {"capabilities": ["sms", "mms"]})
        assert (await tenant.call("POST", sync_path))["unchanged"] == 2


async def test_a_vendor_that_does_not_answer_changes_nothing(idle_world: World) -> None:
    world = idle_world
    account = f"/provider-accounts/{world.account['accountId']}"
    await world.tenant.call("PATCH", account, {"baseUrl": "http://127.0.0.1:9"})
    answer = await world.tenant.ask("POST", f"{account}/sync-numbers")
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "PROVIDER_ERROR")
    await world.tenant.call("PATCH", account, {"baseUrl": world.carrier.url, "credentials": {"secret": "wrong one"}})
    answer = await world.tenant.ask("POST", f"{account}/sync-numbers")
    assert answer.json()["error"]["details"] == ["provider: answered 401"]
    assert (await numbers(world))[world.ours]["active"]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (None, None),
        ("", "go nowhere"),
        ("https://old.example/hook", "go to another address"),
    ],
)
async def test_the_webhook_check_says_what_is_wrong(idle_world: World, url: str | None, said: str | None) -> None:
    world = idle_world
    known = world.carrier.known.inbound_urls
    if url is not None:
        known[world.ours] = url
    path = f"/provider-accounts/{world.account['accountId']}/webhook-check"
    check = await world.tenant.call("GET", path)
    assert check["ok"] == (said is None)
    assert all(said in finding for finding in check["findings"] if said)
    known.clear()
    check = await world.tenant.call("GET", path)
    assert "not among the vendor's numbers" in check["findings"][0]


async def test_texts_of_an_absence_are_fetched_once_and_opt_outs_first(world: World, resources: Resources) -> None:
    sent = await world.send("Hi Jane", agentMode=True)
    await world.status_is(sent["messageId"], "delivered")
    silent, url = phone(), world.carrier.known.inbound_urls.pop(world.ours)
    for who, text in ((world.phone, "Nobody hears me"), (silent, "Hello"), (silent, "STOP")):
        await world.carrier.text(who, world.ours, text)
    world.carrier.known.inbound_urls[world.ours] = url
    await world.text("Now you do")
    async with resources.database.system_tx() as tx:
        await tx.execute("UPDATE installation SET alive_at = alive_at - $1::interval",
                         timedelta(minutes=5))  # fmt: skip
    await presence.record_presence(resources.database)

    async def fetched() -> bool:
        thread = await world.thread(sent["interactionId"])
        return [e["message"] for e in thread["transcript"]] == [
            "Hi Jane", "Now you do", "Nobody hears me",
        ]  # fmt: skip

    await until(fetched)
    record = await world.tenant.call("GET", f"/consent/{silent}")
    assert record["causes"] == ["lead"]
    turn = await world.turn_is(sent["interactionId"], "awaiting_reply")
    assert len(turn["messages"]) == 2
    async with resources.database.system_tx() as tx:
        late = await tx.fetch_rows("SELECT text FROM messages WHERE late ORDER BY text")
        assert [row["text"] for row in late] == ["Hello", "Nobody hears me", "STOP"]
        assert await tx.fetch_value("SELECT count(*) FROM provider_accounts WHERE noticed_at > '0001-01-01'") == 0


async def test_nothing_leaves_while_missed_texts_are_fetched(world: World, resources: Resources) -> None:
    account = f"/provider-accounts/{world.account['accountId']}"
    await world.tenant.call("PATCH", account, {"baseUrl": "http://127.0.0.1:9"})
    async with resources.database.system_tx() as tx:
        await tx.execute("UPDATE provider_accounts SET missing_since = now(), noticed_at = clock_timestamp()")
    sent = await world.send("Wait")
    await asyncio.sleep(1.5)
    assert world.carrier.received(world.phone) == []
    await world.tenant.call("PATCH", account, {"baseUrl": world.carrier.url})
    await world.status_is(sent["messageId"], "delivered")
