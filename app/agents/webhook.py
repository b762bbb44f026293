"""An agent's webhook: the signed request, and what its answer means.

Signature: Standard Webhooks (https://www.standardwebhooks.com), HMAC-SHA256 over
"{id}.{timestamp}.{body}" with the base64 part of a `whsec_` secret.
"""

import base64
import contextlib
import hmac
import json
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import httpx

from app.domain.follow_ups import parse_moment
from app.domain.media import MAX_FILES, MAX_URL_LENGTH, is_media_url
from app.domain.orders import require_sendable
from app.domain.outcomes import OUTCOME_FIELDS, Outcome, parse_outcome
from app.domain.problems import Invalid
from app.domain.retry_after import read_retry_after
from app.domain.storable import clean_text
from app.domain.turns import MAX_TEXTS_PER_REPLY, TurnState

MAX_RECORDED_ANSWER = 4096
MAX_ANSWER_BYTES = 65_536
MAX_OUTCOME_DEPTH = 5
"""An outcome has three levels. What a wrong one has below this depth is not recorded."""
ZLIB_OR_GZIP = 47
"""The `wbits` with which zlib reads gzip and deflate."""
FORMS = ("reply", "replies", "handoff", *OUTCOME_FIELDS)
"""The fields of an answer. An answer that is not empty has at least one of them, or `followUpAt`."""
NO_REPLY_FAULT = "mediaUrls: need a reply that they go with"
JSON_WORDS = {
    list: "a list",
    str: "text",
    int: "a number",
    float: "a number",
    bool: "true or false",
}


@dataclass(frozen=True, slots=True)
class TakenTurn:
    """A 2xx: the agent has the turn. If `texts` is None, a reply may follow by the API."""

    texts: tuple[str, ...] | None = None
    """The inline reply; () means that the agent declined."""
    handoff: str | None = None
    """Why the agent wants a person to take over."""
    refused: tuple[str, ...] = ()
    """Inline texts that may not be sent."""
    why: str | None = None
    """What is wrong with the answer."""
    outcome: Outcome | None = None
    """What the conversation came to."""
    wrong_outcome: tuple[dict[str, Any], str] | None = None
    """An outcome that cannot be understood, and why."""
    media: tuple[str, ...] = ()
    """Addresses of pictures and files that go with the first text."""
    gives_reply: bool = field(default=False, compare=False)
    """The answer has a reply, though maybe one that may not be sent."""
    follow_up_at: datetime | None = None
    """When the agent wants a turn although the lead stays silent."""


@dataclass(frozen=True, slots=True)
class FailedPost:
    """Anything but a 2xx. `retry_after` is the endpoint's Retry-After, in seconds."""

    why: str
    retry_after: float | None = None


Answer = TakenTurn | FailedPost


def sign(secrets: Sequence[str], turn_id: str, at: datetime, body: bytes) -> dict[str, str]:
    """The three headers of Standard Webhooks, with one signature for each valid secret."""
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
    url: str, secrets: Sequence[str], turn_id: str, at: datetime, body: bytes, kind: str | None = None
) -> httpx.Request:
    """The signed POST, which goes on our trace, if there is one. `kind` marks a dry turn (replay, shadow
    or test): its answer is stored, and nothing is sent to the lead."""
    headers = {
        "content-type": "application/json",
        "user-agent": "LeadSail-SMS",
        **sign(secrets, turn_id, at, body),
        **({"webhook-kind": kind} if kind else {}),
    }
    return httpx.Request("POST", _parse_url(url), headers=headers, content=body, extensions={"traced": True})


@lru_cache(maxsize=1024)
def _parse_url(url: str) -> httpx.URL:
    """Cached: parsing takes longer than building the rest of the request, and agents have few
    URLs."""
    return httpx.URL(url)


def decompress(response: httpx.Response) -> httpx.Response:
    """The response with its body as it was before compression, of at most `MAX_ANSWER_BYTES`. We ask
    for no compression, but some servers compress all the same. `extensions["unread_encoding"]` names a
    compression that cannot be undone."""
    encoding = response.extensions.get("encoding", "")
    if encoding in ("", "identity") or not response.content:
        return response
    extensions = {**response.extensions, "unread_encoding": encoding}
    content = response.content
    if encoding in ("gzip", "x-gzip", "deflate"):
        with contextlib.suppress(zlib.error):
            content = zlib.decompressobj(ZLIB_OR_GZIP).decompress(content, MAX_ANSWER_BYTES + 1)
            is_truncated = extensions["truncated"] or len(content) > MAX_ANSWER_BYTES
            extensions |= {"unread_encoding": None, "truncated": is_truncated}
    return httpx.Response(
        response.status_code, headers=response.headers, content=content[:MAX_ANSWER_BYTES], extensions=extensions
    )


def find_unread(response: httpx.Response) -> str | None:
    """Why the body cannot be read although it came; None: it can. After `decompress`."""
    encoding = response.extensions.get("unread_encoding")
    return f"the answer is compressed as {clean_text(encoding)[:40]}, which cannot be read" if encoding else None


def read_answer(response: httpx.Response, now: datetime | None = None) -> Answer:
    """What an answer that came `now` means. After a 2xx the agent has the turn, even if the body is
    wrong; then `why` says what is wrong with it."""
    if not response.is_success:
        return FailedPost(f"HTTP {response.status_code}", read_retry_after(response.headers, now or datetime.now(UTC)))
    if response.extensions.get("truncated"):
        return TakenTurn(why="the answer is longer than 64 KiB")
    if not response.content.strip():
        return TakenTurn()
    if fault := find_unread(response):
        return TakenTurn(why=fault)
    try:
        answer = json.loads(response.content)
    except (ValueError, RecursionError):
        return TakenTurn(why="the answer is not JSON")
    if answer is None:
        return TakenTurn()
    if not isinstance(answer, dict):
        return TakenTurn(why=f"the answer is {JSON_WORDS[type(answer)]}, and must be an object")
    return _parse_answer({key: value for key, value in answer.items() if value is not None})


TurnOutcome = tuple[
    TurnState,
    str | None,
    tuple[str, ...] | None,
    tuple[str, ...],
    str | None,
    Outcome | None,
    tuple[dict[str, Any], str] | None,
]


def to_turn_outcome(answer: Answer) -> TurnOutcome:
    """The turn's state, its reason and its texts; the texts that may not be sent, and what is
    wrong with the answer; the outcome, and one that cannot be understood."""
    if isinstance(answer, FailedPost):
        return "failed", answer.why, None, (), None, None, None
    texts, beside = answer.texts, (answer.refused, answer.why, answer.outcome, answer.wrong_outcome)
    if answer.handoff:
        return "handed_off", answer.handoff, texts or None, *beside
    if texts is None:
        return "awaiting_reply", None, None, *beside
    return ("replied" if texts else "declined"), None, texts, *beside


def outcome(answer: Answer) -> str:
    """The outcome of a hand-over as a label for the metrics."""
    if isinstance(answer, FailedPost):
        return "failed"
    if answer.handoff:
        return "handoff"
    if answer.texts is not None:
        return "replies"
    if answer.outcome:
        return "outcome"
    return "unclear" if answer.why or answer.wrong_outcome else "silent"


def _parse_answer(answer: dict[str, Any]) -> TakenTurn:
    """`answer` has no nulls: a typed client writes null for a field that is absent."""
    if not answer:
        return TakenTurn()
    texts, refused_texts, faults = _parse_reply(answer)
    media = tuple(clean_text(url) for url in answer.get("mediaUrls", ())) if texts else ()
    handoff_flag = answer.get("handoff", False)
    if not isinstance(handoff_flag, bool):
        faults.append("handoff: must be true or false")
    elif answer.keys().isdisjoint((*FORMS, "followUpAt")):
        given_fields = ", ".join(sorted(clean_text(key)[:40] for key in answer)[:5])
        faults.append(f"the answer holds none of {', '.join(FORMS)}, but {given_fields}")
    handoff = parse_reason(answer.get("reason")) if handoff_flag is True else None
    outcome, wrong_outcome = _parse_outcome(answer)
    gives_reply = "reply" in answer or "replies" in answer
    follow_up_at = parse_moment(answer["followUpAt"]) if "followUpAt" in answer else None
    if isinstance(follow_up_at, str):
        faults.append(follow_up_at)
        follow_up_at = None
    if follow_up_at and answer.keys().isdisjoint(FORMS):
        texts = ()  # nothing to say before that
    why = "; ".join(faults) or None
    return TakenTurn(texts, handoff, refused_texts, why, outcome, wrong_outcome, media, gives_reply, follow_up_at)


def _parse_outcome(answer: dict[str, Any]) -> tuple[Outcome | None, tuple[dict[str, Any], str] | None]:
    """The outcome, or one that cannot be understood with its faults."""
    given_fields = {name: _clean(answer[name]) for name in OUTCOME_FIELDS if name in answer}
    outcome, faults = parse_outcome(given_fields)
    if faults:
        return None, (given_fields, "; ".join(faults))
    return outcome or None, None


def _parse_reply(answer: dict[str, Any]) -> tuple[tuple[str, ...] | None, tuple[str, ...], list[str]]:
    """The texts to send, `reply` before `replies`; the refused texts, and why. All texts are sent
    or none of them."""
    if "reply" not in answer and "replies" not in answer:
        return None, (), [NO_REPLY_FAULT] if answer.get("mediaUrls") else []
    items = [("reply", answer["reply"])] if "reply" in answer else []
    replies = answer.get("replies", [])
    if isinstance(replies, list):
        items += [(f"replies[{i}]", text) for i, text in enumerate(replies)]
    texts = tuple(clean_text(text) for _, text in items if isinstance(text, str))
    if fault := _find_fault(items, replies) or _find_media_fault(answer.get("mediaUrls", []), bool(items)):
        return None, texts, [fault]
    return texts, (), []


def _find_media_fault(urls: object, has_texts: bool) -> str | None:
    """Why the files may not be sent; None if they may."""
    if not isinstance(urls, list):
        return "mediaUrls: must be a list of addresses"
    if not has_texts and urls:
        return NO_REPLY_FAULT
    if len(urls) > MAX_FILES:
        return f"mediaUrls: more than {MAX_FILES}"
    if not all(isinstance(url, str) and is_media_url(clean_text(url)) for url in urls):
        return f"mediaUrls: must be http or https addresses of at most {MAX_URL_LENGTH} characters"
    return None


def _find_fault(items: Sequence[tuple[str, Any]], replies: object) -> str | None:
    """Why the texts may not be sent; None if they may."""
    if not isinstance(replies, list):
        return "replies: must be a list of texts"
    if len(items) > MAX_TEXTS_PER_REPLY:
        return f"replies: more than {MAX_TEXTS_PER_REPLY} texts"
    for name, text in items:
        if not isinstance(text, str):
            return f"{name}: must be text"
        try:
            require_sendable(clean_text(text), name)
        except Invalid as problem:
            return problem.details[0]
    return None


def parse_reason(value: object) -> str:
    reason = clean_text(value)[:500].strip() if isinstance(value, str) else ""
    return reason or "no reason given"


def _clean(value: Any, depth: int = MAX_OUTCOME_DEPTH) -> Any:
    """A JSON value as a database can store it: its texts as `clean_text` leaves them, NaN and infinity
    as null, no null fields of objects, and nothing below `depth` levels."""
    match value:
        case str():
            return clean_text(value)
        case float() if not math.isfinite(value):
            return None
        case list() | dict() if depth == 0:
            return "…"
        case list():
            return [_clean(item, depth - 1) for item in value]
        case dict():
            return {clean_text(name): _clean(item, depth - 1) for name, item in value.items() if item is not None}
    return value


def clip_answer(response: httpx.Response) -> str:
    """The first `MAX_RECORDED_ANSWER` bytes of an answer, as text: what is recorded."""
    return clean_text(response.content[:MAX_RECORDED_ANSWER].decode("utf-8", "replace"))
