"""Which threads a page of the list shows: their ids, newest activity first.

However many there are, a page is read through indexes that hold its order, or through one that
holds what is searched for: what few have is looked up, and those few are sorted; what many have
is met soon by walking the newest. Neither way alone would do: the few would be walked to for
ever, and the many take long to sort.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from app.domain.words import INTERACTION_STATUSES
from app.store.engine import Read

FEW = 2000
"""Up to so many leads of a name, or texts with the words, are looked up and their threads sorted;
of more, the newest threads are walked first."""
FIRST, NEWEST_BY_NAME, NEWEST_BY_TEXT = 500, 20_000, 10_000
"""So many threads are walked before texts are looked up, and at most."""
EVERY = 2**31
SHORTEST_PHONE = 3
DIGITS = re.compile(r"[\d\s()+.\-]+", re.ASCII)
WORD = re.compile(r"[^\W_]+")
ORDER = "ORDER BY t.last_message_at DESC, t.interaction_id DESC"


@dataclass(frozen=True, slots=True)
class Filter:
    """What a list of threads is narrowed to; None: not narrowed. Dates are half-open.

    `search` is looked for in the lead's name and id; in digits, at the end or the beginning of
    the phone and at the beginning of the lead's id; with `in_messages` as words of one text."""

    campaign_ids: Sequence[str] | None = None
    client_ids: Sequence[str] | None = None
    offer_ids: Sequence[str] | None = None
    statuses: Sequence[str] | None = None
    lead_id: str | None = None
    start: datetime | None = None
    end: datetime | None = None
    unread: bool | None = None
    search: str | None = None
    in_messages: bool = False
    needs_person: bool | None = None


# Read from small indexes each, the newest thousand of a kind: what is beyond stands among the rest.
NEEDING = """ARRAY(
    (SELECT n.interaction_id FROM turns n WHERE n.tenant_id = $1 AND n.held IS NOT NULL LIMIT 1000)
    UNION ALL
    (SELECT n.interaction_id FROM messages n JOIN interactions o USING (tenant_id, interaction_id)
     WHERE n.tenant_id = $1 AND n.error_code IS NOT NULL
       AND n.status IN ('failed', 'undelivered') AND n.seq IS NOT NULL
       AND n.created_at > clock_timestamp() - interval '7 days'
       AND o.status NOT IN ('completed', 'disqualified', 'dnc')
       AND NOT EXISTS (SELECT 1 FROM messages later
                       WHERE later.tenant_id = n.tenant_id AND later.seq > n.seq
                         AND later.interaction_id = n.interaction_id AND later.role = 'agent'
                         AND later.status <> 'note')
     ORDER BY n.created_at DESC LIMIT 1000))"""
"""Threads with a held reply or a failed text, which a person must see whatever their status."""
NEEDS_PERSON = f"(t.status = 'follow_up' OR t.interaction_id = ANY ({NEEDING}))"
NEEDS_NOBODY = f"t.status <> 'follow_up' AND t.interaction_id <> ALL ({NEEDING})"


class _Sql:
    """A statement's values, as they are put into it."""

    def __init__(self, tenant_id: str) -> None:
        self.values: list[Any] = [tenant_id]

    def put(self, value: Any) -> str:
        self.values.append(value)
        return f"${len(self.values)}"


async def page(read: Read, tenant_id: str, narrowed: Filter, before: tuple[Any, ...] | None, limit: int) -> list[str]:
    """Up to `limit` ids of threads that come after `before` (last_message_at, id)."""
    if narrowed.search:
        return await _searched(read, tenant_id, narrowed, before, limit)
    sql = _Sql(tenant_id)
    rows = await read.rows(_plain(sql, narrowed, before, limit), *sql.values)
    return [row["interaction_id"] for row in rows]


async def _searched(
    read: Read, tenant_id: str, narrowed: Filter, before: tuple[Any, ...] | None, limit: int
) -> list[str]:
    """Few have it, or many: then an index would gather for longer than a walk takes to meet
    enough. Of texts the first threads tell which it is, and often that is all there is to do."""

    async def asked(way: Way, most: int) -> tuple[list[str], bool]:
        sql = _Sql(tenant_id)
        [row] = await read.unguarded(way(sql, narrowed, before, limit, most), *sql.values)
        return row["ids"], row["complete"]

    if not narrowed.in_messages and _digits(narrowed):
        return (await asked(_found, EVERY))[0]
    if narrowed.in_messages and not _words(narrowed):
        return []
    newest = NEWEST_BY_TEXT if narrowed.in_messages else NEWEST_BY_NAME
    ways = [(_found, FEW), (_among_newest, newest), (_found, EVERY)]
    if narrowed.in_messages:
        ids, complete = await asked(_among_newest, FIRST)
        if complete:
            return ids
        enough = 2 * limit * FIRST // max(len(ids), 1)  # twice as many as should do
        if enough <= newest // 2:  # in vain, where nobody said it before; then that is all it costs
            ways.insert(0, (_among_newest, enough))
    for way, most in ways:
        ids, complete = await asked(way, most)
        if complete:
            break
    return ids


def _plain(sql: _Sql, narrowed: Filter, before: tuple[Any, ...] | None, limit: int) -> str:
    """Without a search: from indexes that hold the order, however many threads there are."""
    if narrowed.needs_person is None:
        return _merged(sql, narrowed, before, limit)
    asked = _statuses(narrowed)
    others = [status for status in asked if status != "follow_up"]
    if not narrowed.needs_person:
        return _merged(sql, replace(narrowed, statuses=others), before, limit)
    kinds = []
    if "follow_up" in asked:
        marked = replace(narrowed, statuses=["follow_up"], needs_person=None)
        kinds.append(_merged(sql, marked, before, limit))
    named = _narrowed(sql, replace(narrowed, statuses=others, needs_person=None), before)
    kinds.append(f"""SELECT t.interaction_id, t.last_message_at FROM interactions t
WHERE t.tenant_id = $1 AND t.interaction_id = ANY ({NEEDING}){named}""")
    together = " UNION ALL ".join(f"({kind})" for kind in kinds)
    return f"SELECT t.interaction_id FROM ({together}) t {ORDER} LIMIT {sql.put(limit)}"


def _merged(sql: _Sql, narrowed: Filter, before: tuple[Any, ...] | None, limit: int) -> str:
    """The newest of each campaign and status asked for."""
    campaigns = _campaigns(sql, narrowed)
    if campaigns is None and narrowed.statuses is None:
        return _walk(sql, narrowed, before, "", limit)
    statuses = sql.put(list(_statuses(narrowed)))
    each, joined = "t.status = wanted.status", f"unnest({statuses}::text[]) AS wanted (status)"
    if campaigns is not None:
        each += " AND t.campaign_id = ours.campaign_id"
        joined += f" CROSS JOIN ({campaigns}) ours"
    return f"""SELECT t.interaction_id, t.last_message_at FROM {joined}
CROSS JOIN LATERAL ({_walk(sql, narrowed, before, f" AND {each}", limit)}) t
{ORDER} LIMIT {sql.put(limit)}"""


def _walk(sql: _Sql, narrowed: Filter, before: tuple[Any, ...] | None, each: str, limit: int) -> str:
    """The newest threads under the conditions that an index may hold or a row tell."""
    return f"""SELECT t.interaction_id, t.last_message_at, t.lead_id FROM interactions t
WHERE t.tenant_id = $1{each}{_also(sql, narrowed, before)} {ORDER} LIMIT {sql.put(limit)}"""


def _statuses(narrowed: Filter) -> Sequence[str]:
    return INTERACTION_STATUSES if narrowed.statuses is None else narrowed.statuses


def _campaigns(sql: _Sql, narrowed: Filter) -> str | None:
    """The campaigns asked for, by id, client and offer; None: any."""
    asked = {"campaign_id": narrowed.campaign_ids, "client_id": narrowed.client_ids, "offer_id": narrowed.offer_ids}
    said = [f"{column} = ANY ({sql.put(list(ids))}::text[])" for column, ids in asked.items() if ids is not None]
    if not said:
        return None
    return f"SELECT campaign_id FROM campaigns WHERE tenant_id = $1 AND {' AND '.join(said)}"


def _also(sql: _Sql, narrowed: Filter, before: tuple[Any, ...] | None) -> str:
    said = ""
    if narrowed.lead_id is not None:
        said += f" AND t.lead_id = {sql.put(narrowed.lead_id)}"
    if narrowed.start is not None:
        said += f" AND t.last_message_at >= {sql.put(narrowed.start)}"
    if narrowed.end is not None:
        said += f" AND t.last_message_at < {sql.put(narrowed.end)}"
    if narrowed.unread is not None:
        said += f" AND t.unread_count {'>' if narrowed.unread else '='} 0"
    if narrowed.needs_person is not None:
        said += f" AND {NEEDS_PERSON if narrowed.needs_person else NEEDS_NOBODY}"
    if before is not None:
        at, interaction_id = (sql.put(part) for part in before)
        said += f" AND (t.last_message_at, t.interaction_id) < ({at}, {interaction_id})"
    return said


def _narrowed(sql: _Sql, narrowed: Filter, before: tuple[Any, ...] | None) -> str:
    """All conditions but the search, where no index is to hold their order."""
    said = _also(sql, narrowed, before)
    if narrowed.statuses is not None:
        said += f" AND t.status = ANY ({sql.put(list(narrowed.statuses))}::text[])"
    if (campaigns := _campaigns(sql, narrowed)) is not None:
        said += f" AND t.campaign_id IN ({campaigns})"
    return said


NAME = """(((COALESCE(l.first_name, '') || ' ') || COALESCE(l.last_name, '')) || ' ')
    || l.lead_id"""
"""As the index `ix_leads_name` holds it, letter by letter."""
WORDS = "to_tsvector('simple'::regconfig, {}) @@ to_tsquery('simple'::regconfig, {})"
Way = Callable[[_Sql, Filter, tuple[Any, ...] | None, int, int], str]
"""A statement whose one row is (ids, complete)."""


def _found(sql: _Sql, narrowed: Filter, before: tuple[Any, ...] | None, limit: int, most: int) -> str:
    """The newest threads of all who have what is searched for; complete if they are at most
    `most`."""
    found, key = _having(sql, narrowed)
    # Materialized: joined plainly, the planner would walk the list until it met the few.
    return f"""WITH found AS MATERIALIZED ({found} LIMIT {most + 1})
SELECT (SELECT count(*) FROM found) <= {most} AS complete, ARRAY(
    SELECT t.interaction_id FROM (SELECT DISTINCT {key} FROM found) f
    JOIN interactions t ON t.tenant_id = $1 AND t.{key} = f.{key}
    WHERE true{_narrowed(sql, narrowed, before)} {ORDER} LIMIT {sql.put(limit)}) AS ids"""


def _among_newest(sql: _Sql, narrowed: Filter, before: tuple[Any, ...] | None, limit: int, most: int) -> str:
    """Those of the `most` newest threads that have what is searched for; complete if they fill
    the page, or if there are no more."""
    wanted = sql.put(limit)
    return f"""WITH newest AS MATERIALIZED (
    SELECT t.interaction_id, t.lead_id FROM interactions t
    WHERE t.tenant_id = $1{_narrowed(sql, narrowed, before)} {ORDER} LIMIT {most}
), met AS MATERIALIZED (
    SELECT t.interaction_id FROM newest t
    CROSS JOIN LATERAL ({_test(sql, narrowed)} LIMIT 1) passed
    LIMIT {wanted})
SELECT (SELECT count(*) FROM met) = {wanted} OR (SELECT count(*) FROM newest) < {most}
           AS complete,
       ARRAY(SELECT interaction_id FROM met) AS ids"""


def _having(sql: _Sql, narrowed: Filter) -> tuple[str, str]:
    """Who has what is searched for, from an index, and by which key of a thread."""
    if narrowed.in_messages:
        return (
            f"""SELECT m.interaction_id FROM messages m
    WHERE m.tenant_id = $1 AND {WORDS.format("m.text", sql.put(_query(narrowed)))}""",
            "interaction_id",
        )
    if digits := _digits(narrowed):
        return _by_phone(sql, digits), "lead_id"
    return (
        f"""SELECT l.lead_id FROM leads l
    WHERE l.tenant_id = $1 AND {NAME} ILIKE {sql.put(_like(narrowed))}""",
        "lead_id",
    )


def _test(sql: _Sql, narrowed: Filter) -> str:
    """Whether a thread has it."""
    if narrowed.in_messages:
        # To look for parts is far cheaper than to take every text apart. Only of what PostgreSQL
        # takes for a word in any locale.
        plain = [word for word in _words(narrowed) if word.isascii() or word.isalpha()]
        parts = sql.put([f"%{word}%" for word in sorted(plain, key=len, reverse=True)])
        # The text not in the form that the index of words holds: that would be asked each time.
        return f"""SELECT 1 FROM messages m
        WHERE m.tenant_id = $1 AND m.interaction_id = t.interaction_id
          AND m.text ILIKE ALL ({parts}::text[])
          AND {WORDS.format("m.text || ''", sql.put(_query(narrowed)))}"""
    return f"""SELECT 1 FROM leads l WHERE l.tenant_id = $1 AND l.lead_id = t.lead_id
        AND {NAME} ILIKE {sql.put(_like(narrowed))}"""


def _by_phone(sql: _Sql, digits: str) -> str:
    end, begin = sql.put(f"{digits[::-1]}%"), sql.put(f"+{digits}%")
    at_home, lead_id = sql.put(f"+1{digits}%"), sql.put(f"{digits}%")
    return f"""SELECT lead_id FROM leads WHERE tenant_id = $1 AND reverse(phone) LIKE {end}
    UNION SELECT lead_id FROM leads WHERE tenant_id = $1 AND phone LIKE {begin}
    UNION SELECT lead_id FROM leads WHERE tenant_id = $1 AND phone LIKE {at_home}
    UNION SELECT lead_id FROM leads WHERE tenant_id = $1 AND lead_id LIKE {lead_id}
    UNION SELECT lead_id FROM interactions WHERE tenant_id = $1 AND lead_phone LIKE {begin}
    UNION SELECT lead_id FROM interactions WHERE tenant_id = $1 AND lead_phone LIKE {at_home}"""


def _like(narrowed: Filter) -> str:
    literal = re.sub(r"([\\%_])", r"\\\1", narrowed.search or "")
    return f"%{literal}%"


def _digits(narrowed: Filter) -> str | None:
    """The digits of what looks like a phone, or a part of one; None: it does not."""
    if not DIGITS.fullmatch(narrowed.search or ""):
        return None
    digits = "".join(c for c in narrowed.search or "" if c.isdigit())
    return digits if len(digits) >= SHORTEST_PHONE else None


def _words(narrowed: Filter) -> list[str]:
    return WORD.findall(narrowed.search or "")


def _query(narrowed: Filter) -> str:
    """All the words, whole: the beginnings of words would have to be gathered from the index
    by the hundred thousand before the first could be shown."""
    return " & ".join(_words(narrowed))
