"""What makes a request the same as an earlier one: its `Idempotency-Key` (contract 2)."""

import json
from dataclasses import dataclass
from hashlib import sha256
from typing import Any


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """A key, the route it counts for, and the digest of the request's body."""

    route: str
    key: str
    digest: bytes


class ReplayedAnswer(Exception):
    """The first answer to a request, which ends its repeat before that does anything again."""

    def __init__(self, status: int, answer: dict[str, Any]) -> None:
        self.status = status
        self.data: dict[str, Any] = answer["data"]


def digest_body(body: bytes) -> bytes:
    """Of the parsed body: order and white space do not make another request."""
    parsed_body = json.loads(body) if body else None
    return sha256(json.dumps(parsed_body, sort_keys=True).encode()).digest()
