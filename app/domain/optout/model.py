"""What a text means, by a linear model over its features (features.py).

`weights.bin` holds for each label the weight of each feature that the training kept: a row has three bytes
of the feature's hash and one signed byte for each label. `make optout` writes it (tests/optout/train.py)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import islice, pairwise, repeat
from math import sqrt
from operator import itemgetter
from pathlib import Path
from struct import Struct

from app.domain.optout.features import (
    ALWAYS,
    CHAIN,
    MEANING,
    MEANING_AND_WORD,
    TWO_WORDS,
    WORD,
    WordReading,
    hash_feature,
    list_features_between,
    list_heard,
    read_words,
)

LABELS = ("stop", "start", "help", "possible", "none")
WEIGHTS_FILE = Path(__file__).with_name("weights.bin")
LANE_BITS = 20
LANE_MASK = (1 << LANE_BITS) - 1
LANE_SIGN = 1 << LANE_BITS - 1
SIGNS = sum(LANE_SIGN << LANE_BITS * lane for lane in range(len(LABELS)))
"""The weights of a feature are one whole number, a lane for each label: one addition adds them all. Above the
lanes stands a 1, so that the sum tells how many features it is made of."""
ONE_FEATURE = 1 << LANE_BITS * len(LABELS)

ROW = Struct(f">HB{len(LABELS)}b")
SCALE = 24
"""A weight of 1 in the file is 1 / SCALE."""
MAX_REASONS = 4
MAX_REMEMBERED = 8192


def pack(weights: Sequence[int]) -> int:
    return ONE_FEATURE + sum(weight << LANE_BITS * lane for lane, weight in enumerate(weights))


def unpack(total: int, lane: int) -> int:
    """The weight of the label with this place in `LABELS`."""
    return (total + SIGNS >> LANE_BITS * lane & LANE_MASK) - LANE_SIGN


@dataclass(frozen=True, slots=True)
class Model:
    """The packed weights by the hash of the feature. `known`: which of their own features words have
    weights for, remembered for the words that were read last."""

    weights: Mapping[int, int]
    known: dict[tuple[str, str], tuple[int, ...]] = field(default_factory=dict)

    def find_known(self, reading: WordReading) -> tuple[int, ...]:
        name = (reading.word, reading.main)
        if (known := self.known.get(name)) is None:
            if len(self.known) >= MAX_REMEMBERED:
                self.known.clear()
            known = self.known[name] = tuple(filter(self.weights.__contains__, reading.features))
        return known


def read_model(data: bytes) -> Model:
    return Model({high << 8 | low: pack(weights) for high, low, *weights in ROW.iter_unpack(data)})


@cache
def load_model() -> Model:
    """The model that ships, read once, which takes some tens of milliseconds."""
    return read_model(WEIGHTS_FILE.read_bytes())


def score_labels(words: Sequence[str], model: Model) -> list[float]:
    """How much the words of a text speak for each of `LABELS`; the scores compare with each other."""
    readings = read_words(words)
    features = {ALWAYS, *list_features_between(readings)}.union(*map(model.find_known, readings))
    total = sum(map(model.weights.get, features, repeat(0)))
    size = SCALE * sqrt((total + SIGNS) // ONE_FEATURE)
    return [unpack(total, lane) / size for lane in range(len(LABELS))]


def explain(words: Sequence[str], label: str, model: Model) -> tuple[str, ...]:
    """The words, their meanings and their pairs that spoke most for a label."""
    find, lane = model.weights.get, LABELS.index(label)
    weighed = [(unpack(find(feature, 0), lane), name) for feature, *name in _list_readable(words)]
    strongest = sorted((entry for entry in weighed if entry[0] > 0), key=itemgetter(0), reverse=True)
    names = (" + ".join(map(_name, name)) for _, name in strongest)
    return tuple(islice(dict.fromkeys(names), MAX_REASONS))


def _list_readable(words: Sequence[str]) -> Iterator[tuple[int, *tuple[str, ...]]]:
    """The features that a person understands, each with what it is made of: “words” and meanings."""
    readings = [(reading, f"“{reading.word}”") for reading in list_heard(read_words(words))]
    for reading, word in readings:
        yield hash_feature(WORD, reading.key), word
        yield hash_feature(MEANING, reading.main_key), reading.main
    for (before, word), (reading, next_word) in pairwise(readings):
        yield hash_feature(TWO_WORDS, before.key, reading.key), word, next_word
        yield hash_feature(MEANING_AND_WORD, before.main_key, reading.key), before.main, next_word
        yield hash_feature(CHAIN, before.main_key, reading.main_key), before.main, reading.main


def _name(part: str) -> str:
    """A “word” as it is, a meaning in small letters."""
    return part if part.startswith("“") else part.lower().replace("!", "not ").replace("~", "")
