"""Turns: what a hand-over reads, and how each of its steps is recorded, for many turns at a time.
Whoever changes a turn holds the row lock of its interaction.

Statements that look for the turns of a thread take the states as parameters. As literals they
would match the partial index of all unfinished turns, and the planner could scan that index: it is
short when a session plans and long in a burst. With parameters it must use the thread's key.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any

from app.domain.turns import PROTECTION_TIME, UNFINISHED_STATES
from app.store.agent_of import agent_of_sql
from app.store.engine import ReadTx, Row, Tx, as_columns
from app.store.rows import columns_of, unnest_sql
from app.store.threads import WITHDRAW_HELD_REPLIES_SQL, ThreadKey

TurnKey = tuple[str, str]
"""(tenant id, turn id)."""

FIND_DUE_THREADS_SQL = """
SELECT DISTINCT tenant_id, interaction_id FROM turns
WHERE due_at <= clock_timestamp() AND kind = 'live'
  AND state IN ('collecting', 'delivering', 'awaiting_reply')
LIMIT $1
"""


async def find_due_threads(tx: Tx, limit: int) -> list[tuple[str, str]]:
    """Up to `limit` threads (tenant, interaction) with a turn that is due."""
    return [(row["tenant_id"], row["interaction_id"]) for row in await tx.fetch_rows(FIND_DUE_THREADS_SQL, limit)]


GET_TIME_SQL = "SELECT extract(epoch FROM clock_timestamp())::float8"


async def get_database_time(tx: Tx) -> float:
    """The database's clock, in epoch seconds."""
    return float(await tx.fetch_value(GET_TIME_SQL))


GET_LIVE_TURNS_SQL = """
SELECT u.*
FROM unnest($1::text[], $2::text[]) AS a(tenant_id, interaction_id)
CROSS JOIN LATERAL (
    SELECT u.tenant_id, u.interaction_id, u.turn_id, u.state, u.due_at, u.posting, u.protected,
           u.attempt, u.accepted_at, u.unsent_reply, u.due_at <= clock_timestamp() AS is_due,
           u.due_at < u.window_due_at + $5::interval AS patient
    FROM turns u
    WHERE u.tenant_id = a.tenant_id AND u.interaction_id = a.interaction_id AND u.kind = 'live'
      AND (u.state = ANY ($3) OR u.posting AND u.due_at > clock_timestamp()
           OR u.state = ANY ($4) AND u.accepted_at IS NULL AND u.moved_to IS NULL)
) u
"""
UNHEARD_STATES = frozenset({"failed", "superseded"})
"""States of a closed turn whose texts may never have reached an agent."""


async def get_live(tx: Tx, threads: Collection[ThreadKey]) -> dict[ThreadKey, list[Row]]:
    """The live turns of each thread that still matter: unfinished ones (at most one that collects
    and one that is handed over), closed ones whose POST may still run, and closed ones whose texts
    no agent ever got.

    `patient`: the turn has not yet waited for a protected turn."""
    turns_by_thread: dict[ThreadKey, list[Row]] = {thread: [] for thread in threads}
    columns = as_columns(list(threads), 2)
    rows = await tx.fetch_rows(
        GET_LIVE_TURNS_SQL, *columns, list(UNFINISHED_STATES), list(UNHEARD_STATES), PROTECTION_TIME
    )
    for row in rows:
        turns_by_thread[row["tenant_id"], row["interaction_id"]].append(row)
    return turns_by_thread


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


CLOSE_TURNS_SQL = """
UPDATE turns u SET state = a.state, reason = a.reason, closed_at = clock_timestamp()
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[])
    AS a(tenant_id, turn_id, state, reason)
WHERE u.tenant_id = a.tenant_id AND u.turn_id = a.turn_id
"""


async def close(tx: Tx, closed_turns: Sequence[tuple[str, str, str, str]]) -> None:
    """Closes the turns, given as (tenant, turn, final state, reason)."""
    if closed_turns:
        await tx.execute(CLOSE_TURNS_SQL, *as_columns(closed_turns, 4))


MOVE_TEXTS_SQL = """
WITH asked AS (
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[]) AS a(tenant_id, turn_id, moves_to)
), undelivered AS (
    UPDATE turns u SET moved_to = a.moves_to FROM asked a
    WHERE u.tenant_id = a.tenant_id AND u.turn_id = a.turn_id
      AND u.accepted_at IS NULL AND u.moved_to IS NULL
    RETURNING u.tenant_id, u.turn_id, u.moved_to
)
INSERT INTO turn_messages (tenant_id, turn_id, message_id, seq)
SELECT m.tenant_id, x.moved_to, m.message_id, m.seq
FROM turn_messages m JOIN undelivered x USING (tenant_id, turn_id)
ON CONFLICT DO NOTHING
"""


async def move_texts(tx: Tx, moves: Sequence[tuple[str, str, str]]) -> None:
    """Copies texts of closed turns that no agent got into a later turn. Each move is (tenant,
    closed turn, later turn)."""
    if moves:
        await tx.execute(MOVE_TEXTS_SQL, *as_columns(moves, 3))


@dataclass(frozen=True, slots=True, kw_only=True)
class PostStart:
    """A POST that is about to leave."""

    tenant_id: str
    turn_id: str
    attempt: int
    lease: str
    agent_id: str
    through_seq: int
    is_protected: bool
    at: datetime
    expires_at: datetime
    body: bytes


BEGIN_POSTS_SQL = f"""
WITH asked AS (
    SELECT * FROM {unnest_sql(PostStart, first=2)}
), begun AS (
    UPDATE turns u SET state = 'delivering', posting = true, lease = a.lease, attempt = a.attempt,
        due_at = clock_timestamp() + $1::interval, expires_at = a.expires_at,
        handed_over_at = coalesce(u.handed_over_at, a.at), sms_agent_id = a.agent_id,
        through_seq = coalesce(u.through_seq, a.through_seq),
        protected = u.protected OR a.is_protected
    FROM asked a WHERE u.tenant_id = a.tenant_id AND u.turn_id = a.turn_id
)
INSERT INTO turn_attempts (tenant_id, turn_id, attempt, at, request_body)
SELECT tenant_id, turn_id, attempt, at, body FROM asked
"""


async def begin_posts(tx: Tx, posts: Sequence[PostStart], lease_time: timedelta) -> None:
    """Marks the turns as `posting` until their leases end, and stores the exact bytes of each
    request."""
    if posts:
        await tx.execute(BEGIN_POSTS_SQL, lease_time, *columns_of(posts))


@dataclass(frozen=True, slots=True, kw_only=True)
class PostEnd:
    """What came of a POST."""

    tenant_id: str
    turn_id: str
    attempt: int
    lease: str
    outcome: str
    http_status: int | None
    duration_ms: int
    answer: str | None
    is_accepted: bool = False
    """The agent answered 2xx: its reply may come until the turn expires."""
    retry_in: timedelta | None = None
    """The POST failed and is repeated after this time."""


END_POSTS_SQL = f"""
WITH asked AS (
    SELECT * FROM {unnest_sql(PostEnd)}
), over AS (
    UPDATE turns u SET posting = u.posting AND u.lease IS DISTINCT FROM a.lease,
        lease = nullif(u.lease, a.lease),
        accepted_at = CASE WHEN a.is_accepted THEN coalesce(u.accepted_at, clock_timestamp())
                           ELSE u.accepted_at END,
        state = CASE WHEN a.is_accepted AND u.state = 'delivering' THEN 'awaiting_reply'
                     ELSE u.state END,
        due_at = CASE WHEN a.is_accepted THEN u.expires_at
                      ELSE coalesce(clock_timestamp() + a.retry_in, u.due_at) END
    FROM asked a
    WHERE u.tenant_id = a.tenant_id AND u.turn_id = a.turn_id AND (u.lease = a.lease OR a.is_accepted)
)
UPDATE turn_attempts t SET outcome = a.outcome, http_status = a.http_status,
    duration_ms = a.duration_ms, answer = a.answer
FROM asked a
WHERE t.tenant_id = a.tenant_id AND t.turn_id = a.turn_id AND t.attempt = a.attempt
  AND t.outcome IS NULL
RETURNING t.tenant_id, t.turn_id, t.attempt
"""


async def end_posts(tx: Tx, endings: Sequence[PostEnd]) -> set[tuple[str, str, int]]:
    """Records how the POSTs ended, and frees the leases that are still ours. Returns the (tenant,
    turn, attempt) whose outcome was not recorded before."""
    ended_rows = await tx.fetch_rows(END_POSTS_SQL, *columns_of(endings)) if endings else []
    return {(row["tenant_id"], row["turn_id"], row["attempt"]) for row in ended_rows}


GET_TURNS_SQL = """
SELECT u.tenant_id, u.turn_id, u.interaction_id, u.sms_agent_id, u.kind, u.state, u.reason,
       u.attempt, u.lease, u.accepted_at, u.closed_at, u.protected, u.reply, u.held,
       t.lead_id, g.stale_reply, g.reply_delay_ms, next.due_at AS next_due_at
FROM unnest($1::text[], $2::text[]) AS a(tenant_id, turn_id)
JOIN turns u USING (tenant_id, turn_id)
LEFT JOIN interactions t ON t.tenant_id = u.tenant_id AND t.interaction_id = u.interaction_id
LEFT JOIN sms_agents g ON g.tenant_id = u.tenant_id AND g.sms_agent_id = u.sms_agent_id
LEFT JOIN LATERAL (
    SELECT n.due_at FROM turns n
    WHERE n.tenant_id = u.tenant_id AND n.interaction_id = u.interaction_id AND n.kind = 'live'
      AND n.state = ANY ($3)
) next ON true
"""


async def get_many(read: ReadTx, turn_keys: Collection[TurnKey]) -> dict[TurnKey, Row]:
    """The turns that exist, each with its thread's lead, its agent's settings, and `next_due_at`:
    when the thread's collecting turn is due."""
    rows = await read.fetch_rows(GET_TURNS_SQL, *as_columns(list(turn_keys), 2), ["collecting"])
    return {(row["tenant_id"], row["turn_id"]): row for row in rows}


async def get(read: ReadTx, tenant_id: str, turn_id: str) -> Row | None:
    """One turn, as `get_many`."""
    return (await get_many(read, [(tenant_id, turn_id)])).get((tenant_id, turn_id))


POSTPONE_TURNS_SQL = """
UPDATE turns u SET due_at = clock_timestamp() + a.wait
FROM unnest($1::text[], $2::text[], $3::interval[]) AS a(tenant_id, turn_id, wait)
WHERE u.tenant_id = a.tenant_id AND u.turn_id = a.turn_id
"""


async def postpone(tx: Tx, waits: Sequence[tuple[str, str, timedelta]]) -> None:
    """Makes each (tenant, turn, wait) due after its wait; its window does not change."""
    if waits:
        await tx.execute(POSTPONE_TURNS_SQL, *as_columns(waits, 3))


END_REPLY_WAIT_SQL = f"""
WITH withdrawn AS ({WITHDRAW_HELD_REPLIES_SQL})
UPDATE turns u SET due_at = u.window_due_at
FROM unnest($1::text[], $2::text[]) AS a(tenant_id, interaction_id)
WHERE u.tenant_id = a.tenant_id AND u.interaction_id = a.interaction_id AND u.kind = 'live'
  AND u.state = ANY ($4)
RETURNING u.tenant_id, u.interaction_id, u.due_at
"""


async def end_reply_wait(tx: Tx, threads: Collection[ThreadKey]) -> dict[ThreadKey, datetime]:
    """An agent's reply goes out in the threads: withdraws held replies, and lets each collecting
    turn wait only for its window. Returns when those turns are due."""
    why = "withdrawn: a later reply went out"
    rows = await tx.fetch_rows(END_REPLY_WAIT_SQL, *as_columns(list(threads), 2), why, ["collecting"])
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


HOLD_REPLY_SQL = "UPDATE turns SET held = $3 WHERE tenant_id = $1 AND turn_id = $2"


async def hold_reply(tx: Tx, tenant_id: str, turn_id: str, held_reply: dict[str, Any]) -> None:
    """Holds the turn's stale reply for a person; its `heldAt` is when it was refused."""
    await tx.execute(HOLD_REPLY_SQL, tenant_id, turn_id, held_reply)


@dataclass(frozen=True, slots=True, kw_only=True)
class DryTurn:
    """A replay, shadow or test turn: it is handed over at once, and its reply is never sent."""

    tenant_id: str
    turn_id: str
    interaction_id: str | None
    agent_id: str | None
    kind: str
    through_seq: int
    of_turn: str | None
    body: bytes
    """The payload, as it is POSTed (UTF-8 JSON)."""


ADD_DRY_TURNS_SQL = f"""
WITH asked AS (
    SELECT * FROM {unnest_sql(DryTurn, first=2)}
), added AS (
    INSERT INTO turns (tenant_id, turn_id, interaction_id, sms_agent_id, kind, state, due_at,
        window_due_at, handed_over_at, expires_at, payload, of_turn, attempt, through_seq)
    SELECT tenant_id, turn_id, interaction_id, agent_id, kind, 'delivering', clock_timestamp(),
           clock_timestamp(), clock_timestamp(), clock_timestamp() + $1::interval,
           convert_from(body, 'UTF8')::jsonb, of_turn, 1, through_seq
    FROM asked
)
INSERT INTO turn_attempts (tenant_id, turn_id, attempt, request_body)
SELECT tenant_id, turn_id, 1, body FROM asked
"""


async def add_dry_turns(tx: Tx, dry_turns: Sequence[DryTurn], reply_within: timedelta) -> None:
    """Adds the dry turns, each with its only attempt already begun."""
    if dry_turns:
        await tx.execute(ADD_DRY_TURNS_SQL, reply_within, *columns_of(dry_turns))


END_DRY_TURN_SQL = """
UPDATE turns SET state = $3, reason = $4, reply = coalesce($5, reply),
    closed_at = CASE WHEN $3 IN ('delivering', 'awaiting_reply') THEN NULL
                     ELSE clock_timestamp() END,
    accepted_at = CASE WHEN $3 = 'failed' THEN accepted_at
                       ELSE coalesce(accepted_at, clock_timestamp()) END
WHERE tenant_id = $1 AND turn_id = $2 AND kind <> 'live' AND closed_at IS NULL
"""


async def end_dry_turn(
    tx: Tx,
    tenant_id: str,
    turn_id: str,
    state: str,
    reason: str | None,
    reply: dict[str, Any] | None,
) -> None:
    """Records what came of a dry turn. A turn that is already closed does not change."""
    await tx.execute(END_DRY_TURN_SQL, tenant_id, turn_id, state, reason, reply)


REPORT_SHADOWS_SQL = """
SELECT live.turn_id, live.interaction_id, live.opened_at, live.state, live.reason,
       live.reply -> 'texts' AS texts, live.refused, la.duration_ms,
       s.turn_id AS shadow_turn_id, s.state AS shadow_state, s.reason AS shadow_reason,
       s.reply -> 'texts' AS shadow_texts, sa.duration_ms AS shadow_duration_ms
FROM turns s
JOIN turns live ON live.tenant_id = s.tenant_id AND live.turn_id = s.of_turn
LEFT JOIN turn_attempts la ON la.tenant_id = live.tenant_id AND la.turn_id = live.turn_id
    AND la.attempt = live.attempt
LEFT JOIN turn_attempts sa ON sa.tenant_id = s.tenant_id AND sa.turn_id = s.turn_id
WHERE s.tenant_id = $1 AND s.sms_agent_id = $2 AND s.kind = 'shadow'
ORDER BY s.opened_at DESC LIMIT $3
"""


async def report_shadows(read: ReadTx, tenant_id: str, agent_id: str, limit: int) -> list[Row]:
    """The agent's live turns, each beside its shadow, newest first."""
    return await read.fetch_rows(REPORT_SHADOWS_SQL, tenant_id, agent_id, limit)


CLOSE_ANSWERED_SQL = """
WITH asked AS (
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])
        AS a(tenant_id, turn_id, state, reason, reply)
), answered AS (
    UPDATE interactions t SET stale_replies = 0 FROM asked a
    JOIN turns u ON u.tenant_id = a.tenant_id AND u.turn_id = a.turn_id
    WHERE t.tenant_id = u.tenant_id AND t.interaction_id = u.interaction_id
      AND a.state = 'replied' AND t.stale_replies > 0
)
UPDATE turns u SET state = a.state, reason = a.reason, reply = a.reply::jsonb,
    closed_at = clock_timestamp()
FROM asked a WHERE u.tenant_id = a.tenant_id AND u.turn_id = a.turn_id
"""


async def close_answered(tx: Tx, answers: Sequence[tuple[str, str, str, str, Mapping[str, Any] | None]]) -> None:
    """Closes turns that their agents answered, given as (tenant, turn, state, reason, reply).
    A thread with a `replied` turn counts its stale replies from zero again."""
    rows = [(*head, reply and json.dumps(reply)) for *head, reply in answers]
    if rows:
        await tx.execute(CLOSE_ANSWERED_SQL, *as_columns(rows, 5))


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


GET_LATER_EVENTS_SQL = """
SELECT t.agent_mode,
       EXISTS (SELECT 1 FROM messages m
               WHERE m.tenant_id = t.tenant_id AND m.interaction_id = t.interaction_id
                 AND m.seq > u.through_seq AND (m.source = 'manual' OR m.source = 'sms_agent'
                     AND NOT EXISTS (SELECT 1 FROM turns r WHERE r.tenant_id = m.tenant_id
                                     AND r.turn_id = m.turn_id
                                     AND r.reply -> 'messageIds' ? m.message_id)))
           AS person_wrote,
       EXISTS (SELECT 1 FROM turns l
               WHERE l.tenant_id = t.tenant_id AND l.interaction_id = t.interaction_id
                 AND l.kind = 'live' AND l.opened_at > u.opened_at AND l.reply IS NOT NULL)
           AS answered
FROM turns u JOIN interactions t USING (tenant_id, interaction_id)
WHERE u.tenant_id = $1 AND u.turn_id = $2
"""


async def get_later_events(read: ReadTx, tenant_id: str, turn_id: str) -> Row:
    """What happened in the thread after the turn was handed over: `person_wrote` (or sent a held
    reply of the agent), `answered` (a later turn), and `agent_mode` as of now."""
    row = await read.fetch_row(GET_LATER_EVENTS_SQL, tenant_id, turn_id)
    assert row is not None
    return row


RECORD_REFUSAL_SQL = """
UPDATE turns SET refused = refused || $3::jsonb WHERE tenant_id = $1 AND turn_id = $2
"""


async def record_refusal(tx: Tx, tenant_id: str, turn_id: str, refusal: dict[str, Any]) -> None:
    """Adds a refused reply to the turn's record."""
    await tx.execute(RECORD_REFUSAL_SQL, tenant_id, turn_id, [refusal])


RECORD_STALE_REPLY_SQL = """
WITH counted AS (
    UPDATE interactions SET stale_replies = stale_replies + 1
    WHERE tenant_id = $1 AND interaction_id = $2
)
UPDATE turns SET unsent_reply = $3
WHERE tenant_id = $1 AND interaction_id = $2 AND kind = 'live' AND state = 'collecting'
"""


async def record_stale_reply(tx: Tx, tenant_id: str, interaction_id: str, unsent_reply: dict[str, Any]) -> None:
    """Counts a stale reply, and puts it into the thread's collecting turn: the next payload shows
    it to the agent as not sent."""
    await tx.execute(RECORD_STALE_REPLY_SQL, tenant_id, interaction_id, unsent_reply)


FIND_OPEN_OF_LEAD_SQL = """
SELECT u.tenant_id, u.turn_id, u.interaction_id, u.kind FROM turns u
JOIN interactions t USING (tenant_id, interaction_id)
WHERE u.tenant_id = $1 AND t.lead_id = $2 AND u.kind = 'live'
  AND u.state IN ('delivering', 'awaiting_reply') AND ($3::text IS NULL OR u.sms_agent_id = $3)
"""


async def find_open_of_lead(tx: Tx, tenant_id: str, lead_id: str, agent_id: str | None) -> list[Row]:
    """Live turns in any thread of the lead that are handed over and unfinished; `agent_id` limits
    them to one agent."""
    return await tx.fetch_rows(FIND_OPEN_OF_LEAD_SQL, tenant_id, lead_id, agent_id)


FIND_NEWEST_HANDED_OVER_SQL = """
SELECT u.turn_id, u.interaction_id, u.kind FROM turns u
JOIN interactions t USING (tenant_id, interaction_id)
WHERE u.tenant_id = $1 AND u.kind = 'live' AND u.handed_over_at IS NOT NULL
  AND ($2::text IS NULL OR t.interaction_id = $2) AND ($3::text IS NULL OR t.lead_id = $3)
  AND ($4::text IS NULL OR u.sms_agent_id = $4)
ORDER BY u.handed_over_at DESC LIMIT 1
"""


async def find_newest_handed_over(
    tx: Tx,
    tenant_id: str,
    interaction_id: str | None,
    lead_id: str | None,
    agent_id: str | None,
) -> Row | None:
    """The live turn that was handed over last, of one thread, lead or agent where given."""
    return await tx.fetch_row(FIND_NEWEST_HANDED_OVER_SQL, tenant_id, interaction_id, lead_id, agent_id)


GET_PAYLOAD_FACTS_SQL = f"""
SELECT a.turn_id, t.tenant_id, t.interaction_id, t.status, t.lead_phone, t.our_number, t.last_seq,
       t.agent_mode, t.stale_replies, t.paused_until > clock_timestamp() AS paused,
       t.paused_reason, l.lead_id, l.first_name, l.last_name, l.email, l.phone,
       l.status AS lead_status, l.questionnaire AS answers, c.campaign_id,
       c.name AS campaign_name, c.client_name, c.offer_name,
       coalesce(c.questionnaire, '[]') AS questions, agent.sms_agent_id, agent.webhook_url,
       agent.secret, agent.max_turns_per_day, agent.business_hours, agent.shadow_webhook_url,
       CASE WHEN agent.previous_secret_until > clock_timestamp() THEN agent.previous_secret END
           AS previous, clock_timestamp() AS now, past.handed_over_today,
       (SELECT f.request_body FROM turn_attempts f
        WHERE f.tenant_id = a.tenant_id AND f.turn_id = a.turn_id AND f.attempt = 1) AS frozen
FROM unnest($1::text[], $2::text[], $3::text[]) AS a(tenant_id, interaction_id, turn_id)
JOIN interactions t ON t.tenant_id = a.tenant_id AND t.interaction_id = a.interaction_id
JOIN leads l ON l.tenant_id = t.tenant_id AND l.lead_id = t.lead_id
LEFT JOIN campaigns c ON c.tenant_id = t.tenant_id AND c.campaign_id = t.campaign_id
LEFT JOIN LATERAL (
    {agent_of_sql("t.tenant_id", "t.campaign_id", "l.is_test", "t.our_number")}
) agent ON true
CROSS JOIN LATERAL (
    SELECT count(*) AS handed_over_today FROM turns p
    WHERE p.tenant_id = a.tenant_id AND p.interaction_id = a.interaction_id AND p.kind = 'live'
      AND p.handed_over_at >= date_trunc('day', clock_timestamp(), 'UTC')
) past
"""


async def get_payload_facts(tx: Tx, turns: Collection[tuple[str, str, str]]) -> dict[TurnKey, Row]:
    """What the payload of each (tenant, interaction, turn) needs besides the texts: the thread,
    its lead and campaign, and the agent that serves the thread now (all None: no agent). `frozen`
    is the body of the first attempt, if there was one: later attempts repeat it."""
    rows = await tx.fetch_rows(GET_PAYLOAD_FACTS_SQL, *as_columns(list(turns), 3))
    return {(row["tenant_id"], row["turn_id"]): row for row in rows}


@dataclass(frozen=True, slots=True)
class PayloadTexts:
    """The texts of a payload, in order of `seq`."""

    texts: list[Row] = field(default_factory=list)
    """The texts of the turn itself."""
    transcript: list[Row] = field(default_factory=list)
    """The newest entries of the thread."""


GET_PAYLOAD_TEXTS_SQL = """
WITH asked AS (
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY
        AS a(tenant_id, interaction_id, turn_id, nth)
)
SELECT a.nth, false AS own, m.*
FROM asked a CROSS JOIN LATERAL (  -- maybe a thousand rows: only the columns of the payload
    SELECT message_id, seq, role, source, text, media, status, created_at, possible_opt_out
    FROM messages
    WHERE tenant_id = a.tenant_id AND interaction_id = a.interaction_id AND seq IS NOT NULL
      AND status <> 'note'
    ORDER BY seq DESC LIMIT $4
) m
UNION ALL
SELECT a.nth, true, m.*
FROM asked a CROSS JOIN LATERAL (
    SELECT m.message_id, m.seq, m.role, m.source, m.text, m.media, m.status, m.created_at,
           m.possible_opt_out
    FROM turn_messages x
    JOIN messages m ON m.tenant_id = x.tenant_id AND m.message_id = x.message_id
    WHERE x.tenant_id = a.tenant_id AND x.turn_id = a.turn_id
) m
"""


async def get_payload_texts(
    tx: Tx, turns: Sequence[tuple[str, str, str]], max_entries: int
) -> dict[TurnKey, PayloadTexts]:
    """The texts of each (tenant, interaction, turn), and the newest `max_entries` entries of its
    thread."""
    payload_texts = [PayloadTexts() for _ in turns]
    rows = await tx.fetch_rows(GET_PAYLOAD_TEXTS_SQL, *as_columns(turns, 3), max_entries)
    rows.sort(key=itemgetter("seq"))  # cheaper here than in SQL: the rows are nearly sorted
    for row in rows:
        texts = payload_texts[row["nth"] - 1]
        (texts.texts if row["own"] else texts.transcript).append(row)
    return {(tenant, turn): texts for (tenant, _, turn), texts in zip(turns, payload_texts, strict=True)}


LIST_TURNS_SQL = """
SELECT u.*, (SELECT coalesce(jsonb_agg(jsonb_build_object('messageId', x.message_id, 'seq', x.seq)
                                       ORDER BY x.seq), '[]')
             FROM turn_messages x
             WHERE x.tenant_id = u.tenant_id AND x.turn_id = u.turn_id) AS texts
FROM turns u WHERE u.tenant_id = $1
  AND ($2::text IS NULL OR u.interaction_id = $2) AND ($3::text IS NULL OR u.turn_id = $3)
  AND ($4::text IS NULL OR u.sms_agent_id = $4)
  AND ($5::timestamptz IS NULL OR (u.opened_at, u.turn_id) < ($5, $6))
ORDER BY u.opened_at DESC, u.turn_id DESC LIMIT $7
"""

GET_ATTEMPTS_SQL = """
SELECT * FROM turn_attempts WHERE tenant_id = $1 AND turn_id = ANY ($2) ORDER BY attempt
"""


async def list_page(
    read: ReadTx,
    tenant_id: str,
    interaction_id: str | None,
    turn_id: str | None,
    agent_id: str | None,
    before: tuple[Any, ...] | None,
    limit: int,
) -> tuple[list[Row], dict[str, list[Row]]]:
    """Up to `limit` turns, newest first, that come after `before` (opened_at, turn id); and the
    attempts, by turn id."""
    at, last = before or (None, None)
    rows = await read.fetch_rows(LIST_TURNS_SQL, tenant_id, interaction_id, turn_id, agent_id, at, last, limit)
    attempts: dict[str, list[Row]] = {}
    for row in await read.fetch_rows(GET_ATTEMPTS_SQL, tenant_id, _turn_ids(rows)):
        attempts.setdefault(row["turn_id"], []).append(row)
    return rows, attempts


def _turn_ids(turns: Sequence[Row]) -> list[str]:
    return [row["turn_id"] for row in turns]


HAS_HAD_TURN_SQL = """
SELECT EXISTS (SELECT 1 FROM turns
               WHERE tenant_id = $1 AND interaction_id = $2 AND sms_agent_id = $3)
"""


async def has_had_turn(read: ReadTx, tenant_id: str, interaction_id: str, agent_id: str) -> bool:
    """Whether the agent has or had a turn in the thread."""
    return bool(await read.fetch_value(HAS_HAD_TURN_SQL, tenant_id, interaction_id, agent_id))
