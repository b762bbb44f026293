"""The types of events, and when a webhook that was not taken is sent again.

The triggers of the database write the events (docs/decisions/0013-triggers-write-the-events.md).
"""

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, get_args

ABOUT_BY_TYPE = {
    "message.received": "A lead's text came.",
    "message.queued": "A text is safely owed to a carrier.",
    "message.scheduled": "A text waits for its time.",
    "message.sending": "A text is being handed to a carrier.",
    "message.sent": "The carrier took a text.",
    "message.delivered": "The carrier says that a text arrived.",
    "message.undelivered": "The carrier says that a text did not arrive.",
    "message.failed": "A text was not sent; `errorCode` says why.",
    "message.unknown": "Nobody knows whether the carrier took a text.",
    "message.cancelled": "A text was cancelled before it was sent.",
    "message.note": "A note for people was added to a thread.",
    "interaction.opened": "A thread began.",
    "interaction.status": "A thread has another status.",
    "interaction.agent_mode": "Agent mode was switched.",
    "interaction.needs_person": "A thread needs a person; `reason` says why.",
    "interaction.assigned": "A thread is another person's, or nobody's.",
    "interaction.snoozed": "A thread rests until a time, or until the lead writes.",
    "interaction.unsnoozed": "Somebody ended a snooze; one that ends by itself is not told.",
    "interaction.mentioned": "A note in a thread mentions a person.",
    "interaction.lead": "A thread belongs to another lead.",
    "interaction.paused": "The loop breaker paused a thread's agent.",
    "interaction.resumed": "The pause of a thread's agent ended.",
    "turn.planned": "A turn is to come although the lead has not written; `trigger` says why.",
    "turn.opened": "A lead's texts are collected for the agent.",
    "turn.handed_over": "A turn is being handed over to the agent.",
    "turn.accepted": "The agent has a turn, and may answer it later.",
    "turn.replied": "The agent answered; its texts are queued.",
    "turn.declined": "The agent has nothing to say.",
    "turn.concluded": "The agent gave an outcome without a reply.",
    "turn.handed_off": "The agent handed the thread to a person.",
    "turn.superseded": "The lead wrote again, and a later turn was handed over.",
    "turn.cancelled": "A person took over, agent mode was switched off, the lead opted out, or a planned turn is void.",
    "turn.expired": "The agent did not answer in time.",
    "turn.failed": "The agent could not be reached.",
    "turn.refused": "An answer of the agent was refused; `code` says why.",
    "outcome.recorded": "The agent said what a conversation came to.",
    "optout": "A phone may not be texted any more.",
    "optin": "A cause why a phone may not be texted was lifted.",
    "possible_optout": "A lead's text may be an opt-out.",
    "lead.created": "A lead was added, or an unknown sender became one.",
    "lead.merged": "A lead became another: two were merged, or a placeholder gave way to the lead with its phone.",
    "number.paused": "No text leaves from a number.",
    "number.resumed": "Texts leave from a number again.",
    "agent.paused": "No text of an agent leaves.",
    "agent.resumed": "Texts of an agent leave again.",
    "experiment.stopped": "An A/B test of an agent has stopped; `reason` says why, and `keptSide` where all leads go.",
    "account.failing": "The carrier refuses an account; its texts wait.",
    "account.recovered": "The carrier takes an account's texts again.",
    "tenant.paused": "No text of the tenant leaves.",
    "tenant.resumed": "Texts of the tenant leave again.",
    "endpoint.paused": "A webhook endpoint gets no more events; `reason` says why.",
    "endpoint.resumed": "A webhook endpoint gets events again.",
}
EVENT_TYPES = tuple(ABOUT_BY_TYPE)
SAMPLE_TYPE = "endpoint.test"
"""The type of the event that tests an endpoint. The feed has none."""
ShortType = Literal["message", "receipt", "turn", "status", "consent"]
"""The types of the feed's first form."""
SHORT_TYPES: tuple[ShortType, ...] = get_args(ShortType)
LATER_TYPES = (
    *("interaction.opened", "interaction.needs_person", "turn.planned", "turn.refused", "outcome.recorded"),
    *("interaction.assigned", "interaction.snoozed", "interaction.unsnoozed", "interaction.mentioned"),
)
WITHOUT_SHORT_TYPE = tuple(
    event_type
    for event_type in EVENT_TYPES
    if event_type in LATER_TYPES
    or event_type.partition(".")[0]
    in ("possible_optout", "lead", "number", "agent", "experiment", "account", "tenant", "endpoint")
)
"""The feed's first form did not have these, and does not show them."""
Include = Literal["text", "phones"]
INCLUDES: tuple[Include, ...] = get_args(Include)

POST_DEADLINE = timedelta(seconds=15)
POST_LEASE = timedelta(seconds=40)
"""After this time without a settlement another worker sends the events again. No request begins when
less than the deadline of one is left."""
FIRST_RETRIES = (
    timedelta(seconds=5),
    timedelta(seconds=30),
    timedelta(minutes=2),
    timedelta(minutes=10),
    timedelta(minutes=30),
)
RETRY_EVERY = timedelta(hours=1)
GIVE_UP_AFTER = timedelta(hours=24)
"""The sum of all waits. After them the endpoint is paused."""
RETRIES = (
    *FIRST_RETRIES,
    *[RETRY_EVERY] * ((GIVE_UP_AFTER - sum(FIRST_RETRIES, timedelta())) // RETRY_EVERY),
    (GIVE_UP_AFTER - sum(FIRST_RETRIES, timedelta())) % RETRY_EVERY,
)
RETRY_AFTER_BOUNDS = (timedelta(seconds=1), RETRY_EVERY)


EVENT_ID_PATTERN = re.compile(r"(?:([0-9]+)\.)?([0-9]+)-([0-9]+)")


@dataclass(frozen=True, slots=True)
class EventId:
    """`transaction-number`, or `epoch.transaction-number` where the tenant came from another database:
    numbers of two databases cannot be compared."""

    epoch: int
    transaction: int
    number: int


def parse_event_id(event_id: str) -> EventId | None:
    """None: it is no event id."""
    match = EVENT_ID_PATTERN.fullmatch(event_id)
    numbers = [int(number or 0) for number in match.groups()] if match else []
    return EventId(*numbers) if match and max(numbers) < 2**63 else None


def get_wait(attempt: int, retry_after: float | None) -> timedelta | None:
    """The wait after the failed `attempt`, which counts from 1; None: it was the last one. `retry_after`:
    what the endpoint asked for, in seconds."""
    if attempt > len(RETRIES):
        return None
    if retry_after is None:
        return RETRIES[attempt - 1]
    low, high = RETRY_AFTER_BOUNDS
    return min(max(timedelta(seconds=retry_after), low), high)
