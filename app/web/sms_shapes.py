"""What requests to send texts hold, and what they and their texts are answered."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from app.domain.law.places import PlaceSource
from app.domain.media import MAX_FILES, is_media_url
from app.domain.words import Purpose, Relation
from app.web.envelope import Body, Error, Moment, Out, SendableText

Id = Annotated[str, Field(min_length=1, max_length=64)]
Phone = Annotated[str, Field(min_length=1, max_length=40)]
MAX_BULK_TEXTS = 1000


class SendBody(Body):
    """Only `leadId` and `message` are required; the service finds the rest."""

    lead_id: Id
    message: SendableText
    to: Phone | None = None
    from_: Annotated[Phone | None, Field(alias="from")] = None
    campaign_id: Id | None = None
    interaction_id: Id | None = None
    source: Literal["api", "sms_agent"] | None = None
    turn_id: Id | None = None
    agent_mode: bool | None = None
    send_at: Moment | None = None
    cancel_on_reply: bool = False
    validity_seconds: Annotated[int, Field(ge=60, le=36_000)] | None = None
    purpose: Purpose | None = None
    """Null: conversational for an answer, else the campaign's."""
    media_urls: Annotated[list[str], Field(max_length=MAX_FILES)] = Field(default=[])
    dry_run: bool = False

    @field_validator("media_urls")
    @classmethod
    def _require_http_urls(cls, urls: list[str]) -> list[str]:
        for url in urls:
            if not is_media_url(url):
                raise ValueError("must be http or https addresses of at most 2048 characters")
        return urls

    @field_validator("cancel_on_reply")
    @classmethod
    def _require_send_at(cls, value: bool, info: ValidationInfo) -> bool:
        if value and info.data.get("send_at") is None:
            raise ValueError("needs sendAt")
        return value


class BulkEntry(SendBody):
    """Like a single send, but valid for longer."""

    validity_seconds: Annotated[int, Field(ge=60, le=86_400)] | None = None

    @field_validator("dry_run", "turn_id", "source")
    @classmethod
    def _require_bulk_fields(cls, value: object, info: ValidationInfo) -> object:
        if value and (info.field_name, value) != ("source", "api"):
            raise ValueError("is not allowed in a bulk send")
        return value


class Rung(Out):
    field: str
    rule: str
    value: str | None


class RuleReason(Out):
    """A rule that holds or refuses a text."""

    rule: str
    words: str
    citation: str | None
    """Where the law says so; null: a rule of your own."""
    until: datetime | None
    """From then on the rule lets it go; null: not by waiting."""
    lifted_by: list[str]


class Verdict(Out):
    """What the rules say about a text. Not legal advice."""

    verdict: Literal["may", "later", "no"]
    purpose: Purpose | None
    relation: Relation | None
    """To the phone: the first contact, a text to somebody who wrote before, or an answer."""
    jurisdictions: list[str]
    """Whose rules count; empty if the law's rules are off."""
    place_from: PlaceSource | None
    """What says where the recipient is."""
    earliest_at: datetime | None
    reasons: list[RuleReason]


class Found(Out):
    """What the service found for a text: recipient, sender, campaign, segments."""

    to: str
    from_: Annotated[str, Field(alias="from")]
    campaign_id: str | None
    provider: str
    encoding: str
    segments: int
    held_until: datetime | None = None
    verdict: Verdict | None = None
    """What your rules and the law's say; null: there are none."""
    resolution: list[Rung]


class Queued(Found):
    message_id: str
    interaction_id: str
    status: str


class Caught(Out):
    """The answer to a reply to a replay, shadow or test turn: it is recorded and never sent."""

    status: Literal["caught"]
    turn_id: str


class DryRun(Found):
    status: str
    culprit: str | None
    """The first character that forces UCS-2."""
    earliest_at: datetime
    """The earliest time at which the text would leave."""


class BulkBody(Body):
    """Each entry is checked by itself: a refused entry does not affect the others."""

    messages: Annotated[list[Any], Field(min_length=1, max_length=MAX_BULK_TEXTS)]


class BulkResult(Out):
    """Either both ids or an error."""

    index: int
    message_id: str | None = None
    interaction_id: str | None = None
    error: Error | None = None


class BulkAccepted(Out):
    bulk_id: str
    accepted: int
    refused: int
    results: list[BulkResult]


BULK_SCHEMA = {
    "requestBody": {
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["messages"],
                    "additionalProperties": False,
                    "properties": {
                        "messages": {
                            "type": "array",
                            "minItems": 1,
                            "maxItems": MAX_BULK_TEXTS,
                            "items": BulkEntry.model_json_schema(),
                        }
                    },
                }
            }
        }
    }
}


class BulkShape(Out):
    bulk_id: str
    accepted: int
    refused: int
    created_at: datetime
    statuses: dict[str, int]
    """How many texts have each status."""


class BulkCancelled(Out):
    bulk_id: str
    cancelled: int


class OptOutDecision(Body):
    opt_out: bool
