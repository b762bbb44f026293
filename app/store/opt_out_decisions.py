"""Texts that may be an opt-out: they, and the texts after them, wait until a person decides."""

from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass

from app.store.engine import Database, Tx, as_columns
from app.store.threads import CANCEL_TURNS_SQL, ThreadKey


def awaits_decision_sql(thread: str) -> str:
    """A condition: texts of the thread (an alias of it) wait for a person's decision."""
    return f"""EXISTS (SELECT 1 FROM messages h WHERE h.tenant_id = {thread}.tenant_id
        AND h.interaction_id = {thread}.interaction_id AND h.awaits_decision)"""


HOLD_THREADS_SQL = f"""
WITH cancelled AS ({CANCEL_TURNS_SQL})
UPDATE messages m SET awaits_decision = true
FROM cancelled c JOIN turn_messages x ON x.tenant_id = c.tenant_id AND x.turn_id = c.turn_id
WHERE m.tenant_id = x.tenant_id AND m.message_id = x.message_id AND c.accepted_at IS NULL
"""


async def hold_threads(tx: Tx, threads: Collection[ThreadKey], reason: str) -> None:
    """Cancels the unfinished turns of the threads. The texts of those that no agent has got wait for
    the decision too. The caller has locked the threads."""
    await tx.execute(HOLD_THREADS_SQL, *as_columns(list(threads), 2), reason)


@dataclass(frozen=True, slots=True)
class UnclearText:
    """A text, its thread, and whether it may be an opt-out."""

    tenant_id: str
    message_id: str
    interaction_id: str
    our_number: str
    lead_phone: str
    lead_id: str
    campaign_id: str | None
    account_id: str
    provider: str
    text: str
    possible_opt_out: bool
    opt_out: bool | None
    awaits_decision: bool


FIND_TEXT_SQL = """
SELECT m.tenant_id, m.message_id, m.interaction_id, t.our_number, t.lead_phone, m.lead_id,
       t.campaign_id, coalesce(m.account_id, '') AS account_id, coalesce(m.provider, '') AS provider,
       m.text, m.possible_opt_out, m.opt_out,
       m.awaits_decision
FROM messages m JOIN interactions t USING (tenant_id, interaction_id)
WHERE m.tenant_id = $1 AND m.message_id = $2
"""


async def find_text(tx: Tx, tenant_id: str, message_id: str) -> UnclearText | None:
    return await tx.fetch_one(UnclearText, FIND_TEXT_SQL, tenant_id, message_id)


RECORD_DECISION_SQL = """
UPDATE messages SET opt_out = $3
WHERE tenant_id = $1 AND message_id = ANY ($2)
"""


async def record(tx: Tx, tenant_id: str, message_ids: Collection[str], *, is_opt_out: bool) -> None:
    """Records what a person decided of the texts."""
    await tx.execute(RECORD_DECISION_SQL, tenant_id, list(message_ids), is_opt_out)


RELEASE_TEXTS_SQL = """
WITH released AS (
    UPDATE messages m SET awaits_decision = false
    WHERE m.tenant_id = $1 AND m.interaction_id = $2 AND m.awaits_decision
      AND NOT EXISTS (SELECT 1 FROM messages h
                      WHERE h.tenant_id = $1 AND h.interaction_id = $2 AND h.awaits_decision
                        AND h.possible_opt_out AND h.opt_out IS NULL)
    RETURNING m.*
)
SELECT r.message_id FROM released r
JOIN interactions t USING (tenant_id, interaction_id)
WHERE t.agent_mode AND r.forwardable
  AND NOT EXISTS (SELECT 1 FROM turn_messages x JOIN turns u USING (tenant_id, turn_id)
                  WHERE x.tenant_id = r.tenant_id AND x.message_id = r.message_id
                    AND u.kind = 'live' AND u.accepted_at IS NOT NULL)
  AND NOT EXISTS (SELECT 1 FROM messages p
                  WHERE p.tenant_id = r.tenant_id AND p.interaction_id = r.interaction_id
                    AND p.seq > r.seq AND p.source = 'manual' AND p.status <> 'cancelled')
ORDER BY r.seq
"""


async def release_texts(tx: Tx, thread: ThreadKey) -> list[str]:
    """Ends the wait of the thread's texts, unless one is still to be decided. Returns the ids of those
    that the agent gets now: none that it has got already, and none that a person has answered."""
    rows = await tx.fetch_rows(RELEASE_TEXTS_SQL, *thread)
    return [row["message_id"] for row in rows]


LIST_EXAMPLES_SQL = """
SELECT message_id, text, opt_out FROM messages
WHERE tenant_id = $1 AND message_id > $2 AND opt_out IS NOT NULL AND text ~ '\\S'
ORDER BY message_id LIMIT 1000
"""


@dataclass(frozen=True, slots=True)
class Example:
    """A text of a lead, and what a person decided of it."""

    message_id: str
    text: str
    opt_out: bool


async def list_examples(database: Database, tenant_id: str) -> AsyncIterator[Example]:
    """All decided texts of the tenant, oldest first. They are erased with their threads."""
    last_id: str | None = ""
    while last_id is not None:
        async with database.read_tx(tenant_id) as read:
            examples = await read.fetch(Example, LIST_EXAMPLES_SQL, tenant_id, last_id)
        for example in examples:
            yield example
        last_id = examples[-1].message_id if examples else None
