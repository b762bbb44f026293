"""How each person is told what needs one."""

from datetime import datetime

from sqlalchemy import BigInteger
from sqlalchemy import text as sql
from sqlalchemy.orm import Mapped, mapped_column

from app.store.schema.base import Id, Table, Xid8, created_at_column, id_key, tenant_reference


class NoticeWayRow(Table):
    """A way to tell a person is a cursor over the tenant's events: everything up to (transaction,
    event_id) was told, or for the way `page`, seen. `due_at` is the next digest, lease and retry at once."""

    __tablename__ = "notice_ways"
    __table_args__ = (tenant_reference("user_id", "users", ondelete="CASCADE"),)
    tenant_id: Mapped[str] = id_key()
    user_id: Mapped[str] = id_key()
    way: Mapped[str] = mapped_column(primary_key=True)
    """`page`, `email` or `hook`."""
    kinds: Mapped[list[str]] = mapped_column(server_default=sql("'{}'"))
    """What the person is told; none: nothing."""
    address: Mapped[bytes | None]
    """The sealed URL of a hook."""
    transaction: Mapped[int] = mapped_column(Xid8(), server_default=sql("pg_snapshot_xmin(pg_current_snapshot())"))
    event_id: Mapped[int] = mapped_column(BigInteger, server_default=sql("0"))
    due_at: Mapped[datetime] = created_at_column()
    lease: Mapped[str | None] = mapped_column(Id)
    attempts: Mapped[int] = mapped_column(server_default=sql("0"))
    """Failed attempts in a row."""
    failure: Mapped[str | None]
    failing_since: Mapped[datetime | None]
    sent_at: Mapped[datetime | None]
