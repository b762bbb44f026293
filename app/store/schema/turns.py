"""Turns, their texts, and their requests to agents."""

from datetime import datetime
from typing import Any

from sqlalchemy import Index, SmallInteger
from sqlalchemy import text as sql
from sqlalchemy.orm import Mapped, mapped_column

from app.store.schema.base import Id, Table, created_at_column, flag_column, id_key, tenant_constraint, tenant_reference


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
            "ix_turns_experiment",
            "tenant_id",
            "experiment_id",
            "turn_id",
            postgresql_where=sql("experiment_id IS NOT NULL"),
        ),
        Index(
            "uq_turns_planned",
            "tenant_id",
            "interaction_id",
            "trigger",
            unique=True,
            postgresql_where=sql("kind = 'live' AND state = 'planned'"),
        ),
        Index("ix_turns_planned", "due_at", postgresql_where=sql("kind = 'live' AND state = 'planned'")),
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
    trigger: Mapped[str] = mapped_column(server_default="texts")
    """Why there is a turn: `texts` of the lead, or one that nobody asked for by writing."""
    step: Mapped[int | None] = mapped_column(SmallInteger)
    """For a turn after silence: which of the agent's follow-ups."""
    state: Mapped[str] = mapped_column(server_default="collecting")
    reason: Mapped[str | None]
    opened_at: Mapped[datetime] = created_at_column()
    """For a turn that was planned: while it is planned, when that was asked; then, when it fell due."""
    due_at: Mapped[datetime]
    """When a worker looks at the turn next: end of window, lease end, retry time and expiry."""
    window_due_at: Mapped[datetime]
    """When its window closes, or for a planned turn, its moment; the API's `dueAt`."""
    handed_over_at: Mapped[datetime | None]
    accepted_at: Mapped[datetime | None]
    """When the agent's webhook answered 2xx."""
    closed_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]
    moved_to: Mapped[str | None] = mapped_column(Id)
    through_seq: Mapped[int | None]
    """The newest entry of the payload; of a planned turn, the newest when it was planned."""
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
    outcome: Mapped[dict[str, Any] | None]
    """What the agent says the conversation came to. A dry turn keeps it without effect."""
    experiment_id: Mapped[str | None] = mapped_column(Id)
    """The A/B test under which it was last handed over. No foreign key: turns are written all the time."""
    side: Mapped[str | None]
    """`a` or `b`: to which webhook."""


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


class FollowUpLook(Table):
    """How far a tenant's threads were looked through for silence. Only tenants whose agents follow up
    have one."""

    __tablename__ = "follow_up_looks"
    __table_args__ = (tenant_constraint(),)
    tenant_id: Mapped[str] = id_key()
    seen_until: Mapped[datetime] = created_at_column()
    """Threads whose newest text is older were seen."""
    looked_at: Mapped[datetime] = created_at_column()
