"""Tenants that leave, come, move and are deleted."""

import argparse
import json
from collections.abc import Awaitable, Callable
from typing import TypeVar

from app.access.sealing import Seal
from app.cli.results import CommandError, with_database
from app.resources import open_database, unseal_phones
from app.settings import Settings
from app.store.engine import Database
from app.store.tenant_rows import Sums

T = TypeVar("T")


def export_tenant(configuration: Settings, options: argparse.Namespace) -> int:
    from app.operations import tenants

    seal = Seal(configuration.decode_sealing_keys())

    async def write_file(database: Database) -> Sums:
        return await tenants.export_tenant(database, seal, options.tenant, options.file)

    return _print_counts(options.tenant, _count_rows(_run(configuration, write_file)))


def import_tenant(configuration: Settings, options: argparse.Namespace) -> int:
    from app.operations import tenants

    seal = Seal(configuration.decode_sealing_keys())

    async def read_file(database: Database) -> tuple[str, Sums]:
        return await tenants.import_tenant(database, seal, options.file)

    tenant_id, sums = _run(configuration, read_file)
    return _print_counts(tenant_id, _count_rows(sums))


def move_tenant(configuration: Settings, options: argparse.Namespace) -> int:
    from app.operations import tenants

    seal = Seal(configuration.decode_sealing_keys())

    async def move_rows(database: Database) -> Sums:
        async with open_database(options.to.read_text().strip()) as target:
            await unseal_phones(target, seal)
            return await tenants.move_tenant(database, target, seal, options.tenant)

    return _print_counts(options.tenant, _count_rows(_run(configuration, move_rows)))


def delete_tenant(configuration: Settings, options: argparse.Namespace) -> int:
    from app.operations import tenants

    async def delete_rows(database: Database) -> dict[str, int]:
        if options.yes:
            return await tenants.delete_tenant(database, options.tenant)
        return await tenants.count_tenant(database, options.tenant)

    counts = _run(configuration, delete_rows)
    _print_counts(options.tenant, counts)
    if not options.yes:
        raise CommandError("nothing was deleted; --yes deletes these rows")
    return 0


def _run(configuration: Settings, work: Callable[[Database], Awaitable[T]]) -> T:
    from app.operations.tenants import TenantStays

    try:
        return with_database(configuration, work)
    except EOFError:
        raise CommandError("the file is cut off") from None
    except (TenantStays, OSError) as error:
        raise CommandError(str(error)) from None


def _count_rows(sums: Sums) -> dict[str, int]:
    return {name: table_sum.row_count for name, table_sum in sums.items()}


def _print_counts(tenant_id: str, counts: dict[str, int]) -> int:
    """The tenant and the rows of each table that has some, as one JSON object."""
    print(json.dumps({"tenantId": tenant_id, "rows": {name: count for name, count in counts.items() if count}}))
    return 0
