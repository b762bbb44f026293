"""Accepts texts to send: resolves, judges and stores them. All texts that callers send pass here."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, time
from typing import Any

from app.commands import modes
from app.domain import phones, quiet, segments
from app.domain.orders import (
    MAX_SEND_AHEAD,
    SEND_AT_TOLERANCE,
    AcceptedText,
    Order,
    RefusedOrder,
    ResolvedOrder,
    Rule,
    build_order_data,
    unfit,
)
from app.domain.problems import (
    DncBlocked,
    Invalid,
    MissingPhoneNumber,
    NotFound,
    OutcomeUnknown,
    Problem,
    RateLimited,
    Unavailable,
)
from app.store import sending, threads
from app.store.clock import AT_ONCE, OUTBOX_HINT
from app.store.engine import Row, Tx

MANY_ORDERS = 128
"""With more orders than this, the statements are planned for many rows."""
DAY_LIMIT_MESSAGE = "The tenant's texts for today are used up."


async def accept_texts(tx: Tx, orders: Sequence[Order]) -> list[AcceptedText | RefusedOrder]:
    """Accepts the orders that may be sent; returns the result of each, in order. The texts are owed
    once the caller has committed."""
    if len(orders) > MANY_ORDERS:
        await tx.plan_for_many()
    outcomes = await resolve_orders(tx, orders)
    if any(isinstance(result, ResolvedOrder) and _writes_more(result) for result in outcomes):
        await tx.begin()
    results = await _apply_day_limits(tx, outcomes)
    resolved_orders = [r for r in results if isinstance(r, ResolvedOrder)]
    if resolved_orders:
        tx.mark_last_write()
    stored_texts = iter(await sending.store_texts(tx, resolved_orders) if resolved_orders else [])
    answers: list[AcceptedText | RefusedOrder] = []
    for result in results:
        if isinstance(result, RefusedOrder):
            answers.append(result)
        else:
            answers.append(_build_accepted(result, next(stored_texts)))
    accepted_texts = [answer for answer in answers if isinstance(answer, AcceptedText)]
    await _apply_side_effects(tx, accepted_texts)
    if accepted_texts:
        tx.hints[OUTBOX_HINT] = AT_ONCE
    return answers


def _build_accepted(resolved_order: ResolvedOrder, stored_text: sending.StoredText) -> AcceptedText:
    return AcceptedText(resolved_order.order.message_id, stored_text.interaction_id, resolved_order, stored_text.seq)


async def find_lost_outcome(tx: Tx, orders: Sequence[Order], backend: int) -> list[AcceptedText | RefusedOrder] | None:
    """The results of an `accept_texts` whose commit was lost (`CommitLost`). An empty list: nothing
    was accepted. None: the `backend` process may still commit."""
    keys = [(order.tenant_id, order.message_id) for order in orders]
    stored_texts = await sending.find_stored(tx, keys, backend)
    if not stored_texts:
        return None if stored_texts is None else []
    answers: list[AcceptedText | RefusedOrder] = []
    for order, outcome in zip(orders, await resolve_orders(tx, orders), strict=True):
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
        or resolved_order.order.agent_mode is not None
        or resolved_order.order.source == "manual"
    )


async def resolve_orders(tx: Tx, orders: Sequence[Order]) -> list[ResolvedOrder | RefusedOrder]:
    """Resolves and judges the orders without storing anything; returns the result of each, in
    order."""
    readable_orders = await _normalize_phones(tx, orders)
    good_orders = [order for order in readable_orders if isinstance(order, Order)]
    facts = {row["i"]: row for row in await sending.resolve(tx, good_orders)} if good_orders else {}
    outcomes: list[ResolvedOrder | RefusedOrder] = []
    position = 0
    for order in readable_orders:
        if isinstance(order, RefusedOrder):
            outcomes.append(order)
            continue
        row = facts.get(position)
        position += 1
        try:
            outcomes.append(_judge_order(order, row))
        except Problem as problem:
            outcomes.append(RefusedOrder(problem))
    return outcomes


def build_forecast(resolved_order: ResolvedOrder) -> dict[str, Any]:
    """The `data` of a dry run: what a real send would answer now."""
    return {
        **build_order_data(resolved_order),
        "culprit": resolved_order.culprit,
        "earliestAt": resolved_order.due or resolved_order.now,
    }


async def _normalize_phones(tx: Tx, orders: Sequence[Order]) -> list[Order | RefusedOrder]:
    orders_with_phones = [o for o in orders if o.to or o.sender]
    if not orders_with_phones:
        return list(orders)
    local = {o.tenant_id for o in orders_with_phones if any(p and not p.startswith("+") for p in (o.to, o.sender))}
    country = await sending.get_countries(tx, sorted(local)) if local else {}
    readable_orders: list[Order | RefusedOrder] = []
    for order in orders:
        home = country.get(order.tenant_id, "US")
        try:
            to = order.to and phones.normalize_phone(order.to, home, "to")
            sender = order.sender and phones.normalize_phone(order.sender, home, "from")
            readable_orders.append(replace(order, to=to, sender=sender))
        except Problem as problem:
            readable_orders.append(RefusedOrder(problem))
    return readable_orders


def _judge_order(order: Order, row: Row | None) -> ResolvedOrder:
    """Builds the resolved order from the facts in `row`; raises the problem that forbids it."""
    if row is None or row["known_lead"] is None:
        raise NotFound("There is no lead by that id.")
    if order.interaction_id:
        _judge_thread(order, row)
    if order.campaign_id and row["campaign_id"] is None:
        raise NotFound("There is no campaign by that id.")
    if row["to_phone"] is None:
        raise MissingPhoneNumber(details=["to: the lead has no phone number"])
    if row["to_ourselves"]:
        raise Invalid(details=["to: is one of your own numbers"])
    if row["suppressed"]:
        raise DncBlocked
    if row["from_phone"] is None:
        _refuse_sender(order)
    if order.media and not row["has_mms"]:
        raise Invalid(details=["mediaUrls: the sender cannot carry media"])
    if row["allowed_countries"] is not None:
        _judge_country(row["to_phone"], row["allowed_countries"])
    text = segments.replace_typography(order.text) if row["smart_encoding"] else order.text
    if why := unfit(text):
        raise Invalid(details=[f"message: {why}"])
    count = segments.count(text)
    due, held_until = _find_send_time(order, row)
    to_rule = "thread" if order.interaction_id else "override" if order.to else "lead"
    campaign_rule = "override" if order.campaign_id else "lead" if row["campaign_id"] else "none"
    return ResolvedOrder(
        order=order,
        to=row["to_phone"],
        sender=row["from_phone"],
        account_id=row["account_id"],
        provider=row["provider"],
        lead_id=row["thread_lead"] or order.lead_id,
        campaign_id=row["campaign_id"],
        encoding=count.encoding,
        segments=count.segments,
        agent_mode=(row["agent_mode_by_default"] if order.agent_mode is None else order.agent_mode),
        text=text,
        culprit=count.culprit,
        now=row["now"],
        due=due,
        held_until=held_until,
        per_day=row["texts_per_day"],
        resolution=(
            Rule("to", to_rule, row["to_phone"]),
            Rule("campaign", campaign_rule, row["campaign_id"]),
            Rule("from", row["from_rule"], row["from_phone"]),
            Rule("provider", row["provider_rule"], row["provider"]),
        ),
    )


def _find_send_time(order: Order, row: Row) -> tuple[datetime | None, datetime | None]:
    """When the text may first be sent (None: at once), and when quiet hours end that hold it (None:
    they do not)."""
    now: datetime = row["now"]
    at = order.send_at
    if at is not None and at < now - SEND_AT_TOLERANCE:
        raise Invalid(details=["sendAt: is in the past"])
    if at is not None and at > now + MAX_SEND_AHEAD:
        raise Invalid(details=[f"sendAt: is more than {MAX_SEND_AHEAD.days} days ahead"])
    earliest = max(at, now) if at else now + order.delay
    held_until = None
    if row["quiet_hours"]:
        zones = quiet.find_zones(row["to_phone"], row["timezone"])
        start, end = (time.fromisoformat(row["quiet_hours"][name]) for name in ("start", "end"))
        held_until = quiet.find_earliest(earliest, zones, start, end)
    due = held_until or earliest
    return (due if due > now else None), held_until


def _judge_country(to: str, allowed_countries: Sequence[str]) -> None:
    region = phones.region_of(to)
    if region not in allowed_countries:
        raise Invalid(details=[f"to: texts to {region or 'this country'} are not allowed"])


async def _apply_day_limits(
    tx: Tx, results: Sequence[ResolvedOrder | RefusedOrder]
) -> list[ResolvedOrder | RefusedOrder]:
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
    outcomes: list[ResolvedOrder | RefusedOrder] = []
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


def _judge_thread(order: Order, row: Row) -> None:
    if row["known_thread"] is None:
        raise NotFound("There is no interaction by that id.")
    if order.lead_id != row["thread_lead"] and row["lead_phone"] != row["thread_phone"]:
        raise Invalid(details=["leadId: is not the lead of this interaction"])
    if order.to and order.to != row["thread_phone"]:
        raise Invalid(details=["to: is not the lead's number of this interaction"])
    if order.sender and order.sender != row["thread_number"]:
        raise Invalid(details=["from: is not our number of this interaction"])


def _refuse_sender(order: Order) -> None:
    if order.sender and not order.interaction_id:
        raise Invalid(details=["from: is not an active, SMS-capable number of yours"])
    if order.interaction_id:
        raise MissingPhoneNumber(details=["from: the number of this interaction is switched off"])
    raise MissingPhoneNumber(details=["from: there is no active, SMS-capable number to send from"])


async def _apply_side_effects(tx: Tx, accepted_texts: Sequence[AcceptedText]) -> None:
    """A person's text takes over from the agent; `agentMode` of an order is set."""
    manual_threads = {
        (s.resolved_order.order.tenant_id, s.interaction_id)
        for s in accepted_texts
        if s.resolved_order.order.source == "manual" and s.seq is not None
    }
    if manual_threads:
        await modes.take_over(tx, sorted(manual_threads))
    for on in (True, False):
        actor_by_thread = {
            (s.resolved_order.order.tenant_id, s.interaction_id): s.resolved_order.order.actor
            for s in accepted_texts
            if s.resolved_order.order.agent_mode is on
        }
        if actor_by_thread:
            await modes.switch_agent_mode(tx, actor_by_thread, on, [s.message_id for s in accepted_texts])
