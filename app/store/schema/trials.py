"""Turns that are kept to try agents with, the trials that were made with them, and A/B tests."""

from datetime import datetime
from typing import Any

from sqlalchemy import Double, ForeignKeyConstraint, Index, SmallInteger, UniqueConstraint
from sqlalchemy import text as sql
from sqlalchemy.orm import Mapped, mapped_column

from app.store.schema.base import Id, Table, created_at_column, flag_column, id_key, tenant_constraint, tenant_reference


def _corpus_turn_reference() -> ForeignKeyConstraint:
    columns = ["tenant_id", "corpus_id", "corpus_turn_id"]
    return ForeignKeyConstraint(columns, [f"corpus_turns.{column}" for column in columns], ondelete="CASCADE")


class Corpus(Table):
    """A named collection of turns."""

    __tablename__ = "corpora"
    __table_args__ = (tenant_constraint(), UniqueConstraint("tenant_id", "name"))
    tenant_id: Mapped[str] = id_key()
    corpus_id: Mapped[str] = id_key()
    name: Mapped[str]
    description: Mapped[str | None]
    created_at: Mapped[datetime] = created_at_column()
    updated_at: Mapped[datetime] = created_at_column()


class CorpusTurn(Table):
    """A turn of a corpus, with the bytes that an agent got and what was answered. It stays when the turn's
    attempts are deleted for their age, and goes with its thread."""

    __tablename__ = "corpus_turns"
    __table_args__ = (
        tenant_reference("corpus_id", "corpora", ondelete="CASCADE"),
        tenant_reference("interaction_id", "interactions", ondelete="CASCADE"),
        Index(None, "tenant_id", "interaction_id"),
    )
    tenant_id: Mapped[str] = id_key()
    corpus_id: Mapped[str] = id_key()
    corpus_turn_id: Mapped[str] = id_key()
    """The id of the turn; of one that was made up, an id of its own."""
    interaction_id: Mapped[str | None] = mapped_column(Id)
    """None: it was made up."""
    name: Mapped[str | None]
    payload: Mapped[bytes]
    recorded_answer: Mapped[dict[str, Any] | None]
    """What was answered: `kind`, `texts`, `outcome`, `reason`."""
    checks: Mapped[dict[str, Any]] = mapped_column(server_default=sql("'{}'"))
    """Checks of this turn alone."""
    actor: Mapped[str]
    created_at: Mapped[datetime] = created_at_column()


class Trial(Table):
    """A run of a corpus against an agent, a webhook, or the shadow that had answered already."""

    __tablename__ = "trials"
    __table_args__ = (
        tenant_reference("corpus_id", "corpora", ondelete="CASCADE"),
        tenant_reference("sms_agent_id", "sms_agents", ondelete="CASCADE"),
        Index("ix_trials_due", "leased_until", postgresql_where=sql("state = 'running'")),
        Index(None, "tenant_id", "corpus_id"),
        Index(None, "tenant_id", "sms_agent_id"),
    )
    tenant_id: Mapped[str] = id_key()
    trial_id: Mapped[str] = id_key()
    corpus_id: Mapped[str] = mapped_column(Id)
    sms_agent_id: Mapped[str] = mapped_column(Id)
    """Whose secret signs."""
    webhook_url: Mapped[str | None]
    """None: the agent's own."""
    of_shadow: Mapped[bool] = flag_column(False)
    """Nothing is posted: the answers of the agent's shadow are judged."""
    checks: Mapped[dict[str, Any]] = mapped_column(server_default=sql("'{}'"))
    judge_url: Mapped[str | None]
    per_minute: Mapped[int]
    max_seconds: Mapped[int]
    state: Mapped[str] = mapped_column(server_default="running")
    actor: Mapped[str]
    lease: Mapped[str | None] = mapped_column(Id)
    leased_until: Mapped[datetime] = created_at_column()
    created_at: Mapped[datetime] = created_at_column()
    finished_at: Mapped[datetime | None]
    fault: Mapped[str | None]
    """Why it failed."""


class TrialResult(Table):
    """What a candidate answered to one turn of the corpus, and how that was judged."""

    __tablename__ = "trial_results"
    __table_args__ = (
        tenant_reference("trial_id", "trials", ondelete="CASCADE"),
        _corpus_turn_reference(),
        Index(None, "tenant_id", "corpus_id", "corpus_turn_id"),
    )
    tenant_id: Mapped[str] = id_key()
    trial_id: Mapped[str] = id_key()
    corpus_turn_id: Mapped[str] = id_key()
    corpus_id: Mapped[str] = mapped_column(Id)
    turn_id: Mapped[str] = mapped_column(Id)
    """The dry turn that was posted, or the shadow."""
    begun_at: Mapped[datetime] = created_at_column()
    settled_at: Mapped[datetime | None]
    kind: Mapped[str | None]
    answer: Mapped[dict[str, Any] | None]
    http_status: Mapped[int | None] = mapped_column(SmallInteger)
    duration_ms: Mapped[int | None]
    segments: Mapped[int | None]
    is_same: Mapped[bool | None]
    """Whether it says the same as what was recorded."""
    has_passed: Mapped[bool | None]
    checks: Mapped[list[Any] | None]


class Experiment(Table):
    """An A/B test of an agent: a share of its leads is answered by a second webhook, side B."""

    __tablename__ = "experiments"
    __table_args__ = (
        tenant_reference("sms_agent_id", "sms_agents", ondelete="CASCADE"),
        Index(None, "tenant_id", "sms_agent_id"),
        Index(
            "uq_experiments_in_force",
            "tenant_id",
            "sms_agent_id",
            unique=True,
            postgresql_where=sql("kept_side IS DISTINCT FROM 'a'"),
        ),
        Index("ix_experiments_due", "due_at", postgresql_where=sql("kept_side IS NULL")),
    )
    tenant_id: Mapped[str] = id_key()
    experiment_id: Mapped[str] = id_key()
    sms_agent_id: Mapped[str] = mapped_column(Id)
    name: Mapped[str]
    webhook_url: Mapped[str]
    """Of side B. Side A is the agent's own."""
    secret: Mapped[bytes]
    """Sealed signing secret of side B."""
    previous_secret: Mapped[bytes | None]
    previous_secret_until: Mapped[datetime | None]
    share: Mapped[float] = mapped_column(Double)
    """Of the leads that are on side B."""
    kept_side: Mapped[str | None]
    """The side that all leads go to since it stopped; None: it runs."""
    reason: Mapped[str | None]
    """Why it stopped."""
    counts: Mapped[list[Any]] = mapped_column(server_default=sql("'[]'"))
    """What was counted at the last look, each as `{side, leads, replied, qualified, opted_out}`."""
    due_at: Mapped[datetime] = created_at_column()
    """When it is looked at next."""
    created_at: Mapped[datetime] = created_at_column()
    stopped_at: Mapped[datetime | None]
