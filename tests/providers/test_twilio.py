"""Twilio's dialect, case by case; its signatures are made by Twilio's own library."""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode

import httpx
import pytest
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]

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
from app.providers import twilio
from tests.providers.tables import table

SID, TOKEN, SHARED = "AC0123456789abcdef0123456789abcdef", "token-of-the-account", "shared-secret"
ACCOUNT = Account("org_1", "acct_1", "twilio", {"accountSid": SID, "authToken": TOKEN})
WITH_SHARED_KEY = replace(ACCOUNT, credentials={**ACCOUNT.credentials, "sharedKeySecret": SHARED})
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
STATUS_URL = "https://sms.example.com/webhooks/twilio/acct_1/status?message=msg_1"
INBOUND_URL = "https://sms.example.com/webhooks/twilio/acct_1/inbound"
TEXT = OutgoingText("msg_1", "+12125551234", "+18335645667", "Hi Jané & co +1", (), STATUS_URL, timedelta(hours=4))
INBOUND = {
    "MessageSid": "SM1", "SmsSid": "SM1", "AccountSid": SID, "From": "+12125551234",
    "To": "+18335645667", "Body": "  Hi, ça va? ", "NumMedia": "0", "FromCity": "",
}  # fmt: skip
RECEIPT = {
    "MessageSid": "SM9", "SmsSid": "SM9", "MessageStatus": "delivered", "AccountSid": SID,
    "To": "+12125551234", "From": "+18335645667",
}  # fmt: skip
FORM = "application/x-www-form-urlencoded"


def answer(status: int, body: Any = None, **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return httpx.Response(status, content=content, headers=headers)


def hook(
    form: Mapping[str, str] | list[tuple[str, str]],
    url: str = INBOUND_URL,
    signature: str | None = None,
    **headers: str,
) -> WebhookRequest:
    """A form POST, signed by Twilio's library unless `signature` says otherwise."""
    if signature is None:
        signature = RequestValidator(TOKEN).compute_signature(url, Pairs(form))
    return WebhookRequest(
        "POST", url, {"content-type": FORM, "x-twilio-signature": signature, **headers},
        tuple(parse_qsl(httpx.URL(url).query.decode(), keep_blank_values=True)),
        urlencode(form).encode(),
    )  # fmt: skip


class Pairs(dict[str, str]):
    """A form with repeated names, as the library likes to be asked."""

    def __init__(self, form: Mapping[str, str] | list[tuple[str, str]]) -> None:
        self._pairs = list(form.items()) if isinstance(form, Mapping) else form
        super().__init__(self._pairs)

    def getall(self, name: str) -> list[str]:
        return [value for key, value in self._pairs if key == name]


def test_a_text_is_a_form_post_with_our_id_in_the_callback_url() -> None:
    request = twilio.build_send_request(ACCOUNT, TEXT, NOW)
    assert request.method == "POST"
    assert str(request.url) == f"https://api.twilio.com/2010-04-01/Accounts/{SID}/Messages.json"
    assert request.headers["content-type"] == FORM
    basic = base64.b64encode(f"{SID}:{TOKEN}".encode()).decode()
    assert request.headers["authorization"] == f"Basic {basic}"
    assert parse_qs(request.content.decode()) == {
        "To": ["+12125551234"],
        "From": ["+18335645667"],
        "Body": ["Hi Jané & co +1"],
        "StatusCallback": [STATUS_URL],
        "ValidityPeriod": ["14400"],
    }


def test_media_is_repeated_under_one_name() -> None:
    media = ("https://x.example/1.png", "https://x.example/2.png?a=b&c=d")
    request = twilio.build_send_request(ACCOUNT, replace(TEXT, media=media), NOW)
    assert parse_qs(request.content.decode())["MediaUrl"] == list(media)


@table(
    ("what is left", timedelta(seconds=90), "90"),
    ("nothing left is the shortest", timedelta(0), "1"),
    ("overdue is the shortest", timedelta(seconds=-5), "1"),
    ("a fraction is the shortest", timedelta(milliseconds=20), "1"),
    ("a day is cut to the longest", timedelta(days=1), "36000"),
)
def test_the_validity_stays_within_what_twilio_takes(given: timedelta, expected: str) -> None:
    request = twilio.build_send_request(ACCOUNT, replace(TEXT, validity=given), NOW)
    assert parse_qs(request.content.decode())["ValidityPeriod"] == [expected]


@pytest.mark.parametrize("base", ["http://127.0.0.1:9", "http://127.0.0.1:9/"])
def test_the_account_s_base_url_replaces_twilio_s(base: str) -> None:
    account = replace(ACCOUNT, base_url=base)
    lookup = twilio.build_lookup_request(account, TEXT, NOW)
    assert lookup is not None
    for request in (twilio.build_send_request(account, TEXT, NOW), lookup):
        assert str(request.url).startswith(f"http://127.0.0.1:9/2010-04-01/Accounts/{SID}/Messages.json")


def problem(code: int, status: int = 400) -> dict[str, Any]:
    return {"code": code, "message": "said", "more_info": "https://…", "status": status}


@table(
    ("created", answer(201, {"sid": "SM1", "status": "queued"}), Outcome("accepted", "SM1")),
    ("any 2xx with a sid", answer(200, {"sid": "SM1"}), Outcome("accepted", "SM1")),
    (
        "a 2xx without a sid may have been taken",
        answer(200, {}),
        Outcome("unknown", detail="a success without a message sid"),
    ),
    (
        "a 2xx with an empty sid",
        answer(201, {"sid": ""}),
        Outcome("unknown", detail="a success without a message sid"),
    ),
    (
        "a 2xx that is no JSON",
        answer(200, b"<html>"),
        Outcome("unknown", detail="a success without a message sid"),
    ),
    (
        "a 2xx that is a list",
        answer(200, ["SM1"]),
        Outcome("unknown", detail="a success without a message sid"),
    ),
    (
        "too many requests",
        answer(429, problem(20429, 429)),
        Outcome("later", code="20429", detail="said"),
    ),
    (
        "too many, with a wish",
        answer(429, problem(20429, 429), **{"Retry-After": "7"}),
        Outcome("later", code="20429", detail="said", retry_after=7.0),
    ),
    (
        "a wish that is a date, from a carrier without a Date",
        answer(429, b"", **{"Retry-After": "Tue, 24 Nov 2026 12:00:00 GMT"}),
        Outcome("later", detail="HTTP 429"),
    ),
    (
        "a wish that is a date counts from the carrier's own Date",
        answer(429, b"", **{"Retry-After": "Tue, 24 Nov 2026 12:00:30 GMT", "Date": "Tue, 24 Nov 2026 12:00:00 GMT"}),
        Outcome("later", detail="HTTP 429", retry_after=30.0),
    ),
    (
        "20429 under another status",
        answer(400, problem(20429)),
        Outcome("later", code="20429", detail="said"),
    ),
    (
        "the sender's queue is full",
        answer(400, problem(21611)),
        Outcome("later", code="21611", detail="said"),
    ),
    ("opted out", answer(400, problem(21610)), Outcome("opted_out", code="21610", detail="said")),
    ("not a number", answer(400, problem(21211)), Outcome("refused", code="21211", detail="said")),
    ("wrong token", answer(401, problem(20003)), Outcome("refused", code="20003", detail="said")),
    (
        "a 4xx without a code",
        answer(404, b"gone"),
        Outcome("refused", code="404", detail="HTTP 404"),
    ),
    (
        "down may have taken it",
        answer(503, problem(20503, 503)),
        Outcome("unknown", code="20503", detail="said"),
    ),
    (
        "broken may have taken it",
        answer(500, problem(20500, 500)),
        Outcome("unknown", code="20500", detail="said"),
    ),
    ("a proxy's 502", answer(502, b"<html>"), Outcome("unknown", detail="HTTP 502")),
    ("a redirect", answer(307, b""), Outcome("unknown", detail="HTTP 307")),
)
def test_an_answer_means(given: httpx.Response, expected: Outcome) -> None:
    assert twilio.read_outcome(given) == expected


JSON_BODY = b'{"a": "\xc3\xa9"}'
JSON_URL = f"{INBOUND_URL}?bodySHA256={hashlib.sha256(JSON_BODY).hexdigest()}"
GET_URL = f"{INBOUND_URL}?{urlencode(INBOUND)}"
STRANGER = {**INBOUND, "AccountSid": "AC" + "f" * 32}


def signed(url: str, secret: str = TOKEN, algorithm: str | None = None) -> str:
    signature: str = RequestValidator(secret).compute_signature(url, {}, algorithm)
    return signature


def in_json(url: str, body: bytes, signature: str) -> WebhookRequest:
    query = tuple(parse_qsl(httpx.URL(url).query.decode()))
    headers = {"content-type": "application/json", "x-twilio-signature": signature}
    return WebhookRequest("POST", url, headers, query, body)


def get(url: str, signature: str) -> WebhookRequest:
    query = tuple(parse_qsl(httpx.URL(url).query.decode(), keep_blank_values=True))
    return WebhookRequest("GET", url, {"x-twilio-signature": signature}, query, b"")


SIGNED = hook(INBOUND)


@table(
    ("a form", SIGNED, True),
    ("with a query", hook(RECEIPT, STATUS_URL), True),
    ("empty and untrimmed values count", hook({**INBOUND, "Body": " \t x \n", "New": ""}), True),
    ("a parameter nobody knows yet", hook({**INBOUND, "Zeta": "1", "alpha": "é"}), True),
    ("repeated names", hook([*INBOUND.items(), ("Tag", "b"), ("Tag", "a"), ("Tag", "b")]), True),
    (
        "signed with the default port",
        hook(
            INBOUND, signature=RequestValidator(TOKEN).compute_signature(
                INBOUND_URL.replace(".com/", ".com:443/"), INBOUND
            ),
        ),
        True,
    ),
    (
        "signed without the default port",
        hook(
            INBOUND, url=INBOUND_URL.replace(".com/", ".com:443/"),
            signature=RequestValidator(TOKEN).compute_signature(INBOUND_URL, INBOUND),
        ),
        True,
    ),
    ("a port of its own", hook(INBOUND, INBOUND_URL.replace(".com/", ".com:8443/")), True),
    ("the content type in other letters", hook(INBOUND, **{"content-type": FORM.title()}), True),
    ("the content type with a charset", hook(INBOUND, **{"content-type": f"{FORM}; x=y"}), True),
    ("by GET", get(GET_URL, signed(GET_URL)), True),
    ("JSON under its hash", in_json(JSON_URL, JSON_BODY, signed(JSON_URL)), True),
    ("no signature", hook(INBOUND, signature=""), False),
    ("a wrong signature", hook(INBOUND, signature="AAAA"), False),
    ("a signature of odd letters", hook(INBOUND, signature="\xe9\u20ac"), False),
    ("another's token", hook(INBOUND, signature=signed(INBOUND_URL, "other")), False),
    ("a changed body", replace(SIGNED, body=SIGNED.body + b"x"), False),
    ("an added parameter", replace(SIGNED, body=SIGNED.body + b"&Body=y"), False),
    ("another path", replace(SIGNED, url=STATUS_URL), False),
    ("another host", replace(SIGNED, url=INBOUND_URL.replace("sms.", "evil.")), False),
    ("a form of another account", hook(STRANGER), False),
    ("a form of no account", hook({"MessageSid": "SM1"}), False),
    (
        "by GET, of another account",
        get(url := f"{INBOUND_URL}?{urlencode(STRANGER)}", signed(url)),
        False,
    ),
    ("JSON that was changed", in_json(JSON_URL, b"{}", signed(JSON_URL)), False),
    ("JSON without its hash", in_json(INBOUND_URL, JSON_BODY, signed(INBOUND_URL)), False),
    (
        "a hash of odd letters",
        in_json(url := f"{INBOUND_URL}?bodySHA256=%C3%A9", JSON_BODY, signed(url)),
        False,
    ),
)  # fmt: skip
def test_a_webhook_is_genuine_when_the_account_s_token_signed_it(given: WebhookRequest, expected: bool) -> None:
    assert twilio.is_genuine(ACCOUNT, given, NOW) is expected


def by_shared_key(algorithm: str, secret: str = SHARED, settings: str | None = None) -> WebhookRequest:
    signature = RequestValidator(secret).compute_signature(INBOUND_URL, INBOUND, algorithm)
    named = settings if settings is not None else f"key=webhooks_1,algorithm={algorithm}"
    return hook(INBOUND, signature=signature, **{"x-twilio-webhooks-signature-settings": named})


@table(
    ("SHA-256 by the shared key", by_shared_key("HMAC_SHA256"), True),
    ("SHA-1 by the shared key", by_shared_key("HMAC_SHA1"), True),
    ("the token cannot stand in for it", by_shared_key("HMAC_SHA256", TOKEN), False),
    (
        "an algorithm nobody knows",
        by_shared_key("HMAC_SHA256", settings="key=1,algorithm=NONE"),
        False,
    ),
    ("said to be SHA-1", by_shared_key("HMAC_SHA256", settings="algorithm=HMAC_SHA1"), False),
    ("an empty header is none", by_shared_key("HMAC_SHA1", TOKEN, ""), True),
    ("SHA-256 without the header", by_shared_key("HMAC_SHA256", TOKEN, ""), False),
)
def test_the_settings_header_names_key_and_algorithm(given: WebhookRequest, expected: bool) -> None:
    assert twilio.is_genuine(WITH_SHARED_KEY, given, NOW) is expected


@pytest.mark.parametrize("secret", [TOKEN, SHARED, ""])
def test_without_a_shared_key_nothing_signed_by_one_is_genuine(secret: str) -> None:
    assert not twilio.is_genuine(ACCOUNT, by_shared_key("HMAC_SHA256", secret), NOW)


PLAIN = InboundText("SM1", "+12125551234", "+18335645667", "  Hi, ça va? ")
PICTURE = {
    "Body": "", "NumMedia": "2", "MediaUrl0": "https://api.twilio.com/m0",
    "MediaContentType0": "image/png", "MediaUrl1": "https://api.twilio.com/m1",
}  # fmt: skip


@table(
    ("a text, as it was written", hook(INBOUND), [PLAIN]),
    ("by GET", get(GET_URL, ""), [PLAIN]),
    ("what Twilio took it for", hook(INBOUND | {"OptOutType": "STOP"}),
     [replace(PLAIN, taken_as="stop")]),
    ("something unknown", hook(INBOUND | {"OptOutType": "PAUSE"}), [PLAIN]),
    (
        "pictures without a word",
        hook(INBOUND | PICTURE),
        [
            replace(
                PLAIN,
                text="",
                media=(
                    Media("https://api.twilio.com/m0", "image/png"),
                    Media("https://api.twilio.com/m1"),
                ),
            )
        ],
    ),
    ("a short code", hook(INBOUND | {"From": "32665"}), [replace(PLAIN, sender="32665")]),
    ("a count that is no number", hook(INBOUND | {"NumMedia": "many"}), [PLAIN]),
    ("a count of 5,000 digits", hook(INBOUND | {"NumMedia": "1" * 5000}), [PLAIN]),
    ("media that was counted and not given", hook(INBOUND | {"NumMedia": "3"}), [PLAIN]),
    ("no Body at all", hook({k: v for k, v in INBOUND.items() if k != "Body"}),
     [replace(PLAIN, text="")]),
    ("bytes that are no UTF-8", replace(hook(INBOUND), body=urlencode(
        {k: v for k, v in INBOUND.items() if k != "Body"}).encode() + b"&Body=a%ff"),
     [replace(PLAIN, text="a\ufffd")]),
    ("no sender", hook(INBOUND | {"From": ""}), []),
    ("no recipient", hook(INBOUND | {"To": ""}), []),
    ("no id", hook(INBOUND | {"MessageSid": ""}), []),
    ("nothing", hook({}), []),
    ("JSON", in_json(JSON_URL, JSON_BODY, ""), []),
)  # fmt: skip
def test_an_inbound_webhook_reads_as(given: WebhookRequest, expected: list[InboundText]) -> None:
    assert twilio.read_inbound(given) == expected


WORD = Receipt("SM9", "delivered", message_id="msg_1", to="+12125551234")


def receipt(**changed: str) -> WebhookRequest:
    return hook(RECEIPT | changed, STATUS_URL)


@table(
    ("delivered", receipt(), [WORD]),
    ("read", receipt(MessageStatus="read"), [WORD]),
    ("accepted", receipt(MessageStatus="accepted"), [replace(WORD, status="sending")]),
    ("queued", receipt(MessageStatus="queued"), [replace(WORD, status="sending")]),
    ("sent", receipt(MessageStatus="sent"), [replace(WORD, status="sent")]),
    (
        "undelivered, with its code",
        receipt(MessageStatus="undelivered", ErrorCode="30003"),
        [replace(WORD, status="undelivered", code="30003")],
    ),
    (
        "failed because the lead opted out",
        receipt(MessageStatus="failed", ErrorCode="21610"),
        [replace(WORD, status="failed", code="21610", has_opted_out=True)],
    ),
    ("a word nobody knows", receipt(MessageStatus="teleported"), [replace(WORD, status=None)]),
    (
        "without our id in the URL",
        hook(RECEIPT, STATUS_URL.split("?")[0]),
        [replace(WORD, message_id=None)],
    ),
    ("the old names", hook({"SmsSid": "SM9", "SmsStatus": "delivered"}, STATUS_URL), [replace(WORD, to=None)]),
    ("no status", hook({"MessageSid": "SM9"}, STATUS_URL), []),
    ("nothing", hook({}, STATUS_URL), []),
)
def test_a_status_webhook_reads_as(given: WebhookRequest, expected: list[Receipt]) -> None:
    assert twilio.read_status(given) == expected


def test_a_look_up_lists_the_pair_without_a_date() -> None:
    request = twilio.build_lookup_request(ACCOUNT, TEXT, NOW)
    assert request is not None
    assert request.method == "GET"
    assert request.url.path == f"/2010-04-01/Accounts/{SID}/Messages.json"
    assert dict(request.url.params) == {
        "To": "+12125551234", "From": "+18335645667", "PageSize": "200",
    }  # fmt: skip
    assert request.headers["authorization"].startswith("Basic ")


def listed(sid: str | None, seconds: float, **changed: Any) -> dict[str, Any]:
    """A message created so many seconds after the request began."""
    at = (NOW + timedelta(seconds=seconds)).strftime("%a, %d %b %Y %H:%M:%S +0000")
    return {
        "sid": sid, "body": TEXT.text, "status": "queued", "date_created": at, "date_sent": None,
        "error_code": None,
    } | changed  # fmt: skip


def page(*messages: Any) -> httpx.Response:
    return answer(200, {"messages": list(messages), "next_page_uri": None})


def found(sid: str, seconds: float, **changed: Any) -> LookupMatch:
    return replace(LookupMatch(sid, "sending", NOW + timedelta(seconds=seconds)), **changed)


def maybe(sid: str, seconds: float) -> LookupMatch:
    return found(sid, seconds, sure=False)


@table(
    ("it stands there", page(listed("SM1", 1)), [found("SM1", 1)]),
    ("in the second before, by another clock", page(listed("SM1", -1)), [found("SM1", -1)]),
    ("the one nearest to the request is first", page(listed("SM2", 9), listed("SM1", 1)),
     [found("SM1", 1), found("SM2", 9)]),
    ("with its fate", page(listed("SM1", 1, status="undelivered", error_code=30003)),
     [found("SM1", 1, status="undelivered", code="30003")]),
    ("an older text of the same words", page(listed("SM1", -60)), []),
    ("other words", page(listed("SM1", 1, body="something else")), [maybe("SM1", 1)]),
    ("no words", page(listed("SM1", 1, body="")), [maybe("SM1", 1)]),
    ("words that are none", page(listed("SM1", 1, body=None)), [maybe("SM1", 1)]),
    ("its own words before others", page(listed("SM1", 0, body="x"), listed("SM2", 9)),
     [found("SM2", 9), maybe("SM1", 0)]),
    ("without a date", page(listed("SM1", 1, date_created=None)),
     [replace(maybe("SM1", 1), created_at=None)]),
    ("without an id", page(listed(None, 1)), None),
    ("other numbers", page(listed("SM1", 1, to="+13105550000"),
                           listed("SM2", 1, **{"from": "+13105550000"})), []),
    ("its numbers, written otherwise",
     page(listed("SM1", 1, to="12125551234", **{"from": "+18335645667"})), [found("SM1", 1)]),
    ("Twilio's own answer to a STOP", page(listed("SM1", 1, direction="outbound-reply")), []),
    ("what our API made", page(listed("SM1", 1, direction="outbound-api")), [found("SM1", 1)]),
    ("an empty list", page(), []),
    ("a date without a zone is UTC",
     page(listed("SM1", 1, date_created="Tue, 24 Nov 2026 12:00:01 -0000")), [found("SM1", 1)]),
    ("entries that are odd are passed over",
     page(None, "x", listed("SM1", 1) | {"sid": 7}, listed("SM2", 1)), [found("SM2", 1)]),
    ("a full page that reaches back denies it",
     page(*(listed(f"SM{i}", -60 - i, body="x") for i in range(200))), []),
    ("a full page that does not reach back says neither",
     page(*(listed(f"SM{i}", 1, body="x") for i in range(200))), None),
    ("wrong token", answer(401, problem(20003)), None),
    ("down", answer(500, b""), None),
    ("no JSON", answer(200, b"<html>"), None),
    ("no list", answer(200, {"messages": None}), None),
)  # fmt: skip
def test_a_look_up_s_answer_says(given: httpx.Response, expected: list[LookupMatch] | None) -> None:
    assert twilio.read_lookup(given, TEXT, NOW) == expected


def test_the_secrets_are_told_in_every_form_they_travel_in() -> None:
    request = twilio.build_send_request(WITH_SHARED_KEY, TEXT, NOW)
    told = twilio.list_secrets(WITH_SHARED_KEY)
    assert {TOKEN, SHARED} <= set(told)
    assert any(secret in request.headers["authorization"] for secret in told)
    assert TOKEN in twilio.list_secrets(ACCOUNT)
    assert all(twilio.list_secrets(ACCOUNT))


def test_a_webhook_is_answered_with_nothing_to_send() -> None:
    assert twilio.WEBHOOK_ANSWER == ("text/xml", b"<Response/>")


API = f"/2010-04-01/Accounts/{SID}"
SHORT_CODES = "SMS/ShortCodes.json"
NEXT = f"{API}/IncomingPhoneNumbers.json?PageSize=1000&Page=1&PageToken=PN1"
NEXT_SHORT = f"{API}/{SHORT_CODES}?PageSize=1000&Page=1&PageToken=SC1"


@table(
    ("the first page", None, f"{API}/IncomingPhoneNumbers.json?PageSize=1000"),
    ("a later one", NEXT, NEXT),
    ("short codes, after them", SHORT_CODES, f"{API}/{SHORT_CODES}?PageSize=1000"),
    ("more of them", NEXT_SHORT, NEXT_SHORT),
)
def test_numbers_are_asked_for_page_by_page(given: str | None, expected: str) -> None:
    request = twilio.build_numbers_request(ACCOUNT, given)
    assert request is not None
    assert str(request.url) == f"https://api.twilio.com{expected}"


def test_credentials_go_to_no_other_address() -> None:
    assert twilio.build_numbers_request(ACCOUNT, "https://evil.example/") is None


OURS = {
    "phone_number": "+18335645667", "friendly_name": "Main", "capabilities": {"sms": True, "mms": False, "voice": True},
    "sms_url": INBOUND_URL, "sms_method": "POST",
}  # fmt: skip
HERE = VendorNumber("+18335645667", ("sms", "voice"), "Main", INBOUND_URL, "POST")
SHORT = {"short_code": "72345", "friendly_name": "Promo", "sms_url": None, "sms_method": "POST"}
PROMO = VendorNumber("72345", (), "Promo", "", "POST")


def listing(status: int, body: Any, page: str | None = None) -> httpx.Response:
    """The answer to the request for this page."""
    response = answer(status, body)
    response.request = twilio.build_numbers_request(ACCOUNT, page)  # type: ignore[assignment]
    return response


def numbers(*items: Any, following: Any = None) -> httpx.Response:
    return listing(200, {"incoming_phone_numbers": list(items), "next_page_uri": following})


def short_codes(*items: Any, following: Any = None) -> httpx.Response:
    return listing(200, {"short_codes": list(items), "next_page_uri": following}, SHORT_CODES)


@table(
    ("one", numbers(OURS), NumberPage((HERE,), SHORT_CODES)),
    ("more to come", numbers(OURS, following=NEXT), NumberPage((HERE,), NEXT)),
    ("none", numbers(), NumberPage((), SHORT_CODES)),
    ("odd entries", numbers(None, "x", {}, {"phone_number": None}), NumberPage((), SHORT_CODES)),
    ("wrong token", listing(401, problem(20003)), None),
    ("not there", listing(404, problem(20404, 404)), None),
    ("no list", listing(200, {"incoming_phone_numbers": {}}), None),
    ("a short code", short_codes(SHORT), NumberPage((PROMO,))),
    ("a short code that posts to us", short_codes(SHORT | {"sms_url": INBOUND_URL}),
     NumberPage((replace(PROMO, inbound_url=INBOUND_URL),))),
    ("more short codes", short_codes(SHORT, following=NEXT_SHORT), NumberPage((PROMO,), NEXT_SHORT)),
    ("odd short codes", short_codes(None, "x", {}, OURS), NumberPage(())),
    ("an account without the list of short codes", listing(404, problem(20404, 404), SHORT_CODES), NumberPage(())),
    ("short codes in a bad moment", listing(503, b"", SHORT_CODES), None),
    ("an answer about something else", listing(200, {"incoming_phone_numbers": [OURS]}, SHORT_CODES), None),
)  # fmt: skip
def test_a_listing_of_numbers_reads_as(given: httpx.Response, expected: NumberPage | None) -> None:
    assert twilio.read_numbers(given) == expected
