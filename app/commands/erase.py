"""Erases a lead on request, with all texts from and to it. Its opt-out stays."""

from pydantic_core import to_json

from app.commands.directory import require_found
from app.domain.callers import Caller
from app.store import corpora, counting, erasure, leads, suppressions, threads
from app.store.engine import Tx
from app.store.suppressions import Cause, PhoneKey

ERASE_REASON = "the lead was erased"


async def erase_lead(tx: Tx, caller: Caller, lead_id: str) -> int:
    """Removes the lead, its threads and everything in them; returns the number of removed threads.
    Raises `NotFound`.

    If another lead has the same phone, the phone stays and its threads go on with that lead, without
    the erased lead's words. Any other phone is kept only as a keyed hash, until it is stored
    again."""
    tenant_id = caller.tenant_id
    phones = await erasure.get_phones(tx, tenant_id, [lead_id])
    # With the phones locked, no text is stored meanwhile.
    await suppressions.lock_phones(tx, [PhoneKey(tenant_id, phone) for phone in phones])
    require_found(await leads.lock(tx, tenant_id, lead_id))
    locked_threads = await erasure.lock_threads(tx, tenant_id, [lead_id], phones)
    heirs = await erasure.find_heirs(tx, tenant_id, phones, lead_id)
    shared_threads = {
        thread.interaction_id: heirs[thread.lead_phone] for thread in locked_threads if thread.lead_phone in heirs
    }
    removed_threads = [thread.interaction_id for thread in locked_threads if thread.lead_phone not in heirs]
    await counting.mark_threads(tx, tenant_id, [*shared_threads, *removed_threads], phones)
    await threads.cancel_turns(tx, [(tenant_id, item) for item in shared_threads], ERASE_REASON)
    words = [f'"leadId":{to_json(lead_id).decode()}', *phones]
    await corpora.forget_turns(tx, tenant_id, [*shared_threads, *removed_threads], words)
    await erasure.hand_on_threads(tx, tenant_id, shared_threads, lead_id)
    await erasure.remove_threads(tx, tenant_id, removed_threads)
    await erasure.remove_lead(tx, tenant_id, lead_id, [*removed_threads, *shared_threads, *phones])
    await suppressions.record_events(tx, [_build_record(caller, phone) for phone in phones])
    await erasure.forget_phones(tx, tenant_id, [item for item in phones if item not in heirs])
    return len(removed_threads)


def _build_record(caller: Caller, phone: str) -> Cause:
    """A consent event that tells later readers why the record is incomplete."""
    return Cause(
        tenant_id=caller.tenant_id,
        phone=phone,
        cause="person",
        actor=caller.actor,
        event="erased",
        rule=ERASE_REASON,
    )
