"""Agent mode and status of threads: whether the agent or a person writes."""

from collections.abc import Mapping, Sequence

from app.commands import planned_turns, timeline
from app.domain.callers import Caller
from app.domain.problems import SuppressionActive
from app.domain.turns import ClosedState, LiveTurn
from app.domain.words import INTERACTION_STATUSES
from app.store import notes, suppressions, thread_work, threads, turns
from app.store.engine import Tx
from app.store.interactions import Thread
from app.store.notes import Note
from app.store.suppressions import ChangedThread
from app.store.threads import ThreadKey
from app.store.turns import Turn, TurnEnd

STATUSES_BUT_DNC = tuple(status for status in INTERACTION_STATUSES if status != "dnc")
TAKE_OVER_REASON = "a person wrote"
SWITCH_OFF_REASON = "agent mode was switched off"
HAND_OVER_REASON = "the agent handed over to a person"
UNASKED_NOTE = "The agent did not write of its own accord"
HAND_RULE = "hand"
"""What decided a change: somebody asked for it."""
EndedTurn = tuple[Turn | LiveTurn, str]
"""(turn, why it ends)."""


async def take_over(tx: Tx, author_by_thread: Mapping[ThreadKey, str]) -> None:
    """People wrote in these threads: cancels the agent's unfinished turns and unsent texts. A note
    is added where a turn was cancelled."""
    thread_keys = sorted(author_by_thread)
    await threads.record_take_over(tx, thread_keys, f"withdrawn: {TAKE_OVER_REASON}")
    ended_threads = await threads.cancel_turns(tx, thread_keys, TAKE_OVER_REASON)
    await threads.cancel_agent_texts(tx, thread_keys, "TURN_CANCELLED", TAKE_OVER_REASON)
    note = "A person took over from the agent."
    await notes.add(tx, [Note(*thread, note, author_by_thread[thread]) for thread in ended_threads])


async def switch_agent_mode(
    tx: Tx, author_by_thread: Mapping[ThreadKey, str], on: bool, sent_with: Sequence[str] = ()
) -> None:
    """Switches agent mode on or off. Off cancels the agent's unfinished turns and unsent texts,
    except `sent_with`: the ids of texts that were sent in the same request as the switch. A note is added
    where it was the other way. The caller has locked the threads."""
    switched_threads = await threads.switch_agent_mode(tx, author_by_thread, on, HAND_RULE)
    if not on:
        await planned_turns.plan_unseen(tx, switched_threads)
        await threads.cancel_turns(tx, list(author_by_thread), SWITCH_OFF_REASON)
        await threads.cancel_agent_texts(tx, list(author_by_thread), "TURN_CANCELLED", SWITCH_OFF_REASON, sent_with)
    await timeline.tell_agent_mode(tx, {thread: author_by_thread[thread] for thread in switched_threads}, on)


async def hand_over(tx: Tx, turn: Turn, reason: str, has_status: bool = False) -> None:
    """The agent of the turn hands its thread over to a person. Its unfinished turns are cancelled; its
    unsent texts are still sent. `has_status`: the agent has set the thread's status. The caller has locked
    the thread."""
    thread, author = turn.thread, turn.agent_author
    await threads.switch_agent_mode(tx, {thread: author}, False, "handoff")
    await planned_turns.plan_unseen(tx, [thread])
    await threads.cancel_turns(tx, [thread], HAND_OVER_REASON)
    await threads.withdraw_held_replies(tx, [thread], f"withdrawn: {HAND_OVER_REASON}")
    if not has_status:
        await threads.set_status(tx, [thread], "follow_up", author, "handoff", only_from=STATUSES_BUT_DNC)
    await notes.add(tx, [Note(*thread, f"The agent handed over to a person: {reason}", author)])


async def pause_agent(tx: Tx, thread: ThreadKey, why: str) -> None:
    """The loop breaker: pauses the agent in this thread until tomorrow (UTC), or until somebody
    switches agent mode."""
    await threads.pause(tx, thread, why)
    await threads.set_status(tx, [thread], "follow_up", "service", "pause", only_from=("in_progress", "incomplete"))
    await notes.add(tx, [Note(*thread, f"The agent is paused until tomorrow: {why}.")])


async def give_up_turns(tx: Tx, failed_turns: Sequence[EndedTurn]) -> None:
    """Closes turns as failed; their threads need a person."""
    await _end_unanswered(tx, failed_turns, "failed", "The agent did not get the lead's texts")


async def expire_turns(tx: Tx, expired_turns: Sequence[EndedTurn]) -> None:
    """Closes turns that their agents got and never answered; their threads need a person."""
    await _end_unanswered(tx, expired_turns, "expired", "The agent did not answer the lead")


async def _end_unanswered(tx: Tx, ended_turns: Sequence[EndedTurn], state: ClosedState, note: str) -> None:
    if not ended_turns:
        return
    await turns.close(tx, [TurnEnd(*turn.key, state, why) for turn, why in ended_turns])
    waiting_threads = [turn.thread for turn, _ in ended_turns if turn.trigger == "texts"]
    if waiting_threads:
        await thread_work.record_given_up(tx, waiting_threads)
        await threads.set_status(
            tx, waiting_threads, "follow_up", "service", state, only_from=("in_progress", "incomplete")
        )
    await notes.add(
        tx,
        [
            Note(*turn.thread, f"{note if turn.trigger == 'texts' else UNASKED_NOTE}: {why}.")
            for turn, why in ended_turns
        ],
    )


async def resume_agents(tx: Tx, limit: int) -> int:
    """Switches agent mode on again in up to `limit` threads where no person wrote for the agent's
    `resume_after_minutes`; returns how many."""
    resumed_threads = await threads.resume_agents(tx, limit)
    if resumed_threads:
        text = "The agent resumed: nobody wrote meanwhile."
        await notes.add(tx, [Note(*thread, text) for thread in resumed_threads])
    return len(resumed_threads)


async def set_by_hand(tx: Tx, caller: Caller, thread: Thread, status: str | None, agent_mode: bool | None) -> None:
    """Sets status and agent mode of a thread, where given. `dnc` suppresses the phone;
    another status lifts the cause `person`. Raises `SuppressionActive` if the phone has only the
    cause `lead`. A change of the status or of agent mode leaves a note."""
    if status == "dnc":
        await timeline.tell_consent(tx, await suppressions.add(tx, [_build_cause(caller, thread, "suppressed")]))
    elif status is not None:
        await _set_status(tx, caller, thread, status)
    if status is not None:
        await threads.record_status_by_hand(tx, thread.key)
    if agent_mode is not None:
        await threads.lock(tx, [thread.key])
        await switch_agent_mode(tx, {thread.key: caller.author}, agent_mode)
    if agent_mode:
        await planned_turns.plan_follow_ups(tx, [thread.key])


async def _set_status(tx: Tx, caller: Caller, thread: Thread, status: str) -> None:
    phone = thread.lead_phone
    causes = (await suppressions.get_causes(tx, thread.tenant_id, [phone])).get(phone, [])
    if causes == ["lead"]:
        raise SuppressionActive
    freed_threads: list[ChangedThread] = []
    if "person" in causes:
        freed_threads = await suppressions.lift(tx, [_build_cause(caller, thread, "lifted")])
        await timeline.tell_consent(tx, [freed for freed in freed_threads if freed.key != thread.key])
    if "lead" in causes:
        return
    is_changed = await threads.set_status(tx, [thread.key], status, caller.author, HAND_RULE)
    if is_changed or any(freed.key == thread.key for freed in freed_threads):
        await timeline.tell_status(tx, caller.author, thread.key, status)


def _build_cause(caller: Caller, thread: Thread, event: str) -> suppressions.Cause:
    return suppressions.Cause(
        tenant_id=thread.tenant_id,
        phone=thread.lead_phone,
        cause="person",
        actor=caller.actor,
        event=event,
        rule="status",
    )
