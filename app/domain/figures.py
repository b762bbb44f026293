"""What figures count, and what they say about a rate."""

from math import sqrt

SENT_STATUSES = ("sent", "delivered", "failed", "undelivered", "unknown")
"""A text with one of these statuses was handed to the carrier."""
MEASURES = {
    "texts": "texts of yours that were handed to the carrier",
    "segments": "their segments, which carriers charge",
    "delivered": "of these texts, those of which the carrier says that they arrived",
    "failed": "of these texts, those that did not arrive",
    "unknown": "of these texts, those of which nothing is known",
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
