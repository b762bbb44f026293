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
from app.web.problems import details_of

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
PLACE = re.compile(r"\[\d+\].*")


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
class Sent:
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

    def values(self) -> dict[str, Any]:
        """What was typed, for the controls; without secrets."""
        return {f.name: _typed(f, self.data) for f in _flat(self.groups) if f.kind != "secret"}

    def plain(self) -> dict[str, Any]:
        """As the JSON API would be sent it."""
        made: dict[str, Any] = {}
        for field in _flat(self.groups):
            typed = _typed(field, self.data)
            if field.kind == "secret" and not typed:
                continue
            *way, last = field.name.split(".")
            place = made
            for step in way:
                place = place.setdefault(step, {})
            place[last] = _meant(field, typed)
        return made


def body(model: type[M], plain: Mapping[str, Any]) -> M:
    """The API's own body. Raises `Invalid`, as the API would."""
    try:
        return model.model_validate(plain)
    except ValidationError as error:
        raise Invalid(details=details_of(list(error.errors()))) from None


async def sent(request: Request, groups: Sequence[Group]) -> Sent:
    return Sent(groups, await request.form())


def values(groups: Sequence[Group], told: BaseModel | None) -> dict[str, Any]:
    """What the API answers, for the controls."""
    plain = told.model_dump(mode="json", by_alias=True) if told else {}
    return {field.name: _shown(field, _at(plain, field.name)) for field in _flat(groups) if field.kind != "secret"}


def faults(groups: Sequence[Group], refused: Problem | None) -> dict[str, str]:
    """What is wrong with which field; under "" what belongs to none of them."""
    names = [field.name for field in _flat(groups)]
    said: dict[str, list[str]] = {}
    for detail in refused.details if refused else ():
        name, colon, words = detail.partition(": ")
        plain = PLACE.sub("", name)
        inside = (known for known in names if known.startswith(f"{plain}."))
        field = plain if plain in names else next(inside, "")
        words = "is required" if words == "must not be null" else words
        said.setdefault(field, []).append(words if field and colon else detail)
    if refused and not said:
        said[""] = [refused.message]
    return {name: "; ".join(dict.fromkeys(words)) for name, words in said.items()}


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


def without(groups: Sequence[Group], *names: str) -> list[Group]:
    return [replace(group, fields=[field for field in group.fields if field.name not in names]) for group in groups]


def _flat(groups: Sequence[Group]) -> list[Field]:
    return [field for group in groups for field in group.fields]


def _typed(field: Field, data: FormData) -> Any:
    """The control's state: a string, a bool, a list of strings, a list of pairs."""
    if field.kind == "switch":
        return field.name in data
    if field.kind in ("several", "ranked"):
        return [one for one in _all(data, field.name) if one]
    if field.kind == "pairs":
        firsts, seconds = (_all(data, f"{field.name}.{half}") for half in field.pair)
        return [list(two) for two in zip(firsts, seconds, strict=False) if any(two)]
    return "".join(_all(data, field.name)[:1])


def _all(data: FormData, name: str) -> list[str]:
    # A browser sends every line break as CR LF; people and phones mean LF.
    given = [one for one in data.getlist(name) if isinstance(one, str)]
    return [one.replace("\r\n", "\n").strip() for one in given]


def _meant(field: Field, typed: Any) -> Any:
    """The control's state as the API wants it. What cannot be a number stays what it is, and is
    refused by name."""
    if field.kind == "pairs":
        return [dict(zip(field.pair, two, strict=True)) for two in typed]
    if field.kind == "words":
        return re.split(r"[,;\s]+", typed.strip(" ,;\n\t")) if typed else None
    if field.kind in ("switch", "several", "ranked"):
        return typed
    if typed == "":
        return "" if field.required and field.kind == "text" else None
    try:
        if field.kind == "whole":
            return int(typed)
        if field.kind == "decimal":
            return float(typed)
    except ValueError:
        pass
    return typed


def _shown(field: Field, value: Any) -> Any:
    if field.kind == "switch":
        return bool(value)
    if field.kind in ("several", "ranked"):
        return [str(one) for one in value or ()]
    if field.kind == "pairs":
        return [[one[half] for half in field.pair] for one in value or ()]
    if field.kind == "words":
        return ", ".join(value or ())
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _at(plain: Mapping[str, Any], name: str) -> Any:
    value: Any = plain
    for step in name.split("."):
        value = value.get(step) if isinstance(value, Mapping) else None
    return value
