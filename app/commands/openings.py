"""Openings: the agent writes first, to one lead or to many of a campaign."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.commands import modes
from app.commands.refusals import get_now
from app.commands.resolve import resolve_orders
from app.domain import ids
from app.domain.callers import Caller
from app.domain.follow_ups import FINISHED_STATUSES, find_moment_fault
from app.domain.orders import SEND_AT_TOLERANCE, Order, RefusedOrder, ResolvedOrder
from app.domain.problems import AgentNotReady, AlreadyExists, Invalid, Problem
from app.store import planned_turns
from app.store.engine import Tx
from app.store.planned_turns import NewPlan, NewThread, OpeningFacts, OpeningPlace, PlannedTurn

PLACE_HOLDER_TEXT = "Hello"
"""An opening is resolved and judged like a text; what the agent will write is judged when it does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """A lead to begin with, at a time (None: now). `agent_mode`: switch it on where it is off."""

    lead_id: str
    at: datetime | None = None
    campaign_id: str | None = None
    sender: str | None = None
    interaction_id: str | None = None
    agent_mode: bool | None = None


@dataclass(frozen=True, slots=True)
class ReadyOpening:
    opening: Opening
    place: OpeningPlace
    facts: OpeningFacts


async def plan_openings(
    tx: Tx, caller: Caller, openings: Sequence[Opening], pause: timedelta = timedelta()
) -> list[PlannedTurn | Problem]:
    """Plans the openings; returns each turn, or why there is none, in order. `pause`: how long each waits after
    the one before. Nothing is sent: the agent gets the turn when it is due, and its answer passes every
    gate."""
    now = await get_now(tx)
    ready_openings = await _judge_openings(tx, caller, openings, now)
    ready_ones = [opening for opening in ready_openings if isinstance(opening, ReadyOpening)]
    turns = iter(await _plan_ready(tx, caller, ready_ones, now, pause) if ready_ones else ())
    return [opening if isinstance(opening, Problem) else next(turns) for opening in ready_openings]


async def _judge_openings(
    tx: Tx, caller: Caller, openings: Sequence[Opening], now: datetime
) -> list[ReadyOpening | Problem]:
    outcomes = await resolve_orders(tx, [_build_order(caller, opening) for opening in openings])
    places = [_build_place(outcome) for outcome in outcomes if isinstance(outcome, ResolvedOrder)]
    all_facts = await planned_turns.get_opening_facts(tx, places) if places else []
    known_places = zip(places, all_facts, strict=True)
    judged_openings: list[ReadyOpening | Problem] = []
    seen_places: set[tuple[str, str]] = set()
    for opening, outcome in zip(openings, outcomes, strict=True):
        if isinstance(outcome, RefusedOrder):
            judged_openings.append(outcome.problem)
            continue
        ready_opening = ReadyOpening(opening, *next(known_places))
        pair = ready_opening.place.our_number, ready_opening.place.lead_phone
        if problem := _find_problem(ready_opening, now):
            judged_openings.append(problem)
        elif pair in seen_places:
            judged_openings.append(AlreadyExists(details=["leadId: the list has another lead with this phone"]))
        else:
            seen_places.add(pair)
            judged_openings.append(ready_opening)
    return judged_openings


def _build_order(caller: Caller, opening: Opening) -> Order:
    return Order(
        tenant_id=caller.tenant_id,
        message_id=ids.make("msg"),
        thread_id=ids.make("int"),
        lead_id=opening.lead_id,
        text=PLACE_HOLDER_TEXT,
        source="api",
        actor=caller.actor,
        sender=opening.sender,
        campaign_id=opening.campaign_id,
        interaction_id=opening.interaction_id,
    )


def _build_place(resolved_order: ResolvedOrder) -> OpeningPlace:
    return OpeningPlace(
        tenant_id=resolved_order.order.tenant_id,
        our_number=resolved_order.sender,
        lead_phone=resolved_order.to,
        lead_id=resolved_order.lead_id,
        campaign_id=resolved_order.campaign_id,
    )


def _find_problem(ready_opening: ReadyOpening, now: datetime) -> Problem | None:
    opening, facts = ready_opening.opening, ready_opening.facts
    if opening.at and (fault := find_moment_fault(opening.at, now - SEND_AT_TOLERANCE)):
        return Invalid(details=[f"at: {fault}"])
    if opening.campaign_id and facts.campaign_id != opening.campaign_id:
        return AgentNotReady(details=["campaignId: the conversation belongs to another campaign"])
    if facts.sms_agent_id is None:
        return AgentNotReady(details=["campaignId: no active agent serves it"])
    if facts.status in FINISHED_STATUSES:
        return AgentNotReady(details=[f"status: the conversation is {facts.status}"])
    if facts.agent_mode is False and not opening.agent_mode:
        return AgentNotReady(details=["agentMode: is off in this conversation"])
    return None


async def _plan_ready(
    tx: Tx, caller: Caller, ready_openings: Sequence[ReadyOpening], now: datetime, pause: timedelta
) -> list[PlannedTurn]:
    thread_ids = await planned_turns.open_threads(
        tx,
        [
            NewThread(
                thread_id=ids.make("int"),
                tenant_id=ready_opening.place.tenant_id,
                our_number=ready_opening.place.our_number,
                lead_phone=ready_opening.place.lead_phone,
                lead_id=ready_opening.place.lead_id,
                campaign_id=ready_opening.place.campaign_id,
            )
            for ready_opening in ready_openings
        ],
    )
    await _switch_on(tx, caller, ready_openings, thread_ids)
    plans = [
        NewPlan(
            tenant_id=caller.tenant_id,
            interaction_id=thread_ids[ready_opening.place.our_number, ready_opening.place.lead_phone],
            trigger="opening",
            agent_id=ready_opening.facts.sms_agent_id,
            due_at=max(ready_opening.opening.at or now, now) + i * pause,
        )
        for i, ready_opening in enumerate(ready_openings)
    ]
    turn_by_thread = {turn.interaction_id: turn for turn in await planned_turns.plan(tx, plans)}
    return [turn_by_thread[plan.interaction_id] for plan in plans]


async def _switch_on(
    tx: Tx, caller: Caller, ready_openings: Sequence[ReadyOpening], thread_ids: Mapping[tuple[str, str], str]
) -> None:
    threads_to_switch = {
        (caller.tenant_id, thread_ids[ready_opening.place.our_number, ready_opening.place.lead_phone]): caller.author
        for ready_opening in ready_openings
        if ready_opening.facts.agent_mode is False
    }
    if threads_to_switch:
        await modes.switch_agent_mode(tx, threads_to_switch, True)
