"""Each carrier's webhook through the door: stored once, answered as the vendor expects."""

import base64
import hashlib
import json
import time
from urllib.parse import urlencode

import pytest

from app.resources import Resources
from tests.makers import Data, Tenant, phone
from tests.world import until

CREDENTIALS: dict[str, dict[str, str]] = {
    "vonage": {"apiKey": "abcd1234", "apiSecret": "secret-1", "signatureSecret": "s" * 40},
    "bandwidth": {
        "accountId": "5500123", "applicationId": "app-1", "username": "u", "password": "p",
        "callbackUsername": "cb", "callbackPassword": "cb-secret",
    },
    "telnyx": {"apiKey": "KEY1", "publicKey": base64.b64encode(b"k" * 32).decode()},
    "plivo": {"authId": "MA1", "authToken": "plivo-token"},
    "sinch": {"servicePlanId": "plan", "apiToken": "token", "webhookSecret": "hook"},
}  # fmt: skip


async def line(tenant: Tenant, provider: str) -> tuple[str, str]:
    """An account with a number; the path of its inbound webhook, and the number."""
    account = await tenant.call(
        "POST", "/provider-accounts",
        {"provider": provider, "name": provider, "credentials": CREDENTIALS[provider]},
    )  # fmt: skip
    number = await tenant.number(providerAccountId=account["accountId"])
    return f"/webhooks/{provider}/{account['accountId']}/inbound", number["phoneNumber"]


async def texts_from(tenant: Tenant, sender: str) -> list[str]:
    found = await tenant.call("GET", f"/interactions?search={sender.removeprefix('+')}")
    threads = [await tenant.call("GET", f"/interactions/{thread['interactionId']}") for thread in found["interactions"]]
    return [entry["message"] for thread in threads for entry in thread["transcript"]]


@pytest.mark.parametrize("provider", sorted(CREDENTIALS))
async def test_an_unsigned_webhook_stores_nothing(tenant: Tenant, provider: str) -> None:
    path, number = await line(tenant, provider)
    sender = phone()
    body = {"from": sender, "to": number, "text": "Hi", "channel": "sms", "message_uuid": "u-1"}
    answer = await tenant.http.post(path, json=body)
    assert answer.status_code in ((503,) if provider == "vonage" else (401,))
    assert await texts_from(tenant, sender) == []


async def test_a_bandwidth_text_is_stored_once(tenant: Tenant) -> None:
    path, number = await line(tenant, "bandwidth")
    sender = phone()
    body = [
        {
            "type": "message-received", "time": "2026-11-24T12:00:00Z", "description": "Incoming",
            "to": number,
            "message": {"id": "bw-1", "owner": number, "applicationId": "app-1",
                        "time": "2026-11-24T12:00:00Z", "segmentCount": 1, "direction": "in",
                        "to": [number], "from": sender, "text": "Hello ☀"},
        }
    ]  # fmt: skip
    for _ in range(2):
        answer = await tenant.http.post(path, json=body, auth=("cb", "cb-secret"))
        assert answer.is_success
    assert await texts_from(tenant, sender) == ["Hello ☀"]


def signed(parameters: dict[str, str], secret: str = "s" * 40) -> dict[str, str]:
    """Parameters of Vonage's old SMS dialect with their MD5 signature."""
    stamped = parameters | {"timestamp": str(int(time.time())), "api-key": "abcd1234"}
    said = "".join(f"&{name}={stamped[name]}" for name in sorted(stamped))
    digest = hashlib.md5((said + secret).encode()).hexdigest()
    return stamped | {"sig": digest}


def part(sender: str, number: str, n: int, text: str, total: int = 3, of: str = "part") -> dict[str, str]:
    return signed(
        {
            "msisdn": sender.removeprefix("+"), "to": number.removeprefix("+"), "type": "text",
            "messageId": f"{of}-{sender}-{n}", "text": text, "concat": "true",
            "concat-ref": "17", "concat-part": str(n), "concat-total": str(total),
        }
    )  # fmt: skip


async def test_parts_of_a_long_text_are_joined_in_order_whatever_order_they_come_in(
    tenant: Tenant,
) -> None:
    path, number = await line(tenant, "vonage")
    sender = phone()
    parts = {n: part(sender, number, n, text) for n, text in ((1, "one "), (2, "two "), (3, "3"))}
    for n in (3, 1, 3):
        assert (await tenant.http.get(path, params=parts[n])).is_success
    assert await texts_from(tenant, sender) == []
    assert (await tenant.http.post(path, content=urlencode(parts[2]), headers={
        "Content-Type": "application/x-www-form-urlencoded"})).is_success  # fmt: skip
    assert await texts_from(tenant, sender) == ["one two 3"]
    for n in (1, 2, 3):
        assert (await tenant.http.get(path, params=parts[n])).is_success
    assert await texts_from(tenant, sender) == ["one two 3"]


async def test_parts_are_joined_where_json_has_booleans_and_numbers(tenant: Tenant) -> None:
    path, number = await line(tenant, "vonage")
    sender = phone()
    for n, text in ((2, "OP"), (1, "ST")):
        as_texts = part(sender, number, n, text, total=2)
        typed = {"concat": True, "concat-part": n, "concat-total": 2, "timestamp": int(as_texts["timestamp"])}
        assert (await tenant.http.post(path, json=as_texts | typed)).status_code == 200
    assert (await texts_from(tenant, sender))[0] == "STOP"
    assert (await tenant.call("GET", f"/consent/{sender}"))["causes"] == ["lead"]


@pytest.mark.usefixtures("working")
@pytest.mark.parametrize(
    ("came", "at_once", "in_the_end"),
    [
        # The text before lost its end.
        ("A1/2 B1/2 B2/2", ["A1", "B1B2"], []),
        ("A1/3 A2/3 B1/3 B2/3 B3/3", ["A1A2", "B1B2B3"], []),
        ("A1/2 B1/2 C1/2 C2/2", ["A1", "B1", "C1C2"], []),
        # Its end came after all: by itself.
        ("A1/2 B1/2 B2/2 A2/2", ["A1", "B1B2"], ["A2"]),
        ("B2/2 A2/2 A1/2", ["B2", "A1A2"], []),
        # Which end belongs to which beginning nobody says; none is dropped.
        ("A1/2 B1/2 A2/2 B2/2", ["A1", "B1A2"], ["B2"]),
        ("A2/2 B2/2 A1/2 B1/2", ["A2", "A1B2"], ["B1"]),
        # Another number of parts: another text.
        ("A1/3 B2/2 B1/2", ["A1", "B1B2"], []),
        ("A1/2 B2/3 B1/3 B3/3", ["A1", "B1B2B3"], []),
        ("A2/3 B1/1", ["A2", "B1"], []),
        # Repeats change nothing, whatever came meanwhile.
        ("A1/2 A1/2 A2/2 A2/2 A1/2", ["A1A2"], []),
        ("A1/2 B1/2 A1/2 B1/2 B2/2 A1/2", ["A1", "B1B2"], []),
        ("A1/2 A2/2 B1/2 A1/2 A2/2 B2/2", ["A1A2", "B1B2"], []),
    ],
)
async def test_a_part_whose_place_is_taken_begins_a_new_text_and_none_is_dropped(
    tenant: Tenant, resources: Resources, came: str, at_once: list[str], in_the_end: list[str]
) -> None:
    path, number = await line(tenant, "vonage")
    sender = phone()
    for text, total in (one.split("/") for one in came.split()):
        said = part(sender, number, int(text[1]), text, int(total), text[0])
        assert (await tenant.http.get(path, params=said)).is_success
    assert await texts_from(tenant, sender) == at_once
    async with resources.database.system_tx() as tx:
        await tx.execute("UPDATE inbound_parts SET received_at = now() - interval '2 minutes'")

    async def delivered() -> bool:
        return await texts_from(tenant, sender) == at_once + in_the_end

    await until(delivered)


@pytest.mark.usefixtures("working")
async def test_what_is_left_of_a_text_is_delivered_after_a_while(tenant: Tenant, resources: Resources) -> None:
    path, number = await line(tenant, "vonage")
    sender = phone()
    assert (await tenant.http.get(path, params=part(sender, number, 2, "lonely"))).is_success
    async with resources.database.system_tx() as tx:
        await tx.execute("UPDATE inbound_parts SET received_at = now() - interval '2 minutes'")

    async def delivered() -> bool:
        return await texts_from(tenant, sender) == ["lonely"]

    await until(delivered)


async def test_a_number_of_another_account_is_dropped_without_a_word(tenant: Tenant, other_tenant: Tenant) -> None:
    path, _ = await line(tenant, "bandwidth")
    _, theirs = await line(other_tenant, "bandwidth")
    sender = phone()
    message: Data = {"id": "bw-2", "owner": theirs, "to": [theirs], "from": sender, "text": "Hi",
                     "direction": "in", "time": "2026-11-24T12:00:00Z"}  # fmt: skip
    body = json.dumps([{"type": "message-received", "to": theirs, "message": message}])
    answer = await tenant.http.post(path, content=body, auth=("cb", "cb-secret"),
                                    headers={"Content-Type": "application/json"})  # fmt: skip
    assert answer.is_success
    assert await texts_from(other_tenant, sender) == []
    assert await texts_from(tenant, sender) == []
