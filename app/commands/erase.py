"""Erase a lead on request: what it said and what was said to it is gone; that it may not be
texted stays."""

from app.commands.directory import require_found
from app.domain.callers import Caller
from app.store import erasure, leads, suppressions, threads
from app.store.engine import Tx
from app.store.suppressions import Cause

ERASE_REASON = "the lead was erased"


async def erase_lead(tx: Tx, caller: Caller, lead_id: str) -> int:
    """Removes the lead, its threads and everything in them; how many threads there were. Raises
    `NotFound`.

    A phone that another lead has as well keeps its name, and its threads go on with that lead,
    without this one's words. Any other is known by its keyed hash from now on, until somebody
    brings it back."""
    tenant_id = caller.tenant_id
    phones = await erasure.get_phones(tx, tenant_id, lead_id)
    # Under the phones' locks nothing comes in any more.
    await suppressions.lock_phones(tx, [(tenant_id, phone) for phone in phones])
    require_found(await leads.lock(tx, tenant_id, lead_id))
    locked_threads = await erasure.lock_threads(tx, tenant_id, lead_id, phones)
    heirs = await erasure.find_heirs(tx, tenant_id, phones, lead_id)
    shared_threads = {
        row["interaction_id"]: heirs[row["lead_phone"]] for row in locked_threads if row["lead_phone"] in heirs
    }
    removed_threads = [row["interaction_id"] for row in locked_threads if row["lead_phone"] not in heirs]
    await threads.cancel_turns(tx, [(tenant_id, item) for item in shared_threads], ERASE_REASON)
    await erasure.hand_on_threads(tx, tenant_id, shared_threads, lead_id)
    await erasure.remove_threads(tx, tenant_id, removed_threads)
    await erasure.remove_lead(tx, tenant_id, lead_id, [*removed_threads, *shared_threads, *phones])
    await suppressions.record_events(tx, [_build_record(caller, phone) for phone in phones])
    await erasure.forget_phones(tx, tenant_id, [item for item in phones if item not in heirs])
    return len(removed_threads)


def _build_record(caller: Caller, phone: str) -> Cause:
    """In the consent record: whoever asks later sees why there is no more of it."""
    return Cause(
        tenant_id=caller.tenant_id,
        phone=phone,
        cause="person",
        actor=caller.actor,
        event="erased",
        rule=ERASE_REASON,
    )
