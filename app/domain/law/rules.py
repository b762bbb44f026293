"""The rules of `rules.toml`, as types."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, time
from pathlib import Path
from typing import Any, Literal

from app.domain.law.caps import CountedTexts
from app.domain.quiet import Span, Week
from app.domain.words import Purpose, Relation

RuleKind = Literal["hours", "cap", "disclosure", "retention"]
FILE = Path(__file__).parent / "rules.toml"
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


@dataclass(frozen=True, slots=True, kw_only=True)
class LawRule:
    """A rule, its source, and the texts that it concerns. `starts`, `ends`: the days in force, both included."""

    id: str
    jurisdiction: str
    """`US`, or `US-` and the state."""
    kind: RuleKind
    citation: str
    words: str
    starts: date
    ends: date | None
    checked: date | None
    """When somebody last compared it with the words of its source."""
    purposes: frozenset[Purpose]
    relations: frozenset[Relation]
    week: Week | None
    """For hours."""
    keeps_holidays: bool
    """For hours: no texts on a federal holiday."""
    texts: int | None
    """For a cap: the most in 24 hours."""
    counts: CountedTexts
    """For a cap: which texts."""

    def concerns(self, purpose: Purpose, relation: Relation) -> bool:
        return purpose in self.purposes and relation in self.relations

    def is_in_force(self, day: date) -> bool:
        return self.starts <= day and (self.ends is None or day <= self.ends)


def _load_rules() -> tuple[LawRule, ...]:
    return tuple(_parse_rule(entry) for entry in tomllib.loads(FILE.read_text(encoding="utf-8"))["rules"])


def _parse_rule(entry: Mapping[str, Any]) -> LawRule:
    return LawRule(
        id=entry["id"],
        jurisdiction=entry["jurisdiction"],
        kind=entry["kind"],
        citation=entry["citation"],
        words=entry["words"],
        starts=entry["from"],
        ends=entry.get("until"),
        checked=entry.get("checked"),
        purposes=frozenset(entry["purposes"]),
        relations=frozenset(entry["relations"]),
        week=_parse_week(entry["hours"]) if "hours" in entry else None,
        keeps_holidays=entry.get("holidays") == "closed",
        texts=entry.get("texts"),
        counts=entry.get("counts", "matter"),
    )


def _parse_week(hours: Mapping[str, str]) -> Week:
    return tuple(_parse_span(hours.get(weekday, hours["daily"])) for weekday in WEEKDAYS)


def _parse_span(words: str) -> Span | None:
    """`08:00-21:00`; an empty text: no texts on this day."""
    if not words:
        return None
    start, end = words.split("-")
    return time.fromisoformat(start), time.fromisoformat(end)


RULES = _load_rules()
RULES_BY_ID = {rule.id: rule for rule in RULES}
