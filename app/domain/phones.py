"""Phone numbers: strict on the way out, lenient on the way in."""

import re
from functools import lru_cache
from typing import Any, Literal

import phonenumbers

from app.domain.problems import Invalid

NumberKind = Literal["local", "toll_free", "short"]
LOOSE_PATTERN = re.compile(r"\d{5,15}")
LONGEST = 250
SCHEME = re.compile(r"\A(?:tel|sms):", re.I)
EXTENSION = re.compile(
    r"(?:(?<![a-z])[\s;,.-]{0,9}(?:ext(?:ension|n)?|xtn?|[x#])[\s.:=]{0,9}\d{1,9}|[,;]{1,9}\s?\d{1,5})\s?#?\Z",
    re.I,
)
"""Nobody can text it; the number before it can be texted."""
NO_PHONE = re.compile(
    r"\+?\d{6,}[.,]\d{1,2}"  # a decimal, as spreadsheets write numbers
    r"|(?:(?:19|20)\d\d([-./])(?:0?[1-9]|1[0-2])\1[0-3]?\d|[0-3]?\d([-./])[0-3]?\d\2(?:19|20)\d\d)"
    r"(?:[T\s].*)?",  # a date
    re.S,
)
BETWEEN_TWO = re.compile(r"(?<=\d)(?:\s*[/;,|&+]\s*|\s+(?=[+0]))")
WORD_AT_END = re.compile(r"([^a-z]*\d)([\s().-]*)([a-z](?:[\s.-]?[a-z]){2,})", re.I)
LETTERS_OF_LINES = (4, 7)
"""1-212-555-HOME, 1-212-FLOWERS."""


def normalize_phone(raw_phone: str, country: str, field: str = "phone") -> str:
    """Any readable phone form as E.164; raises `Invalid` naming `field` when it is not one.

    `country` (ISO 3166 alpha-2) decides for forms without a country code.
    """
    number = _read(raw_phone, country)
    if number is None:
        raise Invalid(details=[f"{field}: is not a valid phone number"])
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _read(written: str, country: str) -> Any:
    """The one number that is plainly meant, or None. The library reads more into what it is given:
    it skips or dials letters, and takes dates for numbers, which are some stranger's."""
    number = SCHEME.sub("", written.strip())
    if len(number) > LONGEST or NO_PHONE.fullmatch(number):
        return None
    number = EXTENSION.sub("", number).rstrip()
    if any(c.isalpha() for c in number):
        return _word(number, country)
    return None if _are_two(number, country) else _valid(number, country)


def _valid(number: str, country: str) -> Any:
    try:
        parsed = phonenumbers.parse(number, country)
    except phonenumbers.NumberParseException:
        return None
    return parsed if phonenumbers.is_valid_number(parsed) else None


def _are_two(number: str, country: str) -> bool:
    """Whether it is whole before its end. Blanks part one number too: there both must be whole."""
    return any(
        _valid(number[: gap.start()], country) and (not gap[0].isspace() or _valid(number[gap.end() :], country))
        for gap in BETWEEN_TWO.finditer(number)
    )


def _word(number: str, country: str) -> Any:
    """A number that ends in a word of its keys, such as 1-800-FLOWERS; None when the letters are
    anything else."""
    found = WORD_AT_END.fullmatch(number)
    if found is None:
        return None
    digits, gap, word = found.groups()
    parsed = _valid(number, country)
    if parsed is None or _valid(digits, country) or any(c.isalpha() for c in digits):
        return None
    if phonenumbers.number_type(parsed) == phonenumbers.PhoneNumberType.TOLL_FREE:
        return parsed
    a_line = gap and sum(c.isalpha() for c in word) in LETTERS_OF_LINES
    return parsed if a_line and parsed.country_code == 1 else None


def from_carrier(raw_phone: str) -> str:
    """A number as a carrier wrote it, as E.164 where it is one.

    Carriers omit the plus, and senders may be short codes or names, or numbers that
    metadata calls invalid: those are kept as they came (providers, "Consequences").
    """
    bare = raw_phone.strip()
    if bare.startswith("+"):
        return "+" + re.sub(r"\D", "", bare) if any(c.isdigit() for c in bare) else bare
    return f"+{bare}" if LOOSE_PATTERN.fullmatch(bare) and len(bare) > 6 else bare


@lru_cache(maxsize=4096)
def format_phone(phone: str) -> str:
    """For people's eyes: `+1 212-555-1234`; short codes and names as they are. A list of fifty
    is drawn again at each event, and to read a number takes 50 µs."""
    try:
        number = phonenumbers.parse(phone, None)
    except phonenumbers.NumberParseException:
        return phone
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.INTERNATIONAL)


def region_of(phone: str) -> str | None:
    """ISO 3166 alpha-2 of an E.164 number; None where it has none."""
    try:
        return phonenumbers.region_code_for_number(phonenumbers.parse(phone, None))
    except phonenumbers.NumberParseException:
        return None
