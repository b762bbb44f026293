"""Dry turns (replays, shadows and tests): they POST a turn's payload to an endpoint and record its
answer. Nothing of the answer is ever sent."""

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
    """A new turn with the given payload. Its bytes differ from the live turn's only in the turn
    id."""
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
    """Stores the turns that are about to be POSTed."""
    await turns.add_dry_turns(tx, dry_turns, REPLY_WITHIN)


@dataclass(frozen=True, slots=True)
class DryTurnResult:
    """The result of a dry turn's only POST. `texts`: the reply (None: there was none); `refused`:
    texts that could not be sent; `wrong`: what is wrong with the answer."""

    state: Literal["replied", "declined", "handed_off", "failed", "awaiting_reply"]
    reason: str | None
    texts: Sequence[str] | None
    refused: Sequence[str]
    wrong: str | None
    http_status: int | None
    duration_ms: int
    recorded_answer: str | None


async def settle_dry_turn(tx: Tx, tenant_id: str, turn_id: str, result: DryTurnResult) -> None:
    """Records the endpoint's answer. An empty answer leaves the turn open for a reply by the API."""
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
        reason = f"{reply.HANDED_OFF_PREFIX}{result.reason}"
        if await turns.add_reason(tx, *turn, reason):
            return  # already answered by the API
    if result.texts is None:
        await turns.end_dry_turn(tx, *turn, result.state, result.reason, None)
    else:
        await reply.record_dry_turn_reply(tx, turn, result.texts, "inline", result.state, result.reason)
