"""Phones of any country in any usual form: each door that takes one gives the same canonical form."""

import phonenumbers
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from phonenumbers import PhoneNumberFormat, PhoneNumberType

from app.domain import phones
from app.domain.problems import Invalid

REGIONS = sorted(phonenumbers.SUPPORTED_REGIONS)
FORMATS = (
    PhoneNumberFormat.E164, PhoneNumberFormat.INTERNATIONAL, PhoneNumberFormat.NATIONAL, PhoneNumberFormat.RFC3966,
)  # fmt: skip
KINDS = (PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE)
NAME_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 "


@st.composite
def numbers(draw: st.DrawFn) -> tuple[str, phonenumbers.PhoneNumber]:
    """A region and a valid number of it: an example of the number plan with other last digits."""
    region = draw(st.sampled_from(REGIONS))
    found = phonenumbers.example_number_for_type(region, draw(st.sampled_from(KINDS)))
    assume(found is not None)
    example: phonenumbers.PhoneNumber = found or phonenumbers.PhoneNumber()
    digits = phonenumbers.national_significant_number(example)
    changed = draw(st.integers(0, min(4, len(digits))))
    ending = draw(st.text("0123456789", min_size=changed, max_size=changed))
    text = f"+{example.country_code}{digits[: len(digits) - changed]}{ending}"
    try:
        number: phonenumbers.PhoneNumber = phonenumbers.parse(text, None)
    except phonenumbers.NumberParseException:
        number = example
    assume(phonenumbers.is_valid_number_for_region(number, region))
    return region, number


def normalize(raw: str, country: str) -> str | None:
    try:
        return phones.normalize_phone(raw, country)
    except Invalid:
        return None


def normalize_own(raw: str, country: str) -> str | None:
    try:
        return phones.normalize_own(raw, country, "phoneNumber")
    except Invalid:
        return None


@settings(max_examples=1000, deadline=None)
@given(numbers(), st.sampled_from(REGIONS))
def test_the_canonical_form_is_the_same_at_each_door_and_stays(
    known: tuple[str, phonenumbers.PhoneNumber], elsewhere: str
) -> None:
    region, number = known
    canonical = normalize(phonenumbers.format_number(number, PhoneNumberFormat.E164), region)
    assert canonical is not None
    for country in (region, elsewhere):
        assert normalize(canonical, country) == canonical
        assert normalize_own(canonical, country) == canonical
        assert phones.recognize_phone(canonical, country) == canonical
    assert phones.from_carrier(canonical) == canonical
    assert phones.from_carrier(canonical[1:]) == canonical
    assert phones.keep_as_brought(canonical) == canonical
    assert phones.can_be_answered(canonical)
    assert normalize(phones.format_phone(canonical), elsewhere) == canonical


@settings(max_examples=1000, deadline=None)
@given(numbers(), st.sampled_from(FORMATS))
def test_a_number_of_our_country_is_the_same_in_each_form(
    known: tuple[str, phonenumbers.PhoneNumber], form: int
) -> None:
    region, number = known
    canonical = normalize(phonenumbers.format_number(number, PhoneNumberFormat.E164), region)
    written = phonenumbers.format_number(number, form)
    # A landline as short as a short code, which nobody texts, is taken for one.
    assume(not phones.BARE_SHORT_PATTERN.fullmatch(written) or phonenumbers.number_type(number) in phones.MOBILE_TYPES)
    for spelled in (written, f" {written}\n", written.replace(" ", "\u00a0")):
        assert normalize(spelled, region) == canonical, spelled
        assert normalize_own(spelled, region) == canonical
        assert phones.recognize_phone(spelled, region) == canonical


@settings(max_examples=2000, deadline=None)
@given(
    st.text(min_size=0, max_size=20)
    | st.text("0123456789+-(). /,;x#", max_size=24)
    | st.text("0123456789", min_size=1, max_size=17).map(lambda digits: f"+{digits}"),
    st.sampled_from(REGIONS),
)
def test_whatever_one_door_takes_each_other_door_takes_as_the_same(raw: str, country: str) -> None:
    recognized = phones.recognize_phone(raw, country)
    strict = normalize(raw, country)
    assert strict in (None, recognized)
    own = normalize_own(raw, country)
    assert own == recognized or (own is not None and phones.is_name(own))
    if recognized is not None:
        assert phones.recognize_phone(recognized, country) == recognized or phones.is_short_code(recognized)
        assert phones.from_carrier(recognized) == recognized
    brought = phones.from_carrier(raw)
    assert phones.from_carrier(brought) == brought
    assert brought.isascii() or not phones.can_be_answered(brought)


@settings(max_examples=1000, deadline=None)
@given(st.text("0123456789", min_size=3, max_size=6), st.sampled_from(REGIONS))
def test_a_short_code_is_no_phone(code: str, country: str) -> None:
    assert phones.from_carrier(code) == code
    assert phones.is_short_code(code)
    assert not phones.can_be_answered(code)
    if phonenumbers.ndd_prefix_for_region(country, True):  # people write a 0 in front of a number
        assert phones.recognize_phone(code, country) == code
        assert normalize(code, country) is None


@settings(max_examples=1000, deadline=None)
@given(st.text(NAME_LETTERS, min_size=1, max_size=11), st.sampled_from(REGIONS))
def test_a_senders_name_is_no_phone(name: str, country: str) -> None:
    assume(any(c.isalpha() for c in name) and name == name.strip())
    assert phones.from_carrier(name) == name
    assert not phones.can_be_answered(name)
    assert not phones.is_short_code(name)
    assert phones.keep_as_brought(name) == name
    assert phones.format_phone(name) == name
    if not any(c.isdigit() for c in name):
        assert phones.recognize_phone(name, country) is None
        with pytest.raises(Invalid):
            phones.normalize_phone(name, country)


@pytest.mark.parametrize(("country", "code"), [("FI", "23456"), ("NO", "02000"), ("LU", "23456")])
def test_a_short_code_is_not_taken_for_a_landline_of_the_country(country: str, code: str) -> None:
    assert phonenumbers.is_valid_number(phonenumbers.parse(code, country))
    assert phones.normalize_own(code, country, "phoneNumber") == code
    assert normalize(code, country) is None


@pytest.mark.parametrize(
    ("country", "written", "phone"), [("AD", "312345", "+376312345"), ("FO", "211234", "+298211234")]
)
def test_a_small_countrys_short_mobile_is_a_phone(country: str, written: str, phone: str) -> None:
    assert normalize(written, country) == phone
    assert phones.recognize_phone(written, country) == phone
