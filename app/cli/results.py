"""How a command works on the database, prints its answer, and fails."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import TypeVar

from app.access.sealing import Seal
from app.resources import open_database, unseal_phones
from app.settings import ConfigurationError, Settings
from app.store import tenants as tenants_store
from app.store.engine import Database

T = TypeVar("T")
INTERRUPTED_STATUS = 130
"""The exit status after Ctrl-C."""


class CommandError(Exception):
    """The command cannot be carried out. The message says why."""


def run_and_print(configuration: Settings, build_answer: Callable[[Database], Awaitable[dict[str, str]]]) -> int:
    """Runs `build_answer` on the database and prints its result as one JSON object."""
    print(json.dumps(with_database(configuration, build_answer)))
    return 0


def with_database(configuration: Settings, work: Callable[[Database], Awaitable[T]]) -> T:
    if not configuration.database_url:
        raise ConfigurationError("DATABASE_URL is required")
    url = configuration.database_url

    async def run_work() -> T:
        async with open_database(url) as database:
            await unseal_phones(database, Seal(configuration.decode_sealing_keys()))
            return await work(database)

    return asyncio.run(run_work())


async def require_tenant(database: Database, tenant_id: str) -> None:
    async with database.system_tx() as tx:
        if await tenants_store.get(tx, tenant_id) is None:
            from app.operations.tenants import NO_TENANT

            raise CommandError(NO_TENANT)
