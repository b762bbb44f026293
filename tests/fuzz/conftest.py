"""A web process of its own to be fuzzed, and a fresh tenant with one of everything in it."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import httpx
import pytest

from app.demo import http_clients
from app.resources import Resources
from app.settings import Settings
from tests import makers
from tests.makers import Data, Tenant

READY_WITHIN = 90.0


@pytest.fixture(scope="session")
def fuzzed_url(configuration: Settings) -> Iterator[str]:
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
    process = subprocess.Popen([sys.executable, "-m", "app", "web"], env=env)
    try:
        _wait_until_ready(process, url)
        yield url
    finally:
        process.terminate()
        process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + READY_WITHIN
    while True:
        try:
            if httpx.get(f"{url}/health/ready", trust_env=False).is_success:
                return
        except httpx.TransportError:
            assert process.poll() is None
        assert time.monotonic() < deadline, "the web process did not start"
        time.sleep(0.05)


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
