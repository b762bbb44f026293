"""The command line: `python -m app COMMAND`, installed as `leadsail-sms COMMAND`.

What one command alone needs is imported by it: `up` starts several, and must not wait for
what they do not use.
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
from app.resources import opened, unseal_phones
from app.settings import Misconfigured, Settings
from app.store import readiness
from app.store import tenants as tenants_store
from app.store.clock import Clock
from app.store.engine import Database, connect, driver_url

if TYPE_CHECKING:
    from app import imports

T = TypeVar("T")
LONGEST_NAME, LONGEST_EMAIL = 200, 320
EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
SCOPES = ("admin", "api", "agent", "read")
STOP_WITHIN = 15
"""Seconds that running requests may take once a stop was asked for."""
INTERRUPTED = 130
"""The exit status after Ctrl-C."""
KEEP_ALIVE = 75
"""Seconds that an idle connection stays open: longer than balancers and clients keep theirs, so
that it is they who close it. Closed by us in the moment it is used again, it loses a request."""


class Refused(Exception):
    """The command cannot do what was asked; the text says why."""


def run(arguments: list[str] | None = None) -> int:
    """Runs one command; its exit status. One clear line on stderr when it cannot."""
    asked = _parser().parse_args(arguments)
    try:
        configuration = settings.load()
        log.configure(configuration.production, configuration.log_level)
        status: int = asked.does(configuration, asked)
    except Misconfigured as error:
        return _fail(str(error), 2)
    except Refused as error:
        return _fail(str(error), 1)
    except Unavailable:
        return _fail("the database at DATABASE_URL is away", 1)
    except asyncpg.PostgresError as error:
        return _fail(f"the database refused: {error}", 1)
    except Problem as problem:
        return _fail(" ".join([problem.message, *problem.details]), 1)
    except KeyboardInterrupt:
        return INTERRUPTED
    return status


def main() -> None:
    sys.exit(run())


def _fail(why: str, status: int) -> int:
    print(f"leadsail-sms: {why}", file=sys.stderr)
    return status


# Processes.


def web(configuration: Settings, _: argparse.Namespace) -> int:
    _require_servers(configuration)
    exported = traces.exported(configuration, "web")
    with exported, asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_serve(configuration))


async def _serve(configuration: Settings) -> int:
    import uvicorn

    from app.main import Server, build

    # Opened here and not by the application: what fails says so in one line.
    async with opened(configuration) as resources:
        server = Server(
            uvicorn.Config(
                build(configuration, resources),
                host=configuration.host,
                port=configuration.port,
                http="httptools",
                lifespan="on",
                log_config=None,
                access_log=False,  # the edge logs a line of its own
                server_header=False,
                proxy_headers=False,  # addresses come from PUBLIC_BASE_URL
                timeout_keep_alive=KEEP_ALIVE,
                timeout_graceful_shutdown=STOP_WITHIN,
            ),
            configuration.linger_seconds,
        )

        gc.freeze()  # what is there stays: no need to walk through it between two requests
        # Until it serves, and after; meanwhile uvicorn itself sets the same.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, server.handle_exit)
        await server.serve()
    return 0 if server.started else 1


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if sys.platform == "win32":
        return None
    import uvloop

    return uvloop.new_event_loop


def worker(configuration: Settings, asked: argparse.Namespace) -> int:
    from app import worker as process

    _require_servers(configuration)
    exported = traces.exported(configuration, "worker")
    with exported, asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(process.run(configuration, asked.drain))
    return 0


def doctor(configuration: Settings, asked: argparse.Namespace) -> int:
    from app.doctor import examine

    _require_servers(configuration)

    async def look() -> int:
        bad = 0
        async for finding in examine(configuration, not asked.offline):
            print(finding)
            bad += finding.mark == "BAD"
        return int(bad > 0)

    return asyncio.run(look())


def up(configuration: Settings, _: argparse.Namespace) -> int:
    if configuration.production:
        raise Misconfigured("up brings a demo and is refused in production: run web and worker")
    from app import up as everything

    return everything.up(configuration)


def demo(configuration: Settings, asked: argparse.Namespace) -> int:
    if configuration.production:
        raise Misconfigured("demo is refused in production")
    from app import up as everything

    return everything.demo(configuration, story=asked.story)


# The database.


def migrate(configuration: Settings, _: argparse.Namespace) -> int:
    if not configuration.database_url:
        raise Misconfigured("DATABASE_URL is required")
    migrate_to_head(configuration.database_url)
    return 0


def migrate_to_head(url: str) -> None:
    """Brings the database at `url` to the newest schema; a second migrator waits for the first."""
    from alembic import command
    from alembic.config import Config

    asyncio.run(_require_answer(url))  # or Alembic would show where it failed, not what is wrong
    config = Config()
    config.set_main_option("script_location", str(readiness.MIGRATIONS))
    config.set_main_option("path_separator", "os")
    config.set_main_option("sqlalchemy.url", driver_url(url).replace("%", "%%"))
    command.upgrade(config, "head")


async def _require_answer(url: str) -> None:
    database, clock = await _open(url)
    await database.close()
    await clock.close()


def restored(configuration: Settings, _: argparse.Namespace) -> int:
    from app.commands import restored as restoring

    async def settle(database: Database) -> dict[str, str]:
        texts, turns = await restoring.settle(database)
        return {"textsAskedFor": str(texts), "turnsClosed": str(turns)}

    return _answer(configuration, settle)


def reseal(configuration: Settings, _: argparse.Namespace) -> int:
    from app.access import reseal as resealing

    lost = 0

    async def again(database: Database) -> dict[str, str]:
        nonlocal lost
        done = await resealing.count(database, Seal(configuration.sealing_keys()), reseal=True)
        lost = done.lost
        return {"resealed": str(done.older), "newest": str(done.newest), "lost": str(done.lost)}

    return _answer(configuration, again) or int(lost > 0)


# The tenant's things.


def tenant_create(configuration: Settings, asked: argparse.Namespace) -> int:
    name = _name(asked.name)

    async def create(database: Database) -> dict[str, str]:
        fresh = keys.make()
        async with database.system() as tx:
            tenant_id = await tenants.add(tx, name)
            caller = Caller(tenant_id, "service", "service", "admin")
            await api_keys.add(tx, caller, "First key", "admin", None, fresh.prefix, fresh.digest)
        return {"tenantId": tenant_id, "apiKey": fresh.whole}

    return _answer(configuration, create)


def _name(given: str) -> str:
    """As the API takes names."""
    if not given.strip() or len(given) > LONGEST_NAME:
        raise Refused(f"--name must have 1 to {LONGEST_NAME} characters")
    return given


def key_create(configuration: Settings, asked: argparse.Namespace) -> int:
    name = _name(asked.name)

    async def create(database: Database) -> dict[str, str]:
        fresh = keys.make()
        caller = Caller(asked.tenant, "service", "service", "admin")
        await _require_tenant(database, asked.tenant)
        async with database.system() as tx:
            row = await api_keys.add(tx, caller, name, asked.scope, asked.agent, fresh.prefix, fresh.digest)
        return {"keyId": row["key_id"], "apiKey": fresh.whole}

    return _answer(configuration, create)


def user_create(configuration: Settings, asked: argparse.Namespace) -> int:
    password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        raise Refused("no password came on stdin")
    email = asked.email.strip()
    if len(email) > LONGEST_EMAIL or not EMAIL.fullmatch(email):
        raise Refused("--email is no e-mail address")

    async def create(database: Database) -> dict[str, str]:
        await _require_tenant(database, asked.tenant)
        password_hash = await passwords.hashed(password)
        async with database.system() as tx:
            user_id = await tenants_store.add_user(tx, asked.tenant, ids.make("user"), email, password_hash, asked.role)
        if user_id is None:
            raise Refused("somebody has this e-mail already")
        return {"userId": user_id}

    return _answer(configuration, create)


def leads_import(configuration: Settings, asked: argparse.Namespace) -> int:
    from app import imports

    async def work(database: Database, report: imports.Report) -> None:
        caller = Caller(asked.tenant, "service", "service", "admin")
        await _require_tenant(database, asked.tenant)
        await imports.import_leads(database, caller, asked.file, asked.campaign, report)

    return _import(configuration, asked, work)


def suppressions_import(configuration: Settings, asked: argparse.Namespace) -> int:
    from app import imports

    async def work(database: Database, report: imports.Report) -> None:
        caller = Caller(asked.tenant, "service", "service", "admin")
        await _require_tenant(database, asked.tenant)
        await imports.import_suppressions(database, caller, asked.file, asked.reason, report)

    return _import(configuration, asked, work)


def _import(
    configuration: Settings,
    asked: argparse.Namespace,
    work: "Callable[[Database, imports.Report], Awaitable[None]]",
) -> int:
    """Runs an import. Whatever ends it: how many rows were taken, and which were refused, is
    told."""
    from app.imports import Report, Unreadable

    if not asked.file.is_file():
        raise Refused(f"there is no file {asked.file}")
    report = Report()
    try:
        _with_database(configuration, lambda database: work(database, report))
    except Unreadable as error:
        raise Refused(f"{asked.file}: {error}") from None
    finally:
        if report.up_to:
            _tell(report)
    if not report.whole:
        return INTERRUPTED
    return int(bool(report.refused))


def _tell(report: "imports.Report") -> None:
    counts = {"taken": str(report.taken), "refused": str(len(report.refused))}
    print(json.dumps(counts if report.whole else {**counts, "upToLine": str(report.up_to)}))
    for line, why in report.refused:
        print(f"line {line}: {why}", file=sys.stderr)
    if report.whole:
        return
    said = f"stopped: up to line {report.up_to} each row was taken or is told above"
    after = max(report.up_to, report.begun_up_to)
    if after > report.up_to:
        said += f"; of lines {report.up_to + 1} to {after} it is not known"
    print(f"{said}; none after line {after} was taken", file=sys.stderr)


async def _require_tenant(database: Database, tenant_id: str) -> None:
    async with database.system() as tx:
        if await tenants_store.get(tx, tenant_id) is None:
            raise Refused("there is no tenant by that id")


def _answer(configuration: Settings, create: Callable[[Database], Awaitable[dict[str, str]]]) -> int:
    """Runs `create` against the database and prints what it answers as one JSON object."""
    print(json.dumps(_with_database(configuration, create)))
    return 0


def _with_database(configuration: Settings, work: Callable[[Database], Awaitable[T]]) -> T:
    if not configuration.database_url:
        raise Misconfigured("DATABASE_URL is required")
    url = configuration.database_url

    async def against() -> T:
        database, clock = await _open(url)
        await unseal_phones(database, Seal(configuration.sealing_keys()))
        try:
            return await work(database)
        finally:
            await database.close()
            await clock.close()

    return asyncio.run(against())


async def _open(url: str) -> tuple[Database, Clock]:
    # These commands leave no hints, so no Redis needs to be there.
    clock = Clock("redis://127.0.0.1")
    return await connect(url, clock, pool_size=2), clock


def _require_servers(configuration: Settings) -> None:
    given = {"DATABASE_URL": configuration.database_url, "REDIS_URL": configuration.redis_url}
    missing = [name for name, value in given.items() if not value]
    if missing:
        raise Misconfigured(f"{' and '.join(missing)} must be set; `up` brings its own servers")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="leadsail-sms", description="LeadSail SMS")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(
        to: "argparse._SubParsersAction[argparse.ArgumentParser]",
        name: str,
        does: Callable[[Settings, argparse.Namespace], int],
        about: str,
    ) -> argparse.ArgumentParser:
        added = to.add_parser(name, help=about, description=about)
        added.set_defaults(does=does)
        return added

    def group(name: str, about: str) -> "argparse._SubParsersAction[argparse.ArgumentParser]":
        added = commands.add_parser(name, help=about, description=about)
        return added.add_subparsers(required=True, metavar="VERB")

    add(commands, "up", up, "everything in one terminal, with a demo")
    add(commands, "web", web, "one web process")
    working = add(commands, "worker", worker, "one worker")
    working.add_argument("--drain", action="store_true", help="does what is due, and ends when nothing is")
    add(commands, "migrate", migrate, "bring the database to the newest schema")
    add(commands, "restored", restored, "after a restore, before any worker: ask, then send")
    add(commands, "reseal", reseal, "seal all secrets under the first of SECRET_KEYS")
    examined = add(commands, "doctor", doctor, "what is wrong here, in plain words")
    examined.add_argument("--offline", action="store_true", help="asks no carrier")
    tenant = add(
        group("tenant", "organizations: create"),
        "create",
        tenant_create,
        "a tenant and its first key",
    )
    tenant.add_argument("--name", required=True)
    key = add(group("key", "API keys: create"), "create", key_create, "an API key, shown once")
    key.add_argument("--tenant", required=True, metavar="ID")
    key.add_argument("--name", required=True)
    key.add_argument("--scope", choices=SCOPES, default="api")
    key.add_argument("--agent", metavar="ID", help="with --scope agent")
    user = add(
        group("user", "people who sign in: create"),
        "create",
        user_create,
        "a person who may sign in",
    )
    user.add_argument("--tenant", required=True, metavar="ID")
    user.add_argument("--email", required=True)
    user.add_argument("--password-stdin", required=True, action="store_true")
    user.add_argument("--role", choices=PERSON_ROLES, help="the first of a tenant: admin; else member")
    imported = add(
        group("leads", "leads from elsewhere: import"),
        "import",
        leads_import,
        "leads from a CSV file; of those that are there only the header's columns are changed, and"
        " an empty cell leaves what is there",
    )
    imported.add_argument("file", type=Path)
    imported.add_argument("--tenant", required=True, metavar="ID")
    imported.add_argument(
        "--campaign",
        metavar="ID",
        help="set for all of them, new leads and known ones, whatever their campaignId says",
    )
    stopped = add(
        group("suppressions", "opt-outs from elsewhere: import"),
        "import",
        suppressions_import,
        "phones that opted out",
    )
    stopped.add_argument("file", type=Path)
    stopped.add_argument("--tenant", required=True, metavar="ID")
    stopped.add_argument("--reason")
    shown = add(commands, "demo", demo, "(re)fill the demo tenant")
    shown.add_argument("--story", action="store_true", help="play a whole conversation")
    return parser
