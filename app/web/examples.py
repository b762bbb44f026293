"""Examples for the OpenAPI description: request bodies by operation id, and parameter values by
name. A test validates each example against its schema."""

from typing import Any

LEAD, CAMPAIGN = "lead_06e4k2v8c5r3b1t9m7h0q2n4sg", "spring-2026"
INTERACTION, MESSAGE = "int_06e4k2v8d1s7f3j5p9l0a2c4eg", "msg_06e4k2v8e6t2g8k4q1m3b5d7fg"
TURN, BULK = "turn_06e4k2v8f9u5h1l7r2n4c6e8gg", "bulk_06e4k2v8g2v8j4m0s3o5d7f9hg"
AGENT, NUMBER = "smsagent_06e4k2v8h5a1k7n3t4p6e8g0ig", "num_06e4k2v8i8b4l0o6u5q7f9h1jg"
ACCOUNT, KEY = "acct_06e4k2v8j1c7m3p9v6r8g0i2kg", "key_06e4k2v8k4d0n6q2a7s9h1j3lg"
PERSON, SAVED_VIEW = "user_06e4k2v8n7g3q9t5d0v2k4m6og", "view_06e4k2v8o8h4r0u6e1w3l5n7pg"
CORPUS = "corpus_06e4k2v8p9i5s1v7f2x4m6o8qg"
EXPERIMENT = "experiment_06e4k2v8r1k7u3x9h4z6o8q0sg"
PHONE = "+12125550123"
WEBHOOK = "https://agent.example.com/sms"

EXAMPLE_PARAMETERS: dict[str, Any] = {
    "campaignId": CAMPAIGN,
    "interactionId": INTERACTION,
    "messageId": MESSAGE,
    "turnId": TURN,
    "bulkId": BULK,
    "smsAgentId": AGENT,
    "phoneNumberId": NUMBER,
    "accountId": ACCOUNT,
    "keyId": KEY,
    "cannedReplyId": "canned_06e4k2v8l5e1o7r3b8t0i2k4mg",
    "endpointId": "hook_06e4k2v8m6f2p8s4c9u1j3l5ng",
    "eventId": "48211-1907",
    "savedViewId": SAVED_VIEW,
    "corpusId": CORPUS,
    "corpusTurnId": TURN,
    "trialId": "trial_06e4k2v8q0j6t2w8g3y5n7p9rg",
    "experimentId": EXPERIMENT,
    "personId": PERSON,
    "assignedTo": PERSON,
    "view": "waiting",
    "phone": PHONE,
    "Idempotency-Key": "order-4711",
    "If-Match": '"3f0c9a1be24d57886c1d0e5f7a9b2c34"',
    "search": "Jane",
    "tags": ["solar", "west"],
    "customField": ["plan:gold"],
    "status": ["in_progress", "follow_up"],
    "campaignIds": [CAMPAIGN],
    "clientIds": ["client-7"],
    "offerIds": ["offer-3"],
    "leadId": LEAD,
    "startDate": "2026-02-01",
    "endDate": "2026-03-01T00:00:00Z",
    "by": ["campaign", "day"],
    "from": "2026-02-01",
    "to": "2026-03-01",
    "timezone": "America/New_York",
    "smsAgentIds": [AGENT],
    "in": "messages",
    "types": ["message", "receipt"],
    "actor": f"key:{KEY}",
    "subject": ["key", "account"],
    "subjectId": ACCOUNT,
    "reason": "Asked on the phone to be texted again",
}
SEND = {"leadId": LEAD, "message": "Hi Jane, thanks for asking about solar panels!"}
QUESTIONS = [{"key": "owner", "question": "Do you own your home?"}]
LEAD_BODY = {
    "firstName": "Jane",
    "lastName": "Miller",
    "email": "jane@example.com",
    "phone": "(212) 555-0123",
    "status": "new",
    "campaignId": CAMPAIGN,
    "timezone": "America/New_York",
    "questionnaire": [{**QUESTIONS[0], "answer": "yes"}],
    "tags": ["solar", "west"],
    "customFields": {"plan": "gold", "monthlyBill": 120, "owner": True},
}
CAMPAIGN_BODY = {
    "name": "Spring 2026",
    "clientId": "client-7",
    "clientName": "Sunny Roofs",
    "offerId": "offer-3",
    "offerName": "Panels",
    "phoneNumberId": NUMBER,
    "smsAgentId": AGENT,
    "questionnaire": QUESTIONS,
}
PAUSE = {"reason": "The agent repeats itself"}

EXAMPLE_BODIES: dict[str, dict[str, Any]] = {
    "sendText": SEND,
    "sendBulk": {"messages": [SEND, {"leadId": "lead-2", "message": "Hi Omar!"}]},
    "changeInteraction": {"status": "qualified", "agentMode": False},
    "changeInteractions": {"interactionIds": [INTERACTION], "assignedTo": PERSON, "snoozedUntil": "reply"},
    "markInteractionRead": {"throughSeq": 12},
    "markInteractionUnread": {"personId": PERSON},
    "addNote": {"text": "@jane She asks for a discount: may I?", "forAgent": False},
    "addSavedView": {"name": "Waiting in spring", "filter": {"view": "waiting", "campaign": [CAMPAIGN]}},
    "changeSavedView": {"name": "Spring"},
    "settleHeldReply": {"action": "send", "texts": ["Yes, Tuesday at five works."]},
    "giveOutcome": {
        "status": "qualified",
        "summary": "Jane owns her home and pays about 120 dollars a month.",
        "answers": [{"key": "owner", "answer": "yes", "messageId": MESSAGE}],
    },
    "openTurn": {"at": "2026-02-16T15:00:00Z", "campaignId": CAMPAIGN},
    "enrolLeads": {"leadIds": [LEAD, "crm-4711"], "at": "2026-02-16T15:00:00Z", "perMinute": 30},
    "postponeTurn": {"until": "2026-02-17T15:00:00Z"},
    "replayTurn": {"webhookUrl": "https://next.example.com/sms"},
    "addLead": {"leadId": "crm-4711", **LEAD_BODY},
    "putLead": LEAD_BODY,
    "changeLead": {"status": "contacted", "email": None},
    "mergeLead": {"from": "crm-4711"},
    "putDnc": {"channels": ["sms", "phone"], "reason": "Asked on the phone"},
    "decideOptOut": {"optOut": True},
    "undoOptOut": {"reason": "She meant another company"},
    "suppressPhones": {"phones": [PHONE, "(305) 555-0188"], "reason": "Import"},
    "addCannedReply": {"title": "Hours", "text": "We are open from nine to five."},
    "changeCannedReply": {"title": "Opening hours"},
    "addCorpus": {"name": "Hard cases", "description": "What the agent got wrong in spring"},
    "addCorpusTurns": {
        "turnIds": [TURN],
        "filter": {"smsAgentId": AGENT, "campaignIds": [CAMPAIGN], "states": ["replied"], "startDate": "2026-02-01"},
        "made": [
            {
                "name": "Asks the price",
                "says": ["How much is it?"],
                "recorded": {"texts": ["It depends on your roof. Do you own your home?"]},
                "checks": {"mustNotContain": ["$"]},
            }
        ],
    },
    "startTrial": {
        "corpusId": CORPUS,
        "smsAgentId": AGENT,
        "webhookUrl": "https://next.example.com/sms",
        "checks": {"maxSegments": 2, "asksOneQuestion": True, "outcomeIs": "recorded"},
        "perMinute": 60,
    },
    "startExperiment": {
        "smsAgentId": AGENT,
        "name": "Asks for the bill first",
        "webhookUrl": "https://next.example.com/sms",
        "share": 0.2,
    },
    "stopExperiment": {"keep": "a"},
    "addCampaign": {"campaignId": CAMPAIGN, **CAMPAIGN_BODY},
    "putCampaign": CAMPAIGN_BODY,
    "changeCampaign": {"active": False, "testSmsAgentId": None},
    "addProviderAccount": {
        "provider": "twilio",
        "name": "Main",
        "credentials": {
            "accountSid": "AC0123456789abcdef0123456789abcdef",
            "authToken": "0123456789abcdef0123456789abcdef",
        },
        "default": True,
    },
    "changeProviderAccount": {"name": "Main, old", "active": False},
    "addPhoneNumber": {
        "phoneNumber": "+18335550145",
        "providerAccountId": ACCOUNT,
        "capabilities": ["sms", "mms"],
        "label": "Toll-free",
        "messagesPerSecond": 3,
    },
    "changePhoneNumber": {"active": False},
    "pausePhoneNumber": {"reason": "The carrier filters it"},
    "addSmsAgent": {
        "name": "Sunny",
        "webhookUrl": WEBHOOK,
        "phoneNumberId": NUMBER,
        "batchWindowMs": 7000,
        "inboundEnabled": True,
        "inboundCampaignIds": [CAMPAIGN],
        "businessHours": {"start": "08:00", "end": "20:00", "timezone": "America/New_York", "days": [1, 2, 3, 4, 5]},
    },
    "changeSmsAgent": {
        "staleReply": "hold",
        "replyDelayMs": 1500,
        "followUps": [{"afterMinutes": 120, "onlyIf": ["unanswered_question"]}, {"afterMinutes": 2880, "onlyIf": []}],
    },
    "pauseSmsAgent": PAUSE,
    "addWebhookEndpoint": {
        "url": "https://backend.example.com/leadsail",
        "types": ["message.received", "message.delivered", "message.failed", "optout", "outcome.recorded"],
        "include": ["text"],
        "description": "The CRM",
    },
    "changeWebhookEndpoint": {"types": None, "active": True},
    "pauseWebhookEndpoint": {"reason": "The CRM moves tonight"},
    "rewindWebhookEndpoint": {"to": "2026-02-15T08:00:00Z"},
    "addApiKey": {"name": "Sunny's key", "scope": "agent", "smsAgentId": AGENT},
    "changeApiKey": {"name": "Nightly import", "requestsPerSecond": 20},
    "recordConsent": {
        "basis": "express_written",
        "scopes": ["marketing"],
        "source": "https://solar.example.com/quote",
        "wording": "I agree to get texts about offers from Example Solar. Consent is no condition of a purchase.",
        "proof": "form-4711",
        "obtainedAt": "2026-02-15T10:30:00Z",
    },
    "revokeConsent": {"scopes": ["marketing"], "reason": "Said so on the phone"},
    "changeSettings": {
        "defaultCountry": "US",
        "quietHours": {"enabled": True, "start": "09:00", "end": "20:00"},
        "textsPerDay": 5000,
    },
    "pauseTenant": {"reason": "A campaign went out by mistake"},
}
