"""The command line: `python -m app COMMAND`, installed as `leadsail-sms COMMAND`.

A module that only one command needs is imported by that command: `up` starts several processes and
must not wait for imports that they do not use.
"""

import argparse
import asyncio
import gc
import json
import re
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import asyncpg

from app import log, settings, traces
from app.access import keys, passwords
from app.access.sealing import Seal
from app.commands import api_keys, tenants
from app.domain import ids
from app.domain.callers import Caller
from app.domain.problems import Problem, Unavailable
from app.domain.words import PERSON_ROLES
from app.resources import open_database, open_resources, unseal_phones
from app.settings import ConfigurationError, Settings
from app.store import tenants as tenants_store
from app.store.engine import Database

if TYPE_CHECKING:
    from app.operations import imports

T = TypeVar("T")
MAX_NAME_LENGTH, MAX_EMAIL_LENGTH = 200, 320
EMAIL_PATTERN = re.compile(r"[^@\s]+@[^@\s]+")
KEY_SCOPES = ("admin", "api", "agent", "read")
STOP_SECONDS = 15
"""How long running requests may take after a stop was requested."""
INTERRUPTED_STATUS = 130
"""The exit status after Ctrl-C."""
KEEP_ALIVE_SECONDS = 75
"""How long an idle connection stays open: longer than balancers and clients keep theirs, so they
close it and not we. If we closed it when it is used again, the request would be lost."""


class CommandError(Exception):
    """The command cannot be carried out. The message says why."""


def run_command(arguments: list[str] | None = None) -> int:
    """Runs one command and returns its exit status. A failure is one line on stderr."""
    options = _build_parser().parse_args(arguments)
    try:
        configuration = settings.load()
        log.configure(configuration.is_production, configuration.log_level)
        status: int = options.does(configuration, options)
    except ConfigurationError as error:
        return _print_failure(str(error), 2)
    except CommandError as error:
        return _print_failure(str(error), 1)
    except Unavailable:
        return _print_failure("the database at DATABASE_URL is unavailable", 1)
    except asyncpg.PostgresError as error:
        return _print_failure(f"the database refused a statement: {error}", 1)
    except Problem as problem:
        return _print_failure(" ".join([problem.message, *problem.details]), 1)
    except KeyboardInterrupt:
        return INTERRUPTED_STATUS
    return status


def main() -> None:
    sys.exit(run_command())


def _print_failure(why: str, status: int) -> int:
    print(f"leadsail-sms: {why}", file=sys.stderr)
    return status


# Processes.


def run_web(configuration: Settings, _: argparse.Namespace) -> int:
    settings.require_servers(configuration)
    trace_export = traces.export_traces(configuration, "web")
    with trace_export, asyncio.Runner(loop_factory=_get_loop_factory()) as runner:
        return runner.run(_serve_web(configuration))


async def _serve_web(configuration: Settings) -> int:
    import uvicorn

    from app.main import Server, build_app

    # Opened here and not by the application, so that a failure is reported in one line.
    async with open_resources(configuration) as resources:
        server = Server(
            uvicorn.Config(
                build_app(configuration, resources),
                host=configuration.host,
                port=configuration.port,
                http="httptools",
                lifespan="on",
                log_config=None,
                access_log=False,  # app.web logs requests itself
                server_header=False,
                proxy_headers=False,  # addresses come from PUBLIC_BASE_URL
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=STOP_SECONDS,
            ),
            configuration.linger_seconds,
        )

        gc.freeze()  # start-up objects stay: the collector need not visit them while requests wait
        # For the time before and after serving; while it serves, uvicorn sets the same handlers.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, server.handle_exit)
        await server.serve()
    return 0 if server.started else 1


def _get_loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if sys.platform == "win32":
        return None
    import uvloop

    return uvloop.new_event_loop


def run_worker(configuration: Settings, options: argparse.Namespace) -> int:
    from app import worker as process

    settings.require_servers(configuration)
    with asyncio.Runner(loop_factory=_get_loop_factory()) as runner:
        runner.run(process.run(configuration, options.drain))
    return 0


def run_doctor(configuration: Settings, options: argparse.Namespace) -> int:
    from app.operations.doctor import examine_all

    settings.require_servers(configuration)

    async def print_findings() -> int:
        bad_count = 0
        async for finding in examine_all(configuration, not options.offline):
            print(finding)
            bad_count += finding.severity == "BAD"
        return int(bad_count > 0)

    return asyncio.run(print_findings())


def run_up(configuration: Settings, _: argparse.Namespace) -> int:
    if configuration.is_production:
        raise ConfigurationError("up starts a demo and is refused in production: run web and worker")
    from app.operations import up

    return up.run_up(configuration)


def run_demo(configuration: Settings, options: argparse.Namespace) -> int:
    if configuration.is_production:
        raise ConfigurationError("demo is refused in production")
    from app.operations import up

    return up.run_demo(configuration, story=options.story)


# The database.


def migrate_database(configuration: Settings, _: argparse.Namespace) -> int:
    if not configuration.database_url:
        raise ConfigurationError("DATABASE_URL is required")
    from app.operations.migrations import migrate_to_head

    migrate_to_head(configuration.database_url)
    return 0


def settle_restored(configuration: Settings, _: argparse.Namespace) -> int:
    from app.commands import restored

    async def settle_all(database: Database) -> dict[str, str]:
        text_count, turn_count = await restored.settle_restored(database)
        return {"textsAskedFor": str(text_count), "turnsClosed": str(turn_count)}

    return _run_and_print(configuration, settle_all)


def reseal_secrets(configuration: Settings, _: argparse.Namespace) -> int:
    from app.access import reseal

    lost_count = 0

    async def reseal_all(database: Database) -> dict[str, str]:
        nonlocal lost_count
        counts = await reseal.count_sealed(database, Seal(configuration.decode_sealing_keys()), reseal=True)
        lost_count = counts.unreadable
        return {
            "resealed": str(counts.older),
            "newest": str(counts.newest),
            "lost": str(counts.unreadable),
        }

    return _run_and_print(configuration, reseal_all) or int(lost_count > 0)


# Tenants, keys, people.


def create_tenant(configuration: Settings, options: argparse.Namespace) -> int:
    name = _check_name(options.name)

    async def create_all(database: Database) -> dict[str, str]:
        new_key = keys.make()
        async with database.system_tx() as tx:
            tenant_id = await tenants.add(tx, name)
            caller = Caller(tenant_id, "service", "service", "admin")
            await api_keys.add(tx, caller, "First key", "admin", None, new_key.prefix, new_key.digest)
        return {"tenantId": tenant_id, "apiKey": new_key.full_key}

    return _run_and_print(configuration, create_all)


def _check_name(name: str) -> str:
    """The name, by the API's rule for names. Raises `CommandError`."""
    if not name.strip() or len(name) > MAX_NAME_LENGTH:
        raise CommandError(f"--name must have 1 to {MAX_NAME_LENGTH} characters")
    return name


def create_key(configuration: Settings, options: argparse.Namespace) -> int:
    name = _check_name(options.name)

    async def create_row(database: Database) -> dict[str, str]:
        new_key = keys.make()
        caller = Caller(options.tenant, "service", "service", "admin")
        await _require_tenant(database, options.tenant)
        async with database.system_tx() as tx:
            row = await api_keys.add(tx, caller, name, options.scope, options.agent, new_key.prefix, new_key.digest)
        return {"keyId": row.key_id, "apiKey": new_key.full_key}

    return _run_and_print(configuration, create_row)


def create_user(configuration: Settings, options: argparse.Namespace) -> int:
    password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        raise CommandError("there is no password on stdin")
    email = options.email.strip()
    if len(email) > MAX_EMAIL_LENGTH or not EMAIL_PATTERN.fullmatch(email):
        raise CommandError("--email is not an e-mail address")

    async def create_row(database: Database) -> dict[str, str]:
        await _require_tenant(database, options.tenant)
        password_hash = await passwords.hash_password(password)
        async with database.system_tx() as tx:
            user_id = await tenants_store.add_user(
                tx, options.tenant, ids.make("user"), email, password_hash, options.role
            )
        if user_id is None:
            raise CommandError("a person with this e-mail address exists already")
        return {"userId": user_id}

    return _run_and_print(configuration, create_row)


def import_leads(configuration: Settings, options: argparse.Namespace) -> int:
    from app.operations import imports

    async def import_file(database: Database, report: imports.ImportReport) -> None:
        caller = Caller(options.tenant, "service", "service", "admin")
        await _require_tenant(database, options.tenant)
        await imports.import_leads(database, caller, options.file, options.campaign, report)

    return _run_import(configuration, options, import_file)


def import_suppressions(configuration: Settings, options: argparse.Namespace) -> int:
    from app.operations import imports

    async def import_file(database: Database, report: imports.ImportReport) -> None:
        caller = Caller(options.tenant, "service", "service", "admin")
        await _require_tenant(database, options.tenant)
        await imports.import_suppressions(database, caller, options.file, options.reason, report)

    return _run_import(configuration, options, import_file)


def _run_import(
    configuration: Settings,
    options: argparse.Namespace,
    import_file: "Callable[[Database, imports.ImportReport], Awaitable[None]]",
) -> int:
    """Runs an import, and prints its report even if the import fails."""
    from app.operations.imports import ImportReport, UnreadableFile

    if not options.file.is_file():
        raise CommandError(f"there is no file {options.file}")
    report = ImportReport()
    try:
        _with_database(configuration, lambda database: import_file(database, report))
    except UnreadableFile as error:
        raise CommandError(f"{options.file}: {error}") from None
    finally:
        if report.up_to_line:
            _print_report(report)
    if not report.is_complete:
        return INTERRUPTED_STATUS
    return int(bool(report.refused_rows))


def _print_report(report: "imports.ImportReport") -> None:
    counts = {"taken": str(report.taken_count), "refused": str(len(report.refused_rows))}
    print(json.dumps(counts if report.is_complete else {**counts, "upToLine": str(report.up_to_line)}))
    for line, why in report.refused_rows:
        print(f"line {line}: {why}", file=sys.stderr)
    if report.is_complete:
        return
    message = f"stopped: up to line {report.up_to_line}, each row was taken or is reported above"
    last_line = max(report.up_to_line, report.begun_up_to_line)
    if last_line > report.up_to_line:
        message += f"; it is not known whether lines {report.up_to_line + 1} to {last_line} were taken"
    print(f"{message}; no row after line {last_line} was taken", file=sys.stderr)


async def _require_tenant(database: Database, tenant_id: str) -> None:
    async with database.system_tx() as tx:
        if await tenants_store.get(tx, tenant_id) is None:
            raise CommandError("there is no tenant with this id")


def _run_and_print(configuration: Settings, build_answer: Callable[[Database], Awaitable[dict[str, str]]]) -> int:
    """Runs `build_answer` on the database and prints its result as one JSON object."""
    print(json.dumps(_with_database(configuration, build_answer)))
    return 0


def _with_database(configuration: Settings, work: Callable[[Database], Awaitable[T]]) -> T:
    if not configuration.database_url:
        raise ConfigurationError("DATABASE_URL is required")
    url = configuration.database_url

    async def run_work() -> T:
        async with open_database(url) as database:
            await unseal_phones(database, Seal(configuration.decode_sealing_keys()))
            return await work(database)

    return asyncio.run(run_work())


class VersionAction(argparse.Action):
    """Prints the version and ends. It is looked up then: no other command waits for it."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from app.operations.version import find_version

        print(f"leadsail-sms {find_version()}")
        parser.exit()


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="leadsail-sms", description="LeadSail SMS")
    parser.add_argument("--version", action=VersionAction, nargs=0, help="which version this is")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add_command(
        subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]",
        name: str,
        does: Callable[[Settings, argparse.Namespace], int],
        about: str,
    ) -> argparse.ArgumentParser:
        parser = subparsers.add_parser(name, help=about, description=about)
        parser.set_defaults(does=does)
        return parser

    def add_group(name: str, about: str) -> "argparse._SubParsersAction[argparse.ArgumentParser]":
        parser = commands.add_parser(name, help=about, description=about)
        return parser.add_subparsers(required=True, metavar="VERB")

    add_command(commands, "up", run_up, "start everything in one terminal, with a demo")
    add_command(commands, "web", run_web, "run one web process")
    worker_parser = add_command(commands, "worker", run_worker, "run one worker")
    worker_parser.add_argument("--drain", action="store_true", help="do what is due, then end")
    add_command(commands, "migrate", migrate_database, "migrate the database to the newest schema")
    add_command(
        commands,
        "restored",
        settle_restored,
        "run after a restore, before any worker: unsent texts are looked up before they are sent",
    )
    add_command(commands, "reseal", reseal_secrets, "seal all secrets again with the first of SECRET_KEYS")
    doctor_parser = add_command(commands, "doctor", run_doctor, "check the installation and say what is wrong")
    doctor_parser.add_argument("--offline", action="store_true", help="do not ask the carriers")
    tenant_parser = add_command(
        add_group("tenant", "manage organizations"),
        "create",
        create_tenant,
        "create a tenant and its first key",
    )
    tenant_parser.add_argument("--name", required=True)
    key_parser = add_command(
        add_group("key", "manage API keys"), "create", create_key, "create an API key, which is shown once"
    )
    key_parser.add_argument("--tenant", required=True, metavar="ID")
    key_parser.add_argument("--name", required=True)
    key_parser.add_argument("--scope", choices=KEY_SCOPES, default="api")
    key_parser.add_argument("--agent", metavar="ID", help="the agent that the key belongs to; with --scope agent")
    user_parser = add_command(
        add_group("user", "manage people who sign in"),
        "create",
        create_user,
        "create a person who may sign in",
    )
    user_parser.add_argument("--tenant", required=True, metavar="ID")
    user_parser.add_argument("--email", required=True)
    user_parser.add_argument("--password-stdin", required=True, action="store_true")
    user_parser.add_argument(
        "--role", choices=PERSON_ROLES, help="default: admin for the tenant's first person, else member"
    )
    leads_parser = add_command(
        add_group("leads", "import leads from elsewhere"),
        "import",
        import_leads,
        "import leads from a CSV file; of a known lead only the columns of the file are changed, and an empty cell"
        " changes nothing",
    )
    leads_parser.add_argument("file", type=Path)
    leads_parser.add_argument("--tenant", required=True, metavar="ID")
    leads_parser.add_argument(
        "--campaign",
        metavar="ID",
        help="the campaign of all rows, for new and known leads; overrides the column campaignId",
    )
    suppressions_parser = add_command(
        add_group("suppressions", "import opt-outs from elsewhere"),
        "import",
        import_suppressions,
        "import phones that opted out, from a CSV file",
    )
    suppressions_parser.add_argument("file", type=Path)
    suppressions_parser.add_argument("--tenant", required=True, metavar="ID")
    suppressions_parser.add_argument("--reason")
    demo_parser = add_command(commands, "demo", run_demo, "fill the demo tenant")
    demo_parser.add_argument("--story", action="store_true", help="play a whole conversation")
    return parser
