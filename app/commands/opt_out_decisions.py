"""A person decides whether a text is an opt-out, and undoes an opt-out that was a mistake."""

from app.commands import consent, timeline
from app.commands.directory import require_found
from app.domain import ids
from app.domain.callers import Caller
from app.domain.consent import find_undoable
from app.domain.problems import Invalid, NotFound, NotHeld, SuppressionActive
from app.store import collecting, consent_events, suppressions
from app.store import opt_out_decisions as store
from app.store.arrivals import WordText
from app.store.clock import turn_hint
from app.store.collecting import CollectedText
from app.store.engine import Tx
from app.store.opt_out_decisions import UnclearText
from app.store.suppressions import Cause, PhoneKey


async def decide(tx: Tx, caller: Caller, message_id: str, *, is_opt_out: bool) -> None:
    """Obeys the text as an opt-out, or lets it and the texts after it go on to the agent. The same
    decision again changes nothing. Raises `NotFound`; `NotHeld` if the text is clear, or if the
    opposite was decided."""
    tenant_id = caller.tenant_id
    text = require_found(await store.find_text(tx, tenant_id, message_id))
    await suppressions.lock_threads(tx, await _lock_phone(tx, tenant_id, text.lead_phone))
    text = require_found(await store.find_text(tx, tenant_id, message_id))
    if not text.possible_opt_out:
        raise NotHeld("This text is not one that may be an opt-out.")
    if text.opt_out is not None and text.opt_out != is_opt_out:
        raise NotHeld("Somebody has decided the opposite already.")
    if text.opt_out is not None:
        return
    await store.record(tx, tenant_id, [message_id], is_opt_out=is_opt_out)
    if is_opt_out:
        await consent.heed_stop(tx, [_build_word_text(text)], caller.actor)
        return
    await suppressions.record_events(tx, [_build_cause(caller, text, "not_opted_out")])
    if text.awaits_decision:
        await _forward_texts(tx, text)


async def _lock_phone(tx: Tx, tenant_id: str, phone: str) -> list[PhoneKey]:
    phones = [PhoneKey(tenant_id, phone)]
    await suppressions.lock_phones(tx, phones)
    return phones


async def _forward_texts(tx: Tx, text: UnclearText) -> None:
    thread = (text.tenant_id, text.interaction_id)
    collected_texts = [
        CollectedText(text.tenant_id, message_id, ids.make("turn"))
        for message_id in await store.release_texts(tx, thread)
    ]
    if collected_texts:
        for turn in await collecting.collect_texts(tx, collected_texts):
            tx.hints[turn_hint(*thread)] = turn.due_at


def _build_word_text(text: UnclearText) -> WordText:
    """The text as an opt-out, judged by a person."""
    return WordText(
        tenant_id=text.tenant_id,
        message_id=text.message_id,
        thread_id=ids.make("int"),
        our_number=text.our_number,
        lead_phone=text.lead_phone,
        lead_id=text.lead_id,
        campaign_id=text.campaign_id,
        account_id=text.account_id,
        provider=text.provider,
        text=text.text,
        word="stop",
        rule="person",
    )


async def undo(tx: Tx, caller: Caller, phone: str, reason: str) -> None:
    """Lifts the cause `lead` that a text brought by mistake. Raises `Invalid`; `NotFound` if the phone
    has no such cause; `SuppressionActive` if it came from a definitive word or from a carrier."""
    if not reason:
        raise Invalid(details=["reason: must not be empty"])
    await _lock_phone(tx, caller.tenant_id, phone)
    causes = await suppressions.get_causes(tx, caller.tenant_id, [phone])
    if "lead" not in causes.get(phone, []):
        raise NotFound("This phone has not opted out.")
    mistakes = find_undoable(await consent_events.list_of_phone(tx, caller.tenant_id, phone))
    if not mistakes:
        raise SuppressionActive
    freed_threads = await suppressions.lift(
        tx,
        [
            Cause(
                tenant_id=caller.tenant_id,
                phone=phone,
                cause="lead",
                actor=caller.actor,
                event="opt_out_undone",
                rule="person",
                reason=reason,
            )
        ],
    )
    await timeline.tell_consent(tx, freed_threads)
    message_ids = [mistake.message_id for mistake in mistakes if mistake.message_id]
    await store.record(tx, caller.tenant_id, message_ids, is_opt_out=False)


def _build_cause(caller: Caller, text: UnclearText, event: str) -> Cause:
    return Cause(
        tenant_id=text.tenant_id,
        phone=text.lead_phone,
        cause="lead",
        actor=caller.actor,
        event=event,
        rule="person",
        text=text.text,
        message_id=text.message_id,
    )
