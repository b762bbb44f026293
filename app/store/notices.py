"""How people are told: each way to tell a person is a cursor over the tenant's events
(docs/decisions/0038-people-are-told-by-cursors.md)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

from app.domain.notices import DIGEST_EVERY, NAMES_BY_KIND, NotedEvent, NoticeKind, NoticeWay
from app.domain.words import PersonRole
from app.store.engine import ReadTx, Tx
from app.store.events import SETTLED_SQL, cursor_sql

MAX_EVENTS = 2000
"""Events of one digest; the others come with the next one."""
MAX_COUNTED = 100
MAX_LISTED = 200
NAME_ROWS_SQL = ", ".join(f"('{kind}', '{name}')" for kind, names in NAMES_BY_KIND.items() for name in names)
NAME_LIST_SQL = ", ".join(f"'{name}'" for names in NAMES_BY_KIND.values() for name in names)
SUBJECT_SQL = """coalesce(CASE WHEN v.type = 'status' THEN v.interaction_id END, v.data ->> 'smsAgentId',
                     v.data ->> 'accountId', v.interaction_id, '')"""


def noted_sql(limit: str, condition: str = "", order: str = "ASC") -> str:
    """The settled events that the way `w` tells, without those that the person made or that are for others. The
    list of names is repeated, because it is the condition of the index."""
    return f"""
    SELECT v.tenant_id, v.transaction, v.event_id, v.name, v.data, v.at, {SUBJECT_SQL} AS subject_id
    FROM (VALUES {NAME_ROWS_SQL}) AS k(kind, name)
    CROSS JOIN LATERAL (
        SELECT e.* FROM tenant_events e
        WHERE e.tenant_id = w.tenant_id AND e.name = k.name AND e.name IN ({NAME_LIST_SQL}) AND e.{SETTLED_SQL}
          AND e.actor IS DISTINCT FROM 'person:' || w.user_id
          AND coalesce(e.data ->> 'personId', w.user_id) = w.user_id {condition}
        ORDER BY e.transaction {order}, e.event_id {order} LIMIT {limit}
    ) v
    WHERE k.kind = ANY (w.kinds)
    ORDER BY v.transaction {order}, v.event_id {order} LIMIT {limit}"""


UNTOLD_SQL = f"AND (e.transaction, e.event_id) > ({cursor_sql('w.transaction')}, w.event_id)"
SUBJECT_NAME_SQL = """
CASE WHEN v.name IN ('interaction.needs_person', 'interaction.mentioned')
     THEN (SELECT l.first_name FROM interactions t JOIN leads l USING (tenant_id, lead_id)
           WHERE t.tenant_id = v.tenant_id AND t.interaction_id = v.subject_id)
     WHEN v.name LIKE 'account.%'
     THEN (SELECT a.name FROM provider_accounts a WHERE a.tenant_id = v.tenant_id AND a.account_id = v.subject_id)
     ELSE (SELECT a.name FROM sms_agents a WHERE a.tenant_id = v.tenant_id AND a.sms_agent_id = v.subject_id) END"""
COLUMNS_SQL = f"""v.transaction::text::bigint AS transaction, v.event_id, v.name, v.subject_id,
       {SUBJECT_NAME_SQL} AS subject_name, v.data ->> 'reason' AS reason, v.at,
       (v.transaction, v.event_id) > ({cursor_sql("w.transaction")}, w.event_id) AS is_new"""
COUNT_UNSEEN_SQL = f"""(
    SELECT (SELECT count(DISTINCT v.subject_id) FROM ({noted_sql(str(MAX_COUNTED), UNTOLD_SQL)}) v)
    FROM notice_ways w
    WHERE w.tenant_id = u.tenant_id AND w.user_id = u.user_id AND w.way = 'page' AND w.kinds <> '{{}}')"""
"""What the person `u` has not seen on the page; NULL: the page is not to tell them."""


@dataclass(frozen=True, slots=True)
class ClaimedWay:
    """A way with something to tell, under a lease. `address`: the sealed URL of a hook."""

    tenant_id: str
    user_id: str
    way: NoticeWay
    address: bytes | None
    email: str
    role: PersonRole
    attempts: int
    """Failed ones before this."""


CLAIM_WAYS_SQL = f"""
WITH due AS (
    SELECT w.tenant_id, w.user_id, w.way, u.email, u.role
    FROM notice_ways w
    JOIN users u ON u.tenant_id = w.tenant_id AND u.user_id = w.user_id AND u.active
    WHERE w.way = ANY ($1) AND w.kinds <> '{{}}' AND w.due_at <= clock_timestamp()
      AND EXISTS ({noted_sql("1", UNTOLD_SQL)})
    ORDER BY w.due_at LIMIT $2 FOR UPDATE OF w SKIP LOCKED
)
UPDATE notice_ways w SET lease = $3, due_at = clock_timestamp() + $4::interval
FROM due d
WHERE w.tenant_id = d.tenant_id AND w.user_id = d.user_id AND w.way = d.way
RETURNING w.tenant_id, w.user_id, w.way, w.address, d.email, d.role, w.attempts
"""


async def claim(
    tx: Tx, ways: Sequence[NoticeWay], max_ways: int, lease: str, lease_time: timedelta
) -> list[ClaimedWay]:
    """Claims up to `max_ways` whose next digest is due and has something to tell."""
    return await tx.fetch(ClaimedWay, CLAIM_WAYS_SQL, list(ways), max_ways, lease, lease_time)


IS_ANYTHING_DUE_SQL = f"""
SELECT EXISTS (
    SELECT FROM notice_ways w JOIN users u ON u.tenant_id = w.tenant_id AND u.user_id = w.user_id AND u.active
    WHERE w.way = ANY ($1) AND w.kinds <> '{{}}' AND w.due_at < clock_timestamp() + $2::interval
      AND EXISTS ({noted_sql("1", UNTOLD_SQL)})
)
"""


async def is_anything_due(tx: Tx, ways: Sequence[NoticeWay], within: timedelta) -> bool:
    """Whether a digest is due within this time, or is being sent."""
    return bool(await tx.fetch_value(IS_ANYTHING_DUE_SQL, list(ways), within))


@dataclass(frozen=True, slots=True)
class UntoldPeople:
    """People who are not told by a way that they chose. `failure`: of the newest digest of one of them; None:
    none failed."""

    way: NoticeWay
    count: int
    since: datetime | None
    failure: str | None


COUNT_UNTOLD_SQL = """
SELECT w.way, count(*) AS count, min(w.failing_since) AS since,
       (array_agg(w.failure ORDER BY w.failing_since DESC NULLS LAST))[1] AS failure
FROM notice_ways w JOIN users u ON u.tenant_id = w.tenant_id AND u.user_id = w.user_id AND u.active
WHERE w.kinds <> '{}' AND (w.failure IS NOT NULL OR w.way = ANY ($1))
GROUP BY w.way ORDER BY w.way
"""


async def count_untold(tx: Tx, silent_ways: Sequence[NoticeWay] = ()) -> list[UntoldPeople]:
    """The people of all tenants whose digests fail, or who chose one of `silent_ways`."""
    return await tx.fetch(UntoldPeople, COUNT_UNTOLD_SQL, list(silent_ways))


@dataclass(frozen=True, slots=True)
class OwedEvent(NotedEvent):
    """An event that a way is to tell."""

    tenant_id: str
    user_id: str
    way: NoticeWay


LIST_OWED_SQL = f"""
SELECT {COLUMNS_SQL}, w.tenant_id, w.user_id, w.way
FROM notice_ways w CROSS JOIN LATERAL ({noted_sql(str(MAX_EVENTS), UNTOLD_SQL)}) v
WHERE w.lease = $1
"""


async def list_owed(tx: Tx, lease: str) -> list[OwedEvent]:
    """What the ways under the lease are to tell."""
    return await tx.fetch(OwedEvent, LIST_OWED_SQL, lease)


SETTLE_SENT_SQL = """
UPDATE notice_ways w SET
    transaction = CASE WHEN (w.transaction, w.event_id) < ($5::text::xid8, $6::bigint) THEN $5::text::xid8
                       ELSE w.transaction END,
    event_id = CASE WHEN (w.transaction, w.event_id) < ($5::text::xid8, $6::bigint) THEN $6::bigint
                    ELSE w.event_id END,
    due_at = clock_timestamp() + $7::interval, lease = NULL, attempts = 0, failure = NULL, failing_since = NULL,
    sent_at = clock_timestamp()
WHERE w.tenant_id = $1 AND w.user_id = $2 AND w.way = $3 AND w.lease = $4
"""


async def settle_sent(tx: Tx, way: ClaimedWay, lease: str, last: NotedEvent) -> None:
    """The digest with events up to `last` was taken."""
    await tx.execute(
        SETTLE_SENT_SQL,
        *(way.tenant_id, way.user_id, way.way, lease),
        *(str(last.transaction), last.event_id, DIGEST_EVERY),
    )


SETTLE_FAILED_SQL = """
UPDATE notice_ways SET lease = NULL, due_at = clock_timestamp() + $5::interval, attempts = attempts + 1, failure = $6,
    failing_since = coalesce(failing_since, clock_timestamp())
WHERE tenant_id = $1 AND user_id = $2 AND way = $3 AND lease = $4
"""


async def settle_failed(tx: Tx, way: ClaimedWay, lease: str, wait: timedelta, failure: str) -> None:
    """The digest was not taken; the next one, after `wait`, tells the same and what came since."""
    await tx.execute(SETTLE_FAILED_SQL, way.tenant_id, way.user_id, way.way, lease, wait, failure)


@dataclass(frozen=True, slots=True)
class WaySettings:
    """A way as its person sees it."""

    way: NoticeWay
    kinds: Annotated[list[NoticeKind], "text[]"]
    has_address: bool
    failure: str | None
    failing_since: datetime | None
    next_at: datetime
    sent_at: datetime | None


LIST_WAYS_SQL = """
SELECT way, kinds, address IS NOT NULL AS has_address, failure, failing_since, due_at AS next_at, sent_at
FROM notice_ways WHERE tenant_id = $1 AND user_id = $2
"""


async def list_ways(read: ReadTx, tenant_id: str, user_id: str) -> list[WaySettings]:
    return await read.fetch(WaySettings, LIST_WAYS_SQL, tenant_id, user_id)


GET_ADDRESS_SQL = "SELECT address FROM notice_ways WHERE tenant_id = $1 AND user_id = $2 AND way = 'hook'"


async def get_address(read: ReadTx, tenant_id: str, user_id: str) -> bytes | None:
    """The sealed URL of the person's hook."""
    address: bytes | None = await read.fetch_value(GET_ADDRESS_SQL, tenant_id, user_id)
    return address


SAVE_WAY_SQL = """
INSERT INTO notice_ways AS w (tenant_id, user_id, way, kinds, address) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (tenant_id, user_id, way) DO UPDATE SET
    kinds = excluded.kinds,
    address = CASE WHEN excluded.kinds = '{}' THEN NULL ELSE coalesce(excluded.address, w.address) END,
    transaction = CASE WHEN w.kinds = '{}' THEN excluded.transaction ELSE w.transaction END,
    event_id = CASE WHEN w.kinds = '{}' THEN 0 ELSE w.event_id END,
    due_at = CASE WHEN w.failure IS NULL THEN w.due_at ELSE clock_timestamp() END,
    attempts = 0, failure = NULL, failing_since = NULL
"""


async def save_way(
    tx: Tx, tenant_id: str, user_id: str, way: NoticeWay, kinds: Sequence[NoticeKind], address: bytes | None
) -> None:
    """Sets what a way tells. One that told nothing tells what happens from now on; one that failed is tried
    at once. `address` None: as before; a hook that tells nothing forgets its address."""
    await tx.execute(SAVE_WAY_SQL, tenant_id, user_id, way, list(kinds), address)


LIST_NEWEST_SQL = f"""
SELECT {COLUMNS_SQL}
FROM notice_ways w CROSS JOIN LATERAL ({noted_sql(str(MAX_LISTED), order="DESC")}) v
WHERE w.tenant_id = $1 AND w.user_id = $2 AND w.way = 'page'
"""


async def list_newest(read: ReadTx, tenant_id: str, user_id: str) -> list[NotedEvent]:
    """The newest events that the page tells the person."""
    return await read.fetch(NotedEvent, LIST_NEWEST_SQL, tenant_id, user_id)


MARK_SEEN_SQL = """
UPDATE notice_ways SET transaction = $3::text::xid8, event_id = $4
WHERE tenant_id = $1 AND user_id = $2 AND way = 'page'
"""


async def mark_seen(tx: Tx, tenant_id: str, user_id: str, last: NotedEvent) -> None:
    """The person has seen what happened up to `last`."""
    await tx.execute(MARK_SEEN_SQL, tenant_id, user_id, str(last.transaction), last.event_id)
