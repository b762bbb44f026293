"""Rows as types: a dataclass states once the columns that a statement takes or returns.

`unnest_sql(Kind)` stands in the statement and `columns_of(rows)` among its arguments; `ReadTx.fetch`
makes each returned row a `Kind`, whose fields are the statement's columns in order. A test prepares
every such statement and compares names and types.
"""

from collections.abc import Callable, Sequence
from dataclasses import fields
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache
from operator import attrgetter
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

SQL_TYPES: dict[Any, str] = {
    str: "text",
    int: "int",
    bool: "bool",
    float: "float8",
    Decimal: "numeric",
    bytes: "bytea",
    datetime: "timestamptz",
    timedelta: "interval",
}


def unnest_sql(kind: type, first: int = 1, *, with_numbers: bool = False) -> str:
    """The rows of `kind` as a table `a`, from the parameters `$first` and those after it:
    `unnest($1::text[], …) AS a(tenant_id, …)`. `with_numbers`: its last column `i` counts them from 1."""
    hints = hints_of(kind)
    types = [f"${number}::{sql_type(hint)}[]" for number, hint in enumerate(hints.values(), first)]
    columns = ", ".join([*hints, "i"] if with_numbers else hints)
    return f"unnest({', '.join(types)}){' WITH ORDINALITY' if with_numbers else ''} AS a({columns})"


def columns_of(rows: Sequence[Any]) -> list[tuple[Any, ...]]:
    """The values of each field of the rows, which are of one kind with two fields or more; there is at
    least one row."""
    return list(zip(*map(_get_reader(rows[0].__class__), rows), strict=True))


@cache
def _get_reader(kind: type) -> Callable[[Any], tuple[Any, ...]]:
    """Reads all fields of a row at once: half the time of one reader for each field."""
    return attrgetter(*[field.name for field in fields(kind)])


def hints_of(kind: type) -> dict[str, Any]:
    """The fields of a dataclass in order, with their types."""
    hints = get_type_hints(kind, include_extras=True)
    return {field.name: hints[field.name] for field in fields(kind)}


def sql_type(hint: Any) -> str:
    """The SQL type of a field: `Annotated[int, "smallint"]` names its own."""
    if get_origin(hint) is Annotated:
        name: str = get_args(hint)[1]
        return name
    if get_origin(hint) in (Union, UnionType):
        [hint] = [part for part in get_args(hint) if part is not NoneType]
        return sql_type(hint)
    if get_origin(hint) is Literal:
        return "text"
    return SQL_TYPES[hint]
