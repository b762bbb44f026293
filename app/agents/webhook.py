"""An agent's webhook: the signed request, and what its answer means.

Signature: Standard Webhooks (https://www.standardwebhooks.com), HMAC-SHA256 over
"{id}.{timestamp}.{body}" with the base64 part of a `whsec_` secret.
"""

import base64
import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Literal

import httpx

from app.domain.orders import readable
from app.domain.problems import Invalid

KEPT_ANSWER = 4096


@dataclass(frozen=True, slots=True)
class Replies:
    """The agent answered inline. No texts: it declined."""

    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Handoff:
    """The agent wants a person."""

    reason: str


@dataclass(frozen=True, slots=True)
class Silent:
    """Accepted; the reply may follow by the API. `refused`: an inline text that may not go."""

    refused: tuple[str, ...] = ()
    why: str | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """Anything but a 2xx; `retry_after` in seconds is the endpoint's wish."""

    why: str
    retry_after: float | None = None


Answer = Replies | Handoff | Silent | Failed


def sign(secrets: Sequence[str], turn_id: str, at: datetime, body: bytes) -> dict[str, str]:
    """The three headers; one signature by each live secret."""
    stamp = str(int(at.timestamp()))
    signed = f"{turn_id}.{stamp}.".encode() + body
    signatures = [
        base64.b64encode(hmac.digest(_key(secret), signed, "sha256")).decode() for secret in secrets
    ]
    return {
        "webhook-id": turn_id,
        "webhook-timestamp": stamp,
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }


def _key(secret: str) -> bytes:
    return base64.b64decode(secret.removeprefix("whsec_"))


def request(
    url: str,
    secrets: Sequence[str],
    turn_id: str,
    at: datetime,
    body: bytes,
    kind: str | None = None,
) -> httpx.Request:
    """`kind` says that it is a replay, a shadow or a test, whose answer is only kept."""
    headers = {
        "content-type": "application/json",
        "user-agent": "LeadSail-SMS",
        **sign(secrets, turn_id, at, body),
        **({"webhook-kind": kind} if kind else {}),
    }
    return httpx.Request("POST", _parsed(url), headers=headers, content=body)


@lru_cache(maxsize=1024)
def _parsed(url: str) -> httpx.URL:
    """Parsing costs more than the rest of a request, and agents have few addresses."""
    return httpx.URL(url)


def read(response: httpx.Response) -> Answer:
    """What an answer means. A 2xx that is not understood is silent: the agent has the turn."""
    if not response.is_success:
        return Failed(f"HTTP {response.status_code}", _retry_after(response))
    try:
        said = json.loads(response.content) if response.content.strip() else None
    except (ValueError, RecursionError):
        return Silent()
    return _understand(said) if isinstance(said, dict) else Silent()


Meaning = Literal["replied", "declined", "handed_off", "failed", "awaiting_reply"]


def meaning(answer: Answer) -> tuple[Meaning, str | None, tuple[str, ...] | None]:
    """State, reason and texts of a turn that was answered so."""
    match answer:
        case Replies(texts):
            return ("replied" if texts else "declined"), None, texts
        case Handoff(reason):
            return "handed_off", reason, None
        case Failed(why):
            return "failed", why, None
        case Silent():
            return "awaiting_reply", None, None


def _understand(said: dict[str, Any]) -> Answer:
    if said.get("handoff") is True:
        reason = said.get("reason")
        return Handoff(reason[:500] if isinstance(reason, str) and reason else "no reason given")
    if "reply" in said:
        replies = [said["reply"]] if said["reply"] is not None else None
    else:
        replies = said.get("replies")
    if not isinstance(replies, list):
        return Silent()
    if not all(isinstance(text, str) for text in replies):
        return Silent(why="reply: must be text")
    try:
        return Replies(tuple(readable(_clean(text), "reply") for text in replies))
    except Invalid as problem:
        return Silent(refused=tuple(replies), why=problem.details[0])


def _clean(text: str) -> str:
    """As a database and a carrier can take it: no NUL, no lone surrogate."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode()


def _retry_after(response: httpx.Response) -> float | None:
    given = response.headers.get("retry-after", "")
    return float(given) if given.isdecimal() and len(given) < 8 else None


def kept(response: httpx.Response) -> str:
    """The part of an answer that is recorded."""
    return _clean(response.content[:KEPT_ANSWER].decode("utf-8", "replace"))
