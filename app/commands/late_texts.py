"""Texts that leave later than they were judged: what waited for its number's pace, its carrier or a brake obeys the
hours in which it leaves."""

from collections.abc import Sequence

from app.commands.release import build_gate
from app.domain.law import gates
from app.store import leaving, notes, releasing, suppressions
from app.store.engine import Tx
from app.store.leaving import JudgedText
from app.store.notes import PlacedNote
from app.store.releasing import HeldText, LeftPlace
from app.store.suppressions import PhoneKey


async def hold_late(tx: Tx, lease: str, late_texts: Sequence[JudgedText]) -> tuple[set[str], set[str]]:
    """Holds those of the texts, which are claimed with `lease`, that may not leave now. Returns their ids, and those of
    the texts that came to nothing between the claim and now: nothing cancels a claimed text, and the morning would be
    too late. Caps were counted when they were accepted or released."""
    held_texts = {text.message_id: held_text for text in late_texts if (held_text := _hold(text))}
    if not held_texts:
        return set(), set()
    texts = [text for text in late_texts if text.message_id in held_texts]
    phones = sorted({PhoneKey(text.tenant_id, text.to_phone) for text in texts})
    await suppressions.lock_phones_only(tx, phones)
    await suppressions.lock_threads(tx, phones)
    withdrawn_ids = await leaving.find_withdrawn(tx, lease, texts)
    waiting_texts = [held_text for message_id, held_text in held_texts.items() if message_id not in withdrawn_ids]
    if not waiting_texts:
        return set(), withdrawn_ids
    left_places = await releasing.hold_claimed(tx, lease, waiting_texts)
    await notes.put(tx, [_build_note(place) for place in left_places])
    return {place.message_id for place in left_places}, withdrawn_ids


def _build_note(place: LeftPlace) -> PlacedNote:
    words = f"A text could not leave from here in time. It stands further down when it leaves: {place.reason}"
    return PlacedNote(place.tenant_id, place.interaction_id, place.seq, words)


def _hold(text: JudgedText) -> HeldText | None:
    """Until when, and why, hours hold the text; None: they do not."""
    gate = build_gate(text)
    if gate is None:
        return None
    held_gate, until = gates.hold_by_hours(gate, text.now)
    return HeldText(text.tenant_id, text.message_id, until, *gates.describe_hold(held_gate)) if until else None
