"""Who holds the conversation: the agent or a person."""

from collections.abc import Mapping, Sequence

from app.domain.words import INTERACTION_STATUSES
from app.store import notes, threads
from app.store.engine import Tx
from app.store.threads import Thread

NOT_DNC = tuple(status for status in INTERACTION_STATUSES if status != "dnc")
TAKEN_OVER = "a person wrote"
SWITCHED_OFF = "agent mode was switched off"


async def take_over(tx: Tx, written: Sequence[Thread]) -> None:
    """A person wrote in these threads: the agent's unfinished turns and unsent texts end."""
    ended = await threads.cancel_turns(tx, written, TAKEN_OVER)
    await threads.cancel_agent_texts(tx, written, "TURN_CANCELLED", TAKEN_OVER)
    await notes.add(
        tx, {thread: "A person took over from the agent." for thread in ended}
    )


async def switch(tx: Tx, by: Mapping[Thread, str], on: bool) -> None:
    """Switches agent mode of the threads; off ends what the agent had not finished."""
    locked = await threads.lock(tx, by)
    found = [(row["tenant_id"], row["interaction_id"]) for row in locked]
    await threads.switch(tx, found, on)
    if not on:
        await threads.cancel_turns(tx, found, SWITCHED_OFF)
        await threads.cancel_agent_texts(tx, found, "TURN_CANCELLED", SWITCHED_OFF)
