"""The canned replies of a thread: with their variables filled as far as something fills them."""

from dataclasses import replace

from app.domain.reply_variables import fill_variables, find_variables
from app.store import page as store
from app.store import reply_values
from app.store.engine import ReadTx
from app.store.page import CannedChoice


async def list_filled(read: ReadTx, tenant_id: str, interaction_id: str) -> list[CannedChoice]:
    """A variable that nothing fills stays: the person sees the gap, and no text is sent with one."""
    choices = await store.list_canned_replies(read, tenant_id)
    if not any(find_variables(choice.text) for choice in choices):
        return choices
    facts = await reply_values.get_of_thread(read, tenant_id, interaction_id)
    return [replace(choice, text=fill_variables(choice.text, facts.values if facts else {})) for choice in choices]
