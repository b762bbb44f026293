"""Two hosts, each with a web process and a worker, share one PostgreSQL and one Valkey. One host
is cut off under load and comes back. The hosts are network namespaces."""

import asyncio
import contextlib
import os
import random
import subprocess
import sys
import tempfile
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from itertools import pairwise
from pathlib import Path

import asyncpg
import httpx
import pytest

from app import embedded, settings
from app.demo import carrier as simulated
from app.demo import http_clients
from app.domain.windows import HAND_OVER_LEASE
from app.embedded import processes, sites
from app.embedded.postgres import SERVER_SETTINGS, find_tools
from app.embedded.valkey import find_server
from app.operations.migrations import migrate_to_head
from app.resources import Resources, open_resources
from app.settings import Settings
from tests import makers
from tests.faults import ledger, netns
from tests.faults.balancer import Balancer
from tests.faults.island import KEY
from tests.faults.ledger import Posted
from tests.faults.netns import Host, Site
from tests.faults.talks import Backend, Run, Talk, quiet, running, slow, table
from tests.makers import CREDENTIALS, Data, Tenant, phone
from tests.world import Carrier, served, until

PORT = 8000
TALKS, BACKENDS, WAITING = 10, 2, 8
BEFORE, AFTER = 10.0, 15.0
"""Seconds."""
SHORT, LONG = 15.0, HAND_OVER_LEASE.total_seconds() + 5.0
"""How long the host is cut off, in seconds: its worker gets the answers in time, or too late."""
SENDERS, LEADS, MOST, REST = 2, 10, 2000, 0.05
"""For each host: how many senders, leads and texts (at most) for each, and seconds between texts."""
STARTS_WITHIN = 60.0
BACK_WITHIN = 15.0
SAME_TURN_WITHIN = 45.0


@dataclass(slots=True)
class Load:
    """A client that sends one text after the other to a host."""

    tenant: Tenant
    name: str
    leads: list[Data]
    posted: list[Posted] = field(default_factory=list)
    taken: list[float] = field(default_factory=list)
    """When each 2xx came, in epoch seconds."""

    async def send(self, going: Callable[[], bool]) -> None:
        while going() and len(self.posted) < MOST:
            text = f"{self.name} {len(self.posted)}"
            lead = self.leads[len(self.posted) % len(self.leads)]
            body = {"leadId": lead["leadId"], "message": text}
            try:
                answer = await self.tenant.ask("POST", "/sms/send", body)
            except httpx.TransportError:
                self.posted.append(Posted(text, (), open=True))
            else:
                if answer.status_code == 202:
                    self.taken.append(time.time())
                    self.posted.append(Posted(text, (answer.json()["data"]["messageId"],)))
                else:  # a 503 promises that the text was not stored
                    self.posted.append(Posted(text, (), open=answer.status_code != 503))
            await asyncio.sleep(REST)


@dataclass(slots=True)
class Town:
    """The hosts, their processes, the servers, and the test's access to them."""

    site: Site
    balancer: Balancer
    carrier: Carrier
    resources: Resources
    tenant: Tenant
    env: dict[str, str]
    log: Path
    processes: list[Process] = field(default_factory=list)

    async def start(self, host: Host) -> None:
        """Starts the host's web process and worker; returns once the balancer sends it requests."""
        env = self.env | {"HOST": host.address, "PORT": str(PORT)}
        for word in ("web", "worker"):
            with self.log.open("ab") as out:
                self.processes.append(
                    await asyncio.create_subprocess_exec(
                        *host.command(sys.executable, "-m", "app", word), env=env,
                        stdout=out, stderr=out, preexec_fn=processes.die_with_parent,
                    )
                )  # fmt: skip
        self.balancer.add(address(host))
        await self.serves(host, STARTS_WITHIN)

    async def serves(self, host: Host, within: float) -> None:
        async def ready() -> bool:
            assert {one.returncode for one in self.processes} == {None}, self.said()
            return address(host) in self.balancer.ready

        await until(ready, within)

    async def end(self) -> None:
        for process in self.processes:
            if process.returncode is None:
                process.kill()
            await process.wait()

    def said(self) -> str:
        return self.log.read_text()[-3000:]


def address(host: Host) -> str:
    return f"http://{host.address}:{PORT}"


@contextlib.contextmanager
def servers(site: Site) -> Iterator[tuple[str, str]]:
    """Starts the embedded PostgreSQL (migrated) and Valkey at addresses that the hosts can reach."""
    with tempfile.TemporaryDirectory(prefix="leadsail-") as made, contextlib.ExitStack() as stack:
        folder = Path(made)
        folder.chmod(0o755)  # the servers' account must be able to enter it
        with embedded.serve_postgres(folder) as database, embedded.serve_valkey(folder) as clock:
            migrate_to_head(database.url)
            urls = [_at(site, database.url, 5432), _at(site, clock.url, 6379)]
        postgres, valkey = (sites.make_site(folder, name) for name in ("postgres", "valkey"))
        cluster = postgres.folder / "cluster"
        with (cluster / "pg_hba.conf").open("a") as rules:
            rules.write(f"host all all {netns.NETWORK} scram-sha-256\n")
        options = SERVER_SETTINGS | {"listen_addresses": site.address}
        tools = find_tools(postgres)
        stack.enter_context(
            _served(postgres, [
                str(tools / "postgres"), "-D", str(cluster), "-p", "5432",
                *(f"--{name}={value}" for name, value in options.items()),
            ])
        )  # fmt: skip
        binary = find_server(valkey)
        config = str(valkey.folder / "valkey.conf")
        stack.enter_context(_served(valkey, [str(binary), config, "--bind", site.address, "--port", "6379"]))
        yield urls[0], urls[1]


def _at(site: Site, url: str, port: int) -> str:
    before, _, after = url.partition("@")
    return f"{before}@{site.address}:{port}/{after.partition('/')[2]}"


@contextlib.contextmanager
def _served(site: sites.Site, command: list[str]) -> Iterator[None]:
    with site.log_file.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=site.folder, env=site.env, stdin=subprocess.DEVNULL, stdout=output,
            stderr=output, preexec_fn=processes.die_with_parent, **site.identity,
        )  # fmt: skip
    try:
        yield
    finally:
        process.kill()
        process.wait()


@contextlib.asynccontextmanager
async def town(site: Site, database: str, clock: str, log: Path) -> AsyncIterator[Town]:
    """Starts everything except the hosts' processes."""

    async def up() -> bool:
        with contextlib.suppress(OSError, asyncpg.PostgresError):
            await (await asyncpg.connect(database)).close()
            return True
        return False

    await until(up, STARTS_WITHIN)
    app = simulated.build_app(CREDENTIALS["simulator"]["secret"], receipts=0.05)
    async with contextlib.AsyncExitStack() as stack:
        balancer = await stack.enter_async_context(Balancer().running(site.address))
        url = await stack.enter_async_context(served(app, site.address))
        stack.push_async_callback(app.state.carrier.close)
        given = {
            "DATABASE_URL": database, "REDIS_URL": clock, "SECRET_KEYS": KEY,
            "PUBLIC_BASE_URL": balancer.url, "ALLOWED_PRIVATE_NETWORKS": netns.NETWORK,
            "LOG_LEVEL": "WARNING",
        }  # fmt: skip
        env = dict(os.environ) | given
        configuration: Settings = settings.load(**{k.lower(): v for k, v in given.items()})
        resources = await stack.enter_async_context(open_resources(configuration))
        http = await stack.enter_async_context(client(balancer.url, 30))
        tenant = await makers.tenant(resources, http)
        one = Town(site, balancer, Carrier(url, app.state.carrier), resources, tenant, env, log)
        stack.push_async_callback(one.end)
        yield one


def client(url: str, seconds: float) -> httpx.AsyncClient:
    limits = httpx.Limits(keepalive_expiry=2.0)
    return http_clients.build_client(base_url=url, timeout=seconds, limits=limits)


@pytest.mark.long
@pytest.mark.alone
@pytest.mark.parametrize("seconds", [SHORT, LONG])
def test_a_host_that_is_cut_off_is_missed_by_nobody_and_serves_when_it_is_back(
    rng: random.Random, tmp_path: Path, seconds: float
) -> None:
    with netns.site(2) as site:

        def story() -> None:
            with servers(site) as (database, clock):
                log = tmp_path / "processes.log"
                asyncio.run(cut_off(site, seconds, database, clock, log, rng))

        netns.inside(site.core, story)


async def cut_off(site: Site, seconds: float, database: str, clock: str, log: Path, rng: random.Random) -> None:
    away, stays = site.hosts
    async with contextlib.AsyncExitStack() as stack:
        here = await stack.enter_async_context(town(site, database, clock, log))
        await asyncio.gather(*(here.start(host) for host in site.hosts))
        run = await stack.enter_async_context(
            running(here.tenant, here.carrier, rng, TALKS, backends=BACKENDS, host=site.address)
        )
        loads = {host: await loaded(stack, here, host) for host in site.hosts}
        every = [load for each in loads.values() for load in each]
        waiting = await held_talks(run)
        marks = [time.time()]
        async with run.living():
            sending = [asyncio.create_task(load.send(run.going)) for load in every]
            await asyncio.sleep(BEFORE)
            await write(run, waiting)
            await until(partial(held_by, run, away, waiting))
            with run.speechless():
                away.cut()
                marks.append(time.time())
                held = await held_by(run, away, waiting)
                run.agents.let_go.set()
                await asyncio.sleep(seconds)
                away.mend()
                marks.append(time.time())
                await here.serves(away, BACK_WITHIN)
            await asyncio.sleep(AFTER)
        await asyncio.gather(*sending)
        marks.append(time.time())
        await quiet(here.resources.database, run.agents)
        run.talks += waiting
        run.backends += [Backend(load.tenant, load.leads[0], load.posted) for load in every]
        record = await run.record()
        assert [process.returncode for process in here.processes] == [None] * 4, here.said()
        again = {turn: came_after(run, turn, marks[1]) for turn in held}
        late, took = slow(run, record, marks[1:3])
        print(phases(here, run, loads, marks))
        print(f"{len(record.written)} texts of leads, {len(record.turns)} turns, "
              f"{sum(len(text.ids) for text in record.posted)} sends; last texts answered in "
              f"time: {len(took)}; handed over again, of what was on its way: "
              f"{list(again.values())}")  # fmt: skip
        print(table(run, record))
        assert ledger.breaches(record) == []
        assert late == []
        assert took
        if seconds == LONG:
            for [(whence, after), *_] in again.values():
                assert (whence, after < SAME_TURN_WITHIN) == (stays.address, True)
        assert [carried(record, turn) for turn in held] == [1] * len(held)
        for i, hosts in enumerate(([away, stays], [stays], [away, stays])):
            for host in hosts:
                assert taken(loads[host], marks[i], marks[i + 1]), (i, host)


async def loaded(stack: contextlib.AsyncExitStack, here: Town, host: Host) -> list[Load]:
    """The clients of one host, each with its own leads."""
    campaign = await here.tenant.campaign()
    http = await stack.enter_async_context(client(address(host), 3))
    direct = Tenant(here.tenant.tenant_id, here.tenant.key, http)
    return [
        Load(
            direct,
            f"{host.address} client {n}",
            [await here.tenant.lead(phone=phone(), campaignId=campaign["campaignId"]) for _ in range(LEADS)],
        )
        for n in range(SENDERS)
    ]


async def held_talks(run: Run) -> list[Talk]:
    """Conversations whose leads write only when the test says so, and whose agent then waits for the
    test before it answers."""
    agent = await run.tenant.agent(webhookUrl=f"{run.agents.url}/held", batchWindowMs=1000)
    number = (await run.tenant.call("GET", "/phone-numbers"))["phoneNumbers"][0]
    campaign = await run.tenant.campaign(smsAgentId=agent["smsAgentId"], phoneNumberId=number["phoneNumberId"])
    rests = Run(run.tenant, run.carrier, run.agents, run.ours, run.rng)
    for _ in range(WAITING):
        await rests.open("held", campaign["campaignId"], toggles=False, stops=False)
    return rests.talks


async def write(run: Run, waiting: list[Talk]) -> None:
    async with client(run.carrier.url, 90) as http:
        texts = [run.write(http, talk, f"{talk.lead['leadId']} waits") for talk in waiting]
        await asyncio.gather(*texts)


async def held_by(run: Run, host: Host, waiting: list[Talk]) -> list[str]:
    """Turns of these conversations that the host's worker has handed over and that the agent has not
    answered yet."""
    texts = {talk.written[-1].text for talk in waiting}
    return [
        heard.turn_id
        for heard, (whence, _) in zip(run.agents.heard, run.agents.came, strict=True)
        if heard.status == 0 and whence == host.address and texts & set(heard.texts)
    ]


def came_after(run: Run, turn_id: str, cut_at: float) -> list[tuple[str, float]]:
    """From which host the turn was handed over after `cut_at`, and how many seconds later."""
    return [
        (whence, round(when - cut_at, 1))
        for heard, (whence, when) in zip(run.agents.heard, run.agents.came, strict=True)
        if heard.turn_id == turn_id and when > cut_at
    ]


def carried(record: ledger.Record, turn_id: str) -> int:
    """How many texts that answer the turn the carrier accepted."""
    texts = [text["text"] for taken in record.accepted.values() for text in taken]
    return sum(turn_id in text for text in texts)


def taken(loads: list[Load], begin: float, end: float) -> int:
    return sum(begin <= at < end for load in loads for at in load.taken)


def phases(here: Town, run: Run, loads: dict[Host, list[Load]], marks: list[float]) -> str:
    """Texts a second through each host: before the cut, during it, and after it."""
    arrived = [
        datetime.fromisoformat(text.at).timestamp()
        for texts in here.carrier.known.phones.values() for text in texts if not text.mine
    ]  # fmt: skip
    rows = {
        f"sends taken by {host.address}": [at for load in each for at in load.taken] for host, each in loads.items()
    }
    rows["texts at the carrier"] = arrived
    for host in loads:
        rows[f"turns handed over by {host.address}"] = [
            when for whence, when in run.agents.came if whence == host.address
        ]
    lines = ["| per second | before | one cut off | back |", "|---|---|---|---|"]
    for name, times in rows.items():
        rates = [
            sum(begin <= at < end for at in times) / (end - begin)
            for begin, end in pairwise(marks)
        ]  # fmt: skip
        lines.append(f"| {name} | " + " | ".join(f"{rate:.1f}" for rate in rates) + " |")
    return "\n".join(lines)
