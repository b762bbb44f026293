"""Opt-out rules against a labelled table of what people write."""

import csv
import timeit
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import optout
from app.domain.optout import Judgment, judge_text

TABLE = Path(__file__).with_name("optout_phrases.tsv")
DEFINITIVE = ("stop", "quit", "end", "revoke", "opt out", "cancel", "unsubscribe")
"""47 CFR 64.1200(a)(10)."""


@dataclass(frozen=True, slots=True)
class Phrase:
    """`aside`: measured, and not looked at when a rule is changed."""

    label: str
    part: str
    language: str
    aside: bool
    text: str

    @property
    def judged(self) -> Judgment:
        return judge_text(self.text)


def phrases() -> list[Phrase]:
    with TABLE.open(newline="", encoding="utf-8") as opened:
        return [
            Phrase(
                row["label"], row["part"], row["language"], row["aside"] == "1",
                row["text"].replace("\\n", "\n"),
            )
            for row in csv.DictReader(opened, delimiter="\t", quoting=csv.QUOTE_NONE)
        ]  # fmt: skip


PHRASES = phrases()
TALK = [phrase for phrase in PHRASES if phrase.label in ("talk", "possible")]


def missed(word: str, among: Sequence[Phrase]) -> list[str]:
    return [p.text for p in among if p.label == word and p.judged.word != word]


def wrong(word: str, among: Sequence[Phrase]) -> list[str]:
    return [p.text for p in among if p.label != word and p.judged.word == word]


def share(bad: int, of: int) -> float:
    return 1.0 if of == 0 else 1 - bad / of


def test_the_table_is_large_bilingual_and_a_third_of_it_set_aside() -> None:
    assert len(PHRASES) >= 400
    assert {phrase.language for phrase in PHRASES} == {"en", "es"}
    assert sum(phrase.aside for phrase in PHRASES) >= len(PHRASES) // 3 - len(PHRASES) // 20


@pytest.mark.parametrize("aside", [False, True])
@pytest.mark.parametrize("part", ["word", "sentence", "first_line"])
def test_each_part_is_found_and_nothing_else_is(part: str, aside: bool) -> None:
    """Recall over the part; precision over the part and all talk of the same third."""
    among = [p for p in PHRASES if p.aside == aside and p.part == part]
    talk = [p for p in TALK if p.aside == aside]
    lost, invented = missed("stop", among), wrong("stop", [*among, *talk])
    assert share(len(lost), len(among)) >= 0.98, lost
    found = len(among) - len(lost)
    assert share(len(invented), found + len(invented)) >= 0.98, invented


@pytest.mark.parametrize("word", ["help", "start"])
def test_help_and_start_are_found_and_nothing_else_is(word: str) -> None:
    assert missed(word, PHRASES) == []
    assert wrong(word, PHRASES) == []


def test_a_reaction_that_quotes_us_says_nothing() -> None:
    assert [p.text for p in PHRASES if p.part == "reaction" and p.judged != Judgment()] == []


def test_what_may_be_a_wish_is_flagged_and_not_obeyed() -> None:
    unclear = [p for p in PHRASES if p.label == "possible"]
    assert [p.text for p in unclear if p.judged.word] == []
    assert share(sum(not p.judged.is_possible for p in unclear), len(unclear)) >= 0.98


@pytest.mark.parametrize("word", DEFINITIVE)
@pytest.mark.parametrize(
    "shape",
    ["{}", "{}.", "{}!", " {} ", "{}\n", "“{}”", "{} please", "please {}", "{}!!! 🛑", "\u200b{}"],
)
def test_the_words_the_rule_names_always_count(word: str, shape: str) -> None:
    for written in (word, word.upper(), word.title(), word.replace(" ", "-"), word.swapcase()):
        assert judge_text(shape.format(written)).word == "stop", written


def test_yes_is_start_only_from_a_suppressed_phone_whose_carrier_says_so() -> None:
    assert judge_text("Yes!", yes_restores=True, is_suppressed=True).word == "start"
    assert judge_text("Yes!", yes_restores=True).word is None
    assert judge_text("Yes!", is_suppressed=True).word is None


@given(st.text(max_size=2000))
def test_whatever_is_written_is_judged(text: str) -> None:
    judged = judge_text(text)
    assert judged.word in ("stop", "start", "help", None)
    assert (judged.rule is None) == (judged.word is None)


@given(st.text(max_size=200))
def test_folding_twice_is_folding_once(text: str) -> None:
    assert optout.fold_text(optout.fold_text(text)) == optout.fold_text(text)


@pytest.mark.parametrize("unit", ["stop ", "a", "\u0301", "dont ", "no me ", "take me my ", "quit a b ", "\n> ", "“"])
def test_a_long_text_costs_no_more_than_its_head(unit: str) -> None:
    """Only the head of a text is folded and matched: 64 KiB cost what 2 KiB cost."""
    texts = [(unit * 65_536)[:size] for size in (2048, 65_536)]
    costs = [min(timeit.repeat(lambda: judge_text(text), number=5, repeat=3)) for text in texts]  # noqa: B023
    assert costs[1] < 5 * costs[0] + 0.005
