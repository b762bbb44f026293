"""The envelope of every JSON answer, and the base classes of request and answer models."""

import re
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Annotated, Any, Generic, Literal, Self, TypeVar, get_args

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

from app.domain.law.places import PlaceSource
from app.domain.orders import MAX_TEXT_LENGTH, find_fault, find_permanent_fault
from app.domain.problems import Problem
from app.domain.words import Purpose, Relation
from app.providers import REGISTRY

T = TypeVar("T")
NUL_ERROR = PydanticCustomError("nul", "must not contain the NUL character")
SURROGATE_ERROR = PydanticCustomError("half", "must be valid Unicode without lone surrogates")
LONE_SURROGATES = re.compile("[\ud800-\udfff]")


def _drop_defaults(schema: dict[str, Any]) -> None:
    """What has a default may be left out, but some generators of clients would demand it."""
    for field in schema.get("properties", {}).values():
        field.pop("default", None)


class Body(BaseModel):
    """Base of request bodies: camelCase, unknown fields refused by name, no type coercion.

    Strings with a NUL or a lone surrogate cannot be stored and are refused here, by the field's
    name. Pydantic finds surrogates only in strings that have other limits.
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_alias=True,
        validate_by_name=False,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        frozen=True,
        json_schema_extra=_drop_defaults,
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
        """Returns the fields that the request named (for PATCH), by their Python names."""
        return self.model_dump(include=self.model_fields_set)


def _find_unstorable(fields: dict[Any, Any]) -> Iterator[tuple[tuple[str | int, ...], PydanticCustomError]]:
    # Nested models check their own strings. Lists of strings have no model, so they are checked here.
    for name, value in fields.items():
        if error := get_storage_error(value):
            yield (name,), error
        elif isinstance(value, list):
            yield from (((name, i), error) for i, item in enumerate(value) if (error := get_storage_error(item)))


def get_storage_error(value: Any) -> PydanticCustomError | None:
    if not isinstance(value, str):
        return None
    if "\x00" in value:
        return NUL_ERROR
    return SURROGATE_ERROR if not value.isascii() and LONE_SURROGATES.search(value) else None


class Out(BaseModel):
    """Base of answer models: built from Python or camelCase names, rendered in camelCase."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        from_attributes=True,
    )

    @classmethod
    def of(cls, row: object, **more: Any) -> Self:
        """Builds the answer from a row's columns. `more`: fields without a column, or unlike it."""
        return cls.model_validate({**vars(row), **more})


def make_optional_in_schema(field: str) -> Callable[[dict[str, Any]], None]:
    """Returns a `json_schema_extra` for an answer with a secret `field`. The schema must not require
    it, because a repeat with the same Idempotency-Key is answered without the secret."""
    return lambda schema: schema["required"].remove(field)


class Answer(BaseModel, Generic[T]):
    """`{"success": true, "data": …}`."""

    success: Literal[True] = True
    data: T

    @classmethod
    def model_parametrized_name(cls, params: tuple[Any, ...]) -> str:
        """A name that generators of clients make a readable class of: `LeadShapeAnswer`."""
        [data] = params
        return "Or".join(kind.__name__ for kind in get_args(data) or (data,)) + "Answer"


class RuleReason(Out):
    """A rule that holds or refuses a text."""

    rule: str
    words: str
    citation: str | None
    """Where the law says so; null: a rule of your own."""
    until: datetime | None
    """From then on the rule lets it go; null: not by waiting."""
    lifted_by: list[str]


class Verdict(Out):
    """What the rules say about a text. Not legal advice."""

    verdict: Literal["may", "later", "no"]
    purpose: Purpose | None
    relation: Relation | None
    """To the phone: the first contact, a text to somebody who wrote before, or an answer."""
    jurisdictions: list[str]
    """Whose rules count; empty if the law's rules are off."""
    place_from: PlaceSource | None
    """What says where the recipient is."""
    earliest_at: datetime | None
    reasons: list[RuleReason]


class Error(BaseModel):
    code: str
    message: str
    details: list[str]
    verdict: Verdict | None = None
    """Which rule forbids a text, where one does."""

    @classmethod
    def of(cls, problem: Problem) -> Self:
        """Why one of many was refused. What a rule says of a text is left out."""
        return cls(code=problem.code, message=problem.message, details=problem.details)


class Refusal(BaseModel):
    """`{"success": false, "error": {"code", "message", "details"}}`."""

    success: Literal[False] = False
    error: Error


def _parse_moment(value: object) -> object:
    """Parses ISO 8601 with an offset. Needed because strict models accept no strings for times."""
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

OwnId = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}$")]
"""A lead or campaign id. The caller may choose it (`docs/contract.md`, section 2)."""


def _refuse_if(find_fault: Callable[[str], str | None]) -> AfterValidator:
    def require_valid(text: str) -> str:
        if fault := find_fault(text):
            raise ValueError(fault)
        return text

    return AfterValidator(require_valid)


SendableText = Annotated[str, _refuse_if(find_permanent_fault)]
"""A text for a lead. `commands.send` makes the final check, with the tenant's settings."""
StoredText = Annotated[str, Field(max_length=MAX_TEXT_LENGTH, pattern=r"\S"), _refuse_if(find_fault)]
"""A text that is stored now and sent to leads later, unchanged."""
Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"\S")]
Line = Annotated[str, Field(max_length=500)]
AnyId = Annotated[str, Field(min_length=1, max_length=64)]
"""An id that refers to another object. The command checks that the object exists."""
