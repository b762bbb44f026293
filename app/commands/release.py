"""Releases scheduled and held texts that are due."""

from datetime import datetime, time

from app.commands import modes
from app.domain import quiet
from app.domain.orders import QUIET_HOURS_REASON
from app.store import outbox, threads
from app.store.clock import AT_ONCE, OUTBOX_HINT
from app.store.engine import Row, Tx


async def release_texts(tx: Tx, limit: int) -> int:
    """Releases up to `limit` due texts, or holds them until quiet hours end. Returns how many were
    due.

    Texts cancelled by STOP, by a person or by `cancelOnReply` are gone already. Whether the phone
    may be texted is checked again after the claim, as for every text."""
    due_rows = await outbox.find_releasable(tx, limit)
    if not due_rows:
        return 0
    await threads.lock(tx, {(row["tenant_id"], row["interaction_id"]) for row in due_rows})
    held_texts = [
        (row["tenant_id"], row["message_id"], until) for row in due_rows if (until := _quiet_until(row)) is not None
    ]
    if held_texts:
        await outbox.hold_texts(tx, held_texts, QUIET_HOURS_REASON)
    held_keys = {(tenant_id, message_id) for tenant_id, message_id, _ in held_texts}
    released_keys = [key for row in due_rows if (key := (row["tenant_id"], row["message_id"])) not in held_keys]
    released_rows = await outbox.release(tx, released_keys) if released_keys else []
    manual_threads = {(row["tenant_id"], row["interaction_id"]) for row in released_rows if row["source"] == "manual"}
    if manual_threads:
        await modes.take_over(tx, sorted(manual_threads))
    if released_rows:
        tx.hints[OUTBOX_HINT] = AT_ONCE
    return len(due_rows)


def _quiet_until(row: Row) -> datetime | None:
    """When quiet hours end for the text; None: it may be sent now."""
    if not row["quiet_hours"]:
        return None
    start, end = (time.fromisoformat(row["quiet_hours"][name]) for name in ("start", "end"))
    return quiet.find_earliest(row["now"], quiet.find_zones(row["to_phone"], row["timezone"]), start, end)
