"""A send is judged the same whether it is meant or tried, and says what is wrong by name."""

import json
import random
from typing import Any

import pytest

from app.store import idempotency, resolving, sending
from tests.makers import Data, phone
from tests.world import World

FIELDS_FOUND = ("to", "from", "campaignId", "provider", "encoding", "segments", "resolution")
WRONG: dict[str, tuple[Any, ...]] = {
    "leadId": ("", None, 5, ["x"], {"a": 1}, "x" * 65, "a\x00b"),
    "message": ("", "  \n", None, 5, [], "x" * 1601, "a\x00b"),
    "to": ("", "12", "not a phone", 5, [], "+1" * 30, "+999"),
    "from": ("", "12", "+12125550100", 5, []),
    "campaignId": ("", 5, [], "x" * 65),
    "interactionId": ("", 5, {}),
    "source": ("manual", "system", "inbound", "API", 5, []),
    "turnId": ("", 5, "turn_1"),
    "agentMode": ("yes", 1, "true", []),
    "sendAt": ("", "soon", 5, "2030-01-01", "2030-13-01T00:00:00Z"),
    "cancelOnReply": ("true", 1, True),
    "validitySeconds": (0, 59, 36_001, -5, 1.5, "60", True),
    "mediaUrls": ("x", ["ftp://a/b"], ["https://a/b"] * 11, [5]),
    "dryRun": ("true", 1, []),
    "sendat": ("now",),
    "unknown": (1,),
}


@pytest.mark.parametrize(("field", "value"), [(field, value) for field, values in WRONG.items() for value in values])
async def test_each_field_that_is_wrong_is_named_and_nothing_is_stored(
    idle_world: World, field: str, value: Any
) -> None:
    body: Data = {"leadId": idle_world.lead["leadId"], "message": "Hi"} | {field: value}
    answer = await idle_world.tenant.ask("POST", "/sms/send", body)
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert error["code"] == "VALIDATION_ERROR"
    assert any(detail.startswith(field) for detail in error["details"]), error
    path = f"/interactions/lead/{idle_world.lead['leadId']}"
    assert (await idle_world.tenant.call("GET", path))["interactions"] == []


async def test_null_stands_for_a_field_that_is_absent(idle_world: World) -> None:
    """Clients in typed languages write nulls."""
    nulls = dict.fromkeys(WRONG.keys() - {"leadId", "message", "sendat", "unknown"})
    order = {"leadId": idle_world.lead["leadId"], "message": "Hi", **nulls}
    assert (await idle_world.tenant.call("POST", "/sms/send", order))["status"] == "queued"
    bulk = await idle_world.tenant.call("POST", "/sms/send/bulk", {"messages": [order], "dryRun": None})
    assert (bulk["accepted"], bulk["refused"]) == (1, 0)


@pytest.mark.parametrize("entry", ["a\x00b", "a\ud800b", {"a\ud800b": 1}], ids=["NUL", "half", "half name"])
async def test_an_entry_that_cannot_be_stored_spoils_no_other(idle_world: World, entry: Any) -> None:
    good = {"leadId": idle_world.lead["leadId"], "message": "Hi"}
    content = json.dumps({"messages": [good, entry, good]}).encode()
    headers = {"Content-Type": "application/json", "Idempotency-Key": "one"}
    bulk = await idle_world.tenant.call("POST", "/sms/send/bulk", content=content, headers=headers)
    assert (bulk["accepted"], bulk["refused"]) == (2, 1)
    assert bulk["results"][1]["error"]["details"][0].startswith("messages[1]")


@pytest.mark.parametrize(
    ("field", "value"),
    [("message", "a\ud800b"), ("leadId", "\udfff"), ("mediaUrls", ["https://a/\ud800"])],
)
async def test_half_a_character_is_refused_by_the_fields_name(idle_world: World, field: str, value: Any) -> None:
    body = {"leadId": idle_world.lead["leadId"], "message": "Hi"} | {field: value}
    content, headers = json.dumps(body).encode(), {"Content-Type": "application/json"}
    answer = await idle_world.tenant.ask("POST", "/sms/send", content=content, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "VALIDATION_ERROR")
    assert answer.json()["error"]["details"][0].startswith(field)


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (b"{", "application/json"), (b"[]", "application/json"), (b"null", "application/json"),
        (b'{"leadId": NaN}', "application/json"), (b'"\\ud800"', "application/json"),
        (b'{"leadId": "\\ud800", "message": "x"}', "application/json"),
        (b"[" * 50_000, "application/json"), (b"{}", "text/plain"), (b"", "application/json"),
        (b'{"leadId":"x","message":"y"}', "application/x-www-form-urlencoded"),
    ],
)  # fmt: skip
async def test_a_body_that_is_no_request_is_refused(idle_world: World, content: bytes, content_type: str) -> None:
    answer = await idle_world.tenant.ask("POST", "/sms/send", content=content, headers={"Content-Type": content_type})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "VALIDATION_ERROR")


async def test_a_named_charset_and_an_empty_query_change_no_answer(idle_world: World) -> None:
    cases: list[tuple[Data, str | None]] = [
        ({"leadId": idle_world.lead["leadId"], "message": "Hi"}, None),
        ({"leadId": "lead_unknown", "message": "Hi"}, None),
        ({"leadId": idle_world.lead["leadId"], "message": "Hi", "to": idle_world.ours}, None),
        ({"leadId": idle_world.lead["leadId"], "message": "Hi"}, "lss_aaaaaaaaaa_" + "a" * 32),
        ({"leadId": idle_world.lead["leadId"], "message": "Hi"}, "nonsense"),
    ]
    read_only = (await idle_world.tenant.with_scope("read")).key
    cases.append((cases[0][0], read_only))
    for body, key in cases:
        headers = {"X-API-Key": key or idle_world.tenant.key}
        plain, with_query = [
            await idle_world.tenant.http.post(path, json=body, headers=headers)
            for path in ("/api/v1/sms/send", "/api/v1/sms/send?")
        ]
        charset_headers = headers | {"Content-Type": "application/json; charset=utf-8"}
        with_charset = await idle_world.tenant.http.post("/api/v1/sms/send", json=body, headers=charset_headers)
        assert plain.status_code == with_charset.status_code == with_query.status_code
        assert {*plain.headers} == {*with_charset.headers}
        one, other = plain.json(), with_charset.json()
        for answer in (one, other):
            answer.get("data", {}).pop("messageId", None)
        assert one == other


async def test_the_caller_is_judged_before_the_body_and_all_faults_are_named(idle_world: World) -> None:
    tenant = idle_world.tenant
    cases = [
        ({"X-API-Key": "nonsense", "Content-Type": "application/json"}, b"{", 401, []),
        ({"X-API-Key": "nonsense", "Content-Type": "text/plain"}, b"{}", 401, []),
        ({"X-API-Key": (await tenant.with_scope("read")).key, "Content-Type": "application/json"}, b"[]", 403, []),
        ({"X-API-Key": tenant.key, "Content-Type": "application/json"}, b"", 400, ["body: is required"]),
        ({"X-API-Key": tenant.key, "Content-Type": "application/json"}, b"{", 400, ["body: is not valid JSON"]),
        (
            {"X-API-Key": tenant.key, "Content-Type": "application/json", "Idempotency-Key": "k" * 256},
            b'{"leadId": 5}',
            400,
            [
                "Idempotency-Key: must have at most 255 characters",
                "leadId: must be a valid string",
                "message: is required",
            ],
        ),
    ]
    for headers, content, status, details in cases:
        answer = await tenant.http.post("/api/v1/sms/send", content=content, headers=headers)
        assert (answer.status_code, answer.json()["error"]["details"]) == (status, details)


async def test_a_body_in_another_encoding_is_read(idle_world: World) -> None:
    content = json.dumps({"leadId": idle_world.lead["leadId"], "message": "Hi"}).encode("utf-16")
    headers = {"Content-Type": "application/vnd.leads+json"}
    answer = await idle_world.tenant.ask("POST", "/sms/send", content=content, headers=headers)
    assert (answer.status_code, answer.json()["data"]["status"]) == (202, "queued")


async def test_a_dry_run_and_a_send_agree_in_whatever_set_up(idle_world: World) -> None:
    """Set-ups drawn by lot: what a dry run finds or refuses, the send finds or refuses."""
    world, tenant = idle_world, idle_world.tenant
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    lot = random.Random(seed)
    numbers = [world.number] + [
        await tenant.number(
            providerAccountId=world.account["accountId"], active=lot.random() < 0.7,
            capabilities=lot.choice([["sms"], ["sms", "mms"], ["voice"]]),
        )
        for _ in range(4)
    ]  # fmt: skip
    agents = [
        await tenant.agent(phoneNumberId=lot.choice(numbers)["phoneNumberId"],
                           active=lot.random() < 0.7)
        for _ in range(3)
    ]  # fmt: skip
    campaigns = [
        await tenant.campaign(
            **{name: lot.choice(values) for name, values in (
                ("phoneNumberId", [None, *(n["phoneNumberId"] for n in numbers)]),
                ("smsAgentId", [None, *(a["smsAgentId"] for a in agents)]),
                ("testSmsAgentId", [None, *(a["smsAgentId"] for a in agents)]),
                ("provider", [None, "simulator", "twilio"]),
            )}
        )
        for _ in range(5)
    ]  # fmt: skip
    leads = [
        await tenant.lead(
            phone=lot.choice([None, phone(), phone(), world.ours]),
            campaignId=lot.choice([None, *(c["campaignId"] for c in campaigns)]),
            isTest=lot.random() < 0.3,
        )
        for _ in range(10)
    ]
    for lead in lot.sample(leads, 2):
        await tenant.call("PUT", f"/leads/{lead['leadId']}/dnc", {"channels": ["sms"]})
    threads: list[str] = []
    agreed = {202: 0, 400: 0, 403: 0, 404: 0}
    while sum(agreed.values()) < 120 or agreed[202] <= 10:
        assert sum(agreed.values()) < 1000, f"hardly anything was accepted: {agreed}"
        body: Data = {"leadId": lot.choice([*leads, {"leadId": "lead_unknown"}])["leadId"],
                      "message": lot.choice(["Hi", "Ahoj żółw", "x" * 200])}  # fmt: skip
        if lot.random() < 0.3:
            body["to"] = lot.choice([phone(), "12", world.ours])
        if lot.random() < 0.3:
            body["from"] = lot.choice(numbers)["phoneNumber"]
        if lot.random() < 0.3:
            body["campaignId"] = lot.choice([*campaigns, {"campaignId": "none"}])["campaignId"]
        if threads and lot.random() < 0.3:
            body["interactionId"] = lot.choice([*threads, "int_unknown"])
        if lot.random() < 0.2:
            body["mediaUrls"] = ["https://example.com/a.png"]
        dry = await tenant.ask("POST", "/sms/send", body | {"dryRun": True})
        real = await tenant.ask("POST", "/sms/send", body)
        agreed[real.status_code] += 1
        if real.status_code == 202:
            sent = real.json()["data"]
            threads.append(sent["interactionId"])
            assert dry.status_code == 200, dry.text
            for field in FIELDS_FOUND:
                assert dry.json()["data"][field] == sent[field], (seed, body, field)
        else:
            assert dry.status_code == real.status_code, (seed, body, dry.text, real.text)
            assert dry.json() == real.json()
    assert agreed[202] > 10
    assert agreed[400] > 10


async def test_a_plain_send_is_two_statements(idle_world: World, said: list[str]) -> None:
    """Nothing that the gate looks at costs a round trip of its own, nor do BEGIN and COMMIT."""
    for _ in range(15):  # each connection of the pool looks its types up once
        await idle_world.send()
    said.clear()
    await idle_world.send()
    assert said == [resolving.RESOLVE_ORDERS_SQL, sending.STORE_TEXTS_SQL]


async def test_an_idempotency_key_costs_one_statement(idle_world: World, said: list[str]) -> None:
    body = {"leadId": idle_world.lead["leadId"], "message": "Hi Jane"}
    for n in range(15):
        await idle_world.tenant.ask("POST", "/sms/send", body, headers={"Idempotency-Key": str(n)})
    said.clear()
    await idle_world.tenant.ask("POST", "/sms/send", body, headers={"Idempotency-Key": "new"})
    assert said == [
        idempotency.FIND_FIRST_ANSWERS_SQL,
        resolving.RESOLVE_ORDERS_SQL,
        sending.STORE_TEXTS_SQL,
    ]
    said.clear()
    await idle_world.tenant.ask("POST", "/sms/send", body, headers={"Idempotency-Key": "new"})
    assert said == [idempotency.FIND_FIRST_ANSWERS_SQL]
