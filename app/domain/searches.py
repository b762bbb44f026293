"""What somebody typed to search for.

The words are folded by the database's function `fold_text`, for what is stored and for searches: what stands
in a text or a name is found, however it is written (docs/decisions/0033-searches-compare-folded-words.md)."""

import re
import unicodedata
from dataclasses import dataclass

MIN_PHONE_DIGITS = 3
DIGITS_PATTERN = re.compile(r"[\d\s()+.\-]+", re.ASCII)
PLAIN_WORD_PATTERN = re.compile(r"[A-Za-z0-9]+")
QUOTES = '"“”„«»'
INDEXED_PATTERN = re.compile(r"[^\W_]{3}")
PHRASE_PATTERN = re.compile(rf"[{QUOTES}]([^{QUOTES}]*)[{QUOTES}]|([^\s{QUOTES}]+)")


@dataclass(frozen=True, slots=True)
class Search:
    """`phrases`: what must be found, each with its words in order: what stands in quotation marks,
    or between two blanks. `plain_words`: the words of those phrases that are ASCII."""

    phrases: list[str]
    plain_words: list[str]
    phone_digits: str | None
    """The digits, if the search looks like a phone or a part of one."""

    @property
    def words(self) -> str:
        """All words. They are found in any order."""
        return " ".join(self.phrases)

    @property
    def is_short(self) -> bool:
        """No phrase has three letters in a row. An index of names knows no fewer: without one, all are read. A
        phone is found by its own."""
        folded_phrases = (unicodedata.normalize("NFKC", phrase.casefold()) for phrase in self.phrases)
        return not (self.phone_digits or any(INDEXED_PATTERN.search(phrase) for phrase in folded_phrases))

    @property
    def ordered_phrases(self) -> list[str]:
        """The phrases that may be several words: to find the words is not enough."""
        return [phrase for phrase in self.phrases if not (phrase.isascii() and phrase.isalnum())]


def parse_search(typed_text: str) -> Search:
    found_phrases = ["".join(groups) for groups in PHRASE_PATTERN.findall(typed_text)]
    phrases = [phrase for phrase in dict.fromkeys(found_phrases) if any(c.isalnum() for c in phrase)]
    plain_words = [word for phrase in phrases if phrase.isascii() for word in PLAIN_WORD_PATTERN.findall(phrase)]
    return Search(phrases, plain_words, _find_phone_digits(typed_text))


def _find_phone_digits(typed_text: str) -> str | None:
    if not DIGITS_PATTERN.fullmatch(typed_text):
        return None
    digits = "".join(c for c in typed_text if c.isdigit())
    return digits if len(digits) >= MIN_PHONE_DIGITS else None
