"""What may leave: something must be seen, and not too much of it."""

import sys
import unicodedata

import pytest

from app.domain.orders import MAX_TEXT_LENGTH, find_fault, find_permanent_fault
from app.domain.segments import replace_typography

BLANK = {
    "nothing": "",
    "line breaks": " \t\r\n\u2028\u2029\x0b\x0c\x85",
    "wide and thin spaces": "\u00a0\u1680\u2000\u2009\u202f\u205f\u3000",
    "control characters": "\x00\x07\x1b\x7f\x9f",
    "a zero width space": "\u200b",
    "joiners": "\u200c\u200d\u2060",
    "a byte order mark": "\ufeff",
    "marks of direction": "\u200e\u200f\u061c\u202a\u202c\u202e\u2066\u2069",
    "a soft hyphen": "\u00ad",
    "a grapheme joiner": "\u034f",
    "Hangul fillers": "\u115f\u1160\u3164\uffa0",
    "Khmer vowels that do not show": "\u17b4\u17b5",
    "Mongolian selectors": "\u180b\u180e\u180f",
    "variation selectors": "\ufe0e\ufe0f\U000e0100\U000e01ef",
    "invisible operators": "\u2061\u2062\u2063\u2064",
    "a braille blank": "\u2800",
    "tags": "\U000e0001\U000e0067\U000e007f",
    "anchors": "\ufff9\ufffa\ufffb\ufffc",
    "musical": "\U0001d159\U0001d173\U0001d17a",
    "many of all": " \u200b\u2800\u3164\ufe0f\U000e0067" * 200,
}
SEEN = [
    *("a", ".", "\u200bHi\u200b", "❤️", "👩‍👩‍👧‍👦", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "🇩🇪", "1️⃣", "👍🏽", "⠁"),
    *("می‌خواهم", "\u0301", "\u0600", "ᄒ\u1160", "\u00ad1"),
]
BEFORE_NUMBERS = set("\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd")
"""Format characters that are seen."""
BLANK_LETTERS_AND_SIGNS = set("\u115f\u1160\u2800\u3164\uffa0\ufffc\U0001d159")


@pytest.mark.parametrize("text", BLANK.values(), ids=BLANK.keys())
def test_a_text_in_which_nothing_is_seen_is_blank(text: str) -> None:
    assert find_fault(text) == find_permanent_fault(text) == "must not be blank"


@pytest.mark.parametrize("text", SEEN)
def test_what_joins_and_selects_is_fine_beside_what_is_seen(text: str) -> None:
    assert find_fault(text) is None
    assert find_permanent_fault(text) is None


def test_of_all_characters_those_are_blank_that_unicode_says_are_for_no_eye() -> None:
    everything = [chr(code) for code in range(sys.maxunicode + 1)]
    blank = {c for c in everything if find_fault(c)}
    kind = unicodedata.category
    unseen = {c for c in everything if kind(c) in ("Zs", "Zl", "Zp", "Cc", "Cf")}
    assert unseen - blank == BEFORE_NUMBERS
    assert {c for c in blank if kind(c)[0] in "LNPS"} == BLANK_LETTERS_AND_SIGNS


def test_length_is_told_by_what_leaves() -> None:
    assert find_fault("x" * MAX_TEXT_LENGTH) is None
    assert find_fault("😀" * MAX_TEXT_LENGTH) is None
    assert find_fault("x" * (MAX_TEXT_LENGTH + 1)) == "is longer than 1600 characters"
    longer = "x" * MAX_TEXT_LENGTH + "\u200b\ufeff"
    assert find_permanent_fault(longer) is None
    assert find_fault(replace_typography(longer)) is None
    assert find_fault(longer) is not None
    assert find_permanent_fault(longer + "x") is not None
