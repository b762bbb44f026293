"""Releases scheduled and held texts that are due."""

from app.commands import modes
from app.domain.callers import get_author
from app.domain.law import gates
from app.domain.law.places import find_place
from app.domain.orders import LANE_REPLY
from app.store import releasing, threads
from app.store.clock import AT_ONCE, OUTBOX_HINT
from app.store.engine import Tx
from app.store.gates import parse_facts
from app.store.keys import MessageKey
from app.store.releasing import DueText, HeldText


async def release_texts(tx: Tx, limit: int) -> int:
    """Releases up to `limit` due texts, or holds them while rules want it. Returns how many were
    due.

    Texts cancelled by STOP, by a person or by `cancelOnReply` are gone already. Whether the phone
    may be texted is checked again after the claim, as for every text."""
    due_texts = await releasing.find_releasable(tx, limit)
    if not due_texts:
        return 0
    await threads.lock(tx, {(text.tenant_id, text.interaction_id) for text in due_texts})
    held_texts = [held_text for text in due_texts if (held_text := _build_hold(text))]
    if held_texts:
        await releasing.hold_texts(tx, held_texts)
    held_ids = {text.message_id for text in held_texts}
    free_keys = [MessageKey(t.tenant_id, t.message_id) for t in due_texts if t.message_id not in held_ids]
    released_texts = await releasing.release(tx, free_keys) if free_keys else []
    author_by_thread = {
        (text.tenant_id, text.interaction_id): get_author(text.actor or "service")
        for text in released_texts
        if text.source == "manual"
    }
    if author_by_thread:
        await modes.take_over(tx, author_by_thread)
    if released_texts:
        tx.hints[OUTBOX_HINT] = AT_ONCE
    return len(due_texts)


def _build_hold(text: DueText) -> HeldText | None:
    """Until when, and why, rules hold the text; None: it may be sent now."""
    if not text.quiet_hours and not text.gate_facts:
        return None
    facts = parse_facts(text.gate_facts, may_answer=text.send_at is None and text.lane == LANE_REPLY)
    address = (facts.state, facts.postal_code) if facts and facts.is_law_on else (None, None)
    place = find_place(text.to_phone, *address, text.timezone)
    gate = gates.build_gate(facts, place, text.purpose, text.quiet_hours, text.now.date())
    if gate is None:
        return None
    gate, until = gates.hold(gate, text.now)
    return HeldText(text.tenant_id, text.message_id, until, *gates.describe_hold(gate)) if until else None
