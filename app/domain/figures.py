"""What figures count, and what they say about a rate."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from typing import Literal

SENT_STATUSES = ("sent", "delivered", "failed", "undelivered", "unknown")
"""A text with one of these statuses was handed to the carrier."""
ReachedStep = Literal["texted", "replied", "qualified"]
"""How far a thread came; each step holds those before it."""
MEASURES = {
    "texts": "texts of yours that were handed to the carrier",
    "segments": "their segments, which carriers charge",
    "delivered": "of these texts, those of which the carrier says that they arrived",
    "failed": "of these texts, those that did not arrive",
    "unknown": "of these texts, those of which nothing is known",
    "pricedTexts": "texts of yours whose price the carrier told",
    "inbound": "texts of leads",
    "opened": "threads that were opened",
    "texted": "of these threads, those in which you texted",
    "replied": "of the texted threads, those in which the lead wrote after your first text",
    "qualified": "of the replied threads, those that are qualified now",
    "replySeconds": "seconds between your first text and the lead's first reply, of all replied threads together",
    "turns": "turns that ended",
    "timedTurns": "of these turns, those that were answered",
    "agentMs": "milliseconds from hand-over to answer, of all answered turns together",
    "handOffs": "turns in which the agent asked for a person",
    "staleReplies": "turns with a reply that came after the lead wrote again",
    "answers": "answers to questions of the questionnaire that agents recorded",
    "optOuts": "opt-outs of leads",
}
"""What is counted, in words for people."""
RATES = {
    "delivered": ("delivered", "texts"),
    "failed": ("failed", "texts"),
    "replied": ("replied", "texted"),
    "qualified": ("qualified", "texted"),
    "handedOff": ("handOffs", "turns"),
    "optOut": ("optOuts", "texted"),
}
"""By name: the count, and what it is a share of."""
MILLION = 1_000_000
"""Costs are counted in millionths of their currency."""
Z_95 = 1.959964
"""Standard deviations on either side that hold 95 % of a normal distribution."""


def get_interval(count: int, total: int) -> tuple[float, float] | None:
    """Wilson's 95 % interval for a rate, which is honest for few cases too; None without any case."""
    if total <= 0:
        return None
    rate, spread = count / total, Z_95 * Z_95 / total
    centre = (rate + spread / 2) / (1 + spread)
    half = Z_95 * sqrt(rate * (1 - rate) / total + spread / (4 * total)) / (1 + spread)
    return max(centre - half, 0.0), min(centre + half, 1.0)


def get_parts(values: Mapping[str, int], word: str) -> dict[str, int]:
    """The parts of a measure by name: of `turns.replied` it is `replied`."""
    return {name.partition(".")[2]: value for name, value in sorted(values.items()) if name.startswith(f"{word}.")}


@dataclass(frozen=True, slots=True)
class Costs:
    """By currency, which are never added: of the texts; of all texts of the threads that were opened; of these, for
    each thread with a reply, and for each qualified one."""

    texts: dict[str, float]
    threads: dict[str, float]
    per_reply: dict[str, float]
    per_qualified: dict[str, float]


def get_costs(values: Mapping[str, int]) -> Costs:
    """What carriers told: without `pricedTexts` there is none."""
    of_threads = get_parts(values, "threadCost")

    def share_out(measure: str) -> dict[str, float]:
        count = values.get(measure, 0)
        return _in_units(of_threads, count) if count else {}

    return Costs(
        _in_units(get_parts(values, "cost")), _in_units(of_threads), share_out("replied"), share_out("qualified")
    )


def _in_units(millionths: Mapping[str, int], count: int = 1) -> dict[str, float]:
    return {currency: round(value / MILLION / count, 6) for currency, value in millionths.items()}
