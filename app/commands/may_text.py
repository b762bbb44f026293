"""Whether a lead may be texted, and when: what a send would be told, without a text."""

from datetime import datetime
from typing import Any

from app.commands import caps, resolve
from app.domain import ids
from app.domain.callers import Caller
from app.domain.law import gates
from app.domain.law.gates import Gate, Reason
from app.domain.orders import Order
from app.domain.problems import MissingPhoneNumber, NotFound
from app.domain.words import Purpose
from app.store import gates as gate_store
from app.store import resolving
from app.store.engine import ReadTx
from app.store.suppressions import PhoneKey

DO_NOT_CONTACT = Reason(
    "do_not_contact",
    "the phone opted out, or is blocked by hand",
    "47 CFR § 64.1200(a)(10) and (d)",
    None,
    ("the lead sends START, where the lead opted out", "a person lifts the block, where a person set it"),
)


async def judge_text(
    read: ReadTx, caller: Caller, lead_id: str, purpose: Purpose | None, at: datetime | None
) -> dict[str, Any]:
    """The verdict on a text to the lead's phone, now or `at` a time. Raises `NotFound`, `MissingPhoneNumber`."""
    order = Order(
        tenant_id=caller.tenant_id,
        message_id=ids.make("msg"),
        thread_id=ids.make("int"),
        lead_id=lead_id,
        text="",
        source="api",
        actor=caller.actor,
        purpose=purpose,
        send_at=at,
    )
    facts = (await resolving.resolve(read, [order])).get(0)
    if facts is None or facts.known_lead is None:
        raise NotFound
    if facts.to_phone is None:
        raise MissingPhoneNumber(details=["to: the lead has no phone number"])
    earliest = max(at, facts.now) if at else facts.now
    gate = resolve.build_order_gate(order, facts, facts.to_phone, earliest) or Gate()
    gate, held_until = gates.hold(gate, earliest)
    phone = PhoneKey(caller.tenant_id, facts.to_phone)
    refusals = [DO_NOT_CONTACT] if facts.is_suppressed else []
    if refusal := gates.find_refusal(gate):
        refusals.append(refusal)
    if refusal := (await resolve.list_consent_refusals(read, {0: (phone, gate, facts)})).get(0):
        refusals.append(refusal)
    breaches: list[Reason] = []
    if gate.caps:
        phone_counts = (await gate_store.list_counted(read, [phone]))[phone]
        breaches = caps.list_breaches(gate, held_until or earliest, phone_counts, facts.campaign_id)
    earliest_at = None if refusals else gates.find_earliest(gate, breaches) if breaches else held_until or earliest
    return gates.build_verdict(gate, earliest_at, [*refusals, *breaches])
