"""Scripts: what a lead writes, and what must come of it, as YAML.

    lead_fields: {firstName: Jane}
    questionnaire:
      - {key: homeowner, question: "Do you own your home?"}
    steps:
      - lead: Hello
        expect_reply: Hi Jane
      - lead: ["My answer: yes", "I own it"]     # a burst
        expect_reply: {regex: "(?i)thank|noted"}
        expect_status: qualified
        expect_answers: {homeowner: "yes"}

A plain text must be contained in what came, whatever the case; `equals` and `regex` are stricter.
Documents in one file, separated by `---`, are conversations with different leads.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]  # ships no types

from app.dev.conversation import Snapshot

DEFAULT_TIMEOUT_SECONDS = 30.0
CONVERSATION_FIELDS = frozenset({"lead_fields", "questionnaire", "steps"})
STEP_FIELDS = frozenset(
    {
        "lead",
        "expect_reply",
        "expect_no_reply",
        "expect_status",
        "expect_answers",
        "expect_handoff",
        "timeout",
    }
)
FLAGS = {"true": True, "yes": True, "false": False, "no": False}
TEXT_CHECKS: Mapping[str, Callable[[str, str], bool]] = {
    "contains": lambda wanted_text, text: wanted_text.casefold() in text.casefold(),
    "equals": lambda wanted_text, text: wanted_text == text,
    "regex": lambda pattern, text: re.search(pattern, text) is not None,
}


class ScriptError(Exception):
    """The script cannot be understood. The message names the step and the field."""


@dataclass(frozen=True, slots=True)
class TextRule:
    """What a text must be like."""

    check: str
    expected: str

    def allows(self, text: str) -> bool:
        return TEXT_CHECKS[self.check](self.expected, text)

    def __str__(self) -> str:
        return f"{self.check} {self.expected!r}"


@dataclass(frozen=True, slots=True)
class Step:
    """Texts that the lead writes at once, and what must come of them. None: nothing is expected."""

    texts: tuple[str, ...]
    reply: TextRule | None = None
    no_reply: bool = False
    status: str | None = None
    answers: Mapping[str, TextRule] = field(default_factory=dict)
    handoff: bool | None = None
    timeout: float = DEFAULT_TIMEOUT_SECONDS


@dataclass(frozen=True, slots=True)
class ScriptedConversation:
    steps: Sequence[Step]
    lead_fields: Mapping[str, Any]
    questionnaire: list[dict[str, Any]] | None
    """None: the questions of `dev` itself."""


@dataclass(frozen=True, slots=True)
class Mismatch:
    """What was expected and did not come."""

    field: str
    expected: str
    found: str


def read_script(file: Path) -> list[ScriptedConversation]:
    """Raises `ScriptError`."""
    try:
        # The base loader knows texts, lists and mappings only: `yes` stays a text, and nothing is run.
        documents = list(yaml.load_all(file.read_text(), Loader=yaml.BaseLoader))
    except OSError as error:
        raise ScriptError(f"{file}: {error.strerror}") from None
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        what = " ".join(str(error).split())
        raise ScriptError(f"{file} is not YAML: {what}; texts with ? : # or brackets need quotation marks") from None
    conversations = [_parse_conversation(document) for document in documents if document]
    if not conversations:
        raise ScriptError(f"{file} has no steps")
    return conversations


def _parse_conversation(document: Any) -> ScriptedConversation:
    fields: dict[str, Any] = {"steps": document} if isinstance(document, list) else document
    _require_known(fields, CONVERSATION_FIELDS, "the script")
    steps = fields.get("steps")
    if not isinstance(steps, list) or not steps:
        raise ScriptError("steps: must be a list of steps")
    questionnaire = fields.get("questionnaire")
    if questionnaire is not None and not (
        isinstance(questionnaire, list) and all(isinstance(item, dict) for item in questionnaire)
    ):
        raise ScriptError("questionnaire: must be a list of key and question")
    lead_fields = fields.get("lead_fields") or {}
    _require_mapping(lead_fields, "lead_fields")
    parsed_steps = [_parse_step(step, f"steps[{i}]") for i, step in enumerate(steps)]
    return ScriptedConversation(parsed_steps, lead_fields, questionnaire)


def _parse_step(step: Any, place: str) -> Step:
    _require_known(step, STEP_FIELDS, place)
    texts = step.get("lead")
    texts = tuple(texts) if isinstance(texts, list) else (texts,)
    if not texts or not all(isinstance(text, str) and text.strip() for text in texts):
        raise ScriptError(f"{place}.lead: must be a text, or a list of texts")
    answers = step.get("expect_answers", {})
    _require_mapping(answers, f"{place}.expect_answers")
    return Step(
        texts=texts,
        reply=_parse_rule(step["expect_reply"], f"{place}.expect_reply") if "expect_reply" in step else None,
        no_reply=_parse_flag(step.get("expect_no_reply", "false"), f"{place}.expect_no_reply"),
        status=step.get("expect_status"),
        answers={key: _parse_rule(rule, f"{place}.expect_answers.{key}") for key, rule in answers.items()},
        handoff=_parse_flag(step["expect_handoff"], f"{place}.expect_handoff") if "expect_handoff" in step else None,
        timeout=_parse_seconds(step.get("timeout"), f"{place}.timeout"),
    )


def _require_known(fields: Any, known_fields: frozenset[str], place: str) -> None:
    _require_mapping(fields, place)
    for name in fields:
        if name not in known_fields:
            raise ScriptError(f"{place}: {name} is not known; known are {', '.join(sorted(known_fields))}")


def _require_mapping(value: Any, place: str) -> None:
    if not isinstance(value, dict):
        raise ScriptError(f"{place}: must be a mapping of names to values")


def _parse_rule(value: Any, place: str) -> TextRule:
    if isinstance(value, str):
        return TextRule("contains", value)
    if not isinstance(value, dict) or len(value) != 1 or not all(isinstance(text, str) for text in value.values()):
        raise ScriptError(f"{place}: must be a text, or one of {', '.join(TEXT_CHECKS)} with a text")
    [(check, expected)] = value.items()
    if check not in TEXT_CHECKS:
        raise ScriptError(f"{place}: {check} is not known; known are {', '.join(TEXT_CHECKS)}")
    if check == "regex":
        _require_pattern(expected, place)
    return TextRule(check, expected)


def _require_pattern(pattern: str, place: str) -> None:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ScriptError(f"{place}: is not a regular expression: {error}") from None


def _parse_flag(value: Any, place: str) -> bool:
    flag = FLAGS.get(value) if isinstance(value, str) else None
    if flag is None:
        raise ScriptError(f"{place}: must be true or false")
    return flag


def _parse_seconds(value: Any, place: str) -> float:
    if value is None:
        return DEFAULT_TIMEOUT_SECONDS
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = 0.0
    if not 0 < seconds <= 600:
        raise ScriptError(f"{place}: must be seconds, more than 0 and at most 600")
    return seconds


def find_mismatches(step: Step, before: Snapshot, after: Snapshot) -> Iterator[Mismatch]:
    """Yields what the step expects and has not come between the two moments."""
    reply = "\n".join(after.received[len(before.received) :])
    if step.reply and not (reply and step.reply.allows(reply)):
        yield Mismatch("expect_reply", str(step.reply), repr(reply) if reply else "no reply")
    if step.no_reply and reply:
        yield Mismatch("expect_no_reply", "no reply", repr(reply))
    if step.status is not None and after.status != step.status:
        yield Mismatch("expect_status", step.status, after.status)
    for key, rule in step.answers.items():
        answer = after.answers.get(key)
        if answer is None or not rule.allows(answer):
            yield Mismatch(f"expect_answers.{key}", str(rule), repr(answer) if answer is not None else "no answer")
    is_handed_off = not after.is_agent_mode_on
    if step.handoff is not None and is_handed_off != step.handoff:
        yield Mismatch("expect_handoff", _say_handoff(step.handoff), _say_handoff(is_handed_off))


def _say_handoff(is_handed_off: bool) -> str:
    return "a hand-off" if is_handed_off else "no hand-off"
