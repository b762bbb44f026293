"""What a valid phone is.

`normalize_phone` is strict: it is asked about a new recipient, where a mistake would text a stranger.
`recognize_phone` is lenient: it is asked about phones that may have written to us. `normalize_own` is
asked about our own numbers, short codes and senders' names among them. `from_carrier` refuses nothing. All give the one
form by which phones are stored and compared.
"""

import re
from functools import lru_cache
from typing import Any, Literal, NoReturn

import phonenumbers

from app.domain.problems import Invalid

NumberKind = Literal["local", "toll_free", "short"]
E164_PATTERN = re.compile(r"\+[1-9]\d{6,14}")
CARRIER_PATTERN = re.compile(r"[0-9]{3,8}|\+[0-9]{3,15}")
"""Short codes, which have 3 to 6 digits in most countries and up to 8 in some; and numbers as carriers
write them."""
SHORT_CODE_PATTERN = re.compile(r"[0-9]{3,8}")
NAME_PATTERN = re.compile(r"(?=[0-9 ]*[A-Za-z])[A-Za-z0-9](?:[A-Za-z0-9 ]{0,9}[A-Za-z0-9])?")
"""A sender's name of ours: what phones show instead of a number."""
BARE_SHORT_PATTERN = re.compile(r"[0-9]{3,6}")
WITHHELD_NUMBERS = frozenset(("+266696687", "+7378742833", "+86282452253", "+2562533", "+8656696"))
"""What Twilio gives as the number of who has withheld it: ANONYMOUS, RESTRICTED, UNAVAILABLE, BLOCKED and UNKNOWN on
the keys of a phone."""
MOBILE_TYPES = (phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE_OR_MOBILE)
MAX_SHORT_CODE_DIGITS = 8
MIN_E164_DIGITS, MAX_E164_DIGITS = 7, 15
OLD_MEXICAN_PATTERN = re.compile(r"(?:1|44|45)(\d{10})")
"""A Mexican mobile as it was written until 2019: +52 1, or 044 and 045 within the country."""
MEXICO = 52
CARRIER_MEXICAN_PATTERN = re.compile(r"521(\d{10})")
NORTH_AMERICAN_PATTERN = re.compile(
    r"(?P<code>\+1[ .-]?)?(?P<open>\()?(?P<area>[2-9][0-9]{2})(?(open)\)[ .-]?|[ .-]?)"
    r"(?P<rest>[2-9][0-9]{2})[ .-]?(?P<line>[0-9]{4})"
)
"""Ten digits as most are written."""
MAX_LENGTH = 250
NO_PHONE = "is not a valid phone number"
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
    """The phone of a new recipient in E.164, from any usual form. Raises `Invalid` naming `field`.

    `country` (ISO 3166 alpha-2) is used for numbers without a country code.
    """
    number = _parse_phone(raw_phone, country)
    return _format_e164(number) if number is not None else refuse(field)


def normalize_own(raw_phone: str, country: str, field: str) -> str:
    """A number of ours: in E.164, or a short code or a sender's name as it is. It belongs to somebody
    already, so it need not be one that number plans know. Raises `Invalid` naming `field`."""
    phone = recognize_phone(raw_phone, country)
    if phone is None and is_name(name := raw_phone.strip()):
        return name
    return phone if phone is not None else refuse(field)


def recognize_phone(raw_phone: str, country: str) -> str | None:
    """The phone that is meant: one that can be texted, a short code, or a number that number plans do
    not know yet, such as one of a new area code. None: anything else, a sender's name for example."""
    number = _parse_phone(raw_phone, country)
    if number is not None:
        return _format_e164(number)
    phone_text = raw_phone.strip()
    if CARRIER_PATTERN.fullmatch(phone_text):
        return from_carrier(phone_text)
    return _recognize_unassigned(phone_text, country)


def _recognize_unassigned(phone_text: str, country: str) -> str | None:
    """A number of the right length for its country."""
    if len(phone_text) > MAX_LENGTH or NO_PHONE_PATTERN.fullmatch(phone_text) or any(c.isalpha() for c in phone_text):
        return None
    try:
        number = phonenumbers.parse(phone_text, country)
    except phonenumbers.NumberParseException:
        return None
    length = phonenumbers.is_possible_number_with_reason(number)
    if length != phonenumbers.ValidationResult.IS_POSSIBLE or _has_two_numbers(phone_text, country):
        return None
    e164 = _format_e164(number)
    # A shorter one is a short code behind a country's prefix.
    return e164 if E164_PATTERN.fullmatch(e164) else None


def refuse(field: str) -> NoReturn:
    """Raises `Invalid` naming the field."""
    raise Invalid(details=[f"{field}: {NO_PHONE}"])


def _format_e164(number: Any) -> str:
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _parse_phone(raw_phone: str, country: str) -> Any:
    """The one number that is clearly meant, or None. Stricter than the library, which skips or
    dials letters and takes dates for numbers: such a number would belong to a stranger."""
    number_text = SCHEME_PATTERN.sub("", raw_phone.strip())
    if len(number_text) > MAX_LENGTH or NO_PHONE_PATTERN.fullmatch(number_text):
        return None
    number_text = EXTENSION_PATTERN.sub("", number_text).rstrip()
    if BARE_SHORT_PATTERN.fullmatch(number_text) and not _is_short_mobile(number_text, country):
        return None
    if any(c.isalpha() for c in number_text):
        return _parse_vanity_number(number_text, country)
    return None if _has_two_numbers(number_text, country) else _parse_valid(number_text, country)


def _is_short_mobile(digits: str, country: str) -> bool:
    """Whether so few digits are a mobile as people of the country write it. A few small countries have
    such; elsewhere they are a short code, though many number plans have landlines as short as that."""
    number = _parse_valid(digits, country)
    return (
        number is not None
        and phonenumbers.number_type(number) in MOBILE_TYPES
        and phonenumbers.ndd_prefix_for_region(country, True) is None
    )


def _parse_valid(number_text: str, country: str) -> Any:
    """The number, or None if it is not valid."""
    try:
        number = _parse_north_american(number_text, country) or phonenumbers.parse(number_text, country)
    except phonenumbers.NumberParseException:
        return None
    if number.country_code == MEXICO and (match := OLD_MEXICAN_PATTERN.fullmatch(str(number.national_number))):
        number = phonenumbers.PhoneNumber(country_code=MEXICO, national_number=int(match[1]))
    return number if _is_valid(number) else None


def _parse_north_american(number_text: str, country: str) -> Any:
    """What the library makes of ten digits, in a twentieth of its time; None: the library is to be asked."""
    match = NORTH_AMERICAN_PATTERN.fullmatch(number_text)
    if match is None or not (match["code"] or phonenumbers.country_code_for_region(country) == 1):
        return None
    return phonenumbers.PhoneNumber(country_code=1, national_number=int("".join(match.group("area", "rest", "line"))))


def _is_valid(number: Any) -> bool:
    """As the library's `is_valid_number`, which finds out the region first: twice the work for most
    numbers."""
    region = phonenumbers.region_code_for_country_code(number.country_code)
    return phonenumbers.is_valid_number_for_region(number, region) or phonenumbers.is_valid_number(number)


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
    has_plus = bare_phone.startswith("+")
    digits = re.sub(r"\D", "", bare_phone) if has_plus else bare_phone
    if not digits or not (has_plus or (digits.isascii() and digits.isdecimal() and len(digits) <= MAX_E164_DIGITS)):
        return bare_phone
    if len(digits) < MIN_E164_DIGITS or (not has_plus and _is_no_country_s(digits)):
        return digits
    if match := CARRIER_MEXICAN_PATTERN.fullmatch(digits):
        return f"+{MEXICO}{match[1]}"
    return f"+{digits}"


def list_forms(phone: str) -> list[str]:
    """The phone as it is stored, and as it may have been stored before: erased phones are known only by
    the hash of the form that they had."""
    has_old_form = phone.startswith(f"+{MEXICO}") and len(phone) == len(f"+{MEXICO}") + 10
    return [phone, f"+{MEXICO}1{phone[3:]}"] if has_old_form else [phone]


def keep_as_brought(raw_phone: str) -> str:
    """How the phone would be stored if a carrier had brought exactly these characters: a caller's letters
    behind a number are not left out, since the number without them may be a stranger's."""
    return raw_phone.strip() if any(c.isalpha() for c in raw_phone) else from_carrier(raw_phone)


def is_name(phone: str) -> bool:
    """Whether a number of ours is only a sender's name. Nobody can write to it."""
    return NAME_PATTERN.fullmatch(phone) is not None


def is_short_code(phone: str) -> bool:
    """Whether a phone, in the form in which it is stored, is a short code."""
    return SHORT_CODE_PATTERN.fullmatch(phone) is not None


def _is_no_country_s(digits: str) -> bool:
    """Whether seven or eight digits without a plus are a short code: some small countries have numbers
    as short as that."""
    return len(digits) <= MAX_SHORT_CODE_DIGITS and _parse_valid(f"+{digits}", "ZZ") is None


def can_be_answered(phone: str, answers_short_codes: bool = False) -> bool:
    """Whether the sender of a text, as `from_carrier` returns it, is a phone. Short codes, names and
    anonymous ids are machines: nobody reads an answer. `answers_short_codes`: the tenant talks with short
    codes too."""
    if E164_PATTERN.fullmatch(phone):
        return _could_be_assigned(phone)
    return answers_short_codes and SHORT_CODE_PATTERN.fullmatch(phone) is not None


@lru_cache(maxsize=4096)
def _could_be_assigned(phone: str) -> bool:
    """Whether an E.164 number has a length that its country uses. Its area code may be newer than our number
    plans."""
    if NORTH_AMERICAN_PATTERN.fullmatch(phone):
        return True  # to ask the library takes fifteen times as long
    if phone in WITHHELD_NUMBERS:
        return False
    try:
        return phonenumbers.is_possible_number(phonenumbers.parse(phone, None))
    except phonenumbers.NumberParseException:
        return False


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
    """The ISO 3166 alpha-2 region of an E.164 number; None: it has none. A number that number plans do
    not know is of the main country of its code."""
    try:
        number = phonenumbers.parse(phone, None)
    except phonenumbers.NumberParseException:
        return None
    region = phonenumbers.region_code_for_number(number)
    return region or _known_region(phonenumbers.region_code_for_country_code(number.country_code or 0))


def _known_region(region: str) -> str | None:
    return None if region in (phonenumbers.phonenumberutil.UNKNOWN_REGION, "001") else region
