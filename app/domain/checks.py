"""Checks of an agent's answer, as scripts, trials and shadows use them: what it must say, what it must not
say, how long it may be, and how the turn must end. Pure."""

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import islice, takewhile
from typing import Any, Literal

from app.domain import segments
from app.domain.words import INTERACTION_STATUSES

AnswerKind = Literal["answered", "declined", "handed_off", "failed", "too_slow"]
"""`answered`: with texts. `declined`: nothing to say, though maybe an outcome. `failed`: no answer that can
be used. `too_slow`: none in time."""
USABLE_KINDS = ("answered", "declined", "handed_off")
AS_RECORDED = "recorded"
"""`outcomeIs`: the turn must end as it did then."""
OUTCOMES = (*USABLE_KINDS, *INTERACTION_STATUSES, AS_RECORDED)
MAX_WORDINGS, MAX_WORDING_LENGTH = 50, 500
MAX_SEGMENTS = 100
FLAGS = {True: True, False: False, "true": True, "yes": True, "false": False, "no": False}
QUESTION_PATTERN = re.compile(r"[?？؟]+")
ADDRESS_PATTERN = re.compile(r"https?://\S+")
WORD_PATTERN = re.compile(r"\s*\S+")


@dataclass(frozen=True, slots=True)
class AgentAnswer:
    """What an agent answered to a turn."""

    kind: AnswerKind
    texts: tuple[str, ...] = ()
    outcome: Mapping[str, Any] | None = None
    """As it is stored: `status`, `summary`, `answers`, …"""
    reason: str | None = None
    """Why it was handed off, or why there is no answer."""

    @property
    def text(self) -> str:
        return "\n".join(self.texts)

    @property
    def segment_count(self) -> int:
        return sum(segments.count(text).segments for text in self.texts)

    @property
    def status(self) -> str | None:
        return (self.outcome or {}).get("status")

    def says_same(self, other_answer: "AgentAnswer") -> bool:
        """Whether both say the same to the lead and mean the same: kind, texts, status and answers."""
        return (self.kind, self.texts, self.status, self._get_facts()) == (
            other_answer.kind,
            other_answer.texts,
            other_answer.status,
            other_answer._get_facts(),
        )

    def _get_facts(self) -> list[tuple[str, str]]:
        return sorted((fact["key"], fact["answer"]) for fact in (self.outcome or {}).get("answers") or ())


@dataclass(frozen=True, slots=True)
class Checks:
    """What an answer must be like; the fields that are not set check nothing."""

    must_contain: tuple[str, ...] = ()
    must_not_contain: tuple[str, ...] = ()
    max_segments: int | None = None
    asks_one_question: bool = False
    outcome_is: str | None = None


@dataclass(frozen=True, slots=True)
class CheckResult:
    """`detail`: what was found instead; None if the check passed."""

    check: str
    passed: bool
    detail: str | None = None


def parse_checks(fields: Mapping[str, Any]) -> Checks:
    """The checks of a JSON or YAML object. Raises `ValueError`, which names the field."""
    if unknown_names := sorted(set(fields) - set(PARSERS)):
        raise ValueError(f"{unknown_names[0]}: is not known; known are {', '.join(PARSERS)}")
    values: dict[str, Any] = {name: PARSERS[name](name, value) for name, value in fields.items() if value is not None}
    return Checks(**{FIELD_NAMES[name]: value for name, value in values.items()})


def _parse_wordings(name: str, value: Any) -> tuple[str, ...]:
    wordings = (value,) if isinstance(value, str) else value
    is_list = isinstance(wordings, list | tuple) and len(wordings) <= MAX_WORDINGS
    if not is_list or not all(isinstance(item, str) and 0 < len(item) <= MAX_WORDING_LENGTH for item in wordings):
        raise ValueError(f"{name}: must be at most {MAX_WORDINGS} texts of 1 to {MAX_WORDING_LENGTH} characters")
    return tuple(wordings)


def _parse_segments(name: str, value: Any) -> int:
    number = int(value) if isinstance(value, int | str) and str(value).isdecimal() else 0
    if not 1 <= number <= MAX_SEGMENTS:
        raise ValueError(f"{name}: must be a number from 1 to {MAX_SEGMENTS}")
    return number


def _parse_flag(name: str, value: Any) -> bool:
    flag = FLAGS.get(value) if isinstance(value, bool | str) else None
    if flag is None:
        raise ValueError(f"{name}: must be true or false")
    return flag


def _parse_outcome(name: str, value: Any) -> str:
    if value not in OUTCOMES:
        raise ValueError(f"{name}: must be one of {', '.join(OUTCOMES)}")
    return str(value)


PARSERS: Mapping[str, Callable[[str, Any], Any]] = {
    "mustContain": _parse_wordings,
    "mustNotContain": _parse_wordings,
    "maxSegments": _parse_segments,
    "asksOneQuestion": _parse_flag,
    "outcomeIs": _parse_outcome,
}
FIELD_NAMES = {
    "mustContain": "must_contain",
    "mustNotContain": "must_not_contain",
    "maxSegments": "max_segments",
    "asksOneQuestion": "asks_one_question",
    "outcomeIs": "outcome_is",
}


def run_checks(checks: Checks, answer: AgentAnswer, recorded_answer: AgentAnswer | None = None) -> list[CheckResult]:
    """The result of each check that is set. Without a usable answer there is one result, which failed."""
    if answer.kind not in USABLE_KINDS:
        return [CheckResult("answer", False, answer.reason or answer.kind.replace("_", " "))]
    return list(_check_each(checks, answer, recorded_answer))


def _check_each(checks: Checks, answer: AgentAnswer, recorded_answer: AgentAnswer | None) -> Iterator[CheckResult]:
    answer_text = _fold(answer.text)
    for phrase in checks.must_contain:
        yield _judge("mustContain", _fold(phrase) in answer_text, f"does not contain {phrase!r}")
    for phrase in checks.must_not_contain:
        yield _judge("mustNotContain", _fold(phrase) not in answer_text, f"contains {phrase!r}")
    if checks.max_segments is not None:
        count = answer.segment_count
        yield _judge("maxSegments", count <= checks.max_segments, f"has {count} segments")
    if checks.asks_one_question:
        question_count = len(QUESTION_PATTERN.findall(ADDRESS_PATTERN.sub("", answer.text)))
        yield _judge("asksOneQuestion", question_count == 1, f"asks {question_count or 'no'} questions")
    if checks.outcome_is:
        yield _check_outcome(checks.outcome_is, answer, recorded_answer)


def _check_outcome(wanted_end: str, answer: AgentAnswer, recorded_answer: AgentAnswer | None) -> CheckResult:
    if wanted_end == AS_RECORDED:
        if recorded_answer is None:
            return CheckResult("outcomeIs", True)
        was, is_ = _describe_end(recorded_answer), _describe_end(answer)
        return _judge("outcomeIs", was == is_, f"is {is_}, and was {was}")
    actual_end = answer.kind if wanted_end in USABLE_KINDS else answer.status or "no status"
    return _judge("outcomeIs", actual_end == wanted_end, f"is {actual_end}, not {wanted_end}")


def _describe_end(answer: AgentAnswer) -> str:
    return f"{answer.kind} with status {answer.status}" if answer.status else answer.kind


def _judge(check: str, passed: bool, fault: str) -> CheckResult:
    return CheckResult(check, passed, None if passed else fault)


def _fold(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


MAX_COMPARISONS = 10**6
"""Of words. SequenceMatcher takes as many steps when the same words come again and again."""
PieceKind = Literal["same", "removed", "added"]


@dataclass(frozen=True, slots=True)
class Piece:
    """Words that stand in both texts, or in one of them."""

    kind: PieceKind
    text: str


def compare_words(before: str, after: str) -> list[Piece]:
    """What became of `before`, word by word; blanks do not count. One piece at most, `same`, if nothing
    changed. The pieces that are not `removed` are together `after`."""
    old_words, new_words = WORD_PATTERN.findall(before), WORD_PATTERN.findall(after)
    starts = zip(map(str.strip, old_words), map(str.strip, new_words), strict=False)
    first = _count_equal(starts)
    rest = min(len(old_words), len(new_words)) - first
    ends = zip(map(str.strip, reversed(old_words)), map(str.strip, reversed(new_words)), strict=False)
    last = _count_equal(islice(ends, rest))
    old_middle, new_middle = old_words[first : len(old_words) - last], new_words[first : len(new_words) - last]
    pieces = [
        Piece("same", "".join(new_words[:first])),
        *_compare_middle(old_middle, new_middle),
        Piece("same", "".join(new_words[len(new_words) - last :])),
    ]
    return [piece for piece in pieces if piece.text]


def _count_equal(pairs: Iterable[tuple[str, str]]) -> int:
    """How many pairs are equal, from the first one on."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _compare_middle(old_words: Sequence[str], new_words: Sequence[str]) -> Iterator[Piece]:
    if len(old_words) * len(new_words) > MAX_COMPARISONS:
        yield from _change(old_words, new_words)
        return
    matcher = SequenceMatcher(None, [w.strip() for w in old_words], [w.strip() for w in new_words], autojunk=False)
    for tag, i, j, k, m in matcher.get_opcodes():
        if tag == "equal":
            yield Piece("same", "".join(new_words[k:m]))
        else:
            yield from _change(old_words[i:j], new_words[k:m])


def _change(removed_words: Sequence[str], added_words: Sequence[str]) -> Iterator[Piece]:
    if removed_words:
        yield Piece("removed", "".join(removed_words))
    if added_words:
        yield Piece("added", "".join(added_words))
