"""The tables. Classes describe them for Alembic and for the reader; no object is ever mapped.

Every key begins with `tenant_id`, so that no row can point across tenants and the tables
can be distributed by it; but for what belongs to no tenant (`installation`, `sign_in_tries`).
The few look-ups that come before the tenant is known (keys, accounts, sessions, users by
e-mail) have unique indexes of their own.
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
"""Ids and phones compare as bytes, whatever the database's locale."""


class Xid8(UserDefinedType[int]):
    """PostgreSQL's 64-bit transaction id."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "xid8"


class Table(DeclarativeBase):
    """Base of all tables; constraint names are fixed, so that migrations can name them."""

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
    """A column of the primary key that holds an id."""
    return mapped_column(Id, primary_key=True)


def created_at_column() -> Mapped[Any]:
    """When the row was made, by the database's clock."""
    return mapped_column(server_default=sql("clock_timestamp()"))


def flag_column(default: bool) -> Mapped[Any]:
    return mapped_column(Boolean, server_default=sql(str(default).lower()))


def tenant_reference(
    column: str, target: str, target_column: str | None = None, ondelete: str | None = None
) -> ForeignKeyConstraint:
    """A reference within the tenant."""
    return ForeignKeyConstraint(
        ["tenant_id", column],
        [f"{target}.tenant_id", f"{target}.{target_column or column}"],
        ondelete=ondelete,
    )


def tenant_constraint() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], ondelete="CASCADE")


class Installation(Table):
    """One row: what the installation made for itself at its first start, sealed."""

    __tablename__ = "installation"
    __table_args__ = (CheckConstraint("only_row", name="only_row"),)
    only_row: Mapped[bool] = mapped_column(Boolean, primary_key=True, server_default=sql("true"))
    phone_key: Mapped[bytes]
    """Keys the HMAC that stands beside a phone; sealed, so that it survives a key rotation."""
    alive_at: Mapped[datetime] = created_at_column()
    """When a web process last was there to take webhooks."""
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
    """How many texts a tenant with a daily limit has accepted on a day (UTC)."""

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
    """A signed-in person. Only the digest of the cookie is kept."""

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
    """Of the token before: requests that were on their way with it are not turned away."""
    previous_until: Mapped[datetime | None]
    """Until when the token before is good; None: until the new one is used."""


class SignInTry(Table):
    """How often it was tried of late to sign in with an e-mail, or from an address. There may be
    no such person, hence no tenant."""

    __tablename__ = "sign_in_tries"
    __table_args__ = (Index(None, "until"),)
    who: Mapped[bytes] = mapped_column(primary_key=True)
    """Digest of the e-mail or address: people type passwords into the wrong box."""
    tries: Mapped[int]
    until: Mapped[datetime]
    """Then it is counted anew."""


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
    """Since when inbound texts may be missing, because we were away; None: none are."""
    noticed_at: Mapped[datetime | None]
    """When that was noticed: its numbers wait for the texts, but not for long."""
    fetch_at: Mapped[datetime | None]
    """When they are fetched next, and until when a worker does so; None: at once."""
    fetch_failures: Mapped[int] = mapped_column(server_default="0")
    """Tries in a row that failed."""
    fetch_error: Mapped[str | None]
    failing_since: Mapped[datetime | None]
    """When the first of them failed; None: the last try did not fail."""
    created_at: Mapped[datetime] = created_at_column()
    updated_at: Mapped[datetime] = created_at_column()


class PhoneNumber(Table):
    """A number of ours."""

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
    capabilities: Mapped[list[str]]
    active: Mapped[bool] = flag_column(True)
    label: Mapped[str | None]
    messages_per_second: Mapped[float | None]
    """Segments a second; None: the provider's default for the number's type."""
    free_at: Mapped[datetime] = created_at_column()
    """When pacing lets the next segment leave."""
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
    """rerun, send or hold: what becomes of a reply that comes after the lead wrote again."""
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
    """SHA-256 of the whole key: random keys need no slow hash."""
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
    """When the lead last wrote, was written to, or was changed: the most recent one wins
    where several share a phone."""
    created_at: Mapped[datetime] = created_at_column()
    updated_at: Mapped[datetime] = created_at_column()


class Interaction(Table):
    """A thread between two numbers. Its row is the lock under which `seq` is given."""

    __tablename__ = "interactions"
    __table_args__ = (
        tenant_reference("lead_id", "leads"),
        tenant_reference("campaign_id", "campaigns"),
        # Every text moves its thread's row in all of these: each must earn its place.
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
    """Given back when no cause of suppression stands any more."""
    agent_mode: Mapped[bool] = flag_column(False)
    agent_off_at: Mapped[datetime | None]
    """When a hand or the agent itself switched it off, or a person last wrote since: from then
    on the minutes run after which an agent may resume by itself."""
    stale_replies: Mapped[int] = mapped_column(SmallInteger, server_default=sql("0"))
    """Stale refusals in a row; the second makes the next turn protected."""
    paused_until: Mapped[datetime | None]
    """The loop breaker: no turn is handed over before."""
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
    """A text, in or out, or a note. `seq` is its place in the transcript; None until it is
    released (scheduled, held)."""

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
            # Not `status`: what an index names, even to leave rows out, is not written in place.
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
    """For an inbound text: it may be a wish not to be texted; a person or agent judges."""
    late: Mapped[bool] = flag_column(False)
    """For an inbound text: fetched from the carrier's record after we were away."""
    incomplete: Mapped[bool] = flag_column(False)
    """For a late text: its webhook, which says more than the record, has not come."""
    send_at: Mapped[datetime | None]
    held_until: Mapped[datetime | None]
    held_reason: Mapped[str | None]
    created_at: Mapped[datetime] = created_at_column()


class Outbox(Table):
    """A text owed to a carrier. `due_at` is queue, lease, retry and schedule at once."""

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
    """None until the text is released (scheduled, held)."""
    segments: Mapped[int] = mapped_column(SmallInteger, server_default=sql("1"))
    sms_agent_id: Mapped[str | None] = mapped_column(Id)
    """For an agent's text: whose brake holds it."""
    exempt: Mapped[bool] = flag_column(False)
    """Goes to a suppressed phone all the same: the answer to STOP or HELP."""
    cancel_on_reply: Mapped[bool] = flag_column(False)
    guarded: Mapped[bool] = flag_column(False)
    """For an agent's text: it does not leave any more once the lead wrote after its turn."""
    account_id: Mapped[str] = mapped_column(Id)
    to_phone: Mapped[str] = mapped_column(Id)
    from_phone: Mapped[str] = mapped_column(Id)
    lane: Mapped[int] = mapped_column(SmallInteger, server_default=sql("0"))
    """0 reply, 1 bulk."""
    state: Mapped[str] = mapped_column(server_default="queued")
    """queued, sending (a request may be on its way), unknown (the carrier is being asked)."""
    due_at: Mapped[datetime] = created_at_column()
    expires_at: Mapped[datetime]
    lease: Mapped[str | None] = mapped_column(Id)
    """The claim's token: a settle must name it."""
    tries: Mapped[int] = mapped_column(SmallInteger, server_default=sql("0"))
    begun_at: Mapped[datetime | None]
    """When the last request began."""
    looked: Mapped[int] = mapped_column(SmallInteger, server_default=sql("0"))
    """Look-ups made since the outcome became unknown."""
    resent: Mapped[bool] = flag_column(False)


class Attempt(Table):
    """One HTTP try to send a text, with secrets removed."""

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
    """One bulk send: how many of its texts were accepted."""

    __tablename__ = "bulks"
    __table_args__ = (tenant_constraint(),)
    tenant_id: Mapped[str] = id_key()
    bulk_id: Mapped[str] = id_key()
    accepted: Mapped[int]
    refused: Mapped[int]
    created_at: Mapped[datetime] = created_at_column()


class InboundPart(Table):
    """A part of a longer text that the carrier leaves us to join, until all are there."""

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
    """Provider ids of inbound texts, for ever: a repeat changes nothing. Never pruned."""

    __tablename__ = "provider_ids_seen"
    __table_args__ = (tenant_constraint(),)
    tenant_id: Mapped[str] = id_key()
    account_id: Mapped[str] = id_key()
    provider_id: Mapped[str] = id_key()


class EarlyReceipt(Table):
    """A receipt for a text that is not known yet, kept a while and applied when it is."""

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
    """Texts handed to the agent together, and what came of it."""

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
    """None: a test of the agent, in no thread."""
    sms_agent_id: Mapped[str | None] = mapped_column(Id)
    """None: no agent served the thread when the turn opened."""
    kind: Mapped[str] = mapped_column(server_default="live")
    state: Mapped[str] = mapped_column(server_default="collecting")
    reason: Mapped[str | None]
    opened_at: Mapped[datetime] = created_at_column()
    due_at: Mapped[datetime]
    """When the turn wants to be looked at: window, lease, retry and expiry at once."""
    window_due_at: Mapped[datetime]
    """When its window closed: `dueAt` as the outside sees it."""
    handed_over_at: Mapped[datetime | None]
    accepted_at: Mapped[datetime | None]
    """When the agent's webhook answered 2xx."""
    closed_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]
    moved_to: Mapped[str | None] = mapped_column(Id)
    through_seq: Mapped[int | None]
    payload: Mapped[dict[str, Any] | None]
    """Written by older builds: the bytes of the first attempt are what is frozen."""
    attempt: Mapped[int] = mapped_column(SmallInteger, server_default=sql("0"))
    posting: Mapped[bool] = flag_column(False)
    """Whether a POST may be on its way."""
    lease: Mapped[str | None] = mapped_column(Id)
    protected: Mapped[bool] = flag_column(False)
    unsent_reply: Mapped[dict[str, Any] | None]
    reply: Mapped[dict[str, Any] | None]
    held: Mapped[dict[str, Any] | None]
    """A stale reply that waits for a person."""
    of_turn: Mapped[str | None] = mapped_column(Id)
    """For a replay or a shadow: the live turn."""
    refused: Mapped[list[Any]] = mapped_column(server_default=sql("'[]'"))


class TurnMessage(Table):
    """Which texts a turn holds. A text that moves on stands in both turns."""

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
    """One POST of a turn, with the very bytes that were sent."""

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
    """A cause for which a phone may not be texted. After an erasure the phone is gone and
    its keyed hash keeps the cause."""

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
    """What was said and done about consent. Append-only."""

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
    """The first answer to an Idempotency-Key, so that a repeat is answered by it."""

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
    """What happened in a tenant, in an order that no late commit can slip past: read by
    (transaction, event_id), below the snapshot's xmin."""

    __tablename__ = "tenant_events"
    __table_args__ = (tenant_constraint(), Index(None, "at", postgresql_using="brin"))
    tenant_id: Mapped[str] = id_key()
    transaction: Mapped[int] = mapped_column(Xid8(), primary_key=True, server_default=sql("pg_current_xact_id()"))
    event_id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    type: Mapped[str]
    interaction_id: Mapped[str | None] = mapped_column(Id)
    data: Mapped[dict[str, Any]]
    at: Mapped[datetime] = created_at_column()
