"""The installation as a whole: migrations, restored databases, sealed secrets, and the doctor."""

import argparse
import asyncio

from app import settings
from app.access.sealing import Seal
from app.cli.results import run_and_print
from app.settings import ConfigurationError, Settings
from app.store.engine import Database


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

    return run_and_print(configuration, settle_all)


def reseal_secrets(configuration: Settings, _: argparse.Namespace) -> int:
    from app.access import reseal

    lost_count = 0

    async def reseal_all(database: Database) -> dict[str, str]:
        nonlocal lost_count
        counts = await reseal.count_sealed(database, Seal(configuration.decode_sealing_keys()), reseal=True)
        lost_count = counts.unreadable
        return {"resealed": str(counts.older), "newest": str(counts.newest), "lost": str(counts.unreadable)}

    return run_and_print(configuration, reseal_all) or int(lost_count > 0)


def count_figures(configuration: Settings, options: argparse.Namespace) -> int:
    from app.commands import figures

    async def count_all(database: Database) -> dict[str, str]:
        return {"hoursCounted": str(await figures.count_all(database, anew=options.rebuild))}

    return run_and_print(configuration, count_all)


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
