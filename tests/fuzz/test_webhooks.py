"""Each carrier's webhooks, rightly signed and full of surprises: nothing is a fault of ours, and
what is genuine is taken, whatever it says (contract 5: a novelty is a 2xx)."""

import asyncio
import hmac
import json
import os
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from urllib.parse import urlencode

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.domain.carriage import Account, WebhookRequest
from app.domain.problems import Unavailable
from app.providers import REGISTRY
from app.resources import Resources
from tests.fuzz.conftest import Target
from tests.makers import CREDENTIALS, Data

FORM, JSON = "application/x-www-form-urlencoded", "application/json"
SIGNER = Ed25519PrivateKey.from_private_bytes(b"\x01" * 32)
PUBLIC = b64encode(SIGNER.public_key().public_bytes_raw()).decode()
LEAD, OURS = "+12125551234", "+18335645667"
Headers = dict[str, str]
Sign = Callable[[Mapping[str, str], str, bytes, Data], Headers]
"""Credentials, address, body and the form within it: the headers of a genuine webhook."""


def _simulator(known: Mapping[str, str], url: str, body: bytes, _: Data) -> Headers:
    stamp = str(int(time.time()))
    mac = hmac.digest(known["secret"].encode(), f"{stamp}.{url}.".encode() + body, "sha256").hex()
    return {"x-simulator-signature": f"t={stamp},v1={mac}"}


def _twilio(known: Mapping[str, str], url: str, __: bytes, form: Data) -> Headers:
    said = url + "".join(f"{name}{value}" for name, value in sorted(form.items()))
    mac = hmac.digest(known["authToken"].encode(), said.encode(), "sha1")
    return {"x-twilio-signature": b64encode(mac).decode()}


def _plivo(known: Mapping[str, str], url: str, __: bytes, form: Data) -> Headers:
    base, _, query = url.partition("?")
    said = "".join(f"{name}{value}" for name, value in sorted(form.items()))
    said = f"{base}?{query}.{said}" if query and said else f"{base}?{query}{said}"
    mac = hmac.digest(known["authToken"].encode(), f"{said}.nonce".encode(), "sha256")
    return {
        "x-plivo-signature-v3": b64encode(mac).decode(),
        "x-plivo-signature-v3-nonce": "nonce",
    }


def _telnyx(_: Mapping[str, str], __: str, body: bytes, ___: Data) -> Headers:
    stamp = str(int(time.time()))
    signature = b64encode(SIGNER.sign(f"{stamp}|".encode() + body)).decode()
    return {"telnyx-timestamp": stamp, "telnyx-signature-ed25519": signature}


def _bandwidth(known: Mapping[str, str], _: str, __: bytes, ___: Data) -> Headers:
    pair = f"{known['callbackUsername']}:{known['callbackPassword']}"
    return {"authorization": f"Basic {b64encode(pair.encode()).decode()}"}


def _sinch(known: Mapping[str, str], _: str, body: bytes, __: Data) -> Headers:
    stamp, name = str(int(time.time())), "x-sinch-webhook-signature"
    mac = hmac.digest(known["webhookSecret"].encode(), body + f".nonce.{stamp}".encode(), "sha256")
    return {name: b64encode(mac).decode(), f"{name}-nonce": "nonce", f"{name}-timestamp": stamp,
            f"{name}-algorithm": "HmacSHA256"}  # fmt: skip


def _vonage(known: Mapping[str, str], _: str, body: bytes, __: Data) -> Headers:
    claims = {"iat": int(time.time()), "payload_hash": sha256(body).hexdigest()}
    token = jwt.encode(claims, known["signatureSecret"], "HS256")
    return {"authorization": f"Bearer {token}"}


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a carrier posts: its credentials, what it says, and its signature."""

    credentials: dict[str, str]
    inbound: Data
    receipt: Data
    sign: Sign
    form: bool = False
    listed: bool = False
    """Bodies are lists of events."""

    def body(self, said: Any) -> bytes:
        if self.form:
            return urlencode(said).encode()
        return json.dumps([said] if self.listed else said).encode()


SID = CREDENTIALS["twilio"]["accountSid"]
DIALECTS = {
    "simulator": Dialect(
        CREDENTIALS["simulator"],
        {"type": "inbound", "id": "s-1", "from": LEAD, "to": OURS, "text": "Hi", "media": [],
         "sentAt": "2026-11-24T11:59:58+00:00"},
        {"type": "status", "id": "s-9", "reference": "msg_1", "status": "delivered",
         "at": "2026-11-24T11:59:58Z", "code": "unreachable"},
        _simulator,
    ),
    "twilio": Dialect(
        CREDENTIALS["twilio"],
        {"MessageSid": "SM1", "AccountSid": SID, "From": LEAD, "To": OURS, "Body": "Hi",
         "NumMedia": "1", "MediaUrl0": "https://x.example/1", "MediaContentType0": "image/png"},
        {"MessageSid": "SM9", "MessageStatus": "delivered", "AccountSid": SID, "ErrorCode": "30003",
         "To": LEAD, "From": OURS},
        _twilio, form=True,
    ),
    "plivo": Dialect(
        {"authId": "MAXXXXXXXXXXXXXXXXXX", "authToken": "plivo-token-1"},
        {"MessageUUID": "pu-1", "From": LEAD[1:], "To": OURS[1:], "Type": "sms", "Text": "Hi",
         "Media0": "https://x.example/1"},
        {"MessageUUID": "pu-9", "ParentMessageUUID": "pu-9", "Status": "delivered",
         "ErrorCode": "", "To": LEAD[1:], "From": OURS[1:],
         "DeliveryReportTime": "2026-11-24 12:00:00.000000"},
        _plivo, form=True,
    ),
    "telnyx": Dialect(
        {"apiKey": "KEY-1", "publicKey": PUBLIC},
        {"data": {"event_type": "message.received", "id": "ev-1", "payload": {
            "id": "tx-1", "text": "Hi", "media": [{"url": "https://x.example/1"}],
            "from": {"phone_number": LEAD},
            "to": [{"phone_number": OURS, "status": "webhook_delivered"}],
            "received_at": "2026-11-24T11:59:58.123+00:00"}}},
        {"data": {"event_type": "message.finalized", "occurred_at": "2026-11-24T12:00:00Z",
                  "payload": {"id": "tx-9", "to": [{"phone_number": LEAD, "status": "delivered"}],
                              "errors": [{"code": "40300"}]}}},
        _telnyx,
    ),
    "bandwidth": Dialect(
        {"accountId": "9900000", "applicationId": "93de2206", "username": "api",
         "password": "pass-word", "callbackUsername": "hook", "callbackPassword": "hook-secret"},
        {"type": "message-received", "time": "2026-11-24T12:00:00Z", "to": OURS, "message": {
            "id": "bw-1", "owner": OURS, "time": "2026-11-24T11:59:58.123456Z", "from": LEAD,
            "to": [OURS], "text": "Hi", "media": ["https://x.example/1"]}},
        {"type": "message-failed", "time": "2026-11-24T12:00:00Z", "to": LEAD, "errorCode": 4720,
         "message": {"id": "bw-9", "tag": "msg_1", "owner": OURS, "to": [LEAD]}},
        _bandwidth, listed=True,
    ),
    "sinch": Dialect(
        {"servicePlanId": "plan-1", "apiToken": "sinch-token", "webhookSecret": "sinch-secret"},
        {"type": "mo_text", "id": "01FC1", "from": LEAD[1:], "to": OURS[1:], "body": "Hi",
         "received_at": "2026-11-24T11:59:58.120Z"},
        {"type": "recipient_delivery_report_sms", "batch_id": "01FC9", "recipient": LEAD[1:],
         "code": 0, "status": "Delivered", "at": "2026-11-24T12:00:03.456Z",
         "client_reference": "msg_1"},
        _sinch,
    ),
    "vonage": Dialect(
        {"apiKey": "abcd1234", "apiSecret": "vonage-secret",
         "signatureSecret": "signature-secret-of-thirty-two-by"},
        {"channel": "sms", "message_uuid": "v-1", "to": OURS[1:], "from": LEAD[1:], "text": "Hi",
         "timestamp": "2026-11-24T11:59:58Z", "message_type": "text"},
        {"channel": "sms", "message_uuid": "v-9", "to": LEAD[1:], "from": OURS[1:],
         "timestamp": "2026-11-24T12:00:03Z", "status": "delivered", "client_ref": "msg_1",
         "error": {"title": "1000"}},
        _vonage,
    ),
}  # fmt: skip
EACH = pytest.mark.parametrize("name", DIALECTS)
KINDS = ("inbound", "status")
TEXTS = st.text(max_size=40) | st.sampled_from(
    ["STOP", "", "\x00", "a\x00b", "9" * 5000, "\U0001f600" * 300, "-1", "1e309", LEAD, OURS,
     "0001-01-01T00:00:00Z", "9999-12-31T23:59:59-14:00", "2026-02-30", "٣", "+" + "1" * 300,
     "http://[::1", "\u202e\ufeff", "x" * 20_000]
)  # fmt: skip
LONE = st.sampled_from(["\ud800", "a\udfffb"])
"""Only JSON can say them, as escapes."""
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats() | TEXTS | LONE,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=6,
)


def test_every_carrier_is_fuzzed() -> None:
    assert DIALECTS.keys() == REGISTRY.keys()


def _places(said: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths to everything within: where something may be changed."""
    inner = said.items() if isinstance(said, dict) else enumerate(said)
    found = []
    for name, value in inner:
        found.append((*here, name))
        if isinstance(value, dict | list):
            found += _places(value, (*here, name))
    return found


@st.composite
def surprising(draw: st.DrawFn, sample: Data, form: bool) -> Data:
    """What the carrier says, with a few places changed to anything, or gone."""
    said: Data = json.loads(json.dumps(sample))
    for _ in range(draw(st.integers(1, 3))):
        places = _places(said)
        if not places:
            break
        *way, last = draw(st.sampled_from(places))
        inner: Any = said
        for step in way:
            inner = inner[step]
        if draw(st.booleans()) or isinstance(inner, list):
            inner[last] = draw(TEXTS if form else ANYTHING)
        else:
            del inner[last]
    if form and draw(st.booleans()):
        said[draw(TEXTS)] = draw(TEXTS)
    return said


def bounded(examples: int) -> settings:
    """So many, times FUZZ_TIMES (`make fuzz` sets it)."""
    times = int(os.environ.get("FUZZ_TIMES", "1"))
    return settings(max_examples=examples * times, deadline=None, suppress_health_check=list(HealthCheck))


# Read alone: quick, hence many.


@EACH
@bounded(40)
@given(data=st.data())
def test_no_body_breaks_a_reader(name: str, data: st.DataObject) -> None:
    dialect, provider = DIALECTS[name], REGISTRY[name]
    sample = data.draw(st.sampled_from([dialect.inbound, dialect.receipt]))
    said = data.draw(surprising(sample, dialect.form) if dialect.form else ANYTHING
                     | surprising(sample, False))  # fmt: skip
    body = dialect.body(said)
    headers = {"content-type": FORM if dialect.form else JSON}
    hook = WebhookRequest("POST", "https://x.example/w?message=m", headers, (("message", "m"),), body)
    for text in provider.read_inbound(hook):
        assert isinstance(text.text, str)
        assert text.provider_id
    for receipt in provider.read_status(hook):
        assert receipt.status is None or isinstance(receipt.status, str)


@EACH
@bounded(40)
@given(data=st.data())
def test_no_forged_header_breaks_the_check_or_passes_it(name: str, data: st.DataObject) -> None:
    dialect = DIALECTS[name]
    body = data.draw(st.binary(max_size=60) | st.just(dialect.body(dialect.inbound)))
    url = "https://x.example/w?message=m"
    genuine = dialect.sign(dialect.credentials, url, body, {})
    # Headers arrive as latin-1: no other character can stand in them.
    said = st.text(st.characters(max_codepoint=255), max_size=80)
    headers = {name: data.draw(said | st.just("") | st.just("9" * 400)) for name in genuine}
    hook = WebhookRequest("POST", url, {"content-type": JSON, **headers}, (("message", "m"),), body)
    account = Account("org_1", "acct_1", name, dialect.credentials)
    try:
        passed = REGISTRY[name].is_genuine(account, hook, datetime.now(UTC))
    except Unavailable:  # the carrier is to repeat it
        passed = False
    assert not passed


# Through the door, signed.


def _everywhere(said: Any, told: str) -> Iterator[Any]:
    """What the carrier says, with `told` put into one text after the other."""
    for *way, last in _places(said):
        changed = json.loads(json.dumps(said))
        inner: Any = changed
        for step in way:
            inner = inner[step]
        if isinstance(inner[last], str):
            inner[last] += told
            yield changed


@pytest.fixture
async def account(name: str, target: Target) -> Data:
    """The tenant's account with the carrier, and our number in it."""
    body = {"provider": name, "name": name, "credentials": DIALECTS[name].credentials}
    made = await target.tenant.call("POST", "/provider-accounts", body)
    number = {"phoneNumber": OURS, "providerAccountId": made["accountId"]}
    await target.tenant.call("POST", "/phone-numbers", number)
    return made


def post(account: Data, name: str, kind: str, said: Any) -> httpx.Response:
    dialect = DIALECTS[name]
    url = account["webhooks"][kind] + ("?message=msg_1" if kind == "status" else "")
    body = dialect.body(said)
    headers = dialect.sign(dialect.credentials, url, body, said if dialect.form else {})
    headers["content-type"] = FORM if dialect.form else JSON
    return httpx.post(url, content=body, headers=headers, trust_env=False, timeout=20)


@EACH
async def test_what_the_carrier_says_plainly_is_taken(
    target: Target, account: Data, resources: Resources, name: str
) -> None:
    """Or the tests below would pass with signatures that are all refused."""
    dialect = DIALECTS[name]
    for kind, said in zip(KINDS, (dialect.inbound, dialect.receipt), strict=True):
        answer = await asyncio.to_thread(post, account, name, kind, said)
        assert answer.status_code == 200, answer.text
    async with resources.database.read_tx(target.tenant.tenant_id) as read:
        rows = await read.fetch_rows("SELECT text FROM messages WHERE role = 'user'")
    assert [row["text"] for row in rows] == ["Hi"]


@EACH
async def test_what_no_database_can_hold_is_taken_as_well(name: str, account: Data) -> None:
    dialect = DIALECTS[name]
    for kind, sample in zip(KINDS, (dialect.inbound, dialect.receipt), strict=True):
        for told in ("\x00",) if dialect.form else ("\x00", "\ud800"):
            for said in _everywhere(sample, told):
                if said.get("AccountSid") not in (None, SID):
                    continue  # another's is not genuine
                answer = await asyncio.to_thread(post, account, name, kind, said)
                assert answer.status_code == 200, (said, answer.text)


@EACH
@bounded(6)
@given(data=st.data())
def test_what_is_genuine_is_taken_whatever_it_says(name: str, data: st.DataObject, account: Data) -> None:
    dialect = DIALECTS[name]
    kind = data.draw(st.sampled_from(KINDS))
    sample = dialect.inbound if kind == "inbound" else dialect.receipt
    said = data.draw(surprising(sample, dialect.form))
    if name == "twilio":
        said["AccountSid"] = SID  # another's is not genuine
    answer = post(account, name, kind, said)
    assert answer.status_code == 200, (kind, said, answer.text)


@EACH
@bounded(5)
@given(data=st.data())
def test_what_is_not_genuine_is_refused_and_no_fault(name: str, data: st.DataObject, account: Data) -> None:
    kind = data.draw(st.sampled_from(KINDS))
    dialect = DIALECTS[name]
    body = data.draw(st.binary(max_size=200) | st.just(dialect.body(dialect.inbound)))
    said = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=60)
    names = dialect.sign(dialect.credentials, "https://x.example", b"", {})
    headers = {one: data.draw(said) for one in names if data.draw(st.booleans())}
    headers["content-type"] = data.draw(st.sampled_from([FORM, JSON, "text/plain", ""]))
    url = account["webhooks"][kind]
    answer = httpx.post(url, content=body, headers=headers, trust_env=False, timeout=20)
    expected = {401, 503} if name in ("vonage", "sinch") else {401}
    assert answer.status_code in expected, answer.text
