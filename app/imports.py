"""Files into a tenant: leads, and phones that opted out elsewhere. Rows that cannot be taken are
reported by their line and spoil no other."""

import csv
import os
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from app.commands import dnc, leads
from app.domain.callers import Caller
from app.domain.problems import Invalid, Problem
from app.store.engine import Database

TOGETHER = 2000
WIDTH = 40
COLUMNS = {
    "leadId": "lead_id", "firstName": "first_name", "lastName": "last_name", "email": "email",
    "phone": "phone", "status": "status", "timezone": "timezone", "campaignId": "campaign_id",
}  # fmt: skip
Row = dict[str, str]


class Unreadable(Exception):
    """The file cannot be imported at all; the text says why."""


@dataclass(slots=True)
class Report:
    """What became of the rows."""

    taken: int = 0
    refused: list[tuple[int, str]] = field(default_factory=list)
    """Line and reason."""


async def import_leads(
    database: Database, caller: Caller, file: Path, campaign_id: str | None
) -> Report:
    """A CSV file with a header of the lead's fields; `phone` is needed. Known ids are updated,
    so that a file can be imported again."""

    async def take(rows: Sequence[tuple[int, Row]], report: Report) -> None:
        given = [_lead(row, campaign_id) for _, row in rows]
        async with database.tenant(caller.tenant_id) as tx:
            await tx.expect_many()
            outcomes = await leads.put_many(tx, caller, given)
        for (line, _), problem in zip(rows, outcomes, strict=True):
            _count(report, line, problem)

    return await _read(file, set(COLUMNS), take)


async def import_suppressions(
    database: Database, caller: Caller, file: Path, reason: str | None
) -> Report:
    """A CSV file with the column `phone`."""

    async def take(rows: Sequence[tuple[int, Row]], report: Report) -> None:
        async with database.tenant(caller.tenant_id) as tx:
            await tx.expect_many()
            good: list[str] = []
            for line, row in rows:
                try:
                    good += await dnc.readable(tx, caller, [row["phone"]])
                    _count(report, line, None)
                except Problem as problem:
                    _count(report, line, problem)
            await dnc.suppress(tx, caller, good, reason)

    return await _read(file, {"phone"}, take)


def _lead(row: Row, campaign_id: str | None) -> dict[str, object]:
    given: dict[str, object] = {
        COLUMNS[name]: value.strip() for name, value in row.items() if value and value.strip()
    }
    return given if campaign_id is None else {**given, "campaign_id": campaign_id}


def _count(report: Report, line: int, problem: Problem | None) -> None:
    if problem is None:
        report.taken += 1
    else:
        report.refused.append((line, "; ".join(problem.details) or problem.message))


async def _read(
    file: Path,
    known: set[str],
    take: Callable[[Sequence[tuple[int, Row]], Report], Awaitable[None]],
) -> Report:
    report = Report()
    size = max(1, os.path.getsize(file))
    batch: list[tuple[int, Row]] = []
    with open(file, newline="", encoding="utf-8-sig") as opened:
        reader = csv.DictReader(opened, restkey="…")
        names = set(reader.fieldnames or ())
        if "phone" not in names or names - known:
            wanted = ", ".join(sorted(known))
            raise Unreadable(f"the header must name phone, and none but: {wanted}")
        for line, row in _rows(reader, report):
            batch.append((line, row))
            if len(batch) == TOGETHER:
                await take(batch, report)
                _show(cast(Any, opened.buffer).tell() / size)
                batch = []
        if batch:
            await take(batch, report)
    _show(1)
    return report


def _rows(reader: "csv.DictReader[str]", report: Report) -> Iterator[tuple[int, Row]]:
    for row in reader:
        if None in row.values() or "…" in row or any("\x00" in str(v) for v in row.values()):
            problem = Invalid(details=["the row does not have the header's columns"])
            _count(report, reader.line_num, problem)
        else:
            yield reader.line_num, row


def _show(share: float) -> None:
    """A bar on stderr, where somebody looks."""
    if sys.stderr.isatty():
        done = min(WIDTH, round(share * WIDTH))
        end = "\n" if share >= 1 else ""
        bar = "#" * done + " " * (WIDTH - done)
        print(f"\r[{bar}] {share:4.0%}", end=end, file=sys.stderr, flush=True)
