"""Forward due turns to their agents: claim → POST → settle.

Due turns are claimed in sets, and answers are settled in sets. Each POST is a request of its own,
with no transaction open.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial

import structlog

from app import traces
from app.access.sealing import Seal
from app.agents import webhook
from app.agents.webhook import FailedPost
from app.calls import agents
from app.calls.agents import PostResult
from app.commands import dry_turns
from app.domain.problems import Problem
from app.domain.windows import HAND_OVER_LEASE
from app.jobs import turn_claims, turn_settling
from app.jobs.endpoints import Endpoints
from app.jobs.figures import AGENT_SECONDS, HAND_OVERS
from app.jobs.settling import settle_persistently
from app.jobs.turn_claims import HandOver, Shadow
from app.jobs.turn_settling import AnsweredHandOver
from app.store.batching import Batcher
from app.store.connections import DATABASE_AWAY_ERRORS
from app.store.engine import Database
from app.store.threads import ThreadKey
from app.wire.client import Wire

THREADS_PER_CLAIM = 50
"""The POSTs of one claim begin in one step of the event loop. Other tasks must not wait for long:
Redis calls time out after 200 ms."""
MAX_SINGLES = 4
"""Answers that are settled one by one at the same time, and as many of shadows. More would take all
connections of the pool in a burst, and then the database looks as if it were away."""
log = structlog.get_logger("forward")


class Forwarder:
    """Forwards turns for one worker."""

    def __init__(self, database: Database, wire: Wire, seal: Seal) -> None:
        self._database = database
        self._wire = wire
        self._seal = seal
        self._endpoints = Endpoints()
        self._answer_batcher = Batcher(self._settle_answers, self._settle_answer, max_singles=MAX_SINGLES)
        self._shadow_tasks: set[asyncio.Task[None]] = set()
        self._shadow_slots = asyncio.Semaphore(MAX_SINGLES)

    async def claim(self, threads: Sequence[ThreadKey]) -> AsyncIterator[HandOver]:
        """Moves the threads' turns on, set by set, and yields the hand-overs to perform.

        A set that fails is halved until only the failing thread is left out."""
        sets = [threads[i : i + THREADS_PER_CLAIM] for i in range(0, len(threads), THREADS_PER_CLAIM)]
        while sets:
            thread_set = sets.pop(0)
            try:
                hand_overs = await self._claim_set(thread_set)
            except (Problem, *DATABASE_AWAY_ERRORS):
                raise
            except Exception:
                if len(thread_set) > 1:
                    middle = len(thread_set) // 2
                    sets = [thread_set[:middle], thread_set[middle:], *sets]
                else:
                    log.exception("the turns of a thread could not be claimed", interaction_id=thread_set[0][1])
                continue
            for hand_over in hand_overs:
                yield hand_over

    async def perform(self, hand_over: HandOver) -> None:
        """Performs and settles. Raises when the database is away until the lease ends."""
        if hand_over.shadow:
            task = asyncio.create_task(self._post_shadow(hand_over, hand_over.shadow))
            self._shadow_tasks.add(task)
            task.add_done_callback(self._shadow_tasks.discard)
        try:
            with traces.record_span("hand-over", hand_over.turn_id, attempt=hand_over.attempt):
                result = await self._post_turn(hand_over)
                traces.note_answer(result.http_status, "failed" if isinstance(result.answer, FailedPost) else None)
        finally:
            self._endpoints.free_place(hand_over.endpoint)
        self._endpoints.record_answer(hand_over.endpoint, has_failed=isinstance(result.answer, FailedPost))
        await settle_persistently(
            partial(self._answer_batcher.submit, (hand_over, result)),
            HAND_OVER_LEASE.total_seconds(),
        )

    async def _claim_set(self, thread_keys: Sequence[ThreadKey]) -> list[HandOver]:
        with ExitStack() as places:
            async with self._database.index_lookup_tx() as tx:
                hand_overs = await turn_claims.claim(tx, thread_keys, self._seal, self._endpoints, places)
            places.pop_all()  # `perform` frees each place after its POST
        return hand_overs

    async def _settle_answers(self, answers: Sequence[AnsweredHandOver]) -> Sequence[None]:
        async with self._database.index_lookup_tx() as tx:
            await turn_settling.settle(tx, answers)
        return [None] * len(answers)

    async def _settle_answer(self, answer: AnsweredHandOver) -> None:
        async with self._database.index_lookup_tx() as tx:
            await turn_settling.settle(tx, [answer])

    async def _post_shadow(self, live: HandOver, shadow: Shadow) -> None:
        """Posts the shadow once. The live turn never waits for it."""
        dry_turn = shadow.dry_turn
        try:
            result = await self._post_turn(
                replace(live, turn_id=dry_turn.turn_id, url=shadow.url, secrets=shadow.secrets, body=dry_turn.body),
                "shadow",
            )
            turn_outcome = webhook.to_turn_outcome(result.answer)
            dry_turn_result = dry_turns.DryTurnResult(
                *turn_outcome, result.http_status, result.duration_ms, result.recorded_answer
            )
            async with self._shadow_slots, self._database.system_tx() as tx:
                await dry_turns.settle_dry_turn(tx, live.tenant_id, dry_turn.turn_id, dry_turn_result)
        except Exception:
            log.exception("a shadow failed", turn_id=dry_turn.turn_id)

    async def _post_turn(self, turn: HandOver, kind: str | None = None) -> PostResult:
        if turn.payload_problem:
            HAND_OVERS.labels(turn.agent_id, "failed").inc()
            return PostResult(FailedPost(turn.payload_problem))
        result = await agents.post_turn(self._wire, turn.turn_id, turn.url, turn.secrets, turn.at, turn.body, kind)
        if kind is None:
            HAND_OVERS.labels(turn.agent_id, webhook.outcome(result.answer)).inc()
            AGENT_SECONDS.labels(turn.agent_id).observe(result.seconds)
        return result
