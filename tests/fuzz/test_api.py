"""The API against its own description: requests made from it, good ones and spoilt ones; every
answer must be one that it documents, and none a fault of ours."""

import pytest

from app.web.openapi import list_operations
from tests.fuzz.conftest import Target
from tests.security.walk import DOCUMENT

EXAMPLES, MANY = 4, 100
EACH = pytest.mark.parametrize(
    "label", [f"{method.upper()} {path}" for path, method, _ in list_operations(DOCUMENT["paths"])]
)


@EACH
def test_every_answer_is_one_that_is_documented(label: str, target: Target) -> None:
    from tests.fuzz import api_cases

    api_cases.ask_all(label, target, EXAMPLES, is_derandomized=True)


@pytest.mark.long
@EACH
def test_at_length_every_answer_is_one_that_is_documented(label: str, target: Target) -> None:
    from tests.fuzz import api_cases

    api_cases.ask_all(label, target, MANY, is_derandomized=False)
