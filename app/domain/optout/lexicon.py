"""What a word may mean for an opt-out, in four languages."""

import re
from collections.abc import Mapping
from functools import lru_cache

from app.domain.optout.lists import read_lists

WITH_ME_PATTERN = re.compile(r"(?:[aei]r|[aeo]n?|ndo|d)(?:me|nos)(?:l[aeo]s?)?$")
WITH_IT_PATTERN = re.compile(r"(?:[aei]r|[aeo]n?|ndo)(?:l[aeo]s?|se)$")
"""Spanish verbs that end with their object: quítenme, bórrelo."""

ACTIONS = frozenset(
    "BACK BLOCK BOTHER CALL CANCEL CEASE CONTACT EMAIL HELP KEEP LOSE REMOVE RESUB SAY SEND START TEXT UNSUB".split()
)
"""Meanings of verbs."""
FOUND_WHEN_MISTYPED = ACTIONS | frozenset(
    "ALONE CONSENT INTEREST LIST LONGER MISTAKE NOT PLEASE PROMO REMIND REVOKE WANT WRONG".split()
)
"""Meanings that a word one letter away from a listed one may have."""
LENGTHS_OF_MISTYPED = range(5, 15)


def _build_tables() -> tuple[Mapping[str, tuple[str, ...]], Mapping[str, tuple[str, ...]]]:
    words: dict[str, tuple[str, ...]] = {}
    beginnings: dict[str, tuple[str, ...]] = {}
    for meaning, listed_words in read_lists("meanings.txt"):
        for word in listed_words:
            table = beginnings if word.endswith("*") else words
            table[word.rstrip("*")] = (*table.get(word.rstrip("*"), ()), meaning)
    return words, beginnings


WORDS, BEGINNINGS = _build_tables()
LONGEST_BEGINNING = max(map(len, BEGINNINGS))


@lru_cache(maxsize=8192)
def find_meanings(word: str) -> tuple[str, ...]:
    """What a folded word may mean, its main meaning first. Most words mean nothing here."""
    found_meanings = list(WORDS.get(word, ()))
    for length in range(min(len(word), LONGEST_BEGINNING), 1, -1):
        found_meanings += BEGINNINGS.get(word[:length], ())
    return tuple(dict.fromkeys(found_meanings))


def find_object(word: str, meaning: str) -> str | None:
    """The meaning of the object that a Spanish verb ends with."""
    if len(word) <= 4 or meaning not in ACTIONS:
        return None
    if WITH_ME_PATTERN.search(word):
        return "ME"
    return "THEM" if WITH_IT_PATTERN.search(word) else None


def shorten(word: str) -> tuple[str, ...]:
    """The word, and the word without one of its letters. Two words share one of them if one letter
    is missing, added or other in one of the two, or two neighbours are swapped."""
    return (word, *(word[:i] + word[i + 1 :] for i in range(len(word))))


def _build_mistyped() -> Mapping[str, tuple[str, ...]]:
    meanings_by_form: dict[str, dict[str, None]] = {}
    for word, meanings in WORDS.items():
        if len(word) >= LENGTHS_OF_MISTYPED.start and meanings[0] in FOUND_WHEN_MISTYPED:
            for short in shorten(word):
                meanings_by_form.setdefault(short, {})[meanings[0]] = None
    return {short: tuple(meanings) for short, meanings in meanings_by_form.items()}


MEANINGS_OF_MISTYPED = _build_mistyped()


@lru_cache(maxsize=8192)
def guess_meanings(word: str) -> tuple[str, ...]:
    """What an unknown word may mean, if it is mistyped."""
    if len(word) not in LENGTHS_OF_MISTYPED:
        return ()
    return tuple(dict.fromkeys(meaning for short in shorten(word) for meaning in MEANINGS_OF_MISTYPED.get(short, ())))


def find_likely_meanings(word: str) -> tuple[str, ...]:
    """What a folded word may mean; of an unknown word, what it may mean if it is mistyped."""
    return find_meanings(word) or guess_meanings(word)
