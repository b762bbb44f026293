"""Who holds the conversation: the agent or a person."""

from collections.abc import Mapping, Sequence

from app.domain.callers import Caller
from app.domain.problems import SuppressionActive
from app.domain.words import INTERACTION_STATUSES
from app.store import notes, suppressions, threads, turns
from app.store.engine import Row, Tx
from app.store.threads import Thread

NOT_DNC = tuple(status for status in INTERACTION_STATUSES if status != "dnc")
TAKEN_OVER = "a person wrote"
SWITCHED_OFF = "agent mode was switched off"
HANDED_OVER = "the agent handed over to a person"


async def take_over(tx: Tx, written: Sequence[Thread]) -> None:
    """A person wrote in these threads: the agent's unfinished turns and unsent texts end."""
    await threads.taken_over(tx, written, f"withdrawn: {TAKEN_OVER}")
    ended = await threads.cancel_turns(tx, written, TAKEN_OVER)
    await threads.cancel_agent_texts(tx, written, "TURN_CANCELLED", TAKEN_OVER)
    await notes.add(tx, {thread: "A person took over from the agent." for thread in ended})


async def switch(tx: Tx, by: Mapping[Thread, str], on: bool, sent_with: Sequence[str] = ()) -> None:
    """Switches agent mode of the threads; off ends what the agent had not finished, but for the
    texts that it was `sent_with`."""
    locked = await threads.lock(tx, by)
    found = [(row["tenant_id"], row["interaction_id"]) for row in locked]
    await threads.switch(tx, found, on)
    if not on:
        await threads.cancel_turns(tx, found, SWITCHED_OFF)
        await threads.cancel_agent_texts(tx, found, "TURN_CANCELLED", SWITCHED_OFF, sent_with)


async def hand_over(tx: Tx, thread: Thread, reason: str) -> None:
    """The agent gives the thread, whose lock is held, to a person. What it has said before still
    leaves: only its unfinished turns end."""
    await threads.switch(tx, [thread], False)
    await threads.cancel_turns(tx, [thread], HANDED_OVER)
    await threads.withdraw(tx, [thread], f"withdrawn: {HANDED_OVER}")
    await threads.set_status(tx, [thread], "follow_up", only_from=NOT_DNC)
    await notes.add(tx, {thread: f"The agent handed over to a person: {reason}"})


async def brake(tx: Tx, thread: Thread, why: str) -> None:
    """The loop breaker: the agent rests in this thread until tomorrow, or until a hand switches
    agent mode."""
    await threads.pause(tx, thread, why)
    await threads.set_status(tx, [thread], "follow_up", only_from=("in_progress", "incomplete"))
    await notes.add(tx, {thread: f"The agent is paused until tomorrow: {why}."})


async def fail(tx: Tx, failed: Sequence[tuple[Row, str]]) -> None:
    """These turns are given up, each for its reason: a person must follow up."""
    if not failed:
        return
    threads_of = [(turn["tenant_id"], turn["interaction_id"]) for turn, _ in failed]
    closed = [(turn["tenant_id"], turn["turn_id"], "failed", why) for turn, why in failed]
    await turns.close(tx, closed)
    await threads.set_status(tx, threads_of, "follow_up", only_from=("in_progress", "incomplete"))
    told = {
        thread: f"The agent did not get the lead's texts: {why}."
        for thread, (_, why) in zip(threads_of, failed, strict=True)
    }
    await notes.add(tx, told)


async def resume(tx: Tx, limit: int) -> int:
    """Agents that want to come back by themselves do, where no person wrote for long enough."""
    resumed = await threads.resume(tx, limit)
    if resumed:
        await notes.add(tx, dict.fromkeys(resumed, "The agent resumed: nobody wrote meanwhile."))
    return len(resumed)


async def set_by_hand(tx: Tx, caller: Caller, row: Row, status: str | None, agent_mode: bool | None) -> None:
    """Sets status and agent mode of a thread (`row`). `dnc` suppresses the phone; another
    status lifts what a hand had set; raises `SuppressionActive` when only the lead can."""
    thread = (row["tenant_id"], row["interaction_id"])
    if status == "dnc":
        await suppressions.add(tx, [_by_hand(caller, row, "suppressed")])
    elif status is not None and await _lifted(tx, caller, row):
        await threads.set_status(tx, [thread], status)
    if agent_mode is not None:
        await switch(tx, {thread: caller.actor}, agent_mode)


async def _lifted(tx: Tx, caller: Caller, row: Row) -> bool:
    """Whether the phone may be texted now, once what a hand had set is lifted."""
    phone = row["lead_phone"]
    standing = (await suppressions.causes(tx, row["tenant_id"], [phone])).get(phone, [])
    if standing == ["lead"]:
        raise SuppressionActive
    if "person" in standing:
        await suppressions.lift(tx, [_by_hand(caller, row, "lifted")])
    return "lead" not in standing


def _by_hand(caller: Caller, row: Row, event: str) -> suppressions.Cause:
    return suppressions.Cause(
        tenant_id=row["tenant_id"],
        phone=row["lead_phone"],
        cause="person",
        actor=caller.actor,
        event=event,
        rule="status",
    )
