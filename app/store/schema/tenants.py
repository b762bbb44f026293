"""The installation, and the tenants that it serves."""

from datetime import date, datetime
from typing import Any

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Date
from sqlalchemy import text as sql
from sqlalchemy.orm import Mapped, mapped_column

from app.store.schema.base import Table, created_at_column, flag_column, id_key, tenant_constraint


class Installation(Table):
    """The only row holds what the installation created at its first start."""

    __tablename__ = "installation"
    __table_args__ = (CheckConstraint("only_row", name="only_row"),)
    only_row: Mapped[bool] = mapped_column(Boolean, primary_key=True, server_default=sql("true"))
    phone_key: Mapped[bytes]
    """The HMAC key for hashing phones. It is sealed: a rotation of the sealing keys keeps it."""
    alive_at: Mapped[datetime] = created_at_column()
    """When a web process was last alive to take webhooks."""
    created_at: Mapped[datetime] = created_at_column()


class Tenant(Table):
    __tablename__ = "tenants"
    tenant_id: Mapped[str] = id_key()
    name: Mapped[str]
    default_provider: Mapped[str | None]
    default_country: Mapped[str] = mapped_column(server_default="US")
    timezone: Mapped[str] = mapped_column(server_default="UTC")
    """The days of figures are days of this zone."""
    quiet_hours: Mapped[dict[str, Any]] = mapped_column(
        server_default=sql("""'{"enabled": false, "start": "08:00", "end": "21:00"}'""")
    )
    law_rules: Mapped[str] = mapped_column(server_default="off")
    """`on`: texts obey the law's rules about hours and numbers (`app/domain/law/rules.toml`)."""
    law_exceptions: Mapped[list[Any]] = mapped_column(server_default=sql("'[]'"))
    """Rules that the tenant does not want, each with a reason: `[{"rule", "reason"}]`."""
    max_first_contacts_per_day: Mapped[int | None]
    max_texts_per_day_without_reply: Mapped[int | None]
    contact_check_url: Mapped[str | None]
    """The webhook that is asked before a first contact; None: nobody is."""
    contact_check_hours: Mapped[int | None]
    """How long its answer counts; None: 30 days."""
    contact_check_secret: Mapped[bytes | None]
    """Sealed signing secret (`whsec_…`); None: the questions are not signed."""
    agent_disclosure: Mapped[str | None]
    """The sentence by which an agent says that it is one; None: a standard one."""
    opt_out_confirmation: Mapped[str | None]
    help_text: Mapped[str | None]
    possible_opt_out: Mapped[str] = mapped_column(server_default="hold")
    answer_short_codes: Mapped[bool] = flag_column(False)
    """Texts from short codes are forwarded and answered, as those from phones are."""
    smart_encoding: Mapped[bool] = flag_column(False)
    undo_seconds: Mapped[int | None]
    """How long a person's text waits, so that it can be undone; None: it does not."""
    texts_per_day: Mapped[int | None]
    allowed_countries: Mapped[list[str] | None]
    """Regions (ISO 3166) that may be texted; None: all."""
    paused_at: Mapped[datetime | None]
    paused_reason: Mapped[str | None]
    feed_epoch: Mapped[int] = mapped_column(BigInteger, server_default=sql("0"))
    """Stands in the ids of events, if the tenant came from another database: when that was, in Unix seconds."""
    created_at: Mapped[datetime] = created_at_column()
    updated_at: Mapped[datetime] = created_at_column()


class TenantDay(Table):
    """Texts accepted for a tenant with a daily limit, by day (UTC)."""

    __tablename__ = "tenant_days"
    __table_args__ = (tenant_constraint(),)
    tenant_id: Mapped[str] = id_key()
    day: Mapped[date] = mapped_column(Date, primary_key=True)
    texts: Mapped[int]
