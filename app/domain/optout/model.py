"""What a text means, by a linear model over its features (features.py).

`weights.bin` holds for each label the weight of each feature that the training kept: a row has three bytes
of the feature's hash and one signed byte for each label. `make optout` writes it (tests/optout/train.py)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import sqrt
from pathlib import Path
from struct import Struct

from app.domain.optout.features import (
    GUESS,
    KEYS,
    LENGTH,
    LENGTH_WITHOUT_KEYS,
    PART,
    Feature,
    hash_features,
    key_of,
    list_features,
    read_word,
)

LABELS = ("stop", "start", "help", "possible", "none")
WEIGHTS_FILE = Path(__file__).with_name("weights.bin")
ALWAYS: Feature = (0, 1, 0, 0, 0)
"""The feature that each text has."""
[HASH_OF_ALWAYS] = hash_features([ALWAYS])

LANE_BITS = 20
LANE_MASK = (1 << LANE_BITS) - 1
LANE_SIGN = 1 << LANE_BITS - 1
"""The weights of a feature are one whole number, a lane for each label: one addition adds them all."""

ROW = Struct(f">HB{len(LABELS)}b")
SCALE = 24
"""A weight of 1 in the file is 1 / SCALE."""
MAX_REASONS = 4
UNREADABLE_KINDS = frozenset((PART, GUESS, KEYS, LENGTH, LENGTH_WITHOUT_KEYS))


def pack(weights: Sequence[int]) -> int:
    return sum(weight << LANE_BITS * lane for lane, weight in enumerate(weights))


def unpack(total: int) -> list[int]:
    weights = []
    for _ in LABELS:
        weight = ((total & LANE_MASK) ^ LANE_SIGN) - LANE_SIGN
        weights.append(weight)
        total = (total - weight) >> LANE_BITS
    return weights


def read_weights(data: bytes) -> Mapping[int, int]:
    """The packed weights by the hash of the feature."""
    return {high << 8 | low: pack(weights) for high, low, *weights in ROW.iter_unpack(data)}


@cache
def load_weights() -> Mapping[int, int]:
    """The weights that ship, read once, which takes some tens of milliseconds."""
    return read_weights(WEIGHTS_FILE.read_bytes())


@dataclass(frozen=True, slots=True)
class Meaning:
    """`scores`: how much speaks for each of `LABELS`; they compare with each other."""

    scores: Sequence[float]
    features: set[Feature]


def read_meaning(words: Sequence[str], weights: Mapping[int, int]) -> Meaning:
    """What the words of a text mean."""
    find = weights.get
    features = list_features(words)
    known_weights = [
        packed_weights for packed_weights in map(find, hash_features(features)) if packed_weights is not None
    ]
    total = sum(known_weights) + find(HASH_OF_ALWAYS, 0)
    size = SCALE * sqrt(len(known_weights) + 1)
    return Meaning([score / size for score in unpack(total)], features)


def explain(words: Sequence[str], meaning: Meaning, label: str, weights: Mapping[int, int]) -> tuple[str, ...]:
    """The features that spoke most for a label, as words."""
    find, lane = weights.get, LABELS.index(label)
    names = _list_names(words)
    weighed_names = [
        (unpack(find(feature_hash, 0))[lane], _describe(feature, names))
        for feature, feature_hash in zip(meaning.features, hash_features(meaning.features), strict=True)
    ]
    strongest = sorted({(-weight, name) for weight, name in weighed_names if weight > 0 and name})
    return tuple(dict.fromkeys(name for _, name in strongest))[:MAX_REASONS]


def _list_names(words: Sequence[str]) -> Mapping[int, str]:
    """What the keys of the features of a text stand for."""
    names = {}
    for word in words:
        word_reading = read_word(word)
        for name in (word, f"!{word}"):
            names[key_of(name)] = f"“{word}”" if name == word else f"“{word}” denied"
        for meaning in (*word_reading.meanings, *word_reading.denied_meanings):
            if meaning.strip("!~").isalpha() and meaning != "X":
                names[key_of(meaning)] = meaning.lower().replace("!", "not ").replace("~", "")
    return names


def _describe(feature: Feature, names: Mapping[int, str]) -> str:
    """A feature as words; empty for one that a person does not understand."""
    kind, *keys = feature
    if kind in UNREADABLE_KINDS:
        return ""
    return " + ".join(names[key] for key in keys if key in names)
