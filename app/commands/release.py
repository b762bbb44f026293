"""Releases scheduled and held texts that are due."""

from datetime import datetime, time

from app.commands import modes
from app.domain import quiet
from app.domain.callers import get_author
from app.domain.orders import QUIET_HOURS_REASON
from app.store import releasing, threads
from app.store.clock import AT_ONCE, OUTBOX_HINT
from app.store.engine import Tx
from app.store.keys import MessageKey
from app.store.releasing import DueText, HeldText


async def release_texts(tx: Tx, limit: int) -> int:
    """Releases up to `limit` due texts, or holds them until quiet hours end. Returns how many were
    due.

    Texts cancelled by STOP, by a person or by `cancelOnReply` are gone already. Whether the phone
    may be texted is checked again after the claim, as for every text."""
    due_texts = await releasing.find_releasable(tx, limit)
    if not due_texts:
        return 0
    await threads.lock(tx, {(text.tenant_id, text.interaction_id) for text in due_texts})
    held_texts = [
        HeldText(text.tenant_id, text.message_id, until)
        for text in due_texts
        if (until := _quiet_until(text)) is not None
    ]
    if held_texts:
        await releasing.hold_texts(tx, held_texts, QUIET_HOURS_REASON)
    held_ids = {text.message_id for text in held_texts}
    free_keys = [MessageKey(t.tenant_id, t.message_id) for t in due_texts if t.message_id not in held_ids]
    released_texts = await releasing.release(tx, free_keys) if free_keys else []
    author_by_thread = {
        (text.tenant_id, text.interaction_id): get_author(text.actor or "service")
        for text in released_texts
        if text.source == "manual"
    }
    if author_by_thread:
        await modes.take_over(tx, author_by_thread)
    if released_texts:
        tx.hints[OUTBOX_HINT] = AT_ONCE
    return len(due_texts)


def _quiet_until(text: DueText) -> datetime | None:
    """When quiet hours end for the text; None: it may be sent now."""
    if not text.quiet_hours:
        return None
    start, end = (time.fromisoformat(text.quiet_hours[name]) for name in ("start", "end"))
    return quiet.find_earliest(text.now, quiet.find_zones(text.to_phone, text.timezone), start, end)
