"""Everything in one terminal: web, worker, and the demo tenant with its simulated carrier and agent.
Databases are embedded unless the environment names some."""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import IO

import httpx

from app import embedded
from app.demo import data, http_clients
from app.demo.story import tell_story
from app.operations.migrations import migrate_to_head
from app.settings import ConfigurationError, Settings

READY_SECONDS = 60.0
STOP_SECONDS = 25.0
FILL_SECONDS = 15.0
SECRET_FILE_VARIABLES = {f"{name}_FILE" for name in ("DATABASE_URL", "REDIS_URL", "SECRET_KEYS")}
LOOPBACK = "127.0.0.0/8,::1/128"
Output = IO[bytes] | int | None
"""Where processes write: a file, `DEVNULL`, or None for where we write ourselves."""


@dataclass(frozen=True, slots=True)
class RunningStack:
    """A running service with its demo: its URL, the demo's sign-in and keys, its processes."""

    url: str
    demo: data.Demo
    processes: Mapping[str, subprocess.Popen[bytes]]


@dataclass(frozen=True, slots=True)
class RunningService:
    """The service without a demo: its URL, the environment of its processes, and the processes."""

    url: str
    env: Mapping[str, str]
    processes: dict[str, subprocess.Popen[bytes]]
    """Those that are added end with the service."""


@contextmanager
def run_service(settings: Settings, output: Output = None, networks: str = LOOPBACK) -> Iterator[RunningService]:
    """Starts databases, web and worker, and stops them at the end of the block. `networks` may be reached
    although they are private, unless the environment names others. Raises `ConfigurationError`, and
    `EmbeddedError` if an embedded server does not start."""
    # 0711: the servers may run as another account, which must enter the folder but not list it.
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o711)
    with ExitStack() as exit_stack:
        # What we read from a file is handed on as a value, and not twice.
        env = {name: value for name, value in os.environ.items() if name not in SECRET_FILE_VARIABLES} | {
            "DATABASE_URL": settings.database_url
            or exit_stack.enter_context(embedded.serve_postgres(settings.data_dir)).url,
            "REDIS_URL": settings.redis_url or exit_stack.enter_context(embedded.serve_valkey(settings.data_dir)).url,
            "SECRET_KEYS": _get_secret_keys(settings),
            "ALLOWED_PRIVATE_NETWORKS": os.environ.get("ALLOWED_PRIVATE_NETWORKS") or networks,
            "HOST": settings.host,
            "PORT": str(settings.port),
            "PUBLIC_BASE_URL": settings.base_url,
        }
        migrate_to_head(env["DATABASE_URL"])  # in this process, because another one would take seconds to start
        processes: dict[str, subprocess.Popen[bytes]] = {}
        exit_stack.callback(stop_processes, processes)
        for name in ("web", "worker"):
            processes[name] = start_process(["-m", "app", name], env, output)
        url = f"http://{settings.host}:{settings.port}"
        wait_until_ready(url, processes)
        yield RunningService(url, env, processes)


@contextmanager
def run_stack(settings: Settings, quiet: bool = False) -> Iterator[RunningStack]:
    """Starts the service with its demo, and stops all at the end of the block. Raises as
    `run_service`."""
    carrier_port, agent_port = settings.port + 1, settings.port + 2
    for port in (settings.port, carrier_port, agent_port):
        require_free_port(settings.host, port)
    output = subprocess.DEVNULL if quiet else None
    with run_service(settings, output) as service:
        ports = data.Addresses(
            api=service.url,
            carrier=f"http://{settings.host}:{carrier_port}",
            agent=f"http://{settings.host}:{agent_port}",
        )
        demo = prepare_demo(settings, service.env, ports)
        file = str(data.get_demo_file(settings.data_dir))
        for name in ("carrier", "agent"):
            service.processes[name] = start_process(["-m", f"app.demo.{name}", file], service.env, output)
        for name, address in (("carrier", ports.carrier), ("agent", ports.agent)):
            wait_for(f"{address}/health", service.processes, name)
        yield RunningStack(service.url, demo, service.processes)


def prepare_demo(settings: Settings, env: Mapping[str, str], ports: data.Addresses) -> data.Demo:
    """The demo tenant: the existing one, moved to these addresses, or a new one."""
    file = data.get_demo_file(settings.data_dir)
    if file.exists():
        current_demo = data.Demo.read(file)
        if data.is_still_valid(current_demo, ports):
            return data.move_demo(current_demo, ports, file)
    tenant_id, api_key, email, password = create_tenant("Demo", env)
    return data.fill_tenant(tenant_id, api_key, email, password, ports, file)


def create_tenant(name: str, env: Mapping[str, str]) -> tuple[str, str, str, str]:
    """A new tenant: its id and its first key, and the e-mail address and the password of a person."""
    tenant_data = json.loads(run_command(["tenant", "create", "--name", name], env))
    password = secrets.token_urlsafe(9)
    email = f"{name.lower()}-{tenant_data['tenantId'][-6:]}@example.com"
    person = ["user", "create", "--tenant", tenant_data["tenantId"], "--email", email, "--password-stdin"]
    run_command(person, env, input_text=password)
    return tenant_data["tenantId"], tenant_data["apiKey"], email, password


def run_up(settings: Settings) -> int:
    """Runs until Ctrl-C or SIGTERM (status 0), or until one of the processes ends (status 1)."""
    signal.signal(signal.SIGTERM, raise_interrupt)
    try:
        with run_stack(settings) as running_stack:
            print(format_greeting(running_stack), flush=True)
            while all(process.poll() is None for process in running_stack.processes.values()):
                time.sleep(0.3)
            ended_names = [name for name, p in running_stack.processes.items() if p.poll() is not None]
            print(f"{', '.join(ended_names)} ended; stopping the rest", file=sys.stderr)
            return 1
    except KeyboardInterrupt:
        return 0


def format_greeting(running_stack: RunningStack) -> str:
    """The addresses and the sign-in for a person, and a command to paste."""
    demo = running_stack.demo
    return f"""
LeadSail SMS is up.

  Conversations   {running_stack.url}/conversations
                  sign in as {demo.email} with {demo.password}
  API and docs    {running_stack.url}/docs
                  X-API-Key: {demo.api_key}
  The lead's phone (simulated carrier)   {demo.addresses.carrier}/

Send a text to the demo lead:

  curl -s {running_stack.url}/api/v1/sms/send -H 'X-API-Key: {demo.api_key}' \\
    -H 'Content-Type: application/json' \\
    -d '{{"leadId": "{data.LEAD_ID}", "message": "Hi Jane, following up on your inquiry."}}'

Ctrl-C stops everything."""


def raise_interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _get_secret_keys(settings: Settings) -> str:
    if settings.secret_keys:
        return settings.secret_keys.get_secret_value()
    file = settings.data_dir / "secret_keys"
    if not file.exists():
        data.write_private(file, urlsafe_b64encode(secrets.token_bytes(32)).decode())
    return file.read_text().strip()


def require_free_port(host: str, port: int) -> None:
    """Raises `ConfigurationError` if the port is taken."""
    if not is_port_free(host, port):
        raise ConfigurationError(f"port {port} on {host} is taken; choose another with PORT=…")


def is_port_free(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def run_command(command: list[str], env: Mapping[str, str], input_text: str = "") -> str:
    """Runs `python -m app COMMAND` and returns its output. Raises `ConfigurationError` if it fails."""
    process = subprocess.run(  # noqa: S603  # our own interpreter and module
        [sys.executable, "-m", "app", *command],
        env=dict(env),
        input=input_text.encode(),
        stdout=subprocess.PIPE,
        check=False,
    )
    if process.returncode:
        raise ConfigurationError(f"`{' '.join(command[:2])}` failed")
    return process.stdout.decode()


def start_process(arguments: list[str], env: Mapping[str, str], output: Output) -> subprocess.Popen[bytes]:
    """Starts a Python process in a process group of its own: Ctrl-C does not reach it directly, and
    we stop the processes in order."""
    return subprocess.Popen(  # noqa: S603
        [sys.executable, *arguments],
        env=dict(env),
        process_group=0,
        stdout=output,
        stderr=output,
        preexec_fn=embedded.die_with_parent,
    )


def stop_processes(processes: Mapping[str, subprocess.Popen[bytes]]) -> None:
    """Asks all processes to stop, and kills those that have not after `STOP_SECONDS`."""
    for process in processes.values():
        process.terminate()
    deadline = time.monotonic() + STOP_SECONDS
    for process in processes.values():
        try:
            process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_until_ready(url: str, processes: Mapping[str, subprocess.Popen[bytes]]) -> None:
    wait_for(f"{url}/health/ready", processes, "web")


def wait_for(url: str, processes: Mapping[str, subprocess.Popen[bytes]], name: str) -> None:
    """Returns when `url` answers 200. Raises `ConfigurationError` if the process `name` ends or that
    does not happen within `READY_SECONDS`."""
    deadline = time.monotonic() + READY_SECONDS
    with http_clients.build_blocking_client(timeout=2) as client:
        while time.monotonic() < deadline and processes[name].poll() is None:
            try:
                if client.get(url).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.05)
    raise ConfigurationError(f"{name} did not become ready; its log says why")


def run_demo(settings: Settings, story: bool) -> int:
    """Fills the demo tenant of a running `up`, or starts everything, fills it and stops again. With
    `story`, plays a whole conversation. Returns the exit status."""
    running_demo = _find_running_or_wait(settings)
    if running_demo is not None:
        return tell_story(running_demo) if story else _print_sign_in(running_demo)
    with run_stack(settings, quiet=True) as running_stack:
        return tell_story(running_stack.demo) if story else _print_sign_in(running_stack.demo)


def _print_sign_in(demo: data.Demo) -> int:
    print(f"the demo tenant is filled: sign in as {demo.email} with {demo.password}")
    return 0


def _find_running_or_wait(settings: Settings) -> data.Demo | None:
    """`find_running_demo`, but waits up to `FILL_SECONDS` for an `up` that has the port and is still
    filling its demo."""
    deadline = time.monotonic() + FILL_SECONDS
    while True:
        running_demo = find_running_demo(settings)
        if running_demo or is_port_free(settings.host, settings.port) or time.monotonic() > deadline:
            return running_demo
        time.sleep(0.5)


def find_running_demo(settings: Settings) -> data.Demo | None:
    """The demo of a running `up` with this data directory; None if there is none."""
    file = data.get_demo_file(settings.data_dir)
    if not file.exists():
        return None
    current_demo = data.Demo.read(file)
    return current_demo if data.is_still_valid(current_demo, current_demo.addresses) else None
