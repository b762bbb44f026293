"""Outcomes: what an agent says a conversation came to. See docs/agents.md."""

from typing import Annotated

from fastapi import APIRouter
from pydantic import Field

from app.commands import outcomes, planned_turns
from app.domain.outcomes import (
    MAX_ANSWER_LENGTH,
    MAX_ANSWERS,
    MAX_ID_LENGTH,
    MAX_KEY_LENGTH,
    MAX_LEAD_STATUS_LENGTH,
    MAX_NOTE_LENGTH,
    MAX_SUMMARY_LENGTH,
    OUTCOME_FIELDS,
    GivenAnswer,
    Outcome,
)
from app.domain.problems import Invalid
from app.domain.words import InteractionStatus
from app.web.dependencies import AppResources, ReplyCaller
from app.web.envelope import Answer, Body, Moment
from app.web.idempotency import RouteKey, claim_key
from app.web.turns import TurnShape, get_shape

router = APIRouter(prefix="/api/v1", tags=["Turns"])
Summary = Annotated[str, Field(min_length=1, max_length=MAX_SUMMARY_LENGTH, pattern=r"\S")]
Note = Annotated[str, Field(min_length=1, max_length=MAX_NOTE_LENGTH, pattern=r"\S")]
LeadStatus = Annotated[str, Field(min_length=1, max_length=MAX_LEAD_STATUS_LENGTH, pattern=r"\S")]


class AnswerBody(Body):
    key: Annotated[str, Field(min_length=1, max_length=MAX_KEY_LENGTH, pattern=r"\S")]
    """The key of a question of the lead's or the campaign's questionnaire."""
    answer: Annotated[str, Field(min_length=1, max_length=MAX_ANSWER_LENGTH, pattern=r"\S")]
    message_id: Annotated[str, Field(min_length=1, max_length=MAX_ID_LENGTH)] | None = None
    """The lead's text that contains the answer."""


class OutcomeBody(Body):
    """At least one field."""

    status: InteractionStatus | None = None
    """The thread's new status. `dnc` is the lead's wish to get no more texts: it suppresses the phone."""
    summary: Summary | None = None
    answers: Annotated[list[AnswerBody], Field(max_length=MAX_ANSWERS)] | None = None
    lead_status: LeadStatus | None = None
    """The lead's new status, in the words of your own system."""
    note: Note | None = None
    """A note in the thread for people. It is sent to nobody."""
    follow_up_at: Moment | None = None
    """When you want a turn with the trigger `scheduled`, up to 35 days ahead, if the lead has not written until
    then. It is no part of the outcome, and may be given alone."""

    def build_outcome(self) -> Outcome:
        """Nothing, if only `follow_up_at` is given. Raises `Invalid` if that is not given either."""
        answers = tuple(GivenAnswer(item.key, item.answer, item.message_id) for item in self.answers or ())
        outcome = Outcome(self.status, self.summary, answers, self.lead_status, self.note)
        if not outcome and not self.follow_up_at:
            raise Invalid(details=[f"status: at least one of {', '.join(OUTCOME_FIELDS)} is needed"])
        return outcome


@router.post("/turns/{turn_id}/outcome", summary="Say what a conversation came to")
async def give_outcome(
    turn_id: str, body: OutcomeBody, caller: ReplyCaller, resources: AppResources, key: RouteKey
) -> Answer[TurnShape]:
    """One outcome for each turn; the same one again is answered as the first time. An open turn is
    closed by it; an answered one may get it until the next turn is handed over. The outcome of a
    replay, shadow or test turn is only kept."""
    outcome = body.build_outcome()
    # Not a dependency: a refusal writes rows, too, and they must be committed.
    async with resources.database.system_tx() as tx:
        idempotency = await claim_key(tx, caller.tenant_id, key)
        problem = await outcomes.accept_api_outcome(tx, caller, turn_id, outcome) if outcome else None
        if problem is None:
            if body.follow_up_at:
                await planned_turns.wake_agent(tx, caller, turn_id, body.follow_up_at)
            answer = Answer[TurnShape](data=await get_shape(tx, caller.tenant_id, turn_id))
            return await idempotency.store_answer(answer, 200)
        await idempotency.free_key()
    raise problem
