"""Trains the weights of the model: for each label an L2-loss support vector machine, by dual coordinate
descent (Hsieh et al., 2008). It adds, multiplies, divides and takes square roots in one fixed order, so
the same corpus gives the same bytes on every machine."""

import random
from collections.abc import Iterable, Sequence
from math import sqrt

from app.domain.optout.features import Feature, hash_features, list_features
from app.domain.optout.model import ALWAYS, LABELS, ROW, SCALE
from app.domain.optout.quotations import cut_quotations
from app.domain.optout.spelling import split_words
from tests.optout.corpus import Example

COST = 4.0
COST_OF_MADE = 0.4
"""What a sentence of the grammar counts, beside a text that was written by hand."""
EPOCHS = 12
SEED = 7
MIN_FAMILIES = 2
"""A feature that only one family has says nothing about others."""
MAX_FEATURES = 60_000
"""With eight bytes each: what the file may hold."""
MAX_WEIGHT = 127

Row = list[int]


def train(examples: Sequence[Example]) -> bytes:
    """The weights file for these examples."""
    rows, features = number_features(examples)
    by_label = [_train_label(examples, rows, len(features), label) for label in LABELS]
    return _write(features, by_label)


def number_features(examples: Sequence[Example]) -> tuple[list[Row], list[Feature]]:
    """The features of each example by their numbers, and the features that stay. The last one is `ALWAYS`."""
    found = [sorted(list_features(split_words(cut_quotations(example.text).text))) for example in examples]
    families: dict[Feature, set[str]] = {}
    for example, names in zip(examples, found, strict=True):
        for name in names:
            families.setdefault(name, set()).add(example.family)
    kept = [name for name, having in families.items() if len(having) >= MIN_FAMILIES]
    numbers = {name: number for number, name in enumerate(kept)}
    return [[numbers[name] for name in names if name in numbers] for names in found], [*kept, ALWAYS]


def _train_label(examples: Sequence[Example], rows: Sequence[Row], size: int, label: str) -> list[float]:
    """The weights that tell a label from the others."""
    weights = [0.0] * size
    always = size - 1
    signs = [1.0 if example.label == label else -1.0 for example in examples]
    softness = [0.5 / (COST * (COST_OF_MADE if example.is_made else 1.0)) for example in examples]
    scales = [1 / sqrt(len(row) + 1) for row in rows]
    alphas = [0.0] * len(rows)
    order = list(range(len(rows)))
    chance = random.Random(SEED)
    for _ in range(EPOCHS):
        chance.shuffle(order)
        for i in order:
            row, alpha = rows[i], alphas[i]
            total = weights[always]
            for number in row:
                total += weights[number]
            step = signs[i] * scales[i]
            gradient = step * total - 1 + softness[i] * alpha
            if alpha == 0.0 and gradient >= 0:
                continue
            alphas[i] = max(alpha - gradient / (1 + softness[i]), 0.0)
            change = (alphas[i] - alpha) * step
            for number in row:
                weights[number] += change
            weights[always] += change
    return weights


def _write(features: Sequence[Feature], by_label: Sequence[Sequence[float]]) -> bytes:
    """The rows of the file, sorted by hash. Of two features with one hash the stronger one stays."""
    strongest: dict[int, tuple[int, ...]] = {}
    for number, hashed in enumerate(hash_features(features)):
        row = tuple(_round(weights[number]) for weights in by_label)
        if any(row) and _strength(row) > _strength(strongest.get(hashed, ())):
            strongest[hashed] = row
    [always] = hash_features([ALWAYS])
    kept = sorted(strongest, key=lambda hashed: (hashed != always, -_strength(strongest[hashed]), hashed))
    return b"".join(ROW.pack(hashed >> 8, hashed & 0xFF, *strongest[hashed]) for hashed in sorted(kept[:MAX_FEATURES]))


def _round(weight: float) -> int:
    return max(-MAX_WEIGHT, min(MAX_WEIGHT, round(weight * SCALE)))


def _strength(row: Iterable[int]) -> int:
    return max((abs(weight) for weight in row), default=0)
