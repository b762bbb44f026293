"""Forward due turns to their agents: claim → POST → settle."""

import asyncio
import json
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from app import traces
from app.access.sealing import Seal
from app.agents import payload, webhook
from app.agents.webhook import Answer, Failed, Handoff, Replies, Silent
from app.commands import modes, reply, twins
from app.domain import ids, transcripts, windows
from app.domain.turns import PROTECTED_FOR, PROTECTS
from app.domain.windows import (
    HAND_OVER_DEADLINE,
    HAND_OVER_LEASE,
    REPLY_WITHIN,
    next_hand_over,
)
from app.jobs.figures import AGENT_SECONDS, HAND_OVERS, TURN_LATE
from app.jobs.settling import surely
from app.store import notes, threads, turns
from app.store.clock import AT_ONCE, turn_hint
from app.store.engine import Database, Row, Tx
from app.wire.client import Lost, NotSent, Wire

AT_ONCE_PER_AGENT = 64
TRANSACTIONS_AT_ONCE = 6
"""Of the pool's connections: what waits for one too long is told that the database is away,
and a burst of due turns would tell itself so."""
BREAKS_AFTER = 5
FULL_WAIT = timedelta(seconds=1)
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
    agent_id: str
    shadow: "Shadow | None" = None


@dataclass(frozen=True, slots=True)
class Shadow:
    """The same turn for another endpoint, whose answer is only kept."""

    turn_id: str
    url: str
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
        self._busy: Counter[str] = Counter()
        """Hand-overs on their way, by agent."""
        self._failures: Counter[str] = Counter()
        """In a row, by agent."""
        self._shadows: set[asyncio.Task[None]] = set()
        self._room = asyncio.Semaphore(TRANSACTIONS_AT_ONCE)

    async def look(self, tenant_id: str, interaction_id: str) -> None:
        """Does what the thread's turns want now, if anything."""
        with ExitStack() as place:
            async with self._room, self._database.system() as tx:
                hand_over = await self._claim(tx, tenant_id, interaction_id, place)
            if hand_over is None:
                return
            if hand_over.shadow:
                task = asyncio.create_task(self._shadow(hand_over, hand_over.shadow))
                self._shadows.add(task)
                task.add_done_callback(self._shadows.discard)
            with traces.span("hand-over", hand_over.turn_id, attempt=hand_over.attempt):
                said = await self._post(hand_over)
        failed = isinstance(said.answer, Failed)
        self._failures[hand_over.agent_id] = failed * (self._failures[hand_over.agent_id] + 1)

        async def settle() -> None:
            async with self._room, self._database.system() as tx:
                await _settle(tx, hand_over, said)

        await surely(settle, HAND_OVER_LEASE.total_seconds())

    async def _shadow(self, live: HandOver, shadow: Shadow) -> None:
        """Tried once; the live turn never waits for it."""
        twin = replace(live, turn_id=shadow.turn_id, url=shadow.url, body=shadow.body)
        try:
            said = await self._post(twin, "shadow")
            state, reason, texts = webhook.meaning(said.answer)
            heard = twins.Heard(state, reason, texts, said.http_status, said.duration_ms, said.kept)
            async with self._database.system() as tx:
                await twins.settle(tx, live.tenant_id, shadow.turn_id, heard)
        except Exception:
            log.exception("a shadow failed", turn_id=shadow.turn_id)

    def _full(self, agent_id: str) -> bool:
        """Whether the agent's endpoint has enough to do: one that fails is tried one at a time,
        so that it never takes the room of others."""
        room = 1 if self._failures[agent_id] >= BREAKS_AFTER else AT_ONCE_PER_AGENT
        return self._busy[agent_id] >= room

    def _enter(self, agent_id: str, place: ExitStack) -> None:
        """Takes a place at the agent's endpoint, given back with `place` whatever happens."""
        self._busy[agent_id] += 1
        place.callback(self._busy.subtract, [agent_id])

    async def _claim(
        self, tx: Tx, tenant_id: str, interaction_id: str, place: ExitStack
    ) -> HandOver | None:
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
            if waiting and waiting["protected"] and collecting["patient"]:
                await turns.postpone(tx, tenant_id, collecting["turn_id"], PROTECTED_FOR)
                return None  # the protected reply wakes it
            if waiting:
                await turns.close(
                    tx,
                    tenant_id,
                    waiting["turn_id"],
                    "superseded",
                    "the lead wrote again",
                )
            await turns.move_unheard(tx, *thread, collecting["turn_id"])
            return await self._begin(tx, collecting, place)
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
            return await self._begin(tx, waiting, place)
        if collecting:
            tx.hints[turn_hint(*thread)] = collecting["due_at"]
        return None

    async def _begin(self, tx: Tx, turn: Row, place: ExitStack) -> HandOver | None:
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
        if wait := self._must_wait(about.agent):
            await turns.postpone(tx, *key, wait)
            return None
        self._enter(about.agent["sms_agent_id"], place)
        if why := await _braked(tx, turn, about):
            await _fail(tx, turn, why)
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
            about.thread["last_seq"], frozen, about.thread["stale_replies"] >= PROTECTS,
        )  # fmt: skip
        addressed = payload.address(frozen, begun["attempt"], begun["expires_at"], begun["at"])
        body = json.dumps(addressed, ensure_ascii=False, separators=(",", ":")).encode()
        TURN_LATE.observe((begun["at"] - turn["due_at"]).total_seconds())
        await turns.add_attempt(tx, *key, begun["attempt"], begun["at"], body)
        sealed = [about.agent["secret"], about.agent["previous"]]
        shadow = (
            await self._twin(tx, turn, about.agent, addressed) if begun["attempt"] == 1 else None
        )
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
            agent_id=about.agent["sms_agent_id"],
            shadow=shadow,
        )

    def _must_wait(self, agent: Row) -> timedelta | None:
        """How long a due turn of the agent waits for its hours or for room; None: not at all."""
        if hours := agent["business_hours"]:
            opens = windows.opening(agent["now"], hours)
            if opens > agent["now"]:
                wait: timedelta = opens - agent["now"]
                return wait
        return FULL_WAIT if self._full(agent["sms_agent_id"]) else None

    async def _twin(
        self, tx: Tx, turn: Row, agent: Row, addressed: dict[str, Any]
    ) -> Shadow | None:
        if not agent["shadow_webhook_url"]:
            return None
        turn_id, body = await twins.begin(
            tx, turn["tenant_id"], "shadow", addressed, turn["interaction_id"],
            agent["sms_agent_id"], turn["turn_id"],
        )  # fmt: skip
        return Shadow(turn_id, agent["shadow_webhook_url"], body)

    async def _post(self, turn: HandOver, kind: str | None = None) -> Said:
        started = time.monotonic()
        status: int | None = None
        kept: str | None = None
        answer: Answer
        try:
            request = webhook.request(
                turn.url, turn.secrets, turn.turn_id, turn.at, turn.body, kind
            )
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
        took = time.monotonic() - started
        if kind is None:
            HAND_OVERS.labels(turn.agent_id, type(answer).__name__.lower()).inc()
            AGENT_SECONDS.labels(turn.agent_id).observe(took)
        return Said(answer, status, int(took * 1000), kept)


async def _braked(tx: Tx, turn: Row, about: turns.Context) -> str | None:
    """Why the loop breaker keeps the turn; None: it does not."""
    if turn["attempt"]:
        return None  # it was let through when it was first handed over
    thread = (turn["tenant_id"], turn["interaction_id"])
    if about.thread["paused"]:
        return f"the agent is paused: {about.thread['paused_reason']}"
    assert about.agent is not None
    most = about.agent["max_turns_per_day"]
    if await turns.handed_over_today(tx, *thread) < most:
        return None
    why = f"{most} turns were handed over today"
    await modes.brake(tx, thread, why)
    return f"the agent is paused: {why}"


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
            traces.point("reply", turn["turn_id"], texts=len(texts))
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
