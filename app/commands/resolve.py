"""Resolves orders to texts and judges whether they may be sent. Stores nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, NoReturn

from app.commands.consents import find_demand, judge_consent
from app.commands.phones import read_recipient
from app.domain import phones, segments
from app.domain.law import gates
from app.domain.law.disclosing import find_disclosure
from app.domain.law.gates import Gate, Reason
from app.domain.orders import (
    LANE_REPLY,
    MAX_SEND_AHEAD,
    SEND_AT_TOLERANCE,
    Order,
    RefusedOrder,
    ResolvedOrder,
    Rule,
    build_order_data,
    find_fault,
)
from app.domain.problems import (
    ConsentMissing,
    ContactRefused,
    DncBlocked,
    Invalid,
    MissingPhoneNumber,
    NotFound,
    Problem,
)
from app.store import consent_events, resolving
from app.store import gates as gate_store
from app.store.engine import ReadTx
from app.store.resolving import OrderFacts
from app.store.suppressions import PhoneKey


async def resolve_orders(read: ReadTx, orders: Sequence[Order]) -> list[ResolvedOrder | RefusedOrder]:
    """Resolves and judges the orders without storing anything; returns the result of each, in
    order."""
    readable_orders = await _normalize_phones(read, orders)
    good_orders = [order for order in readable_orders if isinstance(order, Order)]
    facts = await resolving.resolve(read, good_orders) if good_orders else {}
    first_texts = _find_first_texts(good_orders)
    judged_orders = [
        _try_to_judge(order, facts.get(position), position in first_texts) for position, order in enumerate(good_orders)
    ]
    agreed_orders = iter(await _require_consent(read, judged_orders, facts))
    return [order if isinstance(order, RefusedOrder) else next(agreed_orders) for order in readable_orders]


async def _require_consent(
    read: ReadTx, outcomes: list[ResolvedOrder | RefusedOrder], facts: Mapping[int, OrderFacts]
) -> list[ResolvedOrder | RefusedOrder]:
    """Refuses the orders for which their campaign asks for more consent than the phone gave."""
    judged_texts = {
        position: (PhoneKey(outcome.order.tenant_id, outcome.to), outcome.gate, facts[position])
        for position, outcome in enumerate(outcomes)
        if isinstance(outcome, ResolvedOrder) and outcome.gate
    }
    refusals = await list_consent_refusals(read, judged_texts)
    return [
        _refuse_without_consent(judged_texts[position][1], refusals[position]) if position in refusals else outcome
        for position, outcome in enumerate(outcomes)
    ]


def _refuse_without_consent(gate: Gate, refusal: Reason) -> RefusedOrder:
    return RefusedOrder(ConsentMissing(verdict=gates.build_verdict(gate, None, [refusal])))


async def list_consent_refusals(
    read: ReadTx, judged_texts: Mapping[int, tuple[PhoneKey, Gate, OrderFacts]]
) -> dict[int, Reason]:
    """Why the consent of these phones is not enough, by position."""
    demands = {
        position: demand
        for position, (_, gate, facts) in judged_texts.items()
        if facts.gate_facts and (demand := find_demand(gate, facts.gate_facts["require_consent"]))
    }
    if not demands:
        return {}
    events = await consent_events.list_of_phones(read, {position: judged_texts[position][0] for position in demands})
    reasons = {position: judge_consent(demand, events[position]) for position, demand in demands.items()}
    return {position: reason for position, reason in reasons.items() if reason}


def _find_first_texts(orders: Sequence[Order]) -> set[int]:
    """The positions of the orders that are the first of their thread here."""
    return set({(order.tenant_id, order.interaction_id): i for i, order in reversed([*enumerate(orders)])}.values())


def _try_to_judge(order: Order, facts: OrderFacts | None, is_first: bool) -> ResolvedOrder | RefusedOrder:
    try:
        return _judge_order(order, facts, is_first)
    except Problem as problem:
        return RefusedOrder(problem)


def build_forecast(resolved_order: ResolvedOrder) -> dict[str, Any]:
    """The `data` of a dry run: what a real send would answer now."""
    return {
        **build_order_data(resolved_order),
        "culprit": resolved_order.culprit,
        "earliestAt": resolved_order.due or resolved_order.now,
    }


async def _normalize_phones(read: ReadTx, orders: Sequence[Order]) -> list[Order | RefusedOrder]:
    orders_with_phones = [o for o in orders if o.to or o.sender]
    if not orders_with_phones:
        return list(orders)
    local = {o.tenant_id for o in orders_with_phones if any(p and not p.startswith("+") for p in (o.to, o.sender))}
    country = await resolving.get_countries(read, sorted(local)) if local else {}
    readable_orders: list[Order | RefusedOrder] = []
    for order in orders:
        home = country.get(order.tenant_id, "US")
        try:
            sender = order.sender and phones.normalize_own(order.sender, home, "from")
            to = order.to and await read_recipient(read, order.tenant_id, order.to, "to", home)
            readable_orders.append(replace(order, to=to, sender=sender))
        except Problem as problem:
            readable_orders.append(RefusedOrder(problem))
    return readable_orders


def _judge_order(order: Order, facts: OrderFacts | None, is_first: bool) -> ResolvedOrder:
    """Builds the resolved order; raises the problem that forbids it."""
    if facts is None or facts.known_lead is None:
        raise NotFound("There is no lead by that id.")
    if order.interaction_id:
        _judge_thread(order, facts)
    if order.campaign_id and facts.campaign_id is None:
        raise NotFound("There is no campaign by that id.")
    to = facts.to_phone
    if to is None:
        raise MissingPhoneNumber(details=["to: the lead has no phone number"])
    if facts.is_ours:
        raise Invalid(details=["to: is one of your own numbers"])
    if facts.is_suppressed:
        raise DncBlocked
    if facts.from_phone is None or facts.from_rule is None or facts.account_id is None or facts.provider is None:
        _refuse_sender(order)
    if order.media and not facts.has_mms:
        raise Invalid(details=["mediaUrls: the sender cannot carry media"])
    if facts.allowed_countries is not None:
        _judge_country(to, facts.allowed_countries)
    words = _disclose(order.text, facts, to) if facts.disclosure and is_first else order.text
    text = segments.replace_typography(words) if facts.smart_encoding else words
    if fault := find_fault(text):
        raise Invalid(details=[f"message: {fault}"])
    count = segments.count(text)
    due, held_until, gate = _find_send_time(order, facts, to)
    if refusal := gates.find_refusal(gate):
        assert gate is not None
        raise ContactRefused(verdict=gates.build_verdict(gate, None, [refusal]))
    to_rule = "thread" if order.interaction_id else "override" if order.to else "lead"
    campaign_rule = "override" if order.campaign_id else "lead" if facts.campaign_id else "none"
    return ResolvedOrder(
        order=order,
        to=to,
        sender=facts.from_phone,
        account_id=facts.account_id,
        provider=facts.provider,
        lead_id=facts.thread_lead or order.lead_id,
        campaign_id=facts.campaign_id,
        encoding=count.encoding,
        segments=count.segments,
        agent_mode=facts.agent_mode_by_default if order.agent_mode is None else order.agent_mode,
        text=text,
        culprit=count.culprit,
        now=facts.now,
        due=due,
        held_until=held_until,
        gate=gate,
        per_day=facts.texts_per_day,
        has_agent_mode=facts.has_agent_mode,
        resolution=(
            Rule("to", to_rule, to),
            Rule("campaign", campaign_rule, facts.campaign_id),
            Rule("from", facts.from_rule, facts.from_phone),
            Rule("provider", facts.provider_rule, facts.provider),
        ),
    )


def _disclose(text: str, facts: OrderFacts, to: str) -> str:
    """The text of an agent, after the sentence that says so if one is wanted."""
    assert facts.disclosure is not None
    sentence = find_disclosure(facts.disclosure, to, facts.timezone, facts.now.date())
    return f"{sentence}\n{text}" if sentence else text


def _find_send_time(order: Order, facts: OrderFacts, to: str) -> tuple[datetime | None, datetime | None, Gate | None]:
    """When the text may first be sent (None: at once), until when rules hold it (None: they do not), and what they
    say (None: there are none)."""
    now = facts.now
    at = order.send_at
    if at is not None and at < now - SEND_AT_TOLERANCE:
        raise Invalid(details=["sendAt: is in the past"])
    if at is not None and at > now + MAX_SEND_AHEAD:
        raise Invalid(details=[f"sendAt: is more than {MAX_SEND_AHEAD.days} days ahead"])
    earliest = max(at, now) if at else now + order.delay
    gate = build_order_gate(order, facts, to, earliest)
    held_until = None
    if gate:
        gate, held_until = gates.hold(gate, earliest)
    due = held_until or earliest
    return (due if due > now else None), held_until, gate if facts.gate_facts or held_until else None


def build_order_gate(order: Order, facts: OrderFacts, to: str, at: datetime) -> Gate | None:
    """The rules for a text to this phone that should leave at this time; None: there are none."""
    if not facts.quiet_hours and not facts.gate_facts:
        return None
    may_answer = order.send_at is None and order.lane == LANE_REPLY
    gate_facts = gate_store.parse_facts(facts.gate_facts, may_answer=may_answer)
    return gates.build_gate(
        gate_facts,
        gates.find_gate_place(gate_facts, to, facts.timezone),
        order.purpose,
        facts.quiet_hours,
        at.date(),
        order.source == "manual" and order.send_at is None,
    )


def _judge_country(to: str, allowed_countries: Sequence[str]) -> None:
    region = phones.region_of(to)
    if region not in allowed_countries:
        raise Invalid(details=[f"to: texts to {region or 'this country'} are not allowed"])


def _judge_thread(order: Order, facts: OrderFacts) -> None:
    if facts.known_thread is None:
        raise NotFound("There is no interaction by that id.")
    if order.lead_id != facts.thread_lead and facts.lead_phone != facts.thread_phone:
        raise Invalid(details=["leadId: is not the lead of this interaction"])
    if order.to and order.to != facts.thread_phone:
        raise Invalid(details=["to: is not the lead's number of this interaction"])
    if order.sender and order.sender != facts.thread_number:
        raise Invalid(details=["from: is not our number of this interaction"])


def _refuse_sender(order: Order) -> NoReturn:
    if order.sender and not order.interaction_id:
        raise Invalid(details=["from: is not an active, SMS-capable number of yours"])
    if order.interaction_id:
        raise MissingPhoneNumber(details=["from: the number of this interaction is switched off"])
    raise MissingPhoneNumber(details=["from: there is no active, SMS-capable number to send from"])
