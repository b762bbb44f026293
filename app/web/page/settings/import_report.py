"""The report of an import, as a file: what was refused, by line and field, and with JSON all counts."""

import csv
import io
import json
from collections.abc import AsyncIterator
from typing import Literal

from starlette.responses import Response, StreamingResponse

from app.domain.spreadsheets import guard_value
from app.domain.words import ROW_OUTCOMES
from app.store import imports
from app.store.engine import Database
from app.store.imports import Refusal
from app.store.schema import Import

REFUSALS_PER_QUERY = 2000
MEDIA_TYPES = {"csv": "text/csv; charset=utf-8", "json": "application/json"}


def build_answer(database: Database, row: Import, file_format: Literal["csv", "json"]) -> Response:
    """A file that is sent while it is read: a report may have a line for each row."""
    lines = _write_csv(database, row) if file_format == "csv" else _write_json(database, row)
    headers = {"Content-Disposition": f'attachment; filename="{row.import_id}.{file_format}"'}
    return StreamingResponse(lines, media_type=MEDIA_TYPES[file_format], headers=headers)


async def _read_refusals(database: Database, row: Import) -> AsyncIterator[list[Refusal]]:
    last: Refusal | None = None
    while True:
        async with database.read_tx(row.tenant_id) as read:
            refusals = await imports.list_refusals(read, row.tenant_id, row.import_id, last, REFUSALS_PER_QUERY)
        if not refusals:
            return
        yield refusals
        last = refusals[-1]


async def _write_csv(database: Database, row: Import) -> AsyncIterator[str]:
    yield _join_values([["line", "field", "reason"]])
    async for refusals in _read_refusals(database, row):
        yield _join_values(
            [[str(refusal.line), guard_value(refusal.field or ""), guard_value(refusal.reason)] for refusal in refusals]
        )


def _join_values(rows: list[list[str]]) -> str:
    output = io.StringIO(newline="")
    csv.writer(output).writerows(rows)
    return output.getvalue()


async def _write_json(database: Database, row: Import) -> AsyncIterator[str]:
    """As `--json` of the command line reports."""
    yield f'{json.dumps(build_counts(row))[:-1]}, "refusedRows": ['
    separator = ""
    async for refusals in _read_refusals(database, row):
        objects = [
            json.dumps({"line": refusal.line, "field": refusal.field, "reason": refusal.reason}) for refusal in refusals
        ]
        yield separator + ",\n".join(objects)
        separator = ",\n"
    yield "]}"


def build_counts(row: Import) -> dict[str, object]:
    outcomes: dict[str, int] = {outcome: getattr(row, outcome) for outcome in ROW_OUTCOMES}
    taken_count = sum(outcomes.values())
    return {
        "rows": taken_count + row.refused + row.blank,
        "taken": taken_count,
        **outcomes,
        "refused": row.refused,
        "blank": row.blank,
        "complete": row.state in ("checked", "done"),
        "upToLine": row.up_to_line,
        "state": row.state,
    }
