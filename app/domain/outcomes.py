"""Outcomes: what an agent says a conversation came to (docs/agents.md, "Outcomes")."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from typing_extensions import TypedDict

from app.domain.problems import DncBlocked, NoOpenTurn, Problem, StaleTurn, TurnCancelled, TurnClosed
from app.domain.turns import NOT_HANDED_OVER_STATES, LaterEvents, TurnState
from app.domain.words import INTERACTION_STATUSES, InteractionStatus

OUTCOME_FIELDS = ("status", "summary", "answers", "leadStatus", "note")
MAX_SUMMARY_LENGTH = 1000
MAX_NOTE_LENGTH = 1000
MAX_ANSWER_LENGTH = 10_000
MAX_ANSWERS = 200
MAX_KEY_LENGTH = 200
MAX_LEAD_STATUS_LENGTH = 64
MAX_ID_LENGTH = 64
VISIBLE_PATTERN = re.compile(r"\S")
ANSWERED_BY_PERSON = "ANSWERED_BY_PERSON"
STATUS_BY_PERSON = "STATUS_BY_PERSON"
By = Literal["api", "inline"]


@dataclass(frozen=True, slots=True)
class GivenAnswer:
    """A lead's answer to a question of the questionnaire."""

    key: str
    answer: str
    message_id: str | None = None
    """The lead's text that contains it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """At least one of the fields is given."""

    status: InteractionStatus | None = None
    summary: str | None = None
    answers: tuple[GivenAnswer, ...] = ()
    lead_status: str | None = None
    note: str | None = None

    def __bool__(self) -> bool:
        return any((self.status, self.summary, self.answers, self.lead_status, self.note))


class RefusedOutcome(TypedDict):
    """An outcome that had no effect, or not all of its effect, and why."""

    turnId: str
    outcome: dict[str, Any]
    """As it was given."""
    code: str
    detail: str
    refusedAt: str


def store_outcome(outcome: Outcome) -> dict[str, Any]:
    """The outcome as it is stored with its turn and shown: JSON without what was not given."""
    all_fields: dict[str, Any] = {
        "status": outcome.status,
        "summary": outcome.summary,
        "answers": [_store_answer(answer) for answer in outcome.answers] or None,
        "leadStatus": outcome.lead_status,
        "note": outcome.note,
    }
    return {name: value for name, value in all_fields.items() if value is not None}


def _store_answer(answer: GivenAnswer) -> dict[str, str]:
    message = {} if answer.message_id is None else {"messageId": answer.message_id}
    return {"key": answer.key, "answer": answer.answer, **message}


def is_same(stored_outcome: Mapping[str, Any] | None, outcome: Outcome) -> bool:
    """Whether the outcome that is stored with a turn is this one."""
    if stored_outcome is None:
        return False
    return {name: value for name, value in stored_outcome.items() if name in OUTCOME_FIELDS} == store_outcome(outcome)


def parse_outcome(fields: Mapping[str, Any]) -> tuple[Outcome, list[str]]:
    """The outcome in an answer without nulls, and what is wrong with it, as `field: words`. A faulty
    outcome has no effect at all."""
    faults: list[str] = []

    def read(name: str, check: Callable[[Any], str | None]) -> Any:
        if name not in fields:
            return None
        if fault := check(fields[name]):
            faults.append(f"{name}: {fault}")
            return None
        return fields[name]

    outcome = Outcome(
        status=read("status", _check_status),
        summary=read("summary", lambda value: _check_text(value, MAX_SUMMARY_LENGTH)),
        answers=_parse_answers(fields.get("answers", []), faults),
        lead_status=read("leadStatus", lambda value: _check_text(value, MAX_LEAD_STATUS_LENGTH)),
        note=read("note", lambda value: _check_text(value, MAX_NOTE_LENGTH)),
    )
    return outcome, faults


def _check_status(value: Any) -> str | None:
    if isinstance(value, str) and value in INTERACTION_STATUSES:
        return None
    return f"must be one of {', '.join(INTERACTION_STATUSES)}"


def _check_text(value: Any, max_length: int) -> str | None:
    if not isinstance(value, str):
        return "must be text"
    if not VISIBLE_PATTERN.search(value):
        return "must not be blank"
    return f"must have at most {max_length} characters" if len(value) > max_length else None


def _parse_answers(value: Any, faults: list[str]) -> tuple[GivenAnswer, ...]:
    if not isinstance(value, list):
        faults.append("answers: must be a list")
        return ()
    if len(value) > MAX_ANSWERS:
        faults.append(f"answers: must be at most {MAX_ANSWERS}")
        return ()
    answers = [_parse_answer(i, item, faults) for i, item in enumerate(value)]
    return tuple(answer for answer in answers if answer)


def _parse_answer(i: int, item: Any, faults: list[str]) -> GivenAnswer | None:
    if not isinstance(item, dict):
        faults.append(f"answers[{i}]: must be an object")
        return None
    checks = (("key", MAX_KEY_LENGTH), ("answer", MAX_ANSWER_LENGTH), ("messageId", MAX_ID_LENGTH))
    own_faults = [
        f"answers[{i}].{name}: {fault}"
        for name, max_length in checks
        if name != "messageId" or item.get(name) is not None
        if (fault := _check_text(item.get(name), max_length))
    ]
    own_faults += [f"answers[{i}].{name}: is not a known field" for name in sorted(item.keys() - dict(checks))]
    faults += own_faults
    return None if own_faults else GivenAnswer(item["key"], item["answer"], item.get("messageId"))


def find_unknown(outcome: Outcome, keys: Sequence[str], message_ids: Sequence[str]) -> list[str]:
    """What is wrong with the outcome's answers, given the keys of the questionnaire and those of the
    named texts that the lead wrote in the thread."""
    faults: list[str] = []
    seen_keys: set[str] = set()
    for i, answer in enumerate(outcome.answers):
        if answer.key not in keys:
            faults.append(f"answers[{i}].key: {answer.key} is not in the questionnaire")
        if answer.key in seen_keys:
            faults.append(f"answers[{i}].key: {answer.key} is given twice")
        if answer.message_id is not None and answer.message_id not in message_ids:
            faults.append(f"answers[{i}].messageId: is no text of the lead in this thread")
        seen_keys.add(answer.key)
    return faults


def leave_out_answers(outcome: Outcome, keys: Sequence[str]) -> Outcome:
    return replace(outcome, answers=tuple(answer for answer in outcome.answers if answer.key not in keys))


def check_outcome(
    state: TurnState,
    reason: str | None,
    later_events: LaterEvents,
    *,
    is_suppressed: bool,
    has_outcome: bool,
    has_handed_off: bool,
) -> Problem | None:
    """Why the outcome of a live turn has no effect; None: it has. In the order of `check_reply`. An
    answered turn may still get its outcome, until the next turn is handed over."""
    if is_suppressed:
        return DncBlocked(details=["outcome: the phone may not be texted"])
    if state == "cancelled":
        return TurnCancelled(details=[f"outcome: {reason}"])
    if state in NOT_HANDED_OVER_STATES:
        return NoOpenTurn(details=["turnId: was not handed over yet"])
    if has_outcome:
        return TurnClosed(details=["outcome: this turn has another one"])
    if later_events.person_wrote:
        return TurnCancelled(details=["outcome: a person wrote"])
    if not later_events.agent_mode and not has_handed_off:
        return TurnCancelled(details=["outcome: agent mode is off"])
    if state == "superseded" or later_events.handed_over:
        return StaleTurn(details=["outcome: the next turn was handed over"])
    return None
