"""Send texts: resolve, judge, thread, number, store, owe. The one way out."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, time
from typing import Any

from app.commands import modes
from app.domain import phones, quiet, segments
from app.domain.orders import (
    FARTHEST,
    LATE,
    Order,
    Refused,
    Resolved,
    Rule,
    Sent,
    found_out,
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
from app.store.clock import AT_ONCE, OUTBOX
from app.store.engine import Row, Tx

MANY = 128
OVER_THE_DAY = "The tenant's texts for today are used up."


async def texts(tx: Tx, orders: Sequence[Order]) -> list[Sent | Refused]:
    """Accepts the orders that may go; the texts are owed once the caller's commit is done."""
    if len(orders) > MANY:
        await tx.expect_many()
    resolved = await resolve(tx, orders)
    if any(isinstance(result, Resolved) and _writes_more(result) for result in resolved):
        await tx.together()
    results = await _within_the_day(tx, resolved)
    going = [r for r in results if isinstance(r, Resolved)]
    if going:
        tx.last()
    stored = iter(await sending.store(tx, going) if going else [])
    answers: list[Sent | Refused] = []
    for result in results:
        if isinstance(result, Refused):
            answers.append(result)
        else:
            answers.append(_sent(result, next(stored)))
    sent = [answer for answer in answers if isinstance(answer, Sent)]
    await _follow(tx, sent)
    if sent:
        tx.hints[OUTBOX] = AT_ONCE
    return answers


def _sent(found: Resolved, at: sending.Stored) -> Sent:
    return Sent(found.order.message_id, at.interaction_id, found, at.seq)


async def accepted(tx: Tx, orders: Sequence[Order], backend: int) -> list[Sent | Refused] | None:
    """What `texts` would have answered, had its commit not been lost: nothing was accepted when
    the list is empty. None: the server's process `backend` may still commit."""
    keys = [(order.tenant_id, order.message_id) for order in orders]
    stored = await sending.stored(tx, keys, backend)
    if not stored:
        return None if stored is None else []
    answers: list[Sent | Refused] = []
    for order, found in zip(orders, await resolve(tx, orders), strict=True):
        at = stored.get(order.message_id)
        if at is None:
            answers.append(found if isinstance(found, Refused) else Refused(Unavailable()))
        else:  # what was found then may be gone by now
            answers.append(_sent(found, at) if isinstance(found, Resolved) else Refused(OutcomeUnknown()))
    return answers


def _writes_more(found: Resolved) -> bool:
    """Whether accepting it is more than the one statement that stores."""
    return found.per_day is not None or found.order.agent_mode is not None or found.order.source == "manual"


async def resolve(tx: Tx, orders: Sequence[Order]) -> list[Resolved | Refused]:
    """Everything about the orders but the storing: who, from where, through whom, whether."""
    readable = await _with_readable_phones(tx, orders)
    good = [order for order in readable if isinstance(order, Order)]
    facts = {row["i"]: row for row in await sending.resolve(tx, good)} if good else {}
    judged: list[Resolved | Refused] = []
    position = 0
    for order in readable:
        if isinstance(order, Refused):
            judged.append(order)
            continue
        row = facts.get(position)
        position += 1
        try:
            judged.append(_judge(order, row))
        except Problem as problem:
            judged.append(Refused(problem))
    return judged


def forecast(found: Resolved) -> dict[str, Any]:
    """What a real send would come to, at this moment."""
    return {
        **found_out(found),
        "culprit": found.culprit,
        "earliestAt": found.due or found.now,
    }


async def _with_readable_phones(tx: Tx, orders: Sequence[Order]) -> list[Order | Refused]:
    written = [o for o in orders if o.to or o.sender]
    if not written:
        return list(orders)
    local = {o.tenant_id for o in written if any(p and not p.startswith("+") for p in (o.to, o.sender))}
    country = await sending.countries(tx, sorted(local)) if local else {}
    readable: list[Order | Refused] = []
    for order in orders:
        home = country.get(order.tenant_id, "US")
        try:
            to = order.to and phones.normalise(order.to, home, "to")
            sender = order.sender and phones.normalise(order.sender, home, "from")
            readable.append(replace(order, to=to, sender=sender))
        except Problem as problem:
            readable.append(Refused(problem))
    return readable


def _judge(order: Order, row: Row | None) -> Resolved:
    """The order with what was found for it; raises the problem that forbids it."""
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
    text = segments.smart(order.text) if row["smart_encoding"] else order.text
    if why := unfit(text):
        raise Invalid(details=[f"message: {why}"])
    counted = segments.count(text)
    due, held_until = _when(order, row)
    to_rule = "thread" if order.interaction_id else "override" if order.to else "lead"
    campaign_rule = "override" if order.campaign_id else "lead" if row["campaign_id"] else "none"
    return Resolved(
        order=order,
        to=row["to_phone"],
        sender=row["from_phone"],
        account_id=row["account_id"],
        provider=row["provider"],
        lead_id=row["thread_lead"] or order.lead_id,
        campaign_id=row["campaign_id"],
        encoding=counted.encoding,
        segments=counted.segments,
        agent_mode=(row["agent_mode_by_default"] if order.agent_mode is None else order.agent_mode),
        text=text,
        culprit=counted.culprit,
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


def _when(order: Order, row: Row) -> tuple[datetime | None, datetime | None]:
    """When the text may first leave (None: at once), and until when quiet hours hold it."""
    now: datetime = row["now"]
    at = order.send_at
    if at is not None and at < now - LATE:
        raise Invalid(details=["sendAt: is in the past"])
    if at is not None and at > now + FARTHEST:
        raise Invalid(details=[f"sendAt: is more than {FARTHEST.days} days ahead"])
    first = max(at, now) if at else now + order.delay
    held_until = None
    if row["quiet_hours"]:
        where = quiet.zones(row["to_phone"], row["timezone"])
        start, end = (time.fromisoformat(row["quiet_hours"][name]) for name in ("start", "end"))
        held_until = quiet.earliest(first, where, start, end)
    due = held_until or first
    return (due if due > now else None), held_until


def _judge_country(to: str, allowed: Sequence[str]) -> None:
    region = phones.region(to)
    if region not in allowed:
        raise Invalid(details=[f"to: texts to {region or 'this country'} are not allowed"])


async def _within_the_day(tx: Tx, results: Sequence[Resolved | Refused]) -> list[Resolved | Refused]:
    """Refuses what is over the tenant's daily limit, where it has one."""
    limits = {r.order.tenant_id: r.per_day for r in results if isinstance(r, Resolved) and r.per_day is not None}
    if not limits:
        return list(results)
    limited = [r for r in results if isinstance(r, Resolved) and r.order.tenant_id in limits]
    # Whoever waits for a thread must not hold up the tenant's day for its other threads.
    await threads.lock_pairs(tx, {(r.order.tenant_id, r.sender, r.to) for r in limited})
    asked = Counter(r.order.tenant_id for r in limited)
    counted = await sending.count_today(tx, asked)
    left = {tenant: limit - (counted[tenant] - asked[tenant]) for tenant, limit in limits.items()}
    over: Counter[str] = Counter()
    kept: list[Resolved | Refused] = []
    for result in results:
        if isinstance(result, Resolved) and (tenant := result.order.tenant_id) in left:
            if left[tenant] <= 0:
                over[tenant] += 1
                kept.append(Refused(RateLimited(OVER_THE_DAY, retry_after=3600)))
                continue
            left[tenant] -= 1
        kept.append(result)
    if over:
        await sending.count_today(tx, {tenant: -texts for tenant, texts in over.items()})
    return kept


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


async def _follow(tx: Tx, sent: Sequence[Sent]) -> None:
    """What a send changes besides: a person's text takes over, `agentMode` is set."""
    manual = {
        (s.resolved.order.tenant_id, s.interaction_id)
        for s in sent
        if s.resolved.order.source == "manual" and s.seq is not None
    }
    if manual:
        await modes.take_over(tx, sorted(manual))
    for on in (True, False):
        switched = {
            (s.resolved.order.tenant_id, s.interaction_id): s.resolved.order.actor
            for s in sent
            if s.resolved.order.agent_mode is on
        }
        if switched:
            await modes.switch(tx, switched, on, [s.message_id for s in sent])
