"""Statements of SQLAlchemy Core on our own transactions: compiled once for each shape, run by asyncpg.

Values pass to asyncpg as they are, so JSON goes through the codec of our connections.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ParamSpec, TypeVar, cast

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import asyncpg
from sqlalchemy.orm import configure_mappers

from app.store.engine import ReadTx, Row
from app.store.schema import Table

T = TypeVar("T", bound=Table)
P = ParamSpec("P")
DIALECT: sa.Dialect = asyncpg.dialect()  # type: ignore[no-untyped-call]
configure_mappers()  # makes the columns of the classes readable
MAX_COMPILED = 1000
"""Compiled statements to remember: a change has one for each set of columns that it writes."""


@dataclass(frozen=True, slots=True)
class CompiledStatement:
    """The text of a statement, and the names of its parameters in order."""

    sql: str
    names: tuple[str, ...]

    def bind(self, values: Mapping[str, Any]) -> tuple[Any, ...]:
        """The statement and its arguments, as the methods of a transaction take them."""
        return (self.sql, *(values[name] for name in self.names))


def compile_statement(statement: sa.Executable) -> CompiledStatement:
    compiled_clause = cast(sa.ClauseElement, statement).compile(dialect=DIALECT)
    return CompiledStatement(str(compiled_clause), tuple(cast(Any, compiled_clause).positiontup or ()))


def compile_once(build: Callable[P, sa.Executable]) -> Callable[P, CompiledStatement]:
    """Compiles what `build` returns once for the same arguments. `build` names all values by
    `bindparam`: compiling takes longer than most statements run."""

    def compile_shape(*args: P.args, **kwargs: P.kwargs) -> CompiledStatement:
        return compile_statement(build(*args, **kwargs))

    return cast(Callable[P, CompiledStatement], lru_cache(MAX_COMPILED)(compile_shape))


def table_of(kind: type[Table]) -> sa.Table:
    return cast(sa.Table, kind.__table__)


def build_row(kind: type[T], row: Row) -> T:
    """The row as an object of its table's class, outside any session. Reading a column that the
    statement did not return raises an error."""
    instance = kind.__new__(kind)
    vars(instance).update(row)
    return instance


async def fetch_all(read: ReadTx, kind: type[T], sql: str, *args: Any) -> list[T]:
    """The rows of a statement that returns the columns of one table."""
    return [build_row(kind, row) for row in await read.fetch_rows(sql, *args)]


async def fetch_first(read: ReadTx, kind: type[T], sql: str, *args: Any) -> T | None:
    row = await read.fetch_row(sql, *args)
    return None if row is None else build_row(kind, row)
