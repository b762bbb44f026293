"""Makes values of a CSV file safe to open in a spreadsheet.

A spreadsheet runs a value that begins like a formula, even in quotes; a leading apostrophe makes it
text (OWASP, "CSV Injection"). A phone in E.164 begins with "+" too, and stays as it is.
"""

import re

PHONE_PATTERN = re.compile(r"\+\d{7,15}")
FORMULA_PATTERN = re.compile(r"(?m)^(?=[ \u00a0]*[=+\-@\t\r])")
"""The beginning of a line that looks like a formula, after blanks that spreadsheets skip."""


def guard_value(value: str) -> str:
    """The value with an apostrophe before each line that would be a formula."""
    if PHONE_PATTERN.fullmatch(value):
        return value
    return FORMULA_PATTERN.sub("'", value.replace("\r\n", "\n").replace("\r", "\n"))
