"""Notes for colleagues, which people write in the same box as texts."""

from hashlib import sha256

from app.commands import team
from app.commands.team import MAX_NOTE_LENGTH
from app.domain.idempotency import IdempotencyKey, ReplayedAnswer
from app.domain.problems import Invalid
from app.web.idempotency import claim_key
from app.web.page import threads
from app.web.page.visits import Visit

NOTE_ROUTE = "page notes"
"""The route of the idempotency keys of notes: a double click writes one."""


async def add_once(visit: Visit, interaction_id: str, note: str, *, is_for_agent: bool, once: str) -> None:
    """Raises `Invalid`, `NotFound`. `once`: the token of the form."""
    caller, text = visit.caller, note.strip()
    if not text or "\x00" in text or len(text) > MAX_NOTE_LENGTH:
        raise Invalid(details=[f"Note: must have 1 to {MAX_NOTE_LENGTH} characters"])
    digest = sha256("\0".join((interaction_id, text, str(is_for_agent))).encode(errors="surrogatepass")).digest()
    try:
        async with visit.resources.database.tenant_tx(caller.tenant_id, author=caller.author) as tx:
            idempotency = await claim_key(tx, caller.tenant_id, IdempotencyKey(NOTE_ROUTE, once, digest))
            thread = await threads.find_thread(tx, caller.tenant_id, interaction_id)
            note_id = await team.add_note(tx, caller, thread, text, is_for_agent)
            await idempotency.store_data({"noteId": note_id}, 201)
    except ReplayedAnswer:
        pass  # it is written already
