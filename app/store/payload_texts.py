"""The texts of a turn's payload, for many turns at a time."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import attrgetter

from app.domain.transcripts import TranscriptText
from app.domain.turns import LiveTurn
from app.store.engine import Tx, as_columns
from app.store.rows import hints_of
from app.store.turns import TurnKey


@dataclass(slots=True)
class PayloadText(TranscriptText):
    """A text of a payload."""

    nth: int
    """The turn's place in the statement's arguments, from 1."""
    is_own: bool
    """A text of the turn itself, not of the transcript."""


@dataclass(frozen=True, slots=True)
class PayloadTexts:
    """The texts of a payload, in order of `seq`."""

    texts: list[PayloadText] = field(default_factory=list)
    """The texts of the turn itself."""
    transcript: list[PayloadText] = field(default_factory=list)
    """The newest entries of the thread."""


TEXT_COLUMNS_SQL = ", ".join(f"m.{name}" for name in hints_of(TranscriptText))
GET_PAYLOAD_TEXTS_SQL = f"""
WITH asked AS (
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY
        AS a(tenant_id, interaction_id, turn_id, nth)
)
SELECT m.*, a.nth, false AS is_own
FROM asked a CROSS JOIN LATERAL (  -- maybe a thousand rows: only the columns of the payload
    SELECT {TEXT_COLUMNS_SQL} FROM messages m
    WHERE m.tenant_id = a.tenant_id AND m.interaction_id = a.interaction_id AND m.seq IS NOT NULL
      AND m.status <> 'note'
    ORDER BY m.seq DESC LIMIT $4
) m
UNION ALL
SELECT m.*, a.nth, true
FROM asked a CROSS JOIN LATERAL (
    SELECT {TEXT_COLUMNS_SQL} FROM turn_messages x
    JOIN messages m ON m.tenant_id = x.tenant_id AND m.message_id = x.message_id
    WHERE x.tenant_id = a.tenant_id AND x.turn_id = a.turn_id
) m
"""


async def get_payload_texts(tx: Tx, turns: Sequence[LiveTurn], max_entries: int) -> dict[TurnKey, PayloadTexts]:
    """The texts of each turn, and the newest `max_entries` entries of its thread."""
    payload_texts = [PayloadTexts() for _ in turns]
    keys = [(turn.tenant_id, turn.interaction_id, turn.turn_id) for turn in turns]
    texts = await tx.fetch(PayloadText, GET_PAYLOAD_TEXTS_SQL, *as_columns(keys, 3), max_entries)
    texts.sort(key=attrgetter("seq"))  # cheaper here than in SQL: the rows are nearly sorted
    for text in texts:
        own_texts = payload_texts[text.nth - 1]
        (own_texts.texts if text.is_own else own_texts.transcript).append(text)
    return {turn.key: own_texts for turn, own_texts in zip(turns, payload_texts, strict=True)}
