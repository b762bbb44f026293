"""What requests to send texts hold, and what they and their texts are answered."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from app.domain.media import MAX_FILES, is_media_url
from app.domain.words import Purpose
from app.web.envelope import Body, Error, Moment, Out, SendableText, Verdict

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
    cancel_on_reply: bool | None = None
    validity_seconds: Annotated[int, Field(ge=60, le=36_000)] | None = None
    purpose: Purpose | None = None
    """Null: conversational for an answer, else the campaign's."""
    media_urls: Annotated[list[str], Field(max_length=MAX_FILES)] | None = None
    dry_run: bool | None = None

    @field_validator("media_urls")
    @classmethod
    def _require_http_urls(cls, urls: list[str] | None) -> list[str] | None:
        for url in urls or ():
            if not is_media_url(url):
                raise ValueError("must be http or https addresses of at most 2048 characters")
        return urls

    @field_validator("cancel_on_reply")
    @classmethod
    def _require_send_at(cls, value: bool | None, info: ValidationInfo) -> bool | None:
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
    dry_run: bool | None = None

    @model_validator(mode="before")
    @classmethod
    def _require_storable(cls, raw_body: Any) -> Any:
        """Each entry is judged by itself."""
        return raw_body


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


class ForecastEntry(Out):
    """What a send of the entry would be told: an error, or how it would go."""

    index: int
    status: str | None = None
    to: str | None = None
    segments: int | None = None
    held_until: datetime | None = None
    earliest_at: datetime | None = None
    verdict: Verdict | None = None
    error: Error | None = None


class BulkForecast(Out):
    accepted: int
    refused: int
    held: int
    """Of those that would be accepted."""
    reasons: dict[str, int]
    """By rule, or by the code of an error: how many entries it would hold or refuse."""
    results: list[ForecastEntry]


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
                        },
                        "dryRun": {"type": "boolean", "default": False},
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
