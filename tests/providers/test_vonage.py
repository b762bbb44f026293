"""Vonage's two dialects, case by case. Requests are held against Vonage's own document, tokens
are made and checked by Vonage's own library; for the SMS API's signatures, which that library
does not know, the examples that Vonage's SDK tests itself with stand here."""

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from openapi_core import OpenAPI
from openapi_core.testing import MockRequest
from vonage_jwt import JwtClient, verify_signature  # type: ignore[import-untyped]

from app.domain.carriage import (
    Account,
    InboundText,
    Media,
    NumberPage,
    Outcome,
    OutgoingText,
    Price,
    Receipt,
    TextPart,
    VendorNumber,
    WebhookRequest,
)
from app.domain.problems import Unavailable
from app.providers import vonage
from tests.providers.tables import table

DOCUMENT = Path(__file__).parents[2].parent / "shared" / "specs" / "vonage_messages_v1.json"
KEY, SECRET = "abcd1234", "secret-of-the-key-of-32-letters-"
SIGNING = "signature-secret-of-the-account-as-long-as-its-longest-digest-64"
ACCOUNT = Account("org_1", "acct_1", "vonage", {"apiKey": KEY, "apiSecret": SECRET, "signatureSecret": SIGNING})
APPLICATION = "aaaaaaaa-bbbb-4ccc-8ddd-0123456789ab"
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
BASIC = "Basic " + base64.b64encode(f"{KEY}:{SECRET}".encode()).decode()
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
STATUS_URL = "https://sms.example.com/webhooks/vonage/acct_1/status?message=msg_1"
INBOUND_URL = "https://sms.example.com/webhooks/vonage/acct_1/inbound"
TEXT = OutgoingText("msg_1", "+12125551234", "+18335645667", "Hi Jané & co", (), STATUS_URL, timedelta(hours=4))
FORM = "application/x-www-form-urlencoded"
UUID = "bbbbbbbb-bbbb-4ccc-8ddd-0123456789ab"
INBOUND = {
    "channel": "sms", "message_uuid": UUID, "to": "18335645667", "from": "12125551234",
    "timestamp": "2026-11-24T11:59:58Z", "text": "  Hi, ça va? ", "message_type": "text",
    "sms": {"num_messages": "1", "keyword": "HI"}, "usage": {"currency": "EUR", "price": "0.01"},
}  # fmt: skip
RECEIPT = {
    "channel": "sms", "message_uuid": UUID, "to": "12125551234", "from": "18335645667",
    "timestamp": "2026-11-24T12:00:03Z", "status": "delivered", "client_ref": "msg_1",
    "destination": {"network_code": "12345"}, "sms": {"count_total": "1"},
}  # fmt: skip
OLD_INBOUND = {
    "msisdn": "12125551234", "to": "18335645667", "messageId": "0A01", "text": " Hi, ça va?",
    "type": "unicode", "keyword": "HI", "api-key": KEY, "message-timestamp": "2026-11-24 11:59:58",
}  # fmt: skip
OLD_RECEIPT = {
    "msisdn": "12125551234", "to": "18335645667", "network-code": "12345", "messageId": "0A09",
    "price": "0.03330000", "status": "delivered", "scts": "2611241200", "err-code": "0",
    "api-key": KEY, "message-timestamp": "2026-11-24 12:00:03", "client-ref": "msg_1",
}  # fmt: skip
DEEP = b'{"a":' * 50_000


def pem(key: Any, encryption: KeySerializationEncryption | None = None) -> str:
    how = (Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())
    written: bytes = key.private_bytes(*how)
    return written.decode()


def with_key(key: str) -> Account:
    more = {"applicationId": APPLICATION, "privateKey": key}
    return replace(ACCOUNT, credentials={**ACCOUNT.credentials, **more})


WITH_KEY = with_key(pem(RSA))


def answer(status: int, body: Any = None, **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return httpx.Response(status, content=content, headers=headers)


def hook(body: Any, url: str = INBOUND_URL, **headers: str) -> WebhookRequest:
    """A JSON POST of the Messages API, not signed."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    query = tuple(parse_qsl(httpx.URL(url).query.decode(), keep_blank_values=True))
    return WebhookRequest("POST", url, {"content-type": "application/json", **headers}, query, content)


def old(said: Mapping[str, str], how: str = "form") -> WebhookRequest:
    """The SMS API's three ways, as the account sets them."""
    if how == "json":
        return hook(dict(said))
    if how == "get":
        return WebhookRequest("GET", f"{INBOUND_URL}?{urlencode(said)}", {}, tuple(said.items()), b"")
    return hook(urlencode(said).encode(), **{"content-type": FORM})


@cache
def document() -> OpenAPI:
    if not DOCUMENT.exists():
        pytest.skip("the vendor's document does not lie beside the repository")
    return OpenAPI.from_dict(json.loads(DOCUMENT.read_bytes()))


PICTURE, CARD = "https://x.example/a.PNG?x=1", "https://x.example/b.vcf"
REQUESTS = {
    "a text": TEXT,
    "an empty text": replace(TEXT, text=""),
    "from a short code": replace(TEXT, sender="32665"),
    "nothing left": replace(TEXT, validity=timedelta(0)),
    "a month left": replace(TEXT, validity=timedelta(days=30)),
    "a picture": replace(TEXT, media=(PICTURE,)),
    "a picture without a word": replace(TEXT, media=(PICTURE,), text=""),
    "a card": replace(TEXT, media=(CARD,)),
    "a sound": replace(TEXT, media=("https://x.example/a.mp3",)),
    "a film": replace(TEXT, media=("https://x.example/a.mp4",)),
    "a file": replace(TEXT, media=("https://x.example/a.pdf",)),
    "several": replace(TEXT, media=(PICTURE, CARD, "https://x.example/c")),
    "several, nothing left": replace(TEXT, media=(PICTURE, CARD), validity=timedelta(0)),
    "several, a month left": replace(TEXT, media=(PICTURE, CARD), validity=timedelta(days=30)),
}


@pytest.mark.parametrize("account", [ACCOUNT, WITH_KEY], ids=["secret", "application"])
@pytest.mark.parametrize("text", REQUESTS.values(), ids=REQUESTS.keys())
def test_a_request_is_what_the_vendor_s_document_says(text: OutgoingText, account: Account) -> None:
    request = vonage.build_send_request(account, text, NOW)
    document().validate_request(
        MockRequest(
            f"https://{request.url.host}", request.method.lower(), request.url.path,
            headers=dict(request.headers), data=request.content,
            content_type=request.headers["content-type"],
        )
    )  # fmt: skip


def test_a_text_is_a_json_post_with_our_id_as_its_reference() -> None:
    request = vonage.build_send_request(ACCOUNT, TEXT, NOW)
    assert (request.method, str(request.url)) == ("POST", "https://api.nexmo.com/v1/messages")
    assert request.headers["authorization"] == BASIC
    assert json.loads(request.content) == {
        "channel": "sms", "to": "12125551234", "from": "18335645667", "message_type": "text",
        "text": "Hi Jané & co", "client_ref": "msg_1", "ttl": 14400, "webhook_url": STATUS_URL,
        "webhook_version": "v1",
    }  # fmt: skip


SENT = {"image": {"url": PICTURE, "caption": TEXT.text}}


@table(
    ("a picture", (PICTURE,), {"message_type": "image", **SENT}),
    ("a card", (CARD,), {"message_type": "vcard", "vcard": {"url": CARD, "caption": TEXT.text}}),
    ("no ending", ("https://x.example/c",),
     {"message_type": "file", "file": {"url": "https://x.example/c", "caption": TEXT.text}}),
    ("several, the words under the first", (PICTURE, CARD),
     {"message_type": "content", "content": [
         {"type": "image", "url": PICTURE, "caption": TEXT.text}, {"type": "vcard", "url": CARD},
     ]}),
)  # fmt: skip
def test_attachments_go_by_mms(given: tuple[str, ...], expected: dict[str, Any]) -> None:
    body = json.loads(vonage.build_send_request(ACCOUNT, replace(TEXT, media=given), NOW).content)
    common = {"to", "from", "client_ref", "ttl", "webhook_url", "webhook_version"}
    assert {k: v for k, v in body.items() if k not in common} == {"channel": "mms", **expected}


@table(
    ("what is left", ((), timedelta(seconds=90)), 90),
    ("overdue is the shortest", ((), timedelta(seconds=-5)), 20),
    ("a month is cut to the longest", ((), timedelta(days=30)), 604_800),
    ("an MMS has a shortest of its own", ((PICTURE,), timedelta(seconds=90)), 300),
    ("an MMS has a longest of its own", ((PICTURE,), timedelta(days=30)), 259_200),
)
def test_the_validity_stays_within_what_vonage_takes(given: tuple[tuple[str, ...], timedelta], expected: int) -> None:
    media, validity = given
    text = replace(TEXT, media=media, validity=validity)
    assert json.loads(vonage.build_send_request(ACCOUNT, text, NOW).content)["ttl"] == expected


@pytest.mark.parametrize("written", [pem(RSA), pem(RSA).replace("\n", "\\n")], ids=["PEM", "\\n"])
def test_an_application_signs_its_requests(written: str) -> None:
    request = vonage.build_send_request(with_key(written), TEXT, NOW)
    scheme, token = request.headers["authorization"].split()
    options: Any = {"verify_exp": False, "verify_iat": False}
    claims = jwt.decode(token, RSA.public_key(), algorithms=["RS256"], options=options)
    made = JwtClient(APPLICATION, pem(RSA)).generate_application_jwt({"iat": claims["iat"]})
    theirs = jwt.decode(made, RSA.public_key(), algorithms=["RS256"], options=options)
    assert scheme == "Bearer"
    assert claims | {"jti": ""} == theirs | {"jti": ""}
    assert jwt.get_unverified_header(token) == jwt.get_unverified_header(made)
    later = vonage.build_send_request(with_key(written), TEXT, NOW + timedelta(microseconds=1))
    assert later.headers["authorization"] != request.headers["authorization"]


PUBLIC = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
CURVE = pem(ec.generate_private_key(ec.SECP256R1()))
LOCKED = pem(RSA, BestAvailableEncryption(b"x"))


@pytest.mark.parametrize(
    "written", ["", "x", "-----BEGIN PRIVATE KEY-----\nx", PUBLIC, CURVE, LOCKED],
    ids=["blank", "no PEM", "half", "public", "a curve", "locked"],
)  # fmt: skip
def test_a_key_that_is_none_leaves_the_secret(written: str) -> None:
    assert vonage.build_send_request(with_key(written), TEXT, NOW).headers["authorization"] == BASIC


@pytest.mark.parametrize("base", ["http://127.0.0.1:9", "http://127.0.0.1:9/"])
def test_the_account_s_base_url_replaces_vonage_s(base: str) -> None:
    account = replace(ACCOUNT, base_url=base)
    numbers = vonage.build_numbers_request(account, None)
    assert numbers is not None
    assert str(vonage.build_send_request(account, TEXT, NOW).url) == "http://127.0.0.1:9/v1/messages"
    assert str(numbers.url).startswith("http://127.0.0.1:9/account/numbers?")


def problem(code: str, title: str = "title", detail: str = "said") -> dict[str, Any]:
    return {
        "type": f"https://developer.vonage.com/api-errors/messages#{code}", "title": title,
        "detail": detail, "instance": "bf0c",
    }  # fmt: skip


NO_ID = Outcome("unknown", detail="a success without a message_uuid")


@table(
    ("accepted", answer(202, {"message_uuid": UUID}), Outcome("accepted", UUID)),
    ("any 2xx with an id", answer(200, {"message_uuid": UUID}), Outcome("accepted", UUID)),
    ("a 2xx without an id may have been taken", answer(202, {}), NO_ID),
    ("a 2xx with an empty id", answer(202, {"message_uuid": ""}), NO_ID),
    ("a 2xx with a list as id", answer(202, {"message_uuid": [UUID]}), NO_ID),
    ("a 2xx that is no JSON", answer(200, b"<html>"), NO_ID),
    ("a 2xx that is a list", answer(200, [UUID]), NO_ID),
    ("a 2xx that is deep", answer(200, DEEP), NO_ID),
    ("throttled", answer(429, problem("1000")), Outcome("later", code="1000", detail="said")),
    ("throttled, with a wish", answer(429, problem("1000"), **{"Retry-After": "7"}),
     Outcome("later", code="1000", detail="said", retry_after=7.0)),
    ("a wish that is a date is passed over", answer(429, b"", **{"Retry-After": "Tue, 24 Nov"}),
     Outcome("later", detail="HTTP 429")),
    ("1000 under another 4xx", answer(422, problem("1000")),
     Outcome("later", code="1000", detail="said")),
    ("1000 under a 500 may have been taken", answer(500, problem("1000")),
     Outcome("unknown", code="1000", detail="said")),
    ("opted out", answer(422, problem("1240")), Outcome("opted_out", code="1240", detail="said")),
    ("opted out under a 500", answer(500, problem("1240")),
     Outcome("unknown", code="1240", detail="said")),
    ("bad sender", answer(422, problem("1420")), Outcome("refused", code="1420", detail="said")),
    ("no credit", answer(402, problem("low-balance", "Low balance")),
     Outcome("refused", code="low-balance", detail="said")),
    ("bad key", answer(401, {"type": "https://x/#unathorized", "title": "You did not"}),
     Outcome("refused", code="unathorized", detail="You did not")),
    ("the code as title", answer(422, problem("x", "1430")),
     Outcome("refused", code="1430", detail="said")),
    ("a 4xx without a code", answer(404, b"gone"),
     Outcome("refused", code="404", detail="HTTP 404")),
    ("a type without a code", answer(400, {"type": "https://x", "detail": 7}),
     Outcome("refused", code="400", detail="7")),
    ("down", answer(503, b""), Outcome("unknown", detail="HTTP 503")),
    ("a redirect", answer(307, b""), Outcome("unknown", detail="HTTP 307")),
)  # fmt: skip
def test_an_answer_means(given: httpx.Response, expected: Outcome) -> None:
    assert vonage.read_outcome(given) == expected


@pytest.mark.parametrize("code", [code for code in vonage.ERROR_MEANINGS if len(code) == 4])
def test_every_known_refusal_is_one(code: str) -> None:
    verdict = {"1000": "later", "1240": "opted_out"}.get(code, "refused")
    assert vonage.read_outcome(answer(422, problem(code))).verdict == verdict


BODY = json.dumps(INBOUND).encode()
HASH = hashlib.sha256(BODY).hexdigest()


def token(secret: str = SIGNING, algorithm: str = "HS256", key: Any = None, **claims: Any) -> str:
    """As Vonage signs; a claim of None is left out."""
    said = {
        "iat": int(NOW.timestamp()), "jti": "1", "iss": "Vonage", "payload_hash": HASH,
        "api_key": KEY, "application_id": APPLICATION, **claims,
    }  # fmt: skip
    said = {name: value for name, value in said.items() if value is not None}
    signed = jwt.api_jws.encode(json.dumps(said).encode(), key or secret, algorithm)
    return f"Bearer {signed}"


def signed(authorization: str, body: bytes = BODY) -> WebhookRequest:
    return hook(body, authorization=authorization)


def forged(header: Mapping[str, Any]) -> str:
    parts = (json.dumps(header).encode(), json.dumps({"payload_hash": HASH}).encode(), b"x")
    return "Bearer " + ".".join(base64.urlsafe_b64encode(p).decode().rstrip("=") for p in parts)


@table(
    ("signed", signed(token()), True),
    ("by a receipt's address", hook(BODY, STATUS_URL, authorization=token()), True),
    ("the scheme in other letters", signed(token().replace("Bearer", "bearer")), True),
    ("the hash in capitals", signed(token(payload_hash=HASH.upper())), True),
    ("claims nobody knows yet", signed(token(aud="x", sub=7, exp="x", crit=[1])), True),
    ("no api_key", signed(token(api_key=None)), True),
    ("repeated for a day", signed(token(iat=NOW.timestamp() - 86_400)), True),
    ("by a clock ahead", signed(token(iat=int(NOW.timestamp()) + 60)), True),
    ("another's secret", signed(token("x" * 40)), False),
    ("by the API secret", signed(token(SECRET)), False),
    ("another body", signed(token(), BODY + b" "), False),
    ("no hash", signed(token(payload_hash=None)), False),
    ("a hash that is none", signed(token(payload_hash=[HASH])), False),
    ("a hash of odd letters", signed(token(payload_hash="é" * 64)), False),
    ("another account", signed(token(api_key="zzzz9999")), False),
    ("a list as account", signed(token(api_key=[KEY])), False),
    ("HS512", signed(token(algorithm="HS512")), False),
    ("RS256", signed(token(algorithm="RS256", key=RSA)), False),
    ("no algorithm", signed(forged({"alg": "none", "typ": "JWT"})), False),
    ("no algorithm at all", signed(forged({"typ": "JWT"})), False),
    ("a list as algorithm", signed(forged({"alg": ["HS256"]})), False),
    ("an empty header", signed(""), False),
    ("Basic", signed(BASIC), False),
    ("no token", signed("Bearer"), False),
    ("no token, dotted", signed("Bearer a.b.c"), False),
    ("odd letters", signed("Bearer é\u20ac.\x00.x"), False),
    ("a deep header",
     signed("Bearer " + base64.urlsafe_b64encode(b"[" * 60_000).decode() + ".e30.eA"), False),
    ("claims that are no object", signed("Bearer " + jwt.api_jws.encode(b"[1]", SIGNING, "HS256")),
     False),
    ("by GET, where the words are not under the hash",
     WebhookRequest("GET", INBOUND_URL, {"authorization": token()}, tuple(OLD_INBOUND.items()), BODY), False),
)  # fmt: skip
def test_a_token_is_genuine_when_it_signs_the_body(given: WebhookRequest, expected: bool) -> None:
    assert vonage.is_genuine(ACCOUNT, given, NOW) is expected


@table(
    ("ours", SIGNING, True),
    ("another's", "x" * 40, False),
)
def test_the_vendor_s_library_agrees(given: str, expected: bool) -> None:
    past = NOW - timedelta(days=3650)  # it reads the time from the machine's clock
    made = token(given, iat=int(past.timestamp()))
    assert verify_signature(made.removeprefix("Bearer "), SIGNING) is expected
    assert vonage.is_genuine(ACCOUNT, signed(made), past) is expected


TOO_OLD, TOO_NEW = NOW.timestamp() - 25 * 3600 - 1, NOW.timestamp() + 301


@pytest.mark.parametrize(
    "iat",
    [None, 0, True, "now", [1], 10**400, float("nan"), float("inf"), TOO_OLD, TOO_NEW],
)
def test_a_time_out_of_reach_is_put_off(iat: object) -> None:
    with pytest.raises(Unavailable):
        vonage.is_genuine(ACCOUNT, signed(token(iat=iat)), NOW)


@pytest.mark.parametrize("body", [BODY, b"", b"{", b"[]", DEEP], ids=range(5))
def test_a_message_that_is_not_signed_is_put_off(body: bytes) -> None:
    with pytest.raises(Unavailable):
        vonage.is_genuine(ACCOUNT, hook(body), NOW)


@pytest.mark.parametrize("secret", [SIGNING, ""])
def test_a_blank_secret_signs_nothing(secret: str) -> None:
    account = replace(ACCOUNT, credentials={**ACCOUNT.credentials, "signatureSecret": ""})
    empty = base64.urlsafe_b64encode(hashlib.sha256(b"").digest()).decode()
    for given in (f"Bearer {empty}", token(secret or "x" * 64)):
        assert not vonage.is_genuine(account, signed(given), NOW)
    assert not vonage.is_genuine(account, old(with_sig(OLD_INBOUND, "")), NOW)


def test_the_words_within_an_mms_are_its_text() -> None:
    content = [{"type": "text", "text": "Stop"}, {"type": "image", "url": "https://m.example/1", "caption": "My roof"}]
    said = {"channel": "mms", "message_uuid": UUID, "to": "18335645667", "from": "12125551234", "content": content}
    [text] = vonage.read_inbound(hook(said))
    assert (text.text, text.media) == ("Stop\nMy roof", (Media("https://m.example/1"),))
    assert text.judgment.word == "stop"


def with_json_sig(said: str) -> WebhookRequest:
    """A JSON body, of the values as they are written there, with its MD5 signature."""
    stamp = int(NOW.timestamp())
    written = {name: value.strip('"') for name, value in re.findall(r'"([^"]+)": ("[^"]*"|\{.*?\}|[^,}]+)', said)}
    pairs = sorted({**written, "timestamp": str(stamp)}.items())
    words = "".join(f"&{name}={'' if value == 'null' else re.sub('[&=]', '_', value)}" for name, value in pairs)
    sig = hashlib.md5((words + SIGNING).encode()).hexdigest()
    return hook(f'{said[:-1]}, "timestamp": {stamp}, "sig": "{sig}"}}'.encode())


@pytest.mark.parametrize("extra", [
    '"concat": true, "concat-ref": 108, "concat-part": 2, "concat-total": 3', '"concat": false', '"price": 0.03330000',
    '"price": 1e-3', '"scts": -1', '"keyword": null', '"usage": {"currency":"EUR","price":0.1,"final":true}',
])  # fmt: skip
def test_a_json_value_is_signed_as_it_is_written(extra: str) -> None:
    said = f'{{"msisdn": "12125551234", "to": 18335645667, "messageId": "0A01", "text": "Hi", {extra}}}'
    assert vonage.is_genuine(ACCOUNT, with_json_sig(said), NOW)
    forged = replace(with_json_sig(said), body=with_json_sig(said).body.replace(b"Hi", b"STOP"))
    assert not vonage.is_genuine(ACCOUNT, forged, NOW)


def with_sig(said: Mapping[str, str], secret: str = SIGNING, **changed: str) -> dict[str, str]:
    """Parameters signed by MD5 hash, the accounts' default."""
    said = {**said, "timestamp": str(int(NOW.timestamp())), "nonce": "n-1", **changed}
    words = "".join(f"&{name}={said[name].replace('&', '_').replace('=', '_')}" for name in sorted(said))
    return {**said, "sig": hashlib.md5((words + secret).encode()).hexdigest()}


EXAMPLE = {"a": "1", "b": "2", "timestamp": "1461605396"}
EXAMPLE_NOW = datetime.fromtimestamp(1461605396, UTC)
EXAMPLES = {
    "md5 hash": "6af838ef94998832dbfc29020b564830",
    "md5": "c15c21ced558c93a226c305f58f902f2",
    "sha1": "3e19a4e6880fdc2c1426bfd0587c98b9532f0210",
    "sha256": "a321e824b9b816be7c3f28859a31749a098713d39f613c80d455bbaffae1cd24",
}


@pytest.mark.parametrize("how", ["get", "form", "json"])
@pytest.mark.parametrize("sig", EXAMPLES.values(), ids=EXAMPLES.keys())
def test_the_vendor_s_own_examples_are_genuine(sig: str, how: str) -> None:
    account = replace(ACCOUNT, credentials={**ACCOUNT.credentials, "signatureSecret": "secret"})
    for given in (sig, sig.upper()):
        assert vonage.is_genuine(account, old({**EXAMPLE, "sig": given}, how), EXAMPLE_NOW)
    for wrong in ({"sig": sig[:-1]}, {"sig": sig, "c": ""}, {"sig": sig, "a": "2"}):
        assert not vonage.is_genuine(account, old({**EXAMPLE, **wrong}, how), EXAMPLE_NOW)


@table(
    ("a text", old(with_sig(OLD_INBOUND)), True),
    ("by GET", old(with_sig(OLD_INBOUND), "get"), True),
    ("in JSON", old(with_sig(OLD_INBOUND), "json"), True),
    ("a receipt", old(with_sig(OLD_RECEIPT)), True),
    ("with & and =", old(with_sig({**OLD_INBOUND, "text": "a=b&c=d +%"})), True),
    ("empty and untrimmed count", old(with_sig({**OLD_INBOUND, "text": " ", "x": ""})), True),
    ("repeated for a day", old(with_sig(OLD_INBOUND, timestamp=str(int(NOW.timestamp()) - 86_400))),
     True),
    ("another's secret", old(with_sig(OLD_INBOUND, "x")), False),
    ("another text", old({**with_sig(OLD_INBOUND), "text": "STOP"}), False),
    ("an added parameter", old({**with_sig(OLD_INBOUND), "client-ref": "msg_2"}), False),
    ("of another account", old(with_sig({**OLD_INBOUND, "api-key": "zzzz9999"})), False),
    ("no time", old(with_sig(OLD_INBOUND, timestamp="")), False),
    ("a time that is none", old(with_sig(OLD_INBOUND, timestamp="-1e9")), False),
    ("an empty sig", old({**with_sig(OLD_INBOUND), "sig": ""}), False),
    ("a sig of odd letters", old({**with_sig(OLD_INBOUND), "sig": "é\u20ac"}), False),
    ("a list as sig", hook({**with_sig(OLD_INBOUND), "sig": ["x"]}), False),
    ("a list among the values", hook({**with_sig(OLD_INBOUND), "text": [["x"]]}), False),
    ("not signed", old(OLD_INBOUND), False),
    ("not signed, by GET", old(OLD_INBOUND, "get"), False),
    ("not signed, in JSON", old(OLD_INBOUND, "json"), False),
    ("nothing, by GET", old({}, "get"), False),
)  # fmt: skip
def test_parameters_are_genuine_when_their_sig_is(given: WebhookRequest, expected: bool) -> None:
    assert vonage.is_genuine(ACCOUNT, given, NOW) is expected


@pytest.mark.parametrize("seconds", [-25 * 3600 - 1, 301])
def test_parameters_of_a_time_out_of_reach_are_put_off(seconds: int) -> None:
    said = with_sig(OLD_INBOUND, timestamp=str(int(NOW.timestamp()) + seconds))
    with pytest.raises(Unavailable):
        vonage.is_genuine(ACCOUNT, old(said), NOW)


SENT_AT = NOW - timedelta(seconds=2)
PLAIN = InboundText(UUID, "+12125551234", "+18335645667", "  Hi, ça va? ", sent_at=SENT_AT)
MMS = {k: v for k, v in INBOUND.items() if k not in ("text", "sms")} | {"channel": "mms"}
URL0, URL1 = "https://api.nexmo.com/v3/media/0", "https://api.nexmo.com/v3/media/1"
V0_1 = {
    "message_uuid": UUID, "timestamp": "2026-11-24T11:59:58.000Z", "direction": "inbound",
    "to": {"type": "sms", "number": "18335645667"},
    "from": {"type": "sms", "number": "12125551234"},
    "message": {"content": {"type": "text", "text": "  Hi, ça va? "}},
}  # fmt: skip


def pictured(**changed: Any) -> WebhookRequest:
    return hook(MMS | changed)


@table(
    ("a text, as it was written", hook(INBOUND), [PLAIN]),
    ("a short code", hook(INBOUND | {"from": "32665"}), [replace(PLAIN, sender="32665")]),
    ("a name", hook(INBOUND | {"from": "ACME Inc"}), [replace(PLAIN, sender="ACME Inc")]),
    ("a number that is a number", hook(INBOUND | {"from": 12125551234}), [PLAIN]),
    ("an empty text", hook(INBOUND | {"text": ""}), [replace(PLAIN, text="")]),
    ("NUL and half a character", hook(INBOUND | {"text": "a\x00\ud83d"}),
     [replace(PLAIN, text="a?")]),
    ("a time that is none", hook(INBOUND | {"timestamp": "soon"}), [replace(PLAIN, sent_at=None)]),
    ("a time beyond the calendar", hook(INBOUND | {"timestamp": "0001-01-01T00:00:00+09:00"}),
     [replace(PLAIN, sent_at=None)]),
    ("a time without a zone", hook(INBOUND | {"timestamp": "2026-11-24T11:59:58"}), [PLAIN]),
    ("v0.1", hook(V0_1), [PLAIN]),
    ("v0.1 with a picture",
     hook(V0_1 | {"message": {"content": {"type": "image", "image": {"url": URL0}}}}),
     [replace(PLAIN, text="", media=(Media(URL0),))]),
    ("v0.1 of WhatsApp", hook(V0_1 | {"from": {"type": "whatsapp", "number": "1212"}}), []),
    ("v0.1 without a message", hook(V0_1 | {"message": [1]}), []),
    ("an MMS of words", pictured(text="hi"), [replace(PLAIN, text="hi")]),
    ("a picture", pictured(message_type="image", image={"url": URL0, "name": "a.png"}),
     [replace(PLAIN, text="", media=(Media(URL0),))]),
    ("a picture with a word", pictured(image={"url": URL0, "caption": "look"}),
     [replace(PLAIN, text="look", media=(Media(URL0),))]),
    ("several", pictured(
        image={"url": URL0, "caption": "look"},
        content=[{"type": "image", "url": URL0}, {"type": "video", "url": URL1}, None, {"url": 7.5},
                 {"url": ["x"]}],
    ), [replace(PLAIN, text="look", media=(Media(URL0), Media(URL1)))]),
    ("ten at most", pictured(content=[{"type": "file", "url": f"u{i}"} for i in range(99)]),
     [replace(PLAIN, text="", media=tuple(Media(f"u{i}") for i in range(10)))]),
    ("an MMS of nothing", pictured(), []),
    ("a picture that is a list", pictured(image=[URL0]), []),
    ("another channel", hook(INBOUND | {"channel": "whatsapp"}), []),
    ("a list as channel", hook(INBOUND | {"channel": ["sms"]}), []),
    ("no text", hook({k: v for k, v in INBOUND.items() if k != "text"}), []),
    ("a list as text", hook(INBOUND | {"text": ["x"]}), []),
    ("no sender", hook(INBOUND | {"from": ""}), []),
    ("an object as sender", hook(INBOUND | {"from": {"a": 1}}), []),
    ("no recipient", hook(INBOUND | {"to": None}), []),
    ("no id", hook(INBOUND | {"message_uuid": True}), []),
    ("NUL in the id", hook(INBOUND | {"message_uuid": "a\x00"}), []),
    ("half a character in the id", hook(INBOUND | {"message_uuid": "a\ud83d"}), []),
    ("a receipt at the wrong address", hook(RECEIPT), []),
)  # fmt: skip
def test_an_inbound_message_reads_as(given: WebhookRequest, expected: list[InboundText]) -> None:
    assert vonage.read_inbound(given) == expected


OLD_PLAIN = replace(PLAIN, provider_id="0A01", text=" Hi, ça va?")
PARTED = OLD_INBOUND | {
    "concat": "true", "concat-ref": "108", "concat-part": "2", "concat-total": "3",
}  # fmt: skip


@table(
    ("by form", old(OLD_INBOUND), [OLD_PLAIN]),
    ("by GET", old(OLD_INBOUND, "get"), [OLD_PLAIN]),
    ("in JSON", old(OLD_INBOUND, "json"), [OLD_PLAIN]),
    ("a part", old(PARTED), [replace(OLD_PLAIN, part=TextPart("108", 2, 3))]),
    ("a part in JSON, with a boolean", hook(PARTED | {"concat": True, "concat-part": 2, "concat-total": 3}),
     [replace(OLD_PLAIN, part=TextPart("108", 2, 3))]),
    ("a part in JSON, with numbers", hook(PARTED | {"concat-part": 2, "concat-total": 3}),
     [replace(OLD_PLAIN, part=TextPart("108", 2, 3))]),
    ("part 0 is none", old(PARTED | {"concat-part": "0"}), [OLD_PLAIN]),
    ("a part beyond the last is none", old(PARTED | {"concat-part": "4"}), [OLD_PLAIN]),
    ("too many parts are none", old(PARTED | {"concat-total": "256"}), [OLD_PLAIN]),
    ("part of very many", old(PARTED | {"concat-total": "9" * 5000}), [OLD_PLAIN]),
    ("part of other digits", old(PARTED | {"concat-part": "²"}), [OLD_PLAIN]),
    ("no reference", old(PARTED | {"concat-ref": ""}), [OLD_PLAIN]),
    ("said to be whole", old(PARTED | {"concat": "false"}), [OLD_PLAIN]),
    ("an empty text", old(OLD_INBOUND | {"text": ""}), [replace(OLD_PLAIN, text="")]),
    ("bytes that are no UTF-8", hook(urlencode(
        {k: v for k, v in OLD_INBOUND.items() if k != "text"}).encode() + b"&text=a%ff",
        **{"content-type": FORM}), [replace(OLD_PLAIN, text="a\ufffd")]),
    ("binary", old({k: v for k, v in OLD_INBOUND.items() if k != "text"} | {"data": "00"}), []),
    ("binary with an empty text", old(OLD_INBOUND | {"type": "binary", "text": ""}), []),
    ("no sender", old(OLD_INBOUND | {"msisdn": ""}), []),
    ("no recipient", old(OLD_INBOUND | {"to": ""}), []),
    ("no id", old(OLD_INBOUND | {"messageId": ""}), []),
    ("NUL in the id", old(OLD_INBOUND | {"messageId": "a\x00"}), []),
    ("a list as text", hook(OLD_INBOUND | {"text": ["x"]}), []),
    ("a receipt at the wrong address", old(OLD_RECEIPT), []),
    ("nothing", old({}), []),
    ("nothing, by GET", old({}, "get"), []),
)  # fmt: skip
def test_an_old_inbound_text_reads_as(given: WebhookRequest, expected: list[InboundText]) -> None:
    assert vonage.read_inbound(given) == expected


WORD = Receipt(
    UUID, "delivered", message_id="msg_1", sender="+18335645667", to="+12125551234",
    at=NOW + timedelta(seconds=3),
)  # fmt: skip


def receipt(status: Any, code: str | None = None, **changed: Any) -> WebhookRequest:
    error = {"error": {"type": f"https://x/messages#{code}", "title": code}} if code else {}
    if "sender" in changed:
        changed["from"] = changed.pop("sender")
    return hook(RECEIPT | {"status": status} | error | changed, STATUS_URL)


@table(
    ("delivered", receipt("delivered"), [WORD]),
    ("submitted", receipt("submitted"), [replace(WORD, status="sent")]),
    ("read", receipt("read"), [WORD]),
    ("rejected", receipt("rejected", "1120"), [replace(WORD, status="failed", code="1120")]),
    ("undeliverable", receipt("undeliverable", "1180"),
     [replace(WORD, status="undelivered", code="1180")]),
    ("opted out", receipt("rejected", "1240"),
     [replace(WORD, status="failed", code="1240", has_opted_out=True)]),
    ("the code in its type only", receipt("rejected", error={"type": "x#1210", "title": "Spam"}),
     [replace(WORD, status="failed", code="1210")]),
    ("v0.1", receipt("undeliverable", error={"code": 1360, "reason": "x"},
                     to={"type": "sms", "number": "12125551234"},
                     sender={"type": "sms", "number": "18335645667"}),
     [replace(WORD, status="undelivered", code="1360")]),
    ("an error that is a list", receipt("rejected", error=[1]), [replace(WORD, status="failed")]),
    ("a word nobody knows", receipt("teleported"), [replace(WORD, status=None)]),
    ("the reference before the address", receipt("delivered", client_ref="msg_2"),
     [replace(WORD, message_id="msg_2")]),
    ("the address without a reference", receipt("delivered", client_ref=None), [WORD]),
    ("neither", hook({k: v for k, v in RECEIPT.items() if k != "client_ref"}),
     [replace(WORD, message_id=None)]),
    ("NUL in the address", hook(RECEIPT | {"client_ref": ""}, STATUS_URL + "%00"),
     [replace(WORD, message_id=None)]),
    ("no numbers", receipt("delivered", to=None, sender=[1]),
     [replace(WORD, sender=None, to=None)]),
    ("a list as status", receipt(["delivered"]), []),
    ("no id", receipt("delivered", message_uuid=None), []),
    ("an inbound text", hook(INBOUND, STATUS_URL), []),
)  # fmt: skip
def test_a_status_webhook_reads_as(given: WebhookRequest, expected: list[Receipt]) -> None:
    assert vonage.read_status(given) == expected


OLD_WORD = replace(
    WORD, provider_message_id="0A09", part="0A09", price=Price(Decimal("0.0333"), "EUR"), is_price_of_part=True
)


def old_receipt(status: str, code: str = "0", how: str = "form", **changed: str) -> WebhookRequest:
    return old(OLD_RECEIPT | {"status": status, "err-code": code} | changed, how)


@table(
    ("delivered", old_receipt("delivered"), [OLD_WORD]),
    ("by GET", old_receipt("delivered", how="get"), [OLD_WORD]),
    ("in JSON", old_receipt("delivered", how="json"), [OLD_WORD]),
    ("accepted", old_receipt("accepted"), [replace(OLD_WORD, status="sent")]),
    ("buffered", old_receipt("buffered"), [replace(OLD_WORD, status="sent")]),
    ("unknown", old_receipt("unknown", "1"), [replace(OLD_WORD, status="sent", code="1")]),
    ("expired", old_receipt("expired", "2"), [replace(OLD_WORD, status="undelivered", code="2")]),
    ("rejected", old_receipt("rejected", "6"), [replace(OLD_WORD, status="undelivered", code="6")]),
    ("opted out", old_receipt("failed", "9"),
     [replace(OLD_WORD, status="undelivered", code="9", has_opted_out=True)]),
    ("a word nobody knows", old_receipt("teleported"), [replace(OLD_WORD, status=None)]),
    ("a sender that is a name", old_receipt("delivered", to="AcmeInc"),
     [replace(OLD_WORD, sender="AcmeInc")]),
    ("no status", old_receipt(""), []),
    ("an inbound text", old(OLD_INBOUND), []),
)  # fmt: skip
def test_an_old_receipt_reads_as(given: WebhookRequest, expected: list[Receipt]) -> None:
    assert vonage.read_status(given) == expected


@pytest.mark.parametrize("code", [str(code) for code in range(1, 15)])
def test_every_old_code_has_its_words(code: str) -> None:
    assert vonage.ERROR_MEANINGS[code]


HOSTILE = {
    "nothing": b"", "NUL": b"\x00", "no UTF-8": b"\xff\xfe\xfd", "no JSON": b"{", "deep": DEEP,
    "a list": b"[]", "a number": b"1", "null": b"null", "NaN": b"NaN", "a text": b'"messageId"',
    "long digits": b'{"messageId": ' + b"9" * 5000 + b"}",
    "objects": json.dumps({name: {"a": 1} for name in INBOUND | OLD_RECEIPT}).encode(),
    "lists": json.dumps({name: [1] for name in INBOUND | OLD_INBOUND}).encode(),
    "nulls": json.dumps(dict.fromkeys(INBOUND)).encode(),
}  # fmt: skip


@pytest.mark.parametrize("form", [FORM, "application/json", ""])
@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_body_says_nothing(body: bytes, form: str) -> None:
    given = hook(body, **{"content-type": form})
    assert vonage.read_inbound(given) == []
    assert vonage.read_status(given) == []


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_answer_accepts_nothing(body: bytes) -> None:
    assert vonage.read_outcome(answer(202, body)) == NO_ID
    assert vonage.read_outcome(answer(400, body)).verdict == "refused"
    assert vonage.read_numbers(answer(500, body)) is None


def test_what_vonage_charges_for_is_not_asked() -> None:
    assert vonage.build_lookup_request(ACCOUNT, TEXT, NOW) is None
    assert vonage.read_lookup(answer(200, {}), TEXT, NOW) is None
    assert vonage.build_history_request(ACCOUNT, NOW, None) is None
    assert vonage.read_history(answer(200, {}), NOW) is None


@table(("the first page", None, "1"), ("the third", "3", "3"))
def test_numbers_are_asked_for_page_by_page(given: str | None, expected: str) -> None:
    request = vonage.build_numbers_request(ACCOUNT, given)
    assert request is not None
    url = f"https://rest.nexmo.com/account/numbers?size=100&index={expected}"
    assert (request.method, str(request.url)) == ("GET", url)
    assert request.headers["authorization"] == BASIC
    assert SECRET not in str(request.url)


NUMBER = {
    "country": "US", "msisdn": "18335645667", "type": "landline-toll-free",
    "features": ["VOICE", "SMS", "MMS"], "moHttpUrl": INBOUND_URL,
}  # fmt: skip
ROW = VendorNumber("+18335645667", ("sms", "mms", "voice"), "landline-toll-free", INBOUND_URL)


def page(body: Any, index: int = 1, status: int = 200) -> httpx.Response:
    response = answer(status, body)
    response.request = vonage.build_numbers_request(ACCOUNT, str(index)) or response.request
    return response


@table(
    ("a number", page({"count": 1, "numbers": [NUMBER]}), NumberPage((ROW,))),
    ("an application's", page({"count": 1, "numbers": [NUMBER | {"messagesCallbackType": "app"}]}),
     NumberPage((replace(ROW, inbound_url=None),))),
    ("without an address", page({"count": 1, "numbers": [NUMBER | {"moHttpUrl": ""}]}),
     NumberPage((replace(ROW, inbound_url=None),))),
    ("for calls only", page({"count": 1, "numbers": [NUMBER | {"features": ["VOICE", 7]}]}),
     NumberPage((replace(ROW, capabilities=("voice",)),))),
    ("bare", page({"count": 1, "numbers": [{"msisdn": "18335645667", "features": "SMS"}]}),
     NumberPage((VendorNumber("+18335645667", ()),))),
    ("more to come", page({"count": 101, "numbers": [NUMBER]}), NumberPage((ROW,), "2")),
    ("the last page", page({"count": 101, "numbers": [NUMBER]}, 2), NumberPage((ROW,))),
    ("no end in sight", page({"count": 101, "numbers": []}), NumberPage(())),
    ("no numbers", page({}), NumberPage(())),
    ("odd entries are passed over", page({"count": 3, "numbers": [None, {}, {"msisdn": [1]}]}),
     NumberPage(())),
    ("numbers that are no list", page({"count": 1, "numbers": {}}), None),
    ("a count that is none", page({"count": "1", "numbers": []}), None),
    ("a count without numbers", page({"count": 1}), None),
    ("a list", page([]), None),
    ("no JSON", page(b"<html>"), None),
    ("wrong secret", page({"error-code": "401"}, status=401), None),
)  # fmt: skip
def test_numbers_are_listed(given: httpx.Response, expected: NumberPage | None) -> None:
    assert vonage.read_numbers(given) == expected


@table(
    ("Vonage's", URL0, True),
    ("Vonage's other", "https://files.vonage.com/1", True),
    ("not over HTTP", "http://api.nexmo.com/1", False),
    ("a name that ends alike", "https://evilnexmo.com/1", False),
    ("a name that begins alike", "https://api.nexmo.com.evil.example/1", False),
    ("a user that looks alike", "https://api.nexmo.com@evil.example/1", False),
    ("a stranger's", "https://x.example/1.png", False),
)
def test_only_vonage_is_shown_the_credentials(given: str, expected: bool) -> None:
    assert ("authorization" in vonage.build_media_request(ACCOUNT, given).headers) is expected


def test_a_base_url_is_shown_them_too() -> None:
    account = replace(ACCOUNT, base_url="http://127.0.0.1:9")
    assert "authorization" in vonage.build_media_request(account, "http://127.0.0.1:9/1").headers
    assert "authorization" not in vonage.build_media_request(account, "http://127.0.0.1:8/1").headers


def test_the_secrets_are_told_in_every_form_they_travel_in() -> None:
    told = vonage.list_secrets(WITH_KEY)
    assert {SECRET, SIGNING, pem(RSA)} <= set(told)
    sent = vonage.build_send_request(ACCOUNT, TEXT, NOW).headers["authorization"]
    assert any(secret in sent for secret in told)
    assert all(vonage.list_secrets(ACCOUNT))
