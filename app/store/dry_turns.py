"""Dry turns: replays, shadows, tests and trials."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from app.domain.turns import StoredReply, TurnState
from app.store.engine import ReadTx, Tx
from app.store.rows import columns_of, unnest_sql
from app.store.turn_states import HANDED_OVER_SQL


@dataclass(frozen=True, slots=True, kw_only=True)
class DryTurn:
    """A turn of a replay, shadow, test or trial: it is handed over at once, and its reply is never sent."""

    tenant_id: str
    turn_id: str
    interaction_id: str | None
    agent_id: str | None
    kind: str
    through_seq: int
    of_turn: str | None
    body: bytes
    """The payload, as it is POSTed (UTF-8 JSON)."""


ADD_DRY_TURNS_SQL = f"""
WITH asked AS (
    SELECT * FROM {unnest_sql(DryTurn, first=2)}
), added AS (
    INSERT INTO turns (tenant_id, turn_id, interaction_id, sms_agent_id, kind, state, due_at,
        window_due_at, handed_over_at, expires_at, payload, of_turn, attempt, through_seq)
    SELECT tenant_id, turn_id, interaction_id, agent_id, kind, 'delivering', clock_timestamp(),
           clock_timestamp(), clock_timestamp(), clock_timestamp() + $1::interval,
           convert_from(body, 'UTF8')::jsonb, of_turn, 1, through_seq
    FROM asked
)
INSERT INTO turn_attempts (tenant_id, turn_id, attempt, request_body)
SELECT tenant_id, turn_id, 1, body FROM asked
"""


async def add(tx: Tx, dry_turns: Sequence[DryTurn], reply_within: timedelta) -> None:
    """Adds the dry turns, each with its only attempt already begun."""
    if dry_turns:
        await tx.execute(ADD_DRY_TURNS_SQL, reply_within, *columns_of(dry_turns))


END_DRY_TURN_SQL = f"""
UPDATE turns SET state = $3, reason = $4, reply = coalesce($5, reply),
    closed_at = CASE WHEN $3 IN {HANDED_OVER_SQL} THEN NULL
                     ELSE clock_timestamp() END,
    accepted_at = CASE WHEN $3 = 'failed' THEN accepted_at
                       ELSE coalesce(accepted_at, clock_timestamp()) END
WHERE tenant_id = $1 AND turn_id = $2 AND kind <> 'live' AND closed_at IS NULL
"""


async def end(
    tx: Tx, tenant_id: str, turn_id: str, state: TurnState, reason: str | None, reply: StoredReply | None
) -> None:
    """Records what came of a dry turn. A turn that is already closed does not change."""
    await tx.execute(END_DRY_TURN_SQL, tenant_id, turn_id, state, reason, reply)


@dataclass(frozen=True, slots=True)
class ShadowPair:
    """A live turn of an agent, and its shadow."""

    turn_id: str
    interaction_id: str
    opened_at: datetime
    state: TurnState
    reason: str | None
    texts: list[str] | None
    outcome: dict[str, Any] | None
    refused: list[dict[str, Any]]
    duration_ms: int | None
    shadow_turn_id: str
    shadow_state: TurnState
    shadow_reason: str | None
    shadow_texts: list[str] | None
    shadow_outcome: dict[str, Any] | None
    shadow_duration_ms: int | None


REPORT_SHADOWS_SQL = """
SELECT live.turn_id, live.interaction_id, live.opened_at, live.state, live.reason,
       live.reply -> 'texts' AS texts, live.outcome, live.refused, la.duration_ms,
       s.turn_id AS shadow_turn_id, s.state AS shadow_state, s.reason AS shadow_reason,
       s.reply -> 'texts' AS shadow_texts, s.outcome AS shadow_outcome, sa.duration_ms AS shadow_duration_ms
FROM turns s
JOIN turns live ON live.tenant_id = s.tenant_id AND live.turn_id = s.of_turn
LEFT JOIN turn_attempts la ON la.tenant_id = live.tenant_id AND la.turn_id = live.turn_id
    AND la.attempt = live.attempt
LEFT JOIN turn_attempts sa ON sa.tenant_id = s.tenant_id AND sa.turn_id = s.turn_id
WHERE s.tenant_id = $1 AND s.sms_agent_id = $2 AND s.kind = 'shadow'
ORDER BY s.opened_at DESC LIMIT $3
"""


async def report_shadows(read: ReadTx, tenant_id: str, agent_id: str, limit: int) -> list[ShadowPair]:
    """The agent's live turns, each beside its shadow, newest first."""
    return await read.fetch(ShadowPair, REPORT_SHADOWS_SQL, tenant_id, agent_id, limit)
