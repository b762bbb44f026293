"""What the carriers' signed webhooks share: HMACs, and how old a signature may be."""

import base64
import hmac
import re
from collections.abc import Iterable
from datetime import datetime, timedelta

from app.domain.problems import Unavailable

TIMESTAMP = re.compile(r"[0-9]{1,12}")
"""Seconds since 1970, as a header or a parameter holds them."""
MAX_CLOCK_LEAD = timedelta(minutes=5)


def sign_base64(key: str, content: bytes, digest: str = "sha256") -> bytes:
    """The HMAC of `content`, in base64."""
    return base64.b64encode(hmac.digest(key.encode(), content, digest))


def is_expected(signature: str, expected_signatures: Iterable[bytes]) -> bool:
    """Whether a header's signature is one of the expected ones."""
    signature_bytes = signature.encode("latin-1", "replace")
    return any(hmac.compare_digest(expected_signature, signature_bytes) for expected_signature in expected_signatures)


def is_recent(stamp: str, now: datetime, max_age: timedelta) -> bool:
    """Whether `stamp` is a time at most `max_age` before or after `now`."""
    return bool(TIMESTAMP.fullmatch(stamp)) and abs(now.timestamp() - int(stamp)) <= max_age.total_seconds()


def require_fresh(at: object, now: datetime, max_age: timedelta) -> None:
    """Raises `Unavailable` for an age that no clock error and no repetition explains. If it is the
    carrier's webhook all the same, a 5xx makes the carrier repeat it; after a 4xx the text would be
    lost."""
    earliest, latest = (now - max_age).timestamp(), (now + MAX_CLOCK_LEAD).timestamp()
    if not (isinstance(at, int | float) and earliest <= at <= latest):
        raise Unavailable("The webhook's signature is not of today.")
