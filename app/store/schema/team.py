"""What people of a tenant keep for working together."""

from datetime import datetime
from typing import Any

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from app.store.schema.base import Id, Table, created_at_column, id_key, tenant_constraint, tenant_reference


class ReadMark(Table):
    """Up to which `seq` a person has read a thread."""

    __tablename__ = "read_marks"
    __table_args__ = (
        tenant_reference("user_id", "users", ondelete="CASCADE"),
        tenant_reference("interaction_id", "interactions", ondelete="CASCADE"),
        Index(None, "tenant_id", "interaction_id"),
        Index(None, "at"),
    )
    tenant_id: Mapped[str] = id_key()
    user_id: Mapped[str] = id_key()
    interaction_id: Mapped[str] = id_key()
    read_seq: Mapped[int]
    at: Mapped[datetime] = created_at_column()


class SavedView(Table):
    """A filter of the list under a name."""

    __tablename__ = "saved_views"
    __table_args__ = (tenant_constraint(), tenant_reference("user_id", "users", ondelete="CASCADE"))
    tenant_id: Mapped[str] = id_key()
    saved_view_id: Mapped[str] = id_key()
    user_id: Mapped[str | None] = mapped_column(Id)
    """Whose it is; None: everybody's."""
    name: Mapped[str]
    filter: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = created_at_column()
    updated_at: Mapped[datetime] = created_at_column()
