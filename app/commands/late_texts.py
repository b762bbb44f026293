"""Texts that leave later than they were judged: what waited for its number's pace, its carrier or a brake obeys the
hours in which it leaves."""

from collections.abc import Sequence

from app.domain.law import gates
from app.domain.orders import LANE_REPLY
from app.store import releasing
from app.store.engine import Tx
from app.store.gates import parse_facts
from app.store.leaving import LateText
from app.store.releasing import HeldText


async def hold_late(tx: Tx, lease: str, late_texts: Sequence[LateText]) -> set[str]:
    """Holds those of the texts, which are claimed with `lease`, that may not leave now; returns their ids. Caps were
    counted when they were accepted or released."""
    held_texts = [held_text for text in late_texts if (held_text := _hold(text))]
    return await releasing.hold_claimed(tx, lease, held_texts) if held_texts else set()


def _hold(text: LateText) -> HeldText | None:
    """Until when, and why, hours hold the text; None: they do not."""
    facts = parse_facts(text.gate_facts, may_answer=text.was_at_once and text.lane == LANE_REPLY)
    place = gates.find_gate_place(facts, text.to_phone, text.timezone)
    gate = gates.build_gate(facts, place, text.purpose, text.quiet_hours, text.now.date())
    if gate is None:
        return None
    held_gate, until = gates.hold_by_hours(gate, text.now)
    return HeldText(text.tenant_id, text.message_id, until, *gates.describe_hold(held_gate)) if until else None
