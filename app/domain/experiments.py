"""A/B tests of an agent: which of its two webhooks a lead's turns go to, and what may be said of the difference.

The side is a hash of experiment and lead, so that a lead stays with it and no row is needed for it.

The comparison may be looked at after each lead, and may end at any moment. A lead is on side B with the
probability `share`, whatever it does later. If the sides make no difference, then which leads opt out, and when,
has nothing to do with their sides: each lead that does is on side B with the probability `share`, like a throw of
a coin. So only the sides of the leads that did it are looked at. It does not matter how many others there are, in
which order they came, nor how late an opt-out comes (Lindon & Malek, "Anytime-Valid Inference for Multinomial Count
Data", NeurIPS 2022).

Against "no difference" we bet, a part of the stake on each of `RATIOS`: that B's leads do it so many times as often
(a mixture sequential probability ratio test: Robbins, "Statistical Methods Related to the Law of the Iterated
Logarithm", 1970). With a fair coin this is a fair game: the probability that the stake *ever* grows to 1 / `ALPHA`
times itself is at most `ALPHA`, however often one looks (Ville, 1939). When it does, the difference counts as found.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from math import exp, log
from typing import Literal

Side = Literal["a", "b"]
Measure = Literal["replied", "qualified", "opted_out"]
SHARE_BOUNDS = (0.01, 0.5)
ALPHA = 0.05
"""The probability that a measure tells of a difference where there is none, in the whole life of an experiment."""
RATIOS = tuple(2.0**exponent for exponent in (-3, -2, -1, -0.5, -0.25, -0.125, 0.125, 0.25, 0.5, 1, 2, 3))
MAX_LOG_RATIO = log(1000)
WORDS: dict[Measure, str] = {"replied": "replied", "qualified": "qualified", "opted_out": "opted out"}
NOTHING_FOUND = "Nothing is sure yet."


def choose_side(experiment_id: str, lead_id: str, share: float) -> Side:
    """The lead's side for as long as the experiment is there; `share` of the leads are on side B."""
    digest = sha256(f"{experiment_id} {lead_id}".encode()).digest()
    return "b" if int.from_bytes(digest[:8], "big") < share * 2**64 else "a"


@dataclass(frozen=True, slots=True)
class SideCount:
    """The leads that got a turn on a side, and how many of them did something after it."""

    side: Side
    leads: int = 0
    replied: int = 0
    qualified: int = 0
    opted_out: int = 0

    def get(self, measure: Measure) -> int:
        return {"replied": self.replied, "qualified": self.qualified, "opted_out": self.opted_out}[measure]


Counts = Mapping[Side, SideCount]


@dataclass(frozen=True, slots=True)
class Finding:
    """What may be said of a measure. `more`: the side whose leads do it more often; None: that is not sure.
    `low`, `high`: how many times as often B's leads do it as A's, at least and at most; None: no bound is known."""

    more: Side | None
    low: float | None
    high: float | None


def compare(counts: Counts, measure: Measure, share: float) -> Finding:
    count_a, count_b = counts["a"].get(measure), counts["b"].get(measure)
    low, high = _bound_ratio(count_a, count_b, share)
    more: Side | None = None
    if get_growth(count_a, count_b, share) >= 1 / ALPHA:
        more = "b" if count_b * (1 - share) > count_a * share else "a"
    return Finding(more, low, high)


def find_safer_side(counts: Counts, share: float) -> Side | None:
    """The side whose leads opt out less often, as soon as that is sure."""
    more = compare(counts, "opted_out", share).more
    return more and _other(more)


def describe(counts: Counts, share: float) -> str:
    """The verdict in words."""
    sentences = [_describe_measure(counts, measure, share) for measure in WORDS]
    return " ".join(filter(None, sentences)) or NOTHING_FOUND


def describe_opt_outs(counts: Counts, share: float) -> str:
    """Why an experiment stopped; empty: there is no such reason."""
    return _describe_measure(counts, "opted_out", share)


def _describe_measure(counts: Counts, measure: Measure, share: float) -> str:
    more = compare(counts, measure, share).more
    if more is None:
        return ""
    less = _other(more)
    return (
        f"More leads of {more.upper()} {WORDS[measure]}: {counts[more].get(measure):,} of {counts[more].leads:,},"
        f" and {counts[less].get(measure):,} of {counts[less].leads:,} of {less.upper()}."
    )


def _other(side: Side) -> Side:
    return "a" if side == "b" else "b"


def get_growth(count_a: int, count_b: int, share: float) -> float:
    """How many times itself the stake against "no difference" is now."""
    return sum(exp(min(_log_growth(ratio, count_a, count_b, share), 700)) for ratio in RATIOS) / len(RATIOS)


def _log_growth(ratio: float, count_a: int, count_b: int, share: float) -> float:
    """Of the stake on `ratio`: on each lead of B it grows by ratio / (1 - share + share * ratio), and on each lead
    of A by 1 / (1 - share + share * ratio), which is 1 in the mean."""
    return count_b * log(ratio) - (count_a + count_b) * log(1 - share + share * ratio)


def _bound_ratio(count_a: int, count_b: int, share: float) -> tuple[float | None, float | None]:
    """The ratios that the same bet does not rule out: one of them is the true one with the probability 1 - `ALPHA`,
    however often one looks."""
    middle = log((count_b + 0.5) / share) - log((count_a + 0.5) / (1 - share))

    def is_ruled_out(log_ratio: float) -> bool:
        odds = share * exp(log_ratio) / (1 - share)
        return get_growth(count_a, count_b, odds / (1 + odds)) >= 1 / ALPHA

    def find_bound(end: float) -> float | None:
        if abs(middle) >= MAX_LOG_RATIO or not is_ruled_out(end):
            return None
        inside, outside = middle, end
        while abs(outside - inside) > 0.005:
            between = (inside + outside) / 2
            inside, outside = (inside, between) if is_ruled_out(between) else (between, outside)
        return round(exp(inside), 3)

    return find_bound(-MAX_LOG_RATIO), find_bound(MAX_LOG_RATIO)
