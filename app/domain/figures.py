"""What figures count, and what they say about a rate."""

from math import sqrt

SENT_STATUSES = ("sent", "delivered", "failed", "undelivered", "unknown")
"""A text with one of these statuses was handed to the carrier."""
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
