"""Signatures of webhooks, as in Standard Webhooks."""

import base64
import binascii
import hmac
import time
from collections.abc import Mapping, Sequence

from leadsail.errors import InvalidSignature

TOLERANCE_SECONDS = 300


def verify(
    secrets: str | Sequence[str],
    headers: Mapping[str, str],
    body: bytes,
    tolerance: float = TOLERANCE_SECONDS,
    now: float | None = None,
) -> None:
    """Raises `InvalidSignature` unless one of the secrets (`whsec_…`) signed the body, and lately.

    `body`: the bytes as they came. Parsed and written anew they are others."""
    given = {name.lower(): value for name, value in headers.items()}
    webhook_id, sent_at = given.get("webhook-id", ""), given.get("webhook-timestamp", "")
    if not (sent_at.isascii() and sent_at.isdecimal() and len(sent_at) <= 12):
        raise InvalidSignature("the header webhook-timestamp is missing, or no time")
    if abs((time.time() if now is None else now) - int(sent_at)) > tolerance:
        raise InvalidSignature("the webhook is too old, or this machine's clock is wrong")
    signatures = [signature.encode() for signature in given.get("webhook-signature", "").split()]
    for secret in [secrets] if isinstance(secrets, str) else secrets:
        expected = sign(secret, webhook_id, int(sent_at), body).encode()
        if any(hmac.compare_digest(expected, signature) for signature in signatures):
            return
    raise InvalidSignature("the header webhook-signature does not fit the body and the secret")


def sign(secret: str, webhook_id: str, sent_at: int, body: bytes) -> str:
    """Returns the signature that `verify` expects: for tests of your own endpoint."""
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        raise ValueError("the secret must be whsec_ and base64") from None
    digest = hmac.digest(key, f"{webhook_id}.{sent_at}.".encode() + body, "sha256")
    return f"v1,{base64.b64encode(digest).decode()}"
