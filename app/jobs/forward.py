"""Forward due turns to their agents: claim → POST → settle."""

import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from app.access.sealing import Seal
from app.agents import payload, webhook
from app.agents.webhook import Answer, Failed, Handoff, Replies, Silent
from app.commands import reply
from app.domain import ids, transcripts
from app.domain.windows import (
    HAND_OVER_DEADLINE,
    HAND_OVER_LEASE,
    REPLY_WITHIN,
    next_hand_over,
)
from app.store import notes, threads, turns
from app.store.clock import AT_ONCE, turn_hint
from app.store.engine import Database, Row, Tx
from app.wire.client import Lost, NotSent, Wire

log = structlog.get_logger("forward")


@dataclass(frozen=True, slots=True)
class HandOver:
    """A turn that this process alone may POST, until its lease ends."""

    tenant_id: str
    interaction_id: str
    lead_id: str
    turn_id: str
    attempt: int
    lease: str
    url: str
    secrets: tuple[str, ...]
    at: datetime
    body: bytes


@dataclass(frozen=True, slots=True)
class Said:
    """What came of the POST."""

    answer: Answer
    http_status: int | None
    duration_ms: int
    kept: str | None


class Forwarding:
    """The way in of one worker."""

    def __init__(self, database: Database, wire: Wire, seal: Seal) -> None:
        self._database = database
        self._wire = wire
        self._seal = seal

    async def look(self, tenant_id: str, interaction_id: str) -> None:
        """Does what the thread's turns want now, if anything."""
        async with self._database.system() as tx:
            hand_over = await self._claim(tx, tenant_id, interaction_id)
        if hand_over is None:
            return
        said = await self._post(hand_over)
        async with self._database.system() as tx:
            await _settle(tx, hand_over, said)

    async def _claim(self, tx: Tx, tenant_id: str, interaction_id: str) -> HandOver | None:
        thread = (tenant_id, interaction_id)
        if not await threads.lock(tx, [thread]):
            return None
        live = await turns.unfinished(tx, *thread)
        posting = any(turn["posting"] and not turn["is_due"] for turn in live)
        collecting = next((turn for turn in live if turn["state"] == "collecting"), None)
        waiting = next((t for t in live if t["state"] in ("delivering", "awaiting_reply")), None)
        if collecting and collecting["is_due"]:
            if posting:
                return None  # its settling looks here again
            if waiting:
                await turns.close(
                    tx,
                    tenant_id,
                    waiting["turn_id"],
                    "superseded",
                    "the lead wrote again",
                )
            await turns.move_unheard(tx, *thread, collecting["turn_id"])
            return await self._begin(tx, collecting)
        if waiting and waiting["is_due"]:
            if waiting["state"] == "awaiting_reply":
                await turns.close(
                    tx,
                    tenant_id,
                    waiting["turn_id"],
                    "expired",
                    "no reply came in time",
                )
                return None
            return await self._begin(tx, waiting)
        if collecting:
            tx.hints[turn_hint(*thread)] = collecting["due_at"]
        return None

    async def _begin(self, tx: Tx, turn: Row) -> HandOver | None:
        key = (turn["tenant_id"], turn["turn_id"])
        about = await turns.context(
            tx,
            turn["tenant_id"],
            turn["interaction_id"],
            turn["turn_id"],
            transcripts.LONGEST,
        )
        if about.agent is None:
            await _fail(tx, turn, "no active agent serves this thread")
            return None
        frozen = turn["payload"] or payload.freeze(
            turn["turn_id"],
            about.thread,
            about.texts,
            about.transcript,
            turn["unsent_reply"],
        )
        lease = ids.make("evt")
        begun = await turns.begin(
            tx, *key, lease, HAND_OVER_LEASE, REPLY_WITHIN, about.agent["sms_agent_id"],
            about.thread["last_seq"], frozen,
        )  # fmt: skip
        addressed = payload.address(
            begun["payload"], begun["attempt"], begun["expires_at"], begun["at"]
        )
        body = json.dumps(addressed, ensure_ascii=False, separators=(",", ":")).encode()
        await turns.add_attempt(tx, *key, begun["attempt"], begun["at"], body)
        sealed = [about.agent["secret"], about.agent["previous"]]
        return HandOver(
            tenant_id=turn["tenant_id"],
            interaction_id=turn["interaction_id"],
            lead_id=about.thread["lead_id"],
            turn_id=turn["turn_id"],
            attempt=begun["attempt"],
            lease=lease,
            url=about.agent["webhook_url"],
            secrets=tuple(self._seal.open(secret).decode() for secret in sealed if secret),
            at=begun["at"],
            body=body,
        )

    async def _post(self, turn: HandOver) -> Said:
        started = time.monotonic()
        status: int | None = None
        kept: str | None = None
        answer: Answer
        try:
            request = webhook.request(turn.url, turn.secrets, turn.turn_id, turn.at, turn.body)
            response = await self._wire.exchange(request, HAND_OVER_DEADLINE.total_seconds())
            status, kept, answer = (
                response.status_code, webhook.kept(response), webhook.read(response),
            )  # fmt: skip
        except NotSent:
            answer = Failed("the agent's webhook could not be reached")
        except Lost:
            answer = Failed("the agent's webhook did not answer in time")
        except Exception as error:
            log.exception("hand-over failed", turn_id=turn.turn_id)
            answer = Failed(type(error).__name__)
        return Said(answer, status, int((time.monotonic() - started) * 1000), kept)


async def _settle(tx: Tx, handed: HandOver, said: Said) -> None:
    thread = (handed.tenant_id, handed.interaction_id)
    key = (handed.tenant_id, handed.turn_id)
    await threads.lock(tx, [thread])
    outcome = "failed" if isinstance(said.answer, Failed) else "accepted"
    turn = await turns.get(tx, *key)
    await turns.end_attempt(
        tx, *key, handed.attempt, outcome, said.http_status, said.duration_ms,
        said.kept if said.kept is not None else getattr(said.answer, "why", None), handed.lease,
    )  # fmt: skip
    if turn is None:
        return
    mine = turn["state"] == "delivering" and turn["lease"] == handed.lease
    match said.answer:
        case Failed() as failed:
            if mine:
                await _try_again(tx, turn, failed)
        case accepted:
            if mine or turn["accepted_at"] is None:
                await turns.accepted(tx, *key)
            if mine:
                await _take(tx, turn, accepted, handed.lead_id)
    # The turn that collected meanwhile may be due: nobody else looks at once.
    tx.hints[turn_hint(*thread)] = AT_ONCE


async def _take(tx: Tx, turn: Row, accepted: Answer, lead_id: str) -> None:
    match accepted:
        case Replies(texts):
            await reply.inline(tx, turn, texts, lead_id)
        case Handoff(reason):
            await reply.hand_off(tx, turn, reason)
        case Silent(refused, why) if why:
            at = transcripts.instant(datetime.now(UTC))
            await turns.refuse(
                tx, turn["tenant_id"], turn["turn_id"],
                {"texts": list(refused), "code": "VALIDATION_ERROR", "detail": why, "at": at,
                 "by": "inline"},
            )  # fmt: skip


async def _try_again(tx: Tx, turn: Row, failed: Failed) -> None:
    wait = next_hand_over(turn["attempt"], failed.retry_after)
    if wait is None:
        await _fail(
            tx,
            turn,
            f"the agent's webhook failed {turn['attempt']} times: {failed.why}",
        )
        return
    # No hint: the poll finds it, and a retry is never a matter of milliseconds.
    await turns.again(tx, turn["tenant_id"], turn["turn_id"], wait)


async def _fail(tx: Tx, turn: Row, why: str) -> None:
    thread = (turn["tenant_id"], turn["interaction_id"])
    await turns.close(tx, turn["tenant_id"], turn["turn_id"], "failed", why)
    await threads.set_status(tx, [thread], "follow_up", only_from=["in_progress", "incomplete"])
    await notes.add(tx, {thread: f"The agent did not get the lead's texts: {why}."})
