"""The corpus, the weights that ship, and how well the judge does on families that trained nothing."""

import json
from collections import Counter

import pytest

from app.domain.optout.model import WEIGHTS_FILE
from tests.optout.__main__ import RECORD, TRAINED_FROM, digest, train_all
from tests.optout.corpus import LANGUAGES, read_corpus, split

MAX_WEIGHTS_SIZE = 500_000
RECORDED = json.loads(RECORD.read_text(encoding="utf-8"))
LOWEST = {
    ("stop precision", "en"): 0.89, ("stop recall", "en"): 0.93,
    ("stop precision", "es"): 0.91, ("stop recall", "es"): 0.92,
    ("stop precision", "fr"): 0.88, ("stop recall", "fr"): 0.89,
    ("stop precision", "pt"): 0.91, ("stop recall", "pt"): 0.90,
    ("start precision", "all"): 0.89, ("start recall", "all"): 0.86,
    ("help precision", "all"): 0.91, ("help recall", "all"): 0.93,
}  # fmt: skip
HIGHEST = {("none flagged possible", "all"): 0.06, ("none taken for stop", "all"): 0.03}


def test_the_corpus_is_large_in_four_languages_and_a_quarter_of_it_looks_like_a_wish() -> None:
    corpus = read_corpus()
    assert len(corpus) >= 5000
    assert len(split(corpus)[1]) >= 1500
    assert {example.language for example in corpus} == set(LANGUAGES)
    assert {example.label for example in corpus} == {"stop", "start", "help", "possible", "none"}
    assert sum(e.label == "none" and e.kind != "ordinary" for e in corpus) >= len(corpus) // 4


def test_a_family_is_on_one_side_and_no_text_is_there_twice() -> None:
    training, held_out = split(read_corpus())
    assert not {e.family for e in training} & {e.family for e in held_out}
    assert [text for text, times in Counter(e.text.lower() for e in (*training, *held_out)).items() if times > 1] == []


def test_the_weights_that_ship_are_the_trained_ones() -> None:
    """`make optout` after each change of the corpus, the lists of words, the features or the training."""
    assert digest([WEIGHTS_FILE]) == RECORDED["weights"]
    assert digest(TRAINED_FROM) == RECORDED["trained from"]
    assert WEIGHTS_FILE.stat().st_size <= MAX_WEIGHTS_SIZE


@pytest.mark.long
def test_training_again_gives_the_same_bytes() -> None:
    assert train_all() == WEIGHTS_FILE.read_bytes()


def held_out_share(name: str, part: str) -> float:
    [share] = [f["share"] for f in RECORDED["held out"] if (f["name"], f["part"]) == (name, part)]
    return float(share["hits"] / share["of"])


@pytest.mark.parametrize(("name", "part"), LOWEST)
def test_the_figures_on_held_out_families_are_no_lower(name: str, part: str) -> None:
    assert held_out_share(name, part) >= LOWEST[name, part]


@pytest.mark.parametrize(("name", "part"), HIGHEST)
def test_conversation_on_held_out_families_is_seldom_taken_for_a_wish(name: str, part: str) -> None:
    assert held_out_share(name, part) <= HIGHEST[name, part]
