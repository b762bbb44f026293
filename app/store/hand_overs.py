"""Hand-overs: what a claim reads, and how each step of a POST is recorded, for many turns at a time."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from app.domain.experiments import Side, choose_side
from app.domain.outcomes import RefusedOutcome
from app.domain.turns import PROTECTION_TIME, UNFINISHED_STATES, UNHEARD_STATES, LiveTurn, TurnContext
from app.store.agent_of import agent_of_sql
from app.store.engine import Tx, as_columns
from app.store.rows import columns_of, unnest_sql
from app.store.threads import ThreadKey
from app.store.turn_states import UNFINISHED_SQL
from app.store.turns import TurnKey

FIND_DUE_THREADS_SQL = f"""
SELECT DISTINCT tenant_id, interaction_id FROM turns
WHERE due_at <= (SELECT clock_timestamp()) AND kind = 'live'
  AND state IN {UNFINISHED_SQL}
LIMIT $1
"""


async def find_due_threads(tx: Tx, limit: int) -> list[ThreadKey]:
    """Up to `limit` threads (tenant, interaction) with a turn that is due."""
    return [(row["tenant_id"], row["interaction_id"]) for row in await tx.fetch_rows(FIND_DUE_THREADS_SQL, limit)]


GET_LIVE_TURNS_SQL = """
SELECT u.*
FROM unnest($1::text[], $2::text[]) AS a(tenant_id, interaction_id)
CROSS JOIN LATERAL (
    SELECT u.tenant_id, u.interaction_id, u.turn_id, u.state, u.due_at, u.posting, u.protected,
           u.attempt, u.accepted_at, u.unsent_reply, u.due_at <= clock_timestamp() AS is_due,
           u.due_at < u.window_due_at + $5::interval AS is_patient, u.trigger, u.step
    FROM turns u
    WHERE u.tenant_id = a.tenant_id AND u.interaction_id = a.interaction_id AND u.kind = 'live'
      AND (u.state = ANY ($3) OR u.posting AND u.due_at > clock_timestamp()
           OR u.state = ANY ($4) AND u.accepted_at IS NULL AND u.moved_to IS NULL AND u.trigger = 'texts')
) u
"""


async def get_live(tx: Tx, threads: Collection[ThreadKey]) -> dict[ThreadKey, list[LiveTurn]]:
    """The live turns of each thread that still matter: unfinished ones (at most one that collects
    and one that is handed over), closed ones whose POST may still run, and closed ones whose texts
    no agent ever got."""
    turns_by_thread: dict[ThreadKey, list[LiveTurn]] = {thread: [] for thread in threads}
    columns = as_columns(list(threads), 2)
    for turn in await tx.fetch(
        LiveTurn, GET_LIVE_TURNS_SQL, *columns, UNFINISHED_STATES, UNHEARD_STATES, PROTECTION_TIME
    ):
        turns_by_thread[turn.thread].append(turn)
    return turns_by_thread


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
    experiment_id: str | None
    side: Side | None


BEGIN_POSTS_SQL = f"""
WITH asked AS (
    SELECT * FROM {unnest_sql(PostStart, first=2)}
), begun AS (
    UPDATE turns u SET state = 'delivering', posting = true, lease = a.lease, attempt = a.attempt,
        due_at = clock_timestamp() + $1::interval, expires_at = a.expires_at,
        handed_over_at = coalesce(u.handed_over_at, a.at), sms_agent_id = a.agent_id,
        through_seq = coalesce(u.through_seq, a.through_seq),
        protected = u.protected OR a.is_protected, experiment_id = a.experiment_id, side = a.side
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


@dataclass(frozen=True, slots=True)
class PayloadFacts(TurnContext):
    """What a hand-over needs besides the texts. The agent is the one that serves the thread now."""

    stale_replies: int
    is_paused: bool | None
    paused_reason: str | None
    webhook_url: str
    secret: bytes
    previous_secret: bytes | None
    """It still signs beside `secret`."""
    max_turns_per_day: int
    follow_up_count: int
    """How many steps the agent follows up after silence."""
    business_hours: dict[str, Any] | None
    shadow_webhook_url: str | None
    now: datetime
    handed_over_today: int
    refused_outcome: RefusedOutcome | None
    """The thread's last refused outcome, if no payload has shown it."""
    frozen: bytes | None
    """The body of the first attempt, if there was one: later attempts repeat it."""
    experiment_id: str | None
    """The agent's A/B test; the fields that follow are its own. None: there is none in force."""
    share: float | None
    other_url: str | None
    other_secret: bytes | None
    other_previous_secret: bytes | None
    kept_side: Side | None
    thread_side: Side | None
    """Of the thread's first turn in it."""

    @property
    def side(self) -> Side | None:
        """The side of the A/B test that gets the turn. A thread keeps its side, also with another lead."""
        if self.experiment_id is None or self.share is None:
            return None
        return self.kept_side or self.thread_side or choose_side(self.experiment_id, self.lead_id, self.share)

    @property
    def endpoint(self) -> str:
        """The agent's endpoint: two webhooks do not share their places and failures."""
        return f"{self.sms_agent_id} b" if self.side == "b" else self.sms_agent_id


MAX_NOTES = 20
NOTES_FOR_AGENT_SQL = f"""(
    SELECT jsonb_agg(jsonb_build_object('messageId', n.message_id, 'text', n.text, 'at', n.created_at) ORDER BY n.seq)
    FROM (SELECT m.message_id, m.text, m.created_at, m.seq FROM messages m
          WHERE m.tenant_id = t.tenant_id AND m.interaction_id = t.interaction_id
            AND m.note IS NOT NULL AND m.note -> 'forAgent' = 'true'
          ORDER BY m.seq DESC LIMIT {MAX_NOTES}) n)"""
GET_PAYLOAD_FACTS_SQL = f"""
SELECT t.tenant_id, a.turn_id, t.interaction_id, t.status, t.lead_phone, t.our_number, t.last_seq,
       l.lead_id, l.first_name, l.last_name, l.email, l.phone, l.status AS lead_status, l.tags, l.custom_fields,
       l.questionnaire AS answers, c.campaign_id, c.name AS campaign_name, c.client_name, c.offer_name,
       coalesce(c.questionnaire, '[]') AS questions, agent.sms_agent_id, {NOTES_FOR_AGENT_SQL} AS notes,
       t.stale_replies, t.paused_until > clock_timestamp() AS is_paused, t.paused_reason,
       agent.webhook_url, agent.secret,
       CASE WHEN agent.previous_secret_until > clock_timestamp() THEN agent.previous_secret END
           AS previous_secret,
       agent.max_turns_per_day, jsonb_array_length(agent.follow_ups) AS follow_up_count,
       agent.business_hours, agent.shadow_webhook_url,
       clock_timestamp() AS now, past.handed_over_today,
       CASE WHEN (t.refused_outcome ->> 'refusedAt')::timestamptz >= (
           SELECT max(p.handed_over_at) FROM turns p
           WHERE p.tenant_id = a.tenant_id AND p.interaction_id = a.interaction_id AND p.kind = 'live')
           THEN t.refused_outcome END AS refused_outcome,
       (SELECT f.request_body FROM turn_attempts f
        WHERE f.tenant_id = a.tenant_id AND f.turn_id = a.turn_id AND f.attempt = 1) AS frozen,
       x.experiment_id, x.share, x.webhook_url AS other_url, x.secret AS other_secret,
       CASE WHEN x.previous_secret_until > clock_timestamp() THEN x.previous_secret END AS other_previous_secret,
       x.kept_side,
       CASE WHEN x.experiment_id IS NOT NULL THEN (
           SELECT p.side FROM turns p
           WHERE p.tenant_id = a.tenant_id AND p.interaction_id = a.interaction_id AND p.kind = 'live'
             AND p.experiment_id = x.experiment_id
           ORDER BY p.opened_at LIMIT 1) END AS thread_side
FROM unnest($1::text[], $2::text[], $3::text[]) AS a(tenant_id, interaction_id, turn_id)
JOIN interactions t ON t.tenant_id = a.tenant_id AND t.interaction_id = a.interaction_id
JOIN leads l ON l.tenant_id = t.tenant_id AND l.lead_id = t.lead_id
LEFT JOIN campaigns c ON c.tenant_id = t.tenant_id AND c.campaign_id = t.campaign_id
CROSS JOIN LATERAL (
    {agent_of_sql("t.tenant_id", "t.campaign_id", "l.is_test", "t.our_number")}
) agent
CROSS JOIN LATERAL (
    SELECT count(*) AS handed_over_today FROM turns p
    WHERE p.tenant_id = a.tenant_id AND p.interaction_id = a.interaction_id AND p.kind = 'live'
      AND p.handed_over_at >= date_trunc('day', clock_timestamp(), 'UTC')
) past
LEFT JOIN experiments x ON x.tenant_id = a.tenant_id AND x.sms_agent_id = agent.sms_agent_id
    AND x.kept_side IS DISTINCT FROM 'a'
"""


async def get_payload_facts(tx: Tx, turns: Collection[LiveTurn]) -> dict[TurnKey, PayloadFacts]:
    """The facts of each turn. A turn whose thread no active agent serves is left out."""
    keys = [(turn.tenant_id, turn.interaction_id, turn.turn_id) for turn in turns]
    found_facts = await tx.fetch(PayloadFacts, GET_PAYLOAD_FACTS_SQL, *as_columns(keys, 3))
    return {(facts.tenant_id, facts.turn_id): facts for facts in found_facts}
