"""The record of one turn: the texts in it, every attempt, and what came of it."""

import json
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from app.access import sessions
from app.domain.problems import NotFound
from app.store import interactions, sms_agents, turns
from app.store import page as store
from app.store.engine import Read, Row
from app.web.doors import Held
from app.web.page import render
from app.web.page.doors import SignedIn, Token
from app.web.page.visits import AskedFor
from app.web.paging import Paged

router = APIRouter(include_in_schema=False)


@router.get("/conversations/{interaction_id}/turns/{turn_id}")
async def record(
    request: Request,
    interaction_id: str,
    turn_id: str,
    person: SignedIn,
    token: Token,
    held: Held,
    asked: AskedFor,
    paged: Paged,
) -> Response:
    async with held.database.reading(person.tenant_id) as read:
        shown = await _record(read, person.tenant_id, interaction_id, turn_id)
    place = asked.model_dump() | {"cursor": request.query_params.get("cursor")}
    return render.page(
        request,
        "turn.html",
        person=person,
        csrf=sessions.csrf_token(token),
        place=place,
        **shown,
    )


async def _record(read: Read, tenant_id: str, interaction_id: str, turn_id: str) -> dict[str, Any]:
    """The turn with its texts, attempts, replies and twins. Raises `NotFound`."""
    thread = await interactions.get(read, tenant_id, interaction_id)
    found, attempts = await turns.listed(read, tenant_id, interaction_id, turn_id, None, None, 1)
    if thread is None or not found:
        raise NotFound("There is no turn at this address.")
    [turn] = found
    agent_id = turn["sms_agent_id"]
    return {
        "thread": thread,
        "turn": turn,
        "agent": agent_id and await sms_agents.get(read, tenant_id, agent_id),
        "texts": await store.texts(read, tenant_id, [one["messageId"] for one in turn["texts"]]),
        "replies": await store.texts(read, tenant_id, (turn["reply"] or {}).get("messageIds", [])),
        "attempts": [_attempt(row) for row in attempts.get(turn_id, [])],
        "twins": await store.twins(read, tenant_id, turn_id),
        "near": await store.near_turns(read, tenant_id, interaction_id, turn_id),
    }


def _attempt(row: Row) -> dict[str, Any]:
    return {
        **dict(row),
        "request": _indented(row["request_body"].decode(errors="backslashreplace")),
        "answer": row["answer"] and _indented(row["answer"]),
    }


def _indented(body: str) -> str:
    """JSON with line breaks for the eye; anything else as it is, also what is nested deeper than
    anybody reads. Half of a surrogate pair stays escaped: no page could hold it."""
    try:
        words = json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return body
    return words.encode(errors="backslashreplace").decode()
