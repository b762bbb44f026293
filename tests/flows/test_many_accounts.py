"""Fifty accounts after an absence, of which forty are broken in four ways. The good ones are asked at
once, the broken ones less and less. Minutes pass by moving rows."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from app.jobs.catch_up import CatchUp
from app.resources import Resources
from app.web import presence
from tests.flows.carrier_posts import make_credentials
from tests.flows.test_catch_up import look
from tests.makers import Data, Tenant, phone
from tests.world import served

BROKEN = ("missing", "refused", "silent", "garbage")
EACH = 10
MANY_REFUSALS = (401, 403)
GARBAGE = (
    Response('{"texts": [', media_type="application/json"), Response("<html>Sign in</html>"), Response(),
    Response("oops", 500), Response(status_code=503),
)  # fmt: skip
RECORDS = {"simulator": "texts", "twilio": "messages", "sinch": "inbounds"}
"""The carriers that keep a record, and the name of the list in its answer."""
AT_ONCE = 60.0
"""Seconds after coming back within which each good account must be asked."""
AN_HOUR = timedelta(hours=1)


@dataclass(slots=True)
class Carriers:
    """Fifty records of missed texts under one address; the name of an account says how it answers."""

    url: str = ""
    asked: Counter[str] = field(default_factory=Counter)
    records: dict[str, Data] = field(default_factory=dict)
    hangs_for: float | None = None
    """How long the silent ones hang before they break off; None: until the request is given up."""
    over: asyncio.Event = field(default_factory=asyncio.Event)

    async def show(self, request: Request) -> Response:
        name = request.path_params["name"]
        kind, n = name.split("-")
        self.asked[name] += 1
        if kind == "silent":
            await self._hang()
        answers: dict[str, Any] = {
            "missing": lambda: JSONResponse({}, 404),
            "refused": lambda: JSONResponse({}, MANY_REFUSALS[int(n) % 2]),
            "silent": lambda: Response(status_code=504),
            "garbage": lambda: GARBAGE[int(n) % len(GARBAGE)],
            "good": lambda: JSONResponse(self.records[name]),
        }
        answer: Response = answers[kind]()
        return answer

    async def _hang(self) -> None:
        if self.hangs_for is not None:
            await asyncio.sleep(self.hangs_for)
            return
        await self.over.wait()


@pytest.fixture
async def carriers() -> AsyncIterator[Carriers]:
    known = Carriers()
    async with served(Starlette(routes=[Route("/{name}/{rest:path}", known.show)])) as url:
        known.url = url
        yield known
        known.over.set()


async def add_account(tenant: Tenant, carriers: Carriers, name: str, provider: str = "simulator") -> Data:
    body = {"provider": provider, "name": name, "credentials": make_credentials(provider)}
    return await tenant.call("POST", "/provider-accounts", body | {"baseUrl": f"{carriers.url}/{name}"})


def build_stop(provider: str, lead: str, number: str) -> Data:
    """A STOP as the carrier's record shows it."""
    now = datetime.now(UTC)
    entries: dict[str, Data] = {
        "simulator": {"id": "t1", "from": lead, "to": number, "text": "STOP", "sentAt": now.isoformat()},
        "twilio": {
            "sid": "SM1", "direction": "inbound", "from": lead, "to": number, "body": "STOP",
            "date_created": now.strftime("%a, %d %b %Y %H:%M:%S +0000"),
        },
        "sinch": {
            "id": "s1", "type": "mo_text", "from": lead[1:], "to": number[1:], "body": "STOP",
            "received_at": now.isoformat(),
        },
    }  # fmt: skip
    return {RECORDS[provider]: [entries[provider]], "count": 1, "page": 0}


async def are_suppressed(tenant: Tenant, leads: Iterable[str]) -> bool:
    records = [await tenant.call("GET", f"/consent/{lead}") for lead in leads]
    return all(record["suppressed"] for record in records)


async def come_back(resources: Resources) -> None:
    """A web process runs again after forty seconds without one."""
    async with resources.database.system_tx() as tx:
        await tx.execute("UPDATE installation SET alive_at = clock_timestamp() - interval '40 s'")
    await presence.record_presence(resources.database)


async def let_pass(resources: Resources, seconds: float) -> None:
    """Moves the accounts' times instead of the clock."""
    async with resources.database.system_tx() as tx:
        await tx.execute("UPDATE provider_accounts SET fetch_at = fetch_at - $1::interval", timedelta(seconds=seconds))


async def seconds_until_due(resources: Resources) -> float:
    async with resources.database.system_tx() as tx:
        wait = await tx.fetch_value(
            """SELECT min(coalesce(fetch_at, clock_timestamp())) - clock_timestamp() FROM provider_accounts
            WHERE missing_since IS NOT NULL"""
        )
    return max(float(wait.total_seconds()), 0.0)


async def work_for(resources: Resources, catch_up: CatchUp, seconds: float) -> None:
    """What a worker does in so many seconds, from one due account to the next."""
    while (wait := await seconds_until_due(resources) + 0.01) < seconds:
        await let_pass(resources, wait)
        seconds -= wait
        await look(catch_up)
        if catch_up.fetching:
            await asyncio.wait(catch_up.fetching)
    await let_pass(resources, seconds)


async def test_forty_broken_accounts_keep_ten_good_ones_waiting_for_nothing_and_are_asked_less_and_less(
    tenant: Tenant, resources: Resources, carriers: Carriers
) -> None:
    for n in range(EACH):
        for kind in BROKEN:
            await add_account(tenant, carriers, f"{kind}-{n}")
    stopped = {}
    for n in range(EACH):  # added last: whoever is asked in this order comes to them last
        provider = list(RECORDS)[n % len(RECORDS)]
        account = await add_account(tenant, carriers, f"good-{n}", provider)
        number = await tenant.number(providerAccountId=account["accountId"])
        lead = stopped[f"good-{n}"] = phone()
        carriers.records[f"good-{n}"] = build_stop(provider, lead, number["phoneNumber"])
    broken = [f"{kind}-{n}" for kind in BROKEN for n in range(EACH)]
    await come_back(resources)

    catch_up = CatchUp(resources.database, resources.wire, resources.seal)
    began = asyncio.get_running_loop().time()
    async with asyncio.timeout(AT_ONCE):
        while not await are_suppressed(tenant, stopped.values()):
            await look(catch_up)
            await asyncio.sleep(0.1)
    # Before a single silent one was given up: nobody waited for any of them.
    assert asyncio.get_running_loop().time() - began < 9
    assert all(carriers.asked[name] == 1 for name in [*stopped, *broken])
    await asyncio.wait(catch_up.fetching)

    carriers.hangs_for = 0.05  # now that this was seen once, for all silent ones side by side
    await work_for(resources, catch_up, 600)
    before = carriers.asked.copy()
    await work_for(resources, catch_up, 600)
    asked_in_ten_minutes = {name: carriers.asked[name] - before[name] for name in broken}
    assert max(asked_in_ten_minutes.values()) < 10  # less than one a minute each
    assert sum(asked_in_ten_minutes.values()) <= 2 * len(broken)
    assert all(before[name] == 1 for name in broken if name.startswith(("missing", "refused")))
    assert all(carriers.asked[name] == 1 for name in stopped)
    by_name = {a["name"]: a for a in (await tenant.call("GET", "/provider-accounts?limit=100"))["providerAccounts"]}
    assert all(by_name[name]["missedTexts"]["error"] for name in broken)
    assert all(by_name[name]["missedTexts"] is None for name in stopped)

    await come_back(resources)  # away once more: the good ones need not wait for the others' rest
    await work_for(resources, catch_up, 1)
    assert all(carriers.asked[name] == 2 for name in stopped)
    await work_for(resources, catch_up, AN_HOUR.total_seconds() + 60)
    assert all(carriers.asked[name] > before[name] for name in broken)  # each is tried within an hour
