"""Forms for the request models of the JSON API: their fields, the submitted values, the faults.

A field has the name of the model's field. A dot in a name leads into a nested object."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, Literal, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.datastructures import FormData

from app.domain.lead_fields import TAG_SEPARATORS
from app.domain.problems import Invalid, Problem
from app.web.problems import list_error_details

M = TypeVar("M", bound=BaseModel)
Kind = Literal[
    "text",
    "area",
    "whole",
    "decimal",
    "seconds",
    "switch",
    "choice",
    "time",
    "day",
    "several",
    "ranked",
    "words",
    "tags",
    "rows",
    "secret",
]
"""`seconds`: the API has milliseconds. `several`: check boxes. `ranked`: an ordered list of choices.
`words`: separated by commas or blanks. `tags`: separated by commas. `rows`: rows of texts.
`secret`: never shown again, and unchanged if left empty."""
NUMBER_PATTERN = re.compile(r"\d+")
INDEX_PATTERN = re.compile(r"\[\d+\].*")


@dataclass(frozen=True, slots=True)
class Field:
    """One control. `name` is the name of the field in the API's request body."""

    name: str
    label: str
    kind: Kind = "text"
    hint: str = ""
    required: bool = False
    choices: Sequence[tuple[str, str]] = ()
    unit: str = ""
    parts: tuple[str, ...] = ()
    """For `rows`: the names of the texts of a row."""
    part_words: tuple[str, ...] = ()
    """How people call them, if not by their names."""
    lines: int = 3
    is_half: bool = False
    """Half as wide as the form."""


@dataclass(frozen=True, slots=True)
class Heading:
    """The heading above some fields."""

    title: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """Fields under one heading."""

    title: str
    fields: Sequence[Field]
    hint: str = ""


def group_fields(*lines: Heading | Field) -> list[Group]:
    """Returns a form from its headings and fields, in the order of the page. A heading comes first."""
    groups: list[Group] = []
    for line in lines:
        if isinstance(line, Heading):
            groups.append(Group(line.title, [], line.hint))
        else:
            groups[-1] = replace(groups[-1], fields=[*groups[-1].fields, line])
    return groups


@dataclass(frozen=True, slots=True)
class SubmittedForm:
    """A form as the browser sent it."""

    groups: Sequence[Group]
    data: FormData

    @property
    def once(self) -> str:
        """The form's token: a form that is sent twice takes effect once. Raises `Invalid`."""
        once = self.data.get("once")
        if not isinstance(once, str) or not 8 <= len(once) <= 64:
            raise Invalid(details=["once: is missing"])
        return once

    @property
    def digest(self) -> bytes:
        pairs = sorted((k, str(v)) for k, v in self.data.multi_items() if k != "csrf")
        return sha256(json.dumps(pairs).encode()).digest()

    def get_values(self) -> dict[str, Any]:
        """Returns the submitted values for the controls, without secrets."""
        return {f.name: _get_typed_value(f, self.data) for f in _list_fields(self.groups) if f.kind != "secret"}

    def get_plain_values(self) -> dict[str, Any]:
        """Returns the values as a JSON body for the API."""
        plain_values: dict[str, Any] = {}
        for field in _list_fields(self.groups):
            typed_value = _get_typed_value(field, self.data)
            if field.kind == "secret" and not typed_value:
                continue
            if field.kind == "choice" and field.required and field.name not in self.data:
                continue  # a select box always sends its value: the page was loaded before there was this one
            *parents, last = field.name.split(".")
            target = plain_values
            for step in parents:
                target = target.setdefault(step, {})
            target[last] = _convert_value(field, typed_value)
        return plain_values

    def parse_body(self, model: type[M]) -> M:
        """Returns the values as a request body of the API. Raises `Invalid`."""
        return parse_body(model, self.get_plain_values())


def parse_body(model: type[M], plain: Mapping[str, Any]) -> M:
    """Validates a body as the API does. Raises `Invalid`."""
    try:
        return model.model_validate(plain)
    except ValidationError as error:
        raise Invalid(details=list_error_details(list(error.errors()))) from None


async def read_form(request: Request, groups: Sequence[Group]) -> SubmittedForm:
    return SubmittedForm(groups, await request.form())


def get_values(groups: Sequence[Group], answer: BaseModel) -> dict[str, Any]:
    """Returns the values of an API answer for the controls."""
    plain = answer.model_dump(mode="json", by_alias=True)
    return {
        field.name: _format_value(field, _get_by_path(plain, field.name))
        for field in _list_fields(groups)
        if field.kind != "secret"
    }


def list_faults(groups: Sequence[Group], problem: Problem) -> dict[str, str]:
    """Returns a problem's words by field name; under "" those that belong to no field."""
    fields_by_name = {field.name: field for field in _list_fields(groups)}
    names = list(fields_by_name)
    words_by_field: dict[str, list[str]] = {}
    for detail in problem.details:
        name, colon, words = detail.partition(": ")
        plain = INDEX_PATTERN.sub("", name)
        words = "is required" if words == "must not be null" else words
        field = _find_field(names, plain)
        if not field and (root := plain.partition(".")[0]) in names:
            field, words = root, f"{plain.partition('.')[2]}: {words}"
        words = _speak_as_page(words, fields_by_name, field)
        words_by_field.setdefault(field, []).append(words if field and colon else detail)
    if not words_by_field:
        words_by_field[""] = [problem.message]
    return {name: "; ".join(dict.fromkeys(words)) for name, words in words_by_field.items()}


def _speak_as_page(words: str, fields_by_name: Mapping[str, Field], name: str) -> str:
    """The words about a field with the page's labels instead of names, and with its unit."""
    if name in fields_by_name and fields_by_name[name].kind == "seconds":
        words = NUMBER_PATTERN.sub(lambda number: f"{int(number[0]) / 1000:g}", words)
        words = words.replace("integer", "number")
    for other_name, field in fields_by_name.items():
        if not other_name.islower():  # of two words: no word of a sentence
            words = words.replace(other_name, f"“{field.label}”")
    return words


def _find_field(names: Sequence[str], name: str) -> str:
    """The field of this name, or the first one inside of it; "": neither."""
    return name if name in names else next((other for other in names if other.startswith(f"{name}.")), "")


def with_choices(groups: Sequence[Group], **choices: Sequence[tuple[str, str]]) -> list[Group]:
    """Returns the groups with `choices` set in the fields of these names."""
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
    """Returns a control's state: a string, a bool, a list of strings, or a list of pairs."""
    if field.kind == "switch":
        return field.name in data
    if field.kind in ("several", "ranked"):
        return [item for item in _get_all_texts(data, field.name) if item]
    if field.kind == "rows":
        columns = [_get_all_texts(data, f"{field.name}.{part}") for part in field.parts]
        return [list(row) for row in zip(*columns, strict=False) if any(row)]
    return "".join(_get_all_texts(data, field.name)[:1])


def _get_all_texts(data: FormData, name: str) -> list[str]:
    # Browsers send line breaks as CR LF; texts have LF.
    texts = [text for text in data.getlist(name) if isinstance(text, str)]
    return [text.replace("\r\n", "\n").strip() for text in texts]


def _convert_value(field: Field, typed_value: Any) -> Any:
    """Converts a control's state for the API. Text that is not a number stays a string, which the
    model then refuses by the field's name."""
    if field.kind == "rows":
        return [dict(zip(field.parts, row, strict=True)) for row in typed_value]
    if field.kind == "words":
        return re.split(r"[,;\s]+", typed_value.strip(" ,;\n\t")) if typed_value else None
    if field.kind == "tags":
        return [tag for part in TAG_SEPARATORS.split(typed_value) if (tag := part.strip())]
    if field.kind in ("switch", "several", "ranked"):
        return typed_value
    if typed_value == "":
        return "" if field.required and field.kind == "text" else None
    try:
        if field.kind == "whole":
            return int(typed_value)
        if field.kind == "decimal":
            return float(typed_value)
        if field.kind == "seconds":
            return round(float(typed_value) * 1000)
    except (ValueError, OverflowError):
        pass
    return typed_value


def _format_value(field: Field, value: Any) -> Any:
    if field.kind == "switch":
        return bool(value)
    if field.kind in ("several", "ranked"):
        return [str(item) for item in value or ()]
    if field.kind == "rows":
        return [[item[part] for part in field.parts] for item in value or ()]
    if field.kind in ("words", "tags"):
        return ", ".join(value or ())
    if field.kind == "seconds" and value is not None:
        return f"{value / 1000:g}"
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _get_by_path(plain: Mapping[str, Any], name: str) -> Any:
    value: Any = plain
    for step in name.split("."):
        value = value.get(step) if isinstance(value, Mapping) else None
    return value
