"""Trials: in a lane of their own, one batch after the other, at the pace that was asked for.

Between two batches a trial is released, so that trials take turns, and another worker may go on. A batch
that was begun and not settled by a worker that died counts as too slow.
"""

import asyncio
import json
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import structlog
from pydantic_core import to_json

from app.access.sealing import Seal
from app.agents import webhook
from app.calls import agents
from app.commands import dry_turns
from app.commands import trials as commands
from app.commands.trials import Candidate
from app.domain.checks import USABLE_KINDS, CheckResult
from app.domain.problems import Problem
from app.store import trials
from app.store.connections import DATABASE_AWAY_ERRORS
from app.store.dry_turns import DryTurn
from app.store.engine import Database
from app.store.trials import BegunResult, ClaimedTrial
from app.wire.client import Wire

BATCH_SECONDS = 5
"""How long the posts of a batch are spread over."""
MAX_AT_ONCE = 10
MAX_OPEN = 200
LEASE = timedelta(seconds=120)
"""Longer than a batch: its posts, and the judge's answers."""
IDLE_REST = timedelta(seconds=0.5)
"""How long a trial rests that only waits for replies through the API."""
UNEXPECTED_FAULT = "An unexpected error. The service's log says more."
log = structlog.get_logger("trials")


class TrialRunner:
    """Runs trials, one batch at a time."""

    def __init__(self, database: Database, wire: Wire, seal: Seal) -> None:
        self._database = database
        self._wire = wire
        self._seal = seal

    async def run_next(self) -> bool:
        """Runs a batch of the trial that has been due longest; whether there was one."""
        lease = secrets.token_hex(8)
        async with self._database.system_tx() as tx:
            trial = await trials.claim_next(tx, lease, LEASE)
        if trial is None:
            return False
        try:
            await self._run_batch(trial, lease)
        except (Problem, *DATABASE_AWAY_ERRORS):
            raise  # once the lease has ended, a worker goes on with it
        except Exception:
            log.exception("a trial failed", trial_id=trial.trial_id)
            async with self._database.tenant_tx(trial.tenant_id) as tx:
                await trials.fail(tx, trial, lease, UNEXPECTED_FAULT)
        return True

    async def _run_batch(self, trial: ClaimedTrial, lease: str) -> None:
        begun_count = await self._post_batch(trial)
        settled_count, open_count = await self._settle_batch(trial)
        is_idle = not begun_count and not settled_count
        async with self._database.tenant_tx(trial.tenant_id) as tx:
            is_done = not begun_count and not open_count
            await trials.release(tx, trial, lease, IDLE_REST if is_idle else timedelta(), is_done)
        if is_done:
            log.info("trial ended", trial_id=trial.trial_id)

    async def _post_batch(self, trial: ClaimedTrial) -> int:
        async with self._database.tenant_tx(trial.tenant_id) as tx:
            next_turns = await trials.list_next_turns(tx, trial, max(trial.per_minute * BATCH_SECONDS // 60, 1))
            if trial.of_shadow:
                begun_results = [BegunResult(turn.corpus_turn_id, turn.shadow_turn_id or "") for turn in next_turns]
                await trials.begin_results(tx, trial, begun_results)
                return len(begun_results)
            new_turns = [
                dry_turns.build_dry_turn(
                    trial.tenant_id,
                    "trial",
                    turn.payload,
                    turn.interaction_id,
                    trial.sms_agent_id,
                    turn.corpus_turn_id if turn.interaction_id else None,
                )
                for turn in next_turns
            ]
            await dry_turns.begin_dry_turns(tx, new_turns)
            pairs = zip(next_turns, new_turns, strict=True)
            begun_results = [BegunResult(turn.corpus_turn_id, new_turn.turn_id) for turn, new_turn in pairs]
            await trials.begin_results(tx, trial, begun_results)
        await self._post_turns(trial, new_turns)
        return len(new_turns)

    async def _post_turns(self, trial: ClaimedTrial, new_turns: Sequence[DryTurn]) -> None:
        slots = asyncio.Semaphore(MAX_AT_ONCE)
        try:
            async with asyncio.TaskGroup() as group:
                for new_turn in new_turns:
                    await slots.acquire()
                    task = group.create_task(self._post_turn(trial, new_turn))
                    task.add_done_callback(lambda _: slots.release())
                    await asyncio.sleep(60 / trial.per_minute)
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None

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

    async def _settle_batch(self, trial: ClaimedTrial) -> tuple[int, int]:
        """Judges what was answered. Returns how many results were settled, and how many are still open."""
        async with self._database.read_tx(trial.tenant_id) as read:
            open_results = await trials.list_open(read, trial, MAX_OPEN)
        max_time = timedelta(seconds=trial.max_seconds)
        maybe_candidates = [commands.find_candidate(result, max_time) for result in open_results]
        candidates = [candidate for candidate in maybe_candidates if candidate]
        slots = asyncio.Semaphore(MAX_AT_ONCE)
        results = await asyncio.gather(*[self._judge(trial, candidate, slots) for candidate in candidates])
        pairs = zip(candidates, results, strict=True)
        settled_results = [commands.build_settled(candidate, checks) for candidate, checks in pairs]
        async with self._database.tenant_tx(trial.tenant_id) as tx:
            await trials.settle_results(tx, trial, settled_results)
        return len(settled_results), len(open_results) - len(settled_results)

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
