"""Turns: what was handed to an agent, and what came of it (contract 6)."""

from datetime import datetime
from typing import Any

from fastapi import APIRouter

from app.domain.problems import NotFound
from app.store import turns
from app.store.engine import Row
from app.web.doors import TenantRead, TurnsCaller
from app.web.envelope import Answer, Out
from app.web.interactions import find
from app.web.paging import Paged

router = APIRouter(prefix="/api/v1", tags=["Turns"])


class Held(Out):
    message_id: str
    seq: int


class Reply(Out):
    texts: list[str]
    message_ids: list[str]
    by: str


class Try(Out):
    at: datetime
    http_status: int | None
    duration_ms: int | None
    outcome: str | None
    answer: str | None
    request_body: str


class TurnShape(Out):
    turn_id: str
    interaction_id: str
    agent_id: str | None
    kind: str
    state: str
    reason: str | None
    messages: list[Held]
    opened_at: datetime
    due_at: datetime
    handed_over_at: datetime | None
    closed_at: datetime | None
    moved_to: str | None
    reply: Reply | None
    refused: list[dict[str, Any]]
    attempts: list[Try]


class TurnPage(Out):
    turns: list[TurnShape]
    next_cursor: str | None
    has_more: bool


def shape(row: Row, attempts: list[Row]) -> TurnShape:
    return TurnShape.model_validate(
        {
            **dict(row),
            "agent_id": row["sms_agent_id"],
            "due_at": row["window_due_at"],
            "messages": row["texts"],
            "attempts": [
                {**dict(attempt), "request_body": attempt["request_body"].decode()}
                for attempt in attempts
            ],
        }
    )


@router.get("/interactions/{interaction_id}/turns", summary="The turns of a thread")
async def of_thread(
    interaction_id: str,
    caller: TurnsCaller,
    read: TenantRead,
    paged: Paged,
) -> Answer[TurnPage]:
    """Newest first."""
    await find(read, caller, interaction_id)
    rows, attempts = await turns.listed(
        read, caller.tenant_id, interaction_id, None, caller.agent_id,
        paged.key(datetime, str), paged.fetch,
    )  # fmt: skip
    page, cursor = paged.cut(rows, lambda row: (row["opened_at"], row["turn_id"]))
    shapes = [shape(row, attempts.get(row["turn_id"], [])) for row in page]
    return Answer(data=TurnPage(turns=shapes, next_cursor=cursor, has_more=cursor is not None))


@router.get("/turns/{turn_id}", summary="One turn, its attempts and their bytes")
async def one(turn_id: str, caller: TurnsCaller, read: TenantRead) -> Answer[TurnShape]:
    rows, attempts = await turns.listed(
        read, caller.tenant_id, None, turn_id, caller.agent_id, None, 1
    )
    if not rows:
        raise NotFound
    return Answer(data=shape(rows[0], attempts.get(turn_id, [])))
