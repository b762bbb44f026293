"""The demo tenant and its data, created through the public API."""

import json
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import httpx

from app.demo import http_clients

LEAD_ID = "lead_jane"
CAMPAIGN_ID = "demo_solar"
NUMBER, TWILIO_NUMBER = "+18335645667", "+12125550123"
JANE_PHONE = "+12125551234"
DEMO_QUESTIONS = [
    {"key": "homeowner", "question": "Do you own your home?"},
    {"key": "bill", "question": "What is your monthly electricity bill, roughly?"},
]
CANNED_REPLIES = [
    ("Opening hours", "We are here from Monday to Friday, 9 to 5."),
    ("Call back", "Thanks! When is a good time to call you?"),
]


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the service, the simulated carrier and the demo agent listen."""

    api: str
    carrier: str
    agent: str


@dataclass(frozen=True, slots=True)
class Demo:
    """The demo tenant's ids, keys and passwords. They are in a file that only its owner may read."""

    tenant_id: str
    api_key: str
    email: str
    password: str
    account_id: str
    carrier_secret: str
    twilio_account_id: str
    twilio_sid: str
    twilio_token: str
    agent_id: str
    agent_secret: str
    agent_key: str
    number: str
    twilio_number: str
    addresses: Addresses

    @classmethod
    def read(cls, file: Path) -> Self:
        values: dict[str, Any] = json.loads(file.read_text())
        return cls(**{**values, "addresses": Addresses(**values["addresses"])})


def get_demo_file(data_dir: Path) -> Path:
    return data_dir / "demo.json"


def write_private(file: Path, text: str) -> None:
    """Writes the file and replaces an older one at once; only its owner may read it."""
    new_file = file.with_suffix(".new")
    new_file.unlink(missing_ok=True)
    with os.fdopen(os.open(new_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(text)
    new_file.replace(file)


class ServiceAway(RuntimeError):
    """The service answered, but not the request."""


class Api:
    """A client of the public API with a key."""

    def __init__(self, url: str, key: str) -> None:
        self._client = http_clients.build_blocking_client(f"{url}/api/v1", headers={"X-API-Key": key})

    def call(self, method: str, path: str, **body: Any) -> dict[str, Any]:
        """The answer's `data`. Raises `ServiceAway` for a 5xx, another `RuntimeError` for anything but a 2xx."""
        response = self._client.request(method, path, json=body or None)
        if not response.is_success:
            kind = ServiceAway if response.is_server_error else RuntimeError
            raise kind(f"{method} {path}: {response.status_code} {response.text}")
        data: dict[str, Any] = response.json()["data"]
        return data


def is_still_valid(demo: Demo, addresses: Addresses) -> bool:
    """Whether the service at `addresses` knows this demo's key and lead."""
    try:
        Api(addresses.api, demo.api_key).call("GET", f"/leads/{LEAD_ID}")
    except (RuntimeError, httpx.HTTPError):
        return False
    return True


def move_demo(demo: Demo, addresses: Addresses, file: Path) -> Demo:
    """The demo with `addresses`, which are also set in the service if they have changed."""
    if demo.addresses != addresses:
        api = Api(addresses.api, demo.api_key)
        api.call("PATCH", f"/provider-accounts/{demo.account_id}", baseUrl=addresses.carrier)
        api.call("PATCH", f"/sms-agents/{demo.agent_id}", webhookUrl=f"{addresses.agent}/")
        demo = Demo(**{**{name: getattr(demo, name) for name in Demo.__slots__}, "addresses": addresses})
        write_private(file, json.dumps(asdict(demo)))
    return demo


def fill_tenant(tenant_id: str, api_key: str, email: str, password: str, addresses: Addresses, file: Path) -> Demo:
    """Fills an empty tenant (two accounts and numbers, an agent, a campaign, leads, canned replies)
    and writes the demo's file."""
    api = Api(addresses.api, api_key)
    carrier_secret, token = secrets.token_hex(16), secrets.token_hex(16)
    sid = f"AC{secrets.token_hex(16)}"
    account = add_simulated_carrier(api, carrier_secret, addresses.carrier)
    twilio = api.call(
        "POST",
        "/provider-accounts",
        provider="twilio",
        name="Twilio (receives only)",
        credentials={"accountSid": sid, "authToken": token},
        baseUrl=addresses.carrier,
    )
    api.call("PATCH", "/settings", defaultProvider="simulator")
    number = api.call(
        "POST",
        "/phone-numbers",
        phoneNumber=NUMBER,
        providerAccountId=account["accountId"],
        capabilities=["sms", "mms"],
        label="Main line",
    )
    api.call(
        "POST",
        "/phone-numbers",
        phoneNumber=TWILIO_NUMBER,
        label="Twilio line",
        providerAccountId=twilio["accountId"],
        capabilities=["sms"],
    )
    agent_fields = api.call(
        "POST",
        "/sms-agents",
        name="Demo agent",
        phoneNumberId=number["phoneNumberId"],
        webhookUrl=f"{addresses.agent}/",
        agentModeByDefault=True,
        inboundEnabled=True,
        description="A few rules that qualify a lead.",
    )
    agent_key = api.call(
        "POST",
        "/api-keys",
        name="Demo agent",
        scope="agent",
        smsAgentId=agent_fields["smsAgentId"],
    )
    api.call(
        "POST",
        "/campaigns",
        campaignId=CAMPAIGN_ID,
        name="Solar spring",
        clientId="client_sun",
        clientName="Sunny Roofs",
        offerId="offer_panels",
        offerName="Panels at no cost",
        phoneNumberId=number["phoneNumberId"],
        smsAgentId=agent_fields["smsAgentId"],
        questionnaire=DEMO_QUESTIONS,
    )
    api.call("PATCH", f"/sms-agents/{agent_fields['smsAgentId']}", inboundCampaignIds=[CAMPAIGN_ID])
    for lead_id, first, last, phone in (
        (LEAD_ID, "Jane", "Miller", JANE_PHONE),
        ("lead_luis", "Luis", "Ortega", "+13055551987"),
        ("lead_amara", "Amara", "Okafor", "+14155552671"),
    ):
        api.call(
            "POST",
            "/leads",
            leadId=lead_id,
            firstName=first,
            lastName=last,
            phone=phone,
            email=f"{first.lower()}@example.com",
            campaignId=CAMPAIGN_ID,
            status="new",
        )
    for title, text in CANNED_REPLIES:
        api.call("POST", "/canned-replies", title=title, text=text)
    demo = Demo(
        tenant_id=tenant_id,
        api_key=api_key,
        email=email,
        password=password,
        account_id=account["accountId"],
        carrier_secret=carrier_secret,
        twilio_account_id=twilio["accountId"],
        twilio_sid=sid,
        twilio_token=token,
        agent_id=agent_fields["smsAgentId"],
        agent_secret=agent_fields["signingSecret"],
        agent_key=agent_key["apiKey"],
        number=NUMBER,
        twilio_number=TWILIO_NUMBER,
        addresses=addresses,
    )
    write_private(file, json.dumps(asdict(demo)))
    return demo


def add_simulated_carrier(api: Api, secret: str, url: str) -> dict[str, Any]:
    """An account with the simulated carrier at `url`: the tenant's default."""
    return api.call(
        "POST",
        "/provider-accounts",
        provider="simulator",
        name="Simulated carrier",
        credentials={"secret": secret},
        baseUrl=url,
        default=True,
    )


def split_address(address: str) -> tuple[str, int]:
    """Host and port of a URL."""
    url = httpx.URL(address)
    return url.host, url.port or 80
