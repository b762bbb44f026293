"""Trains the weights of the model: for each label an L2-loss support vector machine, by dual coordinate
descent (Hsieh et al., 2008). It adds, multiplies, divides and takes square roots in one fixed order, so
the same corpus gives the same bytes on every machine."""

import random
from collections.abc import Sequence
from math import sqrt
from multiprocessing import get_context
from typing import Any

from app.domain.optout.features import ALWAYS, list_features_between, read_words
from app.domain.optout.judge import drop_signature, read_own, split_ends
from app.domain.optout.model import LABELS, ROW, SCALE
from tests.optout.corpus import Example

COST = 1.0
COST_OF_MADE = 0.4
"""What a sentence of the grammar counts, beside a text that was written by hand."""
EPOCHS = 12
DRAFT_EPOCHS = 4
"""Of the first training, which finds the strongest features. The second one knows these only: cutting the others off
at the end would cost a third of a percent."""
SEED = 7
FAR, ROUNDS_OF_REST = 0.1, 3
"""A text that is so far on its right side moves nothing: it is left out for some rounds, which halves the time."""
MIN_FAMILIES = 2
"""A feature that only one family has says nothing about others."""
MAX_FEATURES = 60_000
"""With eight bytes each: what the file may hold."""
MAX_WEIGHT = 127

Row = list[int]
SHARED: list[Any] = []
"""What a process that trains a label works on."""


def train(examples: Sequence[Example]) -> bytes:
    """The weights file for these examples."""
    rows, features = number_features(examples)
    rows, features = _keep_strongest(rows, features, _train_labels(examples, rows, len(features), DRAFT_EPOCHS))
    return _write(features, _train_labels(examples, rows, len(features), EPOCHS))


def _keep_strongest(
    rows: Sequence[Row], features: Sequence[int], drafts: Sequence[Sequence[float]]
) -> tuple[list[Row], list[int]]:
    """The rows with only as many features as the file may hold: those that matter most for some label. The last one
    stays `ALWAYS`."""
    strength = [max(map(abs, weights)) for weights in zip(*drafts, strict=True)]
    strongest = sorted(range(len(features) - 1), key=lambda number: (-strength[number], features[number]))
    kept = sorted(strongest[: MAX_FEATURES - 1])
    numbers = {number: new_number for new_number, number in enumerate(kept)}
    return [[numbers[n] for n in row if n in numbers] for row in rows], [*(features[n] for n in kept), ALWAYS]


def number_features(examples: Sequence[Example]) -> tuple[list[Row], list[int]]:
    """The features of each example by their numbers, and the features that stay. The last one is `ALWAYS`."""
    found = [sorted(list_features(example.text)) for example in examples]
    families: dict[int, set[str]] = {}
    for example, names in zip(examples, found, strict=True):
        for name in names:
            families.setdefault(name, set()).add(example.family)
    kept = [name for name, having in families.items() if len(having) >= MIN_FAMILIES]
    numbers = {name: number for number, name in enumerate(kept)}
    return [[numbers[name] for name in names if name in numbers] for names in found], [*kept, ALWAYS]


def list_features(text: str) -> set[int]:
    """The features that the model sees in a text."""
    own_text = read_own(text).text
    readings = read_words(drop_signature(own_text, split_ends(own_text)))
    return set(list_features_between(readings)).union(*(reading.features for reading in readings))


def _train_labels(examples: Sequence[Example], rows: Sequence[Row], size: int, epochs: int) -> list[list[float]]:
    """The weights of each label, in as many processes as there are cores. A forked process reads the rows where they
    are: sent, they would be copied for each."""
    with get_context("fork").Pool(initializer=_share, initargs=(examples, rows, size, epochs)) as pool:
        return pool.map(_train_label, LABELS, chunksize=1)


def _share(*shared: object) -> None:
    SHARED[:] = shared


def _train_label(label: str) -> list[float]:
    """The weights that tell a label from the others."""
    examples, rows, size, epochs = SHARED
    weights = [0.0] * size
    always = size - 1
    signs = [1.0 if example.label == label else -1.0 for example in examples]
    softness = [0.5 / (COST * (COST_OF_MADE if example.is_made else 1.0)) for example in examples]
    scales = [1 / sqrt(len(row) + 1) for row in rows]
    alphas = [0.0] * len(rows)
    rests = [0] * len(rows)
    order = list(range(len(rows)))
    chance = random.Random(SEED)
    for _ in range(epochs):
        chance.shuffle(order)
        for i in order:
            if rests[i]:
                rests[i] -= 1
                continue
            row, alpha = rows[i], alphas[i]
            total = weights[always]
            for number in row:
                total += weights[number]
            step = signs[i] * scales[i]
            gradient = step * total - 1 + softness[i] * alpha
            if alpha == 0.0 and gradient >= 0:
                rests[i] = ROUNDS_OF_REST if gradient > FAR else 0
                continue
            alphas[i] = max(alpha - gradient / (1 + softness[i]), 0.0)
            change = (alphas[i] - alpha) * step
            for number in row:
                weights[number] += change
            weights[always] += change
    return weights


def _write(features: Sequence[int], by_label: Sequence[Sequence[float]]) -> bytes:
    """The rows of the file, sorted by the hash of the feature."""
    rows = {feature: tuple(map(_round, weights)) for feature, *weights in zip(features, *by_label, strict=True)}
    return b"".join(
        ROW.pack(feature >> 8, feature & 0xFF, *rows[feature]) for feature in sorted(rows) if any(rows[feature])
    )


def _round(weight: float) -> int:
    return max(-MAX_WEIGHT, min(MAX_WEIGHT, round(weight * SCALE)))
