"""Words of other machines as a database can keep them: JSON can spell what it cannot store."""

from hashlib import sha256
from typing import Any, ClassVar

MAX_ID_LENGTH = 255
KEPT_LENGTH = 180
"""How much stays of a longer id: the index that finds it takes no more than 2,704 bytes for all its columns."""


def clean_text(text: str) -> str:
    """`text` without NUL and lone surrogates."""
    clean = text.replace("\x00", "")
    return clean if clean.isascii() else clean.encode("utf-8", "replace").decode()


def fit_id(text: str) -> str:
    """An id, number or code as it is stored: the same for the same text, also if that is too long."""
    clean = clean_text(text)
    if len(clean) <= MAX_ID_LENGTH:
        return clean
    return f"{clean[:KEPT_LENGTH]}…{sha256(clean.encode()).hexdigest()}"


class Storable:
    """Base of frozen dataclasses that another machine fills: whatever it says, they can be stored. One that
    could not would stop all that is stored with it."""

    __slots__ = ()
    IDS: ClassVar[tuple[str, ...]] = ()
    """Fields that hold an id, a number or a code."""
    TEXTS: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        for names, make_fit in ((self.IDS, fit_id), (self.TEXTS, clean_text)):
            for name in names:
                raw: Any = getattr(self, name)
                if raw is not None:
                    object.__setattr__(self, name, make_fit(raw))
