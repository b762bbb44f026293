"""The tables. The classes describe them for Alembic and for readers; no statement uses the ORM.

Every key begins with `tenant_id`, so that no row can refer to another tenant. Only `installation`
and `sign_in_tries` belong to no tenant. The few look-ups before the tenant is known (keys, accounts,
sessions, users by e-mail) have unique indexes of their own.
"""

from datetime import date, datetime
from typing import Any, ClassVar

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Date,
    DateTime,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Text,
    UniqueConstraint,
    literal_column,
)
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import UserDefinedType

Id = Text(collation="C")
"""Ids and phones compare as bytes, in every locale."""


class Xid8(UserDefinedType[int]):
    """PostgreSQL's 64-bit transaction id."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "xid8"


class Table(DeclarativeBase):
    """Base of all tables. Constraint names are fixed, because migrations name them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar = {
        str: Text(),
        datetime: DateTime(timezone=True),
        bytes: LargeBinary(),
        dict[str, Any]: JSONB(),
        list[Any]: JSONB(),
        list[str]: ARRAY(Text()),
    }


def id_key() -> Mapped[Any]:
    """An id column of the primary key."""
    return mapped_column(Id, primary_key=True)


def created_at_column() -> Mapped[Any]:
    """A time column that defaults to the database's present time."""
    return mapped_column(server_default=sql("clock_timestamp()"))


def flag_column(default: bool) -> Mapped[Any]:
    return mapped_column(Boolean, server_default=sql(str(default).lower()))


def tenant_reference(
    column: str, target: str, target_column: str | None = None, ondelete: str | None = None
) -> ForeignKeyConstraint:
    """A foreign key within the tenant."""
    return ForeignKeyConstraint(
        ["tenant_id", column],
        [f"{target}.tenant_id", f"{target}.{target_column or column}"],
        ondelete=ondelete,
    )


def tenant_constraint() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], ondelete="CASCADE")


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
    quiet_hours: Mapped[dict[str, Any]] = mapped_column(
        server_default=sql("""'{"enabled": false, "start": "08:00", "end": "21:00"}'""")
    )
    opt_out_confirmation: Mapped[str | None]
    help_text: Mapped[str | None]
    smart_encoding: Mapped[bool] = flag_column(False)
    texts_per_day: Mapped[int | None]
    allowed_countries: Mapped[list[str] | None]
    """Regions (ISO 3166) that may be texted; None: all."""
    paused_at: Mapped[datetime | None]
    paused_reason: Mapped[str | None]
    created_at: Mapped[datetime] = created_at_column()
    updated_at: Mapped[datetime] = created_at_column()


class TenantDay(Table):
    """Texts accepted for a tenant with a daily limit, by day (UTC)."""

    __tablename__ = "tenant_days"
    __table_args__ = (tenant_constraint(),)
    tenant_id: Mapped[str] = id_key()
    day: Mapped[date] = mapped_column(Date, primary_key=True)
    texts: Mapped[int]


class User(Table):
    __tablename__ = "users"
    __table_args__ = (
        tenant_constraint(),
        Index("uq_users_email", sql("lower(email)"), unique=True),
    )
    tenant_id: Mapped[str] = id_key()
    user_id: Mapped[str] = id_key()
    email: Mapped[str]
    password_hash: Mapped[str]
    role: Mapped[str] = mapped_column(server_default="member")
    active: Mapped[bool] = flag_column(True)
    created_at: Mapped[datetime] = created_at_column()


class Session(Table):
    """A session of a signed-in person. Only the digest of the cookie's token is stored."""

    __tablename__ = "sessions"
    __table_args__ = (
        tenant_reference("user_id", "users", ondelete="CASCADE"),
        Index("uq_sessions_digest", "digest", unique=True),
        Index(None, "expires_at"),
        Index(
            "ix_sessions_previous_digest",
            "previous_digest",
            postgresql_where=sql("previous_digest IS NOT NULL"),
        ),
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
    created_at: Mapped[datetime] = created_at_column()
    updated_at: Mapped[datetime] = created_at_column()


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


class SmsAgent(Table):
    __tablename__ = "sms_agents"
    __table_args__ = (
        tenant_constraint(),
        tenant_reference("phone_number_id", "phone_numbers"),
        Index(None, "tenant_id", "phone_number_id"),
    )
    tenant_id: Mapped[str] = id_key()
    sms_agent_id: Mapped[str] = id_key()
    name: Mapped[str]
    description: Mapped[str | None]
    phone_number_id: Mapped[str | None] = mapped_column(Id)
    webhook_url: Mapped[str]
    batch_window_ms: Mapped[int] = mapped_column(server_default=sql("7000"))
    max_wait_ms: Mapped[int | None]
    """None: five windows."""
    is_test: Mapped[bool] = flag_column(False)
    active: Mapped[bool] = flag_column(True)
    inbound_enabled: Mapped[bool] = flag_column(True)
    inbound_campaign_ids: Mapped[list[str]] = mapped_column(server_default=sql("'{}'"))
    agent_mode_by_default: Mapped[bool] = flag_column(False)
    stale_reply: Mapped[str] = mapped_column(server_default="rerun")
    """`rerun`, `send` or `hold`: what happens to a reply that comes after the lead wrote again."""
    resume_after_minutes: Mapped[int | None]
    max_turns_per_day: Mapped[int] = mapped_column(server_default=sql("50"))
    business_hours: Mapped[dict[str, Any] | None]
    reply_delay_ms: Mapped[int] = mapped_column(server_default=sql("0"))
    shadow_webhook_url: Mapped[str | None]
    paused_at: Mapped[datetime | None]
    paused_reason: Mapped[str | None]
    secret: Mapped[bytes]
    """Sealed signing secret (`whsec_…`)."""
    previous_secret: Mapped[bytes | None]
    previous_secret_until: Mapped[datetime | None]
    created_at: Mapped[datetime] = created_at_column()
    updated_at: Mapped[datetime] = created_at_column()


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


class Campaign(Table):
    __tablename__ = "campaigns"
    __table_args__ = (
        tenant_constraint(),
        tenant_reference("phone_number_id", "phone_numbers"),
        tenant_reference("sms_agent_id", "sms_agents"),
        tenant_reference("test_sms_agent_id", "sms_agents", "sms_agent_id"),
        Index(None, "tenant_id", "phone_number_id"),
    )
    tenant_id: Mapped[str] = id_key()
    campaign_id: Mapped[str] = id_key()
    name: Mapped[str]
    active: Mapped[bool] = flag_column(True)
    client_id: Mapped[str | None]
    client_name: Mapped[str | None]
    offer_id: Mapped[str | None]
    offer_name: Mapped[str | None]
    phone_number_id: Mapped[str | None] = mapped_column(Id)
    provider: Mapped[str | None]
    sms_agent_id: Mapped[str | None] = mapped_column(Id)
    test_sms_agent_id: Mapped[str | None] = mapped_column(Id)
    questionnaire: Mapped[list[Any]] = mapped_column(server_default=sql("'[]'"))
    created_at: Mapped[datetime] = created_at_column()
    updated_at: Mapped[datetime] = created_at_column()


class Lead(Table):
    __tablename__ = "leads"
    __table_args__ = (
        tenant_constraint(),
        tenant_reference("campaign_id", "campaigns"),
        Index(None, "tenant_id", "phone"),
        Index("ix_leads_phone_end", "tenant_id", sql("reverse(phone)")),
        Index(None, "tenant_id", "campaign_id"),
        Index(
            "ix_leads_name",
            "tenant_id",
            literal_column("(((COALESCE(first_name, '') || ' ') || COALESCE(last_name, '')) || ' ') || lead_id").label(
                "name"
            ),
            postgresql_ops={"name": "gin_trgm_ops"},
            postgresql_using="gin",
        ),
    )
    tenant_id: Mapped[str] = id_key()
    lead_id: Mapped[str] = id_key()
    first_name: Mapped[str | None]
    last_name: Mapped[str | None]
    email: Mapped[str | None]
    phone: Mapped[str | None] = mapped_column(Id)
    status: Mapped[str] = mapped_column(server_default="new")
    is_test: Mapped[bool] = flag_column(False)
    is_placeholder: Mapped[bool] = flag_column(False)
    campaign_id: Mapped[str | None] = mapped_column(Id)
    timezone: Mapped[str | None]
    questionnaire: Mapped[list[Any]] = mapped_column(server_default=sql("'[]'"))
    dnc_channels: Mapped[list[str]] = mapped_column(server_default=sql("'{}'"))
    dnc_reason: Mapped[str | None]
    active_at: Mapped[datetime] = created_at_column()
    """When the lead last wrote, got a text or was changed. Where several leads share a phone, the
    most recently active one gets its texts."""
    created_at: Mapped[datetime] = created_at_column()
    updated_at: Mapped[datetime] = created_at_column()


class Interaction(Table):
    """A thread between one of our numbers and a lead's phone. `seq` is given under its row lock."""

    __tablename__ = "interactions"
    __table_args__ = (
        tenant_reference("lead_id", "leads"),
        tenant_reference("campaign_id", "campaigns"),
        # Every text updates its thread in nearly all of these: each index must be worth it.
        UniqueConstraint("tenant_id", "lead_phone", "our_number"),
        Index(None, "tenant_id", "lead_id"),
        Index(None, "tenant_id", "last_message_at", "interaction_id"),
        Index(None, "tenant_id", "status", "last_message_at", "interaction_id"),
        Index(None, "tenant_id", "campaign_id", "status", "last_message_at"),
        Index(
            "ix_interactions_unread",
            "tenant_id",
            "last_message_at",
            "interaction_id",
            postgresql_where=sql("unread_count > 0"),
        ),
        Index(None, "agent_off_at", postgresql_where=sql("agent_off_at IS NOT NULL")),
    )
    tenant_id: Mapped[str] = id_key()
    interaction_id: Mapped[str] = id_key()
    our_number: Mapped[str] = mapped_column(Id)
    lead_phone: Mapped[str] = mapped_column(Id)
    lead_id: Mapped[str] = mapped_column(Id)
    campaign_id: Mapped[str | None] = mapped_column(Id)
    status: Mapped[str] = mapped_column(server_default="in_progress")
    status_before_dnc: Mapped[str | None]
    """The status to restore when the phone is no longer suppressed."""
    agent_mode: Mapped[bool] = flag_column(False)
    agent_off_at: Mapped[datetime | None]
    """When agent mode was switched off, or a person last wrote after that. An agent's
    `resume_after_minutes` count from here."""
    stale_replies: Mapped[int] = mapped_column(SmallInteger, server_default=sql("0"))
    """Stale replies in a row; after two, the next turn is protected."""
    paused_until: Mapped[datetime | None]
    """Set by the loop breaker: no turn is handed over before this time."""
    paused_reason: Mapped[str | None]
    last_seq: Mapped[int] = mapped_column(server_default=sql("0"))
    read_seq: Mapped[int] = mapped_column(server_default=sql("0"))
    unread_count: Mapped[int] = mapped_column(server_default=sql("0"))
    last_message_at: Mapped[datetime] = created_at_column()
    last_preview: Mapped[str | None]
    last_direction: Mapped[str | None]
    last_inbound_at: Mapped[datetime | None]
    summary: Mapped[str | None]
    created_at: Mapped[datetime] = created_at_column()
    updated_at: Mapped[datetime] = created_at_column()


class Message(Table):
    """A text in either direction, or a note. `seq` is its place in the transcript; None while it is
    scheduled or held."""

    __tablename__ = "messages"
    __table_args__ = (
        tenant_reference("interaction_id", "interactions"),
        UniqueConstraint("tenant_id", "interaction_id", "seq"),
        Index(
            "ix_messages_provider_id",
            "tenant_id",
            "account_id",
            "provider_message_id",
            postgresql_where=sql("provider_message_id IS NOT NULL"),
        ),
        Index(None, "tenant_id", "bulk_id", postgresql_where=sql("bulk_id IS NOT NULL")),
        Index(
            "ix_messages_unknown",
            "tenant_id",
            "message_id",
            # Not `status`: updates of a column that an index names, even in WHERE, are never HOT.
            postgresql_where=sql("error_code = 'OUTCOME_UNKNOWN'"),
        ),
        Index(
            "ix_messages_words",
            "tenant_id",
            sql("to_tsvector('simple'::regconfig, text)"),
            postgresql_using="gin",
        ),
        Index(
            "ix_messages_failed",
            "tenant_id",
            "created_at",
            postgresql_where=sql("error_code IS NOT NULL"),
        ),
    )
    tenant_id: Mapped[str] = id_key()
    message_id: Mapped[str] = id_key()
    interaction_id: Mapped[str] = mapped_column(Id)
    lead_id: Mapped[str] = mapped_column(Id)
    seq: Mapped[int | None]
    role: Mapped[str]
    source: Mapped[str]
    actor: Mapped[str | None]
    text: Mapped[str]
    media: Mapped[list[Any]] = mapped_column(server_default=sql("'[]'"))
    status: Mapped[str]
    status_history: Mapped[list[Any]] = mapped_column(server_default=sql("'[]'"))
    to_phone: Mapped[str | None] = mapped_column(Id)
    from_phone: Mapped[str | None] = mapped_column(Id)
    account_id: Mapped[str | None] = mapped_column(Id)
    provider: Mapped[str | None]
    provider_message_id: Mapped[str | None] = mapped_column(Id)
    encoding: Mapped[str | None]
    segments: Mapped[int | None] = mapped_column(SmallInteger)
    error_code: Mapped[str | None]
    error_message: Mapped[str | None]
    turn_id: Mapped[str | None] = mapped_column(Id)
    """For an agent's text: the turn it answers."""
    bulk_id: Mapped[str | None] = mapped_column(Id)
    forwardable: Mapped[bool] = flag_column(False)
    """For an inbound text: received while agent mode was on."""
    possible_opt_out: Mapped[bool] = flag_column(False)
    """For an inbound text: it may be an opt-out; a person or an agent decides."""
    late: Mapped[bool] = flag_column(False)
    """For an inbound text: fetched from the carrier's record after a downtime."""
    incomplete: Mapped[bool] = flag_column(False)
    """For a late text: its webhook, which has more data than the record, has not come yet."""
    send_at: Mapped[datetime | None]
    held_until: Mapped[datetime | None]
    held_reason: Mapped[str | None]
    created_at: Mapped[datetime] = created_at_column()


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
        Index(
            "ix_outbox_waiting",
            "due_at",
            postgresql_where=sql("state = 'queued' AND seq IS NULL"),
        ),
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
    __table_args__ = (
        tenant_reference("message_id", "messages", ondelete="CASCADE"),
        Index(None, "at"),
    )
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
    """The provider's ids of all inbound texts, to ignore repeats. Never deleted."""

    __tablename__ = "provider_ids_seen"
    __table_args__ = (tenant_constraint(),)
    tenant_id: Mapped[str] = id_key()
    account_id: Mapped[str] = id_key()
    provider_id: Mapped[str] = id_key()


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
    at: Mapped[datetime]
    received_at: Mapped[datetime] = created_at_column()


class Turn(Table):
    """Texts that are handed over to an agent together, and what came of it."""

    __tablename__ = "turns"
    __table_args__ = (
        tenant_reference("interaction_id", "interactions", ondelete="CASCADE"),
        tenant_reference("sms_agent_id", "sms_agents", ondelete="CASCADE"),
        Index(None, "tenant_id", "interaction_id", "opened_at"),
        Index(
            "uq_turns_collecting",
            "tenant_id",
            "interaction_id",
            unique=True,
            postgresql_where=sql("kind = 'live' AND state = 'collecting'"),
        ),
        Index(
            "uq_turns_handed_over",
            "tenant_id",
            "interaction_id",
            unique=True,
            postgresql_where=sql("kind = 'live' AND state IN ('delivering', 'awaiting_reply')"),
        ),
        Index("ix_turns_held", "tenant_id", "interaction_id", postgresql_where=sql("held IS NOT NULL")),
        Index("ix_turns_of", "tenant_id", "of_turn", postgresql_where=sql("of_turn IS NOT NULL")),
        Index(
            "ix_turns_clock",
            "due_at",
            postgresql_where=sql("kind = 'live' AND state IN ('collecting', 'delivering', 'awaiting_reply')"),
        ),
    )
    tenant_id: Mapped[str] = id_key()
    turn_id: Mapped[str] = id_key()
    interaction_id: Mapped[str | None] = mapped_column(Id)
    """None: a test of the agent, without a thread."""
    sms_agent_id: Mapped[str | None] = mapped_column(Id)
    """None: no agent served the thread when the turn opened."""
    kind: Mapped[str] = mapped_column(server_default="live")
    state: Mapped[str] = mapped_column(server_default="collecting")
    reason: Mapped[str | None]
    opened_at: Mapped[datetime] = created_at_column()
    due_at: Mapped[datetime]
    """When a worker looks at the turn next: end of window, lease end, retry time and expiry."""
    window_due_at: Mapped[datetime]
    """When its window closes; the API's `dueAt`."""
    handed_over_at: Mapped[datetime | None]
    accepted_at: Mapped[datetime | None]
    """When the agent's webhook answered 2xx."""
    closed_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]
    moved_to: Mapped[str | None] = mapped_column(Id)
    through_seq: Mapped[int | None]
    payload: Mapped[dict[str, Any] | None]
    """The payload of a dry turn. A live turn has it in the body of its first attempt; older builds
    wrote it here too."""
    attempt: Mapped[int] = mapped_column(SmallInteger, server_default=sql("0"))
    posting: Mapped[bool] = flag_column(False)
    """Whether a POST may be running."""
    lease: Mapped[str | None] = mapped_column(Id)
    protected: Mapped[bool] = flag_column(False)
    unsent_reply: Mapped[dict[str, Any] | None]
    reply: Mapped[dict[str, Any] | None]
    held: Mapped[dict[str, Any] | None]
    """A stale reply that waits for a person to send or discard it."""
    of_turn: Mapped[str | None] = mapped_column(Id)
    """For a replay or a shadow: the live turn it copies."""
    refused: Mapped[list[Any]] = mapped_column(server_default=sql("'[]'"))


class TurnMessage(Table):
    """The texts of a turn. A text that moved to a later turn is in both."""

    __tablename__ = "turn_messages"
    __table_args__ = (
        tenant_reference("turn_id", "turns", ondelete="CASCADE"),
        tenant_reference("message_id", "messages", ondelete="CASCADE"),
        Index(None, "tenant_id", "message_id"),
    )
    tenant_id: Mapped[str] = id_key()
    turn_id: Mapped[str] = id_key()
    message_id: Mapped[str] = id_key()
    seq: Mapped[int]


class TurnAttempt(Table):
    """One POST of a turn, with the exact bytes that were sent."""

    __tablename__ = "turn_attempts"
    __table_args__ = (
        tenant_reference("turn_id", "turns", ondelete="CASCADE"),
        Index(None, "at", postgresql_using="brin"),
    )
    tenant_id: Mapped[str] = id_key()
    turn_id: Mapped[str] = id_key()
    attempt: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    at: Mapped[datetime] = created_at_column()
    request_body: Mapped[bytes]
    outcome: Mapped[str | None]
    http_status: Mapped[int | None] = mapped_column(SmallInteger)
    duration_ms: Mapped[int | None]
    answer: Mapped[str | None]


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
    at: Mapped[datetime] = created_at_column()


class CannedReply(Table):
    """A text that people of the tenant send often."""

    __tablename__ = "canned_replies"
    __table_args__ = (tenant_constraint(),)
    tenant_id: Mapped[str] = id_key()
    canned_reply_id: Mapped[str] = id_key()
    title: Mapped[str]
    text: Mapped[str]
    created_at: Mapped[datetime] = created_at_column()
    updated_at: Mapped[datetime] = created_at_column()


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


class TenantEvent(Table):
    """An event of a tenant. Readers page by (transaction, event_id) and stay below the snapshot's
    xmin, so that no late commit is skipped."""

    __tablename__ = "tenant_events"
    __table_args__ = (tenant_constraint(), Index(None, "at", postgresql_using="brin"))
    tenant_id: Mapped[str] = id_key()
    transaction: Mapped[int] = mapped_column(Xid8(), primary_key=True, server_default=sql("pg_current_xact_id()"))
    event_id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    type: Mapped[str]
    interaction_id: Mapped[str | None] = mapped_column(Id)
    data: Mapped[dict[str, Any]]
    at: Mapped[datetime] = created_at_column()
