"""Tenants that leave, come, move and are deleted."""

import argparse
import json
import sys
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeVar

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
    from app.operations import routes, tenant_moves

    if bool(options.haproxy) != bool(options.route):
        raise CommandError("--haproxy and --route belong together")
    seal = Seal(configuration.decode_sealing_keys())

    told = dict[str, Any]()

    async def tell(step: tenant_moves.Copied | tenant_moves.Served) -> None:
        if isinstance(step, tenant_moves.Copied):
            _say(f"{step.rows} rows are copied")
            return
        told.update(names=step.names, secondsWaited=round(step.seconds, 3))
        _say(f"the other cell serves {' '.join(step.names)}")
        # It has moved: whatever happens now, its rows must leave this cell.
        try:
            if options.haproxy:
                await routes.route_names(options.haproxy, step.names, options.route)
        except OSError as error:
            _say(f"{error}; put the names into {routes.MAP}")

    async def move_rows(database: Database) -> dict[str, int]:
        async with open_database(options.to.read_text().strip()) as target:
            await unseal_phones(target, seal)
            return await tenant_moves.move_tenant(database, target, seal, options.tenant, tell)

    return _print_counts(options.tenant, _run(configuration, move_rows), told)


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
    from app.operations.tenant_moves import TenantLeft
    from app.operations.tenants import TenantStays

    try:
        return with_database(configuration, work)
    except EOFError:
        raise CommandError("the file is cut off") from None
    except (TenantStays, TenantLeft, OSError) as error:
        raise CommandError(str(error)) from None


def _count_rows(sums: Sums) -> dict[str, int]:
    return {name: table_sum.row_count for name, table_sum in sums.items()}


def _say(words: str) -> None:
    print(f"leadsail-sms: {words}", file=sys.stderr, flush=True)


def _print_counts(tenant_id: str, counts: dict[str, int], more: Mapping[str, Any] = MappingProxyType({})) -> int:
    """The tenant and the rows of each table that has some, as one JSON object."""
    rows = {name: count for name, count in counts.items() if count}
    print(json.dumps({"tenantId": tenant_id, "rows": rows, **more}))
    return 0
