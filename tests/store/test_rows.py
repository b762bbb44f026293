"""Rows as types: what a statement returns is what its dataclass says."""

import ast
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType, NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import asyncpg
import pytest
from typing_extensions import is_typeddict

import app.store
from app.store.rows import columns_of, hints_of, unnest_sql

POSTGRES_TYPES: dict[Any, set[str]] = {
    str: {"text", "varchar", "name"},
    int: {"int2", "int4", "int8"},
    bool: {"bool"},
    float: {"float8"},
    Decimal: {"numeric"},
    bytes: {"bytea"},
    datetime: {"timestamptz"},
    timedelta: {"interval"},
    dict: {"jsonb", "json"},
    list: {"jsonb", "json"},
}


def find_typed_statements() -> Iterator[tuple[str, type, str]]:
    """Name, row type and SQL of each call in app/store that takes them, as `tx.fetch(Type, NAME_SQL, …)` does."""
    for found in iter_modules(app.store.__path__):
        module = import_module(f"app.store.{found.name}")
        for node in ast.walk(ast.parse(inspect.getsource(module))):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name(), attr="fetch" | "fetch_one"), args=[_, _, *_]):
                    yield read_call(module, node)
                case ast.Call(args=[ast.Name(id=kind), ast.Name(id=sql), *_]) if kind[0].isupper() and sql.endswith(
                    "_SQL"
                ):
                    yield read_call(module, node)


def read_call(module: ModuleType, call: ast.Call) -> tuple[str, type, str]:
    kind, sql = call.args[:2]
    assert isinstance(kind, ast.Name), ast.unparse(call)
    assert isinstance(sql, ast.Name), f"{ast.unparse(call)}: the statement needs a name"
    return f"{Path(module.__name__).suffix[1:]}.{sql.id}", getattr(module, kind.id), getattr(module, sql.id)


def fits(hint: Any, postgres_type: str) -> bool:
    """Whether values of the PostgreSQL type come as the Python type."""
    origin = get_origin(hint)
    if origin is Annotated:
        return fits(get_args(hint)[0], postgres_type)
    if origin in (Union, UnionType):
        return all(fits(part, postgres_type) for part in get_args(hint) if part is not NoneType)
    if origin is list and postgres_type.endswith("[]"):
        return fits(get_args(hint)[0], postgres_type[:-2])
    if origin is Literal:
        return postgres_type == "text"
    if is_typeddict(hint):
        return postgres_type == "jsonb"
    return hint is Any or postgres_type in POSTGRES_TYPES[origin or hint]


@pytest.mark.parametrize(("kind", "sql"), [pytest.param(k, s, id=n) for n, k, s in find_typed_statements()])
async def test_a_statement_returns_the_columns_that_its_type_names(database_url: str, kind: type, sql: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        columns = (await connection.prepare(sql)).get_attributes()
    finally:
        await connection.close()
    hints = hints_of(kind)
    assert [column.name for column in columns] == list(hints)
    wrong = [column for column in columns if not fits(hints[column.name], column.type.name)]
    assert not wrong


@dataclass(frozen=True)
class Sample:
    tenant_id: str
    attempt: Annotated[int, "smallint"]
    wait: timedelta | None = None


def test_a_dataclass_names_the_columns_that_a_statement_takes() -> None:
    assert unnest_sql(Sample) == "unnest($1::text[], $2::smallint[], $3::interval[]) AS a(tenant_id, attempt, wait)"
    assert unnest_sql(Sample, first=4).startswith("unnest($4::text[], $5::smallint[]")
    assert unnest_sql(Sample, with_numbers=True).endswith(" WITH ORDINALITY AS a(tenant_id, attempt, wait, i)")
    assert columns_of([Sample("org_1", 1), Sample("org_2", 2, timedelta(1))]) == [
        ("org_1", "org_2"),
        (1, 2),
        (None, timedelta(1)),
    ]
