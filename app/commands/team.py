"""Working together: whose a thread is, until when it rests, and what colleagues write about it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from app.commands import modes, timeline
from app.domain import ids
from app.domain.callers import Caller
from app.domain.mentions import find_mentions
from app.domain.problems import Invalid, NotFound, Problem
from app.domain.words import InteractionStatus
from app.store import interactions, notes, people, suppressions, thread_work, threads
from app.store.engine import Tx
from app.store.interactions import Thread
from app.store.notes import Note
from app.store.suppressions import PhoneKey
from app.store.threads import ThreadKey

MAX_NOTE_LENGTH = 5000
MAX_SNOOZE = timedelta(days=366)
SnoozeEnd = datetime | Literal["reply"]
"""A time, or the lead's next text, which ends every snooze."""


@dataclass(frozen=True, slots=True)
class ThreadChange:
    """What is to become of threads. `field_names`: the fields that are given; the others mean nothing."""

    field_names: frozenset[str]
    status: InteractionStatus | None = None
    agent_mode: bool | None = None
    assigned_to: str | None = None
    """None: nobody's."""
    snoozed_until: SnoozeEnd | None = None
    """None: it is not snoozed."""


async def require_assignable(tx: Tx, tenant_id: str, change: ThreadChange) -> None:
    """Checks what has nothing to do with single threads. Raises `Invalid`."""
    if "snoozed_until" in change.field_names and isinstance(change.snoozed_until, datetime):
        now = datetime.now(UTC)
        if not now < change.snoozed_until <= now + MAX_SNOOZE:
            raise Invalid(details=["snoozedUntil: must be within a year from now"])
    if "assigned_to" in change.field_names and change.assigned_to is not None:
        colleagues = await people.list_colleagues(tx, tenant_id)
        if not any(person.user_id == change.assigned_to and person.active for person in colleagues):
            raise Invalid(details=["assignedTo: is not an active person"])


async def change_thread(tx: Tx, caller: Caller, thread: Thread, change: ThreadChange) -> None:
    """Raises `SuppressionActive`. The caller has checked the change by `require_assignable`, and names itself
    as the author of the transaction."""
    await modes.set_by_hand(tx, caller, thread, change.status, change.agent_mode)
    if {"assigned_to", "snoozed_until"} & change.field_names:
        await threads.lock(tx, [thread.key])
    if "assigned_to" in change.field_names:
        await _assign(tx, caller, thread.key, change.assigned_to)
    if "snoozed_until" in change.field_names:
        await _snooze(tx, caller, thread, change.snoozed_until)


async def _assign(tx: Tx, caller: Caller, thread: ThreadKey, user_id: str | None) -> None:
    if not await thread_work.assign(tx, thread, user_id):
        return
    if user_id is None:
        await timeline.tell(tx, caller.author, thread, "assigned this to nobody.")
    elif user_id == caller.actor:
        await timeline.tell(tx, caller.author, thread, "took this over.")
    else:
        name = await timeline.name_author(tx, thread[0], f"person:{user_id}")
        await timeline.tell(tx, caller.author, thread, f"assigned this to {name}.")


async def _snooze(tx: Tx, caller: Caller, thread: Thread, until: SnoozeEnd | None) -> None:
    if until is None:
        if await thread_work.unsnooze(tx, thread.key) and thread.is_snoozed:
            await timeline.tell(tx, caller.author, thread.key, "ended the snooze.")
        return
    await thread_work.snooze(tx, thread.key, until if isinstance(until, datetime) else None)
    end = f"{until.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if isinstance(until, datetime) else "the lead writes"
    await timeline.tell(tx, caller.author, thread.key, f"snoozed this until {end}.")


ThreadResult = Problem | None
"""None: it was done; else why not."""


async def change_threads(
    tx: Tx, caller: Caller, interaction_ids: Sequence[str], change: ThreadChange
) -> list[ThreadResult]:
    """Changes each of the threads that can be changed; returns the result of each, in order. Raises `Invalid`
    for what is wrong with all of them."""
    await require_assignable(tx, caller.tenant_id, change)
    threads_by_id = {
        thread.interaction_id: thread
        for thread in await interactions.list_by_id(tx, caller.tenant_id, [*set(interaction_ids)])
    }
    phones = [PhoneKey(caller.tenant_id, phone) for phone in sorted({t.lead_phone for t in threads_by_id.values()})]
    if phones:  # a status may change all threads of a phone: they are locked in the common order
        await suppressions.lock_phones_only(tx, phones)
        await suppressions.lock_threads(tx, phones)
    results: dict[str, ThreadResult] = {}
    for id in dict.fromkeys(interaction_ids):
        thread = threads_by_id.get(id)
        results[id] = await _try_change(tx, caller, thread, change) if thread else NotFound()
    return [results[id] for id in interaction_ids]


async def _try_change(tx: Tx, caller: Caller, thread: Thread, change: ThreadChange) -> ThreadResult:
    """Problems are raised before anything is written."""
    try:
        await change_thread(tx, caller, thread, change)
    except Problem as problem:
        return problem
    return None


async def add_note(tx: Tx, caller: Caller, thread: Thread, text: str, is_for_agent: bool) -> str:
    """Adds a note for colleagues, and tells those whom it mentions; returns its id. It is sent to nobody."""
    colleagues = [person for person in await people.list_colleagues(tx, caller.tenant_id) if person.active]
    mentions = find_mentions(text, colleagues)
    facts: dict[str, Any] = {"mentions": mentions, "forAgent": is_for_agent}
    message_id = ids.make("msg")
    await notes.add(tx, [Note(*thread.key, text, caller.author, message_id, json.dumps(facts))])
    if mentions:
        await notes.begin_page_notices(tx, caller.tenant_id, [id for id in mentions if id != caller.actor])
    return message_id
