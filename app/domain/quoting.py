"""Texts that may quote one of ours: only for them are our texts read."""

import re
import unicodedata

QUOTING_PATTERN = re.compile(r"[\"“”„«»‹›‘「」『』]|(?:^|\s)'|^[ \t]*[>┃]", re.MULTILINE)


def has_quoting_shape(text: str) -> bool:
    """Whether the text has a quotation mark or a quoted line, or begins with a symbol, as a reaction does."""
    return bool(QUOTING_PATTERN.search(text)) or unicodedata.category(text.lstrip()[:1] or " ") == "So"
