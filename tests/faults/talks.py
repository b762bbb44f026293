"""Conversations of a chaos run: leads that write in bursts, and agents that behave well and badly."""

import asyncio
import contextlib
import json
import math
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from app.demo import http_clients
from app.store.engine import Database
from tests.faults import ledger
from tests.faults.ledger import Heard, Posted, Record, Written
from tests.makers import Data, Tenant, phone
from tests.world import Carrier, served, until

WINDOW = 1.0
ANSWERED_WITHIN = WINDOW + 5.0
RECOVERED_WITHIN = WINDOW + 15.0
"""After an outage nothing is later than its due time plus 15 s."""
COMES_BACK_WITHIN = 75.0
"""After a worker died, or an outage: its hand-overs come back within 45 s. What it was sending is
looked up after 30 s, and sent again after 60 s if it was never sent."""
WELL_BEHAVED = ("inline", "list", "by api", "before the 200")
MANNERS = (*WELL_BEHAVED, "late", "twice", "never", "503s", "dripping", "huge")
CONFIRMATION = "You are out."
WORDS = [
    "roof", "panel", "battery", "loan", "tariff", "winter", "summer", "house", "tree", "shade",
    "meter", "bill", "quote", "crew", "permit", "install", "warranty", "inverter", "visit",
    "morning", "evening", "garden", "attic", "cable", "wall", "paper", "bank", "rate",
]  # fmt: skip


AGAIN = (502, 503, 504)
"""Statuses after which a request may be repeated."""


async def patiently(tenant: Tenant, method: str, path: str, body: Data, **headers: str) -> httpx.Response:
    """The answer to a request that may be repeated; repeats it until there is one."""
    for wait in [0.2] * 10 + [1.0] * 30:
        try:
            answer = await tenant.ask(method, path, body, timeout=30, headers=headers)
        except httpx.TransportError:
            await asyncio.sleep(wait)
            continue
        if answer.status_code not in AGAIN and "IN_PROGRESS" not in answer.text:
            return answer
        await asyncio.sleep(wait)
    raise AssertionError(f"{method} {path} was never answered")


@dataclass(slots=True)
class Agents:
    """The agents of the run: what each got, and how it answers."""

    tenant: Tenant
    rng: random.Random
    guarded: bool = True
    """Whether they name the turn that they answer; if not, they send like any backend."""
    heard: list[Heard] = field(default_factory=list)
    url: str = ""
    let_go: asyncio.Event = field(default_factory=asyncio.Event)
    """An agent of the manner "held" waits for this event. Only the test of two hosts has such agents."""
    came: list[tuple[str, float]] = field(default_factory=list)
    """From which address each of these hand-overs came, and when (epoch seconds)."""
    tries: Counter[tuple[str, str]] = field(default_factory=Counter)
    begun: set[asyncio.Task[None]] = field(default_factory=set)

    async def hear(self, request: Request) -> Response:
        told = await request.json()
        texts = tuple(one["text"] for one in told["message"]["messages"])
        place = len(self.heard)
        self.heard.append(Heard(told["turn"]["turnId"], texts, 0))
        self.came.append((request.client.host if request.client else "", time.time()))
        response = await self._answer(request.path_params["manner"].replace("_", " "), told)
        self.heard[place] = replace(self.heard[place], status=response.status_code)
        return response

    async def _answer(self, manner: str, told: Data) -> Response:
        key = (manner, told["interaction"]["interactionId"])
        self.tries[key] += 1
        match manner:
            case "inline":
                return JSONResponse({"reply": self._words(told)})
            case "list":
                return JSONResponse({"replies": [self._words(told), self._words(told)]})
            case "by api":
                self._later(self._send(told, 0.3))
            case "before the 200":
                await self._send(told, 0)
            case "late":
                await asyncio.sleep(self.rng.uniform(1, 4))
                if not self.guarded:
                    await self._send(told, 0)
                    return JSONResponse({})
                return JSONResponse({"reply": self._words(told)})
            case "twice":
                self._later(self._send(told, 0.2))
                self._later(self._send(told, 0.2, 2))
                self._later(self._send(told, 2.0, 3))
            case "never":
                pass
            case "held":
                await self.let_go.wait()
                return JSONResponse({"reply": self._words(told)})
            case "503s":
                if self.tries[key] % 3:
                    return JSONResponse({}, 503, {"Retry-After": "1"})
                return JSONResponse({"reply": self._words(told)})
            case "dripping":
                if self.tries[key] == 1:
                    return StreamingResponse(self._drip(told), media_type="application/json")
                return JSONResponse({"reply": self._words(told)})
            case "huge":
                self._later(self._send(told, 0.5))
                said = {"reply": self._words(told, 2), "thoughts": "hm " * 100_000}
                return Response(json.dumps(said), media_type="application/json")
        return JSONResponse({})

    async def _drip(self, told: Data) -> AsyncIterator[bytes]:
        for _ in range(50):  # 25 s, but an exchange has only 20
            yield b" "
            await asyncio.sleep(0.5)
        yield json.dumps({"reply": self._words(told, 2)}).encode()

    async def _send(self, told: Data, after: float, answer: int = 1) -> None:
        await asyncio.sleep(after)
        body = {"leadId": told["lead"]["leadId"], "message": self._words(told, answer)}
        if self.guarded:
            body |= {"source": "sms_agent", "turnId": told["turn"]["turnId"]}
        await patiently(self.tenant, "POST", "/sms/send", body)

    def _words(self, told: Data, answer: int = 1) -> str:
        """Different words each time, or the loop breaker would stop the agent; with the ledger's mark."""
        said = " ".join(self.rng.sample(WORDS, 9))
        return f"{said} [{told['turn']['turnId']}/{answer}]"

    def _later(self, what: Any) -> None:
        task = asyncio.create_task(what)
        self.begun.add(task)
        task.add_done_callback(self.begun.discard)


@dataclass(slots=True)
class Talk:
    """One conversation: its lead, the manner of its agent, and what the lead wrote."""

    manner: str
    lead: Data
    interaction_id: str
    toggles: bool
    stops: bool
    written: list[Written] = field(default_factory=list)


@dataclass(slots=True)
class Backend:
    """A tenant's own system that sends one text after the other to one lead. Half of them have an
    `Idempotency-Key` and are repeated after any error; the others are repeated only after a 503."""

    tenant: Tenant
    lead: Data
    posted: list[Posted] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    """Answers other than a 2xx."""

    async def send(self, going: Callable[[], bool]) -> None:
        while going():
            text = f"{self.lead['leadId']} order {len(self.posted)}"
            keyed = len(self.posted) % 2 == 0
            self.posted.append(await (self._surely(text) if keyed else self._plainly(text)))
            await asyncio.sleep(0.1)

    async def _surely(self, text: str) -> Posted:
        body = {"leadId": self.lead["leadId"], "message": text}
        key = {"Idempotency-Key": text}
        answers = [await patiently(self.tenant, "POST", "/sms/send", body, **key) for _ in "12"]
        return Posted(text, tuple(answer.json()["data"]["messageId"] for answer in answers))

    async def _plainly(self, text: str) -> Posted:
        body = {"leadId": self.lead["leadId"], "message": text}
        while True:
            try:
                answer = await self.tenant.ask("POST", "/sms/send", body, timeout=30)
            except httpx.TransportError:
                return Posted(text, (), open=True)
            if answer.status_code == 202:
                return Posted(text, (answer.json()["data"]["messageId"],))
            self.refused.append(f"{answer.status_code} {answer.text}")
            if answer.status_code != 503:
                return Posted(text, (), open=True)
            if len(self.refused) % 2:  # every second one is not repeated: it must not be stored
                return Posted(text, ())
            await asyncio.sleep(0.2)


@dataclass(slots=True)
class Run:
    """Everything of one run."""

    tenant: Tenant
    carrier: Carrier
    agents: Agents
    ours: str
    rng: random.Random
    talks: list[Talk] = field(default_factory=list)
    backends: list[Backend] = field(default_factory=list)

    ends_at: float = math.inf
    """By the monotonic clock."""
    alone: list[tuple[datetime, datetime]] = field(default_factory=list)
    """When a worker could not record the answers that it had got."""

    def going(self) -> bool:
        return time.monotonic() < self.ends_at

    @contextlib.contextmanager
    def speechless(self) -> Iterator[None]:
        """Marks the block as a time in which a worker is frozen or cut off, plus the time that it then needs
        to record the answers that it had got."""
        began = datetime.now(UTC)
        yield
        self.alone.append((began, datetime.now(UTC) + timedelta(seconds=1)))

    @contextlib.asynccontextmanager
    async def living(self, seconds: float = 0) -> AsyncIterator[None]:
        """Runs all leads and backends at once, during the block and for at least `seconds`."""
        began = time.monotonic()
        # Idle connections are dropped before uvicorn closes them, 5 s after their last request.
        limits = httpx.Limits(keepalive_expiry=2.0)
        # The carrier repeats its webhook several times before it answers for a text.
        async with http_clients.build_client(timeout=90, limits=limits) as http:
            tasks = [
                *(asyncio.create_task(self.talk(http, talk)) for talk in self.talks),
                *(asyncio.create_task(one.send(self.going)) for one in self.backends),
            ]
            try:
                yield
                await asyncio.sleep(began + seconds - time.monotonic())
                self.ends_at = time.monotonic()
                await asyncio.gather(*tasks)
            finally:
                for task in tasks:
                    task.cancel()

    async def open(self, manner: str, campaign_id: str, toggles: bool, stops: bool) -> None:
        lead = await self.tenant.lead(phone=phone(), campaignId=campaign_id)
        sent = await self.tenant.call(
            "POST", "/sms/send",
            {"leadId": lead["leadId"], "message": "Hi", "agentMode": True},
        )  # fmt: skip
        talk = Talk(manner, lead, sent["interactionId"], toggles, stops)
        self.talks.append(talk)

    async def talk(self, http: httpx.AsyncClient, talk: Talk) -> None:
        """Writes bursts of texts with pauses between them."""
        rng = random.Random(self.rng.random())
        await asyncio.sleep(rng.uniform(0, 2))
        while self.going():
            for _ in range(rng.randint(1, 4)):
                await self.write(http, talk, f"{talk.lead['leadId']} {len(talk.written)}")
                await asyncio.sleep(rng.uniform(0.02, 0.6))
            if talk.toggles and rng.random() < 0.5:
                path = f"/interactions/{talk.interaction_id}"
                for mode in (False, True):
                    await patiently(self.tenant, "PATCH", path, {"agentMode": mode})
            await asyncio.sleep(rng.choice([rng.uniform(0.3, 1.5), rng.uniform(2, 6)]))
        await self.write(http, talk, f"{talk.lead['leadId']} {len(talk.written)} last")
        if talk.stops:
            await asyncio.sleep(rng.uniform(0, 2))
            await self.write(http, talk, "STOP")

    async def write(self, http: httpx.AsyncClient, talk: Talk, text: str) -> None:
        phone = talk.lead["phone"]
        url = f"{self.carrier.url}/phone/{phone}/texts"
        answer = await http.post(url, json={"to": self.ours, "text": text})
        status, at = answer.json()["status"], datetime.now(UTC)
        talk.written.append(Written(phone, text, status, at, owed=text != "STOP"))

    async def record(self) -> Record:
        texts = [text for talk in self.talks for text in talk.written]
        return await ledger.read(
            self.tenant,
            self.carrier.known,
            Record(
                written=texts,
                posted=[text for backend in self.backends for text in backend.posted],
                heard=self.agents.heard,
                stopped={text.phone: text.at for text in texts if text.text == "STOP"},
                confirmation=CONFIRMATION,
                alone=self.alone,
            ),
        )


@contextlib.asynccontextmanager
async def running(
    tenant: Tenant,
    carrier: Carrier,
    rng: random.Random,
    talks: int,
    guarded: bool = True,
    backends: int = 0,
    host: str = "127.0.0.1",
) -> AsyncIterator[Run]:
    """Makes a number, an agent and a campaign for each manner, and opens the conversations. The
    agents listen on `host`."""
    agents = Agents(tenant, rng, guarded)
    account = await tenant.account("simulator", baseUrl=carrier.url)
    number = await tenant.number(providerAccountId=account["accountId"], messagesPerSecond=1000)
    ours = number["phoneNumber"]
    carrier.known.inbound_urls[ours] = account["webhooks"]["inbound"]
    await tenant.call("PATCH", "/settings", {"optOutConfirmation": CONFIRMATION})
    run = Run(tenant, carrier, agents, ours, rng)
    app = Starlette(routes=[Route("/{manner}", agents.hear, methods=["POST"])])
    async with served(app, host) as agents.url:
        campaigns: dict[str, str] = {}
        for manner in MANNERS:
            agent = await tenant.agent(
                webhookUrl=f"{agents.url}/{manner.replace(' ', '_')}",
                batchWindowMs=int(WINDOW * 1000),
                maxTurnsPerDay=10_000,
            )
            made = await tenant.campaign(smsAgentId=agent["smsAgentId"], phoneNumberId=number["phoneNumberId"])
            campaigns[manner] = made["campaignId"]
        for n in range(talks):
            manner = MANNERS[n % len(MANNERS)]
            await run.open(manner, campaigns[manner], n % 7 == 3, n % 11 == 5)
        for _ in range(backends):
            lead = await tenant.lead(phone=phone(), campaignId=campaigns["never"])
            run.backends.append(Backend(tenant, lead))
        yield run
        for task in agents.begun:
            task.cancel()


BUSY = """
SELECT (SELECT count(*) FROM outbox)
     + (SELECT count(*) FROM turns WHERE state IN ('collecting', 'delivering'))
"""


async def quiet(database: Database, agents: Agents) -> None:
    """Returns once everything is handed over and sent, and no agent still has a reply to send."""

    async def look() -> bool:
        async with database.system_tx() as tx:
            return not (await tx.fetch_value(BUSY) or agents.begun)

    await until(look, COMES_BACK_WITHIN + 30)


def slow(
    run: Run, record: Record, killed_at: Sequence[float], within: float = RECOVERED_WITHIN
) -> tuple[list[str], list[float]]:
    """Conversations with a well-behaved agent whose last text was not answered in time, and how many
    seconds the other answers took."""
    late: list[str] = []
    took: list[float] = []
    for talk in run.talks:
        if talk.manner not in WELL_BEHAVED or talk.stops:
            continue
        last = talk.written[-1]
        turns = {heard.turn_id for heard in record.heard if last.text in heard.texts}
        answers = [at for text, at in record.arrived.get(last.phone, ())
                   if any(turn in text for turn in turns)]  # fmt: skip
        if not answers:
            late.append(f"{talk.manner}: {last.text!r}, whose webhook got {last.status}, was never answered")
            continue
        after = (min(answers) - last.at).total_seconds()
        deaths = [t for t in killed_at if t <= min(answers).timestamp()]
        if after <= within:
            took.append(after)
        elif not deaths or min(answers).timestamp() > max(deaths) + COMES_BACK_WITHIN:
            late.append(f"{talk.manner}: {last.text!r} was answered after {after:.1f} s")
    return late, took


def table(run: Run, record: Record) -> str:
    """A table of turn states by the agent's manner."""
    manner = {talk.interaction_id: talk.manner for talk in run.talks}
    states = Counter((manner[turn["interactionId"]], turn["state"]) for turn in record.turns)
    columns = sorted({state for _, state in states})
    lines = ["| agent | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for one in MANNERS:
        counts = " | ".join(str(states[one, column]) for column in columns)
        lines.append(f"| {one} | {counts} |")
    sums = [sum(n for (_, s), n in states.items() if s == column) for column in columns]
    return "\n".join([*lines, "| **all** | " + " | ".join(map(str, sums)) + " |"])
