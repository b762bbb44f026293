"""What an agent is told about a turn (contract 6, LeadSail's fields to the letter)."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from app.domain import transcripts
from app.domain.transcripts import instant

Facts = Mapping[str, Any]


def freeze(
    turn_id: str,
    thread: Facts,
    texts: Sequence[Facts],
    transcript: Sequence[Facts],
    unsent: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """All of the payload but what changes with each attempt (`address`)."""
    answered = {answer["key"] for answer in thread["answers"]}
    return {
        "message": {
            "combinedText": "\n".join(text["text"] for text in texts),
            "messageCount": len(texts),
            "senderPhone": thread["lead_phone"],
            "inboundPhone": thread["our_number"],
            "messages": [
                {
                    "messageId": text["message_id"],
                    "seq": text["seq"],
                    "text": text["text"],
                    "receivedAt": instant(text["created_at"]),
                    "media": text["media"],
                }
                for text in texts
            ],
        },
        "lead": {
            "leadId": thread["lead_id"],
            "firstName": thread["first_name"],
            "lastName": thread["last_name"],
            "email": thread["email"],
            "phone": thread["phone"],
            "status": thread["lead_status"],
        },
        "campaign": {
            "campaignId": thread["campaign_id"],
            "name": thread["campaign_name"],
            "clientName": thread["client_name"],
            "offerName": thread["offer_name"],
        },
        "interaction": {
            "interactionId": thread["interaction_id"],
            "status": thread["status"],
            "transcript": [transcripts.entry(row) for row in transcript],
        },
        "questionnaire": {
            "knownInformation": thread["answers"],
            "informationToCollect": [
                question for question in thread["questions"] if question["key"] not in answered
            ],
        },
        "turn": {
            "turnId": turn_id,
            "throughSeq": thread["last_seq"],
            "unsentReply": unsent,
        },
        "tenantId": thread["tenant_id"],
        "agentId": thread["sms_agent_id"],
    }


def address(
    frozen: Mapping[str, Any], attempt: int, expires_at: datetime, now: datetime
) -> dict[str, Any]:
    """The frozen payload as this attempt sends it."""
    turn = {**frozen["turn"], "attempt": attempt, "expiresAt": instant(expires_at)}
    return {**frozen, "turn": turn, "timestamp": instant(now)}
