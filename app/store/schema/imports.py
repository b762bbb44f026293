"""Files that people import on the page."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKeyConstraint, Index
from sqlalchemy import text as sql
from sqlalchemy.orm import Mapped, mapped_column

from app.store.schema.base import Id, Table, created_at_column, id_key, tenant_constraint


def _import_reference() -> ForeignKeyConstraint:
    columns = ["tenant_id", "import_id"]
    return ForeignKeyConstraint(columns, [f"imports.{column}" for column in columns], ondelete="CASCADE")


class Import(Table):
    """A file that was uploaded, and what became of its rows."""

    __tablename__ = "imports"
    __table_args__ = (
        tenant_constraint(),
        Index("ix_imports_due", "leased_until", postgresql_where=sql("state IN ('checking', 'importing')")),
    )
    tenant_id: Mapped[str] = id_key()
    import_id: Mapped[str] = id_key()
    kind: Mapped[str]
    file_name: Mapped[str]
    size: Mapped[int]
    """In bytes."""
    state: Mapped[str] = mapped_column(server_default="new")
    columns: Mapped[list[Any]]
    """For each column of the file the field that it sets; "": none."""
    campaign_id: Mapped[str | None] = mapped_column(Id)
    """The campaign of all leads; no foreign key, because each batch judges it."""
    reason: Mapped[str | None]
    actor: Mapped[str]
    """The person who uploaded the file, and then the one who started the last check or import."""
    up_to_line: Mapped[int] = mapped_column(server_default="0")
    """The last line whose row was taken or refused."""
    read_bytes: Mapped[int] = mapped_column(server_default="0")
    added: Mapped[int] = mapped_column(server_default="0")
    changed: Mapped[int] = mapped_column(server_default="0")
    unchanged: Mapped[int] = mapped_column(server_default="0")
    refused: Mapped[int] = mapped_column(server_default="0")
    blank: Mapped[int] = mapped_column(server_default="0")
    fault: Mapped[str | None]
    """Why the import failed."""
    lease: Mapped[str | None] = mapped_column(Id)
    """The token of the worker that runs it."""
    leased_until: Mapped[datetime] = created_at_column()
    created_at: Mapped[datetime] = created_at_column()
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class ImportPart(Table):
    """A part of a file. It is deleted when the file was imported, or after a day."""

    __tablename__ = "import_parts"
    __table_args__ = (_import_reference(),)
    tenant_id: Mapped[str] = id_key()
    import_id: Mapped[str] = id_key()
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    content: Mapped[bytes]
    created_at: Mapped[datetime] = created_at_column()


class ImportRefusal(Table):
    """One thing that is wrong with a row."""

    __tablename__ = "import_refusals"
    __table_args__ = (_import_reference(),)
    tenant_id: Mapped[str] = id_key()
    import_id: Mapped[str] = id_key()
    line: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    field: Mapped[str | None]
    reason: Mapped[str]
