"""Canned replies: add, change, remove; their text for a lead or a thread."""

from app.commands.directory import Fields, add_row, change_row, lock_row, require_found, require_not_null
from app.domain.callers import Caller
from app.domain.problems import Invalid, NotFound
from app.domain.reply_variables import Values, find_variables, render_reply, require_known_variables
from app.store import directory, reply_values
from app.store.engine import ReadTx, Tx
from app.store.schema import CannedReply


async def add(tx: Tx, caller: Caller, fields: Fields) -> CannedReply:
    """Adds a canned reply with `title` and `text`. Raises `Invalid`."""
    require_known_variables(fields["text"])
    return await add_row(tx, caller, CannedReply, "canned", fields)


async def change(tx: Tx, caller: Caller, canned_reply_id: str, fields: Fields) -> CannedReply:
    """Changes only the given fields. Raises `Invalid`, `NotFound`."""
    await lock_row(tx, caller, CannedReply, canned_reply_id)
    require_not_null(CannedReply, fields)
    require_known_variables(fields.get("text", ""))
    return await change_row(tx, caller, CannedReply, canned_reply_id, fields)


async def remove(tx: Tx, caller: Caller, canned_reply_id: str) -> None:
    """Raises `NotFound`."""
    require_found(await directory.remove(tx, CannedReply, caller.tenant_id, canned_reply_id) or None)


async def render(
    read: ReadTx, caller: Caller, canned_reply_id: str, lead_id: str | None, interaction_id: str | None
) -> str:
    """The reply's text for the lead or the thread, with its variables filled; a text without variables needs
    neither. Raises `NotFound`; `Invalid` naming each variable that nothing fills."""
    reply = require_found(await directory.get(read, CannedReply, caller.tenant_id, canned_reply_id))
    if lead_id is not None and interaction_id is not None:
        raise Invalid(details=["leadId: and interactionId exclude each other"])
    if lead_id is None and interaction_id is None and find_variables(reply.text):
        raise Invalid(details=["leadId: or interactionId is required, because the text has variables"])
    return render_reply(reply.text, await _get_values(read, caller.tenant_id, lead_id, interaction_id))


async def _get_values(read: ReadTx, tenant_id: str, lead_id: str | None, interaction_id: str | None) -> Values:
    """Raises `NotFound`."""
    if lead_id is not None:
        facts = await reply_values.get_of_lead(read, tenant_id, lead_id)
    elif interaction_id is not None:
        facts = await reply_values.get_of_thread(read, tenant_id, interaction_id)
    else:
        return {}
    if facts is None:
        raise NotFound(details=[f"{'interactionId' if lead_id is None else 'leadId'}: does not exist"])
    return facts.values
