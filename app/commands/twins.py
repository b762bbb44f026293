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
from app.store.turns import Twin


def of(
    tenant_id: str,
    kind: str,
    addressed: Mapping[str, Any],
    interaction_id: str | None,
    agent_id: str | None,
    of_turn: str | None,
) -> Twin:
    """A turn of its own with the payload `addressed`; the bytes to POST differ from the live
    turn's by its id alone."""
    turn_id = ids.make("turn")
    payload = {**addressed, "turn": {**addressed["turn"], "turnId": turn_id}}
    body = to_json(payload)
    return Twin(
        tenant_id=tenant_id,
        turn_id=turn_id,
        interaction_id=interaction_id,
        agent_id=agent_id,
        kind=kind,
        through_seq=payload["turn"]["throughSeq"],
        of_turn=of_turn,
        body=body,
    )


async def begin(tx: Tx, twins: Sequence[Twin]) -> None:
    """Keeps what is about to be POSTed."""
    await turns.add_twins(tx, twins, REPLY_WITHIN)


@dataclass(frozen=True, slots=True)
class Heard:
    """What came of a twin's one POST. `texts`: what it replied; None: nothing. `refused`: texts
    that could not go; `wrong`: what is wrong with the answer."""

    state: Literal["replied", "declined", "handed_off", "failed", "awaiting_reply"]
    reason: str | None
    texts: Sequence[str] | None
    refused: Sequence[str]
    wrong: str | None
    http_status: int | None
    duration_ms: int
    kept: str | None


async def settle(tx: Tx, tenant_id: str, turn_id: str, heard: Heard) -> None:
    """Keeps what the endpoint said. An empty answer leaves the turn open for the API."""
    ending = turns.Ending(
        tenant_id=tenant_id,
        turn_id=turn_id,
        attempt=1,
        lease="",
        outcome="failed" if heard.state == "failed" else "accepted",
        http_status=heard.http_status,
        duration_ms=heard.duration_ms,
        answer=heard.kept or heard.reason,
    )
    await turns.end(tx, [ending])
    turn = tenant_id, turn_id
    if heard.wrong:
        await reply.refuse_inline(tx, turn, heard.refused, heard.wrong)
    if heard.state == "handed_off":
        said = f"{reply.HANDED_OFF}{heard.reason}"
        if await turns.add_reason(tx, *turn, said):
            return  # it was answered by the API before
    if heard.texts is None:
        await turns.end_twin(tx, *turn, heard.state, heard.reason, None)
    else:
        await reply.catch(tx, turn, heard.texts, "inline", heard.state, heard.reason)
