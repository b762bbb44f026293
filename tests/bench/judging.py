"""What judging a text costs: over the corpus, and by length."""

import time
from collections.abc import Sequence
from itertools import islice

from app.domain.optout import judge_text
from tests.bench.figures import Figure
from tests.bench.servers import Bench
from tests.optout.corpus import read_corpus

EVERY = 3
"""One text of so many is judged."""
LENGTHS = (100, 400, 1600)
"""Characters. Of a text longer than 400 its two ends are read, so it costs no more."""
LETTERS_IN_A_TEXT = 20
ROUNDS = 3
"""The best of so many rounds counts: others on the machine slow some of them down."""


async def judging(_: Bench) -> list[Figure]:
    """The median and the 99th percentile of the time that one text takes."""
    texts = [example.text for example in read_corpus()][::EVERY]
    by_length = {length: make_texts(texts, length) for length in LENGTHS}
    figures = _measure("judging", [*texts, *by_length[400]], 0.15, 1.0)
    for length, long_texts in by_length.items():
        figures += _measure(f"judging {length:,} characters", long_texts)
    return figures


def make_texts(texts: Sequence[str], length: int) -> list[str]:
    """Texts of this length, each made of several."""
    size = length // LETTERS_IN_A_TEXT + 1
    joined_texts = (" ".join(texts[i : i + size])[:length] for i in range(0, len(texts) - size, 60))
    return [text for text in joined_texts if len(text) == length]


def _measure(name: str, texts: Sequence[str], *goals: float) -> list[Figure]:
    for text in islice(texts, 100):
        judge_text(text)
    rounds = [[_time(text) for text in texts] for _ in range(ROUNDS)]
    costs = sorted(map(min, *rounds))
    shown = (("median", costs[len(costs) // 2]), ("p99", costs[len(costs) * 99 // 100]))
    limits = goals or (None, None)
    return [
        Figure(f"{name}, {part}", f"{cost:.3f} ms", f"{len(costs)} texts", cost, limit, "less")
        for (part, cost), limit in zip(shown, limits, strict=True)
    ]


def _time(text: str) -> float:
    """Milliseconds of this process, so that others on the machine do not count."""
    began = time.process_time_ns()
    judge_text(text)
    return (time.process_time_ns() - began) / 1e6
