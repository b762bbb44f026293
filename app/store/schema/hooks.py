"""Webhook endpoints: who hears the events, which of them are owed, and what was sent."""

from datetime import datetime

from sqlalchemy import BigInteger, Index, SmallInteger
from sqlalchemy import text as sql
from sqlalchemy.orm import Mapped, mapped_column

from app.store.schema.base import (
    Id,
    Table,
    Xid8,
    created_at_column,
    flag_column,
    id_key,
    tenant_constraint,
    tenant_reference,
)


class WebhookEndpoint(Table):
    """An endpoint is a cursor over the tenant's events: everything up to (transaction, event_id) was
    delivered, waits in `webhook_queue`, or is of a subject that has a `SubjectBacklog`."""

    __tablename__ = "webhook_endpoints"
    __table_args__ = (tenant_constraint(),)
    tenant_id: Mapped[str] = id_key()
    endpoint_id: Mapped[str] = id_key()
    url: Mapped[str]
    types: Mapped[list[str] | None]
    """None: all events."""
    include: Mapped[list[str]] = mapped_column(server_default=sql("'{}'"))
    """`text`, `phones`: what bodies have besides ids."""
    description: Mapped[str | None]
    active: Mapped[bool] = flag_column(True)
    paused_at: Mapped[datetime | None]
    paused_reason: Mapped[str | None]
    failures: Mapped[int] = mapped_column(server_default=sql("0"))
    """Failed requests in a row."""
    failing_since: Mapped[datetime | None]
    secret: Mapped[bytes]
    """Sealed signing secret (`whsec_…`)."""
    previous_secret: Mapped[bytes | None]
    previous_secret_until: Mapped[datetime | None]
    transaction: Mapped[int] = mapped_column(Xid8(), server_default=sql("pg_snapshot_xmin(pg_current_snapshot())"))
    event_id: Mapped[int] = mapped_column(BigInteger, server_default=sql("0"))
    quiet_until: Mapped[datetime | None]
    """After a rewind: nothing is claimed before what is being sent has ended."""
    created_at: Mapped[datetime] = created_at_column()
    updated_at: Mapped[datetime] = created_at_column()


class QueuedEvent(Table):
    """An event that an endpoint is owed. `due_at` is queue, lease and retry at once. Within a subject
    (a thread, or a lead, number or account) only the oldest may be sent."""

    __tablename__ = "webhook_queue"
    __table_args__ = (
        tenant_reference("endpoint_id", "webhook_endpoints", ondelete="CASCADE"),
        # An expression, so that the planner never takes it to look up a row by its key.
        Index("ix_webhook_queue_due", sql("(tenant_id || endpoint_id)"), "due_at"),
    )
    tenant_id: Mapped[str] = id_key()
    endpoint_id: Mapped[str] = id_key()
    subject: Mapped[str] = id_key()
    transaction: Mapped[int] = mapped_column(Xid8(), primary_key=True)
    event_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    due_at: Mapped[datetime]
    lease: Mapped[str | None] = mapped_column(Id)
    attempts: Mapped[int] = mapped_column(SmallInteger, server_default=sql("0"))


class SubjectBacklog(Table):
    """A subject whose events the endpoint's cursor has passed without queueing them, from (transaction, event_id)
    on: its queue is full, as it may be while one event of a busy thread is not taken."""

    __tablename__ = "webhook_backlogs"
    __table_args__ = (tenant_reference("endpoint_id", "webhook_endpoints", ondelete="CASCADE"),)
    tenant_id: Mapped[str] = id_key()
    endpoint_id: Mapped[str] = id_key()
    subject: Mapped[str] = id_key()
    transaction: Mapped[int] = mapped_column(Xid8())
    event_id: Mapped[int] = mapped_column(BigInteger)


class WebhookDelivery(Table):
    """One request to an endpoint, with the exact bytes. The newest of each endpoint are kept."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        tenant_reference("endpoint_id", "webhook_endpoints", ondelete="CASCADE"),
        Index(None, "at", postgresql_using="brin"),
    )
    tenant_id: Mapped[str] = id_key()
    endpoint_id: Mapped[str] = id_key()
    delivery_id: Mapped[str] = id_key()
    event_id: Mapped[str]
    name: Mapped[str]
    interaction_id: Mapped[str | None] = mapped_column(Id)
    attempt: Mapped[int] = mapped_column(SmallInteger)
    at: Mapped[datetime] = created_at_column()
    outcome: Mapped[str]
    """`delivered` or `failed`."""
    http_status: Mapped[int | None] = mapped_column(SmallInteger)
    duration_ms: Mapped[int]
    detail: Mapped[str | None]
    """Why it failed."""
    answer: Mapped[str | None]
    request_body: Mapped[bytes]
