"""What a lead says about being texted is obeyed in the request that brought it: STOP, START,
HELP (contract 7; CTIA Messaging Principles 5.1; 47 CFR 64.1200(a)(10) and (12))."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby

from app.domain import ids, phones, segments
from app.domain.orders import Order, Resolved
from app.store import sending, suppressions, tenants
from app.store.clock import AT_ONCE, OUTBOX
from app.store.engine import Read, Row, Tx
from app.store.inbox import Arrival
from app.store.suppressions import Cause

CONFIRMATION = "{name}: You are unsubscribed and will get no more texts. Reply START to resume."
HELP = "{name}: Reply STOP to get no more texts. For anything else, just write to us here."
CONFIRM_WITHIN = timedelta(minutes=5)
HELP_EVERY = timedelta(days=1)
EVENTS = {"stop": "opted_out", "start": "opted_in", "help": "help"}


@dataclass(frozen=True, slots=True)
class Consent:
    """What stands about a phone, and what was said and done, oldest first."""

    phone: str
    causes: list[str]
    events: list[Row]

    @property
    def suppressed(self) -> bool:
        return bool(self.causes)


async def of_phone(read: Read, tenant_id: str, written: str) -> Consent:
    """The record of any readable phone, known or not. Raises `Invalid`."""
    phone = phones.normalise(written, await tenants.country(read, tenant_id))
    causes = await suppressions.causes(read, tenant_id, [phone])
    events = await suppressions.events(read, tenant_id, phone)
    return Consent(phone, list(causes.get(phone, [])), events)


async def heed(tx: Tx, arrivals: Sequence[Arrival]) -> None:
    """Obeys the control words, in the order in which they came, and answers those that the
    carrier did not answer. Phones are locked."""
    for word, run in groupby((a for a in arrivals if a.word), key=lambda arrival: arrival.word):
        said = list(run)
        match word:
            case "stop":
                await _stop(tx, said)
            case "start":
                await suppressions.lift(tx, [_cause(arrival) for arrival in said])
            case "help":
                await _help(tx, said)


async def _stop(tx: Tx, said: Sequence[Arrival]) -> None:
    tenant_id = said[0].tenant_id
    before = await suppressions.causes(tx, tenant_id, [arrival.lead_phone for arrival in said])
    await suppressions.add(tx, [_cause(arrival) for arrival in said])
    told = {arrival.lead_phone for arrival in said if arrival.answered}
    first = {a.lead_phone: a for a in said if a.lead_phone not in told and "lead" not in before.get(a.lead_phone, [])}
    if first:
        tenant = await tenants.get(tx, tenant_id)
        assert tenant is not None
        text = tenant["opt_out_confirmation"] or CONFIRMATION.format(name=tenant["name"])
        await _answer(tx, list(first.values()), text)


async def _help(tx: Tx, said: Sequence[Arrival]) -> None:
    """One answer a day and phone, to suppressed phones too."""
    tenant_id = said[0].tenant_id
    asking = {arrival.lead_phone: arrival for arrival in said}
    served = await suppressions.told_lately(tx, tenant_id, list(asking), "help", HELP_EVERY)
    unserved = [arrival for phone, arrival in asking.items() if phone not in served]
    await suppressions.note(tx, [_cause(arrival) for arrival in unserved])
    unanswered = [arrival for arrival in unserved if not arrival.answered]
    if not unanswered:
        return
    tenant = await tenants.get(tx, tenant_id)
    assert tenant is not None
    await _answer(tx, unanswered, tenant["help_text"] or HELP.format(name=tenant["name"]))


async def _answer(tx: Tx, asked: Sequence[Arrival], text: str) -> None:
    """A text of the service itself, which leaves although the phone may be suppressed."""
    counted = segments.count(text)
    await sending.store(
        tx,
        [
            Resolved(
                order=Order(
                    tenant_id=arrival.tenant_id,
                    message_id=ids.make("msg"),
                    thread_id=arrival.thread_id,
                    lead_id=arrival.lead_id,
                    text=text,
                    source="system",
                    actor="service",
                    validity=CONFIRM_WITHIN,
                ),
                to=arrival.lead_phone,
                sender=arrival.our_number,
                account_id=arrival.account_id,
                provider=arrival.provider,
                lead_id=arrival.lead_id,
                campaign_id=arrival.campaign_id,
                encoding=counted.encoding,
                segments=counted.segments,
                agent_mode=False,
                text=text,
                exempt=True,
            )
            for arrival in asked
        ],
    )
    tx.hints[OUTBOX] = AT_ONCE


def _cause(arrival: Arrival) -> Cause:
    assert arrival.word
    return Cause(
        tenant_id=arrival.tenant_id,
        phone=arrival.lead_phone,
        cause="lead",
        actor="lead",
        event=EVENTS[arrival.word],
        rule=arrival.rule,
        text=arrival.text,
        message_id=arrival.message_id,
    )
