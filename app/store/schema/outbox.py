"""Texts on their way to carriers."""

from datetime import datetime
from decimal import Decimal

from sqlalchemy import Index, Integer, Numeric, SmallInteger
from sqlalchemy import text as sql
from sqlalchemy.orm import Mapped, mapped_column

from app.store.schema.base import Id, Table, created_at_column, flag_column, id_key, tenant_constraint, tenant_reference


class Outbox(Table):
    """A text owed to a carrier. `due_at` is queue order, lease end, retry time and schedule."""

    __tablename__ = "outbox"
    __table_args__ = (
        tenant_reference("message_id", "messages", ondelete="CASCADE"),
        Index(
            "ix_outbox_senders",
            "tenant_id",
            "from_phone",
            "lane",
            "due_at",
            postgresql_where=sql("state = 'queued' AND seq IS NOT NULL"),
        ),
        Index("ix_outbox_begun", "due_at", postgresql_where=sql("state <> 'queued'")),
        Index("ix_outbox_waiting", "due_at", postgresql_where=sql("state = 'queued' AND seq IS NULL")),
        Index(None, "tenant_id", "interaction_id", "seq"),
        Index(None, "tenant_id", "to_phone"),
    )
    tenant_id: Mapped[str] = id_key()
    message_id: Mapped[str] = id_key()
    interaction_id: Mapped[str] = mapped_column(Id)
    seq: Mapped[int | None]
    """None while the text is scheduled or held."""
    segments: Mapped[int] = mapped_column(SmallInteger, server_default=sql("1"))
    sms_agent_id: Mapped[str | None] = mapped_column(Id)
    """For an agent's text: the agent, whose brake applies."""
    exempt: Mapped[bool] = flag_column(False)
    """Sent even to a suppressed phone: the answer to STOP or HELP."""
    cancel_on_reply: Mapped[bool] = flag_column(False)
    guarded: Mapped[bool] = flag_column(False)
    """For an agent's text: it is not sent if the lead wrote again after its turn."""
    account_id: Mapped[str] = mapped_column(Id)
    to_phone: Mapped[str] = mapped_column(Id)
    from_phone: Mapped[str] = mapped_column(Id)
    lane: Mapped[int] = mapped_column(SmallInteger, server_default=sql("0"))
    """0 reply, 1 bulk."""
    state: Mapped[str] = mapped_column(server_default="queued")
    """`queued`, `sending` (a request may be running) or `unknown` (the carrier will be asked)."""
    due_at: Mapped[datetime] = created_at_column()
    expires_at: Mapped[datetime]
    lease: Mapped[str | None] = mapped_column(Id)
    """The claim's token: a settle must name it."""
    tries: Mapped[int] = mapped_column(SmallInteger, server_default=sql("0"))
    begun_at: Mapped[datetime | None]
    """When the last request began."""
    looked: Mapped[int] = mapped_column(SmallInteger, server_default=sql("0"))
    """Look-ups at the carrier since the outcome became unknown."""
    resent: Mapped[bool] = flag_column(False)


class Attempt(Table):
    """One request to a carrier to send a text; without secrets."""

    __tablename__ = "attempts"
    __table_args__ = (tenant_reference("message_id", "messages", ondelete="CASCADE"), Index(None, "at"))
    tenant_id: Mapped[str] = id_key()
    message_id: Mapped[str] = id_key()
    attempt: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    at: Mapped[datetime] = created_at_column()
    outcome: Mapped[str]
    http_status: Mapped[int | None] = mapped_column(SmallInteger)
    duration_ms: Mapped[int | None] = mapped_column(Integer)
    detail: Mapped[str | None]


class Bulk(Table):
    """A bulk send: how many of its entries were accepted and refused."""

    __tablename__ = "bulks"
    __table_args__ = (tenant_constraint(),)
    tenant_id: Mapped[str] = id_key()
    bulk_id: Mapped[str] = id_key()
    accepted: Mapped[int]
    refused: Mapped[int]
    created_at: Mapped[datetime] = created_at_column()


class EarlyReceipt(Table):
    """A receipt that came before its text was known; applied when the text is settled."""

    __tablename__ = "early_receipts"
    __table_args__ = (tenant_constraint(), Index(None, "received_at"))
    tenant_id: Mapped[str] = id_key()
    account_id: Mapped[str] = id_key()
    provider_message_id: Mapped[str] = id_key()
    status: Mapped[str] = mapped_column(primary_key=True)
    code: Mapped[str | None]
    message: Mapped[str | None]
    opted_out: Mapped[bool] = flag_column(False)
    price: Mapped[Decimal | None] = mapped_column(Numeric)
    currency: Mapped[str | None]
    at: Mapped[datetime]
    received_at: Mapped[datetime] = created_at_column()
