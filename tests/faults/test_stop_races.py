"""STOP wins every race: no request to a carrier begins after the 2xx to a STOP."""

import asyncio
import itertools
import random
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from app import worker
from app.demo.carrier import sign_webhook
from app.resources import Resources
from app.wire.client import CONNECTIONS_PER_HOST
from tests.makers import CREDENTIALS, Data, Tenant
from tests.service import Api
from tests.web.people import Browser, add_person, browser, form
from tests.world import served, until

AT_ONCE = 40
LATEST = 0.25
"""The latest time of the STOP, in seconds after the text was requested."""
SECRET = CREDENTIALS["simulator"]["secret"]
CONFIRMATION = "You are out."
_phones = itertools.count(2000)


@dataclass(slots=True)
class Field:
    """The servers, and every request that began at the carrier: for each phone the texts and times."""

    tenant: Tenant
    http: httpx.AsyncClient
    inbound_url: str
    number: str
    page: Browser
    begun: defaultdict[str, list[tuple[str, float]]] = field(default_factory=lambda: defaultdict(list))
    throttled: set[str] = field(default_factory=set)
    ids: Any = field(default_factory=lambda: itertools.count(1))

    async def says(self, phone: str, text: str) -> None:
        body = {"type": "inbound", "id": f"in-{next(self.ids)}", "from": phone,
                "to": self.number, "text": text, "media": []}  # fmt: skip
        for _ in range(5):  # a busy database answers 503, and carriers repeat
            answer = await self.http.post(self.inbound_url, **sign_webhook(SECRET, self.inbound_url, body))
            if answer.status_code != 503:
                break
        assert answer.status_code == 200, answer.text

    async def send(self, lead_id: str, **more: Any) -> httpx.Response:
        body = {"leadId": lead_id, "message": "Going out"} | more
        answer = await self.tenant.ask("POST", "/sms/send", body)
        while answer.status_code == 503:  # not accepted: the machine is busy
            await asyncio.sleep(0.2)
            answer = await self.tenant.ask("POST", "/sms/send", body)
        return answer


async def carry(field_: Field, request: Request) -> Response:
    order = await request.json()
    field_.begun[order["to"]].append((order["text"], time.monotonic()))
    if order["text"] == "Throttled" and order["reference"] not in field_.throttled:
        field_.throttled.add(order["reference"])
        return JSONResponse({"code": "rate"}, 429, {"Retry-After": "1"})
    if order["text"] == "Slow":
        await asyncio.sleep(2.5)
    return JSONResponse({"id": f"sim-{order['reference']}"}, 202)


async def answer(request: Request) -> Response:
    """The agent: replies inline, or not at all if the lead's text says so."""
    told = await request.json()
    quiet = "quietly" in told["message"]["combinedText"]
    return JSONResponse({} if quiet else {"reply": "From the agent"})


@pytest.fixture
async def racing(api: Api, tenant: Tenant, resources: Resources) -> AsyncIterator[Field]:
    field_ = Field(tenant, api.http, "", "", browser(api.url))

    async def taken(request: Request) -> Response:
        return await carry(field_, request)

    carrier = Starlette(routes=[Route("/messages", taken, methods=["POST"])])
    agent = Starlette(routes=[Route("/", answer, methods=["POST"])])
    async with served(carrier) as url, served(agent) as agent_url:
        account = await tenant.account("simulator", baseUrl=url)
        number = await tenant.number(providerAccountId=account["accountId"], messagesPerSecond=1000)
        field_.inbound_url = account["webhooks"]["inbound"]
        field_.number = number["phoneNumber"]
        smsagent = await tenant.agent(webhookUrl=agent_url, batchWindowMs=1000, phoneNumberId=number["phoneNumberId"])
        await tenant.campaign(campaignId="races", smsAgentId=smsagent["smsAgentId"])
        await tenant.call("PATCH", "/settings", {"optOutConfirmation": CONFIRMATION})
        await add_person(resources, tenant.tenant_id, "racer@example.com")
        assert (await field_.page.sign_in("racer@example.com")).status_code == 303
        loops = worker.build_loops(resources)
        running = asyncio.create_task(loops.run())
        yield field_
        loops.stop()
        await running
        await field_.page.http.aclose()


async def by_api(field_: Field, lead: Data) -> None:
    await field_.send(lead["lead_id"])


async def by_bulk(field_: Field, lead: Data) -> None:
    entry = {"leadId": lead["lead_id"], "message": "Going out"}
    await field_.tenant.ask("POST", "/sms/send/bulk", {"messages": [entry]})


async def scheduled(field_: Field, lead: Data) -> None:
    at = (datetime.now(UTC) + timedelta(seconds=0.1)).isoformat()
    await field_.send(lead["lead_id"], sendAt=at)


async def retried(field_: Field, lead: Data) -> None:
    await field_.send(lead["lead_id"], message="Throttled")


async def by_page(field_: Field, lead: Data) -> None:
    await field_.says(lead["phone"], "Hello")
    threads = await field_.tenant.call("GET", f"/interactions/lead/{lead['lead_id']}")
    page = await field_.page.get(f"/conversations/{threads['interactions'][0]['interactionId']}")
    action, hidden = form(page.text, "/texts")
    await field_.page.post(action, **hidden, message="Going out", anyway="1")


async def inline(field_: Field, lead: Data) -> None:
    await _agent_turn(field_, lead, "a question")


async def agent_by_api(field_: Field, lead: Data) -> None:
    turn = await _agent_turn(field_, lead, "quietly")
    await field_.send(lead["lead_id"], source="sms_agent", turnId=turn)


async def _agent_turn(field_: Field, lead: Data, text: str) -> str | None:
    """Opens a thread in agent mode, writes as the lead, and waits for the hand-over."""
    opened = await field_.send(lead["lead_id"], message="Opening", agentMode=True)
    if opened.status_code == 403:
        return None  # the STOP came first
    path = f"/interactions/{opened.json()['data']['interactionId']}/turns"
    await field_.says(lead["phone"], text)
    for _ in range(50):
        answer = await field_.tenant.ask("GET", path)
        if answer.status_code != 503:  # so many ask at once that some get a 503
            turns = answer.json()["data"]["turns"]
            if not turns or turns[0]["state"] not in ("collecting", "delivering"):
                return str(turns[0]["turnId"]) if turns else None
        await asyncio.sleep(0.2)
    return None


WAYS: dict[str, Callable[[Field, Data], Awaitable[None]]] = {
    "api": by_api, "bulk": by_bulk, "scheduled": scheduled, "retry": retried, "page": by_page,
    "inline": inline, "agent by api": agent_by_api,
}  # fmt: skip


async def leads(field_: Field, resources: Resources, count: int) -> list[Data]:
    made = [
        {"lead_id": f"race_{n}", "phone": f"+1212{300 + n // 10_000:03}{n % 10_000:04}"}
        for n in (next(_phones) for _ in range(count))
    ]
    async with resources.database.system_tx() as tx:
        await tx.execute(
            """INSERT INTO leads (tenant_id, lead_id, phone, campaign_id)
            SELECT $1, lead_id, phone, 'races' FROM unnest($2::text[], $3::text[])
                AS a(lead_id, phone)""",
            field_.tenant.tenant_id, [m["lead_id"] for m in made], [m["phone"] for m in made],
        )  # fmt: skip
    return made


async def race(field_: Field, way: str, lead: Data, delay: float | None) -> float | None:
    """One schedule: a text is requested, and after `delay` seconds the lead writes STOP. Returns when the
    STOP was answered; None without a STOP."""
    going = asyncio.ensure_future(WAYS[way](field_, lead))
    if delay is None:
        await going
        return None
    if way in ("inline", "agent by api"):
        delay += random.choice([0, 1.0])  # before, at and after the window's end
    await asyncio.sleep(delay)
    await field_.says(lead["phone"], "STOP")
    answered = time.monotonic()
    await going
    return answered


async def play(
    field_: Field, resources: Resources, way: str, count: int, stopping: bool
) -> list[tuple[Data, float | None]]:
    limit = asyncio.Semaphore(AT_ONCE if way != "page" else 8)
    made = await leads(field_, resources, count)

    async def one(lead: Data) -> tuple[Data, float | None]:
        async with limit:
            delay = random.uniform(0, LATEST) if stopping else None
            return lead, await race(field_, way, lead, delay)

    return list(await asyncio.gather(*(one(lead) for lead in made)))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "schedules",
    [pytest.param(40, marks=pytest.mark.short), pytest.param(320, marks=pytest.mark.long)],
)
async def test_nothing_begins_after_a_stop_was_answered(
    racing: Field, resources: Resources, way: str, schedules: int
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    random.seed(seed)
    if way == "page":
        schedules //= 3  # each costs five times as much
    control = await play(racing, resources, way, 20, stopping=False)
    raced = await play(racing, resources, way, schedules, stopping=True)
    await asyncio.sleep(1.5)
    late = [
        (lead["phone"], text, at - stopped)
        for lead, stopped in raced
        for text, at in racing.begun[lead["phone"]]
        if stopped is not None and at > stopped and text != CONFIRMATION
    ]
    assert late == []
    confirmed = [sum(text == CONFIRMATION for text, _ in racing.begun[lead["phone"]]) for lead, _ in raced]
    assert max(confirmed) == 1
    expected = {"inline": "From the agent", "retry": "Throttled"}.get(way, "Going out")
    arrived = [any(text == expected for text, _ in racing.begun[lead["phone"]]) for lead, _ in control]
    assert all(arrived), f"only {sum(arrived)} of {len(arrived)} texts of the control run arrived"


async def test_a_text_that_waits_behind_a_slow_carrier_does_not_begin_after_the_stop(
    racing: Field, resources: Resources
) -> None:
    made = await leads(racing, resources, CONNECTIONS_PER_HOST + 20)
    entries = [{"leadId": lead["lead_id"], "message": "Slow"} for lead in made]
    await racing.tenant.call("POST", "/sms/send/bulk", {"messages": entries})

    async def none_is_free() -> bool:
        return len(racing.begun) == CONNECTIONS_PER_HOST

    await until(none_is_free)
    waiting = next(lead["phone"] for lead in made if lead["phone"] not in racing.begun)
    await racing.says(waiting, "STOP")
    stopped = time.monotonic()

    async def all_others_arrived() -> bool:
        return len(racing.begun) == len(made)

    await until(all_others_arrived, 20)
    began = [at for text, at in racing.begun[waiting] if text != CONFIRMATION]
    assert [at - stopped for at in began if at > stopped] == []
