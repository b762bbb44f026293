"""Corpora: add, remove; turns join them and leave them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from pydantic_core import to_json

from app.commands.directory import Fields, lock_row, require_found
from app.commands.hand_offs import HANDED_OFF_PREFIX
from app.domain import ids
from app.domain.callers import Caller
from app.domain.checks import AgentAnswer, AnswerKind, parse_checks
from app.domain.problems import AlreadyExists, Invalid
from app.domain.turns import StoredReply, TurnState
from app.store import corpora, directory, turns
from app.store.corpora import AnsweredTurn, ClosedTurn, NewCorpusTurn
from app.store.engine import ReadTx, Tx
from app.store.schema import Corpus
from app.store.turns import TurnFilter

MAX_TURNS_PER_REQUEST = 1000
MAX_CORPORA, MAX_TURNS_PER_CORPUS = 100, 10_000
MARKED_NAME = "Marked turns"
KINDS: dict[TurnState, AnswerKind] = {
    "replied": "answered",
    "declined": "declined",
    "concluded": "declined",
    "handed_off": "handed_off",
    "expired": "too_slow",
}
ANSWERED_STATES = ("replied", "declined", "concluded", "handed_off")


async def add(tx: Tx, caller: Caller, fields: Fields) -> Corpus:
    """Raises `AlreadyExists`: another corpus has this name; `Invalid`: there are too many."""
    if await corpora.count_corpora(tx, caller.tenant_id) >= MAX_CORPORA:
        raise Invalid(details=[f"name: a tenant has at most {MAX_CORPORA} corpora"])
    corpus = await directory.add(tx, Corpus, caller.tenant_id, ids.make("corpus"), fields)
    if corpus is None:
        raise AlreadyExists(details=["name: another corpus has it"])
    return corpus


async def find_marked(tx: Tx, caller: Caller) -> str:
    """The id of the corpus of turns that people marked without choosing one; it is made if there is none."""
    known_id = await corpora.find_by_name(tx, caller.tenant_id, MARKED_NAME)
    return known_id or str((await add(tx, caller, {"name": MARKED_NAME})).corpus_id)


async def remove(tx: Tx, caller: Caller, corpus_id: str) -> None:
    """Removes the corpus with its trials. Raises `NotFound`."""
    require_found(await directory.remove(tx, Corpus, caller.tenant_id, corpus_id) or None)


def build_answer(
    state: TurnState, reason: str | None, reply: StoredReply | None, outcome: dict[str, Any] | None
) -> AgentAnswer:
    """What was answered to a closed turn."""
    texts = tuple(reply["texts"]) if reply else ()
    has_handed_off = HANDED_OFF_PREFIX in (reason or "")
    kind = "handed_off" if has_handed_off else KINDS.get(state, "failed")
    if kind == "answered" and not texts:
        kind = "declined"
    return AgentAnswer(kind, texts, outcome, reason)


def _read_closed(turn: ClosedTurn) -> AnsweredTurn:
    answer = build_answer(turn.state, turn.reason, turn.reply, turn.outcome)
    return AnsweredTurn(turn.turn_id, to_json(asdict(answer)).decode())


async def _require_room(tx: Tx, caller: Caller, corpus_id: str) -> None:
    """Raises `Invalid`: the corpus, which is locked, has too many turns by now."""
    counts = await corpora.count_turns(tx, caller.tenant_id, [corpus_id])
    if counts.get(corpus_id, 0) > MAX_TURNS_PER_CORPUS:
        raise Invalid(details=[f"corpusId: a corpus has at most {MAX_TURNS_PER_CORPUS:,} turns"])


async def add_closed_turns(tx: Tx, caller: Caller, corpus_id: str, turn_ids: Sequence[str]) -> int:
    """Adds turns with the bytes that were posted and what was answered. Returns how many were not there yet.
    Raises `NotFound`; `Invalid` for turns that are not closed, were never handed over, or too long ago, and if
    they are too many."""
    await lock_row(tx, caller, Corpus, corpus_id)
    closed_turns = await corpora.get_closed_turns(tx, caller.tenant_id, turn_ids)
    found_ids = {turn.turn_id for turn in closed_turns}
    if missing := [place for place, turn_id in enumerate(turn_ids) if turn_id not in found_ids]:
        fault = "is no closed turn that an agent got, or was handed over too long ago"
        raise Invalid(details=[f"turnIds[{place}]: {fault}" for place in missing])
    answered_turns = [_read_closed(turn) for turn in closed_turns]
    added_count = await corpora.add_closed_turns(tx, caller.tenant_id, corpus_id, caller.actor, answered_turns)
    await _require_room(tx, caller, corpus_id)
    return added_count


async def find_turns(read: ReadTx, tenant_id: str, filters: TurnFilter) -> list[str]:
    """The ids of the newest turns of the filter that can join a corpus, at most `MAX_TURNS_PER_REQUEST`."""
    found_ids = await turns.list_filtered_ids(read, tenant_id, filters, None, MAX_TURNS_PER_REQUEST)
    closed_turns = await corpora.get_closed_turns(read, tenant_id, found_ids)
    return [turn.turn_id for turn in closed_turns]


@dataclass(frozen=True, slots=True)
class MadeTurn:
    """A turn that was made up."""

    name: str | None
    payload: dict[str, Any]
    recorded_answer: AgentAnswer | None = None
    checks: dict[str, Any] = field(default_factory=dict)


async def add_made_turns(tx: Tx, caller: Caller, corpus_id: str, made_turns: Sequence[MadeTurn]) -> int:
    """Returns how many were added. Raises `NotFound`; `Invalid` if they are too many."""
    await lock_row(tx, caller, Corpus, corpus_id)
    made_ids = sorted(ids.make("made") for _ in made_turns)  # in the order in which they were given
    new_turns = [
        NewCorpusTurn(
            corpus_turn_id=made_id,
            name=turn.name,
            payload=to_json(turn.payload),
            recorded_answer=to_json(asdict(turn.recorded_answer)).decode() if turn.recorded_answer else None,
            checks=to_json(turn.checks).decode(),
        )
        for made_id, turn in zip(made_ids, made_turns, strict=True)
    ]
    added_count = await corpora.add_turns(tx, caller.tenant_id, corpus_id, caller.actor, new_turns)
    await _require_room(tx, caller, corpus_id)
    return added_count


async def remove_turn(tx: Tx, caller: Caller, corpus_id: str, corpus_turn_id: str) -> None:
    """Raises `NotFound`."""
    await lock_row(tx, caller, Corpus, corpus_id)
    require_found(await corpora.remove_turn(tx, caller.tenant_id, corpus_id, corpus_turn_id) or None)


def require_checks(fields: dict[str, Any], place: str = "checks") -> dict[str, Any]:
    """The checks as they are stored. Raises `Invalid`."""
    try:
        parse_checks(fields)
    except ValueError as error:
        raise Invalid(details=[f"{place}.{error}"]) from None
    return {name: value for name, value in fields.items() if value not in (None, False, [])}


def read_answer(stored_answer: dict[str, Any] | None) -> AgentAnswer | None:
    """The answer as it was before it was stored."""
    return AgentAnswer(**{**stored_answer, "texts": tuple(stored_answer["texts"])}) if stored_answer else None
