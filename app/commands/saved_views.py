"""Saved views: add, change, remove."""

from app.commands.directory import Fields, add_row, change_row, lock_row, require_found, require_not_null
from app.domain.callers import Caller
from app.domain.problems import Invalid
from app.store import directory, people
from app.store.engine import Tx
from app.store.schema import SavedView


async def add(tx: Tx, caller: Caller, fields: Fields) -> SavedView:
    """Adds a view with `name`, `filter` and perhaps `user_id`, whose it is. Raises `Invalid`."""
    user_id = fields.get("user_id")
    if user_id is not None and not await people.is_known(tx, caller.tenant_id, user_id):
        raise Invalid(details=["personId: does not exist"])
    return await add_row(tx, caller, SavedView, "view", fields)


async def change(tx: Tx, caller: Caller, saved_view_id: str, fields: Fields) -> SavedView:
    """Changes only the given fields. Raises `Invalid`, `NotFound`."""
    await lock_row(tx, caller, SavedView, saved_view_id)
    require_not_null(SavedView, fields)
    return await change_row(tx, caller, SavedView, saved_view_id, fields)


async def remove(tx: Tx, caller: Caller, saved_view_id: str) -> None:
    """Raises `NotFound`."""
    require_found(await directory.remove(tx, SavedView, caller.tenant_id, saved_view_id) or None)
