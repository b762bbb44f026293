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
else the newest are walked."""
FIRST, NEWEST_BY_NAME, NEWEST_BY_TEXT = 500, 20_000, 10_000
"""So many of the newest threads are walked at most. Words that nearly all threads have are met
in the first; to gather all their texts from the index would take longer than to walk."""
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


async def page(
    read: Read, tenant_id: str, narrowed: Filter, before: tuple[Any, ...] | None, limit: int
) -> list[str]:
    """Up to `limit` ids of threads that come after `before` (last_message_at, id)."""
    if not narrowed.search:
        sql = _Sql(tenant_id)
        rows = await read.rows(_plain(sql, narrowed, before, limit), *sql.values)
        return [row["interaction_id"] for row in rows]
    ids: list[str] = []
    for way in _ways(narrowed):
        sql = _Sql(tenant_id)
        [found] = await read.unguarded(way(sql, narrowed, before, limit), *sql.values)
        ids = found["ids"]
        if found["complete"]:
            break
    return ids


def _ways(narrowed: Filter) -> Sequence["Way"]:
    """What to try, one after the other, until the page is complete."""
    if narrowed.in_messages:
        words = WORD.search(narrowed.search or "")
        ways = (_words_among_first, _few_by_words, _words_among_newest, _all_by_words)
        return ways if words else ()
    if _digits(narrowed.search or ""):
        return (_phone,)
    return (_few_by_name, _name_among_newest, _all_by_name)


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


def _walk(
    sql: _Sql, narrowed: Filter, before: tuple[Any, ...] | None, each: str, limit: int
) -> str:
    """The newest threads under the conditions that an index may hold or a row tell."""
    return f"""SELECT t.interaction_id, t.last_message_at, t.lead_id FROM interactions t
WHERE t.tenant_id = $1{each}{_also(sql, narrowed, before)} {ORDER} LIMIT {sql.put(limit)}"""


def _statuses(narrowed: Filter) -> Sequence[str]:
    return INTERACTION_STATUSES if narrowed.statuses is None else narrowed.statuses


def _campaigns(sql: _Sql, narrowed: Filter) -> str | None:
    """The campaigns asked for, by id, client and offer; None: any."""
    asked = {"campaign_id": narrowed.campaign_ids, "client_id": narrowed.client_ids,
             "offer_id": narrowed.offer_ids}  # fmt: skip
    said = [f"{column} = ANY ({sql.put(list(ids))}::text[])"
            for column, ids in asked.items() if ids is not None]  # fmt: skip
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


# Each way of searching takes the same and gives a statement whose one row is (ids, complete).

Way = Callable[[_Sql, Filter, tuple[Any, ...] | None, int], str]
NAME = """(((COALESCE(l.first_name, '') || ' ') || COALESCE(l.last_name, '')) || ' ')
    || l.lead_id"""
"""As the index `ix_leads_name` holds it, letter by letter."""
WORDS = "to_tsvector('simple'::regconfig, m.text) @@ to_tsquery('simple'::regconfig, {})"


def _found(
    sql: _Sql, narrowed: Filter, before: tuple[Any, ...] | None, limit: int,
    found: str, key: str, most: int = EVERY,
) -> str:  # fmt: skip
    """The newest threads of all leads or ids that `found` selects; complete if they are at
    most `most`."""
    # Materialized: joined plainly, the planner would walk the list until it met the few.
    return f"""WITH found AS MATERIALIZED ({found} LIMIT {most + 1})
SELECT (SELECT count(*) FROM found) <= {most} AS complete, ARRAY(
    SELECT t.interaction_id FROM (SELECT DISTINCT {key} FROM found) f
    JOIN interactions t ON t.tenant_id = $1 AND t.{key} = f.{key}
    WHERE true{_narrowed(sql, narrowed, before)} {ORDER} LIMIT {sql.put(limit)}) AS ids"""


def _among_newest(
    sql: _Sql, narrowed: Filter, before: tuple[Any, ...] | None, limit: int, most: int, test: str
) -> str:
    """Those of the `most` newest threads that pass the test; complete if they fill the page."""
    return f"""WITH met AS MATERIALIZED (
    SELECT t.interaction_id FROM (
        SELECT t.interaction_id, t.last_message_at, t.lead_id FROM interactions t
        WHERE t.tenant_id = $1{_narrowed(sql, narrowed, before)} {ORDER} LIMIT {most}) t
    CROSS JOIN LATERAL ({test} LIMIT 1) passed
    LIMIT {sql.put(limit)})
SELECT count(*) = {sql.put(limit)} AS complete,
       coalesce(array_agg(interaction_id), '{{}}') AS ids FROM met"""


def _by_name(sql: _Sql, narrowed: Filter) -> str:
    return f"""SELECT l.lead_id FROM leads l
    WHERE l.tenant_id = $1 AND {NAME} ILIKE {sql.put(_like(narrowed))}"""


def _few_by_name(sql: _Sql, narrowed: Filter, before: tuple[Any, ...] | None, limit: int) -> str:
    return _found(sql, narrowed, before, limit, _by_name(sql, narrowed), "lead_id", FEW)


def _all_by_name(sql: _Sql, narrowed: Filter, before: tuple[Any, ...] | None, limit: int) -> str:
    return _found(sql, narrowed, before, limit, _by_name(sql, narrowed), "lead_id")


def _name_among_newest(
    sql: _Sql, narrowed: Filter, before: tuple[Any, ...] | None, limit: int
) -> str:
    test = f"""SELECT 1 FROM leads l WHERE l.tenant_id = $1 AND l.lead_id = t.lead_id
        AND {NAME} ILIKE {sql.put(_like(narrowed))}"""
    return _among_newest(sql, narrowed, before, limit, NEWEST_BY_NAME, test)


def _phone(sql: _Sql, narrowed: Filter, before: tuple[Any, ...] | None, limit: int) -> str:
    digits = _digits(narrowed.search or "")
    assert digits
    end, begin = sql.put(f"{digits[::-1]}%"), sql.put(f"+{digits}%")
    at_home, lead_id = sql.put(f"+1{digits}%"), sql.put(f"{digits}%")
    found = f"""SELECT lead_id FROM leads WHERE tenant_id = $1 AND reverse(phone) LIKE {end}
    UNION SELECT lead_id FROM leads WHERE tenant_id = $1 AND phone LIKE {begin}
    UNION SELECT lead_id FROM leads WHERE tenant_id = $1 AND phone LIKE {at_home}
    UNION SELECT lead_id FROM leads WHERE tenant_id = $1 AND lead_id LIKE {lead_id}
    UNION SELECT lead_id FROM interactions WHERE tenant_id = $1 AND lead_phone LIKE {begin}
    UNION SELECT lead_id FROM interactions WHERE tenant_id = $1 AND lead_phone LIKE {at_home}"""
    return _found(sql, narrowed, before, limit, found, "lead_id")


def _words_among_first(
    sql: _Sql, narrowed: Filter, before: tuple[Any, ...] | None, limit: int
) -> str:
    return _among_newest(sql, narrowed, before, limit, FIRST, _said(sql, narrowed))


def _words_among_newest(
    sql: _Sql, narrowed: Filter, before: tuple[Any, ...] | None, limit: int
) -> str:
    return _among_newest(sql, narrowed, before, limit, NEWEST_BY_TEXT, _said(sql, narrowed))


def _said(sql: _Sql, narrowed: Filter) -> str:
    query, longest = sql.put(_query(narrowed)), sql.put(f"%{_longest(narrowed)}%")
    return f"""SELECT 1 FROM messages m
        WHERE m.tenant_id = $1 AND m.interaction_id = t.interaction_id
          AND m.text ILIKE {longest}  -- far cheaper than to take every text apart
          AND {WORDS.format(query)}"""


def _few_by_words(sql: _Sql, narrowed: Filter, before: tuple[Any, ...] | None, limit: int) -> str:
    return _found(sql, narrowed, before, limit, _by_words(sql, narrowed), "interaction_id", FEW)


def _all_by_words(sql: _Sql, narrowed: Filter, before: tuple[Any, ...] | None, limit: int) -> str:
    return _found(sql, narrowed, before, limit, _by_words(sql, narrowed), "interaction_id")


def _by_words(sql: _Sql, narrowed: Filter) -> str:
    return f"""SELECT m.interaction_id FROM messages m
    WHERE m.tenant_id = $1 AND {WORDS.format(sql.put(_query(narrowed)))}"""


def _like(narrowed: Filter) -> str:
    literal = re.sub(r"([\\%_])", r"\\\1", narrowed.search or "")
    return f"%{literal}%"


def _digits(written: str) -> str | None:
    """The digits of what looks like a phone, or a part of one; None: it does not."""
    if not DIGITS.fullmatch(written):
        return None
    digits = "".join(c for c in written if c.isdigit())
    return digits if len(digits) >= SHORTEST_PHONE else None


def _query(narrowed: Filter) -> str:
    """All the words, whole: the beginnings of words would have to be gathered from the index
    by the hundred thousand before the first could be shown."""
    return " & ".join(WORD.findall(narrowed.search or ""))


def _longest(narrowed: Filter) -> str:
    words: list[str] = WORD.findall(narrowed.search or "")
    return max(words, key=len)
