"""Canned replies: add, change, remove."""

from app.commands.directory import Fields, add_row, change_row, lock_row, require_found, require_not_null
from app.domain.callers import Caller
from app.store import directory
from app.store.engine import Tx
from app.store.schema import CannedReply


async def add(tx: Tx, caller: Caller, fields: Fields) -> CannedReply:
    """Adds a canned reply with `title` and `text`."""
    return await add_row(tx, caller, CannedReply, "canned", fields)


async def change(tx: Tx, caller: Caller, canned_reply_id: str, fields: Fields) -> CannedReply:
    """Changes only the given fields. Raises `Invalid`, `NotFound`."""
    await lock_row(tx, caller, CannedReply, canned_reply_id)
    require_not_null(CannedReply, fields)
    return await change_row(tx, caller, CannedReply, canned_reply_id, fields)


async def remove(tx: Tx, caller: Caller, canned_reply_id: str) -> None:
    """Raises `NotFound`."""
    require_found(await directory.remove(tx, CannedReply, caller.tenant_id, canned_reply_id) or None)
