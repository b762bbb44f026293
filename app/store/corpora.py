"""Corpora: turns that are kept to try agents with."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.domain.turns import StoredReply, TurnState
from app.store.engine import ReadTx, Tx
from app.store.rows import columns_of, unnest_sql

COUNT_TURNS_SQL = """
SELECT corpus_id, count(*)::int AS count FROM corpus_turns
WHERE tenant_id = $1 AND corpus_id = ANY ($2) GROUP BY corpus_id
"""


async def count_turns(read: ReadTx, tenant_id: str, corpus_ids: Collection[str]) -> dict[str, int]:
    """By corpus, where it has turns."""
    rows = await read.fetch_rows(COUNT_TURNS_SQL, tenant_id, list(corpus_ids))
    return {row["corpus_id"]: row["count"] for row in rows}


FIND_BY_NAME_SQL = "SELECT corpus_id FROM corpora WHERE tenant_id = $1 AND name = $2"


async def find_by_name(read: ReadTx, tenant_id: str, name: str) -> str | None:
    corpus_id: str | None = await read.fetch_value(FIND_BY_NAME_SQL, tenant_id, name)
    return corpus_id


LIST_NAMES_SQL = "SELECT corpus_id, name FROM corpora WHERE tenant_id = $1 ORDER BY lower(name), corpus_id LIMIT 500"


async def list_names(read: ReadTx, tenant_id: str) -> list[tuple[str, str]]:
    """(id, name) of each corpus, by name."""
    return [(row["corpus_id"], row["name"]) for row in await read.fetch_rows(LIST_NAMES_SQL, tenant_id)]


LIST_NAMES_WITH_SQL = """
SELECT k.name FROM corpus_turns c JOIN corpora k ON k.tenant_id = c.tenant_id AND k.corpus_id = c.corpus_id
WHERE c.tenant_id = $1 AND c.interaction_id = $2 AND c.corpus_turn_id = $3 ORDER BY lower(k.name), k.corpus_id
"""


async def list_names_with(read: ReadTx, tenant_id: str, interaction_id: str, turn_id: str) -> list[str]:
    """The names of the corpora that have the turn."""
    rows = await read.fetch_rows(LIST_NAMES_WITH_SQL, tenant_id, interaction_id, turn_id)
    return [row["name"] for row in rows]


@dataclass(frozen=True, slots=True)
class ClosedTurn:
    """A live turn that was handed over and is closed, and whose bytes are still there."""

    turn_id: str
    state: TurnState
    reason: str | None
    reply: StoredReply | None
    outcome: dict[str, Any] | None


GET_CLOSED_TURNS_SQL = """
SELECT u.turn_id, u.state, u.reason, u.reply, u.outcome
FROM turns u
WHERE u.tenant_id = $1 AND u.turn_id = ANY ($2) AND u.kind = 'live' AND u.closed_at IS NOT NULL
  AND u.interaction_id IS NOT NULL AND EXISTS (
    SELECT FROM turn_attempts a
    WHERE a.tenant_id = u.tenant_id AND a.turn_id = u.turn_id AND a.request_body <> '')
"""


async def get_closed_turns(read: ReadTx, tenant_id: str, turn_ids: Collection[str]) -> list[ClosedTurn]:
    """Those of the turns that can join a corpus."""
    return await read.fetch(ClosedTurn, GET_CLOSED_TURNS_SQL, tenant_id, list(turn_ids))


COUNT_CORPORA_SQL = "SELECT count(*)::int FROM corpora WHERE tenant_id = $1"


async def count_corpora(read: ReadTx, tenant_id: str) -> int:
    return int(await read.fetch_value(COUNT_CORPORA_SQL, tenant_id))


@dataclass(frozen=True, slots=True)
class AnsweredTurn:
    """A closed turn, and as JSON what was answered."""

    turn_id: str
    recorded_answer: str


ADD_CLOSED_TURNS_SQL = f"""
WITH added AS (
    INSERT INTO corpus_turns (tenant_id, corpus_id, corpus_turn_id, interaction_id, payload, recorded_answer, actor)
    SELECT $1, $2, u.turn_id, u.interaction_id, b.request_body, a.recorded_answer::jsonb, $3
    FROM {unnest_sql(AnsweredTurn, first=4)}
    JOIN turns u ON u.tenant_id = $1 AND u.turn_id = a.turn_id
    JOIN LATERAL (
        SELECT request_body FROM turn_attempts t
        WHERE t.tenant_id = $1 AND t.turn_id = u.turn_id AND t.request_body <> '' ORDER BY t.attempt DESC LIMIT 1
    ) b ON true
    ON CONFLICT DO NOTHING RETURNING 1
)
SELECT count(*)::int FROM added
"""


async def add_closed_turns(
    tx: Tx, tenant_id: str, corpus_id: str, actor: str, answered_turns: Sequence[AnsweredTurn]
) -> int:
    """Adds them with the newest bytes that their agent got. Returns how many were not there yet."""
    if not answered_turns:
        return 0
    return int(await tx.fetch_value(ADD_CLOSED_TURNS_SQL, tenant_id, corpus_id, actor, *columns_of(answered_turns)))


@dataclass(frozen=True, slots=True)
class NewCorpusTurn:
    """One that was made up."""

    corpus_turn_id: str
    name: str | None
    payload: bytes
    recorded_answer: str | None
    """As JSON; so is `checks`."""
    checks: str


ADD_TURNS_SQL = f"""
WITH added AS (
    INSERT INTO corpus_turns (tenant_id, corpus_id, corpus_turn_id, name, payload, recorded_answer, checks, actor)
    SELECT $1, $2, corpus_turn_id, name, payload, recorded_answer::jsonb, checks::jsonb, $3
    FROM {unnest_sql(NewCorpusTurn, first=4)}
    ON CONFLICT DO NOTHING RETURNING 1
)
SELECT count(*)::int FROM added
"""


async def add_turns(tx: Tx, tenant_id: str, corpus_id: str, actor: str, new_turns: Sequence[NewCorpusTurn]) -> int:
    """Returns how many were not there yet."""
    if not new_turns:
        return 0
    return int(await tx.fetch_value(ADD_TURNS_SQL, tenant_id, corpus_id, actor, *columns_of(new_turns)))


@dataclass(frozen=True, slots=True)
class KeptTurn:
    """A turn of a corpus."""

    corpus_turn_id: str
    interaction_id: str | None
    name: str | None
    payload: bytes
    recorded_answer: dict[str, Any] | None
    checks: dict[str, Any]
    created_at: datetime


LIST_TURNS_SQL = """
SELECT corpus_turn_id, interaction_id, name, payload, recorded_answer, checks, created_at FROM corpus_turns
WHERE tenant_id = $1 AND corpus_id = $2 AND ($3::text IS NULL OR corpus_turn_id > $3)
ORDER BY corpus_turn_id LIMIT $4
"""


async def list_turns(read: ReadTx, tenant_id: str, corpus_id: str, after: str | None, limit: int) -> list[KeptTurn]:
    """In the order of their ids."""
    return await read.fetch(KeptTurn, LIST_TURNS_SQL, tenant_id, corpus_id, after, limit)


REMOVE_TURN_SQL = """
DELETE FROM corpus_turns WHERE tenant_id = $1 AND corpus_id = $2 AND corpus_turn_id = $3 RETURNING true
"""


async def remove_turn(tx: Tx, tenant_id: str, corpus_id: str, corpus_turn_id: str) -> bool:
    return bool(await tx.fetch_value(REMOVE_TURN_SQL, tenant_id, corpus_id, corpus_turn_id))


@dataclass(frozen=True, slots=True)
class CorpusTurnKey:
    corpus_id: str
    corpus_turn_id: str


LOCK_TURNS_SQL = """
WITH words AS (
    SELECT word, convert_to(word, 'UTF8') AS bytes FROM unnest($3::text[]) AS a(word)
)
SELECT c.corpus_id, c.corpus_turn_id FROM corpus_turns c
WHERE c.tenant_id = $1 AND (c.interaction_id = ANY ($2) OR EXISTS (
    SELECT FROM words w
    WHERE position(w.bytes IN c.payload) > 0 OR position(w.word IN concat(c.name, ' ', c.recorded_answer)) > 0))
ORDER BY c.corpus_id, c.corpus_turn_id FOR UPDATE OF c
"""
FORGET_TRIALS_SQL = f"""
DELETE FROM turns u USING trial_results r, {unnest_sql(CorpusTurnKey, first=2)}
WHERE r.tenant_id = $1 AND r.corpus_id = a.corpus_id AND r.corpus_turn_id = a.corpus_turn_id
  AND u.tenant_id = $1 AND u.turn_id = r.turn_id AND u.kind = 'trial'
"""
FORGET_TURNS_SQL = f"""
DELETE FROM corpus_turns c USING {unnest_sql(CorpusTurnKey, first=2)}
WHERE c.tenant_id = $1 AND c.corpus_id = a.corpus_id AND c.corpus_turn_id = a.corpus_turn_id
"""


async def forget_turns(tx: Tx, tenant_id: str, interaction_ids: Sequence[str], words: Sequence[str]) -> None:
    """Removes the turns of the threads, and those that have one of `words`, with all that was posted of them.
    Once they are locked, no trial posts another one."""
    turns = await tx.fetch(CorpusTurnKey, LOCK_TURNS_SQL, tenant_id, list(interaction_ids), list(words))
    if turns:
        await tx.execute(FORGET_TRIALS_SQL, tenant_id, *columns_of(turns))
        await tx.execute(FORGET_TURNS_SQL, tenant_id, *columns_of(turns))
