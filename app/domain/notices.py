"""Notices: what people ask to be told, and in which words.

A notice names ids, a lead's first name, the name of an agent or account, and a reason. It never has the
words of a text, nor a phone: e-mail and chat are other people's servers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Literal, get_args

from app.domain.words import PersonRole

NoticeKind = Literal["needs_person", "mention", "agent_down", "account_failing"]
NOTICE_KINDS: tuple[NoticeKind, ...] = get_args(NoticeKind)
NoticeWay = Literal["page", "email", "hook"]
"""`hook`: a webhook that takes what Slack's incoming webhooks take."""
SENT_WAYS: tuple[NoticeWay, ...] = ("email", "hook")
NAMES_BY_KIND: dict[NoticeKind, tuple[str, ...]] = {
    "needs_person": ("interaction.needs_person",),
    "mention": ("interaction.mentioned",),
    "agent_down": ("turn.failed", "agent.paused", "agent.resumed", "experiment.stopped"),
    "account_failing": ("account.failing", "account.recovered"),
}
"""The events that each kind tells of."""
NEED_WORDS = {
    "follow_up": "the status is “Follow up”",
    "held_reply": "a reply of the agent is held",
    "possible_optout": "a text may be an opt-out",
    "failed_text": "a text did not arrive",
}
STATE_WORDS = {
    "turn.failed": "The agent {name} could not be reached",
    "agent.paused": "The agent {name} is paused",
    "agent.resumed": "The agent {name} goes on",
    "experiment.stopped": "The A/B test of the agent {name} has stopped",
    "account.failing": "The carrier refuses the account {name}; its texts wait",
    "account.recovered": "The carrier takes texts of the account {name} again",
}
TEST_WORDS = "This is a test: notices reach you here."
MAX_LINES = 20
"""Lines of one digest."""
DIGEST_EVERY = timedelta(minutes=1)
RETRIES = (timedelta(minutes=1), timedelta(minutes=5), timedelta(minutes=15), timedelta(hours=1))
"""After failures in a row; then the last one again and again."""


@dataclass(frozen=True, slots=True)
class NotedEvent:
    """An event that somebody is to be told. `name` is the event's; `subject_name` a lead's first name, or
    the name of an agent or account, as it is now."""

    transaction: Annotated[int, "bigint"]
    event_id: Annotated[int, "bigint"]
    name: str
    subject_id: str
    subject_name: str | None
    reason: str | None
    at: datetime
    is_new: bool
    """The person was not told of it yet, or has not seen it on the page."""


@dataclass(frozen=True, slots=True)
class Notice:
    """One line. `path`: the page that it is about; None: the person may not open it."""

    words: str
    path: str | None
    at: datetime
    event: NotedEvent


def build_notices(events: Sequence[NotedEvent], role: PersonRole) -> list[Notice]:
    """One notice for each thread, agent, account and agent's A/B test: its newest event. The newest notice
    comes first."""
    newest = {
        (_kind_of(event.name), event.name == "experiment.stopped", event.subject_id): event
        for event in sorted(events, key=_place_of)
    }
    return [
        Notice(_describe(event), _find_path(event, role), event.at, event)
        for event in sorted(newest.values(), key=_place_of, reverse=True)
    ]


def list_lines(notices: Sequence[Notice], base_url: str) -> list[str]:
    """The lines of a digest."""
    lines = [
        f"{notice.words}. {base_url}{notice.path}" if notice.path else f"{notice.words}."
        for notice in notices[:MAX_LINES]
    ]
    if len(notices) > MAX_LINES:
        lines.append(f"And {len(notices) - MAX_LINES} more. {base_url}/conversations")
    return lines


def get_retry(attempt: int) -> timedelta:
    """The wait after the failed `attempt`, which counts from 1."""
    return RETRIES[min(attempt, len(RETRIES)) - 1]


def _place_of(event: NotedEvent) -> tuple[int, int]:
    return event.transaction, event.event_id


def _kind_of(name: str) -> NoticeKind:
    return next(kind for kind, names in NAMES_BY_KIND.items() if name in names)


def _describe(event: NotedEvent) -> str:
    if event.name == "interaction.needs_person":
        reason = NEED_WORDS.get(event.reason or "", event.reason or "look at the thread")
        return f"{_clean(event.subject_name) or 'A lead'} needs a person: {reason}"
    if event.name == "interaction.mentioned":
        return f"A colleague mentions you in the conversation with {_clean(event.subject_name) or 'a lead'}"
    name = _clean(event.subject_name)
    return STATE_WORDS[event.name].format(name=f"“{name}”" if name else event.subject_id)


def _clean(name: str | None) -> str:
    """The name on one line: it goes into messages that are made of lines."""
    return " ".join((name or "").split())


def _find_path(event: NotedEvent, role: PersonRole) -> str | None:
    match _kind_of(event.name):
        case "needs_person" | "mention":
            return f"/conversations/{event.subject_id}"
        case "agent_down" if role == "admin":
            return f"/settings/agents/{event.subject_id}"
        case "account_failing" if role == "admin":
            return f"/settings/accounts/{event.subject_id}"
    return None
