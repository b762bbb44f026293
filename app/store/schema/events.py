"""What happened, and the answers that a repeated request gets again."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Identity, Index, SmallInteger
from sqlalchemy import text as sql
from sqlalchemy.orm import Mapped, mapped_column

from app.store.schema.base import Id, Table, Xid8, created_at_column, id_key, tenant_constraint


class TenantEvent(Table):
    """An event of a tenant. Readers page by (transaction, event_id) and stay below the snapshot's
    xmin, so that no late commit is skipped."""

    __tablename__ = "tenant_events"
    __table_args__ = (
        tenant_constraint(),
        Index(None, "at", postgresql_using="brin"),
        Index("ix_tenant_events_former_id", "tenant_id", "former_id", postgresql_where=sql("former_id IS NOT NULL")),
        Index(
            "ix_tenant_events_tellable",
            *("tenant_id", "name", "transaction", "event_id"),
            postgresql_where=sql(
                "name IN ('interaction.needs_person', 'interaction.mentioned', 'turn.failed', 'agent.paused',"
                " 'agent.resumed', 'experiment.stopped', 'account.failing', 'account.recovered')"
            ),
        ),
    )
    tenant_id: Mapped[str] = id_key()
    transaction: Mapped[int] = mapped_column(Xid8(), primary_key=True, server_default=sql("pg_current_xact_id()"))
    event_id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    type: Mapped[str]
    """The short type of the feed's first form."""
    interaction_id: Mapped[str | None] = mapped_column(Id)
    data: Mapped[dict[str, Any]]
    at: Mapped[datetime] = created_at_column()
    name: Mapped[str | None]
    """The full name, such as `message.sent`. None: only the page is told."""
    actor: Mapped[str | None]
    before: Mapped[dict[str, Any] | None]
    """The former values of what changed."""
    former_id: Mapped[str | None] = mapped_column(Id)
    """Its id, if it was made in another database."""


class Idempotency(Table):
    """The first answer to a request with an `Idempotency-Key`; a repeat gets the same answer."""

    __tablename__ = "idempotency"
    __table_args__ = (tenant_constraint(), Index(None, "created_at"))
    tenant_id: Mapped[str] = id_key()
    route: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    body_digest: Mapped[bytes]
    status: Mapped[int | None] = mapped_column(SmallInteger)
    answer: Mapped[dict[str, Any] | None]
    created_at: Mapped[datetime] = created_at_column()
