"""The payload of a turn, with the fields that docs/agents.md lists. Datetimes stay datetimes:
pydantic's JSON writes them in the documented form."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from app.domain import transcripts
from app.domain.windows import REPLY_WITHIN

Facts = Mapping[str, Any]


def freeze(
    turn_id: str,
    thread: Facts,
    texts: Sequence[Facts],
    transcript: Sequence[Facts],
    unsent_reply: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """The part of the payload that is the same in each attempt. `address_attempt` adds the rest."""
    answered_keys = {answer["key"] for answer in thread["answers"]}
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
                    "receivedAt": text["created_at"],
                    "media": text["media"],
                    **({"possibleOptOut": True} if text.get("possible_opt_out") else {}),
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
            "transcript": [transcripts.build_entry(row) for row in transcript],
        },
        "questionnaire": {
            "knownInformation": thread["answers"],
            "informationToCollect": [
                question for question in thread["questions"] if question["key"] not in answered_keys
            ],
        },
        "turn": {
            "turnId": turn_id,
            "throughSeq": thread["last_seq"],
            "unsentReply": unsent_reply,
        },
        "tenantId": thread["tenant_id"],
        "agentId": thread["sms_agent_id"],
    }


def build_sample(tenant_id: str, agent_id: str, now: datetime) -> dict[str, Any]:
    """The payload of an invented turn, to test an agent's webhook."""
    text = {
        "message_id": "msg_sample",
        "seq": 1,
        "text": "Hello, is anybody there?",
        "created_at": now,
        "media": [],
        "role": "user",
        "source": "inbound",
        "status": "received",
    }
    thread: dict[str, Any] = {
        "tenant_id": tenant_id,
        "sms_agent_id": agent_id,
        "interaction_id": "int_sample",
        "status": "in_progress",
        "lead_phone": "+12125550100",
        "our_number": "+12125550101",
        "lead_id": "lead_sample",
        "first_name": "Sample",
        "last_name": "Lead",
        "email": None,
        "phone": "+12125550100",
        "lead_status": "new",
        "campaign_id": None,
        "campaign_name": None,
        "client_name": None,
        "offer_name": None,
        "answers": [],
        "questions": [],
        "last_seq": 1,
    }
    frozen_payload = freeze("turn_sample", thread, [text], [text], None)
    return address_attempt(frozen_payload, 1, now + REPLY_WITHIN, now)


def address_attempt(
    frozen_payload: Mapping[str, Any], attempt: int, expires_at: datetime, now: datetime
) -> dict[str, Any]:
    """The frozen payload with the attempt's number, deadline and time."""
    turn = {**frozen_payload["turn"], "attempt": attempt, "expiresAt": expires_at}
    return {**frozen_payload, "turn": turn, "timestamp": now}
