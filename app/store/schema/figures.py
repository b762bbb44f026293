"""Figures, counted by the hour."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, Computed, Index
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import INTERVAL
from sqlalchemy.orm import Mapped, mapped_column

from app.store.schema.base import Id, Table, Xid8, id_key, tenant_constraint

WAITING_SQL = "due_at IS NOT NULL OR counted_at IS DISTINCT FROM summed_at"
"""Of an hour: it must be counted."""
DUE_AT_SQL = "COALESCE(due_at, counted_at)"
"""From when on."""


class FigureCursor(Table):
    """How far a tenant's events were read. Without a row every hour is counted anew."""

    __tablename__ = "figure_cursors"
    __table_args__ = (tenant_constraint(),)
    tenant_id: Mapped[str] = id_key()
    transaction: Mapped[int] = mapped_column(Xid8)
    event_id: Mapped[int] = mapped_column(BigInteger)


class FigureHour(Table):
    """An hour of a tenant, and whether it must be counted again."""

    __tablename__ = "figure_hours"
    __table_args__ = (
        tenant_constraint(),
        Index("ix_figure_hours_waiting", sql(DUE_AT_SQL), postgresql_where=sql(WAITING_SQL)),
    )
    tenant_id: Mapped[str] = id_key()
    hour: Mapped[datetime] = mapped_column(primary_key=True)
    due_at: Mapped[datetime | None]
    """Something changed in the hour: when it is counted again. None: nothing did."""
    counted_at: Mapped[datetime | None]
    summed_at: Mapped[datetime | None]
    """Equal to `counted_at` if its day was summed up with it. Else a version that knows no days counted it."""
    took: Mapped[timedelta] = mapped_column(INTERVAL(), server_default=sql("'0'"))
    """How long the last count took: an hour that takes long is counted less often."""


def _summed_column(measure: str) -> Mapped[Any]:
    """One of the counts, which is read ten times as fast as out of `counts`."""
    computed = Computed(f"(counts -> '{measure}'::text)::bigint", persisted=True)
    return mapped_column(BigInteger, computed, info={"measure": measure})


class Figure(Table):
    """What was counted in an hour. '' where there is no campaign, agent or source.

    `level`: `full`; or a sum of these, in which only one column or none is kept: of the `tenant`, of a
    `campaign`, of an `agent`. With `_day` at its end it is the sum of a day of UTC that begins with `hour`."""

    __tablename__ = "figures"
    __table_args__ = (tenant_constraint(),)
    tenant_id: Mapped[str] = id_key()
    level: Mapped[str] = mapped_column(primary_key=True)
    hour: Mapped[datetime] = mapped_column(primary_key=True)
    campaign_id: Mapped[str] = id_key()
    our_number: Mapped[str] = id_key()
    sms_agent_id: Mapped[str] = id_key()
    source: Mapped[str] = mapped_column(primary_key=True)
    side: Mapped[str] = mapped_column(Id, primary_key=True, server_default="")
    """`experiment_….a` or `experiment_….b`; '' outside of A/B tests."""
    counts: Mapped[dict[str, Any]]
    """By measure."""
    texts: Mapped[int | None] = _summed_column("texts")
    delivered: Mapped[int | None] = _summed_column("delivered")
    texted: Mapped[int | None] = _summed_column("texted")
    replied: Mapped[int | None] = _summed_column("replied")
    qualified: Mapped[int | None] = _summed_column("qualified")
    opt_outs: Mapped[int | None] = _summed_column("optOuts")
    turns: Mapped[int | None] = _summed_column("turns")
    timed_turns: Mapped[int | None] = _summed_column("timedTurns")
    agent_ms: Mapped[int | None] = _summed_column("agentMs")
    hand_offs: Mapped[int | None] = _summed_column("handOffs")
    stale_replies: Mapped[int | None] = _summed_column("staleReplies")
