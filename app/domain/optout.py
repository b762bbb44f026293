"""Which inbound texts mean "do not text me" (contract 7; CTIA Messaging Principles 5.1.3;
47 CFR 64.1200(a)(10): stop, quit, end, revoke, opt out, cancel, unsubscribe).

Only the definitive words are judged here: the whole text, folded.
"""

import re
import unicodedata
from typing import Literal

Word = Literal["stop", "start", "help"]

STOP = frozenset(
    {"stop", "stopall", "stop all", "unsubscribe", "cancel", "end", "quit", "revoke", "remove",
     "optout", "opt out", "alto", "parar", "baja", "cancelar"}
)  # fmt: skip
START = frozenset({"start", "unstop"})
HELP = frozenset({"help", "info", "ayuda"})

_NOT_WORDS = re.compile(r"[^\w]+|_+")


def fold(text: str) -> str:
    """Case, width, accents and punctuation away; words separated by one space."""
    plain = unicodedata.normalize("NFKD", text).casefold()
    bare = "".join(c for c in plain if not unicodedata.combining(c))
    return _NOT_WORDS.sub(" ", bare).strip()


def judge(text: str) -> Word | None:
    """The control word that `text` is, as a whole; None for conversation."""
    if len(text) > 200:
        return None
    folded = fold(text)
    if folded in STOP:
        return "stop"
    if folded in START:
        return "start"
    return "help" if folded in HELP else None
