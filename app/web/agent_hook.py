"""The OpenAPI description of what the service POSTs to an agent's webhook (`docs/agents.md`).

The models describe the payloads of `agents.payload` and the answers that `agents.webhook` reads.
They are never run; a test compares real payloads and answers with them."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header
from pydantic import Field

from app.domain.turns import MOST_TEXTS
from app.domain.words import InteractionStatus
from app.web.envelope import Out
from app.web.interactions import Entry

webhooks = APIRouter()


class TurnText(Out):
    message_id: str
    seq: int
    text: str
    received_at: datetime
    media: list[dict[str, Any]]
    possible_opt_out: bool = False
    """Present when the text may be an opt-out, but was not clear enough to obey."""


class TurnMessage(Out):
    combined_text: str
    """All texts, one per line."""
    message_count: int
    sender_phone: str
    inbound_phone: str
    messages: list[TurnText]


class TurnLead(Out):
    lead_id: str
    first_name: str | None
    last_name: str | None
    email: str | None
    phone: str | None
    status: str


class TurnCampaign(Out):
    campaign_id: str | None
    name: str | None
    client_name: str | None
    offer_name: str | None


class TurnThread(Out):
    interaction_id: str
    status: InteractionStatus
    transcript: list[Entry]
    """The newest 1,000 entries, including the texts of this turn."""


class Asked(Out):
    key: str
    question: str


class Known(Asked):
    answer: str


class TurnQuestions(Out):
    known_information: list[Known]
    information_to_collect: list[Asked]


class Unsent(Out):
    """A reply that came too late: the lead had written again."""

    turn_id: str
    texts: list[str]
    refused_at: datetime


class TurnFacts(Out):
    turn_id: str
    """Name it in each reply, so that the service can recognize a stale one."""
    attempt: int
    through_seq: int
    expires_at: datetime
    unsent_reply: Unsent | None


class Turn(Out):
    """The texts that a lead sent within one window, with everything a reply may need."""

    message: TurnMessage
    lead: TurnLead
    campaign: TurnCampaign
    interaction: TurnThread
    questionnaire: TurnQuestions
    turn: TurnFacts
    tenant_id: str
    agent_id: str
    timestamp: datetime


class Said(Out):
    """If all fields are null or the body is empty, a reply by `POST /api/v1/sms/send` may follow
    until `expiresAt`. An answer that cannot be read is recorded in the turn, which stays open."""

    reply: Annotated[str, Field(min_length=1, max_length=1600)] | None = None
    """One text to send. If `replies` is given too, this one goes first."""
    replies: (
        Annotated[
            list[Annotated[str, Field(min_length=1, max_length=1600)]],
            Field(max_length=MOST_TEXTS),
        ]
        | None
    ) = None
    """Texts to send, in this order. An empty list declines to answer."""
    handoff: bool | None = None
    """True: after the replies in this answer are sent, agent mode is switched off and the thread's
    status becomes `follow_up`. This also happens if the turn is already closed or its replies are
    refused."""
    reason: Annotated[str, Field(max_length=500)] | None = None
    """Why the agent hands off. People read it as a note in the thread."""


@webhooks.post(
    "turn",
    summary="A turn: the lead wrote, and the agent should answer",
    tags=["Turns"],
    response_description="Accepted: answered, declined, handed to a person, or answered later.",
    operation_id="agent-turn",
    responses={"default": {"description": "Not accepted: the turn is handed over again later."}},
)
async def turn(
    body: Turn,
    webhook_id: Annotated[str, Header(description="The turn's id. It is the same on every attempt.")],
    webhook_timestamp: Annotated[str, Header(description="The time of this attempt, in Unix seconds.")],
    webhook_signature: Annotated[
        str,
        Header(description="`v1,` and base64 of HMAC-SHA256 over `{id}.{timestamp}.{body}`."),
    ],
    webhook_kind: Annotated[
        Literal["replay", "shadow", "test"] | None,
        Header(description="Present when the answer is only recorded and never sent."),
    ] = None,
) -> Said:
    """POSTed to the agent's `webhookUrl`, signed as in Standard Webhooks with its `signingSecret`.
    Any 2xx accepts the turn. Any other status, a redirect, or an answer that takes longer than
    20 s is a failure; the service tries again after 5 s, 30 s, 2 min and 10 min."""
    raise NotImplementedError("only a description; the agent serves this")
