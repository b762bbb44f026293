"""What came of trials: how far each is, and its results beside what was recorded."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from app.store.engine import ReadTx


@dataclass(frozen=True, slots=True)
class TrialTally:
    """How far a trial is, and what came of it."""

    trial_id: str
    turn_count: int
    settled_count: int
    passed_count: int
    same_count: int
    answered_count: int
    declined_count: int
    handed_off_count: int
    failed_count: int
    too_slow_count: int


TALLY_SQL = """
SELECT t.trial_id,
       (SELECT count(*)::int FROM corpus_turns c
        WHERE c.tenant_id = t.tenant_id AND c.corpus_id = t.corpus_id) AS turn_count,
       count(r.settled_at)::int AS settled_count,
       count(*) FILTER (WHERE r.has_passed)::int AS passed_count,
       count(*) FILTER (WHERE r.is_same)::int AS same_count,
       count(*) FILTER (WHERE r.kind = 'answered')::int AS answered_count,
       count(*) FILTER (WHERE r.kind = 'declined')::int AS declined_count,
       count(*) FILTER (WHERE r.kind = 'handed_off')::int AS handed_off_count,
       count(*) FILTER (WHERE r.kind = 'failed')::int AS failed_count,
       count(*) FILTER (WHERE r.kind = 'too_slow')::int AS too_slow_count
FROM trials t
LEFT JOIN trial_results r ON r.tenant_id = t.tenant_id AND r.trial_id = t.trial_id
WHERE t.tenant_id = $1 AND t.trial_id = ANY ($2)
GROUP BY t.tenant_id, t.trial_id
"""


async def tally(read: ReadTx, tenant_id: str, trial_ids: Collection[str]) -> dict[str, TrialTally]:
    tallies = await read.fetch(TrialTally, TALLY_SQL, tenant_id, list(trial_ids))
    return {item.trial_id: item for item in tallies}


@dataclass(frozen=True, slots=True)
class ResultRow:
    """A settled result beside what was recorded."""

    corpus_turn_id: str
    interaction_id: str | None
    name: str | None
    turn_id: str
    payload: bytes
    recorded_answer: dict[str, Any] | None
    answer: dict[str, Any]
    http_status: int | None
    duration_ms: int | None
    segments: int
    is_same: bool | None
    has_passed: bool
    checks: list[dict[str, Any]]


LIST_RESULTS_SQL = """
SELECT r.corpus_turn_id, c.interaction_id, c.name, r.turn_id, c.payload, c.recorded_answer, r.answer,
       r.http_status::int AS http_status, r.duration_ms, r.segments, r.is_same, r.has_passed, r.checks
FROM trial_results r
JOIN corpus_turns c ON c.tenant_id = r.tenant_id AND c.corpus_id = r.corpus_id
    AND c.corpus_turn_id = r.corpus_turn_id
WHERE r.tenant_id = $1 AND r.trial_id = $2 AND r.settled_at IS NOT NULL
  AND ($3::boolean IS NULL OR r.has_passed = $3) AND ($4::text IS NULL OR r.corpus_turn_id > $4)
ORDER BY r.corpus_turn_id LIMIT $5
"""


async def list_results(
    read: ReadTx, tenant_id: str, trial_id: str, has_passed: bool | None, after: str | None, limit: int
) -> list[ResultRow]:
    """In the order of the corpus. `has_passed` None: all."""
    return await read.fetch(ResultRow, LIST_RESULTS_SQL, tenant_id, trial_id, has_passed, after, limit)
