"""How many SMS segments a text takes, and in which encoding (GSM 03.38, 3GPP TS 23.038)."""

from dataclasses import dataclass

from app.domain.words import Encoding

GSM_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
GSM_EXTENDED = frozenset("\f^{}\\[~]|€")
"""Two septets each: an escape and the character."""


@dataclass(frozen=True, slots=True)
class Count:
    """`culprit` is the first character that forces UCS-2, or None."""

    encoding: Encoding
    segments: int
    culprit: str | None = None


def count(text: str) -> Count:
    """Segments of `text`: 160 or 153 septets, 70 or 67 UTF-16 units, pairs never split."""
    culprit = next((c for c in text if c not in GSM_BASIC and c not in GSM_EXTENDED), None)
    if culprit is None:
        units, whole, part = [2 if c in GSM_EXTENDED else 1 for c in text], 160, 153
    else:
        units, whole, part = [2 if ord(c) > 0xFFFF else 1 for c in text], 70, 67
    encoding: Encoding = "GSM-7" if culprit is None else "UCS-2"
    if sum(units) <= whole:
        return Count(encoding, 1, culprit)
    segments, room = 1, part
    for unit in units:
        if unit > room:
            segments, room = segments + 1, part
        room -= unit
    return Count(encoding, segments, culprit)
