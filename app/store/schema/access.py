"""Who may come in: people with their sessions, and API keys."""

from datetime import datetime

from sqlalchemy import Index
from sqlalchemy import text as sql
from sqlalchemy.orm import Mapped, mapped_column

from app.store.schema.base import Id, Table, created_at_column, flag_column, id_key, tenant_constraint, tenant_reference


class User(Table):
    __tablename__ = "users"
    __table_args__ = (tenant_constraint(), Index("uq_users_email", sql("lower(email)"), unique=True))
    tenant_id: Mapped[str] = id_key()
    user_id: Mapped[str] = id_key()
    email: Mapped[str]
    password_hash: Mapped[str]
    role: Mapped[str] = mapped_column(server_default="member")
    active: Mapped[bool] = flag_column(True)
    created_at: Mapped[datetime] = created_at_column()
    name: Mapped[str | None]
    """How colleagues call the person; None: by the e-mail."""
    unread_from: Mapped[datetime] = created_at_column()
    """Texts that came before are read, but where a `ReadMark` says otherwise."""


class Session(Table):
    """A session of a signed-in person. Only the digest of the cookie's token is stored."""

    __tablename__ = "sessions"
    __table_args__ = (
        tenant_reference("user_id", "users", ondelete="CASCADE"),
        Index("uq_sessions_digest", "digest", unique=True),
        Index(None, "expires_at"),
        Index("ix_sessions_previous_digest", "previous_digest", postgresql_where=sql("previous_digest IS NOT NULL")),
    )
    tenant_id: Mapped[str] = id_key()
    digest: Mapped[bytes] = mapped_column(primary_key=True)
    user_id: Mapped[str] = mapped_column(Id)
    created_at: Mapped[datetime] = created_at_column()
    seen_at: Mapped[datetime] = created_at_column()
    expires_at: Mapped[datetime]
    renewed_at: Mapped[datetime] = created_at_column()
    previous_digest: Mapped[bytes | None]
    """Digest of the previous token, which stays valid for requests that were already on their way."""
    previous_until: Mapped[datetime | None]
    """Until when the previous token is valid; None: until the new one is used."""


class SignInTry(Table):
    """Recent attempts to sign in, counted by e-mail and by address. The e-mail may belong to nobody,
    so there is no tenant."""

    __tablename__ = "sign_in_tries"
    __table_args__ = (Index(None, "until"),)
    who: Mapped[bytes] = mapped_column(primary_key=True)
    """Digest of the e-mail or address: people sometimes type a password into the e-mail field."""
    tries: Mapped[int]
    until: Mapped[datetime]
    """When the count starts again from zero."""


class ApiKey(Table):
    __tablename__ = "api_keys"
    __table_args__ = (
        tenant_constraint(),
        tenant_reference("sms_agent_id", "sms_agents", ondelete="CASCADE"),
        Index("uq_api_keys_prefix", "prefix", unique=True),
    )
    tenant_id: Mapped[str] = id_key()
    key_id: Mapped[str] = id_key()
    name: Mapped[str]
    scope: Mapped[str]
    sms_agent_id: Mapped[str | None] = mapped_column(Id)
    prefix: Mapped[str] = mapped_column(Id)
    digest: Mapped[bytes]
    """SHA-256 of the whole key; a random key needs no slow hash."""
    requests_per_second: Mapped[int | None]
    created_at: Mapped[datetime] = created_at_column()
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
