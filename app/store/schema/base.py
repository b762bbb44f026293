"""What all tables share: the base class, the types of columns, and the columns that most have."""

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import ARRAY, Boolean, DateTime, ForeignKeyConstraint, LargeBinary, MetaData, Text
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import UserDefinedType

Id = Text(collation="C")
"""Ids and phones compare as bytes, in every locale."""


class Xid8(UserDefinedType[int]):
    """PostgreSQL's 64-bit transaction id."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "xid8"


class Table(DeclarativeBase):
    """Base of all tables. Constraint names are fixed, because migrations name them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar = {
        str: Text(),
        datetime: DateTime(timezone=True),
        bytes: LargeBinary(),
        dict[str, Any]: JSONB(),
        list[Any]: JSONB(),
        list[str]: ARRAY(Text()),
    }


def id_key() -> Mapped[Any]:
    """An id column of the primary key."""
    return mapped_column(Id, primary_key=True)


def created_at_column() -> Mapped[Any]:
    """A time column that defaults to the database's present time."""
    return mapped_column(server_default=sql("clock_timestamp()"))


def flag_column(default: bool) -> Mapped[Any]:
    return mapped_column(Boolean, server_default=sql(str(default).lower()))


def tenant_reference(
    column: str, target: str, target_column: str | None = None, ondelete: str | None = None
) -> ForeignKeyConstraint:
    """A foreign key within the tenant."""
    return ForeignKeyConstraint(
        ["tenant_id", column], [f"{target}.tenant_id", f"{target}.{target_column or column}"], ondelete=ondelete
    )


def tenant_constraint() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], ondelete="CASCADE")
