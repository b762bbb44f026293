"""How many SMS segments a text takes, and in which encoding (GSM 03.38, 3GPP TS 23.038)."""

from dataclasses import dataclass

from app.domain.words import Encoding

GSM_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
GSM_EXTENDED = frozenset("\f^{}\\[~]|€")
"""Two septets each: an escape and the character."""
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
"""Typographic characters and what GSM-7 has in their place."""
DROPPED = {code: twin for code, twin in GSM_REPLACEMENTS.items() if not twin}
"""Those of them that leave no trace."""


@dataclass(frozen=True, slots=True)
class SegmentCount:
    """`culprit` is the first character that forces UCS-2, or None."""

    encoding: Encoding
    segments: int
    culprit: str | None = None


def replace_typography(text: str) -> str:
    """`text` with typographic characters as their GSM replacements, if that makes it GSM-7: one that
    needs UCS-2 anyway is left as it is."""
    plain = text.translate(GSM_REPLACEMENTS)
    return plain if plain != text and count(plain).encoding == "GSM-7" else text


def count(text: str) -> SegmentCount:
    """Segments of `text`: 160 or 153 septets, 70 or 67 UTF-16 units, pairs never split."""
    culprit = None
    if GSM_BASIC.issuperset(text):  # nearly all: their characters need not be looked at singly
        units, whole, part = [1] * len(text), 160, 153
    elif GSM.issuperset(text):
        units, whole, part = [2 if c in GSM_EXTENDED else 1 for c in text], 160, 153
    else:
        culprit = next(c for c in text if c not in GSM)
        units, whole, part = [2 if ord(c) > 0xFFFF else 1 for c in text], 70, 67
    encoding: Encoding = "GSM-7" if culprit is None else "UCS-2"
    if sum(units) <= whole:
        return SegmentCount(encoding, 1, culprit)
    segments, room = 1, part
    for unit in units:
        if unit > room:
            segments, room = segments + 1, part
        room -= unit
    return SegmentCount(encoding, segments, culprit)
