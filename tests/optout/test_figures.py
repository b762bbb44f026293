"""The corpus, the weights that ship, and how well they do on texts that were written apart."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain

import pytest

from app.domain.optout import fold_text
from app.domain.optout.model import WEIGHTS_FILE
from tests.optout.__main__ import RECORD, TRAINED_FROM, digest, train_all
from tests.optout.corpus import LANGUAGES, NEWEST_SET, SETS_APART, read_apart, read_corpus
from tests.optout.figures import Figure, Share, pool, select_part

MAX_WEIGHTS_SIZE = 500_000
RECORDED = json.loads(RECORD.read_text(encoding="utf-8"))
GOALS = {
    ("stop precision", "en"): 0.98, ("stop recall", "en"): 0.98,
    ("stop precision", "es"): 0.98, ("stop recall", "es"): 0.98,
    ("stop precision", "fr"): 0.95, ("stop recall", "fr"): 0.95,
    ("stop precision", "pt"): 0.95, ("stop recall", "pt"): 0.95,
    ("start precision", "all"): 0.97, ("start recall", "all"): 0.97,
    ("help precision", "all"): 0.97, ("help recall", "all"): 0.97,
}  # fmt: skip
"""Of the newest set that was written apart, and of all of them taken together."""
LOWEST = {
    "stop precision": 0.97, "stop recall": 0.975,
    "start precision": 0.97, "start recall": 0.97,
    "help precision": 0.97, "help recall": 0.97,
    "possible flagged or obeyed": 0.8,
}  # fmt: skip
"""Of each set that was written apart."""
HIGHEST = {"none flagged possible": 0.006, "none taken for stop": 0.013, "none taken for help": 0.005}


def test_the_corpus_is_large_in_four_languages_and_a_quarter_of_it_looks_like_a_wish() -> None:
    corpus = read_corpus()
    assert len(corpus) >= 5000
    assert {example.language for example in corpus} == set(LANGUAGES)
    assert {example.label for example in corpus} == {"stop", "start", "help", "possible", "none"}
    assert sum(e.label == "none" and e.kind != "ordinary" for e in corpus) >= len(corpus) // 4


def test_a_family_is_on_one_side_and_no_text_is_there_twice() -> None:
    corpus, apart = read_corpus(), list(chain(*read_apart().values()))
    assert not {e.family for e in corpus} & {e.family for e in apart}
    assert [text for text, times in Counter(e.text.lower() for e in (*corpus, *apart)).items() if times > 1] == []


@pytest.mark.parametrize("name", SETS_APART)
def test_a_set_that_tests_shares_no_text_with_the_corpus_in_whatever_dress(name: str) -> None:
    texts = read_apart()[name]
    assert len(texts) >= 1500
    assert sum(example.language == "en" for example in texts) >= len(texts) * 0.45
    learned = {fold_text(example.text) for example in read_corpus()} - {""}
    assert [example.text for example in texts if fold_text(example.text) in learned] == []


def test_the_weights_that_ship_are_the_trained_ones() -> None:
    """`make optout` after each change of the corpus, the lists of words, the features or the training."""
    assert digest([WEIGHTS_FILE]) == RECORDED["weights"]
    assert digest(TRAINED_FROM) == RECORDED["trained from"]
    assert WEIGHTS_FILE.stat().st_size <= MAX_WEIGHTS_SIZE


@pytest.mark.long
def test_training_again_gives_the_same_bytes() -> None:
    assert train_all() == WEIGHTS_FILE.read_bytes()


def get_share(sets: Iterable[str], name: str, part: str = "all") -> float:
    """A recorded share of these sets, taken together."""
    figures = [[Figure(f["name"], f["part"], Share(**f["share"])) for f in RECORDED[texts]] for texts in sets]
    return select_part(pool(figures), part)[name].value


@pytest.mark.parametrize("sets", [(NEWEST_SET,), SETS_APART], ids=["newest", "all"])
@pytest.mark.parametrize(("name", "part"), GOALS)
def test_the_figures_on_texts_written_apart_reach_the_goals(name: str, part: str, sets: Sequence[str]) -> None:
    assert get_share(sets, name, part) >= GOALS[name, part]


@pytest.mark.parametrize("texts", SETS_APART)
@pytest.mark.parametrize("name", LOWEST)
def test_the_figures_on_texts_written_apart_are_no_lower(texts: str, name: str) -> None:
    assert get_share([texts], name) >= LOWEST[name]


@pytest.mark.parametrize("texts", SETS_APART)
@pytest.mark.parametrize("name", HIGHEST)
def test_conversation_on_texts_written_apart_is_seldom_taken_for_a_wish(texts: str, name: str) -> None:
    assert get_share([texts], name) <= HIGHEST[name]
