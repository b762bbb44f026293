"""Who may not be texted, and the record of consent."""

from datetime import datetime

from sqlalchemy import CheckConstraint, Index
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
