"""Client of LeadSail SMS: `LeadSail` sends texts and reads what happened, `Agent` answers leads."""

from leadsail.agent import Agent, HandOff, Outcome, Turn
from leadsail.client import LeadSail
from leadsail.errors import ApiError, InvalidSignature, LeadSailError, OutcomeUnknown, Unreachable
from leadsail.webhooks import verify

__all__ = [
    "Agent",
    "ApiError",
    "HandOff",
    "InvalidSignature",
    "LeadSail",
    "LeadSailError",
    "Outcome",
    "OutcomeUnknown",
    "Turn",
    "Unreachable",
    "verify",
]
