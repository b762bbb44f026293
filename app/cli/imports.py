"""Leads and suppressions from CSV files."""

import argparse
import json
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from app.cli.results import INTERRUPTED_STATUS, CommandError, require_tenant, with_database
from app.domain.callers import Caller
from app.domain.words import ROW_OUTCOMES
from app.settings import Settings
from app.store.engine import Database

if TYPE_CHECKING:
    from app.operations import imports


def import_leads(configuration: Settings, options: argparse.Namespace) -> int:
    from app.operations import imports

    async def import_file(database: Database, report: imports.ImportReport) -> None:
        caller = Caller(options.tenant, "service", "service", "admin")
        await require_tenant(database, options.tenant)
        await imports.import_leads(database, caller, options.file, options.campaign, report)

    return _run_import(configuration, options, import_file)


def import_suppressions(configuration: Settings, options: argparse.Namespace) -> int:
    from app.operations import imports

    async def import_file(database: Database, report: imports.ImportReport) -> None:
        caller = Caller(options.tenant, "service", "service", "admin")
        await require_tenant(database, options.tenant)
        await imports.import_suppressions(database, caller, options.file, options.reason, report)

    return _run_import(configuration, options, import_file)


def _run_import(
    configuration: Settings,
    options: argparse.Namespace,
    import_file: "Callable[[Database, imports.ImportReport], Awaitable[None]]",
) -> int:
    """Runs an import, and prints its report even if the import fails."""
    from app.imports.csv_files import UnreadableFile
    from app.operations.imports import ImportReport

    if not options.file.is_file():
        raise CommandError(f"there is no file {options.file}")
    report = ImportReport(is_dry_run=options.dry_run)
    try:
        with_database(configuration, lambda database: import_file(database, report))
    except UnreadableFile as error:
        raise CommandError(f"{options.file}: {error}") from None
    finally:
        if options.json:
            print(json.dumps(_build_report(report)))
        elif report.up_to_line:
            _print_report(report)
    if not report.is_complete:
        return INTERRUPTED_STATUS
    return int(bool(report.refused_rows))


def _build_report(report: "imports.ImportReport") -> dict[str, Any]:
    """All that is known, for programs."""
    refused_rows = [{"line": line, "reason": reason} for line, reason in report.refused_rows]
    progress = {"complete": report.is_complete, "upToLine": report.up_to_line, "dryRun": report.is_dry_run}
    return {**_count_rows(report), "refusedRows": refused_rows, **progress}


def _count_rows(report: "imports.ImportReport") -> dict[str, int]:
    taken_count, refused_count, blank_count = report.taken_count, len(report.refused_rows), report.blank_count
    outcomes: dict[str, int] = {outcome: report.outcomes[outcome] for outcome in ROW_OUTCOMES}
    return {
        "rows": taken_count + refused_count + blank_count,
        "taken": taken_count,
        **outcomes,
        "refused": refused_count,
        "blank": blank_count,
    }


def _print_report(report: "imports.ImportReport") -> None:
    counts = {name: str(count) for name, count in _count_rows(report).items()}
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
