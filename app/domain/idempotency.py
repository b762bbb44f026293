"""The `Idempotency-Key` of a request: it tells whether a request repeats an earlier one."""

import json
from dataclasses import dataclass
from hashlib import sha256
from typing import Any


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """A key, the route on which it counts, and the digest of the request's body."""

    route: str
    key: str
    digest: bytes


class ReplayedAnswer(Exception):
    """Raised for a repeated request, with the first answer, before anything is done again."""

    def __init__(self, status: int, answer: dict[str, Any]) -> None:
        self.status = status
        self.data: dict[str, Any] = answer["data"]


def digest_body(body: bytes) -> bytes:
    """Digests the parsed JSON body: the order of fields and white space do not count. A body that is no JSON is one
    that the route does not read; it is digested as it came."""
    try:
        parsed_body = json.loads(body) if body else None
        return sha256(json.dumps(parsed_body, sort_keys=True).encode()).digest()
    except (ValueError, RecursionError):
        return sha256(body).digest()
