"""Answers that are CSV files."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fastapi import Response


def describe_csv(row: str, headers: Mapping[str, Any] | None = None) -> dict[int | str, dict[str, Any]]:
    """For the described API, where `format=csv` asks for a file. `row`: what a row is. `headers`: more of them."""
    return {
        200: {
            "content": {"text/csv": {"schema": {"type": "string", "description": f"With `format=csv`: {row}."}}},
            "headers": {
                "Content-Disposition": {
                    "description": "With `format=csv`: the file's name.",
                    "schema": {"type": "string"},
                },
            }
            | dict(headers or {}),
        }
    }


def build_csv_answer(name: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Response:
    """A file with these columns. Values of strangers must have passed `guard_value`."""
    output = io.StringIO(newline="")
    table = csv.writer(output)
    table.writerow(columns)
    table.writerows(rows)
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(output.getvalue(), media_type="text/csv; charset=utf-8", headers=headers)
