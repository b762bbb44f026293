"""Adds inbound texts to the turns that collect them for an agent."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from app.domain import ids, windows
from app.store.agent_of import agent_of_sql
from app.store.engine import Tx, as_columns


@dataclass(frozen=True, slots=True)
class CollectedText:
    """An inbound text that an agent gets."""

    tenant_id: str
    interaction_id: str
    message_id: str


@dataclass(frozen=True, slots=True)
class CollectingTurn:
    """The turn that collects a thread's texts until `due_at`."""

    tenant_id: str
    interaction_id: str
    turn_id: str
    due_at: datetime


COLLECT_TEXTS_SQL = f"""
WITH asked AS (
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[])
        AS a(tenant_id, interaction_id, turn_id)
), arriving AS (
    SELECT m.tenant_id, m.interaction_id, m.message_id, m.seq
    FROM unnest($4::text[], $5::text[]) AS a(tenant_id, message_id)
    JOIN messages m USING (tenant_id, message_id)
), windows AS (
    SELECT a.*, agent.sms_agent_id,
           coalesce(agent.batch_window_ms, $6) * interval '1 ms' AS wait,
           coalesce(agent.max_wait_ms, coalesce(agent.batch_window_ms, $6) * $7)
               * interval '1 ms' AS longest,
           (SELECT count(*) FROM arriving n WHERE n.tenant_id = a.tenant_id
                AND n.interaction_id = a.interaction_id)
           + (SELECT count(*) FROM turns u JOIN turn_messages y USING (tenant_id, turn_id)
              WHERE u.tenant_id = a.tenant_id AND u.interaction_id = a.interaction_id
                AND u.kind = 'live' AND u.state = 'collecting') >= $8 AS crowded
    FROM asked a
    JOIN interactions t ON t.tenant_id = a.tenant_id AND t.interaction_id = a.interaction_id
    JOIN leads l ON l.tenant_id = t.tenant_id AND l.lead_id = t.lead_id
    LEFT JOIN LATERAL (
        {agent_of_sql("t.tenant_id", "t.campaign_id", "l.is_test", "t.our_number")}
    ) agent ON true
), collecting AS (
    INSERT INTO turns AS u (tenant_id, turn_id, interaction_id, sms_agent_id, due_at, window_due_at)
    SELECT tenant_id, turn_id, interaction_id, sms_agent_id, due.at, due.at
    FROM windows, LATERAL (
        SELECT clock_timestamp() + CASE WHEN crowded THEN interval '0' ELSE wait END AS at) due
    ON CONFLICT (tenant_id, interaction_id) WHERE kind = 'live' AND state = 'collecting'
    DO UPDATE SET (due_at, window_due_at) = (
        SELECT due.at, due.at FROM windows w, LATERAL (
            SELECT least(excluded.due_at, u.opened_at + w.longest) AS at) due
        WHERE w.tenant_id = u.tenant_id AND w.interaction_id = u.interaction_id)
    RETURNING u.tenant_id, u.turn_id, u.interaction_id, u.due_at
), held AS (
    INSERT INTO turn_messages (tenant_id, turn_id, message_id, seq)
    SELECT c.tenant_id, c.turn_id, n.message_id, n.seq
    FROM arriving n JOIN collecting c USING (tenant_id, interaction_id)
)
SELECT tenant_id, interaction_id, turn_id, due_at FROM collecting
"""


async def collect_texts(tx: Tx, texts: Sequence[CollectedText]) -> list[CollectingTurn]:
    """Adds the texts to the collecting turns of their threads, which the caller has locked, and
    restarts the windows."""
    threads = sorted({(text.tenant_id, text.interaction_id) for text in texts})
    return await tx.fetch(
        CollectingTurn,
        COLLECT_TEXTS_SQL,
        *as_columns([(*thread, ids.make("turn")) for thread in threads], 3),
        *as_columns([(text.tenant_id, text.message_id) for text in texts], 2),
        windows.WINDOW_MS,
        windows.MAX_WAIT_WINDOWS,
        windows.TEXTS_PER_TURN,
    )
