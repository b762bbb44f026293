"""The views of the list: which threads are in each, and how many.

A view is read from small indexes, and holds a thousand threads at most. What the list shows and what is
counted is the same statement with another limit."""

from dataclasses import dataclass
from typing import Annotated

from app.domain.words import CLOSED_STATUSES, INTERACTION_STATUSES, View
from app.store.engine import ReadTx
from app.store.waiting import is_snoozed_sql, waiting_since_sql, waits_sql

PERSONAL_VIEWS: tuple[View, ...] = ("mine", "unread")
"""What they show depends on the person."""
MAX_IN_VIEW = 1000
MAX_COUNTED = 100
"""More are counted as so many."""
UNREAD_DAYS = 30
"""Older texts count as read."""
QUOTED_OPEN_SQL = ", ".join(f"'{status}'" for status in INTERACTION_STATUSES if status not in CLOSED_STATUSES)

FAILED_THREADS_SQL = """
    SELECT n.interaction_id FROM messages n JOIN interactions o USING (tenant_id, interaction_id)
    WHERE n.tenant_id = $1 AND n.error_code IS NOT NULL
      AND n.status IN ('failed', 'undelivered') AND n.seq IS NOT NULL
      AND n.created_at > now() - interval '7 days'
      AND o.status NOT IN ('completed', 'disqualified', 'dnc')
      AND NOT EXISTS (SELECT 1 FROM messages later
                      WHERE later.tenant_id = n.tenant_id AND later.seq > n.seq
                        AND later.interaction_id = n.interaction_id AND later.role = 'agent'
                        AND later.status <> 'note')
    ORDER BY n.created_at DESC LIMIT 1000"""
"""Threads whose newest text of ours has failed."""
HELD_THREADS_SQL = """
    (SELECT n.interaction_id FROM turns n WHERE n.tenant_id = $1 AND n.held IS NOT NULL LIMIT 1000)
    UNION ALL
    (SELECT n.interaction_id FROM messages n WHERE n.tenant_id = $1 AND n.awaits_decision LIMIT 1000)"""
"""Threads with a held reply, or a text that may be an opt-out; each may come more than once."""
NEEDING_THREADS_SQL = f"""ARRAY({HELD_THREADS_SQL}
    UNION ALL ({FAILED_THREADS_SQL}))"""
"""They need a person, whatever their status. The newest thousand of each kind, from small indexes; older ones
count as not needing a person."""


def _waiting_sql(person: str, limit: int) -> str:
    return f"""SELECT x.interaction_id FROM (
    (SELECT t.interaction_id FROM interactions t
     WHERE t.tenant_id = $1 AND {waits_sql("t")} AND NOT {is_snoozed_sql("t")}
     ORDER BY coalesce(t.waiting_since, t.last_inbound_at), t.interaction_id LIMIT {limit})
    UNION
    (SELECT t.interaction_id FROM unnest({NEEDING_THREADS_SQL}) AS n(interaction_id)
     JOIN interactions t ON t.tenant_id = $1 AND t.interaction_id = n.interaction_id
     WHERE t.status <> 'dnc' AND NOT {is_snoozed_sql("t")})
) x LIMIT {limit}"""


def _mine_sql(person: str, limit: int) -> str:
    return f"""SELECT t.interaction_id FROM interactions t
WHERE t.tenant_id = $1 AND t.assigned_to = {person} AND t.status IN ({QUOTED_OPEN_SQL})
  AND NOT {is_snoozed_sql("t")} LIMIT {limit}"""


def _held_sql(person: str, limit: int) -> str:
    return f"SELECT DISTINCT n.interaction_id FROM ({HELD_THREADS_SQL}) n LIMIT {limit}"


def is_news_sql(at: str, person: str) -> str:
    """What came at this time is news for the person, who has no mark in its thread."""
    return f"{at} >= greatest({person}.unread_from, clock_timestamp() - interval '{UNREAD_DAYS} days')"


def unread_texts_sql(thread: str, person: str) -> str:
    """A FROM clause: the texts `m` of the lead that the person has not read, by the thread's mark `r`."""
    return f"""messages m WHERE m.tenant_id = {thread}.tenant_id AND m.interaction_id = {thread}.interaction_id
    AND m.role = 'user' AND m.seq > coalesce(r.read_seq, 0)
    AND (r.read_seq IS NOT NULL OR {is_news_sql("m.created_at", person)})"""


def _unread_sql(person: str, limit: int) -> str:
    """Walks the newest threads: most of them have been read, and their marks say so without a look at texts."""
    return f"""SELECT t.interaction_id FROM (
    SELECT t.tenant_id, t.interaction_id, t.last_seq, t.last_inbound_at FROM interactions t
    WHERE t.tenant_id = $1 AND t.last_message_at > now() - interval '{UNREAD_DAYS} days'
    ORDER BY t.last_message_at DESC, t.interaction_id DESC LIMIT {MAX_IN_VIEW}
) t
JOIN users u ON u.tenant_id = $1 AND u.user_id = {person}
LEFT JOIN LATERAL (  -- LIMIT makes it a lookup for each thread: a join might read all marks of the person
    SELECT x.read_seq FROM read_marks x
    WHERE x.tenant_id = $1 AND x.user_id = {person} AND x.interaction_id = t.interaction_id LIMIT 1
) r ON true
WHERE t.last_inbound_at IS NOT NULL
  AND CASE WHEN r.read_seq IS NULL THEN {is_news_sql("t.last_inbound_at", "u")}
           WHEN r.read_seq >= t.last_seq THEN false
           ELSE EXISTS (SELECT 1 FROM {unread_texts_sql("t", "u")}) END
LIMIT {limit}"""


def _snoozed_sql(person: str, limit: int) -> str:
    return f"""SELECT t.interaction_id FROM interactions t
WHERE t.tenant_id = $1 AND {is_snoozed_sql("t")} LIMIT {limit}"""


def _all_sql(person: str, limit: int) -> str:
    return f"SELECT t.interaction_id FROM interactions t WHERE t.tenant_id = $1 LIMIT {limit}"


THREADS_BY_VIEW = {
    "waiting": _waiting_sql,
    "mine": _mine_sql,
    "held": _held_sql,
    "unread": _unread_sql,
    "snoozed": _snoozed_sql,
    "all": _all_sql,
}


def view_sql(view: View, person: str, limit: int = MAX_IN_VIEW) -> str:
    """Selects the ids of the view's threads. $1 is the tenant; `person`: the placeholder of a user id."""
    return THREADS_BY_VIEW[view](person, limit)


def order_sql(is_by_waiting: bool) -> str:
    """Who waits longest comes first; else the newest activity."""
    if is_by_waiting:
        return f"ORDER BY {waiting_since_sql('t')}, t.interaction_id"
    return "ORDER BY t.last_message_at DESC, t.interaction_id DESC"


@dataclass(frozen=True, slots=True)
class ViewCounts:
    """How many threads each view has; `MAX_COUNTED`: so many, or more."""

    waiting: Annotated[int, "bigint"]
    mine: Annotated[int, "bigint"]
    held: Annotated[int, "bigint"]
    unread: Annotated[int, "bigint"]
    snoozed: Annotated[int, "bigint"]
    all: Annotated[int, "bigint"]


COUNT_VIEWS_SQL = "SELECT\n" + ",\n".join(
    f"(SELECT count(*) FROM ({select('$2', MAX_COUNTED)}) v) AS {view}" for view, select in THREADS_BY_VIEW.items()
)


async def count(read: ReadTx, tenant_id: str, user_id: str | None) -> ViewCounts:
    """`user_id` None: nothing is anybody's own, nor unread."""
    [counts] = await read.fetch(ViewCounts, COUNT_VIEWS_SQL, tenant_id, user_id)
    return counts
