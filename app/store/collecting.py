"""Adds inbound texts to the turns that collect them for an agent."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from app.domain.windows import MAX_WAIT_WINDOWS, TEXTS_PER_TURN, WINDOW_MS
from app.store.agent_of import agent_of_sql
from app.store.engine import Tx
from app.store.rows import columns_of, unnest_sql


@dataclass(frozen=True, slots=True)
class CollectedText:
    """An inbound text that an agent gets."""

    tenant_id: str
    message_id: str
    turn_id: str
    """The new turn's id, in case none collects the thread's texts."""


@dataclass(frozen=True, slots=True)
class CollectingTurn:
    """The turn that collects a thread's texts until `due_at`."""

    tenant_id: str
    interaction_id: str
    turn_id: str
    due_at: datetime


def collect_sql(threads: str) -> str:
    """Parts of a WITH that add the texts in `arriving` (tenant_id, interaction_id, message_id, seq, turn_id)
    to the collecting turns of their threads, and restart the windows; `collecting` has these turns. The
    threads are rows of `threads`, and locked.

    The statement may have waited for these locks. It adds to the turn that it finds then, but does not see what
    was committed meanwhile: a lead, which is then taken for no test, and texts of that turn, which are not counted.
    So the window of a full turn may stay open until the next text."""
    return f"""
windows AS (
    SELECT a.*, agent.sms_agent_id, coalesce(agent.batch_window_ms, {WINDOW_MS}) * interval '1 ms' AS wait,
           coalesce(agent.max_wait_ms, coalesce(agent.batch_window_ms, {WINDOW_MS}) * {MAX_WAIT_WINDOWS})
               * interval '1 ms' AS longest
    FROM (SELECT tenant_id, interaction_id, min(turn_id) AS turn_id, count(*) AS together
          FROM arriving GROUP BY tenant_id, interaction_id) a
    JOIN {threads} t USING (tenant_id, interaction_id)
    LEFT JOIN leads l ON l.tenant_id = t.tenant_id AND l.lead_id = t.lead_id
    LEFT JOIN LATERAL (
        {agent_of_sql("t.tenant_id", "t.campaign_id", "l.is_test", "t.our_number")}
    ) agent ON true
), collecting AS (
    INSERT INTO turns AS u (tenant_id, turn_id, interaction_id, sms_agent_id, due_at, window_due_at)
    SELECT tenant_id, turn_id, interaction_id, sms_agent_id, due.at, due.at
    FROM windows, LATERAL (
        SELECT clock_timestamp() + CASE WHEN together >= {TEXTS_PER_TURN} THEN interval '0' ELSE wait END AS at) due
    ON CONFLICT (tenant_id, interaction_id) WHERE kind = 'live' AND state = 'collecting'
    DO UPDATE SET (due_at, window_due_at) = (
        SELECT due.at, due.at FROM windows w, LATERAL (
            SELECT least(excluded.due_at, u.opened_at + w.longest, CASE WHEN {TEXTS_PER_TURN} <= w.together + (
                SELECT count(*) FROM turn_messages y WHERE y.tenant_id = u.tenant_id AND y.turn_id = u.turn_id
            ) THEN clock_timestamp() END) AS at) due
        WHERE w.tenant_id = u.tenant_id AND w.interaction_id = u.interaction_id)
    RETURNING u.tenant_id, u.turn_id, u.interaction_id, u.due_at
), held AS (
    INSERT INTO turn_messages (tenant_id, turn_id, message_id, seq)
    SELECT c.tenant_id, c.turn_id, n.message_id, n.seq
    FROM arriving n JOIN collecting c USING (tenant_id, interaction_id)
)"""


COLLECT_TEXTS_SQL = f"""
WITH arriving AS (
    SELECT m.tenant_id, m.interaction_id, m.message_id, m.seq, a.turn_id
    FROM {unnest_sql(CollectedText)} JOIN messages m USING (tenant_id, message_id)
), {collect_sql("interactions")}
SELECT tenant_id, interaction_id, turn_id, due_at FROM collecting
"""


async def collect_texts(tx: Tx, texts: Sequence[CollectedText]) -> list[CollectingTurn]:
    """Adds stored texts to the collecting turns of their threads, which the caller has locked."""
    return await tx.fetch(CollectingTurn, COLLECT_TEXTS_SQL, *columns_of(texts))
