"""The payload of a turn. `Turn` states its shape once: mypy checks what is built, and OpenAPI
describes it. Datetimes stay datetimes: pydantic's JSON writes them in the documented form."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, NotRequired

from pydantic import Field
from pydantic_core import to_json
from typing_extensions import TypedDict

from app.domain.experiments import Side
from app.domain.law.disclosing import asks_whether_human
from app.domain.lead_fields import CustomValue
from app.domain.outcomes import RefusedOutcome
from app.domain.transcripts import Entry, TranscriptText, build_entry
from app.domain.turns import AgentNote, Asked, Known, Trigger, TurnContext, Unsent
from app.domain.windows import REPLY_WITHIN
from app.domain.words import InteractionStatus


class TurnText(TypedDict):
    messageId: str
    seq: int
    text: str
    receivedAt: datetime
    media: list[dict[str, Any]]
    possibleOptOut: NotRequired[Annotated[bool, Field(json_schema_extra={"default": False})]]
    """Present when the text may be an opt-out, but was not clear enough to obey."""
    askedWhetherHuman: NotRequired[Annotated[bool, Field(json_schema_extra={"default": False})]]
    """Present when the text seems to ask whether a machine answers: say so."""


class TurnMessage(TypedDict):
    combinedText: str
    """All texts, one per line."""
    messageCount: int
    senderPhone: str
    inboundPhone: str
    messages: list[TurnText]


class TurnLead(TypedDict):
    leadId: str
    firstName: str | None
    lastName: str | None
    email: str | None
    phone: str | None
    status: str
    tags: list[str]
    customFields: dict[str, CustomValue]


class TurnCampaign(TypedDict):
    campaignId: str | None
    name: str | None
    clientName: str | None
    offerName: str | None


class TurnThread(TypedDict):
    interactionId: str
    status: InteractionStatus
    transcript: list[Entry]
    """The newest 1,000 entries, including the texts of this turn."""
    notes: NotRequired[list[AgentNote]]
    """Present if people wrote notes for the agent: the newest 20, oldest first. They were sent to nobody."""


class TurnQuestions(TypedDict):
    knownInformation: list[Known]
    informationToCollect: list[Asked]


class TurnFollowUp(TypedDict):
    """Which of the agent's follow-ups after silence this is."""

    step: int
    of: int


class TurnExperiment(TypedDict):
    """The A/B test of the agent, and the side that the lead is on."""

    experimentId: str
    side: Side


class TurnFacts(TypedDict):
    turnId: str
    """Name it in each reply, so that the service can recognize a stale one."""
    trigger: Trigger
    """`texts`: the lead wrote. Else nobody did: the agent opens the conversation (`opening`), the lead has
    been silent (`silence`), the agent asked for this turn (`scheduled`), or a text of ours did not arrive
    (`failed_delivery`)."""
    followUp: TurnFollowUp | None
    """With the trigger `silence`."""
    attempt: int
    throughSeq: int
    expiresAt: datetime
    unsentReply: Unsent | None
    refusedOutcome: RefusedOutcome | None
    """An outcome since the last payload that had no effect, or not all of its effect."""
    experiment: NotRequired[TurnExperiment]
    """Present while the agent has an A/B test."""


@dataclass(frozen=True, slots=True)
class TurnCause:
    """Why there is a turn. For one after silence: its step, of so many steps of the agent."""

    trigger: Trigger = "texts"
    step: int | None = None
    step_count: int = 0

    def build_follow_up(self) -> TurnFollowUp | None:
        if self.trigger != "silence" or self.step is None:
            return None
        return {"step": self.step, "of": max(self.step, self.step_count)}


class Turn(TypedDict):
    """The texts that a lead sent within one window, with everything a reply may need. A turn that nobody's
    text began has none."""

    message: TurnMessage
    lead: TurnLead
    campaign: TurnCampaign
    interaction: TurnThread
    questionnaire: TurnQuestions
    turn: TurnFacts
    tenantId: str
    agentId: str
    timestamp: datetime


TEXTS_CAUSE = TurnCause()


def build_turn(
    context: TurnContext,
    texts: Sequence[TranscriptText],
    transcript: Sequence[TranscriptText],
    unsent_reply: Unsent | None,
    refused_outcome: RefusedOutcome | None,
    attempt: int,
    expires_at: datetime,
    now: datetime,
    cause: TurnCause = TEXTS_CAUSE,
    experiment: TurnExperiment | None = None,
) -> Turn:
    """The payload of a turn that was not handed over before."""
    answered_keys = {answer["key"] for answer in context.answers}
    interaction: TurnThread = {
        "interactionId": context.interaction_id,
        "status": context.status,
        "transcript": [build_entry(text) for text in transcript],
    }
    if context.notes:
        interaction["notes"] = context.notes
    turn_payload: Turn = {
        "message": {
            "combinedText": "\n".join(text.text for text in texts),
            "messageCount": len(texts),
            "senderPhone": context.lead_phone,
            "inboundPhone": context.our_number,
            "messages": [_build_text(text) for text in texts],
        },
        "lead": {
            "leadId": context.lead_id,
            "firstName": context.first_name,
            "lastName": context.last_name,
            "email": context.email,
            "phone": context.phone,
            "status": context.lead_status,
            "tags": context.tags,
            "customFields": context.custom_fields,
        },
        "campaign": {
            "campaignId": context.campaign_id,
            "name": context.campaign_name,
            "clientName": context.client_name,
            "offerName": context.offer_name,
        },
        "interaction": interaction,
        "questionnaire": {
            "knownInformation": context.answers,
            "informationToCollect": [
                question for question in context.questions if question["key"] not in answered_keys
            ],
        },
        "turn": {
            "turnId": context.turn_id,
            "trigger": cause.trigger,
            "followUp": cause.build_follow_up(),
            "throughSeq": context.last_seq,
            "unsentReply": unsent_reply,
            "refusedOutcome": refused_outcome,
            "attempt": attempt,
            "expiresAt": expires_at,
        },
        "tenantId": context.tenant_id,
        "agentId": context.sms_agent_id,
        "timestamp": now,
    }
    if experiment:
        turn_payload["turn"]["experiment"] = experiment
    return turn_payload


def _build_text(text: TranscriptText) -> TurnText:
    assert text.seq is not None
    entry: TurnText = {
        "messageId": text.message_id,
        "seq": text.seq,
        "text": text.text,
        "receivedAt": text.created_at,
        "media": text.media,
    }
    if text.possible_opt_out and text.opt_out is None:
        entry["possibleOptOut"] = True
    if asks_whether_human(text.text):
        entry["askedWhetherHuman"] = True
    return entry


def repeat_turn(
    first_body: bytes, attempt: int, expires_at: datetime, now: datetime, experiment: TurnExperiment | None = None
) -> bytes:
    """The body of a later attempt: the first one's, with its own number, deadline and time. An A/B test may have
    stopped meanwhile."""
    payload = json.loads(first_body)
    facts = {**payload["turn"], "attempt": attempt, "expiresAt": expires_at}
    facts.pop("experiment", None)
    turn = facts | ({"experiment": experiment} if experiment else {})
    return to_json({**payload, "turn": turn, "timestamp": now})


def build_sample(tenant_id: str, agent_id: str, now: datetime) -> Turn:
    """The payload of an invented turn, to test an agent's webhook."""
    text = TranscriptText(
        message_id="msg_sample",
        seq=1,
        role="user",
        source="inbound",
        text="Hello, is anybody there?",
        media=[],
        status="received",
        created_at=now,
        possible_opt_out=False,
        opt_out=None,
    )
    context = TurnContext(
        tenant_id=tenant_id,
        turn_id="turn_sample",
        interaction_id="int_sample",
        status="in_progress",
        lead_phone="+12125550100",
        our_number="+12125550101",
        last_seq=1,
        lead_id="lead_sample",
        first_name="Sample",
        last_name="Lead",
        email=None,
        phone="+12125550100",
        lead_status="new",
        tags=["demo"],
        custom_fields={"plan": "gold"},
        answers=[],
        campaign_id=None,
        campaign_name=None,
        client_name=None,
        offer_name=None,
        questions=[],
        sms_agent_id=agent_id,
        notes=None,
    )
    return build_turn(context, [text], [text], None, None, 1, now + REPLY_WITHIN, now)
