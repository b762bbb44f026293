"""Accepts texts to send and stores them. All texts that callers send pass here."""

from collections import Counter
from collections.abc import Mapping, Sequence

from app.commands import caps, modes
from app.commands.resolve import resolve_orders
from app.domain.callers import get_author
from app.domain.orders import AcceptedText, Order, RefusedOrder, ResolvedOrder
from app.domain.problems import OutcomeUnknown, RateLimited, Unavailable
from app.store import contact_checks, sending, threads
from app.store.clock import AT_ONCE, OUTBOX_HINT
from app.store.engine import Batch, ReadTx, Tx
from app.store.keys import MessageKey
from app.store.sending import StoredText
from app.store.suppressions import PhoneKey

DAY_LIMIT_MESSAGE = "The tenant's texts for today are used up."
Outcome = ResolvedOrder | RefusedOrder
SendResult = AcceptedText | RefusedOrder


async def accept_texts(tx: Tx, orders: Sequence[Order]) -> list[SendResult]:
    """Accepts the orders that may be sent; returns the result of each, in order. The texts are owed
    once the caller has committed."""
    return await _accept_outcomes(tx, await resolve_orders(tx, orders))


async def accept_batch(batch: Batch, orders: Sequence[Order]) -> list[SendResult]:
    """As `accept_texts`. Plain texts are read by one statement and stored by another."""
    outcomes = await resolve_orders(batch, orders)
    resolved_orders = _filter_resolved(outcomes)
    if not resolved_orders:
        return _build_results(outcomes, {})
    if any(_writes_more(resolved_order) for resolved_order in resolved_orders):
        return await _accept_outcomes(await batch.begin(), outcomes)
    batch.hints[OUTBOX_HINT] = AT_ONCE
    return _build_results(outcomes, await sending.store_texts(batch, resolved_orders))


async def _accept_outcomes(tx: Tx, outcomes: Sequence[Outcome]) -> list[SendResult]:
    limited_outcomes = await _apply_day_limits(tx, await caps.apply_caps(tx, outcomes))
    resolved_orders = _filter_resolved(limited_outcomes)
    if not resolved_orders:
        return _build_results(limited_outcomes, {})
    results = _build_results(limited_outcomes, await sending.store_texts(tx, resolved_orders))
    if open_phones := [PhoneKey(r.order.tenant_id, r.to) for r in resolved_orders if _is_to_be_checked(r)]:
        await contact_checks.ask_about(tx, open_phones)
    await _apply_side_effects(tx, [result for result in results if isinstance(result, AcceptedText)])
    tx.hints[OUTBOX_HINT] = AT_ONCE
    return results


def _filter_resolved(outcomes: Sequence[Outcome]) -> list[ResolvedOrder]:
    return [outcome for outcome in outcomes if isinstance(outcome, ResolvedOrder)]


def _build_results(outcomes: Sequence[Outcome], stored_texts: Mapping[str, StoredText]) -> list[SendResult]:
    return [
        outcome
        if isinstance(outcome, RefusedOrder)
        else _build_accepted(outcome, stored_texts[outcome.order.message_id])
        for outcome in outcomes
    ]


def _build_accepted(resolved_order: ResolvedOrder, stored_text: StoredText) -> AcceptedText:
    return AcceptedText(resolved_order.order.message_id, stored_text.interaction_id, resolved_order, stored_text.seq)


async def find_lost_outcome(read: ReadTx, orders: Sequence[Order], backend: int) -> list[SendResult] | None:
    """The results of accepting `orders`, whose commit was lost (`CommitLost`). An empty list: nothing
    was accepted. None: the `backend` process may still commit."""
    keys = [MessageKey(order.tenant_id, order.message_id) for order in orders]
    stored_texts = await sending.find_stored(read, keys, backend)
    if not stored_texts:
        return None if stored_texts is None else []
    answers: list[SendResult] = []
    for order, outcome in zip(orders, await resolve_orders(read, orders), strict=True):
        stored_text = stored_texts.get(order.message_id)
        if stored_text is None:
            answers.append(outcome if isinstance(outcome, RefusedOrder) else RefusedOrder(Unavailable()))
        else:  # stored, but if it can no longer be resolved, its answer is not known
            answers.append(
                _build_accepted(outcome, stored_text)
                if isinstance(outcome, ResolvedOrder)
                else RefusedOrder(OutcomeUnknown())
            )
    return answers


def _writes_more(resolved_order: ResolvedOrder) -> bool:
    """Whether accepting the order writes more than the one statement that stores texts."""
    return (
        resolved_order.per_day is not None
        or caps.has_caps(resolved_order)
        or _is_to_be_checked(resolved_order)
        or (resolved_order.order.agent_mode is not None and not resolved_order.has_agent_mode)
        or resolved_order.order.source == "manual"
    )


def _is_to_be_checked(resolved_order: ResolvedOrder) -> bool:
    """Whether the tenant's webhook is to be asked about the phone first."""
    check = resolved_order.gate.check if resolved_order.gate else None
    return check is not None and check.is_open


async def _apply_day_limits(tx: Tx, results: Sequence[Outcome]) -> list[Outcome]:
    """Refuses the orders that are over their tenant's daily limit, if it has one."""
    limits = {r.order.tenant_id: r.per_day for r in results if isinstance(r, ResolvedOrder) and r.per_day is not None}
    if not limits:
        return list(results)
    limited_orders = [r for r in results if isinstance(r, ResolvedOrder) and r.order.tenant_id in limits]
    # Locks the threads before the count: otherwise a wait for one thread would hold the lock on the
    # tenant's count, and block its other threads.
    await threads.lock_pairs(tx, {(r.order.tenant_id, r.sender, r.to) for r in limited_orders})
    text_counts = Counter(r.order.tenant_id for r in limited_orders)
    day_counts = await sending.count_today(tx, text_counts)
    counts_left = {tenant: limit - (day_counts[tenant] - text_counts[tenant]) for tenant, limit in limits.items()}
    refused_counts: Counter[str] = Counter()
    outcomes: list[Outcome] = []
    for result in results:
        if isinstance(result, ResolvedOrder) and (tenant := result.order.tenant_id) in counts_left:
            if counts_left[tenant] <= 0:
                refused_counts[tenant] += 1
                outcomes.append(RefusedOrder(RateLimited(DAY_LIMIT_MESSAGE, retry_after=3600)))
                continue
            counts_left[tenant] -= 1
        outcomes.append(result)
    if refused_counts:
        await sending.count_today(tx, {tenant: -texts for tenant, texts in refused_counts.items()})
    return outcomes


async def _apply_side_effects(tx: Tx, accepted_texts: Sequence[AcceptedText]) -> None:
    """A person's text takes over from the agent; `agentMode` of an order is set."""
    author_by_thread = {
        (s.resolved_order.order.tenant_id, s.interaction_id): get_author(s.resolved_order.order.actor)
        for s in accepted_texts
        if s.resolved_order.order.source == "manual" and s.seq is not None
    }
    if author_by_thread:
        await modes.take_over(tx, author_by_thread)
    for on in (True, False):
        author_by_thread = {
            (s.resolved_order.order.tenant_id, s.interaction_id): get_author(s.resolved_order.order.actor)
            for s in accepted_texts
            if s.resolved_order.order.agent_mode is on
        }
        if author_by_thread:
            await modes.switch_agent_mode(tx, author_by_thread, on, [s.message_id for s in accepted_texts])
