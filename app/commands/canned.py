"""Canned replies: add, change, remove."""

from app.commands.directory import Given, found, merged, require_not_null
from app.domain import ids
from app.domain.callers import Caller
from app.store import canned
from app.store.engine import Row, Tx

NOT_NULL = {"title": "title", "text": "text"}


async def add(tx: Tx, caller: Caller, given: Given) -> Row:
    """A new reply: `title` and `text`."""
    key = {"tenant_id": caller.tenant_id, "canned_reply_id": ids.make("canned")}
    [row] = await canned.add(tx, [{**given, **key}])
    return row


async def change(tx: Tx, caller: Caller, canned_reply_id: str, given: Given) -> Row:
    """Changes only what is given. Raises `Invalid`, `NotFound`."""
    row = found(await canned.lock(tx, caller.tenant_id, canned_reply_id))
    require_not_null(given, NOT_NULL)
    wanted = merged(row, given)
    columns = ("tenant_id", "canned_reply_id", *canned.COLUMNS)
    [changed] = await canned.change(tx, [{column: wanted[column] for column in columns}])
    return changed


async def remove(tx: Tx, caller: Caller, canned_reply_id: str) -> None:
    """Raises `NotFound`."""
    found(await canned.remove(tx, caller.tenant_id, canned_reply_id) or None)
