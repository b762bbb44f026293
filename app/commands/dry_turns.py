"""Replays, shadows and tests: a turn's payload for an endpoint whose answer is kept beside the
live one. No outbox row can come of them: their turns are never sent from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic_core import to_json

from app.commands import reply
from app.domain import ids
from app.domain.windows import REPLY_WITHIN
from app.store import turns
from app.store.engine import Tx
from app.store.turns import DryTurn


def build_dry_turn(
    tenant_id: str,
    kind: str,
    attempt_payload: Mapping[str, Any],
    interaction_id: str | None,
    agent_id: str | None,
    of_turn: str | None,
) -> DryTurn:
    """A turn of its own with the payload `attempt_payload`; the bytes to POST differ from the live
    turn's by its id alone."""
    turn_id = ids.make("turn")
    payload = {**attempt_payload, "turn": {**attempt_payload["turn"], "turnId": turn_id}}
    body = to_json(payload)
    return DryTurn(
        tenant_id=tenant_id,
        turn_id=turn_id,
        interaction_id=interaction_id,
        agent_id=agent_id,
        kind=kind,
        through_seq=payload["turn"]["throughSeq"],
        of_turn=of_turn,
        body=body,
    )


async def begin_dry_turns(tx: Tx, dry_turns: Sequence[DryTurn]) -> None:
    """Keeps what is about to be POSTed."""
    await turns.add_dry_turns(tx, dry_turns, REPLY_WITHIN)


@dataclass(frozen=True, slots=True)
class DryTurnResult:
    """What came of a dry turn's one POST. `texts`: what it replied; None: nothing. `refused`: texts
    that could not go; `wrong`: what is wrong with the answer."""

    state: Literal["replied", "declined", "handed_off", "failed", "awaiting_reply"]
    reason: str | None
    texts: Sequence[str] | None
    refused: Sequence[str]
    wrong: str | None
    http_status: int | None
    duration_ms: int
    recorded_answer: str | None


async def settle_dry_turn(tx: Tx, tenant_id: str, turn_id: str, result: DryTurnResult) -> None:
    """Keeps what the endpoint said. An empty answer leaves the turn open for the API."""
    post_end = turns.PostEnd(
        tenant_id=tenant_id,
        turn_id=turn_id,
        attempt=1,
        lease="",
        outcome="failed" if result.state == "failed" else "accepted",
        http_status=result.http_status,
        duration_ms=result.duration_ms,
        answer=result.recorded_answer or result.reason,
    )
    await turns.end_posts(tx, [post_end])
    turn = tenant_id, turn_id
    if result.wrong:
        await reply.refuse_inline(tx, turn, result.refused, result.wrong)
    if result.state == "handed_off":
        said = f"{reply.HANDED_OFF}{result.reason}"
        if await turns.add_reason(tx, *turn, said):
            return  # it was answered by the API before
    if result.texts is None:
        await turns.end_dry_turn(tx, *turn, result.state, result.reason, None)
    else:
        await reply.record_dry_turn_reply(tx, turn, result.texts, "inline", result.state, result.reason)
