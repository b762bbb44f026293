"""Inbound texts as each carrier posts them, signed with any credentials."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any
from urllib.parse import urlencode

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from app.demo.carrier import sign_webhook
from tests.makers import Data, Tenant

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/json"}
_ids = count(1)
_telnyx_keys: dict[str, Ed25519PrivateKey] = {}


def _make_telnyx_key() -> str:
    key = Ed25519PrivateKey.generate()
    public = base64.b64encode(key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()
    _telnyx_keys[public] = key
    return public


def make_credentials(provider: str) -> dict[str, str]:
    """New credentials with secrets of their own; what names the account stays."""
    n = f"{next(_ids):032x}"
    made: dict[str, dict[str, str]] = {
        "twilio": {"accountSid": "AC0123456789abcdef0123456789abcdef", "authToken": n},
        "vonage": {"apiKey": "abcd1234", "apiSecret": n, "signatureSecret": n},
        "telnyx": {"apiKey": n, "publicKey": _make_telnyx_key()},
        "plivo": {"authId": "MA1", "authToken": n},
        "bandwidth": {"accountId": "5500123", "applicationId": "app-1", "username": "u", "password": n,
                      "callbackUsername": "cb", "callbackPassword": n},
        "sinch": {"servicePlanId": "plan", "apiToken": n, "webhookSecret": n},
        "simulator": {"secret": n},
    }  # fmt: skip
    return made[provider]


PROVIDERS = ("bandwidth", "plivo", "simulator", "sinch", "telnyx", "twilio", "vonage")


@dataclass(frozen=True, slots=True)
class Part:
    """An attachment: its address and its type."""

    url: str
    type: str


@dataclass(frozen=True, slots=True)
class Post:
    """A text on its way to our webhook."""

    url: str
    sender: str
    to: str
    text: str
    parts: Sequence[Part]
    id: str


Signed = tuple[bytes, dict[str, str]]


def _twilio(keys: dict[str, str], post: Post) -> Signed:
    form = {"MessageSid": post.id, "AccountSid": keys["accountSid"], "From": post.sender, "To": post.to,
            "Body": post.text, "NumMedia": str(len(post.parts))}  # fmt: skip
    for i, part in enumerate(post.parts):
        form |= {f"MediaUrl{i}": part.url, f"MediaContentType{i}": part.type}
    said = post.url + "".join(f"{name}{form[name]}" for name in sorted(form))
    mac = hmac.digest(keys["authToken"].encode(), said.encode(), "sha1")
    return urlencode(form).encode(), FORM | {"X-Twilio-Signature": base64.b64encode(mac).decode()}


def _vonage(keys: dict[str, str], post: Post) -> Signed:
    """The Messages API; a text part comes within the content."""
    body: Data = {"channel": "mms" if post.parts else "sms", "message_uuid": post.id, "from": post.sender[1:],
                  "to": post.to[1:], "timestamp": "2026-11-24T12:00:00Z", "message_type": "text",
                  "text": post.text}  # fmt: skip
    if post.parts:
        body["content"] = [{"type": "file", "url": part.url} for part in post.parts]
    content = json.dumps(body).encode()
    claims = {"iat": int(time.time()), "jti": post.id, "api_key": keys["apiKey"],
              "payload_hash": hashlib.sha256(content).hexdigest()}  # fmt: skip
    token = jwt.encode(claims, keys["signatureSecret"], "HS256")
    return content, JSON | {"Authorization": f"Bearer {token}"}


def _telnyx(keys: dict[str, str], post: Post) -> Signed:
    payload = {"id": post.id, "direction": "inbound", "text": post.text, "from": {"phone_number": post.sender},
               "to": [{"phone_number": post.to, "status": "webhook_delivered"}],
               "media": [{"url": part.url, "content_type": part.type} for part in post.parts]}  # fmt: skip
    body = json.dumps({"data": {"event_type": "message.received", "payload": payload}}).encode()
    stamp = str(int(time.time()))
    signature = base64.b64encode(_telnyx_keys[keys["publicKey"]].sign(f"{stamp}|".encode() + body)).decode()
    return body, JSON | {"Telnyx-Timestamp": stamp, "Telnyx-Signature-Ed25519": signature}


def _plivo(keys: dict[str, str], post: Post) -> Signed:
    form = {"MessageUUID": post.id, "From": post.sender[1:], "To": post.to[1:], "Text": post.text}
    form |= {f"Media{i}": part.url for i, part in enumerate(post.parts, 1)}
    return sign_plivo(keys, post.url, form)


def sign_plivo(keys: dict[str, str], url: str, form: dict[str, str]) -> Signed:
    """A form as Plivo posts it to a URL with one parameter or none."""
    said = url + ("." if "?" in url else "?") + "".join(f"{name}{form[name]}" for name in sorted(form)) + ".nonce-1"
    mac = hmac.digest(keys["authToken"].encode(), said.encode(), "sha256")
    signature = {"X-Plivo-Signature-V3": base64.b64encode(mac).decode(), "X-Plivo-Signature-V3-Nonce": "nonce-1"}
    return urlencode(form).encode(), FORM | signature


def _bandwidth(keys: dict[str, str], post: Post) -> Signed:
    message = {"id": post.id, "owner": post.to, "from": post.sender, "text": post.text,
               "media": [part.url for part in post.parts]}  # fmt: skip
    pair = f"{keys['callbackUsername']}:{keys['callbackPassword']}".encode()
    body = [{"type": "message-received", "to": post.to, "message": message}]
    return json.dumps(body).encode(), JSON | {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}


def _sinch(keys: dict[str, str], post: Post) -> Signed:
    media = [{"url": part.url, "content_type": part.type, "status": "Uploaded"} for part in post.parts]
    content: Any = {"message": post.text, "media": media} if media else post.text
    said = {"type": "mo_media" if media else "mo_text", "id": post.id, "from": post.sender[1:], "to": post.to[1:],
            "body": content}  # fmt: skip
    return sign_sinch(keys, said)


def sign_sinch(keys: dict[str, str], said: Data) -> Signed:
    body, stamp = json.dumps(said).encode(), str(int(time.time()))
    mac = hmac.digest(keys["webhookSecret"].encode(), body + f".nonce.{stamp}".encode(), "sha256")
    name = "x-sinch-webhook-signature"
    headers = {name: base64.b64encode(mac).decode(), f"{name}-nonce": "nonce", f"{name}-timestamp": stamp,
               f"{name}-algorithm": "HmacSHA256"}  # fmt: skip
    return body, JSON | headers


def _simulator(keys: dict[str, str], post: Post) -> Signed:
    media = [{"url": part.url, "contentType": part.type} for part in post.parts]
    said = {"type": "inbound", "id": post.id, "from": post.sender, "to": post.to, "text": post.text, "media": media}
    signed = sign_webhook(keys["secret"], post.url, said)
    return signed["content"], signed["headers"]


SIGN: dict[str, Callable[[dict[str, str], Post], Signed]] = {
    "twilio": _twilio, "vonage": _vonage, "telnyx": _telnyx, "plivo": _plivo, "bandwidth": _bandwidth,
    "sinch": _sinch, "simulator": _simulator,
}  # fmt: skip


async def post_text(
    tenant: Tenant, account: Data, keys: dict[str, str], sender: str, to: str, text: str, *parts: Part
) -> httpx.Response:
    """Posts a text to the account's inbound webhook, signed with `keys`."""
    url = account["webhooks"]["inbound"]
    post = Post(url, sender, to, text, parts, f"in-{sender}-{next(_ids)}")
    body, headers = SIGN[account["provider"]](keys, post)
    return await tenant.http.post(url, content=body, headers=headers)


async def open_line(tenant: Tenant, provider: str, **given: Any) -> tuple[Data, dict[str, str], str]:
    """An account with a number: the account, its credentials and the number."""
    keys = make_credentials(provider)
    body = {"provider": provider, "name": provider, "credentials": keys} | given
    account = await tenant.call("POST", "/provider-accounts", body)
    number = await tenant.number(providerAccountId=account["accountId"])
    return account, keys, number["phoneNumber"]
