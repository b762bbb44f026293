"""A row of the table, and how it is made of alternations."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

ROUNDS, SECONDS = 5, 2.0
"""The number of alternations, and how long each slice of one lasts."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One row: the median of the rounds' ratios, and its goal (None: shown, not judged)."""

    name: str
    value: str
    limit: str
    ratio: float | None
    goal: float | None = None
    better: Literal["more", "less"] = "more"
    note: str = ""

    @property
    def verdict(self) -> str:
        if self.goal is None or self.ratio is None:
            return ""
        good = self.ratio >= self.goal if self.better == "more" else self.ratio <= self.goal
        return "met" if good else "NOT MET"

    def line(self) -> str:
        return (f"{self.name:<44} {self.value:<42} {self.limit:<36} {self.shown_ratio:>6}  {self.shown_goal:<7} "
                f"{self.verdict} {self.note}").rstrip()  # fmt: skip

    @property
    def shown_ratio(self) -> str:
        return "" if self.ratio is None else f"{self.ratio:.3g}"

    @property
    def shown_goal(self) -> str:
        sign = "≥" if self.better == "more" else "≤"
        return "" if self.goal is None else f"{sign} {self.goal:g}"


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the rounds' ratios: the machine's speed drifts, but hardly within a round."""
    return median(a / b for a, b in zip(ours, theirs, strict=True))


def spread(values: Sequence[float]) -> str:
    """The median, the lowest and the highest value."""
    return f"{median(values):,.0f} ({min(values):,.0f}-{max(values):,.0f})"
