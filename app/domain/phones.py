"""Phone numbers: strict for numbers that callers give, lenient for those that carriers report."""

import re
from functools import lru_cache
from typing import Any, Literal

import phonenumbers

from app.domain.problems import Invalid

NumberKind = Literal["local", "toll_free", "short"]
DIGITS_PATTERN = re.compile(r"\d{5,15}")
E164_PATTERN = re.compile(r"\+[1-9]\d{6,14}")
MAX_LENGTH = 250
SCHEME_PATTERN = re.compile(r"\A(?:tel|sms):", re.I)
EXTENSION_PATTERN = re.compile(
    r"(?:(?<![a-z])[\s;,.-]{0,9}(?:ext(?:ension|n)?|xtn?|[x#])[\s.:=]{0,9}\d{1,9}|[,;]{1,9}\s?\d{1,5})\s?#?\Z",
    re.I,
)
"""An extension is removed: texts go to the number before it."""
NO_PHONE_PATTERN = re.compile(
    r"\+?\d{6,}[.,]\d{1,2}"  # a decimal, as spreadsheets write numbers
    r"|(?:(?:19|20)\d\d([-./])(?:0?[1-9]|1[0-2])\1[0-3]?\d|[0-3]?\d([-./])[0-3]?\d\2(?:19|20)\d\d)"
    r"(?:[T\s].*)?",  # a date
    re.S,
)
SEPARATOR_PATTERN = re.compile(r"(?<=\d)(?:\s*[/;,|&+]\s*|\s+(?=[+0]))")
"""What may separate two numbers."""
VANITY_PATTERN = re.compile(r"([^a-z]*\d)([\s().-]*)([a-z](?:[\s.-]?[a-z]){2,})", re.I)
VANITY_LENGTHS = (4, 7)
"""Letters of a local vanity number: 1-212-555-HOME, 1-212-FLOWERS."""


def normalize_phone(raw_phone: str, country: str, field: str = "phone") -> str:
    """The phone in E.164, from any usual form. Raises `Invalid` naming `field`.

    `country` (ISO 3166 alpha-2) is used for numbers without a country code.
    """
    number = _parse_phone(raw_phone, country)
    if number is None:
        raise Invalid(details=[f"{field}: is not a valid phone number"])
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _parse_phone(raw_phone: str, country: str) -> Any:
    """The one number that is clearly meant, or None. Stricter than the library, which skips or
    dials letters and takes dates for numbers: such a number would belong to a stranger."""
    number_text = SCHEME_PATTERN.sub("", raw_phone.strip())
    if len(number_text) > MAX_LENGTH or NO_PHONE_PATTERN.fullmatch(number_text):
        return None
    number_text = EXTENSION_PATTERN.sub("", number_text).rstrip()
    if any(c.isalpha() for c in number_text):
        return _parse_vanity_number(number_text, country)
    return None if _has_two_numbers(number_text, country) else _parse_valid(number_text, country)


def _parse_valid(number_text: str, country: str) -> Any:
    """The number, or None if it is not valid."""
    try:
        number = phonenumbers.parse(number_text, country)
    except phonenumbers.NumberParseException:
        return None
    return number if phonenumbers.is_valid_number(number) else None


def _has_two_numbers(number_text: str, country: str) -> bool:
    """Whether the text before a separator is a number of its own. Spaces also stand inside a number,
    so around spaces both sides must be numbers."""
    return any(
        _parse_valid(number_text[: gap.start()], country)
        and (not gap[0].isspace() or _parse_valid(number_text[gap.end() :], country))
        for gap in SEPARATOR_PATTERN.finditer(number_text)
    )


def _parse_vanity_number(number_text: str, country: str) -> Any:
    """A number that ends in a word, such as 1-800-FLOWERS; None: the letters are something else."""
    match = VANITY_PATTERN.fullmatch(number_text)
    if match is None:
        return None
    digits, gap, word = match.groups()
    number = _parse_valid(number_text, country)
    if number is None or _parse_valid(digits, country) or any(c.isalpha() for c in digits):
        return None
    if phonenumbers.number_type(number) == phonenumbers.PhoneNumberType.TOLL_FREE:
        return number
    is_local_vanity = gap and sum(c.isalpha() for c in word) in VANITY_LENGTHS
    return number if is_local_vanity and number.country_code == 1 else None


def from_carrier(raw_phone: str) -> str:
    """A number as a carrier reported it, in E.164 if it is one.

    Carriers omit the plus. A sender may be a short code, a name, or a number that is formally
    invalid: those stay as they came.
    """
    bare_phone = raw_phone.strip()
    if bare_phone.startswith("+"):
        return "+" + re.sub(r"\D", "", bare_phone) if any(c.isdigit() for c in bare_phone) else bare_phone
    return f"+{bare_phone}" if DIGITS_PATTERN.fullmatch(bare_phone) and len(bare_phone) > 6 else bare_phone


def can_be_answered(phone: str) -> bool:
    """Whether the sender of a text, as `from_carrier` returns it, is a phone. Short codes, names and
    anonymous ids are machines: nobody reads an answer."""
    return E164_PATTERN.fullmatch(phone) is not None


@lru_cache(maxsize=4096)
def format_phone(phone: str) -> str:
    """The phone for people to read: `+1 212-555-1234`; short codes and names stay as they are.
    Cached: parsing takes 50 µs, and each event redraws a list of fifty."""
    try:
        number = phonenumbers.parse(phone, None)
    except phonenumbers.NumberParseException:
        return phone
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.INTERNATIONAL)


def region_of(phone: str) -> str | None:
    """The ISO 3166 alpha-2 region of an E.164 number; None: it has none."""
    try:
        return phonenumbers.region_code_for_number(phonenumbers.parse(phone, None))
    except phonenumbers.NumberParseException:
        return None
