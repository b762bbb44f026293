"""The tenant of `dev`: one simulated carrier, one number, one campaign, and the agent that is built."""

import json
import secrets
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

import httpx

from app.demo.data import DEMO_QUESTIONS, NUMBER, Api, add_simulated_carrier, write_private

CAMPAIGN_ID = "dev"
AGENT_SETTINGS = {"batchWindowMs": 1000, "agentModeByDefault": True, "inboundEnabled": True}
"""Windows are as short as they may be: who tries an agent does not want to wait."""


@dataclass(frozen=True, slots=True)
class DevTenant:
    """The tenant's ids and secrets. They are in a file that only its owner may read."""

    tenant_id: str
    api_key: str
    email: str
    password: str
    account_id: str = ""
    carrier_secret: str = ""
    agent_id: str = ""
    agent_secret: str = ""

    @classmethod
    def read(cls, file: Path) -> Self:
        return cls(**json.loads(file.read_text()))

    def write(self, file: Path) -> None:
        write_private(file, json.dumps(asdict(self)))


def is_known(api: Api) -> bool:
    """Whether the service knows the key and the campaign of this tenant."""
    try:
        api.call("GET", f"/campaigns/{CAMPAIGN_ID}")
    except (RuntimeError, httpx.HTTPError):
        return False
    return True


def fill_tenant(tenant: DevTenant, api: Api, carrier_url: str, agent_url: str) -> DevTenant:
    """Fills an empty tenant. Returns it with the ids and secrets of what was made."""
    carrier_secret = secrets.token_hex(16)
    account = add_simulated_carrier(api, carrier_secret, carrier_url)
    number = api.call(
        "POST",
        "/phone-numbers",
        phoneNumber=NUMBER,
        providerAccountId=account["accountId"],
        capabilities=["sms", "mms"],
    )
    phone_number_id = number["phoneNumberId"]
    agent_fields = api.call(
        "POST", "/sms-agents", name="Your agent", webhookUrl=agent_url, phoneNumberId=phone_number_id, **AGENT_SETTINGS
    )
    api.call(
        "POST",
        "/campaigns",
        campaignId=CAMPAIGN_ID,
        name="Your campaign",
        clientName="Sunny Roofs",
        offerName="Panels at no cost",
        phoneNumberId=phone_number_id,
        smsAgentId=agent_fields["smsAgentId"],
        questionnaire=DEMO_QUESTIONS,
    )
    api.call("PATCH", f"/sms-agents/{agent_fields['smsAgentId']}", inboundCampaignIds=[CAMPAIGN_ID])
    return replace(
        tenant,
        account_id=account["accountId"],
        carrier_secret=carrier_secret,
        agent_id=agent_fields["smsAgentId"],
        agent_secret=agent_fields["signingSecret"],
    )


def reset_tenant(tenant: DevTenant, api: Api, carrier_url: str, agent_url: str) -> None:
    """Points the tenant to these addresses, and ends what an earlier run has left open: its turns would
    be handed to the agent again."""
    api.call("PATCH", f"/provider-accounts/{tenant.account_id}", baseUrl=carrier_url)
    api.call("PATCH", f"/sms-agents/{tenant.agent_id}", webhookUrl=agent_url, **AGENT_SETTINGS)
    set_questionnaire(api, DEMO_QUESTIONS)
    for interaction in api.call("GET", "/interactions?limit=100")["interactions"]:
        if interaction["sms"]["agentMode"]:
            api.call("PATCH", f"/interactions/{interaction['interactionId']}", agentMode=False)


def set_questionnaire(api: Api, questions: list[dict[str, Any]]) -> None:
    """Sets what the agent is to find out."""
    api.call("PATCH", f"/campaigns/{CAMPAIGN_ID}", questionnaire=questions)


def set_window(api: Api, seconds: float) -> None:
    """Sets how long the agent's texts are collected."""
    [agent_fields] = api.call("GET", "/sms-agents")["smsAgents"]
    if agent_fields["batchWindowMs"] != seconds * 1000:
        api.call("PATCH", f"/sms-agents/{agent_fields['smsAgentId']}", batchWindowMs=round(seconds * 1000))
