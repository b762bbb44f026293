"""Forward due turns to their agents: claim → POST → settle.

Due turns are claimed in sets, and what is heard meanwhile is settled in sets; each POST goes by
itself, with no transaction open.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial

import structlog

from app import traces
from app.access.sealing import Seal
from app.agents import webhook
from app.agents.webhook import Answer, Failed
from app.commands import dry_turns
from app.domain.problems import Problem
from app.domain.windows import HAND_OVER_DEADLINE, HAND_OVER_LEASE
from app.jobs import turn_claims, turn_settling
from app.jobs.endpoints import Endpoints
from app.jobs.figures import AGENT_SECONDS, HAND_OVERS
from app.jobs.settling import settle_persistently
from app.jobs.turn_claims import HandOver, Shadow
from app.jobs.turn_settling import AnsweredHandOver, PostResult
from app.store.batching import Batcher
from app.store.engine import DATABASE_AWAY_ERRORS, Database
from app.store.threads import ThreadKey
from app.wire.client import AnswerLost, NotSent, Wire

THREADS_PER_CLAIM = 50
"""Threads that are claimed together at most: their POSTs begin in one step of the loop, and what
else waits for it (Redis for 200 ms) must not wait for long."""
MAX_SINGLES = 4
"""Answers that are settled by themselves, and shadows', at a time: of the pool's connections some
must stay free, or a burst would tell itself that the database is away."""
log = structlog.get_logger("forward")


class Forwarding:
    """The way in of one worker."""

    def __init__(self, database: Database, wire: Wire, seal: Seal) -> None:
        self._database = database
        self._wire = wire
        self._seal = seal
        self._endpoints = Endpoints()
        self._answer_batcher = Batcher(self._settle_answers, self._settle_answer, max_singles=MAX_SINGLES)
        self._shadow_tasks: set[asyncio.Task[None]] = set()
        self._shadow_slots = asyncio.Semaphore(MAX_SINGLES)

    async def claim(self, threads: Sequence[ThreadKey]) -> AsyncIterator[HandOver]:
        """Does what the threads' turns want now, set by set; yields those to be carried out.

        A set that fails is halved, down to the thread it fails for."""
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
                    log.exception("a turn could not be looked at", interaction_id=thread_set[0][1])
                continue
            for hand_over in hand_overs:
                yield hand_over

    async def perform(self, hand_over: HandOver) -> None:
        """Performs and settles. Raises when the database stays away for as long as the lease."""
        if hand_over.shadow:
            task = asyncio.create_task(self._post_shadow(hand_over, hand_over.shadow))
            self._shadow_tasks.add(task)
            task.add_done_callback(self._shadow_tasks.discard)
        try:
            with traces.record_span("hand-over", hand_over.turn_id, attempt=hand_over.attempt):
                result = await self._post_turn(hand_over)
        finally:
            self._endpoints.free_place(hand_over.agent_id)
        self._endpoints.record_answer(hand_over.agent_id, has_failed=isinstance(result.answer, Failed))
        await settle_persistently(
            partial(self._answer_batcher.submit, (hand_over, result)),
            HAND_OVER_LEASE.total_seconds(),
        )

    async def _claim_set(self, thread_keys: Sequence[ThreadKey]) -> list[HandOver]:
        with ExitStack() as places:
            async with self._database.index_lookup_tx() as tx:
                hand_overs = await turn_claims.claim(tx, thread_keys, self._seal, self._endpoints, places)
            places.pop_all()  # each is given back when its POST is over
        return hand_overs

    async def _settle_answers(self, answers: Sequence[AnsweredHandOver]) -> Sequence[None]:
        async with self._database.index_lookup_tx() as tx:
            await turn_settling.settle(tx, answers)
        return [None] * len(answers)

    async def _settle_answer(self, answer: AnsweredHandOver) -> None:
        async with self._database.index_lookup_tx() as tx:
            await turn_settling.settle(tx, [answer])

    async def _post_shadow(self, live: HandOver, shadow: Shadow) -> None:
        """Tried once; the live turn never waits for it."""
        dry_turn = shadow.dry_turn
        try:
            result = await self._post_turn(
                replace(live, turn_id=dry_turn.turn_id, url=shadow.url, body=dry_turn.body),
                "shadow",
            )
            meant = webhook.to_turn_outcome(result.answer)
            dry_turn_result = dry_turns.DryTurnResult(
                *meant, result.http_status, result.duration_ms, result.recorded_answer
            )
            async with self._shadow_slots, self._database.system_tx() as tx:
                await dry_turns.settle_dry_turn(tx, live.tenant_id, dry_turn.turn_id, dry_turn_result)
        except Exception:
            log.exception("a shadow failed", turn_id=dry_turn.turn_id)

    async def _post_turn(self, turn: HandOver, kind: str | None = None) -> PostResult:
        started_at = time.monotonic()
        status: int | None = None
        recorded_answer: str | None = None
        answer: Answer
        if turn.unsayable:
            HAND_OVERS.labels(turn.agent_id, "failed").inc()
            return PostResult(Failed(turn.unsayable), None, 0, None)
        try:
            request = webhook.build_request(turn.url, turn.secrets, turn.turn_id, turn.at, turn.body, kind)
            response = await self._wire.exchange(request, HAND_OVER_DEADLINE.total_seconds())
            status, recorded_answer, answer = (
                response.status_code,
                webhook.clip_answer(response),
                webhook.read_answer(response),
            )
        except NotSent:
            answer = Failed("the agent's webhook could not be reached")
        except AnswerLost:
            answer = Failed("the agent's webhook did not answer in time")
        except Exception as error:
            log.exception("hand-over failed", turn_id=turn.turn_id)
            answer = Failed(type(error).__name__)
        seconds = time.monotonic() - started_at
        if kind is None:
            HAND_OVERS.labels(turn.agent_id, webhook.outcome(answer)).inc()
            AGENT_SECONDS.labels(turn.agent_id).observe(seconds)
        return PostResult(answer, status, int(seconds * 1000), recorded_answer)
