"""The outbox: texts owed to carriers. Claims them; `store.text_settling` settles them.

`due_at` serves as queue order, lease end, retry time and schedule. A claim writes a lease token
and a settle must name it, so a worker whose lease ran out changes nothing (docs/laws.md, law 8).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from app.store.engine import Tx, as_columns
from app.store.keys import MessageKey
from app.store.status_history import add_step_sql

TEXT_LEASE = timedelta(seconds=30)
UNKNOWN_BLOCK_TIME = timedelta(seconds=60)
"""How long a text of unknown outcome blocks the later texts of its thread."""

COUNTED_TIME = timedelta(seconds=1)
"""A text that leaves so much later counts against caps from then on. One that leaves at once has its row updated in
place, because `counted_at` is named by an index."""

PACING_LOOKAHEAD = timedelta(milliseconds=250)
"""A claim takes as many texts of a number as it may send in this time, but at least one."""

CATCH_UP_WAIT = timedelta(seconds=30)
"""After a downtime, an account's numbers send nothing for at most this time, until the missed
inbound texts are fetched: there may be a STOP among them."""

OWED_ROW_SQL = """(SELECT k.* FROM (
        SELECT o.ctid AS place, o.* FROM outbox o
        WHERE o.tenant_id = a.tenant_id AND o.message_id >= a.message_id
        ORDER BY o.message_id LIMIT 1) k
    WHERE k.message_id = a.message_id)"""
"""The outbox row of `a` (tenant_id, message_id); used after LATERAL. ORDER BY … LIMIT 1 forces the
primary-key index: statistics usually say that the outbox is empty, and an empty table makes every
index look equally good. Later steps of the same statement find the row by its ctid (`place`)."""
SENDERS_SQL = """
RECURSIVE senders AS (  -- each number with a queued text: skips through the index
    (SELECT tenant_id, from_phone FROM outbox WHERE state = 'queued' AND seq IS NOT NULL
     ORDER BY tenant_id, from_phone LIMIT 1)
    UNION ALL
    SELECT n.tenant_id, n.from_phone FROM senders s CROSS JOIN LATERAL (
        SELECT o.tenant_id, o.from_phone FROM outbox o
        WHERE o.state = 'queued' AND o.seq IS NOT NULL
          AND (o.tenant_id, o.from_phone) > (s.tenant_id, s.from_phone)
        ORDER BY o.tenant_id, o.from_phone LIMIT 1) n
)
"""
CLAIM_TEXTS_SQL = f"""
WITH {SENDERS_SQL}, numbers AS (  -- that may send now; skips numbers locked by another worker
    SELECT n.tenant_id, n.phone_number AS from_phone, n.free_at, r.rate, n.account_id, p.paused_at IS NOT NULL AS trying
    FROM phone_numbers n
    JOIN senders s ON s.tenant_id = n.tenant_id AND s.from_phone = n.phone_number
    JOIN tenants tn ON tn.tenant_id = n.tenant_id
    LEFT JOIN provider_accounts p ON p.tenant_id = n.tenant_id AND p.account_id = n.account_id
    CROSS JOIN LATERAL (
        SELECT coalesce(n.messages_per_second, ($6::jsonb -> p.provider ->> CASE
            WHEN n.phone_number ~ '^[0-9]' AND n.phone_number !~ '[A-Za-z]' THEN 'short'
            WHEN n.phone_number ~ '^\\+18(00|33|44|55|66|77|88)' THEN 'toll_free'
            ELSE 'local' END)::float8, 1) AS rate
    ) r
    WHERE n.free_at <= clock_timestamp() AND n.paused_at IS NULL AND tn.paused_at IS NULL
      AND (p.noticed_at IS NULL OR p.noticed_at < clock_timestamp() - $7::interval)
      AND (p.paused_at IS NULL OR p.resumes_at <= clock_timestamp())
    FOR NO KEY UPDATE OF n SKIP LOCKED
), free AS (
    SELECT n.*, n.trying AND EXISTS (  -- one number tries for a paused account
               SELECT 1 FROM numbers o WHERE o.tenant_id = n.tenant_id AND o.account_id = n.account_id
               AND o.from_phone < n.from_phone) AS waiting
    FROM numbers n
    UNION ALL  -- removed numbers: their texts are claimed at once, to fail
    SELECT s.tenant_id, s.from_phone, clock_timestamp(), 1000, NULL, false, false FROM senders s
    WHERE NOT EXISTS (SELECT 1 FROM phone_numbers n
                      WHERE n.tenant_id = s.tenant_id AND n.phone_number = s.from_phone)
), candidates AS (
    SELECT c.*, f.rate,
           row_number() OVER (PARTITION BY c.tenant_id ORDER BY c.lane, c.due_at) AS turn
    FROM free f CROSS JOIN LATERAL (
        SELECT q.*, sum(q.segments) OVER (ORDER BY q.lane, q.due_at, q.message_id)
                    - q.segments AS before
        FROM (
            SELECT o.ctid AS place, o.tenant_id, o.message_id, o.from_phone, o.lane, o.due_at,
                   o.segments
            FROM outbox o
            WHERE o.tenant_id = f.tenant_id AND o.from_phone = f.from_phone
              AND o.state = 'queued' AND o.seq IS NOT NULL AND o.due_at <= clock_timestamp()
              AND (NOT f.waiting OR o.expires_at <= clock_timestamp())
              AND NOT EXISTS (
                  SELECT 1 FROM outbox p
                  WHERE p.tenant_id = o.tenant_id AND p.interaction_id = o.interaction_id
                    AND p.seq < o.seq
                    AND NOT (p.state = 'unknown' AND p.begun_at < clock_timestamp() - $4::interval))
              AND (o.sms_agent_id IS NULL OR (
                  SELECT g.paused_at FROM sms_agents g WHERE g.tenant_id = o.tenant_id
                    AND g.sms_agent_id = o.sms_agent_id) IS NULL)
            ORDER BY o.lane, o.due_at
            LIMIT least(CASE WHEN f.trying THEN 1 ELSE $1::int END, 1 + ceil(f.rate * extract(epoch FROM $5::interval)),
                        greatest(8, ceil(2.0 * $1::int / (SELECT count(*) FROM free))))
        ) q
    ) c
    WHERE c.before <= f.rate * extract(epoch FROM $5::interval)
), due AS (
    SELECT o.*, c.seconds
    FROM ((SELECT place, segments / rate AS seconds FROM candidates
           ORDER BY lane, turn, due_at LIMIT $1)
          UNION ALL
          (SELECT ctid, NULL FROM outbox
           WHERE state <> 'queued' AND due_at <= (SELECT clock_timestamp())
           ORDER BY due_at LIMIT $1)
    ) c CROSS JOIN LATERAL (
        SELECT o.ctid AS place, o.tenant_id, o.message_id, o.state AS was, o.from_phone
        FROM outbox o WHERE o.ctid = c.place AND o.due_at <= clock_timestamp()
        FOR UPDATE SKIP LOCKED) o
), spent AS (
    UPDATE phone_numbers n
    SET free_at = greatest(n.free_at, clock_timestamp()) + c.seconds * interval '1 s'
    FROM (SELECT tenant_id, from_phone, sum(seconds) AS seconds
          FROM due WHERE seconds IS NOT NULL GROUP BY tenant_id, from_phone) c
    WHERE n.tenant_id = c.tenant_id AND n.phone_number = c.from_phone
), claimed AS (
    UPDATE outbox o
    SET state = CASE WHEN due.was <> 'queued' THEN 'unknown'
                     WHEN o.expires_at <= clock_timestamp() THEN 'queued' ELSE 'sending' END,
        begun_at = CASE WHEN due.was = 'queued' THEN clock_timestamp() ELSE o.begun_at END,
        tries = o.tries + (due.was = 'queued')::int,
        lease = $2, due_at = clock_timestamp() + $3::interval
    FROM due WHERE o.ctid = due.place
    RETURNING o.*, due.was
), tried AS (  -- whatever comes of the one text, no other follows it at once
    UPDATE provider_accounts p SET resumes_at = clock_timestamp() + $3::interval
    FROM free f
    WHERE f.trying AND p.tenant_id = f.tenant_id AND p.account_id = f.account_id
      AND EXISTS (SELECT 1 FROM claimed c WHERE c.tenant_id = f.tenant_id
                  AND c.from_phone = f.from_phone AND c.state = 'sending')
), marked AS (
    UPDATE messages m
    SET status = c.state, status_history = {add_step_sql("c.state")},
        -- A text that counts against caps counts when it leaves. It is mostly the moment at which it was accepted.
        counted_at = CASE WHEN m.counted_at < clock_timestamp() - interval '{COUNTED_TIME}' THEN clock_timestamp()
                          ELSE m.counted_at END
    FROM claimed c WHERE m.tenant_id = c.tenant_id AND m.message_id = c.message_id
      AND (c.state = 'sending' AND m.status = 'queued'
           OR c.was = 'sending' AND m.status = 'sending')
)
SELECT c.tenant_id, c.message_id, c.interaction_id, c.account_id, c.to_phone, c.from_phone, c.state,
       c.begun_at, c.tries, c.looked AS lookups, c.resent AS was_resent,
       c.expires_at - clock_timestamp() AS validity, clock_timestamp() - c.begun_at AS age,
       m.text, m.media, m.turn_id, m.status AS message_status, a.provider, a.credentials, a.base_url,
       a.active AND EXISTS (
           SELECT 1 FROM phone_numbers n WHERE n.tenant_id = c.tenant_id
           AND n.phone_number = c.from_phone AND n.active) AS is_sender_active,
       a.paused_at IS NOT NULL AS is_account_paused
FROM claimed c, messages m, provider_accounts a
WHERE m.tenant_id = c.tenant_id AND m.message_id = c.message_id
  AND a.tenant_id = c.tenant_id AND a.account_id = c.account_id
"""


@dataclass(frozen=True, slots=True)
class ClaimedText:
    """A text that only this process may send or look up until its lease ends, with its account."""

    tenant_id: str
    message_id: str
    interaction_id: str
    account_id: str
    to_phone: str
    from_phone: str
    state: Literal["queued", "sending", "unknown"]
    begun_at: datetime
    tries: int
    lookups: int
    """How often the carrier said that it does not have the text."""
    was_resent: bool
    validity: timedelta
    age: timedelta
    """Time since the request began."""
    text: str
    media: list[dict[str, Any]]
    turn_id: str | None
    message_status: str
    provider: str
    credentials: bytes
    """Sealed."""
    base_url: str | None
    is_sender_active: bool
    is_account_paused: bool
    """The carrier refused the account lately; this text tries whether it still does."""

    @property
    def key(self) -> MessageKey:
        return MessageKey(self.tenant_id, self.message_id)


PacingRates = Mapping[str, Mapping[str, float]]
"""Segments per second, by provider and kind of number (`local`, `toll_free`, `short`)."""


async def claim(tx: Tx, lease: str, limit: int, rates: PacingRates) -> list[ClaimedText]:
    """Claims up to `limit` due texts: the oldest of each thread, replies before bulk, tenants in
    rotation, and as many per number as its pacing allows now (the claim counts them as sent).

    A queued text comes back as `sending`, or as `queued` if its validity is over. A text whose
    outcome is `unknown`, or whose lease ran out while `sending`, comes back as `unknown`.

    Where many numbers have texts, each gives only a few; the next claim follows at once."""
    return await tx.fetch_planned_now(
        ClaimedText,
        CLAIM_TEXTS_SQL,
        limit,
        lease,
        TEXT_LEASE,
        UNKNOWN_BLOCK_TIME,
        PACING_LOOKAHEAD,
        rates,
        CATCH_UP_WAIT,
    )


LOOK_SQL = """
SELECT extract(epoch FROM clock_timestamp())::float8 AS now,
       (SELECT true FROM outbox WHERE state = 'queued' AND seq IS NOT NULL
        ORDER BY tenant_id, from_phone LIMIT 1) IS NOT NULL
       OR (SELECT true FROM outbox WHERE state <> 'queued' AND due_at <= (SELECT clock_timestamp())
           ORDER BY due_at LIMIT 1) IS NOT NULL AS may_be_due
"""


@dataclass(frozen=True, slots=True)
class OutboxLook:
    """`now`: the database's clock, in epoch seconds. `may_be_due`: there may be a text to claim."""

    now: float
    may_be_due: bool


async def look(tx: Tx) -> OutboxLook:
    """Whether a claim is worth its price: it takes a hundred times as long, because it is planned each time."""
    found_look = await tx.fetch_one(OutboxLook, LOOK_SQL)
    assert found_look is not None
    return found_look


FIND_LEASED_SQL = """
SELECT o.message_id FROM outbox o
JOIN unnest($1::text[], $2::text[]) AS a(tenant_id, message_id) USING (tenant_id, message_id)
WHERE o.lease = $3
"""


async def find_leased(tx: Tx, lease: str, keys: Sequence[MessageKey]) -> set[str]:
    """The ids of those texts that are still claimed under this lease."""
    return {row["message_id"] for row in await tx.fetch_rows(FIND_LEASED_SQL, *as_columns(keys, 2), lease)}


GET_TIME_UNTIL_FREE_SQL = f"""
WITH {SENDERS_SQL}
SELECT min(n.free_at) - clock_timestamp() FROM senders s
JOIN phone_numbers n ON n.tenant_id = s.tenant_id AND n.phone_number = s.from_phone
JOIN tenants tn ON tn.tenant_id = n.tenant_id
WHERE n.free_at > clock_timestamp() AND n.paused_at IS NULL AND tn.paused_at IS NULL
"""


async def get_time_until_free(tx: Tx) -> timedelta | None:
    """How long until pacing lets the next number with queued texts send; None: none waits."""
    wait: timedelta | None = await tx.fetch_value(GET_TIME_UNTIL_FREE_SQL)
    return wait


GET_SECONDS_SINCE_CLAIM_SQL = """
SELECT extract(epoch FROM clock_timestamp() - max(begun_at))::float8 FROM outbox
WHERE tenant_id = $1 AND to_phone = ANY ($2) AND state = 'sending'
"""


async def get_seconds_since_claim(tx: Tx, tenant_id: str, phones: Sequence[str]) -> float | None:
    """Seconds since the newest text to the phones was claimed; None: none is being sent."""
    seconds: float | None = await tx.fetch_value(GET_SECONDS_SINCE_CLAIM_SQL, tenant_id, list(phones))
    return seconds
