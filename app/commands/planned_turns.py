"""Turns that no text of the lead begins: plans them, and begins them when they are due."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from app.domain import ids
from app.domain.follow_ups import (
    FollowUp,
    Start,
    ThreadFacts,
    Void,
    Wait,
    decide_follow_up,
    judge_planned,
)
from app.store import planned_turns, threads
from app.store.clock import AT_ONCE, turn_hint
from app.store.engine import Tx
from app.store.planned_turns import Look, MovedTurn, NewPlan, SilentThread, StartedTurn, VoidTurn
from app.store.threads import ThreadKey

LOOK_PERIOD = timedelta(seconds=5)
LOOK_OVERLAP = timedelta(seconds=30)
"""Much longer than a transaction that stores texts may take."""
TENANTS_PER_LOOK = 50
THREADS_PER_LOOK = 2_000
TOGETHER_REASON = "another turn began at this moment"
FIRST_TRIGGERS = ("opening", "scheduled", "failed_delivery", "silence")
"""Of several turns that are due in a thread, the first of these begins."""


async def start_due_turns(tx: Tx, limit: int) -> int:
    """Begins, moves or cancels up to `limit` planned turns that are due; returns of how many threads. A
    thread that is busy is looked at again later. At most one turn begins in a thread, however many were due
    while no worker ran."""
    due_threads = await planned_turns.find_due_threads(tx, limit)
    free_threads = await threads.lock_free(tx, due_threads) if due_threads else []
    if not free_threads:
        return len(due_threads)
    all_facts = await planned_turns.get_facts(tx, free_threads)
    judged_turns = [
        (facts, judge_planned(facts)) for facts in sorted(all_facts, key=_get_rank) if facts.trigger and facts.moment
    ]
    starts: dict[ThreadKey, StartedTurn] = {}
    moves: list[MovedTurn] = []
    voids: list[VoidTurn] = []
    for facts, verdict in judged_turns:
        assert facts.turn_id is not None
        key = facts.tenant_id, facts.turn_id
        match verdict:
            case Start() if facts.thread in starts:
                voids.append(VoidTurn(*key, TOGETHER_REASON))
            case Start():
                starts[facts.thread] = StartedTurn(*key, facts.sms_agent_id, verdict.step)
            case Wait() if verdict.is_moved:
                moves.append(MovedTurn(*key, verdict.until, verdict.until, verdict.step, facts.newest_seq))
            case Wait():
                moves.append(MovedTurn(*key, verdict.until, None, verdict.step, None))
            case Void():
                voids.append(VoidTurn(*key, verdict.reason))
    await planned_turns.start(tx, list(starts.values()))
    await planned_turns.move(tx, moves)
    await planned_turns.cancel(tx, voids)
    tx.hints.update({turn_hint(*thread): AT_ONCE for thread in starts})
    return len(due_threads)


def _get_rank(facts: ThreadFacts) -> int:
    return FIRST_TRIGGERS.index(facts.trigger) if facts.trigger in FIRST_TRIGGERS else len(FIRST_TRIGGERS)


async def look_for_silence(tx: Tx) -> None:
    """Plans the next follow-up in each thread in which our newest text may stay unanswered. Sends cost
    nothing for it: the threads with new texts are found by their time."""
    looks = await planned_turns.begin_looks(tx, LOOK_PERIOD, TENANTS_PER_LOOK)
    if not looks:
        return
    silent_threads = await planned_turns.find_silent(tx, looks, LOOK_OVERLAP, THREADS_PER_LOOK)
    await plan_follow_ups(tx, [(thread.tenant_id, thread.interaction_id) for thread in silent_threads])
    await planned_turns.end_looks(tx, [(look.tenant_id, _find_end(look, silent_threads)) for look in looks])


def _find_end(look: Look, silent_threads: Sequence[SilentThread]) -> datetime:
    """Until when the look has seen all texts."""
    seen_threads = [thread for thread in silent_threads if thread.tenant_id == look.tenant_id]
    return look.now if len(seen_threads) < THREADS_PER_LOOK else seen_threads[-1].at + LOOK_OVERLAP


async def plan_follow_ups(tx: Tx, thread_keys: Sequence[ThreadKey]) -> None:
    """Plans the next follow-up of each thread that is not locked by others; the next look sees those."""
    free_threads = await threads.lock_free(tx, thread_keys) if thread_keys else []
    if not free_threads:
        return
    plans: list[NewPlan] = []
    for facts in await planned_turns.get_facts(tx, free_threads):
        if facts.trigger in (None, "silence"):
            follow_up = decide_follow_up(facts)
            if isinstance(follow_up, FollowUp):
                plans.append(_build_plan(facts, follow_up))
    await planned_turns.plan(tx, plans)


def _build_plan(facts: ThreadFacts, follow_up: FollowUp) -> NewPlan:
    return NewPlan(
        tenant_id=facts.tenant_id,
        interaction_id=facts.interaction_id,
        turn_id=ids.make("turn"),
        trigger="silence",
        agent_id=facts.sms_agent_id,
        step=follow_up.step,
        through_seq=facts.newest_seq,
        due_at=follow_up.due_at,
    )
