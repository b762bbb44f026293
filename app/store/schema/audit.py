"""Who changed what: settings of a tenant, and the status of its threads. Triggers write both."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Identity, Index
from sqlalchemy.orm import Mapped, mapped_column

from app.store.schema.base import Id, Table, created_at_column, id_key, tenant_constraint, tenant_reference


class AuditEntry(Table):
    """A change of the tenant's settings, or of a row of its directory that is no lead. Append-only."""

    __tablename__ = "audit_entries"
    __table_args__ = (tenant_constraint(), Index(None, "at", postgresql_using="brin"))
    tenant_id: Mapped[str] = id_key()
    audit_id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    subject: Mapped[str]
    """What was changed: `settings`, `account`, `number`, `agent`, `experiment`, `campaign`, `cannedReply`,
    `endpoint`, `key` or `person`."""
    subject_id: Mapped[str] = mapped_column(Id)
    action: Mapped[str]
    """`added`, `changed` or `removed`."""
    changes: Mapped[list[Any]]
    """`[{"field", "from", "to"}]`, fields by column name. Of a secret only `set` or `changed`."""
    actor: Mapped[str]
    at: Mapped[datetime] = created_at_column()


class StatusChange(Table):
    """A change of a thread's status. Append-only; it goes with its thread."""

    __tablename__ = "status_changes"
    __table_args__ = (tenant_reference("interaction_id", "interactions", ondelete="CASCADE"),)
    tenant_id: Mapped[str] = id_key()
    interaction_id: Mapped[str] = id_key()
    change_id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    status: Mapped[str]
    from_status: Mapped[str]
    actor: Mapped[str | None]
    """None: the statement did not say who."""
    rule: Mapped[str | None]
    at: Mapped[datetime] = created_at_column()
