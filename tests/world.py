"""Everything on loopback: the API, a worker's loops, the simulated carrier, an agent."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from app import worker
from app.demo import carrier as simulated
from app.demo import http_clients
from app.resources import Resources
from tests.makers import CREDENTIALS, Data, Tenant
from tests.service import Api
from tests.serving import listen, serve

T = TypeVar("T")
PATIENCE = 12.0
SHORTEST_REST, LONGEST_REST, RESTS_PER_LOOK = 0.01, 0.2, 10
"""Between two looks: what a look costs on a busy machine is taken from what it waits for."""


async def until(look: Callable[[], Awaitable[T | None]], seconds: float = PATIENCE) -> T:
    """The first true result of `look`. Fails the test after `seconds`."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while True:
        began_at = loop.time()
        seen = await look()
        if seen:
            return seen
        assert loop.time() < deadline, f"did not happen in {seconds} s"
        await asyncio.sleep(min(max(SHORTEST_REST, RESTS_PER_LOOK * (loop.time() - began_at)), LONGEST_REST))


@contextlib.asynccontextmanager
async def served(app: Starlette, host: str = "127.0.0.1") -> AsyncIterator[str]:
    """Serves the application on a free port of `host`; yields its address."""
    with listen(host) as listener:
        async with serve(app, listener, timeout_graceful_shutdown=1):
            yield f"http://{host}:{listener.getsockname()[1]}"


@dataclass(slots=True)
class Carrier:
    """The simulated carrier: its address and its state."""

    url: str
    known: simulated.Carrier

    async def text(self, phone: str, to: str, text: str, media: list[Data] | None = None) -> int:
        """Writes a text as the lead; returns the status of our webhook."""
        async with http_clients.build_client(timeout=20) as http:
            answer = await http.post(
                f"{self.url}/phone/{phone}/texts",
                json={"to": to, "text": text, "media": media or []},
            )
        status: int = answer.json()["status"]
        return status

    def received(self, phone: str) -> list[str]:
        """The texts that reached the lead's phone, in order."""
        return [text.text for text in self.known.phones.get(phone, []) if not text.mine]


@pytest.fixture
async def carrier() -> AsyncIterator[Carrier]:
    app = simulated.build_app(CREDENTIALS["simulator"]["secret"], receipts=0.05)
    async with served(app) as url:
        yield Carrier(url, app.state.carrier)
        await app.state.carrier.close()


Answer = tuple[int, Any]


@dataclass(slots=True)
class AgentDouble:
    """A scripted agent: the payloads that it got, and the answers that it gives."""

    url: str = ""
    told: list[Data] = field(default_factory=list)
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    meanwhile: Callable[[Data], Awaitable[None]] | None = None
    """Called with the payload before the answer is sent."""

    async def hear(self, request: Request) -> Response:
        body = await request.body()
        told = await request.json()
        self.told.append(told)
        self.requests.append((dict(request.headers), body))
        status, content = self.answers.pop(0) if self.answers else (200, {})
        if self.meanwhile:
            await self.meanwhile(told)
        return JSONResponse(content, status)


@pytest.fixture
async def agent() -> AsyncIterator[AgentDouble]:
    double = AgentDouble()
    async with served(Starlette(routes=[Route("/", double.hear, methods=["POST"])])) as url:
        double.url = f"{url}/"
        yield double


@pytest.fixture
async def working(resources: Resources) -> AsyncIterator[None]:
    """Runs a worker's loops in this process, beside the API."""
    loops = worker.build_loops(resources)
    running = asyncio.create_task(loops.run())
    yield
    loops.stop()
    await running


@dataclass(frozen=True, slots=True)
class World:
    """A tenant with one account, number, agent, campaign and lead, and the servers around it."""

    tenant: Tenant
    carrier: Carrier
    agent: AgentDouble
    account: Data
    number: Data
    smsagent: Data
    campaign: Data
    lead: Data

    @property
    def phone(self) -> str:
        phone: str = self.lead["phone"]
        return phone

    @property
    def ours(self) -> str:
        number: str = self.number["phoneNumber"]
        return number

    async def send(self, text: str = "Hi Jane", **more: Any) -> Data:
        body = {"leadId": self.lead["leadId"], "message": text} | more
        return await self.tenant.call("POST", "/sms/send", body)

    async def text(self, text: str) -> None:
        """Writes a text to our number as the lead; our webhook must answer 200."""
        assert await self.carrier.text(self.phone, self.ours, text) == 200

    async def thread(self, interaction_id: str) -> Data:
        return await self.tenant.call("GET", f"/interactions/{interaction_id}")

    async def only_thread(self) -> Data:
        path = f"/interactions/lead/{self.lead['leadId']}"
        threads = (await self.tenant.call("GET", path))["interactions"]
        assert len(threads) == 1
        thread: Data = threads[0]
        return thread

    async def turns(self, interaction_id: str) -> list[Data]:
        """The thread's turns, oldest first."""
        page = await self.tenant.call("GET", f"/interactions/{interaction_id}/turns")
        return list(reversed(page["turns"]))

    async def status_is(self, message_id: str, status: str) -> Data:
        async def look() -> Data | None:
            message = await self.tenant.call("GET", f"/messages/{message_id}")
            return message if message["status"] == status else None

        return await until(look)

    async def told(self, times: int) -> Data:
        """Waits for the `times`-th hand-over; returns its payload."""

        async def look() -> Data | None:
            return self.agent.told[times - 1] if len(self.agent.told) >= times else None

        return await until(look)

    async def turn_is(self, interaction_id: str, state: str) -> Data:
        """Waits until the newest turn is in this state; returns the turn."""

        async def look() -> Data | None:
            turns = await self.turns(interaction_id)
            return turns[-1] if turns and turns[-1]["state"] == state else None

        return await until(look)


@pytest.fixture
async def world(idle_world: World, working: None) -> World:
    """The world with a worker."""
    return idle_world


@pytest.fixture
async def idle_world(api: Api, tenant: Tenant, carrier: Carrier, agent: AgentDouble) -> World:
    """The world without a worker."""
    return await furnished(tenant, carrier, agent)


async def furnished(tenant: Tenant, carrier: Carrier, agent: AgentDouble, **lead_has: Any) -> World:
    """A world for the tenant: one account, number, agent, campaign and lead, created with its key.
    `lead_has` are further fields of the lead."""
    account = await tenant.account("simulator", baseUrl=carrier.url)
    number = await tenant.number(providerAccountId=account["accountId"])
    carrier.known.inbound_urls[number["phoneNumber"]] = account["webhooks"]["inbound"]
    smsagent = await tenant.agent(
        webhookUrl=agent.url, batchWindowMs=1000, phoneNumberId=number["phoneNumberId"],
        inboundEnabled=True,
    )  # fmt: skip
    campaign = await tenant.campaign(
        smsAgentId=smsagent["smsAgentId"], clientName="Sunny Roofs", offerName="Panels",
        questionnaire=[{"key": "owner", "question": "Do you own your home?"},
                       {"key": "bill", "question": "How high is your bill?"}],
    )  # fmt: skip
    lead = await tenant.lead(
        campaignId=campaign["campaignId"], status="contacted", email="jane@example.com",
        questionnaire=[{"key": "owner", "question": "Do you own your home?", "answer": "yes"}],
        **lead_has,
    )  # fmt: skip
    return World(tenant, carrier, agent, account, number, smsagent, campaign, lead)
