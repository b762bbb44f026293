"""Requests that schemathesis makes of the API's own description. Imported by the test that asks: to make them
takes seconds, and pytest collects in every process of the run."""

from collections.abc import Callable
from typing import Any

import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import CHECKS, load_all_checks, not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.core.result import Ok
from schemathesis.generation.feedback import FeedbackSources
from schemathesis.pytest._test_builder import build_operation_test
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from app.web.openapi import list_operations
from tests.fuzz.conftest import Target
from tests.security.walk import DOCUMENT

REFUSED = ["400", "401", "403", "404", "405", "409", "412", "413", "422", "429", "5xx"]
"""How what breaks its schema may be refused: also for its size or an outdated version, judged first."""
CONFIGURATION = SchemathesisConfig.from_dict(
    {
        "checks": {"negative_data_rejection": {"expected-statuses": REFUSED}},
        "generation": {"with-security-parameters": False},  # the key is set below
    }
)
API = schemathesis.openapi.from_dict(DOCUMENT, config=CONFIGURATION)
OPERATIONS = {
    operation.label: operation
    for operation in (found.ok() for found in API.get_all_operations() if isinstance(found, Ok))
}
# A schema cannot say which phones there are, or which ids are one's own: what it allows may
# still be refused. That what is refused is refused by a documented answer stays checked.
EXCLUDED = [positive_data_acceptance]
# A bulk send is 202 with a refusal at each bad entry: one never spoils another (contract 3).
EXCLUDED_OF_BULK = [*EXCLUDED, negative_data_rejection]
# In a query everything is text: a list cannot be spoilt by what its items are.
EXCLUDED_OF_LISTS = [*EXCLUDED, negative_data_rejection]
LISTS = frozenset(
    (f"{method.upper()} {path}", parameter["name"])
    for path, method, operation in list_operations(DOCUMENT["paths"])
    for parameter in operation.get("parameters", ())
    if any("items" in kind for kind in parameter["schema"].get("anyOf", ()))
)
# A carrier that cannot be reached is a documented 502, and no fault of ours.
EXCLUDED_OF_VENDORS = [*EXCLUDED, not_a_server_error]
VENDORS = ("/sync-numbers", "/webhook-check")
load_all_checks()
assert len(CHECKS.get_all()) > 10
assert {*EXCLUDED_OF_BULK, *EXCLUDED_OF_LISTS, *EXCLUDED_OF_VENDORS} < set(CHECKS.get_all())


def ask_all(label: str, target: Target, examples: int, is_derandomized: bool) -> None:
    """Asks the operation in so many ways, and checks each answer."""

    def ask(case: Any) -> None:
        ask_once(case, target)

    bounded = settings(
        max_examples=examples,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        derandomize=is_derandomized,
    )
    test: Callable[[], None] = build_operation_test(
        config=API.config,
        operation=OPERATIONS[label],
        test_func=bounded(ask),
        given_kwargs={},
        feedback=FeedbackSources(),
    )
    test()


def ask_once(case: Any, target: Target) -> None:
    """About ids that are made up, and about things that are there."""
    judge(case, target, real=False)
    if case.path_parameters:
        judge(case, target, real=True)


def judge(case: Any, target: Target, real: bool) -> None:
    """Asks and checks; with `real`, about things that are there."""
    if real:
        known = {name: target.ids[name] for name in case.path_parameters or {}}
        case.path_parameters = known
    if case.operation.label.endswith("/events"):
        case.query = {**(case.query or {}), "wait": 0}
    excluded = EXCLUDED
    if case.operation.label.endswith("/send/bulk"):
        excluded = EXCLUDED_OF_BULK
    elif _is_list_spoilt(case):
        excluded = EXCLUDED_OF_LISTS
    elif case.operation.label.endswith(VENDORS):
        excluded = EXCLUDED_OF_VENDORS
    headers = {"X-API-Key": target.tenant.key}
    case.call_and_validate(base_url=target.url, headers=headers, excluded_checks=excluded)


def _is_list_spoilt(case: Any) -> bool:
    """Whether a list in a query is what breaks the schema, alone or beside others."""
    data = case.meta.phase.data
    spoilt = (data.parameter, *(mutation.parameter for mutation in data.mutations))
    return any((case.operation.label, name) in LISTS for name in spoilt)
