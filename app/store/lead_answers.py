"""Answers of leads with their sources. The newest answer to each question also stands in the lead's
questionnaire. Whoever writes them holds the lock of the lead's phone."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from app.domain import ids
from app.store.engine import ReadTx, Tx
from app.store.rows import columns_of, unnest_sql


@dataclass(frozen=True, slots=True)
class NewAnswer:
    """An answer to record. `answer` None: it was removed from the questionnaire."""

    tenant_id: str
    answer_id: str
    lead_id: str
    key: str
    answer: str | None
    turn_id: str | None
    message_id: str | None
    author: str


@dataclass(frozen=True, slots=True)
class LeadChange:
    """What becomes of a lead: its status (None: as before), and the new entries of its questionnaire,
    as JSON: `[{"key", "question", "answer"}]`."""

    tenant_id: str
    lead_id: str
    status: str | None
    entries: str


@dataclass(frozen=True, slots=True)
class LeadNews:
    """What outcomes say of leads: at least one change, each of another lead."""

    answers: Sequence[NewAnswer]
    changes: Sequence[LeadChange]

    def __bool__(self) -> bool:
        return bool(self.changes)

    @property
    def columns(self) -> list[tuple[Any, ...]]:
        """The parameters of `RECORD_NEWS_SQL`."""
        return [*_columns_or_none(NewAnswer, self.answers), *columns_of(self.changes)]


def _columns_or_none(kind: type, rows: Sequence[Any]) -> list[tuple[Any, ...]]:
    return columns_of(rows) if rows else [() for _ in fields(kind)]


RECORD_NEWS_SQL = f"""
WITH recorded AS (
    INSERT INTO lead_answers (tenant_id, answer_id, lead_id, key, answer, turn_id, message_id, author)
    SELECT * FROM {unnest_sql(NewAnswer)}
), changed AS (
    UPDATE leads l SET updated_at = clock_timestamp(), status = coalesce(a.status, l.status),
        questionnaire = (
            SELECT coalesce(jsonb_agg(x.entry ORDER BY x.place), '[]') FROM (
                SELECT o.place, CASE WHEN n.key IS NULL THEN o.entry
                                    ELSE o.entry || jsonb_build_object('answer', n.answer) END AS entry
                FROM jsonb_array_elements(l.questionnaire) WITH ORDINALITY AS o(entry, place)
                LEFT JOIN jsonb_to_recordset(a.entries::jsonb) AS n(key text, answer text)
                    ON n.key = o.entry ->> 'key'
                UNION ALL
                SELECT jsonb_array_length(l.questionnaire) + n.place, n.entry
                FROM jsonb_array_elements(a.entries::jsonb) WITH ORDINALITY AS n(entry, place)
                WHERE NOT EXISTS (SELECT 1 FROM jsonb_array_elements(l.questionnaire) o
                                  WHERE o ->> 'key' = n.entry ->> 'key')
            ) x)
    FROM {unnest_sql(LeadChange, first=1 + len(fields(NewAnswer)))}
    WHERE l.tenant_id = a.tenant_id AND l.lead_id = a.lead_id
)
"""
"""The beginning of a statement that also records `LeadNews`."""
NEWS_PARAMETER_COUNT = len(fields(NewAnswer)) + len(fields(LeadChange))
RECORD_ALONE_SQL = f"{RECORD_NEWS_SQL}SELECT 1"


async def record(tx: Tx, news: LeadNews) -> None:
    """Records answers, and puts them into the leads' questionnaires."""
    await tx.execute(RECORD_ALONE_SQL, *news.columns)


@dataclass(frozen=True, slots=True)
class ChangedAnswer:
    lead_id: str
    key: str
    answer: str | None


FIND_UNRECORDED_SQL = """
SELECT l.lead_id, x.key, x.answer
FROM leads l
CROSS JOIN LATERAL (
    SELECT coalesce(q.key, newest.key) AS key, q.answer, newest.answer AS newest_answer
    FROM (SELECT DISTINCT ON (e ->> 'key') e ->> 'key' AS key, e ->> 'answer' AS answer
          FROM jsonb_array_elements(l.questionnaire) e) q
    FULL JOIN (SELECT DISTINCT ON (h.key) h.key, h.answer FROM lead_answers h
               WHERE h.tenant_id = l.tenant_id AND h.lead_id = l.lead_id
               ORDER BY h.key, h.at DESC, h.answer_id DESC) newest ON newest.key = q.key
) x
WHERE l.tenant_id = $1 AND l.lead_id = ANY ($2) AND x.answer IS DISTINCT FROM x.newest_answer
"""
ADD_ANSWERS_SQL = f"""
INSERT INTO lead_answers (tenant_id, answer_id, lead_id, key, answer, turn_id, message_id, author)
SELECT * FROM {unnest_sql(NewAnswer)}
"""


async def add(tx: Tx, answers: Sequence[NewAnswer]) -> None:
    """Records answers that stand in the questionnaires already."""
    if answers:
        await tx.execute(ADD_ANSWERS_SQL, *columns_of(answers))


async def record_questionnaires(tx: Tx, tenant_id: str, lead_ids: Sequence[str], author: str) -> None:
    """Records what the leads' questionnaires, which were just written, say anew."""
    changed_answers = await tx.fetch(ChangedAnswer, FIND_UNRECORDED_SQL, tenant_id, list(lead_ids))
    rows = [
        NewAnswer(
            tenant_id,
            ids.make("evt"),
            changed_answer.lead_id,
            changed_answer.key,
            changed_answer.answer,
            None,
            None,
            author,
        )
        for changed_answer in changed_answers
    ]
    await add(tx, rows)


@dataclass(frozen=True, slots=True)
class RecordedAnswer:
    """An answer with its source. `answer` None: it was removed. `author`: `agent:…`, `person:…`, `key:…` or
    `service`. `interaction_id`: the thread of the text that contains it."""

    key: str
    answer: str | None
    author: str
    at: datetime
    turn_id: str | None
    message_id: str | None
    interaction_id: str | None
    seq: int | None
    """The place of that text in its thread."""


LIST_ANSWERS_SQL = """
SELECT h.key, h.answer, h.author, h.at, h.turn_id, h.message_id, m.interaction_id, m.seq
FROM lead_answers h
LEFT JOIN messages m ON m.tenant_id = h.tenant_id AND m.message_id = h.message_id
WHERE h.tenant_id = $1 AND h.lead_id = $2
ORDER BY h.at, h.answer_id
"""


async def list_of_lead(read: ReadTx, tenant_id: str, lead_id: str) -> list[RecordedAnswer]:
    """All answers of a lead, oldest first."""
    return await read.fetch(RecordedAnswer, LIST_ANSWERS_SQL, tenant_id, lead_id)


ADOPT_ANSWERS_SQL = """
WITH adopted AS (
    UPDATE lead_answers SET lead_id = $3 WHERE tenant_id = $1 AND lead_id = ANY ($2)
)
UPDATE leads l SET questionnaire = l.questionnaire || (
    SELECT coalesce(jsonb_agg(x.entry), '[]') FROM (
        SELECT DISTINCT ON (e ->> 'key') e AS entry
        FROM leads p CROSS JOIN jsonb_array_elements(p.questionnaire) e
        WHERE p.tenant_id = $1 AND p.lead_id = ANY ($2)
          AND NOT EXISTS (SELECT 1 FROM jsonb_array_elements(l.questionnaire) o WHERE o ->> 'key' = e ->> 'key')
    ) x)
WHERE l.tenant_id = $1 AND l.lead_id = $3
"""


async def adopt(tx: Tx, tenant_id: str, placeholder_ids: Sequence[str], lead_id: str) -> None:
    """Gives the lead the answers of placeholders. What its own questionnaire says stays."""
    await tx.execute(ADOPT_ANSWERS_SQL, tenant_id, list(placeholder_ids), lead_id)


def build_entries(entries: Sequence[tuple[str, str, str]]) -> str:
    """(key, question, answer) as JSON for `LeadChange`."""
    return json.dumps([{"key": key, "question": question, "answer": answer} for key, question, answer in entries])
