"""Caps: how many texts a phone may get in 24 hours, exact across processes."""

from collections.abc import Sequence
from datetime import datetime

from app.domain.law.caps import Cap, CountedText, find_free_time, is_counted
from app.domain.law.gates import LIFTED_BY_ANSWER, LIFTED_BY_EXCEPTION, Gate, Reason, build_verdict, find_earliest
from app.domain.orders import RefusedOrder, ResolvedOrder
from app.domain.problems import CapReached
from app.store import gates, threads
from app.store.engine import ReadTx, Tx
from app.store.gates import CountedPhone
from app.store.suppressions import PhoneKey

Outcome = ResolvedOrder | RefusedOrder


def has_caps(resolved_order: ResolvedOrder) -> bool:
    return bool(resolved_order.gate and resolved_order.gate.caps)


async def apply_caps(tx: Tx, outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Refuses the orders that are over a cap of their phone. Until the end of the transaction nobody else counts
    texts to these phones."""
    resolved_orders = [outcome for outcome in outcomes if isinstance(outcome, ResolvedOrder)]
    capped_phones = _list_phones(resolved_orders)
    if not capped_phones:
        return list(outcomes)
    # The threads come first: who waited for one while it holds a count would block the phone's other texts.
    await threads.lock_pairs(tx, {(r.order.tenant_id, r.sender, r.to) for r in resolved_orders})
    await gates.lock_counts(tx, capped_phones)
    return await judge_caps(tx, outcomes)


async def judge_caps(read: ReadTx, outcomes: Sequence[Outcome]) -> list[Outcome]:
    """As `apply_caps`, without locks: what would be refused now."""
    capped_phones = _list_phones([outcome for outcome in outcomes if isinstance(outcome, ResolvedOrder)])
    if not capped_phones:
        return list(outcomes)
    counted_phones = await gates.list_counted(read, capped_phones)
    return [
        _judge(outcome, counted_phones) if isinstance(outcome, ResolvedOrder) and has_caps(outcome) else outcome
        for outcome in outcomes
    ]


def _list_phones(resolved_orders: Sequence[ResolvedOrder]) -> list[PhoneKey]:
    return sorted({PhoneKey(order.order.tenant_id, order.to) for order in resolved_orders if has_caps(order)})


def _judge(resolved_order: ResolvedOrder, counted_phones: dict[PhoneKey, CountedPhone]) -> Outcome:
    """An accepted text counts for those that come after it in the list."""
    gate, at = resolved_order.gate, resolved_order.due or resolved_order.now
    assert gate is not None
    assert at is not None
    phone_counts = counted_phones[PhoneKey(resolved_order.order.tenant_id, resolved_order.to)]
    reasons = list_breaches(gate, at, phone_counts, resolved_order.campaign_id)
    if reasons:
        return RefusedOrder(CapReached(verdict=build_verdict(gate, find_earliest(gate, reasons), reasons)))
    phone_counts.texts[resolved_order.order.message_id] = CountedText(
        at, gate.purpose, resolved_order.campaign_id, gate.relation == "first_contact"
    )
    return resolved_order


def list_breaches(gate: Gate, at: datetime, phone_counts: CountedPhone, matter: str | None) -> list[Reason]:
    """The caps that one more text at this time would break."""
    reasons = []
    for cap in gate.caps:
        times = [
            text.at
            for text in phone_counts.texts.values()
            if is_counted(text, cap, matter, phone_counts.last_inbound_at)
        ]
        free_at = find_free_time(at, times, cap.limit)
        if free_at != at:
            reasons.append(_build_reason(cap, free_at))
    return reasons


def _build_reason(cap: Cap, free_at: datetime | None) -> Reason:
    by_exception = LIFTED_BY_EXCEPTION if cap.citation else "a higher cap (settings)"
    return Reason(cap.rule, cap.words, cap.citation, free_at, (LIFTED_BY_ANSWER, by_exception))
