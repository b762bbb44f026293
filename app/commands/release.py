"""Releases scheduled and held texts that are due."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from app.commands import caps, modes
from app.domain.callers import get_author
from app.domain.law import gates
from app.domain.law.caps import CAP_TIME
from app.domain.law.gates import Gate
from app.domain.orders import LANE_REPLY
from app.store import cancelling, contact_checks, releasing, threads
from app.store.clock import AT_ONCE, OUTBOX_HINT
from app.store.engine import Tx
from app.store.gates import list_counted, lock_counts, parse_facts
from app.store.keys import MessageKey
from app.store.leaving import JudgedText
from app.store.releasing import DueText, HeldText
from app.store.suppressions import PhoneKey


async def release_texts(tx: Tx, limit: int) -> int:
    """Releases up to `limit` due texts, or holds them while rules want it. Returns how many were
    due.

    Texts cancelled by STOP, by a person or by `cancelOnReply` are gone already. Whether the phone
    may be texted is checked again after the claim, as for every text."""
    due_texts = await releasing.find_releasable(tx, limit)
    if not due_texts:
        return 0
    due_count = len(due_texts)
    await threads.lock(tx, {(text.tenant_id, text.interaction_id) for text in due_texts})
    gates_by_id = {text.message_id: gate for text in due_texts if (gate := build_gate(text))}
    refused_ids = await _cancel_refused(tx, due_texts, gates_by_id)
    due_texts = [text for text in due_texts if text.message_id not in refused_ids]
    held_texts = [held_text for text in due_texts if (held_text := _hold(text, gates_by_id.get(text.message_id)))]
    held_texts += await _hold_capped(tx, due_texts, gates_by_id, {text.message_id for text in held_texts})
    if held_texts:
        await releasing.hold_texts(tx, held_texts)
        await _ask_about_unknown(tx, due_texts, gates_by_id)
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
    return due_count


def build_gate(text: DueText | JudgedText) -> Gate | None:
    """What the rules say about the text; None: there are none. What was planned is no answer."""
    if not text.quiet_hours and not text.gate_facts:
        return None
    facts = parse_facts(text.gate_facts, may_answer=text.send_at is None and text.lane == LANE_REPLY)
    place = gates.find_gate_place(facts, text.to_phone, text.timezone)
    return gates.build_gate(facts, place, text.purpose, text.quiet_hours, text.now.date())


async def _cancel_refused(tx: Tx, due_texts: Sequence[DueText], gates_by_id: Mapping[str, Gate]) -> set[str]:
    """Cancels the texts to phones that the tenant's webhook refused meanwhile; returns their ids."""
    refusals = {
        text.message_id: (text.tenant_id, refusal.words)
        for text in due_texts
        if (refusal := gates.find_refusal(gates_by_id.get(text.message_id)))
    }
    for message_id, (tenant_id, words) in refusals.items():
        await cancelling.cancel_refused(tx, tenant_id, message_id, words)
    return set(refusals)


async def _ask_about_unknown(tx: Tx, due_texts: Sequence[DueText], gates_by_id: Mapping[str, Gate]) -> None:
    """What the webhook said may be too old by now."""
    phones = [
        PhoneKey(text.tenant_id, text.to_phone)
        for text in due_texts
        if (gate := gates_by_id.get(text.message_id)) and gate.check and gate.check.state == "unknown"
    ]
    if phones:
        await contact_checks.ask_about(tx, phones)


def _hold(text: DueText, gate: Gate | None) -> HeldText | None:
    """Until when, and why, hours hold the text; None: they do not."""
    if gate is None:
        return None
    held_gate, until = gates.hold(gate, text.now)
    return HeldText(text.tenant_id, text.message_id, until, *gates.describe_hold(held_gate)) if until else None


async def _hold_capped(
    tx: Tx, due_texts: Sequence[DueText], gates_by_id: Mapping[str, Gate], held_ids: set[str]
) -> list[HeldText]:
    """Holds the texts that are over a cap now, because they were held or planned before. The caller has locked their
    threads."""
    capped_texts = [
        (text, gate)
        for text in due_texts
        if text.message_id not in held_ids and (gate := gates_by_id.get(text.message_id)) and gate.caps
    ]
    if not capped_texts:
        return []
    phones = sorted({PhoneKey(text.tenant_id, text.to_phone) for text, _ in capped_texts})
    await lock_counts(tx, phones)
    counted_phones = await list_counted(tx, phones)
    held_texts = []
    for text, gate in capped_texts:
        phone_counts = counted_phones[PhoneKey(text.tenant_id, text.to_phone)]
        own_text = phone_counts.texts.pop(text.message_id, None)
        if reasons := caps.list_breaches(gate, text.now, phone_counts, text.matter):
            held_gate = replace(gate, reasons=tuple(reasons))
            until = gates.find_time_after(reasons) or text.now + CAP_TIME
            held_texts.append(HeldText(text.tenant_id, text.message_id, until, *gates.describe_hold(held_gate)))
            own_text = own_text and replace(own_text, at=until)
        elif own_text:
            own_text = replace(own_text, at=text.now)
        if own_text:
            phone_counts.texts[text.message_id] = own_text
    return held_texts
