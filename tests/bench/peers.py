"""`ONLY=peers`: sends a second and processor time beside Kannel's and Jasmin's, which nobody here wrote.

All run at once and have their slices in turn. Each is set up as its documentation says, with its own store on,
and without a carrier: texts are only taken. They know no tenants, leads or threads, resolve nothing, and answer
before anything is on disk; ours is committed when it is answered. A peer that is not installed, or does not start,
is skipped, and its row says why.

Kannel: Debian's `kannel`. Jasmin: `rabbitmq-server` of Debian, and jasmin's sdist, which alone has the
files it starts with, installed into an environment of its own; `JASMIN` names the unpacked folder, and
`PATH` leads to its jasmind.py.
"""

import os
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from itertools import chain, cycle
from pathlib import Path
from subprocess import DEVNULL, Popen, run
from urllib.parse import urlencode, urlsplit

from tests.bench import servers
from tests.bench.figures import ROUNDS, SECONDS, Figure, ratio
from tests.bench.load import Run, drive
from tests.bench.processor import cost_figure
from tests.bench.sends import none_refused, requests, told
from tests.bench.servers import Bench

KANNEL = """
group = core
admin-port = {admin}
admin-password = bench
smsbox-port = {boxes}
box-deny-ip = "*.*.*.*"
box-allow-ip = "127.0.0.1"
store-type = spool
store-location = "{folder}"

group = smsc
smsc = fake
smsc-id = fake
port = {carrier}
connect-allow-ip = 127.0.0.1

group = smsbox
bearerbox-host = 127.0.0.1
sendsms-port = {port}
global-sender = 13013

group = sendsms-user
username = bench
password = bench
"""
RABBITMQ = "/usr/lib/rabbitmq/bin/rabbitmq-server"
JASMIN_SETUP = """jcliadmin
jclipwd
smppccm -a
cid bench
ok
mtrouter -a
type DefaultRoute
connector smppc(bench)
rate 0.0
ok
group -a
gid bench
ok
user -a
username bench
password bench
gid bench
uid bench
ok
quit
"""
"""What its guide says by telnet: a connector to a carrier, a route to it, and a user."""
TEXT = "Hi, following up on your inquiry."


class DoesNotStart(Exception):
    """A program of a peer."""


@contextmanager
def kannel(_: Bench) -> Iterator[int]:
    """Kannel's two boxes; a text is a file in its spool until a carrier takes it."""
    with tempfile.TemporaryDirectory(prefix="kannel-") as folder, ExitStack() as stack:
        port = servers.free_port()
        ports = {name: servers.free_port() for name in ("admin", "boxes", "carrier")}
        configuration = Path(folder, "kannel.conf")
        configuration.write_text(KANNEL.format(folder=folder, port=port, **ports))
        for box, its_port in (("bearerbox", ports["boxes"]), ("smsbox", port)):
            stack.enter_context(_started([box, "-v", "4", str(configuration)], its_port))
        yield port


@contextmanager
def jasmin(bench: Bench) -> Iterator[int]:
    """Jasmin with a RabbitMQ of its own, where a text waits for a carrier, and with our Valkey."""
    with tempfile.TemporaryDirectory(prefix="jasmin-") as folder, ExitStack() as stack:
        http, jcli, broker, smpp, pb, names = (str(servers.free_port()) for _ in range(6))
        rabbit = {
            "HOME": folder, "RABBITMQ_NODENAME": f"bench{broker}@localhost", "RABBITMQ_NODE_PORT": broker,
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1", "RABBITMQ_MNESIA_BASE": folder, "RABBITMQ_LOG_BASE": folder,
            "RABBITMQ_DIST_PORT": str(servers.free_port()), "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/plugins",
            "ERL_EPMD_ADDRESS": "127.0.0.1", "ERL_EPMD_PORT": names,
        }  # fmt: skip
        stack.callback(run, ["epmd", "-port", names, "-kill"], stdout=DEVNULL, check=False)  # Erlang leaves it behind
        stack.enter_context(_started([RABBITMQ], int(broker), rabbit))
        valkey = urlsplit(bench.redis_url)
        settings = {
            "CONFIG_PATH": f"{os.environ['JASMIN']}/misc/config", "LOG_PATH": folder, "AMQP_BROKER_PORT": broker,
            "HTTP_API_PORT": http, "JCLI_PORT": jcli, "SMPP_SERVER_PORT": smpp, "CLIENT_MANAGEMENT_PORT": pb,
            "REDIS_CLIENT_PORT": str(valkey.port), "REDIS_CLIENT_PASSWORD": valkey.password or "",
        }  # fmt: skip
        stack.enter_context(_started(["jasmind.py"], int(http), settings))
        with socket.create_connection(("127.0.0.1", int(jcli))) as console:
            for line in JASMIN_SETUP.splitlines():
                console.sendall(f"{line}\r\n".encode())
                time.sleep(0.3)
        yield int(http)


@contextmanager
def _started(command: list[str], port: int, environment: dict[str, str] | None = None) -> Iterator[None]:
    """Runs the command, from when something listens on the port."""
    running = Popen(command, stdout=DEVNULL, stderr=DEVNULL, env={**os.environ, **(environment or {})})
    try:
        deadline = time.monotonic() + servers.START_SECONDS
        while not _listens(port):
            if running.poll() is not None or time.monotonic() > deadline:
                raise DoesNotStart(f"{command[0]} listens on no port after {servers.START_SECONDS:.0f} s, or has ended")
            time.sleep(0.1)
        yield
    finally:
        running.terminate()
        running.wait(30)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@dataclass(frozen=True, slots=True)
class Peer:
    name: str
    path: str
    text: str
    """The name of the parameter."""
    processes: tuple[str, ...]
    """What counts as its cost."""
    start: Callable[[Bench], AbstractContextManager[int]]

    def requests(self) -> Iterator[bytes]:
        """As its clients ask: a GET with everything in the query."""
        queries = (
            urlencode({"username": "bench", "password": "bench", "to": f"1415200{n:04d}", self.text: TEXT})
            for n in range(10_000)
        )
        return cycle([f"GET {self.path}?{query} HTTP/1.1\r\nHost: bench\r\n\r\n".encode() for query in queries])


PEERS = (
    Peer("Kannel", "/cgi-bin/sendsms", "text", ("bearerbox", "smsbox"), kannel),
    Peer("Jasmin", "/send", "content", ("jasmind", "RabbitMQ", "Valkey"), jasmin),
)


def _find_missing(peer: Peer) -> str | None:
    """What a peer lacks to run here."""
    programs = ("bearerbox", "smsbox") if peer.name == "Kannel" else ("jasmind.py", RABBITMQ)
    missing = [program for program in programs if not shutil.which(program)]
    if peer.name == "Jasmin" and "JASMIN" not in os.environ:
        missing.append("the folder JASMIN")
    return ", ".join(missing) or None


async def peers(bench: Bench) -> list[Figure]:
    """64 in flight; in each round one web process of ours and each peer have a slice."""
    figures: list[Figure] = []
    with ExitStack() as stack:
        ours = stack.enter_context(servers.web(bench))
        ports: dict[Peer, int] = {}
        for peer in PEERS:
            if why := _find_missing(peer):
                figures.append(_skip(peer, f"not installed: {why}"))
                continue
            try:
                ports[peer] = stack.enter_context(peer.start(bench))
            except DoesNotStart as error:
                figures.append(_skip(peer, str(error)))
        mine, theirs = await _alternate(bench, ours, ports) if ports else ([], {})
    for peer, runs in theirs.items():
        figures += _compare(peer, mine, runs)
    if mine:
        figures.append(cost_figure("send beside peers", "text", [run.cost for run in mine]))
    return figures


async def _alternate(bench: Bench, ours: int, ports: dict[Peer, int]) -> tuple[list[Run], dict[Peer, list[Run]]]:
    mine: list[Run] = []
    theirs: dict[Peer, list[Run]] = {peer: [] for peer in ports}
    sends, asked = requests(bench.leads), {peer: peer.requests() for peer in ports}
    for i in range(ROUNDS + 1):
        mine.append(await drive([ours], sends, 64, SECONDS))
        for peer, port in ports.items():
            theirs[peer].append(await drive([port], asked[peer], 64, SECONDS))
        if i == 0:  # warm
            for runs in (mine, *theirs.values()):
                runs.clear()
    none_refused([*mine, *chain.from_iterable(theirs.values())])
    return mine, theirs


def _compare(peer: Peer, mine: list[Run], theirs: list[Run]) -> list[Figure]:
    rates = [run.per_second for run in mine], [run.per_second for run in theirs]
    return [
        Figure(f"send beside {peer.name}", told(mine), f"{peer.name} {told(theirs)}", ratio(*rates),
               note=f"{peer.name} keeps no threads and resolves nothing"),
        cost_figure(peer.name, "text", [run.cost for run in theirs], parts=peer.processes),
    ]  # fmt: skip


def _skip(peer: Peer, why: str) -> Figure:
    return Figure(f"send beside {peer.name}", "skipped", why, None)
