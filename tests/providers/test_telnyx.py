"""Telnyx's dialect, case by case; its signatures are checked by Telnyx's own library."""

import json
import sys
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import ModuleType, SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest
import respx
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from telnyx import Telnyx, omit
from telnyx.lib import webhook_verification

from app.domain.carriage import (
    Account,
    InboundText,
    LookupMatch,
    Media,
    NumberPage,
    Outcome,
    OutgoingText,
    Receipt,
    VendorNumber,
    WebhookRequest,
)
from app.providers import telnyx
from tests.providers.tables import table

SIGNER, STRANGER = (Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2))
PUBLIC = b64encode(SIGNER.public_key().public_bytes_raw()).decode()
ACCOUNT = Account("org_1", "acct_1", "telnyx", {"apiKey": "KEY-1", "publicKey": PUBLIC})
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
STATUS_URL = "https://sms.example.com/webhooks/telnyx/acct_1/status?message=msg_1"
INBOUND_URL = "https://sms.example.com/webhooks/telnyx/acct_1/inbound"
TEXT = OutgoingText("msg_1", "+12125551234", "+18335645667", "Hi Jané & co", (), STATUS_URL, timedelta(hours=4))
INBOUND = {
    "id": "tx-1", "direction": "inbound", "type": "SMS", "text": "  Hi, ça va? ", "media": [],
    "from": {"phone_number": "+12125551234", "carrier": "T", "line_type": "Wireless"},
    "to": [{"phone_number": "+18335645667", "status": "webhook_delivered"}],
    "received_at": "2026-11-24T11:59:58.123+00:00",
}  # fmt: skip
RECEIPT = {
    "id": "tx-9", "direction": "outbound", "from": {"phone_number": "+18335645667"},
    "to": [{"phone_number": "+12125551234", "status": "delivered"}], "errors": [],
}  # fmt: skip
DEEP = b"[" * 100_000


def answer(status: int, body: Any = None, **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return httpx.Response(status, content=content, headers=headers)


def event(kind: str, payload: Any, **more: Any) -> bytes:
    data = {"event_type": kind, "id": "ev-1", "occurred_at": "2026-11-24T12:00:00Z"}
    return json.dumps({"data": {**data, "payload": payload, **more}, "meta": {}}).encode()


def hook(
    body: bytes,
    url: str = INBOUND_URL,
    signer: Ed25519PrivateKey = SIGNER,
    age: int = 0,
    headers: Mapping[str, str] | None = None,
) -> WebhookRequest:
    """A webhook signed so many seconds ago."""
    stamp = str(int(NOW.timestamp()) - age)
    signature = b64encode(signer.sign(f"{stamp}|".encode() + body)).decode()
    signed = {"telnyx-timestamp": stamp, "telnyx-signature-ed25519": signature}
    query = tuple(parse_qsl(httpx.URL(url).query.decode(), keep_blank_values=True))
    return WebhookRequest("POST", url, {**signed, **(headers or {})}, query, body)


def test_a_text_is_json_with_our_id_in_the_webhook_s_address() -> None:
    request = telnyx.build_send_request(ACCOUNT, TEXT, NOW)
    assert (request.method, str(request.url)) == ("POST", "https://api.telnyx.com/v2/messages")
    assert request.headers["authorization"] == "Bearer KEY-1"
    assert json.loads(request.content) == {
        "from": "+18335645667", "to": "+12125551234", "text": "Hi Jané & co", "type": "SMS",
        "webhook_url": STATUS_URL, "use_profile_webhooks": False,
    }  # fmt: skip


@table(
    ("one picture", replace(TEXT, media=("https://x.example/1.png",)), "Hi Jané & co"),
    ("a picture without a word", replace(TEXT, media=("https://x.example/1",), text=""), None),
)
def test_a_text_with_pictures_is_an_mms(given: OutgoingText, expected: str | None) -> None:
    said = json.loads(telnyx.build_send_request(ACCOUNT, given, NOW).content)
    assert (said["type"], said["media_urls"]) == ("MMS", list(given.media))
    assert said.get("text") == expected


@pytest.mark.parametrize("base", ["http://127.0.0.1:9", "http://127.0.0.1:9/"])
def test_the_account_s_base_url_replaces_telnyx_s(base: str) -> None:
    account = replace(ACCOUNT, base_url=base)
    lookup, numbers = (
        telnyx.build_lookup_request(account, TEXT, NOW),
        telnyx.build_numbers_request(account, None),
    )
    assert lookup is not None
    assert numbers is not None
    for request in (telnyx.build_send_request(account, TEXT, NOW), lookup, numbers):
        assert str(request.url).startswith("http://127.0.0.1:9/v2/")


def problem(code: Any, **more: Any) -> dict[str, Any]:
    return {"errors": [{"code": code, "title": "title", "detail": "said", **more}]}


@table(
    ("taken", answer(200, {"data": {"id": "tx-1", "errors": []}}), Outcome("accepted", "tx-1")),
    (
        "a 2xx without an id may have been taken",
        answer(200, {"data": {}}),
        Outcome("unknown", detail="a success without a message id"),
    ),
    (
        "a 2xx whose id is a number",
        answer(200, {"data": {"id": 7}}),
        Outcome("unknown", detail="a success without a message id"),
    ),
    (
        "a 2xx that is a list",
        answer(200, ["tx-1"]),
        Outcome("unknown", detail="a success without a message id"),
    ),
    (
        "a 2xx that is no JSON",
        answer(200, b"<html>"),
        Outcome("unknown", detail="a success without a message id"),
    ),
    (
        "opted out",
        answer(400, problem("40300")),
        Outcome("opted_out", code="40300", detail="said"),
    ),
    (
        "opted out, the code a number",
        answer(403, problem(40300)),
        Outcome("opted_out", code="40300", detail="said"),
    ),
    (
        "too many requests",
        answer(429, problem("10011")),
        Outcome("later", code="10011", detail="said"),
    ),
    (
        "too many, with a wish",
        answer(429, problem("10011"), **{"Retry-After": "7", "x-ratelimit-reset": "9"}),
        Outcome("later", code="10011", detail="said", retry_after=7.0),
    ),
    (
        "too many, by its own header",
        answer(429, b"", **{"x-ratelimit-reset": "9"}),
        Outcome("later", detail="HTTP 429", retry_after=9.0),
    ),
    (
        "a wish that is a date is passed over",
        answer(429, b"", **{"Retry-After": "Tue, 24 Nov 2026 12:00:00 GMT"}),
        Outcome("later", detail="HTTP 429"),
    ),
    (
        "the sender's queue is full",
        answer(400, problem("40318")),
        Outcome("later", code="40318", detail="said"),
    ),
    (
        "not a number",
        answer(400, problem("40310")),
        Outcome("refused", code="40310", detail="said"),
    ),
    ("wrong key", answer(401, problem("10009")), Outcome("refused", code="10009", detail="said")),
    (
        "only a title",
        answer(422, problem("10015", detail=None)),
        Outcome("refused", code="10015", detail="title"),
    ),
    ("a 4xx without a code", answer(404, b"x"), Outcome("refused", code="404", detail="HTTP 404")),
    (
        "errors of wrong kinds",
        answer(400, {"errors": [None, "x", {"code": ["1"], "detail": 1}]}),
        Outcome("refused", code="400", detail="HTTP 400"),
    ),
    (
        "broken may have taken it",
        answer(500, problem("10007")),
        Outcome("unknown", code="10007", detail="said"),
    ),
    (
        "broken, whatever it says",
        answer(503, problem("40300")),
        Outcome("unknown", code="40300", detail="said"),
    ),
    ("a proxy's 502", answer(502, b"<html>"), Outcome("unknown", detail="HTTP 502")),
    ("a redirect", answer(307, b""), Outcome("unknown", detail="HTTP 307")),
    ("a depth beyond reason", answer(400, DEEP), Outcome("refused", None, "400", "HTTP 400")),
)
def test_an_answer_means(given: httpx.Response, expected: Outcome) -> None:
    assert telnyx.read_outcome(given) == expected


SIGNED = hook(event("message.received", INBOUND))


@table(
    ("signed now", SIGNED, True),
    ("bytes that are no JSON", hook(b"\xff\x00|"), True),
    ("five minutes old", hook(b"{}", age=300), True),
    ("from a clock ahead", hook(b"{}", age=-300), True),
    ("older", hook(b"{}", age=301), False),
    ("from the future", hook(b"{}", age=-301), False),
    ("another's key", hook(b"{}", signer=STRANGER), False),
    ("a changed body", replace(SIGNED, body=SIGNED.body + b" "), False),
    (
        "a changed time",
        hook(b"{}", headers={"telnyx-timestamp": str(int(NOW.timestamp()) + 1)}),
        False,
    ),
    ("no signature", hook(b"{}", headers={"telnyx-signature-ed25519": ""}), False),
    ("a short signature", hook(b"{}", headers={"telnyx-signature-ed25519": "AAAA"}), False),
    (
        "a signature that is no base64",
        hook(b"{}", headers={"telnyx-signature-ed25519": "?"}),
        False,
    ),
    ("of odd letters", hook(b"{}", headers={"telnyx-signature-ed25519": "\xe9\u20ac"}), False),
    ("a time that is none", hook(b"{}", headers={"telnyx-timestamp": "now"}), False),
    ("a time of odd digits", hook(b"{}", headers={"telnyx-timestamp": "١٢"}), False),
    ("a time without end", hook(b"{}", headers={"telnyx-timestamp": "9" * 400}), False),
    ("no headers at all", replace(SIGNED, headers={}), False),
)
def test_a_webhook_is_genuine_when_telnyx_s_key_signed_it_lately(given: WebhookRequest, expected: bool) -> None:
    assert telnyx.is_genuine(ACCOUNT, given, NOW) is expected


@pytest.mark.parametrize("key", ["", "AAAA", "no base64", "é"])
def test_with_a_broken_public_key_nothing_is_genuine(key: str) -> None:
    account = replace(ACCOUNT, credentials={"apiKey": "KEY-1", "publicKey": key})
    assert telnyx.is_genuine(account, SIGNED, NOW) is False


class VerifyKey:
    """What Telnyx's library asks of PyNaCl, which it leaves to its users to install."""

    def __init__(self, key: bytes) -> None:
        self._key = Ed25519PublicKey.from_public_bytes(key)

    def verify(self, said: bytes, signature: bytes) -> None:
        self._key.verify(signature, said)


@pytest.fixture
def _vendor(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, content in (
        ("nacl", {}),
        ("nacl.signing", {"VerifyKey": VerifyKey}),
        ("nacl.exceptions", {"BadSignatureError": InvalidSignature}),
    ):
        module = ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)
    clock = SimpleNamespace(time=NOW.timestamp)
    monkeypatch.setattr(webhook_verification, "time", clock)


@pytest.mark.usefixtures("_vendor")
@table(
    ("signed now", SIGNED, True),
    ("five minutes old", hook(b"{}", age=300), True),
    ("older", hook(b"{}", age=301), False),
    ("another's key", hook(b"{}", signer=STRANGER), False),
    ("a changed body", replace(SIGNED, body=SIGNED.body + b" "), False),
    ("no headers", replace(SIGNED, headers={}), False),
)
def test_telnyx_s_own_library_says_the_same(given: WebhookRequest, expected: bool) -> None:
    def says() -> bool:
        try:
            webhook_verification.verify_webhook_signature(given.body, given.headers, PUBLIC)
        except webhook_verification.WebhookVerificationError:
            return False
        return True

    assert says() is expected
    assert telnyx.is_genuine(ACCOUNT, given, NOW) is expected


def received(**changed: Any) -> WebhookRequest:
    return hook(event("message.received", INBOUND | changed))


PLAIN = InboundText(
    "tx-1", "+12125551234", "+18335645667", "  Hi, ça va? ",
    sent_at=datetime(2026, 11, 24, 11, 59, 58, 123000, UTC),
)  # fmt: skip
OTHERS = [
    {"phone_number": "+13105550000", "status": "delivered"},
    {"phone_number": "+18335645667", "status": "webhook_delivered"},
]
PICTURES = [
    {"url": "https://media.example/1", "content_type": "image/png", "size": 1},
    {"url": "https://media.example/2", "content_type": None},
    {"url": None}, "x",
]  # fmt: skip


@table(
    ("a text, as it was written", received(), [PLAIN]),
    ("what Telnyx took it for", received(autoresponse_type="HELP"),
     [replace(PLAIN, taken_as="help")]),
    ("something unknown", received(autoresponse_type=["STOP"]), [PLAIN]),
    (
        "pictures without a word",
        received(text=None, media=PICTURES),
        [
            replace(
                PLAIN,
                text="",
                media=(
                    Media("https://media.example/1", "image/png"),
                    Media("https://media.example/2"),
                ),
            )
        ],
    ),
    ("a group's text came to our number", received(to=OTHERS), [PLAIN]),
    (
        "no state at the number",
        received(to=[{"phone_number": "+18335645667"}]),
        [PLAIN],
    ),
    ("a short code", received(**{"from": {"phone_number": "32665"}}),
     [replace(PLAIN, sender="32665")]),
    ("no plus", received(**{"from": {"phone_number": "12125551234"}}), [PLAIN]),
    ("a time nobody reads", received(received_at="soon"), [replace(PLAIN, sent_at=None)]),
    ("a time before time", received(received_at="0001-01-01T00:00:00+23:59"),
     [replace(PLAIN, sent_at=None)]),
    ("a time without a zone is UTC", received(received_at="2026-11-24T11:59:58.123"), [PLAIN]),
    ("NUL and half a character", received(text="a\x00b\ud83d"), [replace(PLAIN, text="ab?")]),
    ("no id", received(id=None), []),
    ("no sender", received(**{"from": None}), []),
    ("no recipient", received(to=[]), []),
    ("recipients of a wrong kind", received(to={"phone_number": "+1"}), []),
    ("a receipt", hook(event("message.finalized", RECEIPT)), []),
    ("a novelty", hook(event("message.teleported", INBOUND)), []),
)  # fmt: skip
def test_an_inbound_webhook_reads_as(given: WebhookRequest, expected: list[InboundText]) -> None:
    assert telnyx.read_inbound(given) == expected


WORD = Receipt("tx-9", "delivered", message_id="msg_1", to="+12125551234", at=NOW)


def receipt(status: Any, *codes: Any, kind: str = "message.finalized") -> WebhookRequest:
    to = [{"phone_number": "+12125551234", "status": status}]
    errors = [{"code": code} for code in codes]
    return hook(event(kind, RECEIPT | {"to": to, "errors": errors}), STATUS_URL)


@table(
    ("delivered", receipt("delivered"), [WORD]),
    ("read", receipt("read"), [WORD]),
    ("queued", receipt("queued"), [replace(WORD, status="sending")]),
    ("sending", receipt("sending"), [replace(WORD, status="sending")]),
    ("sent", receipt("sent", kind="message.sent"), [replace(WORD, status="sent")]),
    ("unconfirmed is the end", receipt("delivery_unconfirmed"), [replace(WORD, status="sent")]),
    ("expired", receipt("expired", "40005"),
     [replace(WORD, status="undelivered", code="40005")]),
    ("undelivered, with its code", receipt("delivery_failed", 40001),
     [replace(WORD, status="undelivered", code="40001")]),
    ("the first code that is one", receipt("sending_failed", None, "40014", "40008"),
     [replace(WORD, status="failed", code="40014")]),
    ("failed because the lead opted out", receipt("sending_failed", "40300"),
     [replace(WORD, status="failed", code="40300", has_opted_out=True)]),
    ("a word nobody knows", receipt("teleported"), [replace(WORD, status=None)]),
    ("two recipients", hook(event("message.finalized", RECEIPT | {"to": OTHERS}), STATUS_URL),
     [replace(WORD, to="+13105550000"), replace(WORD, status=None, to="+18335645667")]),
    ("without our id in the address", hook(event("message.sent", RECEIPT)),
     [replace(WORD, message_id=None)]),
    ("no status", receipt(None), []),
    ("an inbound text", received(), []),
    ("a novelty", receipt("sent", kind="message.teleported"), []),
)  # fmt: skip
def test_a_status_webhook_reads_as(given: WebhookRequest, expected: list[Receipt]) -> None:
    assert telnyx.read_status(given) == expected


HOSTILE = {
    "nothing": b"", "NUL": b"\x00", "no UTF-8": b"\xff\xfe\xfd", "no JSON": b"{", "deep": DEEP,
    "a list": b"[]", "a number": b"1", "null": b"null", "data a list": b'{"data": [1]}',
    "long digits": b'{"data": ' + b"9" * 5000 + b"}",
    "type an object": event("", {}, event_type={}),
    "payload a list": event("message.received", [1]), "payload null": event("message.sent", None),
    "to a text": event("message.sent", RECEIPT | {"to": "x"}),
    "a list as type": event("", {}, event_type=["message.sent"]),
}  # fmt: skip


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_body_says_nothing(body: bytes) -> None:
    assert telnyx.read_inbound(hook(body)) == []
    assert telnyx.read_status(hook(body)) == []
    assert telnyx.read_lookup(answer(200, body), TEXT, NOW) is None


def test_a_look_up_asks_for_the_pair_s_records() -> None:
    request = telnyx.build_lookup_request(ACCOUNT, TEXT, NOW)
    assert request is not None
    assert (request.method, request.url.path) == ("GET", "/v2/detail_records")
    assert request.headers["authorization"] == "Bearer KEY-1"
    assert dict(request.url.params) == {
        "filter[record_type]": "messaging", "filter[direction]": "outbound",
        "filter[cld]": "+12125551234", "filter[cli]": "+18335645667",
        "sort": "-created_at", "page[size]": "50",
    }  # fmt: skip


def records(*items: Any) -> httpx.Response:
    return answer(200, {"data": list(items), "meta": {}})


RECORD = {
    "uuid": "tx-1", "status": "delivered", "created_at": "2026-11-24T12:00:01Z",
    "delivery_status_webhook_url": STATUS_URL,
}  # fmt: skip
HIT = LookupMatch("tx-1", "delivered", NOW + timedelta(seconds=1))


@table(
    ("it bears our address", records(RECORD), [HIT]),
    ("among others", records({"uuid": "tx-0"}, RECORD, None), [HIT]),
    ("refused by the gateway", records(RECORD | {"status": "gw_reject"}),
     [replace(HIT, status="failed")]),
    ("a word nobody knows", records(RECORD | {"status": []}), [replace(HIT, status=None)]),
    ("another's address", records(RECORD | {"delivery_status_webhook_url": INBOUND_URL}), None),
    ("no id", records(RECORD | {"uuid": 7}), None),
    ("an empty list: it may be written later", records(), None),
    ("wrong key", answer(401, problem("10009")), None),
    ("down", answer(500, b""), None),
    ("no list", answer(200, {"data": None}), None),
)  # fmt: skip
def test_a_look_up_s_answer_says(given: httpx.Response, expected: list[LookupMatch] | None) -> None:
    assert telnyx.read_lookup(given, TEXT, NOW) == expected


@table(
    ("the first page", None, ("/v2/phone_numbers/messaging", "1")),
    ("a later one", "phone_numbers/messaging?3", ("/v2/phone_numbers/messaging", "3")),
    ("short codes, after them", "short_codes?1", ("/v2/short_codes", "1")),
)
def test_numbers_are_asked_for_page_by_page(given: str | None, expected: tuple[str, str]) -> None:
    request = telnyx.build_numbers_request(ACCOUNT, given)
    assert request is not None
    path, page = expected
    assert request.url.path == path
    assert dict(request.url.params) == {"page[number]": page, "page[size]": "250"}


OURS = {"phone_number": "+18335645667", "features": {"sms": {"x": 1}, "mms": None}}
SHORT = {"record_type": "short_code", "short_code": "72345", "country_code": "US"}


def listed(status: int, body: Any, page: str | None = None) -> httpx.Response:
    """The answer to the request for this page."""
    response = answer(status, body)
    response.request = telnyx.build_numbers_request(ACCOUNT, page)  # type: ignore[assignment]
    return response


def numbers(*items: Any, page: str | None = None, **meta: Any) -> httpx.Response:
    return listed(200, {"data": list(items), "meta": meta}, page)


@table(
    ("one that texts", numbers(OURS), NumberPage((VendorNumber("+18335645667", ("sms",)),), "short_codes?1")),
    ("one with pictures", numbers(OURS | {"features": {"sms": {"x": 1}, "mms": {"x": 1}}}),
     NumberPage((VendorNumber("+18335645667", ("sms", "mms")),), "short_codes?1")),
    ("one that says nothing", numbers(OURS | {"features": None}),
     NumberPage((VendorNumber("+18335645667", ()),), "short_codes?1")),
    ("more to come", numbers(OURS, page_number=1, total_pages=2),
     NumberPage((VendorNumber("+18335645667", ("sms",)),), "phone_numbers/messaging?2")),
    ("the last page", numbers(page_number=2, total_pages=2), NumberPage((), "short_codes?1")),
    ("a page of a wrong kind", numbers(page_number="1", total_pages=2), NumberPage((), "short_codes?1")),
    ("odd entries", numbers(None, "x", {}, {"phone_number": 7}), NumberPage((), "short_codes?1")),
    ("wrong key", listed(401, problem("10009")), None),
    ("no list", listed(200, {"data": {}}), None),
    ("not there", listed(404, problem("10005")), None),
    ("a short code", numbers(SHORT, page="short_codes?1"), NumberPage((VendorNumber("72345", ()),))),
    ("more short codes", numbers(SHORT, page="short_codes?1", page_number=1, total_pages=2),
     NumberPage((VendorNumber("72345", ()),), "short_codes?2")),
    ("odd short codes", numbers(None, {}, OURS, {"short_code": 7}, page="short_codes?1"), NumberPage(())),
    ("an account without the list of short codes", listed(404, problem("10005"), "short_codes?1"), NumberPage(())),
    ("short codes in a bad moment", listed(500, b"", "short_codes?1"), None),
)  # fmt: skip
def test_a_listing_reads_as(given: httpx.Response, expected: NumberPage | None) -> None:
    assert telnyx.read_numbers(given) == expected


def test_telnyx_keeps_no_words_of_inbound_texts() -> None:
    assert telnyx.build_history_request(ACCOUNT, NOW, None) is None
    assert telnyx.read_history(records(), NOW) is None


@table(
    ("at Telnyx", "https://api.telnyx.com/v2/media/1", True),
    ("at a host of theirs", "https://media.telnyx.com/1", True),
    ("elsewhere", "https://us-east-1.example.com/1", False),
    ("a name that ends alike", "https://eviltelnyx.com/1", False),
    ("a name before the host", "https://api.telnyx.com@evil.example/1", False),
    ("in the clear", "http://api.telnyx.com/1", False),
)
def test_media_are_asked_for_with_the_key_only_at_telnyx(given: str, expected: bool) -> None:
    assert ("authorization" in telnyx.build_media_request(ACCOUNT, given).headers) is expected


def test_media_at_the_account_s_base_url_are_asked_for_with_the_key() -> None:
    account = replace(ACCOUNT, base_url="http://127.0.0.1:9/")
    assert "authorization" in telnyx.build_media_request(account, "http://127.0.0.1:9/m").headers


def test_the_secret_is_told_as_it_travels() -> None:
    request = telnyx.build_send_request(ACCOUNT, TEXT, NOW)
    assert any(secret in request.headers["authorization"] for secret in telnyx.list_secrets(ACCOUNT))


def test_a_webhook_is_answered_with_an_empty_object() -> None:
    assert telnyx.WEBHOOK_ANSWER == ("application/json", b"{}")


@pytest.mark.parametrize(
    "given",
    [
        TEXT,
        replace(TEXT, media=("https://x.example/1.png", "https://x.example/2.png")),
        replace(TEXT, media=("https://x.example/1",), text=""),
    ],
    ids=["a text", "a text with pictures", "a picture without a word"],
)
def test_telnyx_s_own_client_sends_what_we_send(given: OutgoingText) -> None:
    built = telnyx.build_send_request(ACCOUNT, given, NOW)
    with respx.mock() as vendor, Telnyx(api_key="KEY-1", max_retries=0) as client:
        route = vendor.route().respond(200, json={"data": {"id": "tx-1"}})
        client.messages.send(
            from_=given.sender,
            to=given.to,
            text=given.text or omit,
            media_urls=list(given.media) or omit,
            type="MMS" if given.media else "SMS",
            webhook_url=given.status_url,
            use_profile_webhooks=False,
        )
    sent = route.calls.last.request
    assert_same_request(built, sent)
    assert built.headers["content-type"] == sent.headers["content-type"]
    assert json.loads(built.content) == json.loads(sent.content)


def test_telnyx_s_own_client_lists_numbers_and_records_as_we_do() -> None:
    numbers = telnyx.build_numbers_request(ACCOUNT, "phone_numbers/messaging?2")
    short_codes = telnyx.build_numbers_request(ACCOUNT, "short_codes?2")
    records = telnyx.build_lookup_request(ACCOUNT, TEXT, NOW)
    assert numbers is not None
    assert short_codes is not None
    assert records is not None
    with respx.mock() as vendor, Telnyx(api_key="KEY-1", max_retries=0) as client:
        route = vendor.route().respond(200, json={"data": []})
        client.phone_numbers.messaging.list(page_number=2, page_size=telnyx.NUMBERS_PER_PAGE)
        assert_same_request(numbers, route.calls.last.request)
        client.short_codes.list(page_number=2, page_size=telnyx.NUMBERS_PER_PAGE)
        assert_same_request(short_codes, route.calls.last.request)
        filters: Any = {"record_type": "messaging", "direction": "outbound", "cld": TEXT.to, "cli": TEXT.sender}
        client.detail_records.list(filter=filters, sort=["-created_at"], page_size=telnyx.RECORDS_PER_PAGE)
        assert_same_request(records, route.calls.last.request)


def assert_same_request(ours: httpx.Request, theirs: httpx.Request) -> None:
    """But for the order of the query, and what is in the body."""
    assert (ours.method, ours.url.copy_with(query=None)) == (theirs.method, theirs.url.copy_with(query=None))
    assert sorted(ours.url.params.multi_items()) == sorted(theirs.url.params.multi_items())
    assert ours.headers["authorization"] == theirs.headers["authorization"]
