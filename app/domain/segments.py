"""Counts the SMS segments of a text, and finds its encoding (GSM 03.38, 3GPP TS 23.038)."""

from dataclasses import dataclass

from app.domain.words import Encoding

GSM_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
GSM_EXTENDED = frozenset("\f^{}\\[~]|€")
"""Characters that take two septets: an escape and the character."""
GSM = GSM_BASIC | GSM_EXTENDED


GSM_REPLACEMENTS = str.maketrans(
    {
        "\u2018": "'",
        "\u2019": "'",
        "\u201a": "'",
        "\u2032": "'",
        "\u201c": '"',
        "\u201d": '"',
        "\u201e": '"',
        "\u00ab": '"',
        "\u00bb": '"',
        "\u2013": "-",
        "\u2014": "-",
        "\u2010": "-",
        "\u2011": "-",
        "\u2212": "-",
        "\u2026": "...",
        "\u00a0": " ",
        "\u202f": " ",
        "\u2009": " ",
        "\u200b": "",
        "\ufeff": "",
        "\u2022": "-",
        "\u00b4": "'",
        "`": "'",
        "\t": " ",
    }
)
"""Typographic characters, and their replacements in GSM-7."""
REMOVED_CHARACTERS = {code: replacement for code, replacement in GSM_REPLACEMENTS.items() if not replacement}
"""Those that are replaced by nothing."""


@dataclass(frozen=True, slots=True)
class SegmentCount:
    """The encoding and segments of a text. `culprit` is the first character that forces UCS-2."""

    encoding: Encoding
    segments: int
    culprit: str | None = None


def replace_typography(text: str) -> str:
    """Replaces typographic characters, if the text then fits GSM-7. A text that needs UCS-2 anyway
    stays as it is."""
    plain = text.translate(GSM_REPLACEMENTS)
    return plain if plain != text and count(plain).encoding == "GSM-7" else text


def count(text: str) -> SegmentCount:
    """Counts the segments of `text`. One segment holds 160 septets or 70 UTF-16 units; each of
    several holds 153 or 67. Pairs (escapes, surrogates) are never split."""
    culprit = None
    if GSM_BASIC.issuperset(text):  # most texts: no need to check each character
        units, single_size, part_size = [1] * len(text), 160, 153
    elif GSM.issuperset(text):
        units, single_size, part_size = [2 if c in GSM_EXTENDED else 1 for c in text], 160, 153
    else:
        culprit = next(c for c in text if c not in GSM)
        units, single_size, part_size = [2 if ord(c) > 0xFFFF else 1 for c in text], 70, 67
    encoding: Encoding = "GSM-7" if culprit is None else "UCS-2"
    if sum(units) <= single_size:
        return SegmentCount(encoding, 1, culprit)
    segments, room = 1, part_size
    for unit in units:
        if unit > room:
            segments, room = segments + 1, part_size
        room -= unit
    return SegmentCount(encoding, segments, culprit)
