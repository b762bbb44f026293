"""A lead's tags and custom fields: what they may be, and how a change of custom fields is merged."""

import re
from collections.abc import Mapping

from app.domain.problems import Invalid

MAX_TAGS = 20
MAX_TAG_LENGTH = 40
TAG_SEPARATORS = re.compile("[,;]")
"""They stand between tags in queries and files, so no tag has one."""
JOINERS = str.maketrans("", "", "\u200c\u200d")
"""They are invisible, but letters of some scripts and many emoji need them."""
MAX_CUSTOM_FIELDS = 20
MAX_CUSTOM_TEXT_LENGTH = 500
MAX_CUSTOM_NUMBER = 2**53 - 1
"""Up to here, every language reads the same number in JSON."""
CUSTOM_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}")
CUSTOM_VALUE_FAULT = (
    f"must be a text of at most {MAX_CUSTOM_TEXT_LENGTH} characters, a number up to {MAX_CUSTOM_NUMBER}, true or false"
)

CustomValue = str | int | float | bool
CustomFields = Mapping[str, CustomValue]


def find_tag_fault(tag: str) -> str | None:
    """What is wrong with a trimmed tag, in words."""
    if TAG_SEPARATORS.search(tag):
        return "must not contain a comma or a semicolon"
    visible = tag.translate(JOINERS)
    return None if visible and visible.isprintable() else "must consist of visible characters"


def is_custom_value(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= MAX_CUSTOM_TEXT_LENGTH
    return isinstance(value, int | float) and -MAX_CUSTOM_NUMBER <= value <= MAX_CUSTOM_NUMBER


def merge_custom_fields(known: CustomFields, given: Mapping[str, CustomValue | None]) -> CustomFields:
    """The known fields with the given ones; null removes one. Raises `Invalid` if there are too many."""
    merged = {key: value for key, value in {**known, **given}.items() if value is not None}
    if len(merged) > MAX_CUSTOM_FIELDS:
        raise Invalid(details=[f"customFields: the lead would have more than {MAX_CUSTOM_FIELDS}"])
    return merged
