"""The simulated carrier's dialect, case by case."""

import hmac
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

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
from app.providers import simulator
from tests.providers.tables import table

ACCOUNT = Account("org_1", "acct_1", "simulator", {"secret": "s3cret"}, "http://127.0.0.1:9/")
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
URL = "https://sms.example.com/webhooks/simulator/acct_1/status?message=msg_1"
TEXT = OutgoingText(
    "msg_1", "+12125551234", "+18335645667", "Hi Jané", ("https://x.example/1.png",), URL,
    timedelta(hours=4),
)  # fmt: skip
INBOUND = {
    "type": "inbound", "id": "sim_1", "from": "+12125551234", "to": "+18335645667", "text": " Hi ",
    "media": [], "sentAt": "2026-11-24T11:59:58+00:00",
}  # fmt: skip
RECEIPT = {
    "type": "status", "id": "sim_9", "reference": "msg_1", "status": "delivered",
    "at": "2026-11-24T11:59:58Z",
}  # fmt: skip
THEN = datetime(2026, 11, 24, 11, 59, 58, tzinfo=UTC)


def answer(status: int, body: Any = None, **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return httpx.Response(status, content=content, headers=headers)


def hook(
    said: Any,
    stamp: str = str(int(NOW.timestamp())),
    secret: str = "s3cret",
    url: str = URL,
    header: str | None = None,
) -> WebhookRequest:
    body = said if isinstance(said, bytes) else json.dumps(said).encode()
    mac = hmac.digest(secret.encode(), f"{stamp}.{url}.".encode() + body, "sha256").hex()
    headers = {"x-simulator-signature": header if header is not None else f"t={stamp},v1={mac}"}
    query = tuple(httpx.QueryParams(httpx.URL(url).query).multi_items())
    return WebhookRequest("POST", url, headers, query, body)


def at(seconds: int) -> str:
    return str(int(NOW.timestamp()) + seconds)


def test_a_text_is_json_with_our_id_as_its_reference() -> None:
    request = simulator.build_send_request(ACCOUNT, TEXT, NOW)
    assert (request.method, str(request.url)) == ("POST", "http://127.0.0.1:9/messages")
    assert request.headers["authorization"] == "Bearer s3cret"
    assert json.loads(request.content) == {
        "to": "+12125551234",
        "from": "+18335645667",
        "text": "Hi Jané",
        "media": ["https://x.example/1.png"],
        "reference": "msg_1",
        "callbackUrl": URL,
        "validitySeconds": 14400,
    }


def problem(code: str) -> dict[str, str]:
    return {"code": code, "message": "said"}


@table(
    ("taken", answer(202, {"id": "sim_1"}), Outcome("accepted", "sim_1")),
    ("a 2xx without an id", answer(202, {}), Outcome("unknown", detail="HTTP 202")),
    ("a 2xx with an empty id", answer(202, {"id": ""}), Outcome("unknown", detail="HTTP 202")),
    ("a 2xx that is no JSON", answer(200, b"<html>"), Outcome("unknown", detail="HTTP 200")),
    (
        "not a number",
        answer(400, problem("bad_number")),
        Outcome("refused", code="bad_number", detail="said"),
    ),
    (
        "opted out",
        answer(400, problem("opted_out")),
        Outcome("opted_out", code="opted_out", detail="said"),
    ),
    (
        "rate limited",
        answer(429, problem("rate_limited"), **{"Retry-After": "1"}),
        Outcome("later", code="rate_limited", detail="said", retry_after=1.0),
    ),
    ("rate limited, wordless", answer(429, b""), Outcome("later")),
    (
        "wrong secret",
        answer(401, problem("unauthorized")),
        Outcome("refused", code="unauthorized", detail="said"),
    ),
    (
        "no credit",
        answer(402, problem("no_credit")),
        Outcome("refused", code="no_credit", detail="said"),
    ),
    ("a 4xx without a code", answer(404, b""), Outcome("refused", code="404")),
    ("down", answer(503, problem("down")), Outcome("unknown", code="down", detail="said")),
    ("broken", answer(500, b""), Outcome("unknown", detail="HTTP 500")),
    ("a redirect", answer(302, b""), Outcome("unknown", detail="HTTP 302")),
)
def test_an_answer_means(given: httpx.Response, expected: Outcome) -> None:
    assert simulator.read_outcome(given) == expected


@table(
    ("signed now", hook(INBOUND), True),
    ("five minutes old", hook(INBOUND, at(-300)), True),
    ("older", hook(INBOUND, at(-301)), False),
    ("from the future", hook(INBOUND, at(301)), False),
    ("another's secret", hook(INBOUND, secret="other"), False),
    ("another address", replace(hook(INBOUND), url=URL.replace("acct_1", "acct_2")), False),
    ("another message's", replace(hook(INBOUND), url=URL.replace("msg_1", "msg_2")), False),
    ("a changed body", replace(hook(INBOUND), body=b"{}"), False),
    ("no header", hook(INBOUND, header=""), False),
    ("no time", hook(INBOUND, header="v1=aa"), False),
    ("no signature", hook(INBOUND, header=f"t={at(0)}"), False),
    ("a time that is no number", hook(INBOUND, "now"), False),
    ("a time in other digits", hook(INBOUND, "\u0661\u0662"), False),
    ("a time without end", hook(INBOUND, "9" * 5000), False),
    ("a time too large to compare", hook(INBOUND, "9" * 400), False),
    ("odd letters", hook(INBOUND, header=f"t={at(0)},v1=\xe9"), False),
)
def test_a_webhook_is_genuine_when_the_secret_signed_it_lately(given: WebhookRequest, expected: bool) -> None:
    assert simulator.is_genuine(ACCOUNT, given, NOW) is expected


PLAIN = InboundText("sim_1", "+12125551234", "+18335645667", " Hi ", sent_at=THEN)


@table(
    ("a text, as it was written", hook(INBOUND), [PLAIN]),
    (
        "a picture",
        hook(INBOUND | {"text": "", "media": [{"url": "https://x/1", "contentType": "image/png"}]}),
        [replace(PLAIN, text="", media=(Media("https://x/1", "image/png"),))],
    ),
    ("odd media is passed over", hook(INBOUND | {"media": [None, {}, {"url": ""}, 7]}), [PLAIN]),
    ("media that is no list", hook(INBOUND | {"media": "x"}), [PLAIN]),
    ("a time without a zone", hook(INBOUND | {"sentAt": "2026-11-24T11:59:58"}),
     [replace(PLAIN, sent_at=None)]),
    ("no time", hook(INBOUND | {"sentAt": None}), [replace(PLAIN, sent_at=None)]),
    ("no text", hook(INBOUND | {"text": None}), [replace(PLAIN, text="")]),
    ("no sender", hook(INBOUND | {"from": ""}), []),
    ("no id", hook(INBOUND | {"id": 7}), []),
    ("a receipt", hook(RECEIPT), []),
    ("a novelty", hook(INBOUND | {"type": "call"}), []),
    ("a list", hook([INBOUND]), []),
    ("no JSON", hook(b"\xff"), []),
    ("JSON without end", hook(b"[" * 100_000), []),
)  # fmt: skip
def test_an_inbound_webhook_reads_as(given: WebhookRequest, expected: list[InboundText]) -> None:
    assert simulator.read_inbound(given) == expected


WORD = Receipt("sim_9", "delivered", message_id="msg_1", at=THEN)
BARE = URL.split("?")[0]


@table(
    ("delivered", hook(RECEIPT), [WORD]),
    ("sent", hook(RECEIPT | {"status": "sent"}), [replace(WORD, status="sent")]),
    ("undelivered", hook(RECEIPT | {"status": "undelivered", "code": "unreachable"}),
     [replace(WORD, status="undelivered", code="unreachable")]),
    ("failed, opted out", hook(RECEIPT | {"status": "failed", "code": "opted_out"}),
     [replace(WORD, status="failed", code="opted_out", has_opted_out=True)]),
    ("a word nobody knows", hook(RECEIPT | {"status": "lost"}), [replace(WORD, status=None)]),
    ("our id from the URL first", hook(RECEIPT | {"reference": "msg_2"}), [WORD]),
    ("our id from the reference second", hook(RECEIPT, url=BARE), [WORD]),
    ("neither", hook(RECEIPT | {"reference": None}, url=BARE), [replace(WORD, message_id=None)]),
    ("an inbound text", hook(INBOUND), []),
    ("no JSON", hook(b""), []),
)  # fmt: skip
def test_a_status_webhook_reads_as(given: WebhookRequest, expected: list[Receipt]) -> None:
    assert simulator.read_status(given) == expected


def test_a_look_up_asks_for_our_reference() -> None:
    request = simulator.build_lookup_request(ACCOUNT, TEXT, NOW)
    assert request is not None
    assert (request.method, str(request.url)) == (
        "GET", "http://127.0.0.1:9/messages?reference=msg_1",
    )  # fmt: skip
    assert request.headers["authorization"] == "Bearer s3cret"


@table(
    (
        "it stands there",
        answer(200, {"messages": [{"id": "sim_1", "status": "sent"}]}),
        [LookupMatch("sim_1", "sent")],
    ),
    (
        "with its fate",
        answer(200, {"messages": [{"id": "sim_1", "status": "failed", "code": "down"}]}),
        [LookupMatch("sim_1", "failed", code="down")],
    ),
    ("it does not", answer(200, {"messages": []}), []),
    ("wrong secret", answer(401, problem("unauthorized")), None),
    ("down", answer(503, problem("down")), None),
    ("no JSON", answer(200, b"<html>"), None),
)
def test_a_look_up_s_answer_says(given: httpx.Response, expected: list[LookupMatch] | None) -> None:
    assert simulator.read_lookup(given, TEXT, NOW) == expected


def test_the_secret_is_told() -> None:
    assert simulator.list_secrets(ACCOUNT) == ("s3cret",)
