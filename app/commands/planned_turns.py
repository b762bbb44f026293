"""Turns that no text of the lead begins: plans them, and begins them when they are due."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from app.commands import refusals, timeline
from app.commands.answered_turns import get_own_turn, reload_turn
from app.domain.callers import Caller
from app.domain.follow_ups import (
    FAILURE_PATIENCE,
    MAX_SCHEDULED_IN_A_ROW,
    FollowUp,
    Start,
    ThreadFacts,
    Void,
    Wait,
    decide_follow_up,
    find_moment_fault,
    find_obstacle,
    judge_planned,
    needs_failure_turn,
)
from app.domain.problems import Invalid, NoOpenTurn, NotFound, NotPlanned, StaleTurn, TurnCancelled
from app.domain.turns import NOT_HANDED_OVER_STATES, Trigger
from app.store import notes, planned_turns, replies, threads, turns
from app.store.clock import AT_ONCE, turn_hint
from app.store.engine import Tx
from app.store.notes import Note
from app.store.planned_turns import Look, MovedTurn, NewPlan, SilentThread, StartedTurn, VoidTurn
from app.store.threads import ThreadKey
from app.store.turns import Turn

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
        (facts, judge_planned(facts))
        for facts in sorted(all_facts, key=_get_rank)
        if facts.moment and facts.moment <= facts.now
    ]
    starts: dict[ThreadKey, StartedTurn] = {}
    next_plans: list[NewPlan] = []
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
                next_plans += _plan_next_step(facts, verdict)
            case Wait() if verdict.is_moved:
                moves.append(MovedTurn(*key, verdict.until, verdict.until, verdict.step, facts.newest_seq))
            case Wait():
                moves.append(MovedTurn(*key, verdict.until, None, verdict.step, None))
            case Void():
                voids.append(VoidTurn(*key, verdict.reason))
    await planned_turns.start(tx, list(starts.values()))
    await planned_turns.move(tx, moves)
    await planned_turns.cancel(tx, voids)
    await planned_turns.plan(tx, next_plans)
    tx.hints.update({turn_hint(*thread): AT_ONCE for thread in starts})
    return len(due_threads)


def _get_rank(facts: ThreadFacts) -> int:
    return FIRST_TRIGGERS.index(facts.trigger) if facts.trigger in FIRST_TRIGGERS else 0


def _plan_next_step(facts: ThreadFacts, start: Start) -> list[NewPlan]:
    """The step after one that begins: it also comes if the agent writes nothing now. If it writes, the next look
    moves the step on."""
    if facts.trigger != "silence" or start.step is None:
        return []
    next_step = decide_follow_up(replace(facts, steps_done=start.step, last_step_at=facts.now, step=None, moment=None))
    return [_build_follow_up(facts, next_step)] if isinstance(next_step, FollowUp) else []


async def look_for_silence(tx: Tx) -> None:
    """Plans the next follow-up in each thread in which our newest text may stay unanswered. Sends cost
    nothing for it: the threads with new texts are found by their time."""
    looks = await planned_turns.begin_looks(tx, LOOK_PERIOD, TENANTS_PER_LOOK)
    if not looks:
        return
    silent_threads = await planned_turns.find_silent(tx, looks, LOOK_OVERLAP, THREADS_PER_LOOK)
    await plan_follow_ups(tx, [(thread.tenant_id, thread.interaction_id) for thread in silent_threads])
    await _plan_failure_turns(tx, await planned_turns.find_failed(tx, looks, FAILURE_PATIENCE, THREADS_PER_LOOK))
    await planned_turns.end_looks(tx, [(look.tenant_id, _find_end(look, silent_threads)) for look in looks])


def _find_end(look: Look, silent_threads: Sequence[SilentThread]) -> datetime:
    """Until when the look has seen all texts."""
    seen_threads = [thread for thread in silent_threads if thread.tenant_id == look.tenant_id]
    return look.now if len(seen_threads) < THREADS_PER_LOOK else seen_threads[-1].at + LOOK_OVERLAP


async def plan_follow_ups(tx: Tx, thread_keys: Sequence[ThreadKey]) -> None:
    """Plans the next follow-up of each thread that is not locked by others; the next look sees those."""
    free_threads = await threads.lock_free(tx, thread_keys) if thread_keys else []
    if free_threads:
        await _plan_next_steps(tx, await planned_turns.get_facts(tx, free_threads))


async def plan_unseen(tx: Tx, thread_keys: Sequence[ThreadKey]) -> None:
    """Plans the follow-ups of threads in which agent mode goes off, as if it stayed on, the conversation went on, and
    nothing kept the agent from writing. The caller, who has locked the threads, then calls them off with all that is
    planned: also those to texts that no look has seen yet, or that were sent while none could come."""
    if thread_keys:
        all_facts = await planned_turns.get_facts(tx, thread_keys)
        unhindered_facts = [
            replace(
                facts,
                agent_mode=True,
                status="in_progress",
                is_suppressed=False,
                is_agent_paused=False,
                is_number_on=True,
                awaits_person=False,
            )
            for facts in all_facts
        ]
        await _plan_next_steps(tx, unhindered_facts)


async def _plan_next_steps(tx: Tx, all_facts: Sequence[ThreadFacts]) -> None:
    # Of a thread with several planned turns, the one after silence, if there is one.
    facts_by_thread = {facts.thread: facts for facts in sorted(all_facts, key=_get_rank)}
    follow_ups = [(facts, decide_follow_up(facts)) for facts in facts_by_thread.values()]
    await planned_turns.plan(
        tx, [_build_follow_up(facts, follow_up) for facts, follow_up in follow_ups if isinstance(follow_up, FollowUp)]
    )


async def _plan_failure_turns(tx: Tx, thread_keys: Sequence[ThreadKey]) -> None:
    free_threads = await threads.lock_free(tx, thread_keys) if thread_keys else []
    all_facts = await planned_turns.get_facts(tx, free_threads) if free_threads else []
    facts_by_thread = {facts.thread: facts for facts in all_facts if needs_failure_turn(facts)}
    await planned_turns.plan(
        tx,
        [_build_plan(facts, "failed_delivery", through_seq=facts.newest_seq) for facts in facts_by_thread.values()],
    )


async def plan_wakes(tx: Tx, wishes: Sequence[tuple[Turn, datetime]]) -> None:
    """Plans the turns that agents asked for beside their answers (turn, moment); the last wish of a thread
    counts. What cannot be is recorded as refused. The caller has locked the threads."""
    if not wishes:
        return
    facts_by_thread = {
        facts.thread: facts for facts in await planned_turns.get_facts(tx, {turn.thread for turn, _ in wishes})
    }
    plans: dict[ThreadKey, NewPlan] = {}
    for turn, moment in wishes:
        facts = facts_by_thread[turn.thread]
        if fault := _find_wake_fault(facts, moment):
            await refusals.refuse_inline(tx, turn.key, [], fault)
        else:
            plans[turn.thread] = _build_plan(facts, "scheduled", due_at=moment)
    await planned_turns.plan(tx, list(plans.values()))


def _find_wake_fault(facts: ThreadFacts, moment: datetime) -> str | None:
    fault = find_moment_fault(moment, facts.now) or find_obstacle(facts)
    if fault is None and facts.wakes_done >= MAX_SCHEDULED_IN_A_ROW:
        fault = f"the agent woke itself {MAX_SCHEDULED_IN_A_ROW} times, and the lead has not written since"
    return fault and f"followUpAt: {fault}"


def _build_follow_up(facts: ThreadFacts, follow_up: FollowUp) -> NewPlan:
    return _build_plan(facts, "silence", follow_up.due_at, facts.newest_seq, follow_up.step)


def _build_plan(
    facts: ThreadFacts,
    trigger: Trigger,
    due_at: datetime | None = None,
    through_seq: int | None = None,
    step: int | None = None,
) -> NewPlan:
    return NewPlan(
        tenant_id=facts.tenant_id,
        interaction_id=facts.interaction_id,
        trigger=trigger,
        agent_id=facts.sms_agent_id,
        step=step,
        through_seq=through_seq,
        due_at=due_at,
    )


async def wake_agent(tx: Tx, caller: Caller, turn_id: str, moment: datetime) -> None:
    """An agent asks through the API for a turn at `moment`; for a dry turn it has no effect. Raises `NotFound`,
    `Invalid`, and as a reply to the turn would be refused."""
    turn = await get_own_turn(tx, caller.tenant_id, turn_id, caller.agent_id)
    if turn.kind != "live":
        return
    await threads.lock(tx, [turn.thread])
    turn = await reload_turn(tx, turn.key)
    if turn.state in NOT_HANDED_OVER_STATES:
        raise NoOpenTurn(details=["turnId: was not handed over yet"])
    later_events = await replies.get_later_events(tx, *turn.key)
    if later_events.handed_over or await replies.find_collecting(tx, [turn.thread]):
        raise StaleTurn
    if turn.state == "cancelled" or later_events.person_wrote or not later_events.agent_mode:
        raise TurnCancelled
    [facts, *_] = await planned_turns.get_facts(tx, [turn.thread])
    if fault := _find_wake_fault(facts, moment):
        raise Invalid(details=[fault])
    await planned_turns.plan(tx, [_build_plan(facts, "scheduled", due_at=moment)])


async def skip_turn(tx: Tx, caller: Caller, turn_id: str) -> None:
    """A planned turn does not come; after silence the next step may. Raises `NotFound`, `NotPlanned`."""
    facts = await _lock_planned(tx, caller, turn_id)
    next_step = (
        decide_follow_up(replace(facts, step=(facts.step or 0) + 1, moment=None))
        if facts.trigger == "silence"
        else None
    )
    name = await _tell(tx, caller, facts, "skipped")
    if isinstance(next_step, FollowUp):
        moment = next_step.due_at
        move = MovedTurn(facts.tenant_id, turn_id, moment, moment, next_step.step, facts.newest_seq)
        await planned_turns.move(tx, [move])
    else:
        await planned_turns.cancel(tx, [VoidTurn(facts.tenant_id, turn_id, f"{name} skipped it")])


async def postpone_turn(tx: Tx, caller: Caller, turn_id: str, until: datetime) -> None:
    """A planned turn comes at `until`. Raises `NotFound`, `NotPlanned`, `Invalid`."""
    facts = await _lock_planned(tx, caller, turn_id)
    if fault := find_moment_fault(until, facts.now):
        raise Invalid(details=[f"until: {fault}"])
    await _postpone(tx, caller, facts, until)


async def postpone_a_day(tx: Tx, caller: Caller, turn_id: str) -> None:
    """A planned turn comes a day later, at the same hour. Raises `NotFound`, `NotPlanned`."""
    facts = await _lock_planned(tx, caller, turn_id)
    assert facts.moment is not None
    await _postpone(tx, caller, facts, max(facts.moment, facts.now) + timedelta(days=1))


async def _postpone(tx: Tx, caller: Caller, facts: ThreadFacts, until: datetime) -> None:
    assert facts.turn_id is not None
    await _tell(tx, caller, facts, "put off")
    through_seq = facts.newest_seq if facts.trigger == "silence" and not facts.has_news else None
    await planned_turns.move(tx, [MovedTurn(facts.tenant_id, facts.turn_id, until, until, facts.step, through_seq)])


async def _tell(tx: Tx, caller: Caller, facts: ThreadFacts, what: str) -> str:
    """Adds a note that says who did it; returns their name."""
    name = await timeline.name_author(tx, caller.tenant_id, caller.author)
    text = f"{name} {what} what the agent was to write by itself."
    await notes.add(tx, [Note(*facts.thread, text, caller.author)])
    return name


async def _lock_planned(tx: Tx, caller: Caller, turn_id: str) -> ThreadFacts:
    """The facts of a planned turn, its thread locked."""
    turn = await turns.get(tx, caller.tenant_id, turn_id)
    if turn is None or turn.interaction_id is None:
        raise NotFound("There is no turn by that id.")
    await threads.lock(tx, [turn.thread])
    for facts in await planned_turns.get_facts(tx, [turn.thread]):
        if facts.turn_id == turn_id:
            return facts
    raise NotPlanned
