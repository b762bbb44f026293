"""Figures, read from a standby that is busy, lags, freezes and is promoted. Exports are not read from it."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from app.demo import http_clients
from app.main import build_app
from app.resources import Resources, open_resources
from app.settings import Settings
from app.store.engine import ReadTx
from app.store.standby import MAX_LAGGING_READS
from tests import makers
from tests.faults.standby import Pair, pair
from tests.makers import Tenant
from tests.test_cli import ran
from tests.web.people import Browser, add_person, browser
from tests.world import served, until

__all__ = ["pair"]
HEADER, SAYS = "data-as-of", "Read from a standby of the database."
SET_FIGURE_SQL = """
INSERT INTO figures (tenant_id, level, hour, campaign_id, our_number, sms_agent_id, source, counts)
VALUES ($1, 'tenant', date_trunc('hour', clock_timestamp()), '', '', '', '', jsonb_build_object('texts', $2::bigint))
ON CONFLICT ON CONSTRAINT pk_figures DO UPDATE SET counts = excluded.counts
"""


@dataclass(frozen=True, slots=True)
class Reader:
    """The service with a standby, and who reads from it."""

    resources: Resources
    tenant: Tenant
    other_tenant: Tenant
    person: Browser

    async def set_texts(self, count: int) -> None:
        async with self.resources.database.system_tx() as tx:
            await tx.execute(SET_FIGURE_SQL, self.tenant.tenant_id, count)

    async def read_texts(self) -> tuple[int, bool]:
        """The figure, and whether the answer says that it may lag."""
        answer = await self.tenant.ask("GET", "/figures")
        [group] = answer.json()["data"]["figures"]
        return group["counts"]["texts"], HEADER in answer.headers

    async def export(self, lead_id: str) -> httpx.Response:
        return await self.tenant.ask("GET", f"/leads/{lead_id}/export")

    async def is_ready(self, standby: str) -> bool:
        """Whether the service is, and says so of its standby."""
        answer = await self.tenant.http.get("/health/ready")
        return answer.status_code == 200 and answer.json()["data"]["standby"] == standby

    async def serves(self) -> bool:
        return "leadsail_standby_serves 1.0" in (await self.tenant.http.get("/metrics")).text


@pytest.fixture
async def reader(configuration: Settings, pair: Pair) -> AsyncIterator[Reader]:
    urls = {"database_url": pair.primary.url, "database_replica_url": pair.standby.url}
    async with (
        open_resources(configuration.model_copy(update=urls), 4) as resources,
        served(build_app(resources.settings, resources)) as url,
        http_clients.build_client(base_url=url, timeout=20) as http,
    ):
        tenant, other_tenant = await makers.tenant(resources, http), await makers.tenant(resources, http)
        await add_person(resources, tenant.tenant_id, "sam@example.com")
        person = browser(url)
        await person.sign_in("sam@example.com")
        yield Reader(resources, tenant, other_tenant, person)
        await person.http.aclose()


async def test_a_standby_answers_what_may_lag_and_whatever_it_does_nobody_gets_an_error(
    configuration: Settings, pair: Pair, reader: Reader
) -> None:
    tenant = reader.tenant
    lead, erased_lead = await tenant.lead(), await tenant.lead()
    await reader.other_tenant.lead()
    await reader.set_texts(3)
    await until(lambda: reader.is_ready("ok"))

    # It answers what it has, under the same roles, and says until when.
    async def follows() -> bool:
        return await reader.read_texts() == (3, True)

    await until(follows)
    who = await reader.resources.lagging_reads.run(reader.resources.database, tenant.tenant_id, _read_who)
    assert who.value == ("app_tenant", 2, True)
    for query in ("", "?format=csv"):
        answer = await tenant.ask("GET", f"/figures{query}")
        assert datetime.now(UTC) - datetime.fromisoformat(answer.headers[HEADER]) < timedelta(seconds=10)
    for path in ("/figures", "/system"):
        assert SAYS in await reader.person.page(path)
    assert HEADER in (await reader.person.get("/figures/export")).headers
    given = {"DATABASE_URL": pair.primary.url, "DATABASE_REPLICA_URL": pair.standby.url}
    _, out, _ = await ran(configuration, "doctor", "--offline", **given)
    assert "ok    standby: " in out

    # It is busy: the primary answers, and nobody takes the standby for away.
    async with hold_places(reader):
        assert await reader.read_texts() == (3, False)
        assert await reader.is_ready("ok")
    assert await reader.read_texts() == (3, True)

    # It stops to follow. Exports know all of it: they have people's words, which may be erased.
    pair.pause_replay()
    await asyncio.sleep(1.1)
    await reader.set_texts(4)
    await tenant.call("PATCH", f"/leads/{lead['leadId']}", {"firstName": "June"})
    await tenant.call("POST", f"/leads/{erased_lead['leadId']}/erase")
    assert await reader.read_texts() == (3, True)
    answer = await reader.export(lead["leadId"])
    assert (answer.json()["data"]["lead"]["firstName"], HEADER in answer.headers) == ("June", False)
    assert (await reader.export(erased_lead["leadId"])).status_code == 404
    pair.wake_standby()

    # It freezes: one reader waits a little, the next ones do not.
    pair.freeze_standby()
    began_at = time.monotonic()
    assert await reader.read_texts() == (4, False)
    assert time.monotonic() - began_at < 3
    began_at = time.monotonic()
    assert SAYS not in await reader.person.page("/figures")
    assert time.monotonic() - began_at < 1
    assert await reader.is_ready("away")
    assert not await reader.serves()
    pair.wake_standby()
    await until(reader.serves, 20)
    assert await reader.read_texts() == (4, True)

    # It is promoted, and is a standby no more.
    await asyncio.to_thread(pair.promote_standby)
    await reader.set_texts(5)
    assert await reader.read_texts() == (5, False)
    assert await reader.is_ready("away")


@asynccontextmanager
async def hold_places(reader: Reader) -> AsyncIterator[None]:
    """As many reads run on the standby as may."""
    resources, begun, ending = reader.resources, asyncio.Semaphore(0), asyncio.Event()

    async def wait(_: ReadTx) -> None:
        begun.release()
        await ending.wait()

    async with asyncio.TaskGroup() as holders:
        for _ in range(MAX_LAGGING_READS):
            holders.create_task(resources.lagging_reads.run(resources.database, reader.tenant.tenant_id, wait))
        for _ in range(MAX_LAGGING_READS):
            await begun.acquire()
        yield
        ending.set()


async def _read_who(read: ReadTx) -> tuple[str, int, bool]:
    row = await read.fetch_row("SELECT current_user, (SELECT count(*) FROM leads), pg_is_in_recovery()")
    assert row is not None
    return tuple(row.values())
