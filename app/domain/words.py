"""The fixed sets of words that tables, API and page share."""

from typing import Literal, get_args

Source = Literal["manual", "api", "inbound", "sms_agent", "system"]
Scope = Literal["admin", "api", "agent", "read"]
PersonRole = Literal["admin", "member"]
"""What a person may do on the page: everything, or only read and write conversations."""
Channel = Literal["sms", "phone", "email"]
Capability = Literal["sms", "mms", "voice"]
Encoding = Literal["GSM-7", "UCS-2"]
Cause = Literal["lead", "person"]
PossibleOptOut = Literal["hold", "forward"]
"""What becomes of a text that may be an opt-out: it waits for a person, or the agent gets it."""
LawSwitch = Literal["off", "on"]
"""Whether texts obey the law's rules about hours and numbers."""
Purpose = Literal["marketing", "conversational", "transactional"]
"""Why a text is sent: to sell, within a conversation, or for a deal that is made. Laws ask for it."""
Relation = Literal["first_contact", "known", "reply"]
"""What a text is to its phone: nobody has written from there yet; somebody has; it answers them."""
ConsentBasis = Literal["express_written", "express", "inquiry", "existing_relationship", "none"]
"""What allows texts to a phone, the strongest first."""
Disclosure = Literal["off", "where_required", "always"]
"""Whether an agent's first text in a thread says that it is an agent."""
DemandedBasis = Literal["express_written", "express", "inquiry", "existing_relationship"]
ConsentScope = Literal["marketing", "conversational"]
RowOutcome = Literal["added", "changed", "unchanged"]
"""What became of a row of an import that was taken."""
View = Literal["waiting", "mine", "held", "unread", "snoozed", "all"]
"""The views of the list of threads."""
ImportKind = Literal["leads", "suppressions"]
ImportState = Literal["new", "checking", "checked", "importing", "done", "stopped", "failed"]
"""A file that was uploaded on the page is checked, as often as wanted, and then imported."""

InteractionStatus = Literal[
    "in_progress",
    "completed",
    "incomplete",
    "follow_up",
    "qualified",
    "disqualified",
    "dnc",
]
MessageStatus = Literal[
    "scheduled",
    "queued",
    "sending",
    "unknown",
    "sent",
    "failed",
    "undelivered",
    "delivered",
    "cancelled",
    "received",
    "note",
]

ROW_OUTCOMES: tuple[RowOutcome, ...] = get_args(RowOutcome)
PERSON_ROLES: tuple[PersonRole, ...] = get_args(PersonRole)
INTERACTION_STATUSES: tuple[InteractionStatus, ...] = get_args(InteractionStatus)
CLOSED_STATUSES: tuple[InteractionStatus, ...] = ("completed", "disqualified", "dnc")
"""Nothing more is to be done in a thread with one of these, until the lead writes."""

STATUS_RANK: dict[str, int] = {
    "scheduled": 0,
    "queued": 1,
    "sending": 2,
    "unknown": 3,
    "sent": 4,
    "failed": 5,
    "undelivered": 5,
    "delivered": 6,
    "cancelled": 9,
    "received": 9,
    "note": 9,
}
"""The status of a text moves only to a higher rank (docs/laws.md, law 7). `delivered` replaces a
failure; `cancelled`, `received` and `note` are final."""
