"""Phones as people and files write them: one number, or none."""

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import phones
from app.domain.problems import Invalid

READ = [
    ("+12125550135", "DE", "+12125550135"),
    (" (212) 555-0135 ", "US", "+12125550135"),
    ("212.555.0135", "US", "+12125550135"),
    ("1 212 555 0135", "US", "+12125550135"),
    ("'2125550135", "US", "+12125550135"),
    ("\u202a+1 212 555 0135\u202c", "DE", "+12125550135"),
    ("＋１ ２１２ ５５５ ０１３５", "US", "+12125550135"),
    ("tel:+1-212-555-0135", "DE", "+12125550135"),
    ("089/123456", "DE", "+4989123456"),
    ("+49 (0)89 / 12 34 56", "US", "+4989123456"),
    ("0049 89 123456", "DE", "+4989123456"),
    ("0171-1234567", "DE", "+491711234567"),
    ("089 1234 0567", "DE", "+498912340567"),
    ("01 42 68 53 00", "FR", "+33142685300"),
    ("06 1234 0567", "IT", "+390612340567"),
    ("20 26 12 24", "DK", "+4520261224"),
    ("20261224", "DK", "+4520261224"),
    # Extensions cannot be texted; the number can.
    ("212-555-0135 ext. 12", "US", "+12125550135"),
    ("212-555-0135 Ext 12", "US", "+12125550135"),
    ("212-555-0135 extension: 12", "US", "+12125550135"),
    ("212-555-0135x12", "US", "+12125550135"),
    ("212-555-0135 X 12", "US", "+12125550135"),
    ("212-555-0135 #12", "US", "+12125550135"),
    ("tel:+1-212-555-0135;ext=12", "DE", "+12125550135"),
    ("+12125550135,,123#", "DE", "+12125550135"),
    # Words on the keys.
    ("1-800-FLOWERS", "US", "+18003569377"),
    ("1800flowers", "US", "+18003569377"),
    ("+1 (800) FLOWERS", "DE", "+18003569377"),
    ("1-800-GOT-JUNK", "US", "+18004685865"),
    ("1-800-GO-FEDEX", "US", "+18004633339"),
    ("1-800-225-5ATT", "US", "+18002255288"),
    ("1-800-FLOWERS x5", "US", "+18003569377"),
    ("212-555-HOME", "US", "+12125554663"),
    ("0800 FLOWERS", "GB", "+448003569377"),
]
NOT_READ = {
    "what a spreadsheet makes of a number": ["8.91234567E8", "8,91234567E+08", "2.12556E+09",
                                             "8.91234567e8", "1e10", "1701234567.0",
                                             "2125550135,0"],
    "letters behind": ["2125550135abc", "2125550135 home", "2125550135m", "2125550abc",
                       "212555013x", "089123456abc", "0800 1234567 abc"],
    "letters in front": ["abc2125550135", "Call 2125550135", "Mobile: 212-555-0135", "x2125550135"],
    "letters inside": ["212abc0135", "212-555-O135", "2l25550135", "0x7E8A12F35", "2125550135@c.us",
                       "https://wa.me/12125550135", "д2125550135", "212-five-0135"],
    "words where no word is": ["1-800-", "FLOWERS", "800", "089 Hauptstrasse", "12 Main Street"],
    "two numbers": ["2125550135, 2125550136", "2125550135;2125550136", "2125550135/2125550136",
                    "2125550135 or 2125550136", "2125550135 2125550136",
                    "212-555-0135 | 305-555-0136",
                    "2125550135 & 2125550136", "+12125550135+12125550136", "2125550135\n2125550136",
                    "030 123456 / 123457", "+4989123456, +4989123457", "08912345 08912346",
                    "2125550135,5550136", "2125550135 x 2125550136"],
    "a date": ["2026-12-24", "24.12.2026", "12/24/2026", "2026/12/24", "2026-12-24 10:00",
               "2026-12-24T10:00:00Z", "1.1.2026", "24 Dec 2026"],
    "nothing": ["", " ", "+", "()", "#", "ext. 5", "-"],
}  # fmt: skip


@pytest.mark.parametrize(("written", "country", "phone"), READ)
def test_one_number_is_read_however_it_is_written(written: str, country: str, phone: str) -> None:
    assert phones.normalize_phone(written, country) == phone


@pytest.mark.parametrize("country", ["US", "DE", "DK", "GB", "AU", "IT", "FR"])
@pytest.mark.parametrize(
    "written", [one for several in NOT_READ.values() for one in several]
)  # fmt: skip
def test_what_is_not_plainly_one_number_is_no_strangers(written: str, country: str) -> None:
    with pytest.raises(Invalid) as refused:
        phones.normalize_phone(written, country, "to")
    assert refused.value.details == ["to: is not a valid phone number"]


def test_a_word_for_one_country_is_no_number_of_another() -> None:
    with pytest.raises(Invalid):
        phones.normalize_phone("1-800-FLOWERS", "DE")


def test_who_writes_through_a_carrier_keeps_the_name_that_it_gave() -> None:
    for sender in ("AMAZON", "22395", "8.91234567E8", "1e10"):
        assert phones.from_carrier(sender) == sender


@pytest.mark.parametrize("sender", ["+266696687", "+7378742833", "+86282452253", "+2562533", "+8656696"])
def test_who_withholds_the_number_cannot_be_answered(sender: str) -> None:
    assert not phones.can_be_answered(sender, answers_short_codes=True)


@pytest.mark.parametrize(
    ("sender", "is_answered"),
    [("+19995550123", True), ("+447700900000", True), ("+123456789", False), ("+1212555123456", False),
     ("+9995551234", False)],
)  # fmt: skip
def test_a_number_of_a_length_that_its_country_does_not_have_cannot_be_answered(sender: str, is_answered: bool) -> None:
    assert phones.can_be_answered(sender) is is_answered


GAP = st.sampled_from(["", " ", "-", ".", ") "])
NORTH_AMERICAN = sorted(phonenumbers.region_codes_for_country_code(1))


@given(
    parts=st.tuples(
        st.sampled_from(["", "+1", "+1 ", "1 ", "("]),
        st.one_of(st.from_regex(r"[0-9]{3}", fullmatch=True), st.sampled_from(["212", "416", "876", "787", "800"])),
        GAP,
        st.from_regex(r"[0-9]{3}", fullmatch=True),
        GAP,
        st.from_regex(r"[0-9]{3,5}", fullmatch=True),
    ),
    country=st.one_of(st.sampled_from(NORTH_AMERICAN), st.sampled_from(sorted(phonenumbers.SUPPORTED_REGIONS))),
)
def test_ten_digits_are_read_as_the_library_reads_them(parts: tuple[str, ...], country: str) -> None:
    raw_phone = "".join(parts)
    try:
        number = phonenumbers.parse(raw_phone, country)
    except phonenumbers.NumberParseException:
        number = None
    if number is not None and number.country_code == 52:
        return  # Mexico's old form is read as the new one
    is_valid = number is not None and phonenumbers.is_valid_number(number)
    assert phones._parse_valid(raw_phone, country) == (number if is_valid else None)
