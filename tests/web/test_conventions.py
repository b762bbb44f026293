"""The conventions that every route of the API keeps (contract 2)."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from tests.makers import Tenant
from tests.security.walk import OPERATIONS, Operation, nobodys
from tests.service import Api

NESTED = 12_000
JSON = {"Content-Type": "application/json"}
MALFORMED = {
    "cut short": b'{"firstName": "Ja',
    "no JSON at all": b"first name=Jane",
    "not an object": b'["firstName"]',
    "a number that is none": b'{"firstName": NaN}',
    "a NUL": b'{"firstName": "Ja\\u0000ne"}',
    "a lone surrogate": b'{"firstName": "Ja\\ud800ne"}',
    "a lone surrogate as a name": b'{"\\udfff": "Jane"}',
    "bytes that are no UTF-8": b'{"firstName": "\xff\xfe"}',
    "deep lists": b"[" * NESTED,
    "deep objects": b'{"a":' * NESTED,
    "deep but closed": b'{"firstName": ' + b"[" * 400 + b"]" * 400 + b"}",
    "a number where text belongs": b'{"firstName": 5}',
    "text where a switch belongs": b'{"isTest": "true"}',
    "an enormous number": b'{"firstName": ' + b"9" * 6000 + b"}",
    "an empty body": b"",
    "an unknown field": b'{"firstname": "Jane"}',
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED.keys())
async def test_a_malformed_body_is_a_400_that_echoes_nothing(tenant: Tenant, body: bytes) -> None:
    answer = await tenant.ask("POST", "/leads", content=body, headers=JSON)
    assert answer.status_code == 400
    told = answer.json()
    assert told["success"] is False
    assert told["error"]["code"] == "VALIDATION_ERROR"
    assert told["error"]["details"]
    assert "Ja" not in answer.text


async def test_a_refused_field_is_named_with_its_place(tenant: Tenant) -> None:
    body = {
        "sendat": "x",
        "questionnaire": [
            {"key": "a", "question": "b", "answer": "c"},
            {"key": 1, "question": "b"},
        ],
    }
    answer = await tenant.ask("POST", "/leads", body)
    assert answer.json()["error"]["details"] == [
        "questionnaire[1].key: must be a valid string",
        "questionnaire[1].answer: is required",
        "sendat: is not a known field",
    ]


async def test_a_not_a_number_is_refused_where_a_number_belongs(tenant: Tenant) -> None:
    body = b'{"phoneNumber": "+12125550188", "messagesPerSecond": NaN}'
    answer = await tenant.ask("POST", "/phone-numbers", content=body, headers=JSON)
    assert answer.status_code == 400
    assert "messagesPerSecond: must be a finite number" in answer.json()["error"]["details"]


async def test_a_list_of_faults_is_cut_short(tenant: Tenant) -> None:
    body = {f"field{i}": i for i in range(500)}
    answer = await tenant.ask("POST", "/leads", body)
    assert len(answer.json()["error"]["details"]) == 50


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded"])
async def test_a_body_must_be_declared_as_json(tenant: Tenant, kind: str | None) -> None:
    headers = {"Content-Type": kind} if kind else {}
    answer = await tenant.ask("POST", "/leads", content=b'{"firstName": "J"}', headers=headers)
    assert answer.status_code == 400
    assert answer.json()["error"]["details"] == ["Content-Type: must be application/json"]


@pytest.mark.parametrize(
    "path",
    ["/leads/%00", "/leads/a%00b", "/leads/%ff", "/leads?search=%00", "/leads?search=%ed%a0%80"],
)
async def test_no_address_can_break_the_service(tenant: Tenant, path: str) -> None:
    assert (await tenant.ask("GET", path)).status_code in (200, 400, 404)


@pytest.mark.parametrize("limit", ["0", "101", "-1", "x", "1.5", ""])
async def test_a_limit_out_of_range_is_refused_by_name(tenant: Tenant, limit: str) -> None:
    answer = await tenant.ask("GET", f"/leads?limit={limit}")
    assert answer.status_code == 400
    assert answer.json()["error"]["details"][0].startswith("limit: ")


@pytest.mark.parametrize("operation", OPERATIONS, ids=[operation.name for operation in OPERATIONS])
async def test_an_unknown_query_parameter_is_refused_by_name(tenant: Tenant, operation: Operation) -> None:
    """A filter with a typing error must not select everybody."""
    query = {"statsu": "new", "LIMIT": "5", "wait\u202e": "0"}
    answer = await tenant.ask(
        operation.method.upper(), operation.path.format_map(nobodys()), operation.body, params=query
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "VALIDATION_ERROR")
    assert answer.json()["error"]["details"] == [
        f"{name}: is not a known query parameter" for name in ("statsu", "LIMIT", r"wait\u202e")
    ]


async def test_every_route_tells_a_limited_key_what_is_left(tenant: Tenant, api: Api) -> None:
    made = await tenant.call("POST", "/api-keys", {"name": "k", "scope": "admin", "requestsPerSecond": 500})
    limited = Tenant(tenant.tenant_id, made["apiKey"], tenant.http)
    for operation in OPERATIONS:
        answer = await operation.ask(limited, nobodys())
        names = {name for name in answer.headers if name.startswith("ratelimit-")}
        assert names == {"ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"}, (operation.name, answer.text)


async def test_a_key_is_asked_for_before_the_query_is_read(tenant: Tenant) -> None:
    answer = await tenant.http.get("/api/v1/leads?statsu=new")
    assert answer.status_code == 401
    reader = await tenant.with_scope("read")
    assert (await reader.ask("POST", "/leads?statsu=new", {"firstName": "Jane"})).status_code == 403


@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        "bm90IGpzb24",
        "e30",
        "W10",
        "WzFd",
        "WyJhXHUwMDAwIl0",
        "WyJcdWQ4MDAiXQ",
        "é",
        "a" * 2000,
    ],
)
async def test_a_cursor_that_no_list_gave_is_refused_by_name(tenant: Tenant, cursor: str) -> None:
    answer = await tenant.ask("GET", "/leads", params={"cursor": cursor})
    assert answer.status_code == 400
    assert answer.json()["error"]["details"][0].startswith("cursor: ")


async def test_pages_follow_each_other_without_gap_or_repeat(tenant: Tenant) -> None:
    made = [(await tenant.lead())["leadId"] for _ in range(7)]
    seen: list[str] = []
    cursor, pages = None, 0
    while True:
        query = {"limit": "3"} | ({"cursor": cursor} if cursor else {})
        page = await tenant.call("GET", "/leads", params=query)
        seen += [lead["leadId"] for lead in page["leads"]]
        pages += 1
        assert page["hasMore"] is (page["nextCursor"] is not None)
        if pages == 1:
            await tenant.lead()  # one that comes meanwhile shifts nothing
        cursor = page["nextCursor"]
        if cursor is None:
            break
    assert seen == sorted(made, reverse=True)
    assert pages == 3


async def test_missing_unknown_and_revoked_keys_get_the_same_answer(tenant: Tenant, api: Api) -> None:
    made = await tenant.call("POST", "/api-keys", {"name": "k", "scope": "api"})
    spoilt = made["apiKey"][:-1] + ("a" if made["apiKey"][-1] != "a" else "b")
    tries: list[dict[str, str]] = [{}, {"X-API-Key": ""}, {"X-API-Key": "lss_x"},
                                   {"X-API-Key": spoilt}]  # fmt: skip
    used = {"X-API-Key": made["apiKey"]}
    assert (await api.http.get("/api/v1/leads", headers=used)).status_code == 200
    await tenant.call("DELETE", f"/api-keys/{made['keyId']}")
    answers = [await api.http.get("/api/v1/leads", headers=h) for h in [*tries, used]]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.content for answer in answers}) == 1
    assert answers[0].json()["error"]["code"] == "UNAUTHORIZED"


async def test_the_scope_is_judged_before_existence(tenant: Tenant) -> None:
    reader = await tenant.with_scope("read")
    worker = await tenant.with_scope("api")
    agent = await tenant.with_scope("agent", (await tenant.agent())["smsAgentId"])
    for asker, method, path in [
        (reader, "DELETE", "/leads/nobody"),
        (reader, "GET", "/api-keys/nobody"),
        (worker, "DELETE", "/api-keys/nobody"),
        (worker, "GET", "/provider-accounts/nobody"),
        (worker, "GET", "/settings"),
        (agent, "GET", "/leads/nobody"),
        (agent, "GET", "/campaigns"),
    ]:
        answer = await asker.ask(method, path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "FORBIDDEN"), path
    assert (await reader.ask("GET", "/leads/nobody")).status_code == 404


@pytest.mark.parametrize("body", [b"{", b"\xff", b"[" * 50_000, b""])
async def test_who_asks_is_judged_before_what_was_sent(tenant: Tenant, body: bytes) -> None:
    reader = await tenant.with_scope("read")
    for path in ("/leads", "/sms/send", "/sms/send/bulk", "/api-keys"):
        stranger = await tenant.http.post(f"/api/v1{path}", content=body, headers=JSON)
        assert (stranger.status_code, stranger.json()["error"]["code"]) == (401, "UNAUTHORIZED")
        answer = await reader.ask("POST", path, content=body, headers=JSON)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "FORBIDDEN")


async def test_a_foreign_id_and_an_unknown_one_get_the_same_bytes(tenant: Tenant, other_tenant: Tenant) -> None:
    theirs = await other_tenant.lead(leadId="theirs")
    agent = await other_tenant.agent()
    campaign = await other_tenant.campaign()
    number = await other_tenant.number()
    account = await other_tenant.account()
    key = await other_tenant.call("POST", "/api-keys", {"name": "k", "scope": "read"})
    for path in [
        f"/leads/{theirs['leadId']}",
        f"/leads/{theirs['leadId']}/dnc",
        f"/sms-agents/{agent['smsAgentId']}",
        f"/campaigns/{campaign['campaignId']}",
        f"/phone-numbers/{number['phoneNumberId']}",
        f"/provider-accounts/{account['accountId']}",
        f"/api-keys/{key['keyId']}",
    ]:
        unknown = path.replace(path.split("/")[2], "nobody")
        body = {"name": "x"} if "api-keys" in path else {}
        for method in ("GET", "PATCH", "DELETE"):
            if path.endswith("/dnc") and method == "PATCH":
                continue
            sent = body if method == "PATCH" else None
            foreign = await tenant.ask(method, path, sent)
            missing = await tenant.ask(method, unknown, sent)
            assert foreign.status_code == 404, (method, path)
            assert foreign.content == missing.content
            volatile = {"x-request-id", "date"}
            assert {k: v for k, v in foreign.headers.items() if k not in volatile} == {
                k: v for k, v in missing.headers.items() if k not in volatile
            }


async def test_a_foreign_reference_is_refused_by_name(tenant: Tenant, other_tenant: Tenant) -> None:
    campaign = await other_tenant.campaign()
    number = await other_tenant.number()
    agent = await other_tenant.agent()
    answer = await tenant.ask("POST", "/leads", {"campaignId": campaign["campaignId"]})
    assert answer.status_code == 400
    assert answer.json()["error"]["details"] == ["campaignId: does not exist"]
    body = {
        "name": "C",
        "phoneNumberId": number["phoneNumberId"],
        "smsAgentId": agent["smsAgentId"],
        "testSmsAgentId": agent["smsAgentId"],
    }
    answer = await tenant.ask("POST", "/campaigns", body)
    assert [d.split(":")[0] for d in answer.json()["error"]["details"]] == [
        "phoneNumberId", "smsAgentId", "testSmsAgentId",
    ]  # fmt: skip


async def test_every_answer_carries_a_request_id_and_safe_headers(api: Api) -> None:
    for path in ("/health/live", "/api/v1/leads", "/nothing", "/docs", "/openapi.json"):
        answer = await api.http.get(path)
        assert answer.headers["x-request-id"].startswith("req_")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "content-security-policy" in answer.headers
    given = await api.http.get("/health/live", headers={"X-Request-Id": "from-the-proxy-1"})
    assert given.headers["x-request-id"] == "from-the-proxy-1"
    spoilt = await api.http.get("/health/live", headers={"X-Request-Id": "two words"})
    assert spoilt.headers["x-request-id"].startswith("req_")


async def test_unknown_addresses_and_methods_are_answered_in_the_envelope(api: Api) -> None:
    answer = await api.http.get("/api/v1/nothing")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "NOT_FOUND")
    answer = await api.http.post("/health/live")
    assert (answer.status_code, answer.json()["error"]["code"]) == (405, "METHOD_NOT_ALLOWED")
    assert answer.headers["allow"] == "GET, HEAD"
    answer = await api.http.request("OPTIONS", "/api/v1/leads/some")
    assert answer.headers["allow"] == "DELETE, GET, HEAD, PATCH, PUT"


async def test_a_large_body_is_refused_by_its_declared_length(tenant: Tenant) -> None:
    answer = await tenant.ask("POST", "/leads", content=b" " * 65_537, headers=JSON)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "PAYLOAD_TOO_LARGE")


async def test_a_large_body_is_refused_when_it_comes_in_chunks(tenant: Tenant) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(70):
            yield b" " * 1024

    answer = await tenant.ask("POST", "/leads", content=chunks(), headers=JSON)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "PAYLOAD_TOO_LARGE")


async def test_a_body_at_the_limit_is_taken_also_in_chunks(tenant: Tenant) -> None:
    body = json.dumps({"leadId": "whole"}).encode().ljust(65_536)

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 1000):
            yield body[start : start + 1000]

    answer = await tenant.ask("POST", "/leads", content=chunks(), headers=JSON)
    assert answer.status_code == 201


async def test_the_description_names_the_key_and_never_fastapis_own_422(api: Api) -> None:
    told = (await api.http.get("/openapi.json")).json()
    assert told["components"]["securitySchemes"]["ApiKey"]["name"] == "X-API-Key"
    add = told["paths"]["/api/v1/leads"]["post"]
    assert add["security"] == [{"ApiKey": []}]
    assert "HTTPValidationError" not in str(told)


async def test_the_documentation_needs_nothing_from_elsewhere(api: Api) -> None:
    for path in ("/docs", "/redoc"):
        page = (await api.http.get(path)).text
        assert "http://" not in page
        assert "https://" not in page
    for asset in ("swagger-ui-bundle.js", "swagger-ui.css", "redoc.standalone.js"):
        assert (await api.http.get(f"/docs/assets/{asset}")).status_code == 200


# Idempotency-Key.


async def test_a_repeat_with_the_same_key_gets_the_first_answer(tenant: Tenant) -> None:
    keyed = {"Idempotency-Key": "one"}
    first = await tenant.ask("POST", "/leads", {"firstName": "A", "lastName": "B"}, headers=keyed)
    again = await tenant.ask("POST", "/leads", {"lastName": "B", "firstName": "A"}, headers=keyed)
    assert first.status_code == again.status_code == 201
    assert first.json() == again.json()
    assert len((await tenant.call("GET", "/leads"))["leads"]) == 1


async def test_the_key_with_another_body_is_refused(tenant: Tenant) -> None:
    keyed = {"Idempotency-Key": "one"}
    await tenant.call("POST", "/leads", {"firstName": "A"}, headers=keyed)
    answer = await tenant.ask("POST", "/leads", {"firstName": "B"}, headers=keyed)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")


async def test_a_refusal_frees_the_key(tenant: Tenant) -> None:
    keyed = {"Idempotency-Key": "one"}
    assert (await tenant.ask("POST", "/leads", {"campaignId": "x"}, headers=keyed)).is_error
    assert (await tenant.ask("POST", "/leads", {"firstName": "A"}, headers=keyed)).is_success


async def test_a_replay_does_not_show_a_secret_again(tenant: Tenant) -> None:
    keyed, body = {"Idempotency-Key": "one"}, {"name": "k", "scope": "api"}
    first = await tenant.call("POST", "/api-keys", body, headers=keyed)
    again = await tenant.call("POST", "/api-keys", body, headers=keyed)
    assert "apiKey" not in again
    schema = (await tenant.http.get("/openapi.json")).json()["components"]["schemas"]
    assert "apiKey" not in schema["KeyWithSecret"]["required"]
    assert "prefix" in schema["KeyWithSecret"]["required"]
    assert again == {name: value for name, value in first.items() if name != "apiKey"}


@pytest.mark.parametrize("body", [b"none", b"\xff", b"[" * 60_000, b"9" * 5000], ids=["words", "bytes", "deep", "long"])
async def test_a_body_that_nobody_reads_does_no_harm_beside_a_key(tenant: Tenant, body: bytes) -> None:
    path = f"/sms-agents/{(await tenant.agent())['smsAgentId']}/rotate-secret"
    keyed = {"Idempotency-Key": "one"}
    answers = [await tenant.ask("POST", path, content=content, headers=keyed) for content in (body, body, b"")]
    assert [answer.status_code for answer in answers] == [200, 200, 422]
    assert ["signingSecret" in answer.json().get("data", {}) for answer in answers] == [True, False, False]


async def test_keys_of_other_tenants_and_routes_are_other_keys(tenant: Tenant, other_tenant: Tenant) -> None:
    keyed = {"Idempotency-Key": "one"}
    mine = await tenant.call("POST", "/leads", {"firstName": "A"}, headers=keyed)
    theirs = await other_tenant.call("POST", "/leads", {"firstName": "A"}, headers=keyed)
    campaign = await tenant.call("POST", "/campaigns", {"name": "A"}, headers=keyed)
    assert mine["leadId"] != theirs["leadId"]
    assert campaign["campaignId"].startswith("campaign_")


async def test_of_many_at_once_with_one_key_one_is_done_and_all_get_its_answer(
    tenant: Tenant,
) -> None:
    keyed = {"Idempotency-Key": "one"}
    answers = await asyncio.gather(*(tenant.ask("POST", "/leads", {"firstName": "A"}, headers=keyed) for _ in range(8)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["data"]["leadId"] for answer in answers}) == 1
    assert len((await tenant.call("GET", "/leads"))["leads"]) == 1


@pytest.mark.parametrize("key", ["", "x" * 256])
async def test_a_key_too_short_or_long_is_refused(tenant: Tenant, key: str) -> None:
    answer = await tenant.ask("POST", "/leads", {}, headers={"Idempotency-Key": key})
    assert answer.status_code == 400
    assert answer.json()["error"]["details"][0].startswith("Idempotency-Key: ")
