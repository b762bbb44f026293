"""Reads what the page of a turn shows besides the turn and its attempts."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.store.engine import ReadTx


@dataclass(frozen=True, slots=True)
class TurnText:
    """A text on the page of a turn."""

    role: str
    text: str
    media: list[Any]
    status: str
    error_message: str | None
    created_at: datetime


GET_TEXTS_SQL = """
SELECT role, text, media, status, error_message, created_at FROM messages
WHERE tenant_id = $1 AND message_id = ANY ($2) ORDER BY seq, created_at
"""


async def get_texts(read: ReadTx, tenant_id: str, message_ids: Sequence[str]) -> list[TurnText]:
    """The texts, in order of `seq`."""
    return await read.fetch(TurnText, GET_TEXTS_SQL, tenant_id, list(message_ids))


@dataclass(frozen=True, slots=True)
class DryTurn:
    """A replay or a shadow of a turn. `texts`: what its agent would have sent; None: no reply."""

    turn_id: str
    kind: str
    state: str
    reason: str | None
    opened_at: datetime
    texts: list[str] | None
    refused: list[dict[str, Any]]
    duration_ms: int | None
    http_status: int | None


LIST_DRY_TURNS_SQL = """
SELECT u.turn_id, u.kind, u.state, u.reason, u.opened_at, u.reply -> 'texts' AS texts, u.refused,
       a.duration_ms, a.http_status
FROM turns u
LEFT JOIN turn_attempts a ON a.tenant_id = u.tenant_id AND a.turn_id = u.turn_id AND a.attempt = u.attempt
WHERE u.tenant_id = $1 AND u.of_turn = $2 ORDER BY u.opened_at DESC LIMIT 50
"""


async def list_dry_turns(read: ReadTx, tenant_id: str, turn_id: str) -> list[DryTurn]:
    """The replays and shadows of a turn, the newest first."""
    return await read.fetch(DryTurn, LIST_DRY_TURNS_SQL, tenant_id, turn_id)


@dataclass(frozen=True, slots=True)
class Neighbors:
    """The ids of a thread's live turns before and after one of them."""

    before: str | None
    after: str | None


GET_NEIGHBORS_SQL = """
SELECT (SELECT o.turn_id FROM turns o WHERE o.tenant_id = u.tenant_id AND o.kind = 'live'
          AND o.interaction_id = u.interaction_id
          AND (o.opened_at, o.turn_id) < (u.opened_at, u.turn_id)
        ORDER BY o.opened_at DESC, o.turn_id DESC LIMIT 1) AS before,
       (SELECT o.turn_id FROM turns o WHERE o.tenant_id = u.tenant_id AND o.kind = 'live'
          AND o.interaction_id = u.interaction_id
          AND (o.opened_at, o.turn_id) > (u.opened_at, u.turn_id)
        ORDER BY o.opened_at, o.turn_id LIMIT 1) AS after
FROM turns u WHERE u.tenant_id = $1 AND u.interaction_id = $2 AND u.turn_id = $3
"""


async def get_neighbors(read: ReadTx, tenant_id: str, interaction_id: str, turn_id: str) -> Neighbors | None:
    return await read.fetch_one(Neighbors, GET_NEIGHBORS_SQL, tenant_id, interaction_id, turn_id)
