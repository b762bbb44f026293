"""Turns: their rows, and the steps that several rooms record. See `hand_overs`, `replies` and
`dry_turns` for the others. Whoever changes a turn holds the row lock of its interaction."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from app.domain.experiments import Side
from app.domain.turns import ClosedState, HeldReply, StoredReply, Trigger, TurnState, Unsent
from app.store.engine import ReadTx, Tx, as_columns
from app.store.lead_answers import NEWS_PARAMETER_COUNT, RECORD_NEWS_SQL, LeadNews
from app.store.rows import columns_of, unnest_sql
from app.store.thread_filters import CommonFilter, Params, id_span_sql, threads_sql
from app.store.thread_history import last_change_sql
from app.store.threads import ThreadKey

TurnKey = tuple[str, str]
"""(tenant id, turn id)."""

GET_TIME_SQL = "SELECT extract(epoch FROM clock_timestamp())::float8"


async def get_database_time(tx: Tx) -> float:
    """The database's clock, in epoch seconds."""
    return float(await tx.fetch_value(GET_TIME_SQL))


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn with its thread's lead and its agent's settings."""

    tenant_id: str
    turn_id: str
    interaction_id: str | None
    """None: a test of the agent, without a thread."""
    sms_agent_id: str | None
    kind: str
    state: TurnState
    reason: str | None
    attempt: int
    lease: str | None
    accepted_at: datetime | None
    closed_at: datetime | None
    protected: bool
    reply: StoredReply | None
    held: HeldReply | None
    outcome: dict[str, Any] | None
    lead_id: str | None
    stale_reply: str | None
    reply_delay_ms: int | None
    next_due_at: datetime | None
    """When the thread's collecting turn is due."""
    trigger: Trigger

    @property
    def key(self) -> TurnKey:
        return self.tenant_id, self.turn_id

    @property
    def thread(self) -> ThreadKey:
        """The thread of a turn that is not a test."""
        assert self.interaction_id is not None
        return self.tenant_id, self.interaction_id

    @property
    def agent_author(self) -> str:
        """The agent as the one who did something."""
        return f"agent:{self.sms_agent_id}"


GET_TURNS_SQL = """
SELECT u.tenant_id, u.turn_id, u.interaction_id, u.sms_agent_id, u.kind, u.state, u.reason,
       u.attempt, u.lease, u.accepted_at, u.closed_at, u.protected, u.reply, u.held,
       u.outcome, t.lead_id, g.stale_reply, g.reply_delay_ms, next.due_at AS next_due_at, u.trigger
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


async def get_many(read: ReadTx, turn_keys: Collection[TurnKey]) -> dict[TurnKey, Turn]:
    """The turns that exist."""
    found_turns = await read.fetch(Turn, GET_TURNS_SQL, *as_columns(list(turn_keys), 2), ["collecting"])
    return {turn.key: turn for turn in found_turns}


async def get(read: ReadTx, tenant_id: str, turn_id: str) -> Turn | None:
    return (await get_many(read, [(tenant_id, turn_id)])).get((tenant_id, turn_id))


@dataclass(frozen=True, slots=True)
class TurnEnd:
    """How a turn is closed."""

    tenant_id: str
    turn_id: str
    state: ClosedState | None
    """None: the turn keeps its state, and only gets an outcome."""
    reason: str | None
    reply: str | None = None
    """The agent's reply, as JSON."""
    outcome: str | None = None
    """What the agent says the conversation came to, as JSON."""
    status: str | None = None
    """The thread's new status, from the outcome."""
    summary: str | None = None


def _close_turns_sql(start: str, first: int) -> str:
    """`start`: WITH, or a statement's beginning with other parts. `first`: the number of the first
    parameter."""
    return f"""{start} asked AS (
    SELECT * FROM {unnest_sql(TurnEnd, first=first)}
), answered AS (
    UPDATE interactions t SET stale_replies = CASE WHEN a.state = 'replied' THEN 0 ELSE t.stale_replies END,
        status = coalesce(a.status, t.status), summary = coalesce(a.summary, t.summary),
        updated_at = CASE WHEN a.outcome IS NULL THEN t.updated_at ELSE clock_timestamp() END,
        last_change = CASE WHEN a.status IS NULL THEN t.last_change
                           ELSE {last_change_sql("'agent:' || u.sms_agent_id", "'outcome'")} END
    FROM asked a
    JOIN turns u ON u.tenant_id = a.tenant_id AND u.turn_id = a.turn_id
    WHERE t.tenant_id = u.tenant_id AND t.interaction_id = u.interaction_id
      AND (a.state = 'replied' AND t.stale_replies > 0 OR a.outcome IS NOT NULL)
)
UPDATE turns u SET state = coalesce(a.state, u.state), reason = coalesce(a.reason, u.reason),
    reply = coalesce(a.reply::jsonb, u.reply), outcome = coalesce(
        a.outcome::jsonb || jsonb_build_object('at', clock_timestamp()), u.outcome),
    closed_at = CASE WHEN a.state IS NULL THEN u.closed_at ELSE clock_timestamp() END
FROM asked a WHERE u.tenant_id = a.tenant_id AND u.turn_id = a.turn_id
"""


CLOSE_TURNS_SQL = _close_turns_sql("WITH", 1)
CLOSE_TURNS_WITH_NEWS_SQL = _close_turns_sql(f"{RECORD_NEWS_SQL.rstrip()},", 1 + NEWS_PARAMETER_COUNT)


async def close(tx: Tx, turn_ends: Sequence[TurnEnd], lead_news: LeadNews | None = None) -> None:
    """Closes open turns, and stores the outcomes of agents. A thread with a `replied` turn counts its
    stale replies from zero again. `lead_news`: what the outcomes say of the leads. Each turn is of
    another thread, and each of the news of another lead."""
    if not turn_ends:
        return
    if lead_news:
        await tx.execute(CLOSE_TURNS_WITH_NEWS_SQL, *lead_news.columns, *columns_of(turn_ends))
    else:
        await tx.execute(CLOSE_TURNS_SQL, *columns_of(turn_ends))


POSTPONE_TURNS_SQL = """
UPDATE turns u SET due_at = clock_timestamp() + a.wait
FROM unnest($1::text[], $2::text[], $3::interval[]) AS a(tenant_id, turn_id, wait)
WHERE u.tenant_id = a.tenant_id AND u.turn_id = a.turn_id
"""


async def postpone(tx: Tx, waits: Sequence[tuple[str, str, timedelta]]) -> None:
    """Makes each (tenant, turn, wait) due after its wait; its window does not change."""
    if waits:
        await tx.execute(POSTPONE_TURNS_SQL, *as_columns(waits, 3))


RECORD_STALE_REPLY_SQL = """
WITH counted AS (
    UPDATE interactions SET stale_replies = stale_replies + 1
    WHERE tenant_id = $1 AND interaction_id = $2
)
UPDATE turns SET unsent_reply = $3
WHERE tenant_id = $1 AND interaction_id = $2 AND kind = 'live' AND state = 'collecting'
"""


async def record_stale_reply(tx: Tx, tenant_id: str, interaction_id: str, unsent_reply: Mapping[str, object]) -> None:
    """Counts a stale reply, and puts it into the thread's collecting turn: the next payload shows
    it to the agent as not sent."""
    await tx.execute(RECORD_STALE_REPLY_SQL, tenant_id, interaction_id, unsent_reply)


@dataclass(frozen=True, slots=True)
class TurnRecord:
    """A turn as people and API keys read it."""

    turn_id: str
    interaction_id: str | None
    sms_agent_id: str | None
    kind: str
    state: TurnState
    reason: str | None
    opened_at: datetime
    window_due_at: datetime
    handed_over_at: datetime | None
    accepted_at: datetime | None
    expires_at: datetime | None
    closed_at: datetime | None
    moved_to: str | None
    of_turn: str | None
    protected: bool
    unsent_reply: Unsent | None
    reply: StoredReply | None
    held: HeldReply | None
    refused: list[dict[str, Any]]
    outcome: dict[str, Any] | None
    trigger: Trigger
    step: int | None
    experiment_id: str | None
    side: Side | None
    """Of the A/B test."""
    texts: list[dict[str, Any]]
    """Each as `{messageId, seq}`."""


SELECT_TURN_SQL = """
SELECT u.turn_id, u.interaction_id, u.sms_agent_id, u.kind, u.state, u.reason, u.opened_at,
       u.window_due_at, u.handed_over_at, u.accepted_at, u.expires_at, u.closed_at, u.moved_to,
       u.of_turn, u.protected, u.unsent_reply, u.reply, u.held, u.refused, u.outcome,
       u.trigger, u.step, u.experiment_id, u.side,
       (SELECT coalesce(jsonb_agg(jsonb_build_object('messageId', x.message_id, 'seq', x.seq)
                                  ORDER BY x.seq), '[]')
        FROM turn_messages x
        WHERE x.tenant_id = u.tenant_id AND x.turn_id = u.turn_id) AS texts
FROM turns u WHERE u.tenant_id = $1
"""
GET_RECORDS_SQL = f"{SELECT_TURN_SQL}  AND u.turn_id = ANY ($2) ORDER BY u.turn_id DESC"


async def get_records(read: ReadTx, tenant_id: str, turn_ids: Sequence[str]) -> list[TurnRecord]:
    """The turns that exist, newest ids first."""
    return await read.fetch(TurnRecord, GET_RECORDS_SQL, tenant_id, list(turn_ids))


async def find_record(read: ReadTx, tenant_id: str, turn_id: str) -> TurnRecord | None:
    return await read.fetch_one(TurnRecord, GET_RECORDS_SQL, tenant_id, [turn_id])


LIST_TURNS_SQL = f"""{SELECT_TURN_SQL}
  AND u.interaction_id = $2 AND ($3::text IS NULL OR u.sms_agent_id = $3)
  AND ($4::timestamptz IS NULL OR (u.opened_at, u.turn_id) < ($4, $5))
ORDER BY u.opened_at DESC, u.turn_id DESC LIMIT $6
"""


@dataclass(frozen=True, slots=True)
class TurnAttempt:
    """One POST of a turn. The fields without values: it has not ended."""

    turn_id: str
    attempt: int
    at: datetime
    http_status: int | None
    duration_ms: int | None
    outcome: str | None
    answer: str | None
    request_body: bytes


GET_ATTEMPTS_SQL = """
SELECT turn_id, attempt, at, http_status, duration_ms, outcome, answer, request_body
FROM turn_attempts WHERE tenant_id = $1 AND turn_id = ANY ($2) ORDER BY attempt
"""


async def list_attempts(read: ReadTx, tenant_id: str, turn_id: str) -> list[TurnAttempt]:
    """The attempts of a turn, oldest first."""
    return await read.fetch(TurnAttempt, GET_ATTEMPTS_SQL, tenant_id, [turn_id])


async def list_of_thread(
    read: ReadTx,
    tenant_id: str,
    interaction_id: str,
    agent_id: str | None,
    before: tuple[Any, ...] | None,
    limit: int,
) -> tuple[list[TurnRecord], dict[str, list[TurnAttempt]]]:
    """Up to `limit` turns, newest first, that come after `before` (opened_at, turn id); and the
    attempts, by turn id."""
    at, last = before or (None, None)
    turns = await read.fetch(TurnRecord, LIST_TURNS_SQL, tenant_id, interaction_id, agent_id, at, last, limit)
    attempts: dict[str, list[TurnAttempt]] = {}
    for attempt in await read.fetch(TurnAttempt, GET_ATTEMPTS_SQL, tenant_id, [turn.turn_id for turn in turns]):
        attempts.setdefault(attempt.turn_id, []).append(attempt)
    return turns, attempts


@dataclass(frozen=True, slots=True)
class TurnFilter(CommonFilter):
    """Narrows a list of turns. `statuses` are their states, and dates compare when they opened."""

    kinds: Sequence[str] | None = None
    agent_ids: Collection[str] = ()
    """Each of them must be the turn's agent."""
    lead_id: str | None = None


async def list_filtered(
    read: ReadTx, tenant_id: str, filters: TurnFilter, below: str | None, limit: int
) -> list[TurnRecord]:
    """Turns of all threads below an id, newest ids first."""
    return await get_records(read, tenant_id, await list_filtered_ids(read, tenant_id, filters, below, limit))


async def list_filtered_ids(
    read: ReadTx, tenant_id: str, filters: TurnFilter, below: str | None, limit: int
) -> list[str]:
    """Ids of turns of all threads below an id, newest first."""
    params = Params(tenant_id)
    conditions = id_span_sql(params, "turn", "u.turn_id", "u.opened_at", filters, below)
    for column, values in (("u.state", filters.statuses), ("u.kind", filters.kinds)):
        if values is not None:
            conditions += f" AND {column} = ANY ({params.bind(list(values))}::text[])"
    for agent_id in filters.agent_ids:
        conditions += f" AND u.sms_agent_id = {params.bind(agent_id)}"
    if threads := threads_sql(params, filters, {"lead_id": filters.lead_id}):
        conditions += f" AND u.interaction_id IN ({threads})"
    statement = f"""SELECT u.turn_id FROM turns u
WHERE u.tenant_id = $1{conditions} ORDER BY u.turn_id DESC LIMIT {params.bind(limit)}"""
    return [row["turn_id"] for row in await read.fetch_rows(statement, *params.values)]


HAS_HAD_TURN_SQL = """
SELECT EXISTS (SELECT 1 FROM turns
               WHERE tenant_id = $1 AND interaction_id = $2 AND sms_agent_id = $3)
"""


async def has_had_turn(read: ReadTx, tenant_id: str, interaction_id: str, agent_id: str) -> bool:
    """Whether the agent has or had a turn in the thread."""
    return bool(await read.fetch_value(HAS_HAD_TURN_SQL, tenant_id, interaction_id, agent_id))
