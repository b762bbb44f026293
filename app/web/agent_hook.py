"""What we POST to an agent's webhook, described (`webhooks` of OpenAPI): the shapes that
`agents.payload` makes and the answers that `agents.webhook` reads (contract 6). They describe
and do nothing; a test holds real hand-overs against them."""

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
    """There when the text may be a wish not to be texted that was not plain enough to obey."""


class TurnMessage(Out):
    combined_text: str
    """The texts, a line each."""
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
    """The newest 1,000 entries, with the turn's own texts."""


class Asked(Out):
    key: str
    question: str


class Known(Asked):
    answer: str


class TurnQuestions(Out):
    known_information: list[Known]
    information_to_collect: list[Asked]


class Unsent(Out):
    """What you said too late: the lead had written again."""

    turn_id: str
    texts: list[str]
    refused_at: datetime


class TurnFacts(Out):
    turn_id: str
    """Name it in your reply: only then it can never be stale."""
    attempt: int
    through_seq: int
    expires_at: datetime
    unsent_reply: Unsent | None


class Turn(Out):
    """Texts of a lead, gathered for a window, with all that a reply may need."""

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
    """All null, or nothing at all: a reply by `POST /api/v1/sms/send` may follow until
    `expiresAt`. What is not understood is recorded in the turn, which stays open."""

    reply: Annotated[str, Field(min_length=1, max_length=1600)] | None = None
    """Sent; with `replies` beside it, before those."""
    replies: (
        Annotated[
            list[Annotated[str, Field(min_length=1, max_length=1600)]],
            Field(max_length=MOST_TEXTS),
        ]
        | None
    ) = None
    """Sent in this order; none: you decline to answer."""
    handoff: bool | None = None
    """True: once the replies beside it are sent, agent mode goes off and the thread's status
    becomes `follow_up`; also when the turn is closed already, or no reply of it may go out."""
    reason: Annotated[str, Field(max_length=500)] | None = None
    """Of the hand-off: people read it in a note."""


@webhooks.post(
    "turn",
    summary="A turn: the lead wrote, the agent is to answer",
    tags=["Turns"],
    response_description="Taken: answered, declined, handed to a person, or to be answered later.",
    operation_id="agent-turn",
    responses={"default": {"description": "Not taken: the turn is handed over again later."}},
)
async def turn(
    body: Turn,
    webhook_id: Annotated[str, Header(description="The turn's id, the same on every attempt.")],
    webhook_timestamp: Annotated[str, Header(description="Of this attempt, in Unix seconds.")],
    webhook_signature: Annotated[
        str,
        Header(description="`v1,` and base64 of HMAC-SHA256 over `{id}.{timestamp}.{body}`."),
    ],
    webhook_kind: Annotated[
        Literal["replay", "shadow", "test"] | None,
        Header(description="There when the answer is only kept and never sent."),
    ] = None,
) -> Said:
    """POSTed to the agent's `webhookUrl`, signed by Standard Webhooks with its `signingSecret`.
    Any 2xx takes the turn. Anything else is tried again after 5 s, 30 s, 2 min and 10 min, as is
    an answer that takes longer than 20 s; redirects are failures."""
    raise NotImplementedError("described here, served by the agent")
