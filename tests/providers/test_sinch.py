"""Sinch's dialect, case by case; its signatures are made and checked by Sinch's own library."""

import base64
import hmac
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest
from sinch.domains.authentication.sinch_events.v1.authentication_validation import (  # type: ignore[import-untyped]
    calculate_sinch_event_signature,
    compute_signed_data,
)
from sinch.domains.sms.models.v1.shared.media_request import (  # type: ignore[import-untyped]
    MediaRequest,
)
from sinch.domains.sms.models.v1.shared.text_request import (  # type: ignore[import-untyped]
    TextRequest,
)
from sinch.domains.sms.sinch_events.v1.sms_sinch_event import (  # type: ignore[import-untyped]
    SmsSinchEvent,
)

from app.domain.carriage import (
    Account,
    InboundPage,
    InboundText,
    LookupMatch,
    Media,
    Outcome,
    OutgoingText,
    Receipt,
    WebhookRequest,
)
from app.domain.problems import Unavailable
from app.providers import sinch
from tests.providers.tables import table

PLAN, TOKEN, SECRET = "jd63jf88477ll123ab4567cd89012ef3", "token-of-the-plan", "webhook-secret"
ACCOUNT = Account(
    "org_1", "acct_1", "sinch",
    {"servicePlanId": PLAN, "apiToken": TOKEN, "webhookSecret": SECRET},
)  # fmt: skip
URL = f"https://us.sms.api.sinch.com/xms/v1/{PLAN}"
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
STATUS_URL = "https://sms.example.com/webhooks/sinch/acct_1/status?message=msg_1"
INBOUND_URL = "https://sms.example.com/webhooks/sinch/acct_1/inbound"
TEXT = OutgoingText("msg_1", "+12125551234", "+18335645667", "Hi Jané & co", (), STATUS_URL, timedelta(hours=4))
INBOUND = {
    "type": "mo_text", "id": "01FC1", "from": "12125551234", "to": "18335645667",
    "body": "  Hi, ça va? ", "received_at": "2026-11-24T11:59:58.120Z",
    "sent_at": "2026-11-24T11:59:50Z", "operator_id": "35000",
}  # fmt: skip
RECEIPT = {
    "type": "recipient_delivery_report_sms", "batch_id": "01FC9", "recipient": "12125551234",
    "code": 0, "status": "Delivered", "at": "2026-11-24T12:00:03.456Z",
    "operator_status_at": "2026-11-24T12:00Z", "client_reference": "msg_1",
}  # fmt: skip
DEEP = b'{"a":' * 50_000


def answer(status: int, body: Any = None, **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return httpx.Response(status, content=content, headers=headers)


def hook(body: Any, url: str = INBOUND_URL, **headers: str) -> WebhookRequest:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    query = tuple(parse_qsl(httpx.URL(url).query.decode(), keep_blank_values=True))
    return WebhookRequest("POST", url, {"content-type": "application/json", **headers}, query, content)


def test_a_text_is_a_batch_of_one_with_our_id_as_its_reference() -> None:
    request = sinch.build_send_request(ACCOUNT, TEXT, NOW)
    assert (request.method, str(request.url)) == ("POST", f"{URL}/batches")
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    body = json.loads(request.content)
    assert body == {
        "to": ["12125551234"], "from": "18335645667", "type": "mt_text", "body": "Hi Jané & co",
        "delivery_report": "per_recipient", "callback_url": STATUS_URL,
        "client_reference": "msg_1", "expire_at": "2026-11-24T16:00:00.000Z",
    }  # fmt: skip
    assert TextRequest(**body).model_extra in (None, {})


@pytest.mark.parametrize("sender", ["ACME", "Sunny Roofs", "7UP", "72345"])
def test_a_name_and_a_short_code_are_senders_as_they_are(sender: str) -> None:
    """The model of Sinch's library: "Must be valid phone number, short code or alphanumeric"."""
    body = json.loads(sinch.build_send_request(ACCOUNT, replace(TEXT, sender=sender), NOW).content)
    assert TextRequest(**body).from_ == sender


ONE, TWO = "https://x.example/1.png", "https://x.example/2.png"


@table(
    ("a picture", replace(TEXT, media=(ONE,)), {"url": ONE, "message": "Hi Jané & co"}),
    ("without a word", replace(TEXT, media=(ONE,), text=""), {"url": ONE}),
    ("the second by its address", replace(TEXT, media=(ONE, TWO)),
     {"url": ONE, "message": f"Hi Jané & co\n{TWO}"}),
    ("two without a word", replace(TEXT, media=(ONE, TWO), text=""), {"url": ONE, "message": TWO}),
)  # fmt: skip
def test_an_attachment_goes_by_mms(given: OutgoingText, expected: dict[str, str]) -> None:
    body = json.loads(sinch.build_send_request(ACCOUNT, given, NOW).content)
    assert (body["type"], body["body"]) == ("mt_media", expected)
    assert MediaRequest(**body).model_extra in (None, {})


@table(
    ("what is left", timedelta(seconds=90), "2026-11-24T12:01:30.000Z"),
    ("overdue is the nearest", timedelta(seconds=-5), "2026-11-24T12:00:30.000Z"),
    ("a month is cut to the farthest", timedelta(days=30), "2026-11-27T11:59:00.000Z"),
)
def test_the_validity_stays_within_what_sinch_takes(given: timedelta, expected: str) -> None:
    request = sinch.build_send_request(ACCOUNT, replace(TEXT, validity=given), NOW)
    assert json.loads(request.content)["expire_at"] == expected


@pytest.mark.parametrize("base", ["https://eu.sms.api.sinch.com", "https://eu.sms.api.sinch.com/"])
def test_the_account_s_base_url_names_the_region(base: str) -> None:
    account = replace(ACCOUNT, base_url=base)
    begun = f"https://eu.sms.api.sinch.com/xms/v1/{PLAN}/"
    for request in (
        sinch.build_send_request(account, TEXT, NOW),
        sinch.build_lookup_request(account, TEXT, NOW),
        sinch.build_history_request(account, NOW, None),
    ):
        assert request is not None
        assert str(request.url).startswith(begun)


def test_a_plan_s_id_is_no_path() -> None:
    account = replace(ACCOUNT, credentials={**ACCOUNT.credentials, "servicePlanId": "../a?b"})
    assert sinch.build_send_request(account, TEXT, NOW).url.raw_path == b"/xms/v1/..%2Fa%3Fb/batches"


PROBLEM = {"code": "syntax_invalid_parameter_format", "text": "said"}
NO_ID = Outcome("unknown", detail="a success without a batch id")


@table(
    ("created", answer(201, {"id": "01FC9", "canceled": False}), Outcome("accepted", "01FC9")),
    ("any 2xx with an id", answer(200, {"id": "01FC9"}), Outcome("accepted", "01FC9")),
    ("a 2xx without an id may have been taken", answer(201, {}), NO_ID),
    ("a 2xx with an empty id", answer(201, {"id": ""}), NO_ID),
    ("a 2xx with a list as id", answer(201, {"id": ["01FC9"]}), NO_ID),
    ("a 2xx that is no JSON", answer(200, b"<html>"), NO_ID),
    ("a 2xx that is a list", answer(200, ["01FC9"]), NO_ID),
    ("a 2xx that is deep", answer(200, DEEP), NO_ID),
    ("too many requests", answer(429, b""),
     Outcome("later", code="http_429", detail="HTTP 429")),
    ("too many, with a wish", answer(429, PROBLEM, **{"Retry-After": "7"}),
     Outcome("later", code=PROBLEM["code"], detail="said", retry_after=7.0)),
    ("a wish that is a date is passed over", answer(429, b"", **{"Retry-After": "Tue, 24 Nov"}),
     Outcome("later", code="http_429", detail="HTTP 429")),
    ("not readable", answer(400, PROBLEM),
     Outcome("refused", code=PROBLEM["code"], detail="said")),
    ("not allowed", answer(403, {"code": "unknown_campaign", "text": "said"}),
     Outcome("refused", code="unknown_campaign", detail="said")),
    ("wrong token, which is not a report's 401", answer(401, b""),
     Outcome("refused", code="http_401", detail="HTTP 401")),
    ("a code that is a list", answer(400, {"code": [1], "text": None}),
     Outcome("refused", code="http_400", detail="HTTP 400")),
    ("broken may have taken it", answer(500, PROBLEM),
     Outcome("unknown", code=PROBLEM["code"], detail="said")),
    ("a proxy's 502", answer(502, b"<html>"),
     Outcome("unknown", code="http_502", detail="HTTP 502")),
    ("a redirect", answer(307, b""), Outcome("unknown", code="http_307", detail="HTTP 307")),
)  # fmt: skip
def test_an_answer_means(given: httpx.Response, expected: Outcome) -> None:
    assert sinch.read_outcome(given) == expected


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404])
def test_every_known_refusal_has_its_words(status: int) -> None:
    assert sinch.ERROR_MEANINGS[sinch.read_outcome(answer(status, b"")).code or ""]


BODY = json.dumps(INBOUND, ensure_ascii=False).encode()
NAME = "x-sinch-webhook-signature"


def signed(
    body: bytes = BODY, secret: str = SECRET, seconds: int = 0, url: str = INBOUND_URL,
    **changed: str,
) -> WebhookRequest:  # fmt: skip
    """A webhook signed by Sinch's library; `changed`: headers by their endings."""
    nonce, stamp = "01FC-nonce", str(int(NOW.timestamp()) + seconds)
    said = compute_signed_data(body.decode("utf-8"), nonce, stamp)
    headers = {
        NAME: calculate_sinch_event_signature(said, secret), f"{NAME}-nonce": nonce,
        f"{NAME}-timestamp": stamp, f"{NAME}-algorithm": "HmacSHA256",
    }  # fmt: skip
    headers |= {f"{NAME}-{name}" if name != "itself" else NAME: to for name, to in changed.items()}
    return hook(body, url, **headers)


def without(given: WebhookRequest, name: str) -> WebhookRequest:
    return replace(given, headers={k: v for k, v in given.headers.items() if k != name})


SIGNED = signed()


@table(
    ("signed", SIGNED, True),
    ("a receipt", signed(json.dumps(RECEIPT).encode(), url=STATUS_URL), True),
    ("an empty body", signed(b""), True),
    ("the algorithm in other letters", signed(algorithm="HMACSHA256"), True),
    ("no word of the algorithm", without(SIGNED, f"{NAME}-algorithm"), True),
    ("repeated for almost two days", signed(seconds=-47 * 3600), True),
    ("by a clock ahead", signed(seconds=60), True),
    ("another's secret", signed(secret="x"), False),
    ("another body", replace(SIGNED, body=BODY + b" "), False),
    ("another nonce", signed(nonce="x"), False),
    ("another time", signed(timestamp=str(int(NOW.timestamp()) + 1)), False),
    ("a time that is none", signed(timestamp="-1e9"), False),
    ("odd letters", signed(itself="é\u20ac"), False),
    ("odd letters as nonce", signed(nonce="é\u20ac"), False),
    ("another algorithm", signed(algorithm="HmacSHA1"), False),
    ("an empty signature", signed(itself=""), False),
    ("no signature", without(SIGNED, NAME), False),
    ("no nonce", without(SIGNED, f"{NAME}-nonce"), False),
    ("no time", without(SIGNED, f"{NAME}-timestamp"), False),
    ("nothing", hook(BODY), False),
)  # fmt: skip
def test_a_webhook_is_genuine_when_the_account_s_secret_signed_it(given: WebhookRequest, expected: bool) -> None:
    assert sinch.is_genuine(ACCOUNT, given, NOW) is expected


LIKE_THEIRS = {
    "signed": SIGNED,
    "an empty body": signed(b""),
    "another's secret": signed(secret="x"),
    "another body": replace(SIGNED, body=BODY + b" "),
    "another nonce": signed(nonce="x"),
    "no signature": without(SIGNED, NAME),
    "no nonce": without(SIGNED, f"{NAME}-nonce"),
    "no time": without(SIGNED, f"{NAME}-timestamp"),
}


@pytest.mark.parametrize("given", LIKE_THEIRS.values(), ids=LIKE_THEIRS.keys())
def test_the_vendor_s_library_agrees(given: WebhookRequest) -> None:
    theirs = SmsSinchEvent(SECRET).validate_authentication_header(dict(given.headers), given.body)
    assert sinch.is_genuine(ACCOUNT, given, NOW) is theirs


def test_bytes_that_are_no_utf_8_are_signed_as_they_are() -> None:
    body, stamp = b"\xff\x00", str(int(NOW.timestamp())).encode()  # the library can sign text only
    mac = hmac.digest(SECRET.encode(), body + b".n." + stamp, "sha256")
    headers = {NAME: base64.b64encode(mac).decode(), f"{NAME}-nonce": "n"}
    given = hook(body, **headers, **{f"{NAME}-timestamp": stamp.decode()})
    assert sinch.is_genuine(ACCOUNT, given, NOW)
    assert not sinch.is_genuine(ACCOUNT, replace(given, body=b"\xfe\x00"), NOW)


@pytest.mark.parametrize("seconds", [-48 * 3600 - 1, 301])
def test_a_time_out_of_reach_is_put_off(seconds: int) -> None:
    with pytest.raises(Unavailable):
        sinch.is_genuine(ACCOUNT, signed(seconds=seconds), NOW)


def test_a_blank_secret_signs_nothing() -> None:
    account = replace(ACCOUNT, credentials={**ACCOUNT.credentials, "webhookSecret": ""})
    assert not sinch.is_genuine(account, signed(secret=""), NOW)


PLAIN = InboundText(
    "01FC1", "+12125551234", "+18335645667", "  Hi, ça va? ",
    sent_at=datetime(2026, 11, 24, 11, 59, 58, 120_000, UTC),
)  # fmt: skip
ITEM = {"url": "https://s3.example/0", "content_type": "image/png", "status": "Uploaded", "code": 0}


def text(**changed: Any) -> WebhookRequest:
    if "sender" in changed:
        changed["from"] = changed.pop("sender")
    return hook(INBOUND | changed)


def picture(**body: Any) -> WebhookRequest:
    return text(type="mo_media", body=body)


@table(
    ("a text, as it was written", hook(INBOUND), [PLAIN]),
    ("a short code", text(sender="32665"), [replace(PLAIN, sender="32665")]),
    ("a name", text(sender="ACME Inc"), [replace(PLAIN, sender="ACME Inc")]),
    ("with a plus", text(sender="+12125551234"), [PLAIN]),
    ("an empty text", text(body=""), [replace(PLAIN, text="")]),
    ("NUL and half a character", text(body="a\x00\ud83d"), [replace(PLAIN, text="a?")]),
    ("a time that is none", text(received_at="soon"), [replace(PLAIN, sent_at=None)]),
    ("a picture", picture(message="look", media=[ITEM]),
     [replace(PLAIN, text="look", media=(Media("https://s3.example/0", "image/png"),))]),
    ("the message before the subject", picture(subject="No subject", message="STOP"),
     [replace(PLAIN, text="STOP")]),
    ("the subject alone", picture(subject="STOP", message=" "), [replace(PLAIN, text="STOP")]),
    ("a picture that was lost", picture(media=[{"status": "Failed", "code": 1}, None, 7]),
     [replace(PLAIN, text="")]),
    ("media that are no list", picture(media={"url": "x"}), [replace(PLAIN, text="")]),
    ("ten at most", picture(media=[{"url": f"u{i}"} for i in range(99)]),
     [replace(PLAIN, text="", media=tuple(Media(f"u{i}") for i in range(10)))]),
    ("media without a body", text(type="mo_media", body="x"), []),
    ("binary", text(type="mo_binary", body="AAA=", udh="00"), []),
    ("a novelty", text(type="mo_hologram"), []),
    ("a list as type", text(type=["mo_text"]), []),
    ("a list as text", text(body=["x"]), []),
    ("no text", text(body=None), []),
    ("no sender", text(sender=""), []),
    ("an object as sender", text(sender={"a": 1}), []),
    ("no recipient", text(to=None), []),
    ("no id", text(id=None), []),
    ("NUL in the id", text(id="a\x00"), []),
    ("a report at the wrong address", hook(RECEIPT), []),
)  # fmt: skip
def test_an_inbound_webhook_reads_as(given: WebhookRequest, expected: list[InboundText]) -> None:
    assert sinch.read_inbound(given) == expected


WORD = Receipt(
    "01FC9", "delivered", message_id="msg_1", to="+12125551234",
    at=datetime(2026, 11, 24, 12, 0, 3, 456_000, UTC),
)  # fmt: skip


def receipt(status: Any, code: Any = 0, **changed: Any) -> WebhookRequest:
    return hook(RECEIPT | {"status": status, "code": code} | changed, STATUS_URL)


def summary(statuses: Any) -> WebhookRequest:
    said = {
        "type": "delivery_report_sms", "batch_id": "01FC9", "client_reference": "msg_1",
        "total_message_count": 1, "statuses": statuses,
    }  # fmt: skip
    return hook(said, STATUS_URL)


SUMMED = replace(WORD, to=None, at=None)


@table(
    ("delivered", receipt("Delivered"), [WORD]),
    ("in capitals", receipt("DELIVERED"), [WORD]),
    ("an MMS", receipt("Delivered", type="recipient_delivery_report_mms"), [WORD]),
    ("queued", receipt("Queued", 400), [replace(WORD, status="sending")]),
    ("dispatched", receipt("Dispatched", 401), [replace(WORD, status="sent")]),
    ("unknown", receipt("Unknown", 408), [replace(WORD, status="sent", code="408")]),
    ("aborted", receipt("Aborted", 403), [replace(WORD, status="failed", code="403")]),
    ("cancelled", receipt("Cancelled", 407), [replace(WORD, status="failed", code="407")]),
    ("in American", receipt("CANCELED", 407), [replace(WORD, status="failed", code="407")]),
    ("rejected", receipt("Rejected", 402), [replace(WORD, status="undelivered", code="402")]),
    ("deleted", receipt("Deleted", 27), [replace(WORD, status="undelivered", code="27")]),
    ("failed", receipt("Failed", 404), [replace(WORD, status="undelivered", code="404")]),
    ("expired", receipt("Expired", 406), [replace(WORD, status="undelivered", code="406")]),
    ("a word nobody knows", receipt("Teleported"), [replace(WORD, status=None)]),
    ("a list as status", receipt(["Delivered"]), [replace(WORD, status=None)]),
    ("the reference before the address", receipt("Delivered", client_reference="msg_2"),
     [replace(WORD, message_id="msg_2")]),
    ("the address without a reference", receipt("Delivered", client_reference=None), [WORD]),
    ("neither", hook({k: v for k, v in RECEIPT.items() if k != "client_reference"}),
     [replace(WORD, message_id=None)]),
    ("NUL in the address", hook(RECEIPT | {"client_reference": ""}, STATUS_URL + "%00"),
     [replace(WORD, message_id=None)]),
    ("no recipient", receipt("Delivered", recipient=None), [replace(WORD, to=None)]),
    ("a time that is none", receipt("Delivered", at=[1]), [replace(WORD, at=None)]),
    ("a batch", summary([{"code": 0, "count": 1, "status": "Delivered"}]), [SUMMED]),
    ("a batch that failed", summary([None, {"code": 402, "status": "Failed"}]),
     [replace(SUMMED, status="undelivered", code="402")]),
    ("a batch of nothing", summary([]), []),
    ("a batch that is none", summary({"code": 0}), []),
    ("no batch", receipt("Delivered", batch_id=None), []),
    ("a novelty", receipt("Delivered", type="hologram_report"), []),
    ("a list as type", receipt("Delivered", type=["x"]), []),
    ("an inbound text", hook(INBOUND, STATUS_URL), []),
)  # fmt: skip
def test_a_status_webhook_reads_as(given: WebhookRequest, expected: list[Receipt]) -> None:
    assert sinch.read_status(given) == expected


HOSTILE = {
    "nothing": b"", "NUL": b"\x00", "no UTF-8": b"\xff\xfe\xfd", "no JSON": b"{", "deep": DEEP,
    "a list": b"[]", "a number": b"1", "null": b"null", "NaN": b"NaN",
    "long digits": b'{"batch_id": ' + b"9" * 5000 + b"}",
    "objects": json.dumps({name: {"a": 1} for name in INBOUND | RECEIPT}).encode(),
    "lists": json.dumps({name: [1] for name in INBOUND | RECEIPT}).encode(),
    "nulls": json.dumps(dict.fromkeys(INBOUND | RECEIPT)).encode(),
}  # fmt: skip


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_body_says_nothing(body: bytes) -> None:
    assert sinch.read_inbound(hook(body)) == []
    assert sinch.read_status(hook(body)) == []
    assert sinch.read_outcome(answer(201, body)) == NO_ID
    assert sinch.read_outcome(answer(400, body)).verdict == "refused"
    assert sinch.read_lookup(answer(200, body), TEXT, NOW) is None
    assert sinch.read_history(answer(200, body), NOW) is None


def test_a_look_up_asks_for_our_reference() -> None:
    request = sinch.build_lookup_request(ACCOUNT, TEXT, NOW)
    assert request is not None
    assert (request.method, str(request.url.copy_with(query=None))) == ("GET", f"{URL}/batches")
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    assert dict(request.url.params) == {
        "client_reference": "msg_1", "start_date": "2026-11-24T11:59:00.000Z", "page": "0",
        "page_size": "100",
    }  # fmt: skip


def batch(carrier_id: Any, seconds: int = 1, **changed: Any) -> dict[str, Any]:
    at = (NOW + timedelta(seconds=seconds)).isoformat()
    return {
        "id": carrier_id, "client_reference": "msg_1", "canceled": False, "created_at": at,
    } | changed  # fmt: skip


def batches(*items: Any, count: Any = None) -> httpx.Response:
    said = {"count": len(items) if count is None else count, "page": 0, "batches": list(items)}
    return answer(200, said)


def hit(carrier_id: str, seconds: int = 1) -> LookupMatch:
    return LookupMatch(carrier_id, "sending", NOW + timedelta(seconds=seconds))


@table(
    ("it stands there", batches(batch("B1")), [hit("B1")]),
    ("twice, the first first", batches(batch("B2", 9), batch("B1")), [hit("B1"), hit("B2", 9)]),
    ("cancelled", batches(batch("B1", canceled=True)), [replace(hit("B1"), status="failed")]),
    ("without a date", batches(batch("B1", created_at=None)),
     [replace(hit("B1"), created_at=None)]),
    ("an empty list", batches(), []),
    ("others only", batches(batch("B1", client_reference="msg_2")), []),
    ("odd entries are passed over", batches(None, "x", batch(7.5), batch("B1")), [hit("B1")]),
    ("without an id", batches(batch(7.5)), None),
    ("without a reference", batches(batch("B1", client_reference=None)), None),
    ("others, and more to come", batches(batch("B1", client_reference="msg_2"), count=31), None),
    ("a full page of others", batches(*[batch("B1", client_reference="x")] * 100), None),
    ("an empty list of many", batches(count=3), None),
    ("an empty list without a count", answer(200, {"batches": []}), None),
    ("wrong token", answer(401, b""), None),
    ("down", answer(500, {"batches": [], "count": 0}), None),
    ("no list", answer(200, {"batches": None}), None),
)  # fmt: skip
def test_a_look_up_s_answer_says(given: httpx.Response, expected: list[LookupMatch] | None) -> None:
    assert sinch.read_lookup(given, TEXT, NOW) == expected


@table(("the first page", None, "0"), ("the third", "2", "2"))
def test_inbound_texts_are_asked_for_page_by_page(given: str | None, expected: str) -> None:
    request = sinch.build_history_request(ACCOUNT, NOW, given)
    assert request is not None
    assert (request.method, str(request.url.copy_with(query=None))) == ("GET", f"{URL}/inbounds")
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    assert dict(request.url.params) == {
        "start_date": "2026-11-24T12:00:00.000Z", "page": expected, "page_size": "100",
    }  # fmt: skip


def inbounds(*items: Any, **said: Any) -> httpx.Response:
    return answer(200, {"count": len(items), "page": 0, "inbounds": list(items)} | said)


SINCE = NOW - timedelta(seconds=2)
ONCE = INBOUND | {"received_at": "2026-11-24T11:59:58Z"}
MISSED = replace(PLAIN, sent_at=SINCE)


@table(
    ("a text, just then", inbounds(ONCE), InboundPage((MISSED,))),
    ("an older one", inbounds(ONCE | {"received_at": "2026-11-24T11:59:57.999Z"}), InboundPage(())),
    ("one without a time", inbounds(ONCE | {"received_at": None}), InboundPage(())),
    ("odd entries are passed over", inbounds(None, "x", {}, ONCE | {"type": "x"}), InboundPage(())),
    ("none", inbounds(), InboundPage(())),
    ("more to come", inbounds(ONCE, count=101), InboundPage((MISSED,), "1")),
    ("the second page of three", inbounds(ONCE, count=201, page=1), InboundPage((MISSED,), "2")),
    ("the last page", inbounds(ONCE, count=101, page=1), InboundPage((MISSED,))),
    ("no end in sight", inbounds(count=101), InboundPage(())),
    ("a count that is none", inbounds(ONCE, count="101"), InboundPage((MISSED,))),
    ("no list", inbounds(inbounds=None), None),
    ("wrong token", answer(401, b""), None),
    ("down", answer(500, {"inbounds": []}), None),
)  # fmt: skip
def test_missed_texts_are_read(given: httpx.Response, expected: InboundPage | None) -> None:
    assert sinch.read_history(given, SINCE) == expected


def test_numbers_are_another_api_s() -> None:
    assert sinch.build_numbers_request(ACCOUNT, None) is None
    assert sinch.read_numbers(answer(200, {})) is None


@table(
    ("Sinch's", "https://eu.sms.api.sinch.com/1", True),
    ("the base's", f"{URL}/1", True),
    ("not over HTTP", "http://us.sms.api.sinch.com/1", False),
    ("a name that ends alike", "https://evilsinch.com/1", False),
    ("a name that begins alike", "https://sinch.com.evil.example/1", False),
    ("a user that looks alike", "https://sinch.com@evil.example/1", False),
    ("a bucket", "https://s3.example/0", False),
)
def test_only_sinch_is_shown_the_token(given: str, expected: bool) -> None:
    assert ("authorization" in sinch.build_media_request(ACCOUNT, given).headers) is expected


def test_the_secrets_are_told() -> None:
    assert set(sinch.list_secrets(ACCOUNT)) == {TOKEN, SECRET}
