"""Reads the lists of words that lie beside this module."""

from collections.abc import Iterator, Sequence
from pathlib import Path

FOLDER = Path(__file__).parent


def read_lists(name: str) -> Iterator[tuple[str, Sequence[str]]]:
    """The lists of a file: each has a title at the start of a line, and its words in the indented lines below."""
    title, words = "", list[str]()
    for line in (FOLDER / name).read_text(encoding="utf-8").splitlines():
        if line.startswith("#") or not line.strip():
            continue
        if line.startswith(" "):
            words += line.split()
            continue
        if title:
            yield title, words
        title, words = line.strip(), []
    yield title, words


def read_phrases(name: str) -> dict[str, frozenset[str]]:
    """As `read_lists`, of phrases with a comma between them."""
    return {
        title: frozenset(phrase for phrase in (part.strip() for part in " ".join(words).split(",")) if phrase)
        for title, words in read_lists(name)
    }
