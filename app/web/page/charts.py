"""Charts as SVG paths, drawn by the server: they need no JavaScript and can be printed."""

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 600, 120
NICE_STEPS = (1, 2, 5, 10)


@dataclass(frozen=True, slots=True)
class Chart:
    """SVG paths of the series, in order, on one scale. `top` is the value at the upper edge."""

    paths: tuple[str, ...]
    top: float
    peak: float
    mean: float
    """`peak` and `mean` are those of the first series."""


def build_chart(*series: Sequence[float]) -> Chart:
    """Draws each series as an area of steps. All series have the same length."""
    first = series[0]
    peak = max(first, default=0.0)
    top = round_up_scale(max((max(values, default=0.0) for values in series), default=0.0))
    mean = sum(first) / len(first) if first else 0.0
    return Chart(tuple(_draw_area(values, top) for values in series), top, peak, mean)


def round_up_scale(value: float) -> float:
    """Rounds up to 1, 2 or 5 times a power of ten; returns 1 for zero."""
    if value <= 0:
        return 1.0
    power = 1.0
    while power > value:
        power /= 10
    while power * 10 < value:
        power *= 10
    return next(power * step for step in NICE_STEPS if power * step >= value)


def _draw_area(values: Sequence[float], top: float) -> str:
    """Returns an SVG path of steps, or "" if all values are zero."""
    if not any(values):
        return ""
    step_width = WIDTH / len(values)
    parts = [f"M0 {HEIGHT}"]
    for i, value in enumerate(values):
        height = round(HEIGHT - HEIGHT * value / top, 1)
        parts.append(f"V{height:g}H{round(step_width * (i + 1), 1):g}")
    return "".join([*parts, f"V{HEIGHT}Z"])
