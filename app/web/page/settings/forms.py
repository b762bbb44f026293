"""Forms and the JSON API's bodies: fields by the body's own names, what was typed into them, and
what was refused of it. A dot in a name leads into a nested object."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, Literal, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.datastructures import FormData

from app.domain.problems import Invalid, Problem
from app.web.problems import list_error_details

M = TypeVar("M", bound=BaseModel)
Kind = Literal[
    "text",
    "area",
    "whole",
    "decimal",
    "switch",
    "choice",
    "time",
    "several",
    "ranked",
    "words",
    "pairs",
    "secret",
]
"""`several`: boxes to tick; `ranked`: choices in order; `words`: between commas; `pairs`: rows
of two texts; `secret`: never shown again, and left as it is where nothing is typed."""
INDEX_PATTERN = re.compile(r"\[\d+\].*")


@dataclass(frozen=True, slots=True)
class Field:
    """One control. `name` is the field of the API's body."""

    name: str
    label: str
    kind: Kind = "text"
    hint: str = ""
    required: bool = False
    choices: Sequence[tuple[str, str]] = ()
    unit: str = ""
    pair: tuple[str, str] = ("", "")
    """Of `pairs`: the names of the two."""
    lines: int = 3


@dataclass(frozen=True, slots=True)
class Group:
    """Fields that belong together, under a heading."""

    title: str
    fields: Sequence[Field]
    hint: str = ""


@dataclass(frozen=True, slots=True)
class SubmittedForm:
    """A form as it was sent."""

    groups: Sequence[Group]
    data: FormData

    @property
    def once(self) -> str:
        """The form's own token: sent twice, it does its work once. Raises `Invalid`."""
        once = self.data.get("once")
        if not isinstance(once, str) or not 8 <= len(once) <= 64:
            raise Invalid(details=["once: is missing"])
        return once

    @property
    def digest(self) -> bytes:
        pairs = sorted((k, str(v)) for k, v in self.data.multi_items() if k != "csrf")
        return sha256(json.dumps(pairs).encode()).digest()

    def get_values(self) -> dict[str, Any]:
        """What was typed, for the controls; without secrets."""
        return {f.name: _get_typed_value(f, self.data) for f in _list_fields(self.groups) if f.kind != "secret"}

    def get_plain_values(self) -> dict[str, Any]:
        """As the JSON API would be sent it."""
        plain_values: dict[str, Any] = {}
        for field in _list_fields(self.groups):
            typed_value = _get_typed_value(field, self.data)
            if field.kind == "secret" and not typed_value:
                continue
            *parents, last = field.name.split(".")
            place = plain_values
            for step in parents:
                place = place.setdefault(step, {})
            place[last] = _convert_value(field, typed_value)
        return plain_values


def parse_body(model: type[M], plain: Mapping[str, Any]) -> M:
    """The API's own body. Raises `Invalid`, as the API would."""
    try:
        return model.model_validate(plain)
    except ValidationError as error:
        raise Invalid(details=list_error_details(list(error.errors()))) from None


async def read_form(request: Request, groups: Sequence[Group]) -> SubmittedForm:
    return SubmittedForm(groups, await request.form())


def get_values(groups: Sequence[Group], answer: BaseModel | None) -> dict[str, Any]:
    """What the API answers, for the controls."""
    plain = answer.model_dump(mode="json", by_alias=True) if answer else {}
    return {
        field.name: _format_value(field, _get_by_path(plain, field.name))
        for field in _list_fields(groups)
        if field.kind != "secret"
    }


def list_faults(groups: Sequence[Group], problem: Problem | None) -> dict[str, str]:
    """What is wrong with which field; under "" what belongs to none of them."""
    names = [field.name for field in _list_fields(groups)]
    words_by_field: dict[str, list[str]] = {}
    for detail in problem.details if problem else ():
        name, colon, words = detail.partition(": ")
        plain = INDEX_PATTERN.sub("", name)
        nested_names = (other_name for other_name in names if other_name.startswith(f"{plain}."))
        field = plain if plain in names else next(nested_names, "")
        words = "is required" if words == "must not be null" else words
        words_by_field.setdefault(field, []).append(words if field and colon else detail)
    if problem and not words_by_field:
        words_by_field[""] = [problem.message]
    return {name: "; ".join(dict.fromkeys(words)) for name, words in words_by_field.items()}


def with_choices(groups: Sequence[Group], **choices: Sequence[tuple[str, str]]) -> list[Group]:
    """The groups, with what can be chosen in the fields of these names."""
    return [
        replace(
            group,
            fields=[
                replace(field, choices=choices[field.name]) if field.name in choices else field
                for field in group.fields
            ],
        )
        for group in groups
    ]


def drop_fields(groups: Sequence[Group], *names: str) -> list[Group]:
    return [replace(group, fields=[field for field in group.fields if field.name not in names]) for group in groups]


def _list_fields(groups: Sequence[Group]) -> list[Field]:
    return [field for group in groups for field in group.fields]


def _get_typed_value(field: Field, data: FormData) -> Any:
    """The control's state: a string, a bool, a list of strings, a list of pairs."""
    if field.kind == "switch":
        return field.name in data
    if field.kind in ("several", "ranked"):
        return [item for item in _get_all_texts(data, field.name) if item]
    if field.kind == "pairs":
        firsts, seconds = (_get_all_texts(data, f"{field.name}.{half}") for half in field.pair)
        return [list(pair) for pair in zip(firsts, seconds, strict=False) if any(pair)]
    return "".join(_get_all_texts(data, field.name)[:1])


def _get_all_texts(data: FormData, name: str) -> list[str]:
    # A browser sends every line break as CR LF; people and phones mean LF.
    texts = [text for text in data.getlist(name) if isinstance(text, str)]
    return [text.replace("\r\n", "\n").strip() for text in texts]


def _convert_value(field: Field, typed_value: Any) -> Any:
    """The control's state as the API wants it. What cannot be a number stays what it is, and is
    refused by name."""
    if field.kind == "pairs":
        return [dict(zip(field.pair, pair, strict=True)) for pair in typed_value]
    if field.kind == "words":
        return re.split(r"[,;\s]+", typed_value.strip(" ,;\n\t")) if typed_value else None
    if field.kind in ("switch", "several", "ranked"):
        return typed_value
    if typed_value == "":
        return "" if field.required and field.kind == "text" else None
    try:
        if field.kind == "whole":
            return int(typed_value)
        if field.kind == "decimal":
            return float(typed_value)
    except ValueError:
        pass
    return typed_value


def _format_value(field: Field, value: Any) -> Any:
    if field.kind == "switch":
        return bool(value)
    if field.kind in ("several", "ranked"):
        return [str(item) for item in value or ()]
    if field.kind == "pairs":
        return [[item[half] for half in field.pair] for item in value or ()]
    if field.kind == "words":
        return ", ".join(value or ())
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _get_by_path(plain: Mapping[str, Any], name: str) -> Any:
    value: Any = plain
    for step in name.split("."):
        value = value.get(step) if isinstance(value, Mapping) else None
    return value
