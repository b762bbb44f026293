"""`dev`: the service with a tenant for one agent, and a terminal or a script that plays the lead.

Everything is its own: databases in a folder of their own, ports that were free. A database of the
environment is never touched.
"""

import asyncio
import base64
import fcntl
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import uvicorn

from app.access.sealing import Seal
from app.demo.carrier import build_app
from app.demo.data import NUMBER, Api
from app.dev import tenant as dev_tenant
from app.dev.conversation import Conversation
from app.dev.play import Player
from app.dev.script import ScriptedConversation
from app.dev.tenant import DevTenant
from app.dev.terminal import Terminal
from app.embedded.processes import find_free_port
from app.operations.up import LOOPBACK, RunningService, create_tenant, raise_interrupt, run_service
from app.resources import open_database
from app.settings import ConfigurationError, Settings
from app.store import directory, moved_time
from app.store.clock import AT_ONCE, Clock, turn_hint
from app.store.schema import SmsAgent

HOST = "127.0.0.1"
NOT_OURS = ("database_url", "redis_url", "secret_keys", "public_base_url")
"""What the environment may say of another installation."""
PRIVATE_NETWORKS = f"{LOOPBACK},10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,fc00::/7"
"""An agent in a container, or on another machine of the office, may be tried too."""
MIN_SECRET_BYTES = 24
START_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class RunningDev:
    """The service of `dev`, with its tenant and the carrier on which leads write."""

    service: RunningService
    tenant: DevTenant
    carrier_url: str

    @property
    def api(self) -> Api:
        return Api(self.service.url, self.tenant.api_key)

    def move_time(self, lead_id: str, seconds: float) -> None:
        """Makes all in the lead's threads so much older: what is to happen later happens sooner."""
        asyncio.run(_move_time(self.service.env, self.tenant.tenant_id, lead_id, timedelta(seconds=seconds)))


async def _move_time(env: Mapping[str, str], tenant_id: str, lead_id: str, by: timedelta) -> None:
    async with open_database(env["DATABASE_URL"]) as database, database.system_tx() as tx:
        threads = await moved_time.make_older(tx, tenant_id, lead_id, by)
    clock = Clock(env["REDIS_URL"])
    clock.hint({turn_hint(*thread): AT_ONCE for thread in threads})
    await clock.close()


def run_terminal(settings: Settings, agent_url: str, secret_file: Path | None) -> int:
    """Runs the terminal until `:quit`, Ctrl-D, Ctrl-C or SIGTERM (status 0)."""
    signal.signal(signal.SIGTERM, raise_interrupt)
    try:
        with run_dev(settings, agent_url, secret_file) as dev:
            print(format_greeting(dev, agent_url), flush=True)
            history_file = _get_folder(settings) / "history"
            Terminal(lambda: Conversation(dev.api, dev.carrier_url), history_file).run()
    except KeyboardInterrupt:
        pass
    return 0


def run_script(
    settings: Settings, agent_url: str, secret_file: Path | None, conversations: list[ScriptedConversation]
) -> int:
    """Plays the conversations. Returns 1 if a step failed."""
    signal.signal(signal.SIGTERM, raise_interrupt)
    with run_dev(settings, agent_url, secret_file) as dev:
        return int(Player(dev.api, dev.carrier_url, dev.move_time).play_all(conversations) > 0)


def format_greeting(dev: RunningDev, agent_url: str) -> str:
    """What the builder of an agent needs to know at the start."""
    return f"""
Turns go to {agent_url}. Your agent checks signatures with this secret, which stays the same:

  AGENT_SECRET={dev.tenant.agent_secret}

The page: {dev.service.url}/conversations
  sign in as {dev.tenant.email} with {dev.tenant.password}

Write as the lead. :help lists the commands, Ctrl-D ends.
"""


@contextmanager
def run_dev(settings: Settings, agent_url: str, secret_file: Path | None) -> Iterator[RunningDev]:
    """Starts everything for the agent at `agent_url`, and stops it at the end of the block. Raises
    `ConfigurationError` and `EmbeddedError`."""
    own_settings = settings.model_copy(
        update=dict.fromkeys(NOT_OURS) | {"data_dir": _get_folder(settings), "host": HOST, "port": find_free_port()}
    )
    given_secret = read_secret(secret_file) if secret_file and secret_file.exists() else None
    print("Starting databases, web, worker and a simulated carrier …", flush=True)
    with (
        _hold_folder(own_settings.data_dir),
        (own_settings.data_dir / "dev.log").open("wb") as log_file,
        run_service(own_settings, log_file, PRIVATE_NETWORKS) as service,
    ):
        carrier_url = f"http://{HOST}:{find_free_port()}"
        tenant = _prepare_tenant(own_settings, service, carrier_url, agent_url, given_secret)
        if secret_file and not given_secret:
            _write_secret(secret_file, tenant.agent_secret)
        with _serve_carrier(tenant, service.url, carrier_url):
            yield RunningDev(service, tenant, carrier_url)


def _get_folder(settings: Settings) -> Path:
    return settings.data_dir / "dev"


@contextmanager
def _hold_folder(folder: Path) -> Iterator[None]:
    """Keeps a second `dev` away from the folder. Raises `ConfigurationError`."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o711)
    with (folder / "dev.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConfigurationError(f"another dev runs in {folder}; end it, or set another DATA_DIR") from None
        yield


def read_secret(file: Path) -> str:
    """Raises `ConfigurationError` for what is no secret of Standard Webhooks."""
    try:
        secret = file.read_text().strip()
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except (OSError, ValueError):
        secret, key = "", b""
    if not secret.startswith("whsec_") or len(key) < MIN_SECRET_BYTES:
        raise ConfigurationError(
            f"--secret-file: {file} must hold whsec_ and base64 of at least {MIN_SECRET_BYTES} bytes"
        )
    return secret


def _write_secret(file: Path, secret: str) -> None:
    file.touch(mode=0o600)
    file.write_text(f"{secret}\n")


def _prepare_tenant(
    settings: Settings, service: RunningService, carrier_url: str, agent_url: str, given_secret: str | None
) -> DevTenant:
    """The tenant of the run before, pointed to these addresses, or a new one; with the given secret."""
    file = settings.data_dir / "tenant.json"
    tenant = DevTenant.read(file) if file.exists() else None
    if tenant and dev_tenant.is_known(Api(service.url, tenant.api_key)):
        dev_tenant.reset_tenant(tenant, Api(service.url, tenant.api_key), carrier_url, agent_url)
    else:
        new_tenant = DevTenant(*create_tenant("Dev", service.env))
        tenant = dev_tenant.fill_tenant(new_tenant, Api(service.url, new_tenant.api_key), carrier_url, agent_url)
    if given_secret and given_secret != tenant.agent_secret:
        asyncio.run(_set_secret(service.env, tenant, given_secret))
        tenant = replace(tenant, agent_secret=given_secret)
    tenant.write(file)
    return tenant


async def _set_secret(env: Mapping[str, str], tenant: DevTenant, secret: str) -> None:
    seal = Seal([base64.urlsafe_b64decode(env["SECRET_KEYS"])])
    async with open_database(env["DATABASE_URL"]) as database, database.system_tx() as tx:
        sealed_secret = seal.close(secret.encode())
        await directory.rotate_secret(tx, SmsAgent, tenant.tenant_id, tenant.agent_id, sealed_secret, timedelta())


@contextmanager
def _serve_carrier(tenant: DevTenant, api_url: str, carrier_url: str) -> Iterator[None]:
    """The simulated carrier, in a thread of this process: a process would take a second to start."""
    inbound_url = f"{api_url}/webhooks/simulator/{tenant.account_id}/inbound"
    app = build_app(tenant.carrier_secret, {NUMBER: inbound_url})
    port = int(carrier_url.rpartition(":")[2])
    server = uvicorn.Server(uvicorn.Config(app, host=HOST, port=port, log_level="warning", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + START_SECONDS
    while not server.started:
        if time.monotonic() > deadline or not thread.is_alive():
            raise ConfigurationError("the simulated carrier did not start")
        time.sleep(0.02)
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(START_SECONDS)
