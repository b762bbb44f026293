"""The envelope of every JSON answer, and the bases of the models inside it (contract 2)."""

import re
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import InitErrorDetails, PydanticCustomError

from app.domain.orders import MAX_TEXT_LENGTH, hopeless, unfit
from app.providers import REGISTRY

T = TypeVar("T")
NUL_ERROR = PydanticCustomError("nul", "must not contain the NUL character")
SURROGATE_ERROR = PydanticCustomError("half", "must be valid Unicode without lone surrogates")
LONE_SURROGATES = re.compile("[\ud800-\udfff]")


class Body(BaseModel):
    """Base of request bodies: camelCase, unknown fields refused by name, nothing coerced.

    A string that cannot be stored, for a NUL or a lone surrogate, is refused here by the field's
    name: pydantic looks for surrogates only in strings that have other limits.
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_alias=True,
        validate_by_name=False,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        frozen=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _require_storable(cls, raw_body: Any) -> Any:
        if isinstance(raw_body, dict):
            errors = [InitErrorDetails(type=error, loc=loc, input=None) for loc, error in _find_unstorable(raw_body)]
            if errors:
                raise ValidationError.from_exception_data(cls.__name__, errors)
        return raw_body

    def get_named_fields(self) -> dict[str, Any]:
        """Only the fields that the request named (PATCH), by their Python names."""
        return self.model_dump(include=self.model_fields_set)


def _find_unstorable(
    fields: dict[Any, Any],
) -> Iterator[tuple[tuple[str | int, ...], PydanticCustomError]]:
    # Nested models look at their own strings; lists of strings have nobody else.
    for name, value in fields.items():
        if error := _get_storage_error(value):
            yield (name,), error
        elif isinstance(value, list):
            yield from (((name, i), error) for i, item in enumerate(value) if (error := _get_storage_error(item)))


def _get_storage_error(value: Any) -> PydanticCustomError | None:
    if not isinstance(value, str):
        return None
    if "\x00" in value:
        return NUL_ERROR
    return SURROGATE_ERROR if not value.isascii() and LONE_SURROGATES.search(value) else None


class Out(BaseModel):
    """Base of what answers hold: built by either name, rendered in camelCase."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        from_attributes=True,
    )


def make_optional_in_schema(field: str) -> Callable[[dict[str, Any]], None]:
    """`json_schema_extra` of an answer with a secret: a repeat by its Idempotency-Key comes
    without it, so that its schema must not require it."""
    return lambda schema: schema["required"].remove(field)


class Answer(BaseModel, Generic[T]):
    """`{"success": true, "data": …}`."""

    success: Literal[True] = True
    data: T


class Error(BaseModel):
    code: str
    message: str
    details: list[str]


class Refusal(BaseModel):
    """`{"success": false, "error": {"code", "message", "details"}}`."""

    success: Literal[False] = False
    error: Error


def _parse_moment(value: object) -> object:
    """ISO 8601 with an offset, as a datetime: strict models take no strings for times."""
    if not isinstance(value, str):
        raise ValueError("must be an ISO 8601 time with an offset")
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        raise ValueError("must be an ISO 8601 time with an offset") from None
    if at.tzinfo is None:
        raise ValueError("must have an offset, such as Z or -05:00")
    return at


Moment = Annotated[datetime, BeforeValidator(_parse_moment, json_schema_input_type=datetime)]
"""A time in a request body."""


def _require_provider(value: str) -> str:
    if value not in REGISTRY:
        raise ValueError(f"must be one of {', '.join(REGISTRY)}")
    return value


ProviderName = Annotated[str, AfterValidator(_require_provider), Field(json_schema_extra={"enum": [*REGISTRY]})]

OwnId = Annotated[
    str,
    Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}$"),
]
"""A lead or campaign id, which may be the caller's own (contract 2)."""


def _may_leave(judge: Callable[[str], str | None]) -> AfterValidator:
    def judged(given: str) -> str:
        if why := judge(given):
            raise ValueError(why)
        return given

    return AfterValidator(judged)


Outgoing = Annotated[str, _may_leave(hopeless)]
"""A text for a lead; its last judge is `commands.send`."""
Kept = Annotated[str, Field(max_length=MAX_TEXT_LENGTH, pattern=r"\S"), _may_leave(unfit)]
"""A text that is kept, for leads to get as it is."""
Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"\S")]
Line = Annotated[str, Field(max_length=500)]
AnyId = Annotated[str, Field(min_length=1, max_length=64)]
"""An id that names something else; whether that exists is the command's business."""
