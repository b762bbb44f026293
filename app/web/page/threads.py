"""What a thread's templates need, in the parts that the page shows and renews by themselves."""

from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo
from typing import Any

from app.access.sessions import Person
from app.domain.consent import find_undoable
from app.domain.problems import NotFound
from app.domain.segments import GSM_REPLACEMENTS
from app.store import (
    consent_events,
    interactions,
    lead_answers,
    notes,
    planned_turns,
    read_marks,
    suppressions,
)
from app.store import page as store
from app.store.engine import ReadTx, Tx
from app.store.interactions import Message, Thread
from app.store.page import Contact
from app.web.interaction_shapes import build_agent_state
from app.web.page import canned_choices, later
from app.web.page.actor_words import describe_actors

TEXTS_PER_PAGE = 50
MAX_NOTES = 20
"""How many notes stand beside the texts."""
REPLACEMENTS_BY_CHARACTER = {chr(code): replacement for code, replacement in GSM_REPLACEMENTS.items()}
"""In the form that the segment counter of the page needs."""
Context = dict[str, Any]


async def find_thread(read: ReadTx, tenant_id: str, interaction_id: str) -> Thread:
    """Returns the thread. Raises `NotFound`."""
    thread = await interactions.get(read, tenant_id, interaction_id)
    if thread is None:
        raise NotFound("There is no conversation at this address.")
    return thread


async def build_thread_context(
    tx: Tx, person: Person, interaction_id: str, before: int | None, zone: tzinfo, chosen_time: str
) -> Context:
    """Returns the context of a thread with its texts before the seq `before`, and marks it as read. `chosen_time`:
    the preset of a text that was refused."""
    thread = await find_thread(tx, person.tenant_id, interaction_id)
    before_seq = before or thread.last_seq + 1
    entries = await interactions.get_transcript_page(tx, *thread.key, None, before_seq, TEXTS_PER_PAGE)
    if before is None:
        await mark_read(tx, person, thread)
    waiting = await interactions.list_unreleased(tx, person.tenant_id, [interaction_id])
    contact = await build_contact_context(tx, thread)
    return {
        **await build_state_context(tx, thread),
        **await build_compose_context(tx, thread, contact["contact"], zone, chosen_time),
        **contact,
        **await build_entries_context(tx, thread, [*entries, *waiting]),
        "entries": entries,
        "waiting": waiting,
        "older": entries[0].seq if entries and (entries[0].seq or 0) > 1 else None,
        "newest": before is None,
    }


async def build_changes_context(
    tx: Tx, person: Person, interaction_id: str, text_ids: Sequence[str], parts: str
) -> Context:
    """Returns the context of what changed in a thread, and marks it as read: texts, the state of the
    thread, and with `parts` "contact" what is known about the lead."""
    thread = await find_thread(tx, person.tenant_id, interaction_id)
    await mark_read(tx, person, thread)
    context: Context = {"thread": thread}
    if parts:
        context |= await build_state_context(tx, thread)
    if parts == "contact":
        context |= await build_contact_context(tx, thread)
    elif parts:
        context["contact"] = await store.get_contact(tx, *thread.key)
    entries = await interactions.get_entries(tx, *thread.key, text_ids) if text_ids else []
    context |= await build_entries_context(tx, thread, entries)
    return context | {"entries": entries}


async def mark_read(tx: Tx, person: Person, thread: Thread) -> None:
    """Writes nothing if the person has read the thread already."""
    if thread.unread_count:
        await interactions.mark_read(tx, *thread.key, thread.last_seq)
    if await read_marks.count_unread(tx, person.tenant_id, person.user_id, [thread.interaction_id]):
        await read_marks.mark_read(tx, person.tenant_id, person.user_id, thread.interaction_id, thread.last_seq)


async def build_entries_context(read: ReadTx, thread: Thread, entries: Sequence[Message]) -> Context:
    theirs = [entry.message_id for entry in entries if entry.role == "user"]
    return {
        "turns_of": await store.get_turns_of_texts(read, *thread.key, theirs) if theirs else {},
        "changing": None,
    }


async def build_state_context(read: ReadTx, thread: Thread) -> Context:
    """What stands above and below the texts."""
    facts = await store.get_facts(read, *thread.key)
    return {
        "thread": thread,
        "last_turn": facts.last_turn,
        "planned": await planned_turns.list_of_thread(read, *thread.key),
        "brakes": facts.brakes,
        "state": build_agent_state(thread),
        "suppressed": facts.is_suppressed,
        "twins": REPLACEMENTS_BY_CHARACTER if facts.smart_encoding else None,
    }


async def build_compose_context(
    read: ReadTx, thread: Thread, contact: Contact, zone: tzinfo, chosen_time: str
) -> Context:
    """`zone`: the person's."""
    return {
        "senders": await store.list_senders(read, thread.tenant_id, thread.campaign_id, thread.our_number),
        "canned": await canned_choices.list_filled(read, thread.tenant_id, interaction_id=thread.interaction_id),
        "lead_clock": later.read_clock(
            thread.lead_phone,
            contact.state,
            contact.postal_code,
            contact.timezone,
            zone,
            datetime.now(UTC),
            chosen_time,
        ),
    }


async def build_contact_context(read: ReadTx, thread: Thread) -> Context:
    tenant_id, phone = thread.tenant_id, thread.lead_phone
    contact = await store.get_contact(read, *thread.key)
    consent = await consent_events.list_of_phone(read, tenant_id, phone)
    causes = (await suppressions.get_causes(read, tenant_id, [phone])).get(phone, [])
    answers = {answer.key: answer for answer in await lead_answers.list_of_lead(read, *thread.lead_key)}
    history = await store.list_notes(read, *thread.key, thread.last_seq)
    answered_keys = {item.get("key") for item in contact.questionnaire}
    threads = await interactions.list_of_lead(read, tenant_id, thread.lead_id)
    return {
        "contact": contact,
        "actors": await describe_actors(
            read,
            tenant_id,
            {event.actor for event in consent} | {note.actor for note in history if note.actor},
            thread.first_name,
        ),
        "notes": history,
        "written_notes": await notes.list_written(read, *thread.key, None, MAX_NOTES),
        "answers": answers,
        "unanswered": [item for item in contact.questions if item.get("key") not in answered_keys],
        "causes": causes,
        "undoable": "lead" in causes and bool(find_undoable(consent)),
        "consent": consent,
        "others": [sibling for sibling in threads if sibling.interaction_id != thread.interaction_id],
    }
