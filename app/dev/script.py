"""Scripts: what a lead says, and what must come of it, as YAML.

    name: An owner
    window: 7 s                                    # time is moved: nobody waits for it
    lead_fields: {firstName: Jane}
    questionnaire:
      - {key: homeowner, question: "Do you own your home?"}
    steps:
      - says: [Hello, {waits: 3 s}, "Me again"]      # a burst: one turn
        expects: {reply: Hi Jane, asksOneQuestion: true, maxSegments: 2}
      - waits: 2 days
        answers_like: impatient
        answers: {homeowner: "yes"}
        expects: {status: qualified, answers: {homeowner: "yes"}}

A plain text must be contained in what came, whatever the case; `equals` and `regex` are stricter.
Documents in one file, separated by `---`, are conversations with different leads.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]  # ships no types

from app.dev.styles import STYLES
from app.domain.checks import PARSERS, Checks, parse_checks

DEFAULT_TIMEOUT_SECONDS = 30.0
CONVERSATION_FIELDS = frozenset({"name", "window", "lead_fields", "questionnaire", "steps"})
OLD_NAMES = {
    "lead": "says",
    "expect_reply": "reply",
    "expect_no_reply": "no_reply",
    "expect_status": "status",
    "expect_answers": "answers",
    "expect_handoff": "handoff",
}
"""Fields of a step that are now called otherwise, or stand in `expects`."""
EXPECT_FIELDS = frozenset({"reply", "no_reply", "status", "answers", "handoff", *PARSERS})
STEP_FIELDS = frozenset({"says", "waits", "answers_like", "answers", "expects", "timeout", *OLD_NAMES})
DURATION_PATTERN = re.compile(r"(\d+(?:\.\d+)?) ?(s|min|h|days?)")
UNIT_SECONDS = {"s": 1, "min": 60, "h": 3600, "day": 86_400, "days": 86_400}
MAX_WAIT_SECONDS = 366 * 86_400
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
class Pause:
    """Time that is moved between two texts of a burst."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Step:
    """Texts that the lead writes at once, and what must come of them. None: nothing is expected."""

    texts: tuple[str | Pause, ...] = ()
    reply: TextRule | None = None
    no_reply: bool = False
    status: str | None = None
    answers: Mapping[str, TextRule] = field(default_factory=dict)
    handoff: bool | None = None
    timeout: float = DEFAULT_TIMEOUT_SECONDS
    waits: float = 0.0
    """Seconds by which time is moved before the lead writes."""
    style: str | None = None
    """How the lead answers the agent's questions, with `facts`."""
    facts: Mapping[str, str] = field(default_factory=dict)
    checks: Checks = field(default_factory=Checks)


@dataclass(frozen=True, slots=True)
class ScriptedConversation:
    steps: Sequence[Step]
    lead_fields: Mapping[str, Any]
    questionnaire: list[dict[str, Any]] | None
    """None: the questions of `dev` itself."""
    name: str | None = None
    window: float | None = None
    """Seconds of the agent's window, which are not waited for. None: one second, which is."""


def read_scripts(path: Path) -> list[ScriptedConversation]:
    """The conversations of a file, or of all YAML files of a folder. Raises `ScriptError`."""
    files = sorted(path.glob("*.yaml")) if path.is_dir() else [path]
    if not files:
        raise ScriptError(f"{path} holds no .yaml files")
    return [conversation for file in files for conversation in read_script(file)]


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
    window = _parse_duration(fields["window"], "window") if "window" in fields else None
    if window is not None and not 1 <= window <= 60:
        raise ScriptError("window: must be from 1 s to 60 s")
    return ScriptedConversation(parsed_steps, lead_fields, questionnaire, fields.get("name"), window)


def _parse_step(step: Any, place: str) -> Step:
    _require_known(step, STEP_FIELDS, place)
    for old_name, name in OLD_NAMES.items():
        if old_name in step and name in step and name != "answers":
            raise ScriptError(f"{place}: {old_name} and {name} are the same; give one of them")
    names = {name: old_name if old_name in step else name for old_name, name in OLD_NAMES.items()}
    expects, expects_place = _gather_expectations(step, place)
    style, facts = step.get("answers_like"), step.get("answers", {})
    _require_mapping(facts, f"{place}.answers")
    if style is not None and style not in STYLES:
        raise ScriptError(f"{place}.answers_like: must be one of {', '.join(STYLES)}")
    texts: tuple[str | Pause, ...] = ()
    if names["says"] in step or not (style or "waits" in step):
        texts = _parse_texts(step.get(names["says"]), f"{place}.{names['says']}")
    answers = expects.get("answers", {})
    _require_mapping(answers, f"{expects_place('answers')}")
    flags = {
        name: _parse_flag(expects[name], expects_place(name)) for name in ("no_reply", "handoff") if name in expects
    }
    return Step(
        texts=texts,
        reply=_parse_rule(expects["reply"], expects_place("reply")) if "reply" in expects else None,
        no_reply=flags.get("no_reply", False),
        status=expects.get("status"),
        answers={key: _parse_rule(rule, f"{expects_place('answers')}.{key}") for key, rule in answers.items()},
        handoff=flags.get("handoff"),
        timeout=_parse_seconds(step.get("timeout"), f"{place}.timeout"),
        waits=_parse_duration(step["waits"], f"{place}.waits") if "waits" in step else 0.0,
        style=style,
        facts=facts,
        checks=_parse_checks(expects, expects_place("")),
    )


def _gather_expectations(step: dict[str, Any], place: str) -> tuple[dict[str, Any], Callable[[str], str]]:
    """What the step expects, by its present names, and where each stands."""
    expects = step.get("expects", {})
    _require_known(expects, EXPECT_FIELDS, f"{place}.expects")
    old = {name: old_name for old_name, name in OLD_NAMES.items() if old_name in step and name != "says"}
    all_expectations = {**expects, **{name: step[old_name] for name, old_name in old.items()}}
    return (
        all_expectations,
        lambda name: f"{place}.{old[name]}" if name in old else f"{place}.expects.{name}".rstrip("."),
    )


def _parse_texts(value: Any, place: str) -> tuple[str | Pause, ...]:
    items = value if isinstance(value, list) else [value]
    texts = tuple(_parse_text(item, place) for item in items)
    if not any(isinstance(text, str) for text in texts):
        raise ScriptError(f"{place}: must be a text, or a list of texts")
    return texts


def _parse_text(item: Any, place: str) -> str | Pause:
    if isinstance(item, dict) and set(item) == {"waits"}:
        return Pause(_parse_duration(item["waits"], f"{place}.waits"))
    if not isinstance(item, str) or not item.strip():
        raise ScriptError(f"{place}: must be a text, or a list of texts")
    return item


def _parse_checks(expects: Mapping[str, Any], place: str) -> Checks:
    try:
        return parse_checks({name: value for name, value in expects.items() if name in PARSERS})
    except ValueError as error:
        raise ScriptError(f"{place}.{error}") from None


def _parse_duration(value: Any, place: str) -> float:
    match = DURATION_PATTERN.fullmatch(value) if isinstance(value, str) else None
    seconds = float(match[1]) * UNIT_SECONDS[match[2]] if match else 0.0
    if not 0 < seconds <= MAX_WAIT_SECONDS:
        raise ScriptError(f"{place}: must be a time such as 7 s, 5 min, 2 h or 3 days")
    return seconds


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
