"""The body of an event: the same in the feed and in webhooks.

It is built from the event's row, which never changes, and from the ids of its thread, so that an event that
is sent again has the same bytes. The thread's ids are not in the row, nor are words and phones: a reader gets
them as they are now.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from app.domain import ids
from app.domain.events import SAMPLE_TYPE
from app.domain.words import InteractionStatus, MessageStatus, Source

WithText = Annotated[str, Field(description="With `include: text`.")]
WithPhones = Annotated[str | None, Field(description="With `include: phones`.")]
MessageData = TypedDict(
    "MessageData",
    {
        "messageId": str,
        "seq": int | None,
        "role": str,
        "source": Source,
        "status": MessageStatus,
        "errorCode": str | None,
        "leadId": str,
        "campaignId": str | None,
        "clientId": str | None,
        "phoneNumberId": Annotated[str | None, Field(description="The number of yours.")],
        "turnId": str | None,
        "bulkId": str | None,
        "accountId": str | None,
        "text": NotRequired[WithText],
        "media": NotRequired[Annotated[list[dict[str, Any]], Field(description="With `include: text`.")]],
        "to": NotRequired[WithPhones],
        "from": NotRequired[WithPhones],
    },
)


class StatusBefore(TypedDict):
    status: str


class CampaignIds(TypedDict):
    """Those of the thread when the event is read; null if it is gone."""

    campaignId: str | None
    clientId: str | None
    phoneNumberId: str | None
    """The number of yours."""


class ThreadIds(CampaignIds):
    leadId: str


class ThreadData(ThreadIds):
    status: InteractionStatus
    agentMode: bool
    leadPhone: NotRequired[WithPhones]
    ourNumber: NotRequired[WithPhones]


class WorkData(ThreadData):
    assignedTo: str | None
    """The person's id; null: nobody."""


SnoozeEnd = Annotated[str | None, Field(description="A time, or `reply`: the lead's next text; null: no snooze.")]


class SnoozeData(WorkData):
    snoozedUntil: SnoozeEnd


class WorkBefore(TypedDict):
    assignedTo: str | None


class SnoozeBefore(TypedDict):
    snoozedUntil: SnoozeEnd


class MentionData(ThreadIds):
    messageId: str
    """The note."""
    personId: str
    """Who is mentioned."""
    leadPhone: NotRequired[WithPhones]
    ourNumber: NotRequired[WithPhones]


class PausedThreadData(ThreadData):
    pausedUntil: NotRequired[datetime]
    reason: NotRequired[str | None]


class ThreadBefore(TypedDict, total=False):
    """What changed."""

    status: InteractionStatus
    agentMode: bool
    leadId: str
    pausedUntil: datetime | None


class NeedData(ThreadIds):
    reason: Annotated[
        str, Field(json_schema_extra={"enum": ["follow_up", "held_reply", "possible_optout", "failed_text"]})
    ]
    messageId: NotRequired[str]
    turnId: NotRequired[str]
    smsAgentId: NotRequired[str | None]
    status: NotRequired[InteractionStatus]
    agentMode: NotRequired[bool]
    leadPhone: NotRequired[WithPhones]
    ourNumber: NotRequired[WithPhones]


class TurnData(ThreadIds):
    turnId: str
    kind: str
    trigger: NotRequired[str]
    """Why there is a turn: `texts` of the lead, `opening`, `silence`, `scheduled` or `failed_delivery`."""
    state: str
    reason: str | None
    smsAgentId: str | None
    experimentId: NotRequired[str]
    """Present if it was handed over under an A/B test."""
    side: NotRequired[Annotated[str, Field(json_schema_extra={"enum": ["a", "b"]})]]
    """Of the A/B test."""
    messageIds: NotRequired[list[str] | None]
    """The texts of the reply."""
    texts: NotRequired[Annotated[list[str], Field(description="With `include: text`: the reply.")]]


class StateBefore(TypedDict):
    state: str


class RefusedData(TurnData):
    code: str
    by: str | None


class OutcomeData(TurnData):
    status: InteractionStatus | None
    leadStatus: str | None
    answerKeys: list[str]
    """The questions that were answered."""
    outcome: NotRequired[Annotated[dict[str, Any], Field(description="With `include: text`: the whole outcome.")]]


class ConsentData(CampaignIds):
    leadId: str | None
    """This and the ids of campaign, client and number are null where no thread is concerned."""
    event: str
    """What happened: `opted_out`, `suppressed`, `opted_in`, `lifted` or `opt_out_undone`."""
    cause: str | None
    rule: str | None
    messageId: str | None
    consentEventId: str
    phone: NotRequired[WithPhones]


class DoubtData(ThreadIds):
    messageId: str
    held: bool
    """It goes to no agent before a person has decided."""
    text: NotRequired[WithText]
    media: NotRequired[list[dict[str, Any]]]
    to: NotRequired[WithPhones]


class LeadData(TypedDict):
    leadId: str
    campaignId: str | None
    clientId: str | None
    status: str
    isPlaceholder: bool
    isTest: bool


class MergeData(TypedDict):
    leadId: str
    mergedLeadId: str
    """The placeholder's id, which is gone."""


class NumberData(TypedDict):
    phoneNumberId: str
    reason: str | None


class AgentData(TypedDict):
    smsAgentId: str
    reason: str | None


class ExperimentData(AgentData):
    experimentId: str
    keptSide: Annotated[str, Field(json_schema_extra={"enum": ["a", "b"]})]


class AccountData(TypedDict):
    accountId: str
    reason: str | None


class TenantData(TypedDict):
    tenantId: str
    reason: str | None


class EndpointData(TypedDict):
    endpointId: str
    reason: str | None


SHAPE_BY_FAMILY: dict[str, tuple[Any, Any]] = {
    "message": (MessageData, StatusBefore | None),
    "interaction": (ThreadData, ThreadBefore | None),
    "interaction.paused": (PausedThreadData, ThreadBefore),
    "interaction.assigned": (WorkData, WorkBefore),
    "interaction.snoozed": (SnoozeData, SnoozeBefore),
    "interaction.unsnoozed": (SnoozeData, SnoozeBefore),
    "interaction.mentioned": (MentionData, None),
    "interaction.needs_person": (NeedData, None),
    "turn": (TurnData, StateBefore | None),
    "turn.refused": (RefusedData, None),
    "outcome": (OutcomeData, None),
    "optout": (ConsentData, None),
    "optin": (ConsentData, None),
    "possible_optout": (DoubtData, None),
    "lead": (LeadData, None),
    "lead.merged": (MergeData, None),
    "number": (NumberData, None),
    "agent": (AgentData, None),
    "experiment": (ExperimentData, None),
    "account": (AccountData, None),
    "tenant": (TenantData, None),
    "endpoint": (EndpointData, None),
}
"""The shapes of `data` and `before`, by type or by its first word."""


def shapes_of(event_type: str) -> tuple[Any, Any]:
    return SHAPE_BY_FAMILY.get(event_type) or SHAPE_BY_FAMILY[event_type.partition(".")[0]]


class EventBody(TypedDict):
    eventId: str
    type: str
    at: datetime
    tenantId: str
    interactionId: str | None
    actor: str | None
    data: dict[str, Any]
    before: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """An event as its row has it. `type`: the short type; `name`: the full one."""

    transaction: int
    event_id: int
    type: str
    name: str | None
    interaction_id: str | None
    actor: str | None
    data: dict[str, Any]
    before: dict[str, Any] | None
    at: datetime
    id: str
    """It stays when the tenant moves to another database, where `transaction` and `event_id` are others."""

    @property
    def cursor(self) -> tuple[int, int]:
        return self.transaction, self.event_id


def build_body(tenant_id: str, event: RecordedEvent, words: Mapping[str, Any], has_phones: bool) -> EventBody:
    """The body under the event's full name. `words`: what it has besides the row."""
    data = {**event.data, **words}
    if not has_phones:
        data.pop("phone", None)
    return {
        "eventId": event.id,
        "type": event.name or event.type,
        "at": event.at,
        "tenantId": tenant_id,
        "interactionId": event.interaction_id,
        "actor": event.actor,
        "data": data,
        "before": event.before,
    }


def build_sample(tenant_id: str, endpoint_id: str, now: datetime) -> EventBody:
    """The body of the event that tests an endpoint."""
    return {
        "eventId": ids.make("evt"),
        "type": SAMPLE_TYPE,
        "at": now,
        "tenantId": tenant_id,
        "interactionId": None,
        "actor": None,
        "data": {"endpointId": endpoint_id},
        "before": None,
    }
