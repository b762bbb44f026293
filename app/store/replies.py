"""Replies of agents: which turn a reply answers, and how replies, hand-offs and refusals are
recorded."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.domain.turns import HeldReply, LaterEvents
from app.store.engine import ReadTx, Tx, as_columns
from app.store.threads import WITHDRAW_HELD_REPLIES_SQL, ThreadKey
from app.store.turn_states import HANDED_OVER_SQL
from app.store.turns import TurnKey


@dataclass(frozen=True, slots=True)
class FoundTurn:
    """The key of a live turn, and its thread."""

    tenant_id: str
    turn_id: str
    interaction_id: str

    @property
    def key(self) -> TurnKey:
        return self.tenant_id, self.turn_id

    @property
    def thread(self) -> ThreadKey:
        return self.tenant_id, self.interaction_id


FIND_OPEN_OF_LEAD_SQL = f"""
SELECT u.tenant_id, u.turn_id, u.interaction_id FROM turns u
JOIN interactions t USING (tenant_id, interaction_id)
WHERE u.tenant_id = $1 AND t.lead_id = $2 AND u.kind = 'live'
  AND u.state IN {HANDED_OVER_SQL} AND ($3::text IS NULL OR u.sms_agent_id = $3)
"""


async def find_open_of_lead(tx: Tx, tenant_id: str, lead_id: str, agent_id: str | None) -> list[FoundTurn]:
    """Turns in any thread of the lead that are handed over and unfinished; `agent_id` limits them to
    one agent."""
    return await tx.fetch(FoundTurn, FIND_OPEN_OF_LEAD_SQL, tenant_id, lead_id, agent_id)


FIND_NEWEST_HANDED_OVER_SQL = """
SELECT u.tenant_id, u.turn_id, u.interaction_id FROM turns u
JOIN interactions t USING (tenant_id, interaction_id)
WHERE u.tenant_id = $1 AND u.kind = 'live' AND u.handed_over_at IS NOT NULL
  AND ($2::text IS NULL OR t.interaction_id = $2) AND ($3::text IS NULL OR t.lead_id = $3)
  AND ($4::text IS NULL OR u.sms_agent_id = $4)
ORDER BY u.handed_over_at DESC LIMIT 1
"""


async def find_newest_handed_over(
    tx: Tx, tenant_id: str, interaction_id: str | None, lead_id: str | None, agent_id: str | None
) -> FoundTurn | None:
    """The turn that was handed over last, of one thread, lead or agent where given."""
    return await tx.fetch_one(FoundTurn, FIND_NEWEST_HANDED_OVER_SQL, tenant_id, interaction_id, lead_id, agent_id)


FIND_COLLECTING_SQL = """
SELECT u.tenant_id, u.interaction_id
FROM unnest($1::text[], $2::text[]) AS a(tenant_id, interaction_id)
CROSS JOIN LATERAL (
    SELECT u.tenant_id, u.interaction_id FROM turns u
    WHERE u.tenant_id = a.tenant_id AND u.interaction_id = a.interaction_id AND u.kind = 'live'
      AND u.state = ANY ($3)
) u
"""


async def find_collecting(read: ReadTx, threads: Collection[ThreadKey]) -> set[ThreadKey]:
    """The threads with a collecting turn: there the lead has written again."""
    rows = await read.fetch_rows(FIND_COLLECTING_SQL, *as_columns(list(threads), 2), ["collecting"])
    return {(row["tenant_id"], row["interaction_id"]) for row in rows}


LATER_EVENTS_SQL = """t.agent_mode,
       EXISTS (SELECT 1 FROM messages m
               WHERE m.tenant_id = t.tenant_id AND m.interaction_id = t.interaction_id
                 AND m.seq > u.through_seq AND (m.source = 'manual' OR m.source = 'sms_agent'
                     AND NOT EXISTS (SELECT 1 FROM turns r WHERE r.tenant_id = m.tenant_id
                                     AND r.turn_id = m.turn_id
                                     AND r.reply -> 'messageIds' ? m.message_id)))
           AS person_wrote,
       EXISTS (SELECT 1 FROM turns l
               WHERE l.tenant_id = t.tenant_id AND l.interaction_id = t.interaction_id
                 AND l.kind = 'live' AND l.opened_at > u.opened_at
                 AND (l.reply IS NOT NULL OR l.state = 'concluded'))
           AS answered,
       EXISTS (SELECT 1 FROM turns l
               WHERE l.tenant_id = t.tenant_id AND l.interaction_id = t.interaction_id
                 AND l.kind = 'live' AND l.opened_at > u.opened_at AND l.handed_over_at IS NOT NULL)
           AS handed_over"""
"""The columns of `LaterEvents`, for a turn `u` and its thread `t`."""
GET_LATER_EVENTS_SQL = f"""
SELECT {LATER_EVENTS_SQL}
FROM turns u JOIN interactions t USING (tenant_id, interaction_id)
WHERE u.tenant_id = $1 AND u.turn_id = $2
"""


async def get_later_events(read: ReadTx, tenant_id: str, turn_id: str) -> LaterEvents:
    """What happened in the turn's thread after it was handed over."""
    later_events = await read.fetch_one(LaterEvents, GET_LATER_EVENTS_SQL, tenant_id, turn_id)
    assert later_events is not None
    return later_events


END_WAITS_SQL = """
UPDATE turns u SET due_at = u.window_due_at
FROM unnest($1::text[], $2::text[]) AS a(tenant_id, interaction_id)
WHERE u.tenant_id = a.tenant_id AND u.interaction_id = a.interaction_id AND u.kind = 'live'
  AND u.state = ANY ($3)
RETURNING u.tenant_id, u.interaction_id, u.due_at
"""


async def end_waits(tx: Tx, threads: Collection[ThreadKey]) -> dict[ThreadKey, datetime]:
    """Lets each collecting turn of the threads wait only for its window. Returns when those turns are
    due."""
    rows = await tx.fetch_rows(END_WAITS_SQL, *as_columns(list(threads), 2), ["collecting"])
    return {(row["tenant_id"], row["interaction_id"]): row["due_at"] for row in rows}


END_REPLY_WAIT_SQL = f"""
WITH withdrawn AS ({WITHDRAW_HELD_REPLIES_SQL.replace("$3", "$4")})
{END_WAITS_SQL}"""


async def end_reply_wait(tx: Tx, threads: Collection[ThreadKey]) -> dict[ThreadKey, datetime]:
    """As `end_waits`, when an agent's reply goes out in the threads: withdraws held replies, too."""
    why = "withdrawn: a later reply went out"
    rows = await tx.fetch_rows(END_REPLY_WAIT_SQL, *as_columns(list(threads), 2), ["collecting"], why)
    return {(row["tenant_id"], row["interaction_id"]): row["due_at"] for row in rows}


GET_LAST_REPLIES_SQL = """
SELECT a.tenant_id, a.interaction_id, reply.text
FROM unnest($1::text[], $2::text[]) AS a(tenant_id, interaction_id)
CROSS JOIN LATERAL (
    SELECT m.text, m.seq FROM messages m
    WHERE m.tenant_id = a.tenant_id AND m.interaction_id = a.interaction_id AND m.role = 'agent'
      AND m.status <> 'note' AND m.source = 'sms_agent'
    ORDER BY m.seq DESC NULLS FIRST LIMIT $3
) reply
ORDER BY reply.seq NULLS LAST
"""


async def get_last_replies(tx: Tx, threads: Collection[ThreadKey], count: int) -> dict[ThreadKey, list[str]]:
    """The newest `count` texts of the agents in each thread, oldest first."""
    replies: dict[ThreadKey, list[str]] = {}
    for row in await tx.fetch_rows(GET_LAST_REPLIES_SQL, *as_columns(list(threads), 2), count):
        replies.setdefault((row["tenant_id"], row["interaction_id"]), []).append(row["text"])
    return replies


HAND_OFF_SQL = """
UPDATE turns SET state = 'handed_off', reason = $3, closed_at = clock_timestamp()
WHERE tenant_id = $1 AND turn_id = $2
"""


async def hand_off(tx: Tx, tenant_id: str, turn_id: str, reason: str) -> None:
    """Closes the turn as `handed_off`: the agent wants a person. Its reply, if any, stays."""
    await tx.execute(HAND_OFF_SQL, tenant_id, turn_id, reason)


ADD_REASON_SQL = """
UPDATE turns SET reason = concat_ws('; ', reason, $3::text)
WHERE tenant_id = $1 AND turn_id = $2 AND closed_at IS NOT NULL
RETURNING 1
"""


async def add_reason(tx: Tx, tenant_id: str, turn_id: str, reason: str) -> bool:
    """Appends to the reason of a closed turn; returns False if the turn is open."""
    return bool(await tx.fetch_rows(ADD_REASON_SQL, tenant_id, turn_id, reason))


RECORD_REFUSAL_SQL = """
UPDATE turns SET refused = refused || $3::jsonb WHERE tenant_id = $1 AND turn_id = $2
"""


async def record_refusal(tx: Tx, tenant_id: str, turn_id: str, refusal: dict[str, Any]) -> None:
    """Adds a refused reply to the turn's record."""
    await tx.execute(RECORD_REFUSAL_SQL, tenant_id, turn_id, [refusal])


HOLD_REPLY_SQL = "UPDATE turns SET held = $3 WHERE tenant_id = $1 AND turn_id = $2"


async def hold_reply(tx: Tx, tenant_id: str, turn_id: str, held_reply: HeldReply) -> None:
    """Holds the turn's stale reply for a person; its `heldAt` is when it was refused."""
    await tx.execute(HOLD_REPLY_SQL, tenant_id, turn_id, held_reply)
