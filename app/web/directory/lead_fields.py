"""Tags and custom fields of leads in requests: as fields of a body, and as filters of a list."""

import json
import re
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import Query
from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, ValidationError, WithJsonSchema
from pydantic_core import InitErrorDetails, PydanticCustomError

from app.domain.lead_fields import (
    CUSTOM_KEY,
    CUSTOM_VALUE_FAULT,
    MAX_CUSTOM_FIELDS,
    MAX_CUSTOM_NUMBER,
    MAX_CUSTOM_TEXT_LENGTH,
    MAX_TAG_LENGTH,
    MAX_TAGS,
    CustomValue,
    find_tag_fault,
    is_custom_value,
)
from app.domain.problems import Invalid
from app.store.lead_lists import FieldChoice
from app.web.envelope import get_storage_error

JSON_NUMBER = re.compile(r"-?(0|[1-9]\d{0,15})(\.\d{1,15})?", re.ASCII)
KEY_ERROR = PydanticCustomError("key", "must be a letter and up to 39 more letters, digits and underscores")
VALUE_ERROR = PydanticCustomError("value", CUSTOM_VALUE_FAULT)
TEXT_SCHEMA = {"type": "string", "maxLength": MAX_CUSTOM_TEXT_LENGTH}
NUMBER_SCHEMA = {"type": "number", "minimum": -MAX_CUSTOM_NUMBER, "maximum": MAX_CUSTOM_NUMBER}


def _require_tag(tag: str) -> str:
    if fault := find_tag_fault(tag):
        raise ValueError(fault)
    return tag


def _drop_repeats(tags: list[str]) -> list[str]:
    return list(dict.fromkeys(tags))


Tag = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_TAG_LENGTH, pattern=r"^[^,;]*$"),
    AfterValidator(_require_tag),
]
Tags = Annotated[list[Tag], Field(max_length=MAX_TAGS), AfterValidator(_drop_repeats)]


def _require_custom_fields(fields: Any) -> Any:
    """Raises one error for each key and value that cannot be taken."""
    if not isinstance(fields, dict):
        return fields
    errors = [
        InitErrorDetails(type=error, loc=(str(key),), input=None)
        for key, value in fields.items()
        if (error := _find_error(key, value))
    ]
    if errors:
        raise ValidationError.from_exception_data("customFields", errors)
    return fields


def _find_error(key: Any, value: Any) -> PydanticCustomError | None:
    if not isinstance(key, str) or not CUSTOM_KEY.fullmatch(key):
        return KEY_ERROR
    if value is None:
        return None
    return get_storage_error(value) if is_custom_value(value) else VALUE_ERROR


GivenFields = Annotated[
    dict[str, CustomValue | None],
    Field(max_length=MAX_CUSTOM_FIELDS),
    BeforeValidator(_require_custom_fields),
    WithJsonSchema(
        {
            "type": "object",
            "maxProperties": MAX_CUSTOM_FIELDS,
            "propertyNames": {"pattern": f"^{CUSTOM_KEY.pattern}$"},
            "additionalProperties": {"anyOf": [TEXT_SCHEMA, NUMBER_SCHEMA, {"type": "boolean"}, {"type": "null"}]},
        }
    ),
]
"""PATCH merges them by key, and null removes one."""
ShownValue = Annotated[
    CustomValue, WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "number"}, {"type": "boolean"}]})
]

FieldFilters = Annotated[
    list[str] | None,
    Query(
        alias="customField",
        max_length=MAX_CUSTOM_FIELDS,
        description="`key:value`, may be repeated: leads whose custom field has this value.",
    ),
]


def parse_field_filters(filters: Sequence[str] | None) -> list[FieldChoice] | None:
    """For each `key:value` the fields that are meant: `42` may be a text or a number. Raises `Invalid`."""
    return None if filters is None else [_parse_field_filter(field_filter) for field_filter in filters]


def _parse_field_filter(field_filter: str) -> FieldChoice:
    key, colon, word = field_filter.partition(":")
    if not colon or not CUSTOM_KEY.fullmatch(key):
        raise Invalid(details=["customField: must be key:value, such as plan:gold"])
    choice: FieldChoice = [{key: word}]
    if word in ("true", "false") or JSON_NUMBER.fullmatch(word):
        choice.append({key: json.loads(word)})
    return choice
