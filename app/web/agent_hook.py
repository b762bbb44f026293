"""The OpenAPI description of what the service POSTs to an agent's webhook (`docs/agents.md`).

`agents.payload` states the payload's shape. `Said` describes the answers that `agents.webhook` reads;
it is never run, and a test compares real answers with it."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Header
from pydantic import Field

from app.agents.payload import Turn
from app.domain.media import MAX_FILES
from app.domain.outcomes import MAX_ANSWERS
from app.domain.turns import MAX_TEXTS_PER_REPLY
from app.domain.words import InteractionStatus
from app.web.envelope import Out
from app.web.outcomes import AnswerBody, LeadStatus, Note, Summary

webhooks = APIRouter()


class Said(Out):
    """If all fields are null or the body is empty, a reply by `POST /api/v1/sms/send` may follow
    until `expiresAt`. An answer that cannot be read is recorded in the turn, which stays open."""

    reply: Annotated[str, Field(min_length=1, max_length=1600)] | None = None
    """One text to send. If `replies` is given too, this one goes first."""
    replies: (
        Annotated[
            list[Annotated[str, Field(min_length=1, max_length=1600)]],
            Field(max_length=MAX_TEXTS_PER_REPLY),
        ]
        | None
    ) = None
    """Texts to send, in this order. An empty list declines to answer."""
    media_urls: Annotated[list[str], Field(max_length=MAX_FILES)] | None = None
    """Addresses of pictures and files that go with the first text, if our number can send them."""
    handoff: bool | None = None
    """True: after the replies in this answer are sent, agent mode is switched off and the thread's
    status becomes `follow_up`. This also happens if the turn is already closed or its replies are
    refused."""
    reason: Annotated[str, Field(max_length=500)] | None = None
    """Why the agent hands off. People read it as a note in the thread."""
    follow_up_at: datetime | None = None
    """When the agent wants a turn of the trigger `scheduled`, with an offset, up to 35 days ahead, if the lead
    has not written until then. One is planned for a thread; the newest wish counts. It counts if the answer
    that it stands in counts. Alone, it declines to answer now."""
    status: InteractionStatus | None = None
    """The thread's new status. `dnc` is the lead's wish to get no more texts: it suppresses the phone.
    A hand-off beside a status does not set `follow_up`."""
    summary: Summary | None = None
    """What the conversation came to."""
    answers: Annotated[list[AnswerBody], Field(max_length=MAX_ANSWERS)] | None = None
    """The lead's answers to questions of the questionnaire."""
    lead_status: LeadStatus | None = None
    """The lead's new status."""
    note: Note | None = None
    """A note in the thread for people. It is sent to nobody."""


@webhooks.post(
    "turn",
    summary="A turn: the lead wrote, and the agent should answer",
    tags=["Turns"],
    response_description="Accepted: answered, declined, handed to a person, or answered later.",
    operation_id="answerTurn",
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
        Literal["replay", "shadow", "test", "trial"] | None,
        Header(description="Present when the answer is only recorded and never sent."),
    ] = None,
) -> Said:
    """POSTed to the agent's `webhookUrl`, signed as in Standard Webhooks with its `signingSecret`.
    Any 2xx accepts the turn. Any other status, a redirect, or an answer that takes longer than
    20 s is a failure; the service tries again after 5 s, 30 s, 2 min and 10 min."""
    raise NotImplementedError("only a description; the agent serves this")
