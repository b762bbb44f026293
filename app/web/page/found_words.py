"""Marks what a search found in texts."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache

from markupsafe import Markup, escape

from app.domain.searches import parse_search

ADDRESS = re.compile(r"https?://[^\s<>\"'“”‘’]+", re.IGNORECASE)
NOT_AT_END = ".,;:!?)]}…"
WORD = re.compile(r"\w+")
ACCENT = re.compile("[\u0300-\u036f]")
WITHOUT_STROKES = str.maketrans("øłđħı", "oldhi")
LEAD_IN = 24
"""Characters that a snippet shows before what was found."""


def build_pattern(typed_text: str) -> re.Pattern[str] | None:
    """Finds each phrase of a search in a folded text, whatever stands between its words; None: it has no words.
    The database compares more forms of letters: a text that it found may be left without a mark."""
    alternatives = []
    for phrase in sorted(parse_search(typed_text).phrases, key=len, reverse=True):
        folded_phrase, _ = fold_letters(phrase)
        words = WORD.findall(folded_phrase)
        inside = r"[\W_]*".join(map(re.escape, words))
        if not words:
            continue
        # Chinese and its like have no blanks between words.
        edge = r"\b" if folded_phrase.isascii() else ""
        alternatives.append(f"{edge}{inside}{edge}")
    return re.compile("|".join(alternatives)) if alternatives else None


def fold_letters(text: str) -> tuple[str, Sequence[int]]:
    """The text without case and accents, and for each of its letters, where in the text it came from; after the
    last one, the text's end."""
    if text.isascii():
        return text.lower(), range(len(text) + 1)
    folded_letters = [_fold_letter(letter) for letter in text]
    places = [place for place, letters in enumerate(folded_letters) for _ in letters]
    return "".join(folded_letters), [*places, len(text)]


@lru_cache(4096)
def _fold_letter(letter: str) -> str:
    parts = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", letter).casefold())
    return unicodedata.normalize("NFC", ACCENT.sub("", parts).translate(WITHOUT_STROKES))


def _find_words(text: str, pattern: re.Pattern[str] | None) -> Iterator[tuple[int, int]]:
    """Where in the text `pattern` finds something: begin and end."""
    if pattern is None:
        return
    folded_text, places = fold_letters(text)
    for match in pattern.finditer(folded_text):
        yield places[match.start()], places[match.end()]


def link_addresses(text: str, pattern: re.Pattern[str] | None = None) -> Markup:
    """Makes links of the addresses in a text, and marks what `pattern` finds; escapes the rest."""
    parts, end = [], 0
    for match in ADDRESS.finditer(text):
        address = match[0].rstrip(NOT_AT_END)
        link = Markup('<a href="{0}" target="_blank" rel="noopener noreferrer nofollow">{1}</a>')
        parts += [mark_words(text[end : match.start()], pattern), link.format(address, mark_words(address, pattern))]
        end = match.start() + len(address)
    return Markup("").join([*parts, mark_words(text[end:], pattern)])


def mark_words(text: str, pattern: re.Pattern[str] | None) -> Markup:
    parts, last_end = [], 0
    for begin, end in _find_words(text, pattern):
        parts += [escape(text[last_end:begin]), Markup("<mark>{}</mark>").format(text[begin:end])]
        last_end = end
    return Markup("").join([*parts, escape(text[last_end:])])


def cut_snippet(text: str, pattern: re.Pattern[str] | None) -> Markup:
    """The text from shortly before what was found on, in one line."""
    line = " ".join(text.split())
    begin = next((begin for begin, _ in _find_words(line, pattern)), 0)
    start = max(0, begin - LEAD_IN)
    if start and (blank := line.find(" ", start, begin)) >= 0:
        start = blank + 1
    return mark_words(f"…{line[start:]}" if start else line, pattern)
