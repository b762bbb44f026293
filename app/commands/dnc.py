"""Do-not-contact by hand: the channels of a lead, and phones. A hand sets and lifts the cause
`person` only; what the lead asked for, only the lead lifts (contract 7)."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.commands.directory import found
from app.domain import phones
from app.domain.callers import Caller
from app.domain.problems import Invalid, Problem, SuppressionActive
from app.domain.words import Cause as CauseWord
from app.store import leads, suppressions, tenants
from app.store.engine import Read, Row, Tx
from app.store.suppressions import Cause


@dataclass(frozen=True, slots=True)
class Dnc:
    """What a lead is not to be contacted by, and the causes that suppress its phone."""

    lead_id: str
    channels: list[str]
    reason: str | None
    causes: list[CauseWord]

    @property
    def is_dnc(self) -> bool:
        return bool(self.channels or self.causes)


async def of_lead(read: Read, tenant_id: str, lead_id: str) -> Dnc:
    """Raises `NotFound`."""
    lead = found(await leads.get(read, tenant_id, lead_id))
    phone = lead["phone"]
    causes = await suppressions.causes(read, tenant_id, [phone]) if phone else {}
    return Dnc(lead_id, lead["dnc_channels"], lead["dnc_reason"], causes.get(phone, []))


async def put(tx: Tx, caller: Caller, lead_id: str, channels: Sequence[str], reason: str | None) -> Dnc:
    """Sets the lead's channels. With `sms` its phone is suppressed; without, the cause
    `person` is lifted. Raises `NotFound`; `SuppressionActive` when only `lead` stands."""
    tenant_id = caller.tenant_id
    lead = found(await leads.get(tx, tenant_id, lead_id))
    if lead["phone"]:
        if "sms" in channels:
            await suppress(tx, caller, [lead["phone"]], reason)
        else:
            await release(tx, caller, [lead["phone"]], reason)
    chosen = sorted(set(channels))
    await leads.set_dnc(tx, tenant_id, lead_id, chosen, reason if chosen else None)
    return await of_lead(tx, tenant_id, lead_id)


async def of_thread(tx: Tx, caller: Caller, thread: Row, blocked: bool, reason: str | None) -> None:
    """Blocks texts to the phone of a thread, or lifts what a hand had set, at its lead too.
    Raises `SuppressionActive` when only `lead` stands."""
    if blocked:
        await suppress(tx, caller, [thread["lead_phone"]], reason)
        return
    await release(tx, caller, [thread["lead_phone"]], reason)
    lead = found(await leads.get(tx, caller.tenant_id, thread["lead_id"]))
    if "sms" in lead["dnc_channels"]:
        left = [channel for channel in lead["dnc_channels"] if channel != "sms"]
        kept = lead["dnc_reason"] if left else None
        await leads.set_dnc(tx, caller.tenant_id, thread["lead_id"], left, kept)


async def readable(read: Read, caller: Caller, written: Sequence[str]) -> list[str]:
    """The phones in E.164, each once. Raises `Invalid` naming every one that is none."""
    country = await tenants.country(read, caller.tenant_id)
    found_out: dict[str, None] = {}
    bad: list[str] = []
    for i, one in enumerate(written):
        try:
            found_out[phones.normalise(one, country, f"phones[{i}]")] = None
        except Invalid as problem:
            bad += problem.details
    if bad:
        raise Invalid(details=bad)
    return list(found_out)


async def judge_many(read: Read, caller: Caller, written: Sequence[str]) -> list[str | Problem]:
    """Each of the phones in E.164, or what is wrong with it; in order."""
    country = await tenants.country(read, caller.tenant_id)
    judged: list[str | Problem] = []
    for one in written:
        try:
            judged.append(phones.normalise(one, country))
        except Problem as problem:
            judged.append(problem)
    return judged


async def suppress(tx: Tx, caller: Caller, numbers: Sequence[str], reason: str | None) -> None:
    """Adds the cause `person` to the phones (E.164)."""
    await suppressions.add(tx, _by_hand(caller, numbers, "suppressed", reason))


async def release(tx: Tx, caller: Caller, numbers: Sequence[str], reason: str | None) -> None:
    """Lifts the cause `person` where it stands; raises `SuppressionActive` for a phone that
    only its lead can free."""
    await suppressions.lock_phones(tx, sorted((caller.tenant_id, phone) for phone in numbers))
    standing = await suppressions.causes(tx, caller.tenant_id, numbers)
    if any(causes == ["lead"] for causes in standing.values()):
        raise SuppressionActive
    lifted = [phone for phone in numbers if "person" in standing.get(phone, [])]
    await suppressions.lift(tx, _by_hand(caller, lifted, "released", reason))


def _by_hand(caller: Caller, numbers: Sequence[str], event: str, reason: str | None) -> list[Cause]:
    return [
        Cause(
            tenant_id=caller.tenant_id,
            phone=phone,
            cause="person",
            actor=caller.actor,
            event=event,
            rule="hand",
            reason=reason,
        )
        for phone in dict.fromkeys(numbers)
    ]
