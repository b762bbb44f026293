"""Marks what a search found in texts."""

import re
import unicodedata

from markupsafe import Markup, escape

from app.domain.searches import parse_search

ADDRESS = re.compile(r"https?://[^\s<>\"'“”‘’]+", re.IGNORECASE)
NOT_AT_END = ".,;:!?)]}…"
WORD = re.compile(r"\w+")
LEAD_IN = 24
"""Characters that a snippet shows before what was found."""


def build_pattern(typed_text: str) -> re.Pattern[str] | None:
    """Finds each phrase of a search, whatever stands between its words; None: it has no words. The database
    compares more forms of letters: a text that it found may be left without a mark."""
    alternatives = []
    for phrase in sorted(parse_search(typed_text).phrases, key=len, reverse=True):
        words = WORD.findall(unicodedata.normalize("NFKC", phrase))
        inside = r"[\W_]*".join(map(re.escape, words))
        if not words:
            continue
        # Chinese and its like have no blanks between words.
        edge = r"\b" if phrase.isascii() else ""
        alternatives.append(f"{edge}{inside}{edge}")
    return re.compile("|".join(alternatives), re.IGNORECASE) if alternatives else None


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
    parts, end = [], 0
    for match in pattern.finditer(text) if pattern else ():
        parts += [escape(text[end : match.start()]), Markup("<mark>{}</mark>").format(match[0])]
        end = match.end()
    return Markup("").join([*parts, escape(text[end:])])


def cut_snippet(text: str, pattern: re.Pattern[str] | None) -> Markup:
    """The text from shortly before what was found on, in one line."""
    line = " ".join(text.split())
    match = pattern.search(line) if pattern else None
    if not match:
        return mark_words(line, pattern)
    start = max(0, match.start() - LEAD_IN)
    if start and (blank := line.find(" ", start, match.start())) >= 0:
        start = blank + 1
    return mark_words(f"…{line[start:]}" if start else line, pattern)
