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

from app.domain.orders import require_sendable
from app.domain.problems import Invalid
from app.domain.turns import MOST_TEXTS

MAX_RECORDED_ANSWER = 4096
FORMS = ("reply", "replies", "handoff")
"""What an answer may hold; one of them at least, or nothing at all."""
JSON_WORDS = {
    list: "a list",
    str: "text",
    int: "a number",
    float: "a number",
    bool: "true or false",
}


@dataclass(frozen=True, slots=True)
class Taken:
    """A 2xx: the agent has the turn. Where it says nothing, a reply may follow by the API."""

    texts: tuple[str, ...] | None = None
    """The inline reply; none at all: it declined."""
    handoff: str | None = None
    """Why it wants a person."""
    refused: tuple[str, ...] = ()
    """Inline texts that may not go."""
    why: str | None = None
    """What is wrong with the answer."""


@dataclass(frozen=True, slots=True)
class Failed:
    """Anything but a 2xx; `retry_after` in seconds is the endpoint's wish."""

    why: str
    retry_after: float | None = None


Answer = Taken | Failed


def sign(secrets: Sequence[str], turn_id: str, at: datetime, body: bytes) -> dict[str, str]:
    """The three headers; one signature by each live secret."""
    stamp = str(int(at.timestamp()))
    signed_content = f"{turn_id}.{stamp}.".encode() + body
    signatures = [
        base64.b64encode(hmac.digest(_decode_secret(secret), signed_content, "sha256")).decode() for secret in secrets
    ]
    return {
        "webhook-id": turn_id,
        "webhook-timestamp": stamp,
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }


def _decode_secret(secret: str) -> bytes:
    return base64.b64decode(secret.removeprefix("whsec_"))


def build_request(
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
    return httpx.Request("POST", _parse_url(url), headers=headers, content=body)


@lru_cache(maxsize=1024)
def _parse_url(url: str) -> httpx.URL:
    """Parsing costs more than the rest of a request, and agents have few addresses."""
    return httpx.URL(url)


def read_answer(response: httpx.Response) -> Answer:
    """What an answer means. A 2xx that is not understood says what is wrong with it, and the
    agent has the turn all the same."""
    if not response.is_success:
        return Failed(f"HTTP {response.status_code}", _read_retry_after(response))
    if not response.content.strip():
        return Taken()
    try:
        answer = json.loads(response.content)
    except (ValueError, RecursionError):
        return Taken(why="the answer is not JSON")
    if answer is None:
        return Taken()
    if not isinstance(answer, dict):
        return Taken(why=f"the answer is {JSON_WORDS[type(answer)]}, and must be an object")
    return _parse_answer({key: value for key, value in answer.items() if value is not None})


State = Literal["replied", "declined", "handed_off", "failed", "awaiting_reply"]
TurnOutcome = tuple[State, str | None, tuple[str, ...] | None, tuple[str, ...], str | None]


def to_turn_outcome(answer: Answer) -> TurnOutcome:
    """State, reason and texts of a turn that was answered so; the texts that may not go, and
    what is wrong with the answer."""
    if isinstance(answer, Failed):
        return "failed", answer.why, None, (), None
    texts, beside = answer.texts, (answer.refused, answer.why)
    if answer.handoff:
        return "handed_off", answer.handoff, texts or None, *beside
    if texts is None:
        return "awaiting_reply", None, None, *beside
    return ("replied" if texts else "declined"), None, texts, *beside


def outcome(answer: Answer) -> str:
    """What came of a hand-over, in a word for the figures."""
    if isinstance(answer, Failed):
        return "failed"
    if answer.handoff:
        return "handoff"
    if answer.texts is not None:
        return "replies"
    return "unclear" if answer.why else "silent"


def _parse_answer(answer: dict[str, Any]) -> Taken:
    """`said` without what is null: to typed clients that is the same as absent."""
    if not answer:
        return Taken()
    texts, refused, wrong = _reply(answer)
    wish = answer.get("handoff", False)
    if not isinstance(wish, bool):
        wrong.append("handoff: must be true or false")
    elif answer.keys().isdisjoint(FORMS):
        known, given = (
            ", ".join(FORMS),
            ", ".join(sorted(_clean_text(key)[:40] for key in answer)[:5]),
        )
        wrong.append(f"the answer holds none of {known}, but {given}")
    handoff = _reason(answer.get("reason")) if wish is True else None
    return Taken(texts, handoff, refused, "; ".join(wrong) or None)


def _reply(said: dict[str, Any]) -> tuple[tuple[str, ...] | None, tuple[str, ...], list[str]]:
    """The texts in their order, `reply` before `replies`; or, as they go together or not at all,
    those that may not go, and what is wrong with them."""
    if "reply" not in said and "replies" not in said:
        return None, (), []
    given = [("reply", said["reply"])] if "reply" in said else []
    listed = said.get("replies", [])
    if isinstance(listed, list):
        given += [(f"replies[{i}]", text) for i, text in enumerate(listed)]
    texts = tuple(_clean_text(text) for _, text in given if isinstance(text, str))
    if wrong := _wrong(given, listed):
        return None, texts, [wrong]
    return texts, (), []


def _wrong(given: Sequence[tuple[str, Any]], listed: object) -> str | None:
    """Why the texts may not go; None: they may."""
    if not isinstance(listed, list):
        return "replies: must be a list of texts"
    if len(given) > MOST_TEXTS:
        return f"replies: are more than {MOST_TEXTS} texts"
    for name, text in given:
        if not isinstance(text, str):
            return f"{name}: must be text"
        try:
            require_sendable(_clean_text(text), name)
        except Invalid as problem:
            return problem.details[0]
    return None


def _reason(given: Any) -> str:
    reason = _clean_text(given)[:500].strip() if isinstance(given, str) else ""
    return reason or "no reason given"


def _clean_text(text: str) -> str:
    """As a database and a carrier can take it: no NUL, no lone surrogate."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode()


def _read_retry_after(response: httpx.Response) -> float | None:
    header = response.headers.get("retry-after", "")
    return float(header) if header.isdecimal() and len(header) < 8 else None


def clip_answer(response: httpx.Response) -> str:
    """The part of an answer that is recorded."""
    return _clean_text(response.content[:MAX_RECORDED_ANSWER].decode("utf-8", "replace"))
