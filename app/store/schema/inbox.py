"""What inbound webhooks leave behind."""

from datetime import datetime

from sqlalchemy import Index, SmallInteger
from sqlalchemy.orm import Mapped, mapped_column

from app.store.schema.base import Id, Table, created_at_column, id_key, tenant_constraint


class InboundPart(Table):
    """A part of a long inbound text, stored until all parts are there and can be joined."""

    __tablename__ = "inbound_parts"
    __table_args__ = (tenant_constraint(), Index(None, "received_at"))
    tenant_id: Mapped[str] = id_key()
    account_id: Mapped[str] = id_key()
    sender: Mapped[str] = id_key()
    our_number: Mapped[str] = id_key()
    reference: Mapped[str] = id_key()
    number: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    total: Mapped[int] = mapped_column(SmallInteger)
    provider_id: Mapped[str] = mapped_column(Id)
    text: Mapped[str]
    received_at: Mapped[datetime] = created_at_column()


class ProviderIdSeen(Table):
    """The provider's ids of all inbound texts, and `opted_out:` with the id of a text of another system
    whose receipt was heeded as an opt-out; to ignore repeats. Never deleted."""

    __tablename__ = "provider_ids_seen"
    __table_args__ = (tenant_constraint(),)
    tenant_id: Mapped[str] = id_key()
    account_id: Mapped[str] = id_key()
    provider_id: Mapped[str] = id_key()
