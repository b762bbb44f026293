"""Cells of a CSV file, as a spreadsheet may open them.

A spreadsheet runs a cell that begins like a formula, however it is quoted; a leading apostrophe
makes it text (OWASP, "CSV Injection"). A phone in E.164 begins with "+" and is left alone.
"""

import re

PHONE_PATTERN = re.compile(r"\+\d{7,15}")
FORMULA_PATTERN = re.compile(r"(?m)^(?=[ \u00a0]*[=+\-@\t\r])")
"""Where a line begins as a formula does, after blanks that spreadsheets skip."""


def guard_cell(cell: str) -> str:
    """The cell, harmless: each line that would be a formula begins with an apostrophe."""
    if PHONE_PATTERN.fullmatch(cell):
        return cell
    return FORMULA_PATTERN.sub("'", cell.replace("\r\n", "\n").replace("\r", "\n"))
