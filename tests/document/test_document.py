"""The document as generators and linters want it."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from app import settings
from app.main import build_app
from app.web.openapi import HEADERS, list_operations
from tests.document.lint import OUTPUT, lint, write_document
from tests.document.node import Unreachable, install_tools
from tests.makers import Data, Tenant
from tests.security.walk import DOCUMENT
from tests.service import Api

OPERATIONS = {o["operationId"]: (p, m, o) for p, m, o in list_operations(DOCUMENT["paths"])}
EACH = pytest.mark.parametrize("name", OPERATIONS)
VERB_AND_OBJECT = re.compile(r"[a-z]+([A-Z][a-z]+)+")
PUBLIC_URL = "https://sms.example.com/text"


def find_references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for part in value.values():
            yield from find_references(part)
    elif isinstance(value, list):
        for part in value:
            yield from find_references(part)


def test_operation_ids_are_unique_verbs_with_their_object() -> None:
    webhooks = [o["operationId"] for _, _, o in list_operations(DOCUMENT["webhooks"])]
    counts = Counter([o["operationId"] for _, _, o in list_operations(DOCUMENT["paths"])] + webhooks)
    assert [name for name, times in counts.items() if times > 1] == []
    assert [name for name in counts if not VERB_AND_OBJECT.fullmatch(name)] == []


@pytest.mark.parametrize("part", ["tags", "schemas", "operations"])
def test_no_two_names_make_one_file(part: str) -> None:
    """Generators write a file for each, and forget case and underscores."""
    names = {
        "tags": [tag["name"] for tag in DOCUMENT["tags"]],
        "schemas": list(DOCUMENT["components"]["schemas"]),
        "operations": list(OPERATIONS),
    }[part]
    counts = Counter(re.sub(r"\W|_", "", name).lower() for name in names)
    assert [name for name, times in counts.items() if times > 1] == []


def test_names_of_schemas_are_names_of_classes() -> None:
    names = DOCUMENT["components"]["schemas"]
    assert [name for name in names if not re.fullmatch(r"([A-Z][a-z]*)+", name)] == []


def test_parameters_in_paths_are_named_as_fields_are() -> None:
    assert [path for path in DOCUMENT["paths"] if re.search(r"{\w*_", path)] == []
    assert "/api/v1/interactions/lead/{leadId}" in DOCUMENT["paths"]


def test_every_component_is_used() -> None:
    used = set(find_references(DOCUMENT))
    components = {f"#/components/{kind}/{name}" for kind, part in DOCUMENT["components"].items() for name in part}
    schemes = {f"#/components/securitySchemes/{name}" for name in DOCUMENT["components"]["securitySchemes"]}
    assert components - schemes - used == set()
    asked = [o["security"] for paths in ("paths", "webhooks") for _, _, o in list_operations(DOCUMENT[paths])]
    assert schemes == {f"#/components/securitySchemes/{name}" for needed in asked for one in needed for name in one}


@EACH
def test_every_operation_says_how_it_may_be_refused(name: str) -> None:
    refusals = {s: r for s, r in OPERATIONS[name][2]["responses"].items() if s.startswith("4")}
    assert refusals
    for response in refusals.values():
        assert response["content"]["application/json"]["examples"]


@EACH
def test_every_operation_names_one_credential_or_says_that_it_needs_none(name: str) -> None:
    path, _, operation = OPERATIONS[name]
    assert operation["security"] == ([{"ApiKey": []}] if path.startswith("/api/v1") else [])


async def test_answers_have_the_headers_that_are_described_and_no_others(tenant: Tenant, api: Api) -> None:
    key = await tenant.call("POST", "/api-keys", {"name": "Slow", "scope": "api", "requestsPerSecond": 1})
    headers = {"X-API-Key": key["apiKey"]}
    described = OPERATIONS["listLeads"][2]["responses"]
    seen = set()
    for _ in range(3):
        answer = await api.http.get("/api/v1/leads", headers=headers)
        seen.add(answer.status_code)
        ours = {name for name in HEADERS if name.lower() in answer.headers}
        assert ours == set(described[str(answer.status_code)]["headers"])
    assert seen == {200, 429}
    stranger = await api.http.get("/api/v1/leads")
    assert {name for name in HEADERS if name.lower() in stranger.headers} == set(described["401"]["headers"])


def test_the_server_is_the_public_address_or_where_the_document_stands() -> None:
    told = build_app(settings.load(public_base_url=f"{PUBLIC_URL}/")).openapi()
    assert told["servers"] == [{"url": PUBLIC_URL}]
    assert DOCUMENT["servers"] == [{"url": "/"}]


def shorten(paths: set[str]) -> Data:
    """The document with these paths alone, and what they refer to: a linter takes ten seconds for all."""
    document: Data = json.loads(json.dumps(DOCUMENT))
    document["paths"] = {path: item for path, item in document["paths"].items() if path in paths}
    del document["webhooks"]
    while True:
        used = set(find_references(document))
        unused = [
            (kind, name)
            for kind, part in document["components"].items()
            for name in part
            if kind != "securitySchemes" and f"#/components/{kind}/{name}" not in used
        ]
        if not unused:
            return document
        for kind, name in unused:
            del document["components"][kind][name]


def test_the_linters_find_what_is_spoilt_and_nothing_else() -> None:
    """`make check` lints the document as it is; this shows that a warning would fail it."""
    try:
        install_tools()
    except Unreachable as error:
        pytest.skip(str(error))
    spoilt = shorten({"/health/live"})
    spoilt["components"]["schemas"]["Unused"] = {"type": "string"}
    del spoilt["paths"]["/health/live"]["get"]["description"]
    findings = lint(write_document(spoilt, OUTPUT / "spoilt.json"))
    assert {finding.rule for finding in findings} >= {"no-unused-components", "operation-description"}
