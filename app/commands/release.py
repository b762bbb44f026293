"""Scheduled and held texts whose time has come pass the gate again and are released."""

from datetime import datetime, time

from app.commands import modes
from app.domain import quiet
from app.domain.orders import HELD_QUIET
from app.store import outbox, threads
from app.store.clock import AT_ONCE, OUTBOX
from app.store.engine import Row, Tx


async def texts(tx: Tx, limit: int) -> int:
    """Releases up to `limit` of them, or holds them for the morning; how many there were.

    STOP, a cancel and `cancelOnReply` have taken away theirs before; whether the phone may be
    texted is judged once more after the claim, as for every text."""
    due = await outbox.waiting(tx, limit)
    if not due:
        return 0
    await threads.lock(tx, {(row["tenant_id"], row["interaction_id"]) for row in due})
    held = [(row["tenant_id"], row["message_id"], until) for row in due if (until := _held_until(row)) is not None]
    if held:
        await outbox.hold(tx, held, HELD_QUIET)
    kept = {(tenant_id, message_id) for tenant_id, message_id, _ in held}
    going = [key for row in due if (key := (row["tenant_id"], row["message_id"])) not in kept]
    released = await outbox.release(tx, going) if going else []
    by_hand = {(row["tenant_id"], row["interaction_id"]) for row in released if row["source"] == "manual"}
    if by_hand:
        await modes.take_over(tx, sorted(by_hand))
    if released:
        tx.hints[OUTBOX] = AT_ONCE
    return len(due)


def _held_until(row: Row) -> datetime | None:
    if not row["quiet_hours"]:
        return None
    start, end = (time.fromisoformat(row["quiet_hours"][name]) for name in ("start", "end"))
    return quiet.earliest(row["now"], quiet.zones(row["to_phone"], row["timezone"]), start, end)
