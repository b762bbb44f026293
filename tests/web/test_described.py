"""The description of the API, walked whole: an operation that is told badly fails here."""

import json
from functools import cache
from typing import Any

import pytest
from jsonschema_rs import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from pydantic import TypeAdapter

from app.agents.payload import Turn
from app.domain import problems
from app.web.examples import EXAMPLE_BODIES
from app.web.openapi import EXTRA_REFUSALS, TAG_DESCRIPTIONS, list_operations
from tests.makers import Data
from tests.security.walk import DOCUMENT
from tests.service import Api
from tests.world import World, agent, carrier, idle_world, working, world

__all__ = ["agent", "carrier", "idle_world", "working", "world"]
OPERATIONS = {o["operationId"]: (p, m, o) for p, m, o in list_operations(DOCUMENT["paths"])}
WHOLE = pytest.mark.parametrize("name", OPERATIONS)


def fits(value: Any, schema: Data) -> None:
    """Fails unless the value is one of the schema's, formats included."""
    faults = build_validator(json.dumps(schema)).iter_errors(value)
    assert [f"{fault.instance_path}: {fault.message}" for fault in faults] == []


@cache
def build_validator(schema: str) -> Draft202012Validator:
    """Built once for each schema: it reads all components."""
    return Draft202012Validator({**json.loads(schema), "components": DOCUMENT["components"]}, validate_formats=True)


def test_each_schema_has_a_name_of_its_own() -> None:
    """Of two classes with one name the document would hold one."""
    assert [name for name in DOCUMENT["components"]["schemas"] if not name.isalnum()] == []


def body(operation: Data) -> Data:
    content: Data = operation["requestBody"]["content"]["application/json"]
    return content


def test_the_document_is_a_valid_openapi_3_1() -> None:
    assert DOCUMENT["openapi"].startswith("3.1")
    assert list(OpenAPIV31SpecValidator(DOCUMENT).iter_errors()) == []


@WHOLE
def test_every_operation_says_what_it_does_and_who_may(name: str) -> None:
    path, _, operation = OPERATIONS[name]
    assert operation["summary"]
    assert operation["tags"][0] in TAG_DESCRIPTIONS
    asked = operation["description"].splitlines()[-1]
    if path.startswith("/api/v1"):
        assert asked.startswith("Key scopes: `admin`")
        assert operation["security"] == [{"ApiKey": []}]
    else:
        assert asked == "No key is needed."


@WHOLE
def test_every_operation_has_an_example_that_it_would_take(name: str) -> None:
    path, _, operation = OPERATIONS[name]
    for parameter in operation.get("parameters", []):
        if parameter["in"] == "path":
            assert f"{{{parameter['name']}}}" in path
            assert parameter["example"]
        if "example" in parameter:
            fits(parameter["example"], parameter["schema"])
    if "requestBody" in operation:
        fits(body(operation)["example"], body(operation)["schema"])


@WHOLE
def test_every_operation_names_its_refusals_with_an_example_of_each(name: str) -> None:
    path, method, operation = OPERATIONS[name]
    told: dict[str, set[str]] = {}
    for status, response in operation["responses"].items():
        if status.startswith("2"):
            assert response["content"]["application/json"]["schema"]
            continue
        if status == "304":
            assert "content" not in response
            continue
        content = response["content"]["application/json"]
        told[status] = set(content["examples"])
        for code in content["examples"]:
            example = DOCUMENT["components"]["examples"][code]["value"]
            assert example["error"]["code"] == code
            assert f"`{code}`" in response["description"]
            fits(example, content["schema"])
    if path.startswith("/api/v1"):
        assert {"401", "403", "429", "503"} <= told.keys()
        assert "FORBIDDEN" in told["403"]
    if "requestBody" in operation:
        assert {"400", "413"} <= told.keys()
    if method != "get":
        assert "OUTCOME_UNKNOWN" in told["504"]
    assert "422" not in told or told["422"] == {"IDEMPOTENCY_KEY_REUSED"}


def test_every_code_of_the_family_is_told_somewhere_but_what_no_route_can_mean() -> None:
    told = {
        code
        for _, _, operation in OPERATIONS.values()
        for response in operation["responses"].values()
        for code in response.get("content", {}).get("application/json", {}).get("examples", ())
    }
    unsaid = {"METHOD_NOT_ALLOWED", "INTERNAL_ERROR"}  # of no operation, and of a fault of ours
    page_only = {"MOVED"}
    family = set(DOCUMENT["components"]["examples"])
    assert {problems.Invalid.code, problems.InUse.code} <= family
    assert family - told <= unsaid | page_only
    assert told <= family


def test_what_is_written_by_hand_is_about_operations_that_exist() -> None:
    assert EXTRA_REFUSALS.keys() <= OPERATIONS.keys()
    with_body = {name for name, (_, _, o) in OPERATIONS.items() if "requestBody" in o}
    assert EXAMPLE_BODIES.keys() == with_body


def test_only_public_routes_are_told_in_the_order_of_reading() -> None:
    assert [tag["name"] for tag in DOCUMENT["tags"]] == list(TAG_DESCRIPTIONS)
    assert {o["tags"][0] for _, _, o in OPERATIONS.values()} == set(TAG_DESCRIPTIONS)
    for path in DOCUMENT["paths"]:
        assert path.startswith(("/api/v1/", "/health/"))


def test_patterns_mean_the_same_to_every_reader() -> None:
    r"""`\z` is Rust's and Perl's; to JavaScript it is the letter z."""
    assert "\\\\z" not in str(DOCUMENT)


async def test_the_document_is_served_as_it_was_walked(api: Api) -> None:
    served = (await api.http.get("/openapi.json")).json()
    assert served["paths"] == DOCUMENT["paths"]
    assert served["webhooks"] == DOCUMENT["webhooks"]


# What we POST to agents.


def test_the_agents_webhook_is_told_with_an_example() -> None:
    hook = DOCUMENT["webhooks"]["turn"]["post"]
    fits(body(hook)["example"], body(hook)["schema"])
    assert set(hook["responses"]) == {"200", "default"}


async def test_a_real_hand_over_is_as_told_with_no_field_more_and_none_less(world: World) -> None:
    await world.send("Hi Jane", agentMode=True)
    await world.text("Hey")
    told = await world.told(1)
    answers = DOCUMENT["webhooks"]["turn"]["post"]["responses"]["200"]
    takes: list[Data] = [
        {}, {"reply": "Hi"}, {"replies": []}, {"handoff": True, "reason": "angry"},
        {"reply": None, "replies": ["Hi", "Bye"], "handoff": True, "reason": None},
    ]  # fmt: skip
    for taken in takes:
        fits(taken, answers["content"]["application/json"]["schema"])
    fits(told, body(DOCUMENT["webhooks"]["turn"]["post"])["schema"])
    shape = TypeAdapter(Turn)  # leaves fields out that it does not know
    assert shape.dump_python(shape.validate_json(json.dumps(told)), mode="json") == told
    headers = world.agent.requests[0][0]
    named = DOCUMENT["webhooks"]["turn"]["post"]["parameters"]
    assert {one["name"] for one in named if one["required"]} <= headers.keys()
