"""What a tenant sends with: its accounts with carriers, and its numbers."""

from datetime import datetime
from typing import Any

from sqlalchemy import Index, UniqueConstraint
from sqlalchemy import text as sql
from sqlalchemy.orm import Mapped, mapped_column

from app.store.schema.base import Id, Table, created_at_column, flag_column, id_key, tenant_constraint, tenant_reference


class ProviderAccount(Table):
    __tablename__ = "provider_accounts"
    __table_args__ = (
        tenant_constraint(),
        Index("uq_provider_accounts_account_id", "account_id", unique=True),
        Index(
            "uq_provider_accounts_default",
            "tenant_id",
            "provider",
            unique=True,
            postgresql_where=sql("is_default"),
        ),
        Index(None, "fetch_at", postgresql_where=sql("missing_since IS NOT NULL")),
    )
    tenant_id: Mapped[str] = id_key()
    account_id: Mapped[str] = id_key()
    provider: Mapped[str]
    name: Mapped[str]
    credentials: Mapped[bytes]
    """Sealed JSON object."""
    hints: Mapped[dict[str, Any]]
    """The last four characters of each credential."""
    base_url: Mapped[str | None]
    is_default: Mapped[bool] = flag_column(False)
    active: Mapped[bool] = flag_column(True)
    missing_since: Mapped[datetime | None]
    """Since when inbound texts may be missing after a downtime of ours; None: none are missing."""
    noticed_at: Mapped[datetime | None]
    """When the downtime was noticed. The account's numbers wait for the missed texts for a while."""
    fetch_at: Mapped[datetime | None]
    """When missed texts are fetched next; during a fetch, the end of its lease. None: at once."""
    fetch_failures: Mapped[int] = mapped_column(server_default="0")
    """Failed fetches in a row."""
    fetch_error: Mapped[str | None]
    failing_since: Mapped[datetime | None]
    """When the first of these failed; None: the last fetch did not fail."""
    paused_at: Mapped[datetime | None]
    """Since when the carrier refuses the account itself: its texts wait. None: it does not."""
    paused_reason: Mapped[str | None]
    resumes_at: Mapped[datetime | None]
    """When one text is tried again."""
    judged_at: Mapped[datetime | None]
    """When the account was last paused, tried again or released: what began before is old news."""
    pauses: Mapped[int] = mapped_column(server_default="0")
    """Refusals of the account in a row."""
    created_at: Mapped[datetime] = created_at_column()
    updated_at: Mapped[datetime] = created_at_column()


class PriceFetch(Table):
    """Of an account whose carrier tells prices only in its record: when it is read next."""

    __tablename__ = "price_fetches"
    __table_args__ = (
        tenant_reference("account_id", "provider_accounts", ondelete="CASCADE"),
        Index(None, "due_at"),
    )
    tenant_id: Mapped[str] = id_key()
    account_id: Mapped[str] = id_key()
    since: Mapped[datetime]
    """Older texts have their prices."""
    due_at: Mapped[datetime]
    """During a fetch, when another worker may take it."""
    next_page: Mapped[str | None]
    """Where the list goes on, in the carrier's words; None: it is read from its beginning."""
    begun_at: Mapped[datetime | None]
    """When its beginning was read; None: it is not being read."""


class FormerCredentials(Table):
    """Credentials that were replaced. They check webhooks for a while, and send nothing."""

    __tablename__ = "former_credentials"
    __table_args__ = (
        tenant_reference("account_id", "provider_accounts", ondelete="CASCADE"),
        Index(None, "replaced_at"),
    )
    tenant_id: Mapped[str] = id_key()
    account_id: Mapped[str] = id_key()
    replaced_at: Mapped[datetime] = mapped_column(primary_key=True, server_default=sql("clock_timestamp()"))
    credentials: Mapped[bytes]
    """Sealed like the present ones."""


class PhoneNumber(Table):
    """A number from which the tenant sends."""

    __tablename__ = "phone_numbers"
    __table_args__ = (
        tenant_constraint(),
        tenant_reference("account_id", "provider_accounts"),
        UniqueConstraint("tenant_id", "phone_number"),
        Index(None, "tenant_id", "account_id"),
    )
    tenant_id: Mapped[str] = id_key()
    phone_number_id: Mapped[str] = id_key()
    phone_number: Mapped[str] = mapped_column(Id)
    account_id: Mapped[str | None] = mapped_column(Id)
    former_accounts: Mapped[dict[str, Any]] = mapped_column(server_default=sql("'{}'"))
    """When the number moved away from each account; set by a trigger."""
    capabilities: Mapped[list[str]]
    active: Mapped[bool] = flag_column(True)
    label: Mapped[str | None]
    messages_per_second: Mapped[float | None]
    """Segments per second; None: the provider's default for the kind of number."""
    free_at: Mapped[datetime] = created_at_column()
    """When pacing lets the number send again."""
    paused_at: Mapped[datetime | None]
    paused_reason: Mapped[str | None]
    created_at: Mapped[datetime] = created_at_column()
    updated_at: Mapped[datetime] = created_at_column()
