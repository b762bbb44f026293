"""A carrier's test is a table of cases: label, what is given, what is expected."""

from typing import Any

import pytest

Case = tuple[str, Any, Any]


def table(*cases: Case) -> pytest.MarkDecorator:
    """Runs a test once for each case, under its label."""
    rows = [pytest.param(given, expected, id=label) for label, given, expected in cases]
    return pytest.mark.parametrize(("given", "expected"), rows)
