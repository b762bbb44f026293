"""Corpora: named collections of turns to try agents with."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import Field

from app.agents.payload import build_sample
from app.commands import corpora as commands
from app.commands.corpora import ANSWERED_STATES, MAX_TURNS_PER_REQUEST, MadeTurn, require_checks
from app.commands.directory import require_found
from app.domain.callers import Caller
from app.domain.checks import MAX_SEGMENTS, MAX_WORDING_LENGTH, MAX_WORDINGS, AgentAnswer, AnswerKind
from app.domain.problems import Invalid
from app.domain.turns import MAX_TEXTS_PER_REPLY
from app.domain.words import InteractionStatus
from app.store import corpora, directory
from app.store.corpora import KeptTurn
from app.store.schema import Corpus
from app.store.turns import TurnFilter
from app.web.dependencies import ApiCaller, ReadCaller, TenantRead, TenantTx
from app.web.directory import Deleted
from app.web.envelope import Answer, AnyId, Body, Name, Out, SendableText
from app.web.filters import parse_instant
from app.web.idempotency import Idempotent
from app.web.json_values import require_storable
from app.web.paging import PageParams, page_of

router = APIRouter(prefix="/api/v1/corpora", tags=["Trials"])
MAX_MADE_TURNS = 100
MAX_SEQ = 2**31 - 1
Wordings = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=MAX_WORDING_LENGTH)]], Field(max_length=MAX_WORDINGS)
]


class ChecksBody(Body):
    """What an answer must be like. What is not given is not checked."""

    must_contain: Wordings | None = None
    """Each of them, whatever the case."""
    must_not_contain: Wordings | None = None
    max_segments: Annotated[int, Field(ge=1, le=MAX_SEGMENTS)] | None = None
    asks_one_question: bool | None = None
    outcome_is: Literal["answered", "declined", "handed_off", "recorded"] | InteractionStatus | None = None
    """How the turn ends, or the status that the agent gives. `recorded`: as it was then."""


def build_checks(body: ChecksBody | None, place: str = "checks") -> dict[str, Any]:
    """The checks as they are stored. Raises `Invalid`."""
    return require_checks(body.model_dump(by_alias=True, exclude_none=True) if body else {}, place)


class NewCorpus(Body):
    name: Name
    description: Annotated[str, Field(max_length=2000)] | None = None


class CorpusShape(Out):
    corpus_id: str
    name: str
    description: str | None
    turn_count: int
    created_at: datetime


class Corpora(Out):
    corpora: list[CorpusShape]
    next_cursor: str | None
    has_more: bool


@router.post("", status_code=201, summary="Add a corpus: a named collection of turns")
async def add_corpus(body: NewCorpus, caller: ApiCaller, tx: TenantTx, idempotency: Idempotent) -> Answer[CorpusShape]:
    corpus = await commands.add(tx, caller, body.get_named_fields())
    return await idempotency.store_answer(Answer(data=CorpusShape.of(corpus, turn_count=0)))


@router.get("", summary="Corpora, newest first")
async def list_corpora(caller: ReadCaller, read: TenantRead, page_query: PageParams) -> Answer[Corpora]:
    rows = await directory.list_page(read, Corpus, caller.tenant_id, page_query.get_id_below(), page_query.fetch_limit)
    counts = await corpora.count_turns(read, caller.tenant_id, [row.corpus_id for row in rows])
    return page_of(
        Corpora,
        page_query,
        rows,
        key=lambda row: [row.corpus_id],
        show=lambda row: CorpusShape.of(row, turn_count=counts.get(row.corpus_id, 0)),
    )


@router.get("/{corpus_id}", summary="One corpus")
async def get_corpus(corpus_id: str, caller: ReadCaller, read: TenantRead) -> Answer[CorpusShape]:
    row = require_found(await directory.get(read, Corpus, caller.tenant_id, corpus_id))
    counts = await corpora.count_turns(read, caller.tenant_id, [corpus_id])
    return Answer(data=CorpusShape.of(row, turn_count=counts.get(corpus_id, 0)))


@router.delete("/{corpus_id}", summary="Remove a corpus with its trials")
async def remove_corpus(corpus_id: str, caller: ApiCaller, tx: TenantTx) -> Answer[Deleted]:
    await commands.remove(tx, caller, corpus_id)
    return Answer(data=Deleted())


class TurnsFilterBody(Body):
    """Closed turns; the newest 1,000 of them. Dates are half-open."""

    sms_agent_id: AnyId | None = None
    campaign_ids: Annotated[list[AnyId], Field(max_length=100)] | None = None
    states: Annotated[list[Literal["replied", "declined", "concluded", "handed_off"]], Field(max_length=4)] | None = (
        None
    )
    start_date: Annotated[str, Field(max_length=40)] | None = None
    end_date: Annotated[str, Field(max_length=40)] | None = None


class RecordedBody(Body):
    """What is to be compared with."""

    texts: Annotated[list[SendableText], Field(max_length=MAX_TEXTS_PER_REPLY)] | None = None
    handoff: bool | None = None
    status: InteractionStatus | None = None


class MadeTurnBody(Body):
    """A turn that was made up. It begins as a sample, in which `says` are the texts of the lead, and the
    fields of `payload` replace those of the sample."""

    name: Name | None = None
    says: Annotated[list[SendableText], Field(min_length=1, max_length=20)] | None = None
    payload: dict[str, Any] | None = None
    recorded: RecordedBody | None = None
    checks: ChecksBody | None = None


class CorpusTurnsBody(Body):
    """One or more of the three."""

    turn_ids: Annotated[list[AnyId], Field(min_length=1, max_length=MAX_TURNS_PER_REQUEST)] | None = None
    filter: TurnsFilterBody | None = None
    made: Annotated[list[MadeTurnBody], Field(min_length=1, max_length=MAX_MADE_TURNS)] | None = None


class AddedTurns(Out):
    added: int
    known: int
    """They were in the corpus already."""


@router.post("/{corpus_id}/turns", status_code=201, summary="Add closed turns, or turns that you make up")
async def add_corpus_turns(
    corpus_id: str, body: CorpusTurnsBody, caller: ApiCaller, tx: TenantTx, idempotency: Idempotent
) -> Answer[AddedTurns]:
    """Turns join with the very bytes that their agent got, and with what was answered. They stay when the
    turns' own bytes are deleted for their age, and go when their lead is erased."""
    if not (body.turn_ids or body.filter or body.made):
        raise Invalid(details=["turnIds: or filter or made is required"])
    made_turns = [_build_made_turn(caller, item, f"made[{i}]") for i, item in enumerate(body.made or ())]
    turn_ids = list(body.turn_ids or ())
    if body.filter:
        turn_ids += await commands.find_turns(tx, caller.tenant_id, _build_filter(body.filter))
    added_count = await commands.add_closed_turns(tx, caller, corpus_id, turn_ids)
    known_count = len(set(turn_ids)) - added_count
    added_count += await commands.add_made_turns(tx, caller, corpus_id, made_turns)
    return await idempotency.store_answer(Answer(data=AddedTurns(added=added_count, known=known_count)))


def _build_filter(body: TurnsFilterBody) -> TurnFilter:
    return TurnFilter(
        campaign_ids=body.campaign_ids,
        statuses=body.states or ANSWERED_STATES,
        start=parse_instant(body.start_date, "filter.startDate"),
        end=parse_instant(body.end_date, "filter.endDate"),
        kinds=["live"],
        agent_ids={body.sms_agent_id} if body.sms_agent_id else (),
    )


def _build_made_turn(caller: Caller, body: MadeTurnBody, place: str) -> MadeTurn:
    sample: dict[str, Any] = {**build_sample(caller.tenant_id, "smsagent_sample", datetime.now(UTC))}
    if body.says:
        [text] = sample["message"]["messages"]
        messages = [
            {**text, "messageId": f"msg_{i}", "seq": i, "text": text_of_lead}
            for i, text_of_lead in enumerate(body.says, 1)
        ]
        entry = {**sample["interaction"]["transcript"][0]}
        sample["message"] |= {
            "combinedText": "\n".join(body.says),
            "messageCount": len(messages),
            "messages": messages,
        }
        sample["interaction"]["transcript"] = [
            {**entry, **{name: item[name] for name in ("messageId", "seq")}, "message": item["text"]}
            for item in messages
        ]
        sample["turn"]["throughSeq"] = len(messages)
    require_storable(body.payload, f"{place}.payload")
    payload = {**sample, **(body.payload or {})}
    turn = payload["turn"]
    if not isinstance(turn, dict):
        raise Invalid(details=[f"{place}.payload.turn: must be an object"])
    payload["turn"] = {**sample["turn"], **turn}
    through_seq = payload["turn"]["throughSeq"]
    if type(through_seq) is not int or not 0 <= through_seq <= MAX_SEQ:
        raise Invalid(details=[f"{place}.payload.turn.throughSeq: must be a whole number from 0 to {MAX_SEQ}"])
    checks = build_checks(body.checks, f"{place}.checks")
    return MadeTurn(body.name, payload, _build_recorded(body.recorded), checks)


def _build_recorded(body: RecordedBody | None) -> AgentAnswer | None:
    if body is None:
        return None
    kind: AnswerKind = "handed_off" if body.handoff else "answered" if body.texts else "declined"
    return AgentAnswer(kind, tuple(body.texts or ()), {"status": body.status} if body.status else None)


class GivenAnswer(Out):
    key: str
    answer: str


class GivenOutcome(Out):
    status: str | None = None
    summary: str | None = None
    answers: Annotated[list[GivenAnswer], Field(default_factory=list)]


class AgentAnswerShape(Out):
    kind: AnswerKind
    texts: list[str]
    outcome: GivenOutcome | None
    reason: str | None


class CorpusTurnShape(Out):
    corpus_turn_id: str
    """The id of the turn, or of one that was made up."""
    interaction_id: str | None
    """Null: it was made up."""
    name: str | None
    payload: str
    """The very bytes that the agent got."""
    recorded: AgentAnswerShape | None
    checks: dict[str, Any]
    created_at: datetime


class CorpusTurns(Out):
    turns: list[CorpusTurnShape]
    next_cursor: str | None
    has_more: bool


@router.get("/{corpus_id}/turns", summary="The turns of a corpus")
async def list_corpus_turns(
    corpus_id: str, caller: ReadCaller, read: TenantRead, page_query: PageParams
) -> Answer[CorpusTurns]:
    require_found(await directory.get(read, Corpus, caller.tenant_id, corpus_id))
    rows = await corpora.list_turns(
        read, caller.tenant_id, corpus_id, page_query.get_id_below(), page_query.fetch_limit
    )
    return page_of(CorpusTurns, page_query, rows, key=lambda row: [row.corpus_turn_id], show=_show_turn)


def _show_turn(turn: KeptTurn) -> CorpusTurnShape:
    return CorpusTurnShape(
        corpus_turn_id=turn.corpus_turn_id,
        interaction_id=turn.interaction_id,
        name=turn.name,
        payload=turn.payload.decode(),
        recorded=turn.recorded_answer and AgentAnswerShape.model_validate(turn.recorded_answer),
        checks=turn.checks,
        created_at=turn.created_at,
    )


@router.delete("/{corpus_id}/turns/{corpus_turn_id}", summary="Remove a turn from a corpus")
async def remove_corpus_turn(corpus_id: str, corpus_turn_id: str, caller: ApiCaller, tx: TenantTx) -> Answer[Deleted]:
    await commands.remove_turn(tx, caller, corpus_id, corpus_turn_id)
    return Answer(data=Deleted())
