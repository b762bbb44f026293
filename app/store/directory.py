"""Reads and writes of one row of a directory table, for every table class of the schema.

Columns, keys and defaults come from the schema: an INSERT names only the given columns, and an UPDATE
writes only these.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any, TypeVar

import asyncpg
import sqlalchemy as sa
from sqlalchemy import bindparam
from sqlalchemy.dialects import postgresql

from app.store.core import DIALECT, build_row, compile_once, fetch_all, fetch_first, table_of
from app.store.engine import ReadTx, Tx
from app.store.schema import Campaign, PhoneNumber, ProviderAccount, SmsAgent, Table

T = TypeVar("T", bound=Table)
Values = Mapping[str, Any]
"""Values by column name."""
RowInUse = asyncpg.ForeignKeyViolationError
"""Raised by `remove` when another row still refers to the row."""
CHANGE_TIMES = ("updated_at", "active_at")
"""Columns that every change sets to the present time, where a table has them."""


def id_column_of(kind: type[Table]) -> sa.Column[Any]:
    """The column of the primary key that is not the tenant."""
    return list(table_of(kind).primary_key)[-1]


def _is_row(kind: type[Table]) -> sa.ColumnElement[bool]:
    is_of_tenant = table_of(kind).c.tenant_id == bindparam("tenant_id")
    return sa.and_(is_of_tenant, id_column_of(kind) == bindparam("id"))


@compile_once
def _select_one(kind: type[Table], is_locked: bool, *conditions: sa.ColumnElement[bool]) -> sa.Executable:
    statement = sa.select(table_of(kind)).where(_is_row(kind), *conditions)
    return statement.with_for_update() if is_locked else statement


async def get(read: ReadTx, kind: type[T], tenant_id: str, id: str, *conditions: sa.ColumnElement[bool]) -> T | None:
    """`conditions` are constants of a module: each new one is compiled anew."""
    values = {"tenant_id": tenant_id, "id": id}
    return await fetch_first(read, kind, *_select_one(kind, False, *conditions).bind(values))


async def lock(tx: Tx, kind: type[T], tenant_id: str, id: str, *conditions: sa.ColumnElement[bool]) -> T | None:
    values = {"tenant_id": tenant_id, "id": id}
    return await fetch_first(tx, kind, *_select_one(kind, True, *conditions).bind(values))


@compile_once
def _select_page(kind: type[Table], is_first: bool, *conditions: sa.ColumnElement[bool]) -> sa.Executable:
    table, key = table_of(kind), id_column_of(kind)
    statement = sa.select(table).where(table.c.tenant_id == bindparam("tenant_id"), *conditions)
    if not is_first:
        statement = statement.where(key < bindparam("below"))
    return statement.order_by(key.desc()).limit(bindparam("limit"))


async def list_page(
    read: ReadTx, kind: type[T], tenant_id: str, below: str | None, limit: int, *conditions: sa.ColumnElement[bool]
) -> list[T]:
    """Up to `limit` rows with ids below `below` (None: any), newest ids first."""
    values = {"tenant_id": tenant_id, "below": below, "limit": limit}
    return await fetch_all(read, kind, *_select_page(kind, below is None, *conditions).bind(values))


def _insert(kind: type[Table], names: Sequence[str]) -> postgresql.Insert:
    table = table_of(kind)
    return postgresql.insert(table).values({name: bindparam(name, type_=table.c[name].type) for name in names})


@compile_once
def _insert_new(kind: type[Table], *names: str) -> sa.Executable:
    return _insert(kind, names).on_conflict_do_nothing().returning(*table_of(kind).c)


async def add(tx: Tx, kind: type[T], tenant_id: str, id: str, values: Values) -> T | None:
    """Adds a row; columns without a value get their defaults. None: a unique key is taken."""
    new_row = {**values, "tenant_id": tenant_id, id_column_of(kind).name: id}
    return await fetch_first(tx, kind, *_insert_new(kind, *new_row).bind(new_row))


def insert_many_sql(kind: type[Table]) -> str:
    """Inserts an array of objects ($1) as rows of `t`; columns without a value get their defaults."""
    table = table_of(kind)
    ddl = DIALECT.ddl_compiler(DIALECT, sa.schema.CreateTable(table_of(kind)))
    defaults = {column.name: ddl.get_column_default_string(column) for column in table.c}
    values = [f"coalesce({name}, {default})" if default else name for name, default in defaults.items()]
    return f"""INSERT INTO {table.name} AS t ({", ".join(defaults)})
SELECT {", ".join(values)} FROM jsonb_populate_recordset(NULL::{table.name}, $1)"""


def value_columns(kind: type[Table]) -> list[str]:
    """All columns but the key and the times that the database sets."""
    own_times = {"created_at", *CHANGE_TIMES}
    return [column.name for column in table_of(kind).c if not column.primary_key and column.name not in own_times]


@compile_once
def _insert_or_replace(kind: type[Table], kept_columns: Collection[str], *names: str) -> sa.Executable:
    table, insert = table_of(kind), _insert(kind, names)
    kept_names = {*table.primary_key.columns.keys(), "created_at", *kept_columns}
    new_values = {column.name: insert.excluded[column.name] for column in table.c if column.name not in kept_names}
    is_new = sa.literal_column("xmax = 0", sa.Boolean).label("is_new")
    return insert.on_conflict_do_update(index_elements=table.primary_key, set_=new_values).returning(*table.c, is_new)


async def add_or_replace(
    tx: Tx, kind: type[T], tenant_id: str, id: str, values: Values, kept_columns: tuple[str, ...] = ()
) -> tuple[T, bool]:
    """Adds the row, or replaces it: columns without a value get their defaults, but `kept_columns` stay as
    they are. Returns the row, and whether it is new."""
    new_row = {**values, "tenant_id": tenant_id, id_column_of(kind).name: id}
    row = await tx.fetch_row(*_insert_or_replace(kind, kept_columns, *new_row).bind(new_row))
    assert row is not None
    return build_row(kind, row), row["is_new"]


@compile_once
def _update(kind: type[Table], *names: str) -> sa.Executable:
    table = table_of(kind)
    times = {name: sa.func.clock_timestamp() for name in CHANGE_TIMES if name in table.c}
    values = {name: bindparam(f"new_{name}", type_=table.c[name].type) for name in names}
    return sa.update(table).where(_is_row(kind)).values({**times, **values}).returning(*table.c)


async def change(tx: Tx, kind: type[T], tenant_id: str, id: str, values: Values) -> T | None:
    """Writes only the given columns. None: there is no such row."""
    if not values:  # an UPDATE must set something
        return await get(tx, kind, tenant_id, id)
    new_values = {f"new_{name}": value for name, value in values.items()}
    statement = _update(kind, *values).bind({**new_values, "tenant_id": tenant_id, "id": id})
    return await fetch_first(tx, kind, *statement)


@compile_once
def _rotate_secret(kind: type[Table]) -> sa.Executable:
    table = table_of(kind)
    times = {name: sa.func.clock_timestamp() for name in CHANGE_TIMES if name in table.c}
    former = {
        "previous_secret": table.c.secret,
        "previous_secret_until": sa.func.now() + bindparam("overlap", type_=sa.Interval()),
    }
    new_secret = bindparam("new_secret", type_=table.c.secret.type)
    statement = sa.update(table).where(_is_row(kind)).values({**times, **former, "secret": new_secret})
    return statement.returning(*table.c)


async def rotate_secret(
    tx: Tx, kind: type[T], tenant_id: str, id: str, sealed_secret: bytes, overlap: timedelta
) -> T | None:
    """Sets a new sealed signing secret; the previous one stays valid for `overlap`. None: there is no such row."""
    values = {"tenant_id": tenant_id, "id": id, "new_secret": sealed_secret, "overlap": overlap}
    return await fetch_first(tx, kind, *_rotate_secret(kind).bind(values))


@compile_once
def _delete(kind: type[Table]) -> sa.Executable:
    return sa.delete(table_of(kind)).where(_is_row(kind)).returning(id_column_of(kind))


async def remove(tx: Tx, kind: type[Table], tenant_id: str, id: str) -> bool:
    """Whether there was such a row. Raises `RowInUse`."""
    return await tx.fetch_value(*_delete(kind).bind({"tenant_id": tenant_id, "id": id})) is not None


Reference = tuple[str, str, str]
"""(field name, table, id)."""
REFERENCED_KINDS: tuple[type[Table], ...] = (Campaign, PhoneNumber, ProviderAccount, SmsAgent)
FIND_CASES_SQL = "\n".join(
    f"WHEN '{table_of(kind).name}' THEN EXISTS (SELECT 1 FROM {table_of(kind).name} x"
    f" WHERE x.tenant_id = $1 AND x.{id_column_of(kind).name} = a.id)"
    for kind in REFERENCED_KINDS
)
FIND_UNKNOWN_SQL = f"""
SELECT a.field
FROM unnest($2::text[], $3::text[], $4::text[]) WITH ORDINALITY AS a(field, target, id, i)
WHERE NOT CASE a.target
{FIND_CASES_SQL}
END ORDER BY a.i
"""


async def find_unknown(read: ReadTx, tenant_id: str, references: Sequence[Reference]) -> list[str]:
    """The fields whose id does not exist in the tenant, in order."""
    if not references:
        return []
    columns = [[reference[i] for reference in references] for i in range(3)]
    return [row["field"] for row in await read.fetch_rows(FIND_UNKNOWN_SQL, tenant_id, *columns)]
