"""Who may not be texted, and the record of consent."""

from datetime import datetime

from sqlalchemy import CheckConstraint, Index
from sqlalchemy import text as sql
from sqlalchemy.orm import Mapped, mapped_column

from app.store.schema.base import Id, Table, created_at_column, id_key, tenant_constraint


class Suppression(Table):
    """A cause why a phone may not be texted. After an erasure `phone` is NULL, and the keyed hash
    keeps the cause."""

    __tablename__ = "suppressions"
    __table_args__ = (
        tenant_constraint(),
        CheckConstraint("cause IN ('lead', 'person')", name="cause"),
        Index(None, "tenant_id", "phone"),
    )
    tenant_id: Mapped[str] = id_key()
    phone_hash: Mapped[bytes] = mapped_column(primary_key=True)
    cause: Mapped[str] = mapped_column(primary_key=True)
    phone: Mapped[str | None] = mapped_column(Id)
    reason: Mapped[str | None]
    actor: Mapped[str]
    created_at: Mapped[datetime] = created_at_column()


class ContactCheckRow(Table):
    """What the tenant's webhook said about a phone before its first contact."""

    __tablename__ = "contact_checks"
    __table_args__ = (
        tenant_constraint(),
        Index(None, "due_at", postgresql_where=sql("due_at IS NOT NULL")),
        Index(None, "tenant_id", "due_at", postgresql_where=sql("due_at IS NOT NULL")),
    )
    tenant_id: Mapped[str] = id_key()
    phone: Mapped[str] = id_key()
    state: Mapped[str] = mapped_column(server_default="asked")
    """`asked` (or to be asked), `clear` or `refused`."""
    reason: Mapped[str | None]
    """Of a refusal: `reassigned`, `dnc_registry` or `landline`."""
    words: Mapped[str | None]
    due_at: Mapped[datetime | None] = mapped_column(server_default=sql("clock_timestamp()"))
    """When it is asked next, or its lease ends; None: it was answered."""
    lease: Mapped[str | None] = mapped_column(Id)
    attempts: Mapped[int] = mapped_column(server_default=sql("0"))
    """Requests in a row without an answer."""
    failure: Mapped[str | None]
    valid_until: Mapped[datetime | None]
    """Until when the answer counts."""
    asked_at: Mapped[datetime | None]
    """When the question came up: it has the same id each time it is asked."""


class ConsentEvent(Table):
    """The record of opt-outs, opt-ins and other changes of consent. Append-only."""

    __tablename__ = "consent_events"
    __table_args__ = (tenant_constraint(), Index(None, "tenant_id", "phone_hash", "event_id"))
    tenant_id: Mapped[str] = id_key()
    event_id: Mapped[str] = id_key()
    phone_hash: Mapped[bytes]
    phone: Mapped[str | None] = mapped_column(Id)
    event: Mapped[str]
    cause: Mapped[str | None]
    rule: Mapped[str | None]
    text: Mapped[str | None]
    message_id: Mapped[str | None] = mapped_column(Id)
    actor: Mapped[str]
    basis: Mapped[str | None]
    """For a consent that was given: what it is."""
    scopes: Mapped[list[str] | None]
    """For a consent that was given or revoked: what it is about."""
    source: Mapped[str | None]
    """For a consent that was given: where, such as the address of a form."""
    wording_hash: Mapped[str | None]
    """For a consent that was given: the SHA-256 of the words that were agreed to, in hex."""
    proof: Mapped[str | None]
    """For a consent that was given: an address or id under which the proof is kept."""
    obtained_at: Mapped[datetime | None]
    """For a consent that was given or revoked: when, if not now."""
    at: Mapped[datetime] = created_at_column()
