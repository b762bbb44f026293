"""Threads and their texts."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Index, Numeric, SmallInteger, UniqueConstraint
from sqlalchemy import text as sql
from sqlalchemy.orm import Mapped, mapped_column

from app.store.schema.base import Id, Table, created_at_column, flag_column, id_key, tenant_reference
from app.store.waiting import snooze_end_sql, snooze_holds_sql, waits_sql


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
        Index(
            "ix_interactions_waiting",
            "tenant_id",
            sql("coalesce(waiting_since, last_inbound_at)"),
            "interaction_id",
            postgresql_where=sql(waits_sql("")),
        ),
        Index(
            "ix_interactions_assigned",
            "tenant_id",
            "assigned_to",
            "status",
            "last_message_at",
            "interaction_id",
            postgresql_where=sql("assigned_to IS NOT NULL"),
        ),
        Index(
            "ix_interactions_snoozed",
            "tenant_id",
            sql(snooze_end_sql("")),
            postgresql_where=sql(snooze_holds_sql("")),
        ),
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
    refused_outcome: Mapped[dict[str, Any] | None]
    """The last refused outcome of an agent; the next payload shows it."""
    status_by_hand_at: Mapped[datetime | None]
    """When a person or an API key last set the status."""
    last_change: Mapped[dict[str, Any] | None]
    """Who last changed status or agent mode, by which rule, and when: a trigger tells it."""
    assigned_to: Mapped[str | None] = mapped_column(Id)
    """The person whose thread it is."""
    snoozed_at: Mapped[datetime | None]
    """A snooze that the lead's next text ends: then `last_inbound_at` is later."""
    snoozed_until: Mapped[datetime | None]
    """None: only a text of the lead ends the snooze."""
    waiting_since: Mapped[datetime | None]
    """While the newest text is the lead's: when the lead wrote the first one that we have not answered."""
    gave_up_at: Mapped[datetime | None]
    """When a turn of the agent last failed or expired."""
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
            "ix_messages_folded",
            "tenant_id",
            sql("array_to_tsvector(string_to_array(fold_text(text), ' '::text))"),
            postgresql_using="gin",
        ),
        Index(
            "ix_messages_failed",
            "tenant_id",
            "created_at",
            postgresql_where=sql("error_code IS NOT NULL"),
        ),
        Index("ix_messages_counted", "tenant_id", "to_phone", postgresql_where=sql("counted_at IS NOT NULL")),
        Index(
            "ix_messages_awaiting",
            "tenant_id",
            "interaction_id",
            postgresql_where=sql("awaits_decision"),
        ),
        Index(
            "ix_messages_decided",
            "tenant_id",
            "message_id",
            postgresql_where=sql("opt_out IS NOT NULL"),
        ),
        Index("ix_messages_notes", "tenant_id", "interaction_id", "seq", postgresql_where=sql("note IS NOT NULL")),
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
    part_receipts: Mapped[dict[str, Any] | None]
    """For a text of several parts, where the carrier reports them one by one: the furthest status of
    each part, and its error."""
    to_phone: Mapped[str | None] = mapped_column(Id)
    from_phone: Mapped[str | None] = mapped_column(Id)
    account_id: Mapped[str | None] = mapped_column(Id)
    provider: Mapped[str | None]
    provider_message_id: Mapped[str | None] = mapped_column(Id)
    encoding: Mapped[str | None]
    segments: Mapped[int | None] = mapped_column(SmallInteger)
    price: Mapped[Decimal | None] = mapped_column(Numeric)
    """What the carrier says that the text costs. None: it has not said."""
    currency: Mapped[str | None]
    error_code: Mapped[str | None]
    error_message: Mapped[str | None]
    turn_id: Mapped[str | None] = mapped_column(Id)
    """For an agent's text: the turn it answers."""
    bulk_id: Mapped[str | None] = mapped_column(Id)
    forwardable: Mapped[bool] = flag_column(False)
    """For an inbound text: received while agent mode was on."""
    possible_opt_out: Mapped[bool] = flag_column(False)
    """For an inbound text: it may be an opt-out, but not surely."""
    opt_out: Mapped[bool | None]
    """For an inbound text: whether a person decided that it is an opt-out."""
    awaits_decision: Mapped[bool] = flag_column(False)
    """For an inbound text: it may be an opt-out, or came after such a text, and goes to no agent before a
    person has decided."""
    late: Mapped[bool] = flag_column(False)
    """For an inbound text: fetched from the carrier's record after a downtime."""
    incomplete: Mapped[bool] = flag_column(False)
    """For a late text: its webhook, which has more data than the record, has not come yet."""
    send_at: Mapped[datetime | None]
    held_until: Mapped[datetime | None]
    held_reason: Mapped[str | None]
    note: Mapped[dict[str, Any] | None]
    """For a note that somebody wrote: `{"mentions": [user id…], "forAgent": bool}`."""
    held_rule: Mapped[str | None]
    """The rule that holds the text, or last did."""
    purpose: Mapped[str | None]
    """None: nobody gave one, and no rule asked for it."""
    counted_at: Mapped[datetime | None]
    """For a text that counts against caps: when it leaves. None: it does not count."""
    matter: Mapped[str | None] = mapped_column(Id)
    """For a text that counts: its campaign."""
    first_contact: Mapped[bool] = flag_column(False)
    """For a text that counts: nobody had written from the phone yet."""
    created_at: Mapped[datetime] = created_at_column()


class Upload(Table):
    """A file that a person uploaded for a text. Whoever has its address may read it."""

    __tablename__ = "uploads"
    __table_args__ = (
        tenant_reference("message_id", "messages", ondelete="CASCADE"),
        UniqueConstraint("upload_id"),
        Index(None, "created_at"),
    )
    tenant_id: Mapped[str] = id_key()
    message_id: Mapped[str] = id_key()
    place: Mapped[int] = mapped_column(primary_key=True)
    """The place among the media of the text; 0 is the first."""
    upload_id: Mapped[str] = mapped_column(Id)
    content_type: Mapped[str]
    content: Mapped[bytes]
    created_at: Mapped[datetime] = created_at_column()
