"""Who talks to whom, and why: SMS agents, campaigns, leads, and canned replies."""

from datetime import datetime
from typing import Any

from sqlalchemy import Index, literal_column
from sqlalchemy import text as sql
from sqlalchemy.orm import Mapped, mapped_column

from app.store.schema.base import Id, Table, created_at_column, flag_column, id_key, tenant_constraint, tenant_reference


class SmsAgent(Table):
    __tablename__ = "sms_agents"
    __table_args__ = (
        tenant_constraint(),
        tenant_reference("phone_number_id", "phone_numbers"),
        Index(None, "tenant_id", "phone_number_id"),
        Index(
            "ix_sms_agents_following",
            "tenant_id",
            postgresql_where=sql("follow_ups <> '[]' OR failed_delivery_turns"),
        ),
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
    disclosure: Mapped[str] = mapped_column(server_default="off")
    """`off`, `where_required` or `always`: whether its first text in a thread says that it is an agent."""
    reply_delay_ms: Mapped[int] = mapped_column(server_default=sql("0"))
    follow_ups: Mapped[list[Any]] = mapped_column(server_default=sql("'[]'"))
    """The steps after silence, each as `{after_minutes, only_if}`."""
    failed_delivery_turns: Mapped[bool] = flag_column(False)
    """Whether the agent gets a turn when a text of ours does not arrive."""
    shadow_webhook_url: Mapped[str | None]
    paused_at: Mapped[datetime | None]
    paused_reason: Mapped[str | None]
    secret: Mapped[bytes]
    """Sealed signing secret (`whsec_…`)."""
    previous_secret: Mapped[bytes | None]
    previous_secret_until: Mapped[datetime | None]
    created_at: Mapped[datetime] = created_at_column()
    updated_at: Mapped[datetime] = created_at_column()


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
    purpose: Mapped[str] = mapped_column(server_default="marketing")
    """What its texts are for, if they answer nobody."""
    require_consent: Mapped[dict[str, Any] | None]
    """By purpose, the basis that a phone's consent must at least have."""
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
            "ix_leads_folded",
            "tenant_id",
            literal_column(
                "fold_text((((((COALESCE(first_name, '') || ' ') || COALESCE(last_name, '')) || ' ')"
                " || lead_id) || ' ') || COALESCE(email, ''))"
            ).label("name"),
            postgresql_ops={"name": "gin_trgm_ops"},
            postgresql_using="gin",
        ),
        Index(  # leads without tags and custom fields cost nothing here
            "ix_leads_tags",
            "tenant_id",
            "tags",
            "custom_fields",
            postgresql_ops={"custom_fields": "jsonb_path_ops"},
            postgresql_using="gin",
            postgresql_where=sql("tags <> '{}' OR custom_fields <> '{}'"),
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
    state: Mapped[str | None]
    postal_code: Mapped[str | None]
    questionnaire: Mapped[list[Any]] = mapped_column(server_default=sql("'[]'"))
    tags: Mapped[list[str]] = mapped_column(server_default=sql("'{}'"))
    custom_fields: Mapped[dict[str, Any]] = mapped_column(server_default=sql("'{}'"))
    dnc_channels: Mapped[list[str]] = mapped_column(server_default=sql("'{}'"))
    dnc_reason: Mapped[str | None]
    active_at: Mapped[datetime] = created_at_column()
    """When the lead last wrote, got a text or was changed. Where several leads share a phone, the
    most recently active one gets its texts."""
    created_at: Mapped[datetime] = created_at_column()
    updated_at: Mapped[datetime] = created_at_column()


class LeadAnswer(Table):
    """Each answer that a lead's questionnaire got, with its source. Append-only: the newest of a key
    stands in the questionnaire."""

    __tablename__ = "lead_answers"
    __table_args__ = (
        tenant_reference("lead_id", "leads", ondelete="CASCADE"),
        Index(None, "tenant_id", "lead_id", "key", "at"),
    )
    tenant_id: Mapped[str] = id_key()
    answer_id: Mapped[str] = id_key()
    lead_id: Mapped[str] = mapped_column(Id)
    key: Mapped[str]
    answer: Mapped[str | None]
    """None: the answer was removed."""
    turn_id: Mapped[str | None] = mapped_column(Id)
    """The turn whose outcome brought the answer. No foreign key: it stays when old turns are deleted."""
    message_id: Mapped[str | None] = mapped_column(Id)
    """The lead's text that contains the answer."""
    author: Mapped[str]
    """`agent:…`, `person:…`, `key:…` or `service`."""
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
