"""A web process of its own to be fuzzed, and a fresh tenant with one of everything in it."""

import os
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx
import pytest

from app.demo import http_clients
from app.resources import Resources
from app.settings import Settings
from tests import forks, makers
from tests.makers import Data, Tenant
from tests.processes import end
from tests.world import until

READY_WITHIN = 90.0


@pytest.fixture(scope="session")
async def fuzzed_url(configuration: Settings) -> AsyncIterator[str]:
    """`python -m app web` on the test's servers: the fuzzers are synchronous, it must not be."""
    assert configuration.database_url
    assert configuration.redis_url
    assert configuration.secret_keys
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    env = os.environ | {
        "DATABASE_URL": configuration.database_url,
        "REDIS_URL": configuration.redis_url,
        "SECRET_KEYS": configuration.secret_keys.get_secret_value(),
        "PORT": str(port),
        "PUBLIC_BASE_URL": url,
        "ALLOWED_PRIVATE_NETWORKS": "127.0.0.0/8",
        "LOG_LEVEL": "ERROR",  # what is unexpected is shown with the test that caused it
    }
    process = await forks.start(["web"], env, 1, 2)
    try:
        async with http_clients.build_client(base_url=url) as http:

            async def is_ready() -> bool:
                assert process.returncode is None
                try:
                    return (await http.get("/health/ready")).is_success
                except httpx.TransportError:
                    return False

            await until(is_ready, READY_WITHIN)
        yield url
    finally:
        await end(process)


@dataclass(frozen=True, slots=True)
class Target:
    """Where to ask, with which key, and ids of things that are there."""

    url: str
    tenant: Tenant
    ids: dict[str, str]
    account: Data
    ours: str


@pytest.fixture
async def target(resources: Resources, fuzzed_url: str) -> AsyncIterator[Target]:
    async with http_clients.build_client(base_url=fuzzed_url, timeout=20) as http:
        tenant = await makers.tenant(resources, http)
        account = await tenant.account("simulator", baseUrl="http://127.0.0.1:9")
        number = await tenant.number(providerAccountId=account["accountId"])
        agent = await tenant.agent()
        campaign = await tenant.campaign(smsAgentId=agent["smsAgentId"])
        lead = await tenant.lead(campaignId=campaign["campaignId"])
        texts = {"messages": [{"leadId": lead["leadId"], "message": "Hi", "agentMode": True}]}
        bulk = await tenant.call("POST", "/sms/send/bulk", texts)
        canned = await tenant.call("POST", "/canned-replies", {"title": "Hours", "text": "9–5"})
        key = await tenant.call("POST", "/api-keys", {"name": "k", "scope": "read"})
        endpoint = await tenant.call("POST", "/webhook-endpoints", {"url": "https://backend.example.com"})
        view = await tenant.call("POST", "/saved-views", {"name": "Mine", "filter": {"view": "waiting"}})
        tried = await tenant.call("POST", f"/sms-agents/{agent['smsAgentId']}/test")
        corpus = await tenant.call("POST", "/corpora", {"name": "Hard cases"})
        await tenant.call("POST", f"/corpora/{corpus['corpusId']}/turns", {"made": [{"says": ["Hi"]}]})
        [kept] = (await tenant.call("GET", f"/corpora/{corpus['corpusId']}/turns"))["turns"]
        trial = await tenant.call(
            "POST", "/trials", {"corpusId": corpus["corpusId"], "smsAgentId": agent["smsAgentId"]}
        )
        experiment = await tenant.call(
            "POST",
            "/experiments",
            {"smsAgentId": agent["smsAgentId"], "name": "B", "webhookUrl": "https://b.example.com"},
        )
        ids = {
            "experimentId": experiment["experimentId"],
            "corpusId": corpus["corpusId"],
            "corpusTurnId": kept["corpusTurnId"],
            "trialId": trial["trialId"],
            "leadId": lead["leadId"],
            "campaignId": campaign["campaignId"],
            "accountId": account["accountId"],
            "phoneNumberId": number["phoneNumberId"],
            "smsAgentId": agent["smsAgentId"],
            "cannedReplyId": canned["cannedReplyId"],
            "savedViewId": view["savedViewId"],
            "keyId": key["keyId"],
            "endpointId": endpoint["endpointId"],
            "bulkId": bulk["bulkId"],
            "messageId": bulk["results"][0]["messageId"],
            "interactionId": bulk["results"][0]["interactionId"],
            "turnId": tried["turnId"],
            "phone": lead["phone"],
        }
        yield Target(fuzzed_url, tenant, ids, account, number["phoneNumber"])
