"""Bandwidth's dialect, case by case; its requests are held against Bandwidth's own document."""

import json
from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from openapi_core import OpenAPI
from openapi_core.exceptions import OpenAPIError
from openapi_core.testing import MockRequest

from app.domain.carriage import (
    Account,
    InboundText,
    LookupMatch,
    Media,
    Outcome,
    OutgoingText,
    Receipt,
    WebhookRequest,
)
from app.providers import bandwidth
from tests.providers.tables import table

DOCUMENT = Path(__file__).parents[3] / "shared" / "specs" / "bandwidth.yml"
ACCOUNT = Account(
    "org_1", "acct_1", "bandwidth",
    {
        "accountId": "9900000", "applicationId": "93de2206", "username": "api", "password": "pass",
        "callbackUsername": "hook", "callbackPassword": "a:long:secret:é",
    },
)  # fmt: skip
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
STATUS_URL = "https://sms.example.com/webhooks/bandwidth/acct_1/status?message=msg_1"
TEXT = OutgoingText("msg_1", "+12125551234", "+18335645667", "Hi Jané & co", (), STATUS_URL, timedelta(hours=4))
MESSAGE = {
    "id": "bw-1", "owner": "+18335645667", "applicationId": "93de2206", "segmentCount": 1,
    "time": "2026-11-24T11:59:58.123456Z", "direction": "in", "to": ["+18335645667"],
    "from": "+12125551234", "text": "  Hi, ça va? ",
}  # fmt: skip
SENT = MESSAGE | {
    "direction": "out", "to": ["+12125551234"], "from": "+18335645667", "text": "", "tag": "msg_1",
}  # fmt: skip
DEEP = b"[" * 100_000


def answer(status: int, body: Any = None, **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return httpx.Response(status, content=content, headers=headers)


def basic(name: str, password: str) -> str:
    return f"Basic {b64encode(f'{name}:{password}'.encode()).decode()}"


CREDENTIALS = basic("hook", "a:long:secret:é")


def hook(said: Any, authorization: str | None = CREDENTIALS) -> WebhookRequest:
    """A webhook under the application's credentials unless `authorization` says otherwise."""
    body = said if isinstance(said, bytes) else json.dumps(said).encode()
    headers = {} if authorization is None else {"authorization": authorization}
    return WebhookRequest("POST", STATUS_URL, headers, (("message", "msg_1"),), body)


def event(kind: Any, message: Any, **more: Any) -> dict[str, Any]:
    return {
        "type": kind, "time": "2026-11-24T12:00:00Z", "to": "+12125551234", "description": "said",
        "message": message, **more,
    }  # fmt: skip


def test_a_text_is_json_with_our_id_as_its_tag() -> None:
    request = bandwidth.build_send_request(ACCOUNT, TEXT, NOW)
    assert request.method == "POST"
    assert str(request.url) == "https://messaging.bandwidth.com/api/v2/users/9900000/messages"
    assert request.headers["authorization"] == basic("api", "pass")
    assert json.loads(request.content) == {
        "applicationId": "93de2206", "from": "+18335645667", "to": ["+12125551234"],
        "text": "Hi Jané & co", "tag": "msg_1", "expiration": "2026-11-24T16:00:00+00:00",
    }  # fmt: skip


WITH_MEDIA = replace(TEXT, text="", media=("https://x.example/1.png", "https://x.example/2?a=b"))


def test_media_go_as_a_list() -> None:
    said = json.loads(bandwidth.build_send_request(ACCOUNT, WITH_MEDIA, NOW).content)
    assert said["media"] == list(WITH_MEDIA.media)


@table(
    ("what is left", timedelta(seconds=90), "2026-11-24T12:01:30+00:00"),
    ("nothing left is the shortest", timedelta(0), "2026-11-24T12:00:10+00:00"),
    ("overdue is the shortest", timedelta(seconds=-5), "2026-11-24T12:00:10+00:00"),
    ("a day", timedelta(days=1), "2026-11-25T12:00:00+00:00"),
)
def test_the_validity_is_a_time_to_come(given: timedelta, expected: str) -> None:
    said = json.loads(bandwidth.build_send_request(ACCOUNT, replace(TEXT, validity=given), NOW).content)
    assert said["expiration"] == expected


@pytest.mark.parametrize("base", ["http://127.0.0.1:9", "http://127.0.0.1:9/"])
def test_the_account_s_base_url_replaces_bandwidth_s(base: str) -> None:
    account = replace(ACCOUNT, base_url=base)
    lookup = bandwidth.build_lookup_request(account, TEXT, NOW)
    assert lookup is not None
    for request in (bandwidth.build_send_request(account, TEXT, NOW), lookup):
        assert str(request.url).startswith("http://127.0.0.1:9/api/v2/users/9900000/messages")


@pytest.fixture(scope="module")
def document() -> OpenAPI:
    if not DOCUMENT.exists():
        pytest.skip("the vendors' documents do not lie beside the repository")
    return OpenAPI.from_file_path(str(DOCUMENT))


def asked(request: httpx.Request) -> MockRequest:
    return MockRequest(
        host_url=f"{request.url.scheme}://{request.url.host}",
        method=request.method,
        path=request.url.path,
        args=dict(request.url.params),
        headers=dict(request.headers),
        data=request.content,
        content_type=request.headers.get("content-type", ""),
    )


@table(
    ("a text", TEXT, bandwidth.build_send_request),
    ("pictures without a word", WITH_MEDIA, bandwidth.build_send_request),
    ("a text that is overdue", replace(TEXT, validity=timedelta(-1)), bandwidth.build_send_request),
    ("the longest text", replace(TEXT, text="é" * 2048), bandwidth.build_send_request),
    ("a look-up", TEXT, bandwidth.build_lookup_request),
)
def test_bandwidth_s_own_document_takes_the_request(
    document: OpenAPI,
    given: OutgoingText,
    expected: Callable[[Account, OutgoingText, datetime], httpx.Request],
) -> None:
    document.validate_request(asked(expected(ACCOUNT, given, NOW)))


@table(
    ("a text that is too long", TEXT, {"text": "x" * 2049}),
    ("a number that is no list", TEXT, {"to": "+12125551234"}),
    ("an expiration that is no time", TEXT, {"expiration": "soon"}),
    ("no sender", TEXT, {"from": None}),
)
def test_bandwidth_s_own_document_does_refuse(document: OpenAPI, given: OutgoingText, expected: dict[str, Any]) -> None:
    request = bandwidth.build_send_request(ACCOUNT, given, NOW)
    said = json.dumps(json.loads(request.content) | expected).encode()
    wrong = httpx.Request("POST", request.url, headers=request.headers, content=said)
    with pytest.raises(OpenAPIError):
        document.validate_request(asked(wrong))


def test_the_look_up_asks_only_for_what_the_document_knows(document: OpenAPI) -> None:
    request = bandwidth.build_lookup_request(ACCOUNT, TEXT, NOW)
    assert request is not None
    operation = document.spec / "paths" / "/users/{accountId}/messages" / "get"
    known = {one.read_value()["name"] for one in operation / "parameters"}
    assert set(dict(request.url.params)) <= known


def problem(kind: Any, *fields: str) -> dict[str, Any]:
    errors = [{"fieldName": "to", "description": field} for field in fields]
    return {"type": kind, "description": "said", "fieldErrors": errors}


@table(
    ("taken", answer(202, {"id": "bw-1", "time": "x"}), Outcome("accepted", "bw-1")),
    *(
        (
            f"a 2xx with {body!r} may have been taken",
            answer(202, body),
            Outcome("unknown", detail="a success without a message id"),
        )
        for body in ([], {"id": 7}, {"id": ""}, ["bw-1"], b"<html>", b"\x00")
    ),
    (
        "the queue is full",
        answer(429, problem("max-message-queue-size-exceeded")),
        Outcome("later", code="max-message-queue-size-exceeded", detail="said"),
    ),
    (
        "too many, with a wish",
        answer(429, b"", **{"Retry-After": "300"}),
        Outcome("later", detail="HTTP 429", retry_after=300.0),
    ),
    (
        "a wish that is a date is passed over",
        answer(429, b"", **{"Retry-After": "Tue, 24 Nov 2026 12:00:00 GMT"}),
        Outcome("later", detail="HTTP 429"),
    ),
    (
        "a field is wrong",
        answer(400, problem("request-validation", "'+1' is no number", "nor '+2'")),
        Outcome("refused", None, "request-validation", "said; '+1' is no number; nor '+2'"),
    ),
    (
        "wrong password",
        answer(401, problem("unauthorized")),
        Outcome("refused", code="unauthorized", detail="said"),
    ),
    (
        "not allowed",
        answer(403, problem("forbidden")),
        Outcome("refused", code="forbidden", detail="said"),
    ),
    ("a 4xx without a type", answer(404, b"x"), Outcome("refused", None, "404", "HTTP 404")),
    (
        "a problem of wrong kinds",
        answer(415, {"type": [1], "description": {}, "fieldErrors": [None, {}]}),
        Outcome("refused", code="415", detail="HTTP 415"),
    ),
    ("a depth beyond reason", answer(400, DEEP), Outcome("refused", None, "400", "HTTP 400")),
    (
        "broken may have taken it",
        answer(500, problem("internal-server-error")),
        Outcome("unknown", code="internal-server-error", detail="said"),
    ),
    ("a proxy's 502", answer(502, b"<html>"), Outcome("unknown", detail="HTTP 502")),
    ("a redirect", answer(307, b""), Outcome("unknown", detail="HTTP 307")),
)
def test_an_answer_means(given: httpx.Response, expected: Outcome) -> None:
    assert bandwidth.read_outcome(given) == expected


@table(
    ("the application's credentials", hook([]), True),
    ("the scheme in other letters", hook([], CREDENTIALS.replace("Basic", "bASIC")), True),
    ("two spaces", hook([], CREDENTIALS.replace(" ", "  ")), True),
    ("the API's credentials", hook([], basic("api", "pass")), False),
    ("another's password", hook([], basic("hook", "other")), False),
    ("another's name", hook([], basic("x", "a:long:secret:é")), False),
    ("the name alone", hook([], basic("hook", "")), False),
    ("another scheme", hook([], CREDENTIALS.replace("Basic", "Bearer")), False),
    ("no scheme", hook([], CREDENTIALS.removeprefix("Basic ")), False),
    ("a scheme alone", hook([], "Basic"), False),
    ("odd letters", hook([], "Basic \xe9\u20ac"), False),
    ("an empty header", hook([], ""), False),
    ("no header", hook([], None), False),
)
def test_a_webhook_is_genuine_under_the_application_s_credentials(given: WebhookRequest, expected: bool) -> None:
    assert bandwidth.is_genuine(ACCOUNT, given, NOW) is expected


def received(**changed: Any) -> list[dict[str, Any]]:
    return [event("message-received", MESSAGE | changed, to="+18335645667")]


PLAIN = InboundText(
    "bw-1", "+12125551234", "+18335645667", "  Hi, ça va? ",
    sent_at=datetime(2026, 11, 24, 11, 59, 58, 123456, UTC),
)  # fmt: skip
PICTURE = "https://messaging.bandwidth.com/api/v2/users/9900000/media/1.png"


@table(
    ("a list, as the manuals have it", received(), [PLAIN]),
    ("an object, as the document has it", received()[0], [PLAIN]),
    ("two texts at once", received() + received(id="bw-2"),
     [PLAIN, replace(PLAIN, provider_id="bw-2")]),
    ("pictures without a word", received(text=None, media=[PICTURE, 7, "", None]),
     [replace(PLAIN, text="", media=(Media(PICTURE),))]),
    ("media of a wrong kind", received(media="https://x.example/1"), [PLAIN]),
    ("a group's text came to our number", received(to=["+13105550000", "+18335645667"]), [PLAIN]),
    ("no owner: the number the event names", received(owner=None), [PLAIN]),
    ("a short code", received(**{"from": "32665"}), [replace(PLAIN, sender="32665")]),
    ("a time nobody reads", received(time=7), [replace(PLAIN, sent_at=None)]),
    ("NUL and half a character", received(text="a\x00b\ud83d"), [replace(PLAIN, text="ab?")]),
    ("one odd among good ones", [None, 7, "x", [], *received()], [PLAIN]),
    ("no id", received(id=None), []),
    ("no sender", received(**{"from": ["+1"]}), []),
    ("a receipt", [event("message-delivered", SENT)], []),
    ("a novelty", [event("suggestion-response", MESSAGE)], []),
)  # fmt: skip
def test_an_inbound_webhook_reads_as(given: Any, expected: list[InboundText]) -> None:
    assert bandwidth.read_inbound(hook(given)) == expected


WORD = Receipt("bw-1", "delivered", message_id="msg_1", to="+12125551234", at=NOW)


def failed(code: Any, **more: Any) -> list[dict[str, Any]]:
    return [event("message-failed", SENT, errorCode=code, **more)]


def failure(code: str, **changed: Any) -> list[Receipt]:
    return [replace(WORD, code=code, **changed)]


@table(
    ("delivered", [event("message-delivered", SENT)], [WORD]),
    ("as an object", event("message-delivered", SENT), [WORD]),
    ("read", [event("message-read", SENT)], [WORD]),
    ("sending", [event("message-sending", SENT)], [replace(WORD, status="sending")]),
    ("sent", [event("message-sent", SENT)], [replace(WORD, status="sent")]),
    ("refused by Bandwidth", failed(4432), failure("4432", status="failed")),
    ("Bandwidth broke", failed(5100), failure("5100", status="failed")),
    ("refused by the carrier", failed(4720), failure("4720", status="undelivered")),
    ("the carrier broke", failed(5600), failure("5600", status="undelivered")),
    ("an unclear failure", failed(9999), failure("9999", status="undelivered")),
    ("no receipt in time is no failure", failed(9902), failure("9902", status="sent")),
    ("the code a text", failed("4720"), failure("4720", status="undelivered")),
    ("the lead opted out", failed(4775), failure("4775", status="undelivered", has_opted_out=True)),
    ("no code", failed(None), [replace(WORD, status="failed")]),
    ("a code of a wrong kind", failed([4720]), [replace(WORD, status="failed")]),
    ("several recipients, one by one",
     [event("message-delivered", SENT), *failed(4720, to="+13105550000")],
     [WORD, replace(WORD, status="undelivered", code="4720", to="+13105550000")]),
    ("a word nobody knows", [event("message-teleported", SENT)], [replace(WORD, status=None)]),
    ("no tag", [event("message-delivered", SENT | {"tag": None})],
     [replace(WORD, message_id=None)]),
    ("a time nobody reads", [event("message-delivered", SENT, time="soon")],
     [replace(WORD, at=None)]),
    ("a time before time", [event("message-delivered", SENT, time="0001-01-01T00:00:00+23:59")],
     [replace(WORD, at=None)]),
    ("no id", [event("message-delivered", SENT | {"id": 7})], []),
    ("no message", [event("message-delivered", None)], []),
    ("no type", [event(["message-delivered"], SENT)], []),
    ("an inbound text", received(), []),
)  # fmt: skip
def test_a_status_webhook_reads_as(given: Any, expected: list[Receipt]) -> None:
    assert bandwidth.read_status(hook(given)) == expected


HOSTILE = {
    "nothing": b"", "NUL": b"\x00", "no UTF-8": b"\xff\xfe\xfd", "no JSON": b"{", "deep": DEEP,
    "an empty list": b"[]", "lists in lists": b"[[[]]]", "a number": b"1", "null": b"null",
    "long digits": b"[" + b"9" * 5000 + b"]", "message a list": b'{"message": []}',
    "type an object": b'[{"type": {}, "message": {"id": "x"}}]',
}  # fmt: skip


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_body_says_nothing(body: bytes) -> None:
    assert bandwidth.read_inbound(hook(body)) == []
    assert bandwidth.read_status(hook(body)) == []
    assert bandwidth.read_lookup(answer(200, body), TEXT, NOW) is None


def test_a_look_up_lists_the_pair() -> None:
    request = bandwidth.build_lookup_request(ACCOUNT, TEXT, NOW)
    assert request is not None
    assert (request.method, request.url.path) == ("GET", "/api/v2/users/9900000/messages")
    assert request.headers["authorization"] == basic("api", "pass")
    assert "%2B18335645667" in str(request.url)
    assert dict(request.url.params) == {
        "sourceTn": "+18335645667", "destinationTn": "+12125551234", "limit": "100",
        "messageDirection": "OUTBOUND", "fromDateTime": "2026-11-11T12:00:00+00:00",
        "sort": "receiveTime:desc",
    }  # fmt: skip


def entry(message_id: Any, seconds: float, **changed: Any) -> dict[str, Any]:
    """A text taken so many seconds after the request began."""
    at = (NOW + timedelta(seconds=seconds)).isoformat()
    return {
        "messageId": message_id, "receiveTime": at, "messageStatus": "QUEUED",
        "messageDirection": "OUTBOUND", "sourceTn": "+18335645667", "destinationTn": "+12125551234",
    } | changed  # fmt: skip


def page(*entries: Any) -> httpx.Response:
    return answer(200, {"totalCount": len(entries), "messages": list(entries)})


def hit(message_id: str, seconds: float, **changed: Any) -> LookupMatch:
    return replace(LookupMatch(message_id, "sending", NOW + timedelta(seconds=seconds)), **changed)


OLDER = entry("bw-0", -60)


@table(
    ("it stands there", page(entry("bw-1", 1)), [hit("bw-1", 1)]),
    ("in the second before, by another clock", page(entry("bw-1", -1)), [hit("bw-1", -1)]),
    ("the one nearest to the request is first", page(entry("bw-2", 9), entry("bw-1", 1), OLDER),
     [hit("bw-1", 1), hit("bw-2", 9)]),
    ("with its fate", page(entry("bw-1", 1, messageStatus="UNDELIVERED", errorCode=4720)),
     [hit("bw-1", 1, status="undelivered", code="4720")]),
    ("a code of nought is none", page(entry("bw-1", 1, errorCode=0)), [hit("bw-1", 1)]),
    ("a word nobody knows", page(entry("bw-1", 1, messageStatus="LOST")),
     [hit("bw-1", 1, status=None)]),
    ("an older one alone denies it", page(OLDER), []),
    ("another's text is none of ours", page(entry("bw-1", 1, destinationTn="+13105550000"), OLDER),
     []),
    ("an answer is none of ours", page(entry("bw-1", 1, messageDirection="INBOUND"), OLDER), []),
    ("without a time", page(entry("bw-1", 1, receiveTime=None), OLDER), None),
    ("without an id", page(entry(None, 1), OLDER), None),
    ("without its numbers", page(entry("bw-1", 1, destinationTn=None), OLDER), None),
    ("its numbers, written otherwise", page(entry("bw-1", 1, destinationTn="12125551234"), OLDER),
     [hit("bw-1", 1)]),
    ("an empty list proves nothing", page(), None),
    ("a full page may go on", page(*[OLDER] * 100), None),
    ("odd entries are passed over",
     page(None, "x", {}, entry(7, 1), entry("bw-1", 1, receiveTime=None)), None),
    ("wrong password", answer(401, problem("unauthorized")), None),
    ("down", answer(500, b""), None),
    ("no list", answer(200, {"messages": {}}), None),
)  # fmt: skip
def test_a_look_up_s_answer_says(given: httpx.Response, expected: list[LookupMatch] | None) -> None:
    assert bandwidth.read_lookup(given, TEXT, NOW) == expected


def test_bandwidth_lists_no_numbers_and_no_words_here() -> None:
    assert bandwidth.build_numbers_request(ACCOUNT, None) is None
    assert bandwidth.read_numbers(answer(200, {})) is None
    assert bandwidth.build_history_request(ACCOUNT, NOW, None) is None
    assert bandwidth.read_history(page(), NOW) is None


@table(
    ("at Bandwidth", PICTURE, True),
    ("elsewhere", "https://s3.example.com/1", False),
    ("a name that ends alike", "https://evilbandwidth.com/1", False),
    ("a name before the host", "https://messaging.bandwidth.com@evil.example/1", False),
    ("in the clear", "http://messaging.bandwidth.com/1", False),
)
def test_media_are_asked_for_with_credentials_only_at_bandwidth(given: str, expected: bool) -> None:
    assert ("authorization" in bandwidth.build_media_request(ACCOUNT, given).headers) is expected


def test_media_at_the_account_s_base_url_are_asked_for_with_credentials() -> None:
    account = replace(ACCOUNT, base_url="http://127.0.0.1:9/")
    assert "authorization" in bandwidth.build_media_request(account, "http://127.0.0.1:9/m").headers


def test_the_secrets_are_told_in_every_form_they_travel_in() -> None:
    told = bandwidth.list_secrets(ACCOUNT)
    assert {"pass", "a:long:secret:é"} <= set(told)
    for header in (
        bandwidth.build_send_request(ACCOUNT, TEXT, NOW).headers["authorization"],
        CREDENTIALS,
    ):
        assert any(secret in header for secret in told)


def test_only_the_opt_out_code_opts_out() -> None:
    assert bandwidth.is_opt_out_code("4775")
    assert not bandwidth.is_opt_out_code("4720")


def test_a_webhook_is_answered_with_an_empty_object() -> None:
    assert bandwidth.WEBHOOK_ANSWER == ("application/json", b"{}")
