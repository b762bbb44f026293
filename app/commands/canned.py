"""Canned replies: add, change, remove."""

from app.commands.directory import Fields, merge_fields, require_found, require_not_null
from app.domain import ids
from app.domain.callers import Caller
from app.store import canned
from app.store.engine import Row, Tx

NOT_NULL = {"title": "title", "text": "text"}


async def add(tx: Tx, caller: Caller, fields: Fields) -> Row:
    """Adds a canned reply with `title` and `text`."""
    key = {"tenant_id": caller.tenant_id, "canned_reply_id": ids.make("canned")}
    [row] = await canned.add(tx, [{**fields, **key}])
    return row


async def change(tx: Tx, caller: Caller, canned_reply_id: str, fields: Fields) -> Row:
    """Changes only the given fields. Raises `Invalid`, `NotFound`."""
    row = require_found(await canned.lock(tx, caller.tenant_id, canned_reply_id))
    require_not_null(fields, NOT_NULL)
    new_row = merge_fields(row, fields)
    columns = ("tenant_id", "canned_reply_id", *canned.COLUMNS)
    [canned_reply] = await canned.change(tx, [{column: new_row[column] for column in columns}])
    return canned_reply


async def remove(tx: Tx, caller: Caller, canned_reply_id: str) -> None:
    """Raises `NotFound`."""
    require_found(await canned.remove(tx, caller.tenant_id, canned_reply_id) or None)
