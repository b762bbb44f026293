"""Trials: in lanes of their own, one batch after the other, at the pace that was asked for.

Between two batches a trial is released, so that trials take turns, and another worker may go on. A candidate that
answers slowly gets fewer turns in a batch, so its trial holds the lane no longer. A batch that was begun and not
settled by a worker that died counts as too slow.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial

import asyncpg
import structlog
from pydantic_core import to_json

from app.access.sealing import Seal
from app.agents import webhook
from app.calls import agents
from app.commands import dry_turns
from app.commands import trials as commands
from app.commands.trials import Candidate
from app.domain import ids
from app.domain.checks import USABLE_KINDS, CheckResult
from app.jobs.leases import LeaseLost, end_if_broken
from app.store import trials
from app.store.dry_turns import DryTurn
from app.store.engine import Database
from app.store.trials import BegunResult, ClaimedTrial, NextTurn
from app.wire.client import Wire

BATCH_SECONDS = 5
"""How long the posts of a batch are spread over: none begins later, however slowly the candidate answers."""
MAX_AT_ONCE = 10
MAX_OPEN = 200
LEASE = timedelta(seconds=120)
"""From the last post on, and for the judge's answers: each takes at most two deadlines of 20 s."""
IDLE_REST = timedelta(seconds=0.5)
"""How long a trial rests that only waits for replies through the API."""
log = structlog.get_logger("trials")


RestFor = Callable[[float], Awaitable[bool]]
"""Rests for so many seconds, or until the worker stops; whether it does."""


class TrialRunner:
    """Runs trials, one batch at a time."""

    def __init__(self, database: Database, wire: Wire, seal: Seal) -> None:
        self._database = database
        self._wire = wire
        self._seal = seal

    async def run_next(self, rest_for: RestFor) -> bool:
        """Runs a batch of the trial that has been due longest; whether there was one."""
        lease = ids.make_lease()
        async with self._database.system_tx() as tx:
            trial = await trials.claim_next(tx, lease, LEASE)
        if trial is None:
            return False
        async with end_if_broken(log.bind(trial_id=trial.trial_id), partial(self._fail, trial, lease)):
            await self._run_batch(trial, lease, rest_for)
        return True

    async def _fail(self, trial: ClaimedTrial, lease: str, fault: str) -> None:
        async with self._database.tenant_tx(trial.tenant_id) as tx:
            await commands.fail(tx, trial, lease, fault)

    async def _run_batch(self, trial: ClaimedTrial, lease: str, rest_for: RestFor) -> None:
        began_at = time.monotonic()
        begun_count, has_more = await self._begin_batch(trial, lease, rest_for)
        settled_count, open_count = await self._settle_batch(trial, lease, rest_for)
        rests = timedelta() if begun_count or settled_count else IDLE_REST
        if has_more and not trial.of_shadow:
            seconds_left = begun_count * 60 / trial.per_minute - (time.monotonic() - began_at)
            rests = max(timedelta(seconds=seconds_left), timedelta())
        is_done = not begun_count and not has_more and not open_count
        async with self._database.tenant_tx(trial.tenant_id) as tx:
            await trials.release(tx, trial, lease, rests, is_done)
        if is_done:
            log.info("trial ended", trial_id=trial.trial_id)

    async def _begin_batch(self, trial: ClaimedTrial, lease: str, rest_for: RestFor) -> tuple[int, bool]:
        """Begins the next turns. Returns how many, and whether there are more."""
        limit = max(trial.per_minute * BATCH_SECONDS // 60, 1)
        async with self._database.read_tx(trial.tenant_id) as read:
            next_turns = await trials.list_next_turns(read, trial, limit + 1)
        batch, has_more = next_turns[:limit], len(next_turns) > limit
        if not trial.of_shadow:
            begun_count = await self._post_batch(trial, lease, batch, rest_for)
            return begun_count, has_more or begun_count < len(batch)
        begun_results = [BegunResult(turn.corpus_turn_id, turn.shadow_turn_id or "") for turn in batch]
        async with self._database.tenant_tx(trial.tenant_id) as tx:
            if not await trials.renew_lease(tx, trial, lease, LEASE):
                raise LeaseLost
            await trials.begin_results(tx, trial, begun_results)
        return len(begun_results), has_more

    async def _post_batch(self, trial: ClaimedTrial, lease: str, batch: Sequence[NextTurn], rest_for: RestFor) -> int:
        """Posts the turns at the trial's pace, for `BATCH_SECONDS` or until the worker stops. Returns how many."""
        slots = asyncio.Semaphore(MAX_AT_ONCE)
        begun_count, ends_at = 0, time.monotonic() + BATCH_SECONDS
        try:
            async with asyncio.TaskGroup() as group:
                for next_turn in batch:
                    if begun_count and await rest_for(60 / trial.per_minute):
                        break
                    await slots.acquire()
                    if begun_count and time.monotonic() > ends_at:
                        break
                    new_turn = await self._begin_turn(trial, lease, next_turn)
                    if new_turn is None:
                        break
                    task = group.create_task(self._post_turn(trial, new_turn))
                    task.add_done_callback(lambda _: slots.release())
                    begun_count += 1
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return begun_count

    async def _begin_turn(self, trial: ClaimedTrial, lease: str, next_turn: NextTurn) -> DryTurn | None:
        """None: the trial is not this worker's any more, or what it had read was removed meanwhile."""
        new_turn = dry_turns.build_dry_turn(
            trial.tenant_id,
            "trial",
            next_turn.payload,
            next_turn.interaction_id,
            trial.sms_agent_id,
            next_turn.corpus_turn_id if next_turn.interaction_id else None,
        )
        try:
            async with self._database.tenant_tx(trial.tenant_id) as tx:
                if not await trials.renew_lease(tx, trial, lease, LEASE):
                    return None
                await dry_turns.begin_dry_turns(tx, [new_turn])
                await trials.begin_results(tx, trial, [BegunResult(next_turn.corpus_turn_id, new_turn.turn_id)])
        except (asyncpg.ForeignKeyViolationError, asyncpg.DeadlockDetectedError):
            return None
        return new_turn

    async def _post_turn(self, trial: ClaimedTrial, dry_turn: DryTurn) -> None:
        signing_secrets = [self._seal.open(trial.secret).decode()]
        result = await agents.post_turn(
            self._wire, dry_turn.turn_id, trial.url, signing_secrets, datetime.now(UTC), dry_turn.body, dry_turn.kind
        )
        dry_turn_result = dry_turns.DryTurnResult(
            *webhook.to_turn_outcome(result.answer), result.http_status, result.duration_ms, result.recorded_answer
        )
        async with self._database.tenant_tx(trial.tenant_id) as tx:
            await dry_turns.settle_dry_turn(tx, trial.tenant_id, dry_turn.turn_id, dry_turn_result)

    async def _settle_batch(self, trial: ClaimedTrial, lease: str, rest_for: RestFor) -> tuple[int, int]:
        """Judges what was answered; a worker that stops leaves a judge to another one. Returns how many results
        were settled, and how many were open before."""
        async with self._database.read_tx(trial.tenant_id) as read:
            open_results = await trials.list_open(read, trial, MAX_OPEN)
        max_time = timedelta(seconds=trial.max_seconds)
        maybe_candidates = [commands.find_candidate(result, max_time) for result in open_results]
        candidates = [candidate for candidate in maybe_candidates if candidate]
        if trial.judge_url:
            candidates = candidates[:MAX_AT_ONCE]  # a slow judge holds the lane for one answer
        if not candidates or (trial.judge_url and await rest_for(0)):
            return 0, len(open_results)
        async with self._database.tenant_tx(trial.tenant_id) as tx:
            if not await trials.renew_lease(tx, trial, lease, LEASE):
                raise LeaseLost
        slots = asyncio.Semaphore(MAX_AT_ONCE)
        results = await asyncio.gather(*[self._judge(trial, candidate, slots) for candidate in candidates])
        pairs = zip(candidates, results, strict=True)
        settled_results = [commands.build_settled(candidate, checks) for candidate, checks in pairs]
        async with self._database.tenant_tx(trial.tenant_id) as tx:
            await trials.settle_results(tx, trial, settled_results)
        return len(settled_results), len(open_results)

    async def _judge(self, trial: ClaimedTrial, candidate: Candidate, slots: asyncio.Semaphore) -> list[CheckResult]:
        results = commands.judge(candidate, trial.checks)
        if trial.judge_url is None or candidate.answer.kind not in USABLE_KINDS:
            return results
        question = {
            "trialId": trial.trial_id,
            "corpusTurnId": candidate.result.corpus_turn_id,
            "payload": json.loads(candidate.result.payload),
            "recorded": candidate.recorded_answer,
            "candidate": candidate.answer,
        }
        signing_secrets = [self._seal.open(trial.secret).decode()]
        question_id = f"{trial.trial_id}.{candidate.result.corpus_turn_id}"
        async with slots:
            verdict = await agents.ask_judge(
                self._wire, question_id, trial.judge_url, signing_secrets, datetime.now(UTC), to_json(question)
            )
        return [*results, verdict]
