"""What happened between two moments of a conversation, in lines for a person."""

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from app.dev.conversation import Snapshot
from app.domain.outcomes import OUTCOME_FIELDS

Turn = Mapping[str, Any]
NO_TURN: Turn = {
    "state": "collecting",
    "handedOverAt": None,
    "attempts": (),
    "refused": (),
    "outcome": None,
    "held": None,
}
"""What there was of a turn before it was first seen."""
NEW_INTERACTION = {"status": "in_progress", "sms": {"agentMode": True}, "agentState": None}
"""A thread that has just begun, as it is in `dev`."""
ENDINGS = {
    "declined": "the agent has nothing to say",
    "concluded": "the agent gave an outcome and no reply",
    "superseded": "the lead wrote again before the agent replied",
    "expired": "the agent did not reply within ten minutes",
    "handed_off": None,
    "cancelled": None,
    "failed": None,
}
"""How turns end without a reply; None: the turn's own reason says it."""
TOLD_AGENT_STATES = frozenset({"held", "paused", "retrying"})
ANSWER_FIELDS = ("reply", "replies", "handoff", "reason", *OUTCOME_FIELDS)
TOLD_OUTCOME_FIELDS = tuple(name for name in OUTCOME_FIELDS if name != "answers")
MAX_SHOWN_ANSWER = 200
UNAUTHORIZED_STATUSES = frozenset({401, 403})


def describe_changes(before: Snapshot, after: Snapshot) -> Iterator[str]:
    """Yields a line for each thing that happened, in the order in which it did as far as that is known."""
    old_turns = {record["turnId"]: record for record in before.turns}
    for record in after.turns:
        yield from _describe_turn(old_turns.get(record["turnId"], NO_TURN), record)
    if after.interaction:
        yield from _describe_interaction(before.interaction or NEW_INTERACTION, after.interaction)
    yield from _describe_texts(before, after)


def _describe_turn(old: Turn, new: Turn) -> Iterator[str]:
    if new["handedOverAt"] and not old["handedOverAt"]:
        count = len(new["messages"])
        waited = _count_ms(new["openedAt"], new["handedOverAt"])
        yield f"turn: {count} text{'s' * (count != 1)} handed over after {waited:,} ms"
    old_attempts = [attempt for attempt in old["attempts"] if _is_over(attempt)]
    for attempt in [attempt for attempt in new["attempts"] if _is_over(attempt)][len(old_attempts) :]:
        yield from describe_attempt(attempt)
    for entry in new["refused"][len(old["refused"]) :]:
        yield describe_refusal(entry)
    if new["outcome"] and not old["outcome"]:
        yield describe_outcome(new["outcome"])
    if new["held"] and not old["held"]:
        yield "held: the reply came after the lead had written again, and waits for a person"
    if new["state"] != old["state"] and new["state"] in ENDINGS:
        yield f"turn ended: {ENDINGS[new['state']] or new['reason']}"


def _is_over(attempt: Mapping[str, Any]) -> bool:
    return attempt["outcome"] is not None


def _count_ms(start: str, end: str) -> int:
    return round((datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds() * 1000)


def describe_attempt(attempt: Mapping[str, Any]) -> Iterator[str]:
    """Describes one POST to the agent: its status, its time, and what was understood of the answer."""
    status, answer = attempt["httpStatus"], (attempt["answer"] or "").strip()
    duration = f"{attempt['durationMs'] or 0:,} ms"
    if status is None:
        yield f"agent: no answer after {duration}: {answer}"
    elif status in UNAUTHORIZED_STATUSES:
        yield f"agent: HTTP {status} in {duration}: it does not know us; does it have the AGENT_SECRET above?"
    elif not 200 <= status < 300:
        beginning_of_answer = f": {answer[:MAX_SHOWN_ANSWER]}" if answer else ""
        yield f"agent: HTTP {status} in {duration}: not taken{beginning_of_answer}"
    else:
        yield from _describe_answer(f"agent: HTTP {status} in {duration}", answer)


def _describe_answer(beginning: str, answer: str) -> Iterator[str]:
    """What of a 2xx was understood. What is wrong with a whole answer stands in the turn's `refused`."""
    try:
        fields = json.loads(answer or "{}")
    except ValueError:
        fields = None  # no JSON, or too long to be recorded as a whole
    if not isinstance(fields, dict):
        yield beginning
        return
    given_names = [name for name, value in fields.items() if value is not None]
    understood_names = [name for name in given_names if name in ANSWER_FIELDS]
    yield f"{beginning}: {', '.join(understood_names) or 'nothing yet; the reply may follow through the API'}"
    if unknown_names := [name for name in given_names if name not in ANSWER_FIELDS]:
        yield f"not understood: {', '.join(unknown_names)}; an answer may hold {', '.join(ANSWER_FIELDS)}"


def describe_refusal(entry: Mapping[str, Any]) -> str:
    """Describes what was refused of an answer, with the code and the reason."""
    parts = [repr(text) for text in entry.get("texts") or ()]
    if "handoff" in entry:
        parts.append(f"hand-off {entry['handoff']!r}")
    if "outcome" in entry:
        parts.append(f"outcome {entry['outcome']}")
    reason = f" ({entry['detail']})" if entry.get("detail") else ""
    return f"refused: {entry['code']}{reason}{': ' * bool(parts)}{', '.join(parts)}"


def describe_outcome(outcome: Mapping[str, Any]) -> str:
    """Describes what the agent says the conversation came to."""
    parts = [f"{name} {outcome[name]!r}" for name in TOLD_OUTCOME_FIELDS if outcome.get(name)]
    parts += [f"{answer['key']} = {answer['answer']!r}" for answer in outcome.get("answers") or ()]
    return f"outcome: {', '.join(parts)}"


def _describe_texts(before: Snapshot, after: Snapshot) -> Iterator[str]:
    """The texts that reached the lead, each with who wrote it."""
    sources = {entry["message"]: entry["source"] for entry in after.interaction.get("transcript", ())}
    for text in after.received[len(before.received) :]:
        writer = "agent" if sources.get(text, "sms_agent") == "sms_agent" else "service"
        yield f"{writer}> {text}"


def _describe_interaction(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    if new["status"] != old["status"]:
        yield f"status: {old['status']} → {new['status']}"
    if new["sms"]["agentMode"] != old["sms"]["agentMode"]:
        yield f"agent mode: {'on' if new['sms']['agentMode'] else 'off'}"
    state = new["agentState"]
    if state["state"] in TOLD_AGENT_STATES and state != old["agentState"]:
        way_out = "; :release lets the agent go on" if new["awaitsDecision"] else ""
        yield f"agent {state['state']}: {state['reason']}{way_out}"
