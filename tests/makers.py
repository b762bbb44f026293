"""Functions that create a tenant and its data through the public API."""

import itertools
from dataclasses import dataclass
from typing import Any

import httpx

from app.access import keys
from app.commands import api_keys, tenants
from app.domain.callers import Caller
from app.resources import Resources

Data = dict[str, Any]
_counter = itertools.count(1000)  # the simulated carrier gives lower numbers a meaning
AGENT_URL = "http://127.0.0.1:9/agent"
"""Nothing listens at this address."""
CREDENTIALS = {
    "twilio": {"accountSid": "AC0123456789abcdef0123456789abcdef", "authToken": "twilio-token-1"},
    "vonage": {
        "apiKey": "vonagekey1",
        "apiSecret": "vonagesecret1",
        "signatureSecret": "sig-12345",
    },
    "simulator": {"secret": "simulator-secret-1"},
}


def phone() -> str:
    """A valid US number that no other call returned."""
    n = next(_counter)
    return f"+1{['212', '305', '415', '617', '702'][n % 5]}555{n % 10_000:04d}"


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant and one of its keys."""

    tenant_id: str
    key: str
    http: httpx.AsyncClient

    async def ask(self, method: str, path: str, json: Any = None, **more: Any) -> httpx.Response:
        """The answer to a request under /api/v1 with this key, whatever its status."""
        headers = {"X-API-Key": self.key, **more.pop("headers", {})}
        if json is not None:
            more["json"] = json
        return await self.http.request(method, f"/api/v1{path}", headers=headers, **more)

    async def call(self, method: str, path: str, json: Any = None, **more: Any) -> Data:
        """The answer's `data`; the request must succeed."""
        response = await self.ask(method, path, json, **more)
        assert response.is_success, f"{method} {path}: {response.status_code} {response.text}"
        data: Data = response.json()["data"]
        return data

    async def with_scope(self, scope: str, sms_agent_id: str | None = None) -> "Tenant":
        """The same tenant with a new key of another scope."""
        body = {"name": scope, "scope": scope}
        if sms_agent_id:
            body["smsAgentId"] = sms_agent_id
        made = await self.call("POST", "/api-keys", body)
        return Tenant(self.tenant_id, made["apiKey"], self.http)

    async def account(self, provider: str = "simulator", **given: Any) -> Data:
        body = {"provider": provider, "name": provider, "credentials": CREDENTIALS[provider]}
        return await self.call("POST", "/provider-accounts", body | given)

    async def number(self, **given: Any) -> Data:
        return await self.call("POST", "/phone-numbers", {"phoneNumber": phone()} | given)

    async def agent(self, **given: Any) -> Data:
        body = {"name": "Agent", "webhookUrl": AGENT_URL}
        return await self.call("POST", "/sms-agents", body | given)

    async def campaign(self, **given: Any) -> Data:
        return await self.call("POST", "/campaigns", {"name": "Campaign"} | given)

    async def lead(self, **given: Any) -> Data:
        body = {"firstName": "Jane", "lastName": "Miller", "phone": phone()}
        return await self.call("POST", "/leads", body | given)


async def tenant(resources: Resources, http: httpx.AsyncClient) -> Tenant:
    """A new tenant with an admin key, made as `tenant create` does."""
    fresh = keys.make()
    async with resources.database.system_tx() as tx:
        tenant_id = await tenants.add(tx, "Tenant")
        caller = Caller(tenant_id, "service", "service", "admin")
        await api_keys.add(tx, caller, "First key", "admin", None, fresh.prefix, fresh.digest)
    return Tenant(tenant_id, fresh.full_key, http)
