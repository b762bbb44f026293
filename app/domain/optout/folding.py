"""Folding: what two writings of the same words have in common."""

import re
import unicodedata

APOSTROPHES = "'’‘`´ʼ＇"
INVISIBLE_CHARACTERS = frozenset(
    "\u00ad\u034f\u061c\u180e\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e"
    "\u2060\u2061\u2062\u2063\u2064\u2066\u2067\u2068\u2069\ufe0e\ufe0f\ufeff"
)
"""They may stand inside a word and are not seen."""

WITHOUT_INVISIBLE = dict.fromkeys(map(ord, INVISIBLE_CHARACTERS))

NON_WORD_PATTERN = re.compile(r"[\W_]+")
WITHOUT_APOSTROPHES = str.maketrans("", "", APOSTROPHES)
LETTERS_THAT_LOOK_LATIN = str.maketrans(
    "асеіорѕтухαεικνορτυχᴀʙᴄᴅᴇғɢʜɪᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡʏᴢ", "aceiopstyxaeiknoptuxabcdefghijklmnoprstuvwyz"
) | {first + i: chr(ord("a") + i) for first in (0x1F150, 0x1F170) for i in range(26)}
"""Cyrillic and Greek letters, small capitals and white letters on black, by the Latin ones that they look like."""


def fold_text(text: str) -> str:
    """Removes case, width, accents, apostrophes and punctuation; one space between words."""
    return NON_WORD_PATTERN.sub(" ", fold_letters(text.translate(WITHOUT_APOSTROPHES))).strip()


def unify_characters(text: str) -> str:
    """The text in its usual characters: those of full width and the invisible ones are gone."""
    if text.isascii():
        return text
    return unicodedata.normalize("NFKC", text).translate(WITHOUT_INVISIBLE)


def fold_letters(text: str) -> str:
    """Removes case, width, accents and invisible characters."""
    if text.isascii():
        return text.lower()
    plain = unicodedata.normalize("NFKD", text).casefold().translate(LETTERS_THAT_LOOK_LATIN)
    return "".join(c for c in plain if not unicodedata.combining(c) and c not in INVISIBLE_CHARACTERS)
