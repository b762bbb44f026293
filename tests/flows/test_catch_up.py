"""Texts that came while nobody took webhooks, fetched from many accounts of which some fail."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from app.access.sealing import Seal
from app.jobs.catch_up import ACCOUNTS_PER_STEP, LEASE, CatchUp
from app.resources import Resources
from app.settings import Settings
from app.store import accounts
from app.store.engine import Row
from tests.makers import Data, Tenant, phone
from tests.service import Api
from tests.test_cli import ran
from tests.web.people import add_person, browser
from tests.world import served

FAILURES: dict[str, Response] = {
    "401": JSONResponse({}, 401),
    "403": JSONResponse({"code": 20005}, 403),
    "404": JSONResponse({}, 404),
    "429": JSONResponse({}, 429),
    "500": Response("oops", 500),
    "503": Response(status_code=503),
    "302": Response(status_code=302, headers={"Location": "http://127.0.0.1:1/"}),
    "broken": Response('{"texts": [', media_type="application/json"),
    "page": Response("<html>Sign in</html>"),
    "other": JSONResponse({"texts": None}),
    "empty": Response(),
}


@dataclass(slots=True)
class Record:
    """Records of missed texts under one address, one for each name below it."""

    url: str = ""
    said: dict[str, Response] = field(default_factory=dict)
    """Of those that fail."""
    texts: list[Data] = field(default_factory=list)
    """In all others."""
    asked: Counter[str] = field(default_factory=Counter)
    now: Counter[str] = field(default_factory=Counter)
    most: int = 0
    """Requests to one account at the same time."""
    takes: float = 0.0
    over: asyncio.Event = field(default_factory=asyncio.Event)

    async def tell(self, request: Request) -> Response:
        name = request.path_params["name"]
        self.asked[name] += 1
        self.now[name] += 1
        self.most = max(self.most, self.now[name])
        if name.startswith("silent"):
            await self.over.wait()
        await asyncio.sleep(self.takes)
        self.now[name] -= 1
        return self.said.get(name) or JSONResponse({"texts": self.texts})


@pytest.fixture
async def record() -> AsyncIterator[Record]:
    kept = Record()
    async with served(Starlette(routes=[Route("/{name}/inbound", kept.tell)])) as url:
        kept.url = url
        yield kept
        kept.over.set()


@pytest.fixture
def catch_up(resources: Resources) -> CatchUp:
    return CatchUp(resources.database, resources.wire, resources.seal)


async def add(tenant: Tenant, record: Record, *names: str) -> list[str]:
    """Accounts with these records; their ids."""
    made = [await tenant.account(name=n, baseUrl=f"{record.url}/{n}") for n in names]
    return [account["accountId"] for account in made]


async def notice(resources: Resources) -> None:
    async with resources.database.system_tx() as tx:
        await accounts.notice_absence(tx, datetime.now(UTC) - timedelta(minutes=5))


async def look(catch_up: CatchUp) -> None:
    """All that is due is begun, until nothing is; not waited for."""
    while await catch_up.fetch_missing_texts():
        await asyncio.sleep(0.05)


async def finish(catch_up: CatchUp) -> None:
    await look(catch_up)
    while catch_up.fetching:
        await asyncio.wait(catch_up.fetching)
        await look(catch_up)


async def row(resources: Resources, account_id: str) -> Row:
    async with resources.database.system_tx() as tx:
        found = await tx.fetch_row("SELECT * FROM provider_accounts WHERE account_id = $1", account_id)
    assert found
    return found


async def rest_of(resources: Resources, account_id: str) -> float:
    """Seconds until its next try."""
    async with resources.database.system_tx() as tx:
        asked = """SELECT extract(epoch FROM fetch_at - clock_timestamp())::float8
                   FROM provider_accounts WHERE account_id = $1"""
        return float(await tx.fetch_value(asked, account_id))


async def let_pass(resources: Resources, account_id: str) -> None:
    """The time until its next try."""
    async with resources.database.system_tx() as tx:
        await tx.execute(
            "UPDATE provider_accounts SET fetch_at = clock_timestamp() WHERE account_id = $1",
            account_id,
        )


def said(capsys: pytest.CaptureFixture[str], what: str) -> int:
    out, err = capsys.readouterr()
    return (out + err).count(what)


async def test_accounts_that_fail_or_are_slow_keep_no_other_from_being_asked(
    tenant: Tenant,
    resources: Resources,
    catch_up: CatchUp,
    record: Record,
    capsys: pytest.CaptureFixture[str],
) -> None:
    kinds = list(FAILURES)
    failing = [f"failing{n}" for n in range(ACCOUNTS_PER_STEP + 5)]
    for n, name in enumerate(failing):
        record.said[name] = FAILURES[kinds[n % len(kinds)]]
    await add(tenant, record, *failing)
    await add(tenant, record, "silent1", "silent2")
    await tenant.account(baseUrl="http://127.0.0.1:9")
    [good] = await add(tenant, record, "good")
    number = await tenant.number(providerAccountId=good)
    lead = phone()
    record.texts = [{"id": "t1", "from": lead, "to": number["phoneNumber"], "text": "STOP",
                     "sentAt": datetime.now(UTC).isoformat()}]  # fmt: skip
    await notice(resources)
    async with asyncio.timeout(8):  # the silent ones are waited for, for longer
        while not (await tenant.call("GET", f"/consent/{lead}"))["suppressed"]:
            await look(catch_up)
            await asyncio.sleep(0.1)
    assert all(record.asked[name] == 1 for name in failing)
    assert (await row(resources, good))["missing_since"] is None
    assert said(capsys, "missed texts cannot be fetched") == len(failing) + 1
    record.over.set()
    await finish(catch_up)


@pytest.mark.parametrize("kind", FAILURES)
async def test_what_fails_rests_longer_each_time_and_a_refusal_for_an_hour(
    tenant: Tenant,
    resources: Resources,
    catch_up: CatchUp,
    record: Record,
    capsys: pytest.CaptureFixture[str],
    kind: str,
) -> None:
    [account_id] = await add(tenant, record, "one")
    record.said["one"] = FAILURES[kind]
    await notice(resources)
    await finish(catch_up)
    first = await rest_of(resources, account_id)
    refused = kind in ("401", "403", "404")
    assert 3590 < first <= 3600 if refused else 0 < first <= 2
    rests = [first]
    for _ in range(14):
        await let_pass(resources, account_id)
        await finish(catch_up)
        rests.append(await rest_of(resources, account_id))
    assert record.asked["one"] == 15
    assert 3590 < rests[-1] <= 3600
    assert all(before < after + 5 for before, after in pairwise(rests))
    now = await row(resources, account_id)
    assert now["missing_since"] is not None
    assert now["fetch_failures"] == 15
    assert said(capsys, "missed texts cannot be fetched") == 1
    del record.said["one"]
    await let_pass(resources, account_id)
    await finish(catch_up)
    now = await row(resources, account_id)
    assert (now["missing_since"], now["failing_since"], now["fetch_failures"]) == (None, None, 0)
    assert said(capsys, "missed texts are fetched again") == 1


async def test_a_carrier_that_names_a_time_is_left_alone_until_then(
    tenant: Tenant, resources: Resources, catch_up: CatchUp, record: Record
) -> None:
    ids = await add(tenant, record, "soon", "never", "odd", "at", "past")
    in_a_minute = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    for name, wish in (
        ("soon", "60"), ("never", "9" * 400), ("odd", "in a while"), ("at", in_a_minute),
        ("past", "Sun, 06 Nov 1994 08:49:37 GMT"),
    ):  # fmt: skip
        record.said[name] = Response(status_code=503, headers={"Retry-After": wish})
    await notice(resources)
    await finish(catch_up)
    soon, never, odd, at, past = [await rest_of(resources, one) for one in ids]
    assert (50 < soon <= 60, 3590 < never <= 3600, 0 < odd <= 2) == (True, True, True)
    assert at == pytest.approx(60, abs=5)
    assert 0 < past <= 2


@pytest.mark.parametrize(
    "change",
    [{"credentials": {"secret": "another secret"}}, {"baseUrl": "elsewhere"}, {"active": True}],
)
async def test_an_account_that_was_refused_is_asked_at_once_when_it_is_changed(
    tenant: Tenant, resources: Resources, catch_up: CatchUp, record: Record, change: Data
) -> None:
    [account_id] = await add(tenant, record, "one")
    record.said["one"] = FAILURES["401"]
    await notice(resources)
    await finish(catch_up)
    await tenant.call("PATCH", f"/provider-accounts/{account_id}", {"name": "Renamed"})
    await finish(catch_up)
    assert record.asked["one"] == 1
    if "baseUrl" not in change:
        del record.said["one"]
    else:
        change = {"baseUrl": f"{record.url}/elsewhere"}
    changed = await tenant.call("PATCH", f"/provider-accounts/{account_id}", change)
    assert changed["missedTexts"]["nextTryAt"] is None
    await finish(catch_up)
    assert record.asked["one"] + record.asked["elsewhere"] == 2
    told = await tenant.call("GET", f"/provider-accounts/{account_id}")
    assert told["missedTexts"] is None


async def test_several_workers_ask_an_account_one_at_a_time(
    tenant: Tenant, resources: Resources, record: Record
) -> None:
    names = [f"one{n}" for n in range(ACCOUNTS_PER_STEP + 8)]
    await add(tenant, record, *names)
    record.takes = 0.2
    await notice(resources)
    workers = [CatchUp(resources.database, resources.wire, resources.seal) for _ in range(3)]
    await asyncio.gather(*(finish(worker) for worker in workers))
    assert record.most == 1
    assert record.asked == dict.fromkeys(names, 1)


async def test_a_worker_that_wakes_late_settles_nothing(tenant: Tenant, resources: Resources, record: Record) -> None:
    [account_id] = await add(tenant, record, "one")
    await notice(resources)
    key = (tenant.tenant_id, account_id)
    async with resources.database.system_tx() as tx:
        [dead] = await accounts.claim_fetches(tx, 9, LEASE)
        assert await accounts.claim_fetches(tx, 9, LEASE) == []
    await let_pass(resources, account_id)
    async with resources.database.system_tx() as tx:
        [alive] = await accounts.claim_fetches(tx, 9, LEASE)
        late, noticed = dead.fetch_at, dead.noticed_at
        assert await accounts.hold_fetch(tx, *key, late, LEASE) is None
        assert not await accounts.record_fetch(tx, *key, late, noticed)
        assert not await accounts.record_failed_fetch(tx, *key, late, LEASE, "late")
    await notice(resources)  # once more, while it is asked
    async with resources.database.system_tx() as tx:
        assert await accounts.record_fetch(tx, *key, alive.fetch_at, alive.noticed_at)
        [again] = await accounts.claim_fetches(tx, 9, LEASE)
        assert again.missing_since == alive.missing_since
        assert await accounts.record_fetch(tx, *key, again.fetch_at, again.noticed_at)
        assert await accounts.claim_fetches(tx, 9, LEASE) == []


async def test_an_account_that_cannot_be_opened_fails_alone(
    tenant: Tenant,
    resources: Resources,
    record: Record,
    capsys: pytest.CaptureFixture[str],
) -> None:
    spoilt, good = await add(tenant, record, "spoilt", "good")
    async with resources.database.system_tx() as tx:
        sealed = Seal([bytes(32)]).close_words({"secret": "lost"})
        await tx.execute("UPDATE provider_accounts SET credentials = $1 WHERE account_id = $2", sealed, spoilt)
    await notice(resources)
    catch_up = CatchUp(resources.database, resources.wire, resources.seal)
    await finish(catch_up)
    await let_pass(resources, spoilt)
    await finish(catch_up)
    assert (await row(resources, good))["missing_since"] is None
    now = await row(resources, spoilt)
    assert (now["fetch_error"], now["fetch_failures"]) == ("Unsealable", 2)
    assert said(capsys, "missed texts cannot be fetched") == 1


async def test_what_cannot_be_fetched_is_told_to_all_who_look(
    configuration: Settings,
    tenant: Tenant,
    api: Api,
    resources: Resources,
    catch_up: CatchUp,
    record: Record,
) -> None:
    failing, waiting, _ = await add(tenant, record, "failing", "waiting", "well")
    record.said["failing"] = FAILURES["404"]
    await notice(resources)
    await finish(catch_up)
    await notice(resources)
    async with resources.database.system_tx() as tx:
        await tx.execute(
            "UPDATE provider_accounts SET missing_since = NULL WHERE account_id <> ALL ($1)",
            [failing, waiting],
        )
    told = {
        account["name"]: account["missedTexts"]
        for account in (await tenant.call("GET", "/provider-accounts"))["providerAccounts"]
    }
    assert (told["failing"]["error"], told["failing"]["nextTryAt"] is None) == (
        "answered 404", False,
    )  # fmt: skip
    assert told["failing"]["failingSince"] > told["failing"]["since"]
    assert (told["waiting"]["error"], told["waiting"]["failingSince"]) == (None, None)
    assert told["well"] is None

    figures = (await tenant.http.get("/metrics")).text
    assert 'leadsail_unfetched_accounts{provider="simulator",state="failing"} 1.0' in figures
    assert 'leadsail_unfetched_accounts{provider="simulator",state="waiting"} 1.0' in figures
    assert tenant.tenant_id not in figures

    await add_person(resources, tenant.tenant_id, "max@example.com")
    theirs = browser(api.url)
    await theirs.sign_in("max@example.com")
    assert (await theirs.page("/settings/accounts")).count("Missed texts not fetched") == 1
    page = await theirs.page(f"/settings/accounts/{failing}")
    assert "could not be fetched: answered 404." in page
    assert "could not be fetched" not in await theirs.page(f"/settings/accounts/{waiting}")
    await theirs.http.aclose()

    status, out, _ = await ran(configuration, "doctor", "--offline")
    [line] = [line for line in out.splitlines() if failing in line]
    assert (status, line.startswith(f"BAD   simulator {failing}: texts missed since")) == (1, True)
    assert "(answered 404); a STOP may be among them" in line
    assert waiting not in out
