"""Plivo's dialect, case by case; its signatures are made by Plivo's own library."""

import hmac
import json
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlencode

import httpx
import pytest
from plivo.utils import validate_signature  # type: ignore[import-untyped]
from plivo.utils.signature_v3 import (  # type: ignore[import-untyped]
    construct_get_url,
    construct_post_url,
    get_signature_v3,
    validate_v3_signature,
)

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
from app.providers import plivo
from tests.providers.tables import table

ID, TOKEN, NONCE = "MAXXXXXXXXXXXXXXXXXX", "token-of-the-account", "nonce-1"
ACCOUNT = Account("org_1", "acct_1", "plivo", {"authId": ID, "authToken": TOKEN})
BASIC = b64encode(f"{ID}:{TOKEN}".encode()).decode()
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
STATUS_URL = "https://sms.example.com/webhooks/plivo/acct_1/status?message=msg_1"
INBOUND_URL = "https://sms.example.com/webhooks/plivo/acct_1/inbound"
TEXT = OutgoingText("msg_1", "+12125551234", "+18335645667", "Hi Jané & co +1", (), STATUS_URL, timedelta(hours=1))
INBOUND = {
    "MessageUUID": "pu-1", "From": "12125551234", "To": "18335645667", "Type": "sms",
    "Text": "  Hi, ça va? ", "Units": "1", "MessageIntent": "",
}  # fmt: skip
RECEIPT = {
    "MessageUUID": "pu-9", "ParentMessageUUID": "pu-9", "Status": "delivered", "ErrorCode": "",
    "To": "12125551234", "From": "18335645667", "Sequence": "3",
    "QueuedTime": "2026-11-24 11:59:58.000001", "SentTime": "2026-11-24 11:59:59",
    "DeliveryReportTime": "2026-11-24 12:00:00.000000",
}  # fmt: skip
FORM = "application/x-www-form-urlencoded"
DEEP = b"[" * 100_000
Form = Mapping[str, Any]


def answer(status: int, body: Any = None, **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return httpx.Response(status, content=content, headers=headers)


def v3(url: str, form: Form, token: str = TOKEN, nonce: str = NONCE) -> str:
    """As Plivo's library signs a POST."""
    said = construct_post_url(url, dict(form)).decode()
    signature: bytes = get_signature_v3(token.encode(), said, nonce)
    return signature.decode()


def v2(url: str, token: str = TOKEN, nonce: str = NONCE) -> str:
    """As Plivo's library expects it; it signs nothing of the query and the body."""
    bare = url.partition("?")[0]
    signature = hmac.digest(token.encode(), f"{bare}{nonce}".encode(), "sha256")
    return b64encode(signature).decode()


def post(form: Form, url: str = INBOUND_URL, headers: Mapping[str, str] | None = None) -> WebhookRequest:
    """A form POST, signed by Plivo's library unless `headers` say otherwise."""
    if headers is None:
        headers = {"x-plivo-signature-v3": v3(url, form), "x-plivo-signature-v3-nonce": NONCE}
    query = tuple(parse_qsl(httpx.URL(url).query.decode(), keep_blank_values=True))
    body = urlencode(form, doseq=True).encode()
    return WebhookRequest("POST", url, {"content-type": FORM, **headers}, query, body)


def get(url: str) -> WebhookRequest:
    said = construct_get_url(url, {}).decode()
    signature: bytes = get_signature_v3(TOKEN.encode(), said, NONCE)
    headers = {
        "x-plivo-signature-v3": signature.decode(),
        "x-plivo-signature-v3-nonce": NONCE,
    }
    query = tuple(parse_qsl(httpx.URL(url).query.decode(), keep_blank_values=True))
    return WebhookRequest("GET", url, headers, query, b"")


def test_a_text_is_json_with_our_id_in_the_callback_s_address() -> None:
    request = plivo.build_send_request(ACCOUNT, TEXT, NOW)
    assert request.method == "POST"
    assert str(request.url) == f"https://api.plivo.com/v1/Account/{ID}/Message/"
    assert request.headers["authorization"] == f"Basic {BASIC}"
    assert json.loads(request.content) == {
        "src": "18335645667", "dst": "12125551234", "text": "Hi Jané & co +1", "type": "sms",
        "url": STATUS_URL, "method": "POST", "message_expiry": 3600,
    }  # fmt: skip


@pytest.mark.parametrize("sender", ["ACME", "Sunny Roofs", "7UP", "72345"])
def test_a_name_and_a_short_code_are_senders_as_they_are(sender: str) -> None:
    text = replace(TEXT, sender=sender)
    assert json.loads(plivo.build_send_request(ACCOUNT, text, NOW).content)["src"] == sender
    lookup = plivo.build_lookup_request(ACCOUNT, text, NOW)
    assert lookup is not None
    assert lookup.url.params["from_number"] == sender


def test_a_text_with_pictures_is_an_mms() -> None:
    media = ("https://x.example/1.png", "https://x.example/2.png?a=b&c=d")
    said = json.loads(plivo.build_send_request(ACCOUNT, replace(TEXT, media=media), NOW).content)
    assert (said["type"], said["media_urls"]) == ("mms", list(media))


@table(
    ("what is left", timedelta(seconds=90), 90),
    ("nothing left is the shortest", timedelta(0), 5),
    ("overdue is the shortest", timedelta(seconds=-5), 5),
    ("a day is cut to the longest", timedelta(days=1), 10_799),
)
def test_the_validity_stays_within_what_plivo_takes(given: timedelta, expected: int) -> None:
    said = json.loads(plivo.build_send_request(ACCOUNT, replace(TEXT, validity=given), NOW).content)
    assert said["message_expiry"] == expected


@pytest.mark.parametrize("base", ["http://127.0.0.1:9", "http://127.0.0.1:9/"])
def test_the_account_s_base_url_replaces_plivo_s(base: str) -> None:
    account = replace(ACCOUNT, base_url=base)
    lookup, numbers = (
        plivo.build_lookup_request(account, TEXT, NOW),
        plivo.build_numbers_request(account, None),
    )
    assert lookup is not None
    assert numbers is not None
    for request in (plivo.build_send_request(account, TEXT, NOW), lookup, numbers):
        assert str(request.url).startswith(f"http://127.0.0.1:9/v1/Account/{ID}/")


QUEUED = {"api_id": "a", "message": "message(s) queued", "message_uuid": ["pu-1"]}
UNTAKEN: tuple[Any, ...] = (
    {}, {"message_uuid": []}, {"message_uuid": [7]}, ["pu-1"], b"<html>", b"\x00",
)  # fmt: skip
SAID = {"api_id": "a", "error": "said"}


@table(
    ("taken", answer(202, QUEUED), Outcome("accepted", "pu-1")),
    ("any 2xx with an id", answer(200, {"message_uuid": "pu-1"}), Outcome("accepted", "pu-1")),
    *(
        (
            f"a 2xx with {body!r} may have been taken",
            answer(202, body),
            Outcome("unknown", detail="a success without a message uuid"),
        )
        for body in UNTAKEN
    ),
    ("too many requests", answer(429, SAID), Outcome("later", code="429", detail="said")),
    (
        "too many, with a wish",
        answer(429, SAID, **{"Retry-After": "7"}),
        Outcome("later", code="429", detail="said", retry_after=7.0),
    ),
    (
        "a wish that is a date is passed over",
        answer(429, b"", **{"Retry-After": "Tue, 24 Nov 2026 12:00:00 GMT"}),
        Outcome("later", code="429", detail="HTTP 429"),
    ),
    *(
        (
            f"refused by {status}",
            answer(status, SAID),
            Outcome("refused", None, str(status), "said"),
        )
        for status in (400, 401, 403, 404, 405, 409, 422)
    ),
    (
        "a reason of a wrong kind",
        answer(400, {"error": {"dst": "bad"}}),
        Outcome("refused", code="400", detail="HTTP 400"),
    ),
    ("a depth beyond reason", answer(400, DEEP), Outcome("refused", None, "400", "HTTP 400")),
    ("broken may have taken it", answer(500, SAID), Outcome("unknown", detail="said")),
    ("a proxy's 502", answer(502, b"<html>"), Outcome("unknown", detail="HTTP 502")),
    ("a redirect", answer(307, b""), Outcome("unknown", detail="HTTP 307")),
)
def test_an_answer_means(given: httpx.Response, expected: Outcome) -> None:
    assert plivo.read_outcome(given) == expected


def bearing(url: str = INBOUND_URL, form: Form = INBOUND, **signatures: str) -> WebhookRequest:
    """A form under the signatures named, `v3`, `ma_v2` and the like, each with the nonce."""
    headers = {}
    for name, signature in signatures.items():
        ma, version = ("-ma", name[3:]) if name.startswith("ma_") else ("", name)
        headers[f"x-plivo-signature{ma}-{version}"] = signature
        headers[f"x-plivo-signature-{version}-nonce"] = NONCE
    return post(form, url, headers)


SIGNED = post(INBOUND)
V3, V2 = v3(INBOUND_URL, INBOUND), v2(INBOUND_URL)
TWICE = {"Tag": ["b", "a", "b"], "Body": " \t x \n", "New": "", "zeta": "1", "Alpha": "é"}
ODD_URL = f"{INBOUND_URL}?z=%20a&b=&a=2&a=1"
GET_URL = f"{INBOUND_URL}?{urlencode({**INBOUND, 'Text': 'plain'})}"


@table(
    ("a form", SIGNED, True),
    ("with a query", post(RECEIPT, STATUS_URL), True),
    ("a query to be sorted and decoded", post(INBOUND, ODD_URL), True),
    ("an empty form", post({}), True),
    ("an empty form with a query", post({}, STATUS_URL), True),
    ("repeated, empty and unknown names", post(TWICE), True),
    ("the content type with a charset",
     replace(SIGNED, headers={**SIGNED.headers, "content-type": f"{FORM.title()}; x=y"}), True),
    ("by GET", get(GET_URL), True),
    ("one of several signatures", bearing(v3=f"AAAA, {V3}"), True),
    ("by the main account's header", bearing(ma_v3=V3), True),
    ("by V2 alone", bearing(v2=V2), True),
    ("by V2 in the main account's header", bearing(v2="AAAA", ma_v2=V2), True),
    ("by V2 with a query", bearing(STATUS_URL, RECEIPT, v2=v2(STATUS_URL)), True),
    ("a wrong V3, whatever V2 says", bearing(v3="AAAA", v2=V2), False),
    ("no signature", bearing(), False),
    ("an empty signature", bearing(v3="", v2=""), False),
    ("a wrong V2", bearing(v2="AAAA"), False),
    ("odd letters", bearing(v3="\xe9\u20ac"), False),
    ("another's token", bearing(v3=v3(INBOUND_URL, INBOUND, "other")), False),
    ("another's token by V2", bearing(v2=v2(INBOUND_URL, "other")), False),
    ("another nonce", bearing(v3=v3(INBOUND_URL, INBOUND, nonce="nonce-2")), False),
    ("no nonce",
     post(INBOUND, headers={"x-plivo-signature-v3": v3(INBOUND_URL, INBOUND, nonce="")}), False),
    ("a changed body", replace(SIGNED, body=SIGNED.body + b"x"), False),
    ("an added parameter", replace(SIGNED, body=SIGNED.body + b"&Text=y"), False),
    ("another query", replace(post(RECEIPT, STATUS_URL), url=STATUS_URL + "0"), False),
    ("another path", replace(SIGNED, url=INBOUND_URL + "/x"), False),
    ("another path by V2", replace(bearing(v2=V2), url=INBOUND_URL + "/x"), False),
    ("another host", replace(SIGNED, url=INBOUND_URL.replace("sms.", "evil.")), False),
    ("no headers", replace(SIGNED, headers={}), False),
)  # fmt: skip
def test_a_webhook_is_genuine_when_the_account_s_token_signed_it(given: WebhookRequest, expected: bool) -> None:
    assert plivo.is_genuine(ACCOUNT, given, NOW) is expected


@table(
    ("a form", post(INBOUND), INBOUND),
    ("with a query", post(RECEIPT, STATUS_URL), RECEIPT),
    ("a query to be sorted", post(INBOUND, ODD_URL), INBOUND),
    ("repeated names", post(TWICE), TWICE),
)
def test_plivo_s_own_library_takes_the_same_v3(given: WebhookRequest, expected: Form) -> None:
    signature = given.headers["x-plivo-signature-v3"]
    said = validate_v3_signature("POST", given.url, NONCE, TOKEN, signature, dict(expected))
    assert said is True
    assert plivo.is_genuine(ACCOUNT, given, NOW)


@pytest.mark.parametrize("url", [INBOUND_URL, STATUS_URL])
def test_plivo_s_own_library_takes_the_same_v2(url: str) -> None:
    assert validate_signature(url, NONCE, v2(url), TOKEN) is True
    assert plivo.is_genuine(ACCOUNT, bearing(url, v2=v2(url)), NOW)


PLAIN = InboundText("pu-1", "+12125551234", "+18335645667", "  Hi, ça va? ")
PICTURE = {k: v for k, v in INBOUND.items() if k != "Text"} | {"Type": "mms", "Body": "look"}


def but(**changed: str) -> WebhookRequest:
    return post(INBOUND | changed)


@table(
    ("a text, as it was written", SIGNED, [PLAIN]),
    ("by GET", get(GET_URL), [replace(PLAIN, text="plain")]),
    ("pictures", post(PICTURE | {"MediaCount": "2", "Media1": "https://m/1", "Media2": "https://m/2"}),
     [replace(PLAIN, text="look", media=(Media("https://m/1"), Media("https://m/2")))]),
    ("pictures counted from nought", post(PICTURE | {"Body": "", "Media0": "https://m/0"}),
     [replace(PLAIN, text="", media=(Media("https://m/0"),))]),
    ("more pictures than there are", post(PICTURE | {"MediaCount": "9", "Media11": "https://m/11"}),
     [replace(PLAIN, text="look")]),
    ("what Plivo took it for", but(MessageIntent="optout"), [replace(PLAIN, taken_as="stop")]),
    ("something unknown", but(MessageIntent="complaint"), [PLAIN]),
    ("a short code", but(From="32665"), [replace(PLAIN, sender="32665")]),
    ("a plus", but(From="+12125551234"), [PLAIN]),
    ("NUL", but(Text="a\x00b"), [replace(PLAIN, text="ab")]),
    ("bytes that are no UTF-8", replace(SIGNED, body=SIGNED.body + b"&Text=a%ff\xff"),
     [replace(PLAIN, text="a\ufffd\ufffd")]),
    ("no sender", but(From=""), []),
    ("no recipient", but(To=""), []),
    ("no id", but(MessageUUID="\x00"), []),
    ("nothing", post({}), []),
    ("JSON", replace(SIGNED, headers={"content-type": "application/json"}, body=b"{}"), []),
)  # fmt: skip
def test_an_inbound_webhook_reads_as(given: WebhookRequest, expected: list[InboundText]) -> None:
    assert plivo.read_inbound(given) == expected


WORD = Receipt("pu-9", "delivered", message_id="msg_1", to="+12125551234", at=NOW)


def receipt(**changed: str) -> WebhookRequest:
    return post(RECEIPT | changed, STATUS_URL)


@table(
    ("delivered", receipt(), [WORD]),
    ("read", receipt(Status="read"), [WORD]),
    ("queued, in its time", receipt(Status="queued", DeliveryReportTime="", SentTime=""),
     [replace(WORD, status="sending", at=NOW - timedelta(seconds=2, microseconds=-1))]),
    ("sent, in its time", receipt(Status="sent", DeliveryReportTime=""),
     [replace(WORD, status="sent", at=NOW - timedelta(seconds=1))]),
    ("undelivered, with its code", receipt(Status="undelivered", ErrorCode="30"),
     [replace(WORD, status="undelivered", code="30")]),
    ("failed for want of credit", receipt(Status="failed", ErrorCode="900"),
     [replace(WORD, status="failed", code="900")]),
    ("rejected", receipt(Status="rejected", ErrorCode="450"),
     [replace(WORD, status="failed", code="450")]),
    ("failed because the lead opted out", receipt(Status="failed", ErrorCode="200"),
     [replace(WORD, status="failed", code="200", has_opted_out=True)]),
    ("a code of noughts is none", receipt(ErrorCode="000"), [WORD]),
    ("a part of a longer text", receipt(MessageUUID="pu-10"), [replace(WORD, part="pu-10")]),
    ("the first part of a longer text", receipt(PartInfo="1 of 2"), [replace(WORD, part="pu-9")]),
    ("the first part of two units", receipt(Units="2"), [replace(WORD, part="pu-9")]),
    ("the only part", receipt(PartInfo="1 of 1", Units="1"), [WORD]),
    ("no parent", receipt(ParentMessageUUID=""), [WORD]),
    ("a word nobody knows", receipt(Status="teleported"), [replace(WORD, status=None)]),
    ("times nobody reads", receipt(DeliveryReportTime="x", SentTime="x", QueuedTime="x"),
     [replace(WORD, at=None)]),
    ("without our id in the address", post(RECEIPT), [replace(WORD, message_id=None)]),
    ("by GET", get(f"{STATUS_URL}&{urlencode(RECEIPT)}"), [WORD]),
    ("no status", receipt(Status=""), []),
    ("no id", receipt(MessageUUID="", ParentMessageUUID=""), []),
    ("nothing", post({}, STATUS_URL), []),
)  # fmt: skip
def test_a_status_webhook_reads_as(given: WebhookRequest, expected: list[Receipt]) -> None:
    assert plivo.read_status(given) == expected


@pytest.mark.parametrize("body", [b"", b"\x00", b"\xff", b"&&=&", b"%", b"a=" * 999, DEEP, b"[]"])
def test_a_hostile_body_says_nothing(body: bytes) -> None:
    given = replace(SIGNED, body=body)
    assert plivo.read_inbound(given) == []
    assert plivo.read_status(given) == []
    assert plivo.is_genuine(ACCOUNT, given, NOW) is False
    assert plivo.read_lookup(answer(200, body), TEXT, NOW) is None
    assert plivo.read_numbers(answer(200, body)) is None


def test_a_look_up_lists_the_pair_from_the_day_before() -> None:
    request = plivo.build_lookup_request(ACCOUNT, TEXT, NOW)
    assert request is not None
    assert (request.method, request.url.path) == ("GET", f"/v1/Account/{ID}/Message/")
    assert request.headers["authorization"] == f"Basic {BASIC}"
    assert dict(request.url.params) == {
        "message_direction": "outbound", "from_number": "18335645667", "to_number": "12125551234",
        "message_time__gte": "2026-11-23 12:00:00", "limit": "20",
    }  # fmt: skip


def entry(uuid: Any, seconds: float, **changed: Any) -> dict[str, Any]:
    """A text taken so many seconds after the request began."""
    at = (NOW + timedelta(seconds=seconds)).isoformat(" ")
    return {
        "message_uuid": uuid, "message_time": at, "message_state": "queued", "error_code": None,
        "from_number": "18335645667", "to_number": "+12125551234",
    } | changed  # fmt: skip


def page(*entries: Any) -> httpx.Response:
    return answer(200, {"objects": list(entries), "meta": {"next": None}})


def hit(uuid: str, seconds: float, **changed: Any) -> LookupMatch:
    return replace(LookupMatch(uuid, "sending", NOW + timedelta(seconds=seconds)), **changed)


OLDER = entry("pu-0", -60)


@table(
    ("it stands there", page(entry("pu-1", 1)), [hit("pu-1", 1)]),
    ("in the second before, by another clock", page(entry("pu-1", -1)), [hit("pu-1", -1)]),
    ("the one nearest to the request is first", page(entry("pu-2", 9), entry("pu-1", 1), OLDER),
     [hit("pu-1", 1), hit("pu-2", 9)]),
    ("with its fate", page(entry("pu-1", 1, message_state="failed", error_code="420")),
     [hit("pu-1", 1, status="failed", code="420")]),
    ("a code that is a number", page(entry("pu-1", 1, error_code=420)),
     [hit("pu-1", 1, code="420")]),
    ("a success's code is none", page(entry("pu-1", 1, error_code="000")), [hit("pu-1", 1)]),
    ("in another zone", page(entry("pu-1", 0, message_time="2026-11-24 17:30:01+05:30")),
     [hit("pu-1", 1)]),
    ("a time without a zone is UTC", page(entry("pu-1", 0, message_time="2026-11-24 12:00:01")),
     [hit("pu-1", 1)]),
    ("an older one alone denies it", page(OLDER), []),
    ("another's text is none of ours", page(entry("pu-1", 1, to_number="13105550000"), OLDER), []),
    ("without a time", page(entry("pu-1", 1, message_time=None), OLDER), None),
    ("without an id", page(entry(None, 1), OLDER), None),
    ("with its numbers hidden", page(entry("pu-1", 1, to_number="1212555XXXX"), OLDER), None),
    ("without its numbers", page(entry("pu-1", 1, from_number=None), OLDER), None),
    ("an empty list proves nothing", page(), None),
    ("a full page may go on", page(*[OLDER] * 20), None),
    ("odd entries are passed over",
     page(None, "x", {}, entry(7, 1), entry("pu-1", 1, message_time=None)), None),
    ("wrong token", answer(401, SAID), None),
    ("down", answer(500, b""), None),
    ("no list", answer(200, {"objects": {}}), None),
)  # fmt: skip
def test_a_look_up_s_answer_says(given: httpx.Response, expected: list[LookupMatch] | None) -> None:
    assert plivo.read_lookup(given, TEXT, NOW) == expected


@table(
    ("the first page", None, {"services": "sms", "limit": "20", "offset": "0"}),
    ("a later one", "limit=20&offset=20", {"limit": "20", "offset": "20"}),
    ("an odd one", "a\nb=1", {"a\nb": "1"}),
)
def test_numbers_are_asked_for_page_by_page(given: str | None, expected: dict[str, str]) -> None:
    request = plivo.build_numbers_request(ACCOUNT, given)
    assert request is not None
    assert request.url.path == f"/v1/Account/{ID}/Number/"
    assert dict(request.url.params) == expected


OURS = {
    "number": "18335645667", "alias": "Front desk", "sms_enabled": True, "mms_enabled": False,
    "voice_enabled": True, "application": "/v1/Account/x/Application/1/",
}  # fmt: skip
HERE = VendorNumber("+18335645667", ("sms", "voice"), "Front desk")


def numbers(*items: Any, following: Any = None) -> httpx.Response:
    return answer(200, {"objects": list(items), "meta": {"next": following}})


@table(
    ("one", numbers(OURS), NumberPage((HERE,))),
    ("no name, no ability", numbers({"number": "18335645667", "sms_enabled": "true"}),
     NumberPage((VendorNumber("+18335645667", ()),))),
    ("more to come", numbers(OURS, following="/v1/Account/x/Number/?limit=20&offset=20"),
     NumberPage((HERE,), "limit=20&offset=20")),
    ("an address elsewhere", numbers(following="https://evil.example/?offset=20"),
     NumberPage((), "offset=20")),
    ("a next of a wrong kind", numbers(following=[1]), NumberPage(())),
    ("odd entries", numbers(None, "x", {}, {"number": 7}), NumberPage(())),
    ("no meta", answer(200, {"objects": []}), NumberPage(())),
    ("wrong token", answer(401, SAID), None),
    ("no list", answer(200, {"objects": None}), None),
)  # fmt: skip
def test_a_listing_reads_as(given: httpx.Response, expected: NumberPage | None) -> None:
    assert plivo.read_numbers(given) == expected


def test_plivo_lists_no_words_of_inbound_texts() -> None:
    assert plivo.build_history_request(ACCOUNT, NOW, None) is None
    assert plivo.read_history(page(), NOW) is None


@table(
    ("at Plivo", f"https://api.plivo.com/v1/Account/{ID}/Message/1/Media/2/", True),
    ("at a host of theirs", "https://media.plivo.com/1", True),
    ("elsewhere", "https://s3.example.com/1", False),
    ("a name that ends alike", "https://evilplivo.com/1", False),
    ("a name before the host", "https://api.plivo.com@evil.example/1", False),
    ("in the clear", "http://api.plivo.com/1", False),
)
def test_media_are_asked_for_with_credentials_only_at_plivo(given: str, expected: bool) -> None:
    assert ("authorization" in plivo.build_media_request(ACCOUNT, given).headers) is expected


def test_media_at_the_account_s_base_url_are_asked_for_with_credentials() -> None:
    account = replace(ACCOUNT, base_url="http://127.0.0.1:9/")
    assert "authorization" in plivo.build_media_request(account, "http://127.0.0.1:9/m").headers


def test_the_secrets_are_told_in_every_form_they_travel_in() -> None:
    request = plivo.build_send_request(ACCOUNT, TEXT, NOW)
    assert TOKEN in plivo.list_secrets(ACCOUNT)
    assert any(secret in request.headers["authorization"] for secret in plivo.list_secrets(ACCOUNT))


def test_a_webhook_is_answered_with_nothing_to_send() -> None:
    assert plivo.WEBHOOK_ANSWER == ("application/xml", b"<Response/>")
