"""What judging a text costs: over the corpus, and over texts of 400 characters."""

import time
from collections.abc import Sequence
from itertools import islice

from app.domain.optout import judge_text
from app.domain.optout.judge import MAX_LENGTH
from tests.bench.figures import Figure
from tests.bench.servers import Bench
from tests.optout.corpus import read_corpus

EVERY = 3
"""One text of so many is judged."""
TEXTS_IN_A_LONG_ONE = 12


async def judging(_: Bench) -> list[Figure]:
    """The median and the 99th percentile of the time that one text takes."""
    texts = [example.text for example in read_corpus()][::EVERY]
    long_texts = [" ".join(texts[i : i + TEXTS_IN_A_LONG_ONE])[:MAX_LENGTH] for i in range(0, len(texts), 60)]
    return [*_measure("judging", [*texts, *long_texts], 0.15, 1.0), *_measure("judging 400 characters", long_texts)]


def _measure(name: str, texts: Sequence[str], *goals: float) -> list[Figure]:
    for text in islice(texts, 100):
        judge_text(text)
    costs = sorted(map(_time, texts))
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
