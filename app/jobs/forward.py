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
from app.commands import twins
from app.domain.problems import Problem
from app.domain.windows import HAND_OVER_DEADLINE, HAND_OVER_LEASE
from app.jobs import turn_claims, turn_settling
from app.jobs.endpoints import Endpoints
from app.jobs.figures import AGENT_SECONDS, HAND_OVERS
from app.jobs.settling import surely
from app.jobs.turn_claims import HandOver, Shadow
from app.jobs.turn_settling import Heard, Said
from app.store.engine import AWAY, Database
from app.store.gather import Gatherer
from app.store.threads import Thread
from app.wire.client import Lost, NotSent, Wire

TOGETHER = 50
"""Threads that are claimed together at most: their POSTs begin in one step of the loop, and what
else waits for it (Redis for 200 ms) must not wait for long."""
APART = 4
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
        self._heard = Gatherer(self._settle, self._settle_one, apart=APART)
        self._shadows: set[asyncio.Task[None]] = set()
        self._room = asyncio.Semaphore(APART)

    async def claim(self, threads: Sequence[Thread]) -> AsyncIterator[HandOver]:
        """Does what the threads' turns want now, set by set; yields those to be carried out.

        A set that fails is halved, down to the thread it fails for."""
        sets = [threads[i : i + TOGETHER] for i in range(0, len(threads), TOGETHER)]
        while sets:
            asked = sets.pop(0)
            try:
                claimed = await self._claim(asked)
            except (Problem, *AWAY):
                raise
            except Exception:
                if len(asked) > 1:
                    middle = len(asked) // 2
                    sets = [asked[:middle], asked[middle:], *sets]
                else:
                    log.exception("a turn could not be looked at", interaction_id=asked[0][1])
                continue
            for handed in claimed:
                yield handed

    async def carry_out(self, handed: HandOver) -> None:
        """Performs and settles. Raises when the database stays away for as long as the lease."""
        if handed.shadow:
            task = asyncio.create_task(self._shadow(handed, handed.shadow))
            self._shadows.add(task)
            task.add_done_callback(self._shadows.discard)
        try:
            with traces.span("hand-over", handed.turn_id, attempt=handed.attempt):
                said = await self._post(handed)
        finally:
            self._endpoints.leave(handed.agent_id)
        self._endpoints.said(handed.agent_id, failed=isinstance(said.answer, Failed))
        await surely(partial(self._heard.put, (handed, said)), HAND_OVER_LEASE.total_seconds())

    async def _claim(self, asked: Sequence[Thread]) -> list[HandOver]:
        with ExitStack() as places:
            async with self._database.keyed() as tx:
                claimed = await turn_claims.claim(tx, asked, self._seal, self._endpoints, places)
            places.pop_all()  # each is given back when its POST is over
        return claimed

    async def _settle(self, heard: Sequence[Heard]) -> Sequence[None]:
        async with self._database.keyed() as tx:
            await turn_settling.settle(tx, heard)
        return [None] * len(heard)

    async def _settle_one(self, heard: Heard) -> None:
        async with self._database.keyed() as tx:
            await turn_settling.settle(tx, [heard])

    async def _shadow(self, live: HandOver, shadow: Shadow) -> None:
        """Tried once; the live turn never waits for it."""
        twin = shadow.twin
        try:
            said = await self._post(replace(live, turn_id=twin.turn_id, url=shadow.url, body=twin.body), "shadow")
            meant = webhook.meaning(said.answer)
            heard = twins.Heard(*meant, said.http_status, said.duration_ms, said.kept)
            async with self._room, self._database.system() as tx:
                await twins.settle(tx, live.tenant_id, twin.turn_id, heard)
        except Exception:
            log.exception("a shadow failed", turn_id=twin.turn_id)

    async def _post(self, turn: HandOver, kind: str | None = None) -> Said:
        started = time.monotonic()
        status: int | None = None
        kept: str | None = None
        answer: Answer
        if turn.unsayable:
            HAND_OVERS.labels(turn.agent_id, "failed").inc()
            return Said(Failed(turn.unsayable), None, 0, None)
        try:
            request = webhook.request(turn.url, turn.secrets, turn.turn_id, turn.at, turn.body, kind)
            response = await self._wire.exchange(request, HAND_OVER_DEADLINE.total_seconds())
            status, kept, answer = (
                response.status_code,
                webhook.kept(response),
                webhook.read(response),
            )
        except NotSent:
            answer = Failed("the agent's webhook could not be reached")
        except Lost:
            answer = Failed("the agent's webhook did not answer in time")
        except Exception as error:
            log.exception("hand-over failed", turn_id=turn.turn_id)
            answer = Failed(type(error).__name__)
        took = time.monotonic() - started
        if kind is None:
            HAND_OVERS.labels(turn.agent_id, webhook.outcome(answer)).inc()
            AGENT_SECONDS.labels(turn.agent_id).observe(took)
        return Said(answer, status, int(took * 1000), kept)
