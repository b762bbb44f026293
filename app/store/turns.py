"""Turns: what a hand-over needs, and how each step is recorded. The interaction's row lock is
held by whoever changes a turn."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from app.domain.turns import PROTECTED_FOR
from app.store.agent_of import agent_of
from app.store.engine import Read, Row, Tx

DUE = """
SELECT DISTINCT tenant_id, interaction_id FROM turns
WHERE due_at <= clock_timestamp() AND kind = 'live'
  AND state IN ('collecting', 'delivering', 'awaiting_reply')
LIMIT $1
"""


async def due(tx: Tx, limit: int) -> list[tuple[str, str]]:
    """Threads (tenant, interaction) with a turn that wants to be looked at."""
    return [(row["tenant_id"], row["interaction_id"]) for row in await tx.rows(DUE, limit)]


NOW = "SELECT extract(epoch FROM clock_timestamp())::float8"


async def now(tx: Tx) -> float:
    """The database's clock, in epoch seconds."""
    return float(await tx.value(NOW))


UNFINISHED = """
SELECT u.*, u.due_at <= clock_timestamp() AS is_due,
       u.due_at < u.window_due_at + $3::interval AS patient FROM turns u
WHERE u.tenant_id = $1 AND u.interaction_id = $2 AND u.kind = 'live'
  AND (u.state IN ('collecting', 'delivering', 'awaiting_reply')
       OR u.posting AND u.due_at > clock_timestamp())
"""


async def unfinished(tx: Tx, tenant_id: str, interaction_id: str) -> list[Row]:
    """The thread's live turns that are not closed (one collecting and one handed over at most),
    and closed ones of which a POST may still be on its way. `patient`: the turn has not yet
    waited for a protected one."""
    return await tx.rows(UNFINISHED, tenant_id, interaction_id, PROTECTED_FOR)


CLOSE = """
UPDATE turns SET state = $3, reason = $4, closed_at = clock_timestamp()
WHERE tenant_id = $1 AND turn_id = $2
"""


async def close(tx: Tx, tenant_id: str, turn_id: str, state: str, reason: str) -> None:
    await tx.execute(CLOSE, tenant_id, turn_id, state, reason)


MOVE = """
WITH unheard AS (
    UPDATE turns SET moved_to = $3
    WHERE tenant_id = $1 AND interaction_id = $2 AND kind = 'live' AND turn_id <> $3
      AND state IN ('failed', 'superseded') AND accepted_at IS NULL AND moved_to IS NULL
    RETURNING tenant_id, turn_id
)
INSERT INTO turn_messages (tenant_id, turn_id, message_id, seq)
SELECT m.tenant_id, $3, m.message_id, m.seq
FROM turn_messages m JOIN unheard USING (tenant_id, turn_id)
ON CONFLICT DO NOTHING
"""


async def move_unheard(tx: Tx, tenant_id: str, interaction_id: str, to: str) -> None:
    """The texts of closed turns that no agent ever got move into the turn `to`."""
    await tx.execute(MOVE, tenant_id, interaction_id, to)


BEGIN = """
UPDATE turns SET state = 'delivering', posting = true, lease = $3, attempt = attempt + 1,
    due_at = clock_timestamp() + $4::interval, expires_at = clock_timestamp() + $5::interval,
    handed_over_at = coalesce(handed_over_at, clock_timestamp()), sms_agent_id = $6,
    through_seq = coalesce(through_seq, $7), payload = coalesce(payload, $8),
    protected = protected OR $9
WHERE tenant_id = $1 AND turn_id = $2
RETURNING turn_id, attempt, expires_at, clock_timestamp() AS at
"""


async def begin(
    tx: Tx, tenant_id: str, turn_id: str, lease: str, lasts: timedelta, expires: timedelta,
    agent_id: str, through_seq: int, payload: dict[str, Any] | None, protected: bool,
) -> Row:  # fmt: skip
    """Marks a POST as on its way; what was frozen at the first attempt stays."""
    row = await tx.row(
        BEGIN,
        tenant_id,
        turn_id,
        lease,
        lasts,
        expires,
        agent_id,
        through_seq,
        payload,
        protected,
    )
    assert row is not None
    return row


ATTEMPT = """
INSERT INTO turn_attempts (tenant_id, turn_id, attempt, at, request_body)
VALUES ($1, $2, $3, $4, $5)
"""


async def add_attempt(
    tx: Tx, tenant_id: str, turn_id: str, attempt: int, at: Any, body: bytes
) -> None:
    """Keeps the very bytes that are about to be POSTed."""
    await tx.execute(ATTEMPT, tenant_id, turn_id, attempt, at, body)


ATTEMPTED = """
WITH over AS (
    UPDATE turns SET posting = false, lease = NULL
    WHERE tenant_id = $1 AND turn_id = $2 AND lease = $8
)
UPDATE turn_attempts SET outcome = $4, http_status = $5, duration_ms = $6, answer = $7
WHERE tenant_id = $1 AND turn_id = $2 AND attempt = $3 AND outcome IS NULL
"""


async def end_attempt(
    tx: Tx, tenant_id: str, turn_id: str, attempt: int, outcome: str, http_status: int | None,
    duration_ms: int, answer: str | None, lease: str,
) -> None:  # fmt: skip
    """The POST is over; the lease, if it is still ours, too."""
    await tx.execute(
        ATTEMPTED,
        tenant_id,
        turn_id,
        attempt,
        outcome,
        http_status,
        duration_ms,
        answer,
        lease,
    )


ONE = """
SELECT u.*, t.lead_id, g.stale_reply, g.reply_delay_ms FROM turns u
LEFT JOIN interactions t USING (tenant_id, interaction_id)
LEFT JOIN sms_agents g USING (tenant_id, sms_agent_id)
WHERE u.tenant_id = $1 AND u.turn_id = $2
"""


async def get(read: Read, tenant_id: str, turn_id: str) -> Row | None:
    """The turn with the lead of its thread and its agent's rules."""
    return await read.row(ONE, tenant_id, turn_id)


POSTPONE = """
UPDATE turns SET due_at = clock_timestamp() + $3::interval WHERE tenant_id = $1 AND turn_id = $2
"""


async def postpone(tx: Tx, tenant_id: str, turn_id: str, wait: timedelta) -> None:
    """The turn is looked at again after `wait`; its window stays what it was."""
    await tx.execute(POSTPONE, tenant_id, turn_id, wait)


WAKE = """
UPDATE turns SET due_at = window_due_at
WHERE tenant_id = $1 AND interaction_id = $2 AND kind = 'live' AND state = 'collecting'
"""


async def wake(tx: Tx, tenant_id: str, interaction_id: str) -> None:
    """The collecting turn waits for nothing but its window any more."""
    await tx.execute(WAKE, tenant_id, interaction_id)


HANDED_OVER_TODAY = """
SELECT count(*) FROM turns
WHERE tenant_id = $1 AND interaction_id = $2 AND kind = 'live'
  AND handed_over_at >= date_trunc('day', clock_timestamp(), 'UTC')
"""


async def handed_over_today(tx: Tx, tenant_id: str, interaction_id: str) -> int:
    return int(await tx.value(HANDED_OVER_TODAY, tenant_id, interaction_id))


LAST_REPLIES = """
SELECT text FROM messages
WHERE tenant_id = $1 AND interaction_id = $2 AND role = 'agent' AND status <> 'note'
  AND source = 'sms_agent'
ORDER BY seq DESC NULLS FIRST LIMIT $3
"""


async def last_replies(tx: Tx, tenant_id: str, interaction_id: str, count: int) -> list[str]:
    """The agent's newest texts of the thread, oldest first."""
    rows = await tx.rows(LAST_REPLIES, tenant_id, interaction_id, count)
    return [row["text"] for row in reversed(rows)]


HOLD = """
UPDATE turns SET held = CASE WHEN turn_id = $3 THEN $4::jsonb END
WHERE tenant_id = $1 AND interaction_id = $2 AND (turn_id = $3 OR held IS NOT NULL)
"""


async def hold(
    tx: Tx, tenant_id: str, interaction_id: str, turn_id: str, held: dict[str, Any] | None
) -> None:
    """Keeps the turn's stale reply for a person (None: no more); one held before is discarded."""
    await tx.execute(HOLD, tenant_id, interaction_id, turn_id, held)


ADD_TWIN = """
INSERT INTO turns (tenant_id, turn_id, interaction_id, sms_agent_id, kind, state, due_at,
    window_due_at, handed_over_at, expires_at, payload, of_turn, attempt, through_seq)
VALUES ($1, $2, $3, $4, $5, 'delivering', clock_timestamp(), clock_timestamp(), clock_timestamp(),
    clock_timestamp() + $6::interval, $7, $8, 1, ($7::jsonb #>> '{turn,throughSeq}')::int)
"""


async def add_twin(
    tx: Tx, tenant_id: str, turn_id: str, interaction_id: str | None, agent_id: str | None,
    kind: str, lasts: timedelta, payload: dict[str, Any], of_turn: str | None,
) -> None:  # fmt: skip
    """A replay, shadow or test: handed over at once, and never sent from."""
    await tx.execute(
        ADD_TWIN, tenant_id, turn_id, interaction_id, agent_id, kind, lasts, payload, of_turn
    )


END_TWIN = """
UPDATE turns SET state = $3, reason = $4, reply = coalesce($5, reply),
    closed_at = CASE WHEN $3 IN ('delivering', 'awaiting_reply') THEN NULL
                     ELSE clock_timestamp() END,
    accepted_at = CASE WHEN $3 = 'failed' THEN accepted_at
                       ELSE coalesce(accepted_at, clock_timestamp()) END
WHERE tenant_id = $1 AND turn_id = $2 AND kind <> 'live' AND closed_at IS NULL
"""


async def end_twin(
    tx: Tx, tenant_id: str, turn_id: str, state: str, reason: str | None,
    reply: dict[str, Any] | None,
) -> None:  # fmt: skip
    """What came of a replay, shadow or test; the first answer stays."""
    await tx.execute(END_TWIN, tenant_id, turn_id, state, reason, reply)


REPORT = """
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


async def report(read: Read, tenant_id: str, agent_id: str, limit: int) -> list[Row]:
    """Live turns of the agent beside their shadows, newest first."""
    return await read.rows(REPORT, tenant_id, agent_id, limit)


ACCEPTED = """
UPDATE turns SET accepted_at = coalesce(accepted_at, clock_timestamp()),
    state = CASE state WHEN 'delivering' THEN 'awaiting_reply' ELSE state END,
    due_at = expires_at
WHERE tenant_id = $1 AND turn_id = $2
"""


async def accepted(tx: Tx, tenant_id: str, turn_id: str) -> None:
    """The webhook answered 2xx: the reply may follow until the turn expires."""
    await tx.execute(ACCEPTED, tenant_id, turn_id)


AGAIN = """
UPDATE turns SET due_at = clock_timestamp() + $3::interval
WHERE tenant_id = $1 AND turn_id = $2 AND state = 'delivering'
"""


async def again(tx: Tx, tenant_id: str, turn_id: str, wait: timedelta) -> None:
    """The POST failed and is repeated after `wait`."""
    await tx.execute(AGAIN, tenant_id, turn_id, wait)


REPLIED = """
WITH answered AS (
    UPDATE interactions t SET stale_replies = 0 FROM turns u
    WHERE u.tenant_id = $1 AND u.turn_id = $2 AND t.tenant_id = u.tenant_id
      AND t.interaction_id = u.interaction_id AND $3 = 'replied' AND t.stale_replies > 0
)
UPDATE turns SET state = $3, reason = $4, reply = $5, closed_at = clock_timestamp()
WHERE tenant_id = $1 AND turn_id = $2
"""


async def replied(
    tx: Tx,
    tenant_id: str,
    turn_id: str,
    state: str,
    reason: str,
    reply: dict[str, Any] | None,
) -> None:
    await tx.execute(REPLIED, tenant_id, turn_id, state, reason, reply)


REFUSED = """
UPDATE turns SET refused = refused || $3::jsonb WHERE tenant_id = $1 AND turn_id = $2
"""


async def refuse(tx: Tx, tenant_id: str, turn_id: str, refused: dict[str, Any]) -> None:
    """Records a reply that did not go out."""
    await tx.execute(REFUSED, tenant_id, turn_id, [refused])


UNSENT = """
WITH counted AS (
    UPDATE interactions SET stale_replies = stale_replies + 1
    WHERE tenant_id = $1 AND interaction_id = $2
)
UPDATE turns SET unsent_reply = $3
WHERE tenant_id = $1 AND interaction_id = $2 AND kind = 'live' AND state = 'collecting'
"""


async def carry(tx: Tx, tenant_id: str, interaction_id: str, unsent: dict[str, Any]) -> None:
    """A stale refusal counts, and the collecting turn's payload will tell the agent of it."""
    await tx.execute(UNSENT, tenant_id, interaction_id, unsent)


OPEN_OF_LEAD = """
SELECT u.tenant_id, u.turn_id, u.interaction_id, u.kind FROM turns u
JOIN interactions t USING (tenant_id, interaction_id)
WHERE u.tenant_id = $1 AND t.lead_id = $2 AND u.kind = 'live'
  AND u.state IN ('delivering', 'awaiting_reply') AND ($3::text IS NULL OR u.sms_agent_id = $3)
"""


async def open_of_lead(tx: Tx, tenant_id: str, lead_id: str, agent_id: str | None) -> list[Row]:
    """Turns that wait for a reply in any thread of the lead (of one agent, if given)."""
    return await tx.rows(OPEN_OF_LEAD, tenant_id, lead_id, agent_id)


NEWEST = """
SELECT u.turn_id, u.interaction_id, u.kind FROM turns u
JOIN interactions t USING (tenant_id, interaction_id)
WHERE u.tenant_id = $1 AND u.kind = 'live' AND u.handed_over_at IS NOT NULL
  AND ($2::text IS NULL OR t.interaction_id = $2) AND ($3::text IS NULL OR t.lead_id = $3)
  AND ($4::text IS NULL OR u.sms_agent_id = $4)
ORDER BY u.handed_over_at DESC LIMIT 1
"""


async def newest_handed_over(
    tx: Tx,
    tenant_id: str,
    interaction_id: str | None,
    lead_id: str | None,
    agent_id: str | None,
) -> Row | None:
    return await tx.row(NEWEST, tenant_id, interaction_id, lead_id, agent_id)


@dataclass(frozen=True, slots=True)
class Context:
    """What an agent is told: everything but the turn itself."""

    thread: Row
    agent: Row | None
    texts: list[Row]
    transcript: list[Row]


THREAD = f"""
SELECT t.tenant_id, t.interaction_id, t.status, t.lead_phone, t.our_number, t.last_seq,
       t.agent_mode, t.stale_replies, t.paused_until > clock_timestamp() AS paused,
       t.paused_reason, l.lead_id, l.first_name, l.last_name, l.email, l.phone,
       l.status AS lead_status,
       l.questionnaire AS answers, c.campaign_id, c.name AS campaign_name, c.client_name,
       c.offer_name, coalesce(c.questionnaire, '[]') AS questions, agent.sms_agent_id
FROM interactions t
JOIN leads l ON l.tenant_id = t.tenant_id AND l.lead_id = t.lead_id
LEFT JOIN campaigns c ON c.tenant_id = t.tenant_id AND c.campaign_id = t.campaign_id
LEFT JOIN LATERAL (
    {agent_of("t.tenant_id", "t.campaign_id", "l.is_test", "t.our_number")}
) agent ON true
WHERE t.tenant_id = $1 AND t.interaction_id = $2
"""

AGENT = """
SELECT sms_agent_id, webhook_url, secret, max_turns_per_day, business_hours,
       shadow_webhook_url, clock_timestamp() AS now,
       CASE WHEN previous_secret_until > clock_timestamp() THEN previous_secret END AS previous
FROM sms_agents WHERE tenant_id = $1 AND sms_agent_id = $2
"""

TEXTS = """
SELECT m.* FROM turn_messages x JOIN messages m USING (tenant_id, message_id)
WHERE x.tenant_id = $1 AND x.turn_id = $2 ORDER BY m.seq
"""

TRANSCRIPT = """
SELECT * FROM (  -- a thousand rows: only what the payload tells
    SELECT message_id, seq, role, source, text, media, status, created_at FROM messages
    WHERE tenant_id = $1 AND interaction_id = $2 AND seq IS NOT NULL AND status <> 'note'
    ORDER BY seq DESC LIMIT $3
) newest ORDER BY seq
"""


async def context(
    tx: Tx, tenant_id: str, interaction_id: str, turn_id: str, longest: int
) -> Context:
    """The thread, its agent as of now, the turn's texts and the newest `longest` entries."""
    thread = await tx.row(THREAD, tenant_id, interaction_id)
    assert thread is not None
    return Context(
        thread=thread,
        agent=await tx.row(AGENT, tenant_id, thread["sms_agent_id"]),
        texts=await tx.rows(TEXTS, tenant_id, turn_id),
        transcript=await tx.rows(TRANSCRIPT, tenant_id, interaction_id, longest),
    )


LIST = """
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

ATTEMPTS = """
SELECT * FROM turn_attempts WHERE tenant_id = $1 AND turn_id = ANY ($2) ORDER BY attempt
"""


async def listed(
    read: Read, tenant_id: str, interaction_id: str | None, turn_id: str | None,
    agent_id: str | None, before: tuple[Any, ...] | None, limit: int,
) -> tuple[list[Row], dict[str, list[Row]]]:  # fmt: skip
    """Turns, newest first, and the attempts of each."""
    at, last = before or (None, None)
    found = await read.rows(LIST, tenant_id, interaction_id, turn_id, agent_id, at, last, limit)
    attempts: dict[str, list[Row]] = {}
    for row in await read.rows(ATTEMPTS, tenant_id, _ids(found)):
        attempts.setdefault(row["turn_id"], []).append(row)
    return found, attempts


def _ids(found: Sequence[Row]) -> list[str]:
    return [row["turn_id"] for row in found]


HAD = """
SELECT EXISTS (SELECT 1 FROM turns
               WHERE tenant_id = $1 AND interaction_id = $2 AND sms_agent_id = $3)
"""


async def had_turn(read: Read, tenant_id: str, interaction_id: str, agent_id: str) -> bool:
    """Whether the agent has or had a turn in the thread."""
    return bool(await read.value(HAD, tenant_id, interaction_id, agent_id))
