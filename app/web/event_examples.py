"""An example of each event, for the OpenAPI description."""

from typing import Any

from app.domain.events import EVENT_TYPES
from app.web import examples

HOOK = "hook_06e4k2v8m6f2p8s4c9u1j3l5ng"
IDS = {
    "leadId": examples.LEAD,
    "campaignId": examples.CAMPAIGN,
    "clientId": "client-7",
    "phoneNumberId": examples.NUMBER,
}
TEXT = {
    **IDS,
    "messageId": examples.MESSAGE,
    "seq": 4,
    "role": "agent",
    "source": "api",
    "status": "sent",
    "errorCode": None,
    "turnId": None,
    "bulkId": None,
    "accountId": examples.ACCOUNT,
}
THREAD = {**IDS, "status": "in_progress", "agentMode": True}
TURN = {
    **IDS,
    "turnId": examples.TURN,
    "kind": "live",
    "trigger": "texts",
    "state": "replied",
    "reason": None,
    "smsAgentId": examples.AGENT,
}
CONSENT = {
    **IDS,
    "event": "opted_out",
    "cause": "lead",
    "rule": "keyword",
    "messageId": examples.MESSAGE,
    "consentEventId": "evt_06e4k2v8n7g3q9t5d0v2k4m6og",
}
PAUSE = {"reason": "A campaign went out by mistake"}
DATA_BY_TYPE: dict[str, dict[str, Any]] = {
    "message": TEXT,
    "message.received": {**TEXT, "role": "user", "source": "inbound"},
    "message.failed": {**TEXT, "errorCode": "INVALID_RECIPIENT"},
    "interaction": THREAD,
    "interaction.paused": {**THREAD, "pausedUntil": "2026-02-16T00:00:00+00:00", "reason": "50 turns today"},
    "interaction.assigned": {**THREAD, "assignedTo": examples.PERSON},
    "interaction.snoozed": {**THREAD, "assignedTo": examples.PERSON, "snoozedUntil": "2026-02-16T14:00:00+00:00"},
    "interaction.unsnoozed": {**THREAD, "assignedTo": examples.PERSON, "snoozedUntil": None},
    "interaction.mentioned": {
        **IDS,
        "messageId": examples.MESSAGE,
        "personId": examples.PERSON,
    },
    "interaction.needs_person": {**THREAD, "status": "follow_up", "reason": "follow_up"},
    "turn": TURN,
    "turn.planned": {**TURN, "state": "planned", "trigger": "silence"},
    "turn.replied": {**TURN, "messageIds": [examples.MESSAGE]},
    "turn.refused": {**TURN, "state": "superseded", "code": "STALE_TURN", "by": "inline"},
    "outcome": {
        **TURN,
        "state": "concluded",
        "status": "qualified",
        "leadStatus": None,
        "answerKeys": ["owner"],
    },
    "optout": CONSENT,
    "optin": {**CONSENT, "event": "opted_in"},
    "possible_optout": {**IDS, "messageId": examples.MESSAGE, "held": True},
    "lead": {
        "leadId": examples.LEAD,
        "campaignId": examples.CAMPAIGN,
        "clientId": "client-7",
        "status": "new",
        "isPlaceholder": False,
        "isTest": False,
    },
    "lead.merged": {"leadId": examples.LEAD, "mergedLeadId": "lead_06e4k2v8o8h4r0u6e1w3l5n7pg"},
    "number": {"phoneNumberId": examples.NUMBER, **PAUSE},
    "agent": {"smsAgentId": examples.AGENT, **PAUSE},
    "experiment": {
        "smsAgentId": examples.AGENT,
        "experimentId": examples.EXPERIMENT,
        "keptSide": "a",
        "reason": "More leads of B opted out: 14 of 121, and 2 of 130 of A.",
    },
    "account": {"accountId": examples.ACCOUNT, "reason": "20003: the credentials are wrong"},
    "tenant": {"tenantId": "org_sample", **PAUSE},
    "endpoint": {"endpointId": HOOK, "reason": "the endpoint answered 410 Gone"},
}
BEFORE_BY_TYPE: dict[str, dict[str, Any]] = {
    "message": {"status": "sending"},
    "interaction.status": {"status": "follow_up"},
    "interaction.agent_mode": {"agentMode": False},
    "interaction.assigned": {"assignedTo": None},
    "interaction.snoozed": {"snoozedUntil": None},
    "interaction.unsnoozed": {"snoozedUntil": "reply"},
    "interaction.lead": {"leadId": "lead_06e4k2v8o8h4r0u6e1w3l5n7pg"},
    "interaction.paused": {"pausedUntil": None},
    "interaction.resumed": {"pausedUntil": "2026-02-16T00:00:00+00:00"},
    "turn": {"state": "delivering"},
}
FIRST_EVENTS = ("message.received", "message.note", "turn.planned", "turn.opened", "turn.refused")
"""Nothing was before them."""


def build_example(event_type: str) -> dict[str, Any]:
    family = event_type.partition(".")[0]
    data = dict(DATA_BY_TYPE.get(event_type) or DATA_BY_TYPE[family])
    before = BEFORE_BY_TYPE.get(event_type) or BEFORE_BY_TYPE.get(family)
    if family == "message":
        data["status"] = event_type.partition(".")[2]
    return {
        "eventId": "48211-1907",
        "type": event_type,
        "at": "2026-02-15T10:30:00Z",
        "tenantId": "org_sample",
        "interactionId": None
        if family in ("lead", "number", "agent", "experiment", "account", "tenant", "endpoint")
        else examples.INTERACTION,
        "actor": None,
        "data": data,
        "before": None if event_type in FIRST_EVENTS else before,
    }


EXAMPLE_EVENTS = {event_type: build_example(event_type) for event_type in EVENT_TYPES}
