"""The page of one turn: its texts, every attempt to hand it over, and the outcome."""

import json
import secrets
from hashlib import sha256
from typing import Annotated, Any

from fastapi import APIRouter, Form
from fastapi.responses import RedirectResponse
from starlette.responses import Response

from app.commands import corpora as commands
from app.domain.idempotency import IdempotencyKey
from app.domain.problems import IdempotencyInProgress, NotFound, Problem
from app.store import corpora, directory, interactions, turns
from app.store import turn_page as store
from app.store.engine import ReadTx, Tx
from app.store.schema import Experiment, SmsAgent
from app.store.turns import TurnAttempt
from app.web import dry_turns
from app.web.page.list_filter import ListFilter, ListFilterQuery
from app.web.page.page_request import PageGet, PagePost, PageRequest
from app.web.page.settings.admin_request import AdminPost

router = APIRouter(include_in_schema=False)
REPLAY_ROUTE = "replays of the page"
"""The route of the idempotency keys of replays: a double click hands over once."""


@router.get("/conversations/{interaction_id}/turns/{turn_id}")
async def show_turn(interaction_id: str, turn_id: str, page: PageGet, list_filter: ListFilterQuery) -> Response:
    return await _render_turn(page, interaction_id, turn_id, list_filter)


@router.post("/conversations/{interaction_id}/turns/{turn_id}/replay")
async def replay_turn(
    interaction_id: str,
    turn_id: str,
    admin: AdminPost,
    list_filter: ListFilterQuery,
    once: Annotated[str, Form(min_length=8, max_length=64)],
    url: Annotated[str, Form(max_length=2048)] = "",
) -> Response:
    """Hands the turn over once more, to its agent or to `url`. Nothing of the answer is sent. `once` is the form's
    token: a form that is posted twice hands over once."""
    try:
        await admin.run_read(lambda read: _build_turn_context(read, admin.tenant_id, interaction_id, turn_id))
        key = IdempotencyKey(REPLAY_ROUTE, once, sha256(f"{turn_id}\0{url}".encode()).digest())
        await dry_turns.replay(admin.resources, admin.tenant_id, turn_id, url.strip() or None, key)
    except NotFound:
        raise
    except IdempotencyInProgress:
        return _go_back(admin, interaction_id, turn_id, "#twins")  # a double click: the replay is shown there
    except Problem as problem:
        return await _render_turn(admin, interaction_id, turn_id, list_filter, problem, url)
    return _go_back(admin, interaction_id, turn_id, "#twins")


def _go_back(page: PageRequest, interaction_id: str, turn_id: str, fragment: str) -> Response:
    """Redirects to the turn and keeps the list filter."""
    query = f"?{page.request.url.query}" if page.request.url.query else ""
    return RedirectResponse(f"/conversations/{interaction_id}/turns/{turn_id}{query}{fragment}", 303)


async def _render_turn(
    page: PageRequest,
    interaction_id: str,
    turn_id: str,
    list_filter: ListFilter,
    problem: Problem | None = None,
    url: str = "",
) -> Response:
    """`url`: of a replay that was refused by `problem`."""
    context = await page.run_read(lambda read: _build_turn_context(read, page.tenant_id, interaction_id, turn_id))
    place = list_filter.model_dump() | {"cursor": page.request.query_params.get("cursor")}
    status = problem.status if problem else 200
    once = secrets.token_urlsafe(12)
    return page.render_page("turn", status, place=place, once=once, replay_problem=problem, replay_url=url, **context)


@router.post("/conversations/{interaction_id}/turns/{turn_id}/keep")
async def keep_turn(
    interaction_id: str, turn_id: str, sender: PagePost, corpus: Annotated[str, Form(max_length=64)] = ""
) -> Response:
    """Keeps the turn in a corpus: the chosen one, or one that is made for such turns."""

    async def keep(tx: Tx) -> None:
        turn = await turns.find_record(tx, sender.tenant_id, turn_id)
        if turn is None or turn.interaction_id != interaction_id:
            raise NotFound("There is no turn at this address.")
        corpus_id = corpus or await commands.find_marked(tx, sender.caller)
        await commands.add_closed_turns(tx, sender.caller, corpus_id, [turn_id])

    await sender.run_change(keep)
    return _go_back(sender, interaction_id, turn_id, "#trials")


async def _build_turn_context(read: ReadTx, tenant_id: str, interaction_id: str, turn_id: str) -> dict[str, Any]:
    """Returns the turn with its texts, attempts, replies and dry turns. Raises `NotFound`."""
    thread = await interactions.get(read, tenant_id, interaction_id)
    turn = await turns.find_record(read, tenant_id, turn_id)
    if thread is None or turn is None or turn.interaction_id != interaction_id:
        raise NotFound("There is no turn at this address.")
    attempts = await turns.list_attempts(read, tenant_id, turn_id)
    agent_id = turn.sms_agent_id
    return {
        "thread": thread,
        "turn": turn,
        "agent": agent_id and await directory.get(read, SmsAgent, tenant_id, agent_id),
        "experiment": turn.experiment_id and await directory.get(read, Experiment, tenant_id, turn.experiment_id),
        "texts": await store.get_texts(read, tenant_id, [entry["messageId"] for entry in turn.texts]),
        "replies": await store.get_texts(read, tenant_id, turn.reply["messageIds"] if turn.reply else []),
        "attempts": [_build_attempt(attempt) for attempt in attempts],
        "twins": await store.list_dry_turns(read, tenant_id, turn_id),
        "corpora": await corpora.list_names(read, tenant_id),
        "kept_in": await corpora.list_names_with(read, tenant_id, interaction_id, turn_id),
        "near": await store.get_neighbors(read, tenant_id, interaction_id, turn_id),
    }


def _build_attempt(attempt: TurnAttempt) -> dict[str, Any]:
    return {
        "attempt": attempt.attempt,
        "at": attempt.at,
        "http_status": attempt.http_status,
        "duration_ms": attempt.duration_ms,
        "outcome": attempt.outcome,
        "request": _indent_json(attempt.request_body.decode(errors="backslashreplace")),
        "answer": attempt.answer and _indent_json(attempt.answer),
    }


def _indent_json(body: str) -> str:
    """Returns JSON with line breaks and indents. Other text, and JSON that is nested too deeply to
    parse, is returned unchanged. A lone surrogate stays escaped, because UTF-8 cannot encode it."""
    try:
        words = json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return body
    return words.encode(errors="backslashreplace").decode()
