"""Do-not-contact set by people: the channels of a lead, and phones. People set and lift only the
cause `person`; only the lead lifts the cause `lead`."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.commands import timeline
from app.commands.directory import require_found
from app.commands.phones import read_phones
from app.domain.callers import Caller
from app.domain.phones import NO_PHONE
from app.domain.problems import Invalid, Problem, SuppressionActive
from app.domain.words import Cause as CauseWord
from app.domain.words import RowOutcome
from app.store import directory, leads, suppressions
from app.store.engine import ReadTx, Tx
from app.store.interactions import Thread
from app.store.schema import Lead
from app.store.suppressions import Cause, PhoneKey


@dataclass(frozen=True, slots=True)
class Dnc:
    """The channels by which a lead may not be contacted, and the causes that suppress its phone."""

    lead_id: str
    channels: list[str]
    reason: str | None
    causes: list[CauseWord]

    @property
    def is_dnc(self) -> bool:
        return bool(self.channels or self.causes)


async def get_dnc(read: ReadTx, tenant_id: str, lead_id: str) -> Dnc:
    """The lead's channels and causes. Raises `NotFound`."""
    lead = require_found(await directory.get(read, Lead, tenant_id, lead_id))
    causes = await suppressions.get_causes(read, tenant_id, [lead.phone]) if lead.phone else {}
    return Dnc(lead_id, lead.dnc_channels, lead.dnc_reason, causes.get(lead.phone or "", []))


async def set_channels(tx: Tx, caller: Caller, lead_id: str, channels: Sequence[str], reason: str | None) -> Dnc:
    """Sets the lead's channels. With `sms` its phone is suppressed, without `sms` the cause `person`
    is lifted. Raises `NotFound`; `SuppressionActive` if the phone has only the cause `lead`."""
    tenant_id = caller.tenant_id
    lead = require_found(await directory.get(tx, Lead, tenant_id, lead_id))
    if lead.phone:
        if "sms" in channels:
            await suppress(tx, caller, [lead.phone], reason)
        else:
            await release(tx, caller, [lead.phone], reason)
    new_channels = sorted(set(channels))
    await leads.set_dnc(tx, tenant_id, lead_id, new_channels, reason if new_channels else None)
    return await get_dnc(tx, tenant_id, lead_id)


async def set_thread_dnc(tx: Tx, caller: Caller, thread: Thread, is_blocked: bool, reason: str | None) -> None:
    """Suppresses the phone of a thread, or lifts the cause `person` and the lead's `sms` channel.
    Raises `SuppressionActive` if the phone has only the cause `lead`."""
    if is_blocked:
        await suppress(tx, caller, [thread.lead_phone], reason)
        return
    await release(tx, caller, [thread.lead_phone], reason)
    lead = require_found(await directory.get(tx, Lead, caller.tenant_id, thread.lead_id))
    if "sms" in lead.dnc_channels:
        other_channels = [channel for channel in lead.dnc_channels if channel != "sms"]
        new_reason = lead.dnc_reason if other_channels else None
        await leads.set_dnc(tx, caller.tenant_id, thread.lead_id, other_channels, new_reason)


async def normalize_phones(read: ReadTx, caller: Caller, raw_phones: Sequence[str]) -> list[str]:
    """The phones as they are stored, without duplicates. Whoever can write to us can be suppressed.
    Raises `Invalid` naming everything that is no phone."""
    results = await judge_many(read, caller, raw_phones)
    faults = [f"phones[{i}]: {NO_PHONE}" for i, result in enumerate(results) if isinstance(result, Problem)]
    if faults:
        raise Invalid(details=faults)
    return list(dict.fromkeys(phone for phone in results if isinstance(phone, str)))


async def judge_many(read: ReadTx, caller: Caller, raw_phones: Sequence[str]) -> list[str | Problem]:
    """Each phone as it is stored, or the problem with it; in order."""
    phones = await read_phones(read, caller.tenant_id, raw_phones)
    return [Invalid(details=[f"phone: {NO_PHONE}"]) if phone is None else phone for phone in phones]


async def suppress(tx: Tx, caller: Caller, numbers: Sequence[str], reason: str | None) -> None:
    """Adds the cause `person` to the phones (E.164)."""
    changed_threads = await suppressions.add(tx, _build_causes(caller, numbers, "suppressed", reason))
    await timeline.tell_consent(tx, changed_threads)


async def suppress_new(tx: Tx, caller: Caller, numbers: Sequence[str], reason: str | None) -> list[RowOutcome]:
    """As `suppress`, without the phones that people suppressed before. Returns for each phone what
    became of it."""
    causes_by_phone = await suppressions.get_causes(tx, caller.tenant_id, numbers)
    known_flags = ["person" in causes_by_phone.get(phone, []) for phone in numbers]
    await suppress(
        tx, caller, [phone for phone, is_known in zip(numbers, known_flags, strict=True) if not is_known], reason
    )
    return ["unchanged" if is_known else "added" for is_known in known_flags]


async def release(tx: Tx, caller: Caller, numbers: Sequence[str], reason: str | None) -> None:
    """Lifts the cause `person` of the phones that have it. Raises `SuppressionActive` if a phone has
    only the cause `lead`."""
    await suppressions.lock_phones(tx, sorted(PhoneKey(caller.tenant_id, phone) for phone in numbers))
    causes_by_phone = await suppressions.get_causes(tx, caller.tenant_id, numbers)
    if any(causes == ["lead"] for causes in causes_by_phone.values()):
        raise SuppressionActive
    phones_to_lift = [phone for phone in numbers if "person" in causes_by_phone.get(phone, [])]
    changed_threads = await suppressions.lift(tx, _build_causes(caller, phones_to_lift, "released", reason))
    await timeline.tell_consent(tx, changed_threads)


def _build_causes(caller: Caller, numbers: Sequence[str], event: str, reason: str | None) -> list[Cause]:
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
