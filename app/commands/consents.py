"""The consent ledger: a consent that was given for a phone, or taken back. Entries never change."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from app.commands import refusals
from app.commands.phones import read_recipient
from app.domain import ids
from app.domain.callers import Caller
from app.domain.consent import SCOPES, find_standing, is_consent_enough
from app.domain.law.gates import Gate, Reason
from app.domain.problems import Invalid
from app.domain.words import ConsentBasis, ConsentScope, DemandedBasis, Purpose
from app.store import cancelling, consent_events, suppressions
from app.store.consent_events import ConsentEvent, NewConsent
from app.store.engine import Tx
from app.store.suppressions import PhoneKey

REVOKED_REASON = "The consent to such texts was revoked."


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenConsent:
    """A consent that a caller has, for a phone in any form."""

    phone: str
    basis: ConsentBasis
    scopes: Sequence[ConsentScope] = SCOPES
    source: str | None = None
    wording_hash: str | None = None
    proof: str | None = None
    obtained_at: datetime | None = None


async def record(tx: Tx, caller: Caller, consent: GivenConsent) -> str:
    """Records the consent; returns the phone as it is stored. Raises `Invalid`."""
    phone = await read_recipient(tx, caller.tenant_id, consent.phone, "phone")
    if consent.obtained_at and consent.obtained_at > await refusals.get_now(tx):
        raise Invalid(details=["obtainedAt: is in the future"])
    await suppressions.lock_phones(tx, [PhoneKey(caller.tenant_id, phone)])
    await consent_events.record(tx, [build_entry(tx, caller, phone, consent)])
    return phone


async def record_new(tx: Tx, caller: Caller, given_consents: Sequence[GivenConsent]) -> None:
    """Records those of the consents, of phones as they are stored, that are not recorded yet. Locks the phones."""
    phones = sorted({PhoneKey(caller.tenant_id, consent.phone) for consent in given_consents})
    if not phones:
        return
    await suppressions.lock_phones(tx, phones)
    events = await consent_events.list_of_phones(tx, dict(enumerate(phones)))
    known_entries = {
        (phones[place].phone, event.basis, event.source, event.proof, event.obtained_at)
        for place, phone_events in events.items()
        for event in phone_events
        if event.event == "consent_given"
    }
    new_consents = {
        (consent.phone, consent.basis, consent.source, consent.proof, consent.obtained_at): consent
        for consent in given_consents
    }
    await consent_events.record(
        tx,
        [build_entry(tx, caller, key[0], consent) for key, consent in new_consents.items() if key not in known_entries],
    )


def build_entry(tx: Tx, caller: Caller, phone: str, consent: GivenConsent) -> NewConsent:
    return replace(
        _begin_entry(tx, caller, phone, "consent_given", consent.scopes),
        basis=consent.basis,
        source=consent.source,
        wording_hash=consent.wording_hash,
        proof=consent.proof,
        obtained_at=consent.obtained_at,
    )


def _begin_entry(tx: Tx, caller: Caller, phone: str, event: str, scopes: Sequence[ConsentScope]) -> NewConsent:
    return NewConsent(
        tenant_id=caller.tenant_id,
        event_id=ids.make("evt"),
        phone_hash=tx.hash_phone(phone),
        phone=phone,
        event=event,
        actor=caller.actor,
        scopes=",".join(dict.fromkeys(scopes)),
    )


async def revoke(tx: Tx, caller: Caller, phone: str, scopes: Sequence[ConsentScope], reason: str | None) -> None:
    """Records that the consent was taken back, and cancels the unsent texts that needed it."""
    await suppressions.lock_phones(tx, [PhoneKey(caller.tenant_id, phone)])
    entry = _begin_entry(tx, caller, phone, "consent_revoked", scopes)
    await consent_events.record(tx, [replace(entry, text=reason)])
    await cancelling.cancel_of_purposes(tx, caller.tenant_id, phone, scopes, REVOKED_REASON)


@dataclass(frozen=True, slots=True)
class Demand:
    """The least basis of consent that a campaign asks for, for such texts."""

    purpose: Purpose
    least_basis: DemandedBasis


def find_demand(gate: Gate, demands: Mapping[Purpose, DemandedBasis | None] | None) -> Demand | None:
    """What the campaign asks for; None: no consent. An answer needs none."""
    if gate.relation == "reply" or gate.purpose is None:
        return None
    least_basis = (demands or {}).get(gate.purpose)
    return Demand(gate.purpose, least_basis) if least_basis else None


def judge_consent(demand: Demand, events: Sequence[ConsentEvent]) -> Reason | None:
    """Why the phone's consent is not enough for the campaign; None: it is."""
    if is_consent_enough(find_standing(events), demand.purpose, demand.least_basis):
        return None
    words = f"the campaign asks for consent to {demand.purpose} texts: {demand.least_basis.replace('_', ' ')} at least"
    lifted_by = ("a consent recorded for the phone (POST /api/v1/consent/{phone})", "the lead writes")
    return Reason("consent", words, None, None, lifted_by)
