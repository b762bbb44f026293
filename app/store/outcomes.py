"""Outcomes of turns: what decides whether one has an effect, and refused ones."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from app.domain.outcomes import RefusedOutcome
from app.domain.turns import LaterEvents
from app.domain.words import InteractionStatus
from app.store.engine import ReadTx, Tx, as_columns
from app.store.may_text import may_not_text_sql
from app.store.replies import LATER_EVENTS_SQL
from app.store.suppressions import PhoneKey
from app.store.threads import ThreadKey
from app.store.turns import TurnKey


@dataclass(frozen=True, slots=True)
class OutcomeFacts(LaterEvents):
    """What decides about an outcome of a turn in a thread, and what its effects need."""

    tenant_id: str
    turn_id: str
    lead_id: str
    lead_phone: str
    our_number: str
    campaign_id: str | None
    status: InteractionStatus
    lead_status: str
    is_suppressed: bool
    has_status_by_hand: bool
    """The status was set by hand since the turn was handed over."""
    questions: list[dict[str, str]]
    """The lead's questionnaire and the campaign's: `{"key", "question"}`."""
    newest_answers: list[dict[str, Any]]
    """The newest answer to each question: `{"key", "answer", "author", "messageId"}`."""
    known_message_ids: list[str]
    """Those of the asked ids that are texts of the lead in the thread."""
    last_text: dict[str, Any] | None
    """The lead's last text: `{"messageId", "text", "accountId", "provider"}`."""

    @property
    def question_keys(self) -> list[str]:
        return [question["key"] for question in self.questions]

    def get_questions(self) -> dict[str, str]:
        """The questions by key. The lead's own question, which stands first, has precedence."""
        return {question["key"]: question["question"] for question in reversed(self.questions)}


GET_OUTCOME_FACTS_SQL = f"""
SELECT {LATER_EVENTS_SQL},
       u.tenant_id, u.turn_id, t.lead_id, t.lead_phone, t.our_number, t.campaign_id, t.status,
       l.status AS lead_status, {may_not_text_sql("t.tenant_id", "t.lead_phone", "l.dnc_channels")} AS is_suppressed,
       coalesce(t.status_by_hand_at > u.handed_over_at, false) AS has_status_by_hand,
       l.questionnaire || coalesce(c.questionnaire, '[]') AS questions,
       (SELECT coalesce(jsonb_agg(jsonb_build_object('key', n.key, 'answer', n.answer, 'author', n.author,
                                                     'messageId', n.message_id)), '[]')
        FROM (SELECT DISTINCT ON (h.key) h.key, h.answer, h.author, h.message_id FROM lead_answers h
              WHERE h.tenant_id = l.tenant_id AND h.lead_id = l.lead_id
              ORDER BY h.key, h.at DESC, h.answer_id DESC) n) AS newest_answers,
       (SELECT coalesce(jsonb_agg(m.message_id), '[]') FROM messages m
        WHERE m.tenant_id = t.tenant_id AND m.message_id = ANY ($3)
          AND m.interaction_id = t.interaction_id AND m.role = 'user') AS known_message_ids,
       (SELECT jsonb_build_object('messageId', m.message_id, 'text', m.text, 'accountId', m.account_id,
                                  'provider', m.provider)
        FROM messages m
        WHERE m.tenant_id = t.tenant_id AND m.interaction_id = t.interaction_id AND m.role = 'user'
          AND m.seq IS NOT NULL
        ORDER BY m.seq DESC LIMIT 1) AS last_text
FROM unnest($1::text[], $2::text[]) AS a(tenant_id, turn_id)
JOIN turns u USING (tenant_id, turn_id)
JOIN interactions t ON t.tenant_id = u.tenant_id AND t.interaction_id = u.interaction_id
JOIN leads l ON l.tenant_id = t.tenant_id AND l.lead_id = t.lead_id
LEFT JOIN campaigns c ON c.tenant_id = t.tenant_id AND c.campaign_id = t.campaign_id
"""


async def get_facts(
    read: ReadTx, turn_keys: Collection[TurnKey], message_ids: Sequence[str]
) -> dict[TurnKey, OutcomeFacts]:
    """The facts of each turn that has a thread. `message_ids`: the texts that the outcomes name."""
    columns = as_columns(list(turn_keys), 2)
    found_facts = await read.fetch(OutcomeFacts, GET_OUTCOME_FACTS_SQL, *columns, list(message_ids))
    return {(facts.tenant_id, facts.turn_id): facts for facts in found_facts}


FIND_PHONE_THREADS_SQL = """
SELECT o.tenant_id, o.lead_phone, o.interaction_id
FROM unnest($1::text[], $2::text[]) AS a(tenant_id, interaction_id)
JOIN interactions t USING (tenant_id, interaction_id)
JOIN interactions o ON o.tenant_id = t.tenant_id AND o.lead_phone = t.lead_phone
"""


async def find_phone_threads(read: ReadTx, threads: Collection[ThreadKey]) -> dict[PhoneKey, set[ThreadKey]]:
    """The phones of the threads, each with all threads that it has."""
    threads_by_phone: dict[PhoneKey, set[ThreadKey]] = {}
    for row in await read.fetch_rows(FIND_PHONE_THREADS_SQL, *as_columns(list(threads), 2)):
        key = PhoneKey(row["tenant_id"], row["lead_phone"])
        threads_by_phone.setdefault(key, set()).add((row["tenant_id"], row["interaction_id"]))
    return threads_by_phone


RECORD_REFUSED_SQL = """
WITH threads AS (
    UPDATE interactions t SET refused_outcome = $3 FROM turns u
    WHERE u.tenant_id = $1 AND u.turn_id = $2 AND u.kind = 'live'
      AND t.tenant_id = u.tenant_id AND t.interaction_id = u.interaction_id
)
UPDATE turns SET refused = refused || $4::jsonb WHERE tenant_id = $1 AND turn_id = $2
"""


async def record_refused(tx: Tx, turn: TurnKey, refused_outcome: RefusedOutcome, entry: dict[str, Any]) -> None:
    """Adds `entry` to the turn's refused answers, and keeps `refused_outcome` for the thread's next payload."""
    await tx.execute(RECORD_REFUSED_SQL, *turn, refused_outcome, [entry])


KEEP_OUTCOME_SQL = """
UPDATE turns SET outcome = $3::jsonb || jsonb_build_object('at', clock_timestamp()),
    state = CASE WHEN closed_at IS NULL AND $4 THEN 'concluded' ELSE state END,
    reason = CASE WHEN closed_at IS NULL AND $4 THEN $5 ELSE reason END,
    accepted_at = coalesce(accepted_at, clock_timestamp()),
    closed_at = CASE WHEN closed_at IS NULL AND $4 THEN clock_timestamp() ELSE closed_at END
WHERE tenant_id = $1 AND turn_id = $2 AND kind <> 'live' AND outcome IS NULL
"""


async def keep(tx: Tx, turn: TurnKey, outcome: dict[str, Any], closes: bool, reason: str) -> None:
    """Keeps the outcome of a dry turn, which has no effect. `closes`: there is no reply beside it."""
    await tx.execute(KEEP_OUTCOME_SQL, *turn, outcome, closes, reason)
