"""Phone numbers: strict on the way out, lenient on the way in."""

import re
from functools import lru_cache
from typing import Literal

import phonenumbers

from app.domain.problems import Invalid

NumberKind = Literal["local", "toll_free", "short"]
E164 = re.compile(r"\+[1-9]\d{6,14}")
LOOSE = re.compile(r"\d{5,15}")


def normalise(written: str, country: str, field: str = "phone") -> str:
    """Any readable phone form as E.164; raises `Invalid` naming `field` when it is not one.

    `country` (ISO 3166 alpha-2) decides for forms without a country code.
    """
    try:
        parsed = phonenumbers.parse(written, country)
    except phonenumbers.NumberParseException:
        parsed = None
    if parsed is None or not phonenumbers.is_valid_number(parsed):
        raise Invalid(details=[f"{field}: is not a valid phone number"])
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)


def from_carrier(written: str) -> str:
    """A number as a carrier wrote it, as E.164 where it is one.

    Carriers omit the plus, and senders may be short codes or names, or numbers that
    metadata calls invalid: those are kept as they came (providers, "Consequences").
    """
    bare = written.strip()
    if bare.startswith("+"):
        return "+" + re.sub(r"\D", "", bare) if any(c.isdigit() for c in bare) else bare
    return f"+{bare}" if LOOSE.fullmatch(bare) and len(bare) > 6 else bare


@lru_cache(maxsize=4096)
def shown(phone: str) -> str:
    """For people's eyes: `+1 212-555-1234`; short codes and names as they are. A list of fifty
    is drawn again at each event, and to read a number takes 50 µs."""
    try:
        parsed = phonenumbers.parse(phone, None)
    except phonenumbers.NumberParseException:
        return phone
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.INTERNATIONAL)


def region(phone: str) -> str | None:
    """ISO 3166 alpha-2 of an E.164 number; None where it has none."""
    try:
        return phonenumbers.region_code_for_number(phonenumbers.parse(phone, None))
    except phonenumbers.NumberParseException:
        return None
