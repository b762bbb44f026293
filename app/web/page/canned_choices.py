"""The canned replies for a thread or a lead: with their variables filled as far as something fills them."""

from dataclasses import replace

from app.domain.reply_variables import fill_variables, find_variables
from app.store import page as store
from app.store import reply_values
from app.store.engine import ReadTx
from app.store.page import CannedChoice


async def list_filled(
    read: ReadTx, tenant_id: str, *, interaction_id: str = "", lead_id: str = ""
) -> list[CannedChoice]:
    """For a thread, or for a lead to whom nobody has written. A variable that nothing fills stays: the person
    sees the gap, and no text is sent with one."""
    choices = await store.list_canned_replies(read, tenant_id)
    if not any(find_variables(choice.text) for choice in choices):
        return choices
    if interaction_id:
        facts = await reply_values.get_of_thread(read, tenant_id, interaction_id)
    else:
        facts = await reply_values.get_of_lead(read, tenant_id, lead_id)
    return [replace(choice, text=fill_variables(choice.text, facts.values if facts else {})) for choice in choices]


async def get_words(read: ReadTx, tenant_id: str, reply_id: str, *, interaction_id: str = "", lead_id: str = "") -> str:
    """Returns the filled words of one reply; "" if there is none."""
    choices = await list_filled(read, tenant_id, interaction_id=interaction_id, lead_id=lead_id)
    return next((choice.text for choice in choices if choice.canned_reply_id == reply_id), "")
