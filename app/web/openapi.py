"""The OpenAPI description (`/openapi.json`): what FastAPI cannot derive by itself.

`list_refusals` derives the refusals of an operation from what it takes: a key, a body, an id in
its path, an Idempotency-Key. `EXTRA_REFUSALS` names those that only the operation itself makes.
A test checks the whole document, and the fuzzer compares every answer with it. `make check` lints
it, and clients are generated from it (`tests/document/`).
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, get_args

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic.alias_generators import to_camel
from pydantic_core import to_jsonable_python

from app.agents import payload
from app.domain import problems as p
from app.domain.callers import NEEDS_BY_SCOPE, Need
from app.domain.words import Scope
from app.web import examples, versions
from app.web.dependencies import get_need
from app.web.event_examples import EXAMPLE_EVENTS
from app.web.state import get_state

Operation = dict[str, Any]
TAG_DESCRIPTIONS = {
    "Texts": "Send one text or up to 1,000. Look at one, cancel it.",
    "Interactions": "Threads between one number of yours and one phone of a lead.",
    "Turns": "Texts that were handed to an agent, and the outcome.",
    "Events": "Everything that happened in the tenant, in order.",
    "Webhook endpoints": "Addresses of yours to which the events are posted, in order and signed.",
    "Leads": "The people you text, and how they may not be contacted.",
    "Consent": "Which phones may not be texted, why, and since when.",
    "Campaigns": "Leads belong to campaigns. A campaign names the number and the agent of their texts.",
    "SMS agents": "Agents that answer by webhook: their window, limits and brakes.",
    "Phone numbers": "Your numbers.",
    "Provider accounts": "Your accounts with carriers. Credentials are write-only.",
    "API keys": "Keys and their scopes.",
    "Canned replies": "Texts that people on the page send often.",
    "Saved views": "Filters of the page's list under a name.",
    "Experiments": "A/B tests: two webhooks of an agent are compared while they answer leads.",
    "Trials": "Turns that are kept to try agents with, and what candidates answered to them.",
    "Figures": "What was texted, answered and reached, by campaign, agent, day and more.",
    "Settings": "Settings of the whole tenant.",
    "Health": "For load balancers and supervisors.",
}
"""In the order of the document: what is used every day comes first."""

EXTRA_REFUSALS: dict[str, Sequence[type[p.Problem]]] = {
    "sendText": (
        p.NotFound,
        p.MissingPhoneNumber,
        p.DncBlocked,
        p.CapReached,
        p.ConsentMissing,
        p.ContactRefused,
        p.NoOpenTurn,
        p.StaleTurn,
        p.TurnClosed,
        p.TurnCancelled,
    ),
    "cancelMessage": (p.NotCancellable,),
    "decideOptOut": (p.NotHeld, p.SuppressionActive),
    "changeInteraction": (p.SuppressionActive,),
    "giveOutcome": (p.DncBlocked, p.NoOpenTurn, p.StaleTurn, p.TurnClosed, p.TurnCancelled),
    "openTurn": (p.DncBlocked, p.MissingPhoneNumber, p.AgentNotReady),
    "skipTurn": (p.NotPlanned,),
    "postponeTurn": (p.NotPlanned,),
    "settleHeldReply": (
        p.NotHeld,
        p.DncBlocked,
        p.CapReached,
        p.ConsentMissing,
        p.ContactRefused,
        p.MissingPhoneNumber,
    ),
    "judgeText": (p.MissingPhoneNumber,),
    "addLead": (p.AlreadyExists,),
    "removeLead": (p.InUse,),
    "putDnc": (p.SuppressionActive,),
    "liftDnc": (p.SuppressionActive,),
    "liftSuppression": (p.SuppressionActive,),
    "undoOptOut": (p.NotFound, p.SuppressionActive),
    "addCampaign": (p.AlreadyExists,),
    "addCorpus": (p.AlreadyExists,),
    "startTrial": (p.NotFound,),
    "startExperiment": (p.AlreadyExists,),
    "stopExperiment": (p.AlreadyExists,),
    "removeCampaign": (p.InUse,),
    "changeProviderAccount": (p.InUse,),
    "removeProviderAccount": (p.InUse,),
    "syncProviderNumbers": (p.ProviderError,),
    "checkProviderWebhooks": (p.ProviderError,),
    "addPhoneNumber": (p.AlreadyExists,),
    "removePhoneNumber": (p.InUse,),
    "removeSmsAgent": (p.InUse,),
    # Without a key or a parameter there is little to refuse: a body that nobody asked for.
    "checkLiveness": (p.PayloadTooLarge,),
    "checkReadiness": (p.PayloadTooLarge, p.Unavailable),
}
EXAMPLE_DETAILS: dict[type[p.Problem], list[str]] = {
    p.Invalid: ["message: is required", "sendat: is not a known field"],
    p.MissingPhoneNumber: ["to: the lead has no phone number"],
    p.NoOpenTurn: ["turnId: is needed, several turns of this lead are open"],
    p.AlreadyExists: ["leadId: is taken"],
    p.InUse: ["phoneNumberId: has interactions"],
    p.ProviderError: ["provider: answered 401"],
}
"""Example `details` of problems that have some."""
SAMPLED_AT = datetime(2026, 2, 15, 10, 30, tzinfo=UTC)
RETRYABLE_PROBLEMS: tuple[type[p.Problem], ...] = (p.RateLimited, p.IdempotencyInProgress)
REQUEST_ID, RETRY_AFTER = "X-Request-Id", "Retry-After"
UNCOUNTED_STATUSES = ("401", "413")
"""These are answered before the key is known."""
RATE_HEADERS = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")
HEADERS: dict[str, dict[str, Any]] = {
    REQUEST_ID: {
        "description": "The request's id, also in our logs. A request may bring its own: 8 to 64 of `A-Za-z0-9_.-`.",
        "required": True,
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9_.-]{8,64}$"},
    },
    RETRY_AFTER: {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}},
    versions.ETAG: {
        "description": "The version of this data, for `If-Match`.",
        "schema": {"type": "string", "pattern": '^"[0-9a-f]{32}"$'},
    },
    "RateLimit-Limit": {
        "description": "Requests per second of this key. Only keys with a limit get the three.",
        "schema": {"type": "integer", "minimum": 1},
    },
    "RateLimit-Remaining": {
        "description": "Requests that are allowed at once.",
        "schema": {"type": "integer", "minimum": 0},
    },
    "RateLimit-Reset": {
        "description": "Seconds until the whole limit is free again.",
        "schema": {"type": "integer", "minimum": 1},
    },
}
"""The headers of answers. The edge and the key's bucket add them, not the routes."""
LICENSE = {"name": "MIT", "identifier": "MIT"}
HOOK_SECURITY = {
    "type": "apiKey",
    "in": "header",
    "name": "webhook-signature",
    "description": "What we sign a turn with: the agent's `signingSecret`, as in Standard Webhooks.",
}
PATH_PARAMETER = re.compile(r"{(\w+)}")


def describe_api(app: FastAPI, routers: Sequence[APIRouter], public_url: str | None) -> dict[str, Any]:
    """Returns the whole document. It is built once and then served from memory."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            contact={"name": "Whoever runs this installation"},
            license_info=LICENSE,
            servers=[{"url": public_url.rstrip("/") if public_url else "/"}],
            routes=app.routes,
            webhooks=app.webhooks.routes,
            tags=[{"name": name, "description": about} for name, about in TAG_DESCRIPTIONS.items()],
        )
        document = _name_schemas(document)
        needs = _get_needs(routers)
        for path, method, operation in list_operations(document["paths"]):
            _complete_operation(path, method, operation, needs.get(operation["operationId"]))
        _describe_tags(app, document["paths"])
        for name, _, operation in list_operations(document["webhooks"]):
            _complete_webhook(name, operation)
        document["paths"] = {_name_in_camel_case(path): item for path, item in document["paths"].items()}
        document["components"]["headers"] = HEADERS
        document["components"]["securitySchemes"]["WebhookSignature"] = HOOK_SECURITY
        document["components"]["examples"] = {
            problem.code: {"summary": problem.default, "value": _build_example(problem)}
            for problem in _list_used_problems(document["paths"])
        }
        app.openapi_schema = document
    return app.openapi_schema


def build_operation_id(route: Any) -> str:
    """The name of the route's function in camelCase: a verb and its object, as clients call it."""
    return to_camel(route.name)


def list_operations(paths: Mapping[str, Any]) -> Iterator[tuple[str, str, Operation]]:
    """Yields (path, method, operation) in the document's order."""
    for path, item in paths.items():
        for method, operation in item.items():
            yield path, method, operation


def list_refusals(path: str, method: str, operation: Operation) -> set[type[p.Problem]]:
    """Returns all problems that the operation may answer with, except internal errors (500)."""
    problems = set(EXTRA_REFUSALS.get(operation["operationId"], ()))
    parameters = {(parameter["in"], parameter["name"]) for parameter in operation.get("parameters", ())}
    if operation.get("security"):  # unknown query parameters are refused, too
        problems |= {p.Invalid, p.Unauthorized, p.Forbidden, p.RateLimited, p.Unavailable}
    if parameters or "requestBody" in operation:
        problems.add(p.Invalid)
    if method != "get":
        problems |= {p.PayloadTooLarge, p.OutcomeUnknown}
    if ("header", versions.IF_MATCH) in parameters:
        problems.add(p.PreconditionFailed)
    if ("header", "Idempotency-Key") in parameters:
        problems |= {p.IdempotencyInProgress, p.IdempotencyKeyReused}
    is_creating = method == "put" and path.endswith("}")
    if not is_creating and any(place == "path" and name != "phone" for place, name in parameters):
        problems.add(p.NotFound)
    return problems


def _complete_operation(path: str, method: str, operation: Operation, need: Need | None) -> None:
    if need:
        scopes = [scope for scope in get_args(Scope) if need in NEEDS_BY_SCOPE[scope]]
        scope_note = f"Key scopes: {', '.join(f'`{scope}`' for scope in scopes)}."
    else:
        scope_note = "No key is needed."
    description = operation.get("description")
    operation["description"] = f"{description}\n\n{scope_note}" if description else scope_note
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "path":
            parameter["name"] = to_camel(parameter["name"])
        if parameter["name"] in examples.EXAMPLE_PARAMETERS:
            parameter["example"] = examples.EXAMPLE_PARAMETERS[parameter["name"]]
    if "requestBody" in operation:
        content = operation["requestBody"]["content"]["application/json"]
        content["example"] = examples.EXAMPLE_BODIES[operation["operationId"]]
    del operation["responses"]["default"]
    problems = sorted(
        list_refusals(path, method, operation),
        key=lambda problem_type: (problem_type.status, problem_type.code),
    )
    for problem in problems:
        _add_refusal(operation["responses"], problem)
    operation.setdefault("security", [])  # none is needed, as a tool should read it
    for status, response in operation["responses"].items():
        is_counted = operation["security"] and status not in UNCOUNTED_STATUSES
        _add_headers(response, REQUEST_ID, *(RATE_HEADERS if is_counted else ()))


def _describe_tags(app: FastAPI, paths: Mapping[str, Any]) -> None:
    for path in get_state(app).versioned_paths:
        for method in versions.TAGGED_METHODS & {method.upper() for method in paths[path]}:
            responses = paths[path][method.lower()]["responses"]
            for status in {"200", "201"} & responses.keys():
                _add_headers(responses[status], versions.ETAG)
        _describe_known_version(paths[path]["get"])


def _describe_known_version(operation: Operation) -> None:
    parameter = {
        "name": versions.IF_NONE_MATCH,
        "in": "header",
        "description": "The `ETag` of an earlier answer: 304 without a body if nothing has changed since.",
        "schema": {"type": "string"},
    }
    operation["parameters"] = [*operation.get("parameters", ()), parameter]
    not_modified = {"description": "Not modified: the version that the request names is the newest."}
    _add_headers(not_modified, versions.ETAG, REQUEST_ID, *RATE_HEADERS)
    operation["responses"] = dict(sorted([*operation["responses"].items(), (str(versions.NOT_MODIFIED), not_modified)]))


def _name_schemas(document: dict[str, Any]) -> dict[str, Any]:
    """Returns the document with `Answer_LeadShape_` named by its title: generators make classes of the names. A title
    that several schemas have names none of them."""
    schemas = document["components"]["schemas"]
    schemas_by_title = Counter(schema["title"] for schema in schemas.values())
    titles = {
        name: title
        for name, schema in schemas.items()
        if not name.isalnum() and schemas_by_title[title := schema["title"]] == 1
    }
    document["components"]["schemas"] = {titles.get(name, name): schema for name, schema in schemas.items()}
    references = {f"#/components/schemas/{name}": f"#/components/schemas/{title}" for name, title in titles.items()}
    renamed: dict[str, Any] = _replace_references(document, references)
    return renamed


def _replace_references(value: Any, references: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {name: _replace_references(part, references) for name, part in value.items()}
    if isinstance(value, list):
        return [_replace_references(part, references) for part in value]
    return references.get(value, value) if isinstance(value, str) else value


def _name_in_camel_case(path: str) -> str:
    """The path with its parameters named as the fields of bodies are."""
    return PATH_PARAMETER.sub(lambda found: f"{{{to_camel(found[1])}}}", path)


def _add_headers(response: dict[str, Any], *names: str) -> None:
    headers = response.setdefault("headers", {})
    headers.update({name: {"$ref": f"#/components/headers/{name}"} for name in names})


def _complete_webhook(name: str, operation: Operation) -> None:
    example = EXAMPLE_EVENTS.get(name) or to_jsonable_python(
        payload.build_sample("org_sample", examples.AGENT, SAMPLED_AT)
    )
    operation["requestBody"]["content"]["application/json"]["example"] = example
    operation["security"] = [{"WebhookSignature": []}]


def _add_refusal(responses: dict[str, Any], problem: type[p.Problem]) -> None:
    content = {"schema": {"$ref": "#/components/schemas/Refusal"}, "examples": {}}
    empty = {"description": "", "content": {"application/json": content}}
    response = responses.setdefault(str(problem.status), empty)
    refusal_text = f"`{problem.code}`: {problem.default}"
    response["description"] = f"{response['description']}\n{refusal_text}".strip()
    examples_by_code = response["content"]["application/json"]["examples"]
    examples_by_code[problem.code] = {"$ref": f"#/components/examples/{problem.code}"}
    if problem in RETRYABLE_PROBLEMS:
        _add_headers(response, RETRY_AFTER)


def _build_example(problem: type[p.Problem]) -> dict[str, Any]:
    return {"success": False, "error": problem(details=EXAMPLE_DETAILS.get(problem, ())).to_body()}


def _list_used_problems(paths: Mapping[str, Any]) -> list[type[p.Problem]]:
    used_codes = {
        code
        for _, _, operation in list_operations(paths)
        for response in operation["responses"].values()
        for code in response.get("content", {}).get("application/json", {}).get("examples", ())
    }
    return [problem for problem in list_problems(p.Problem) if problem.code in used_codes]


def list_problems(family: type[p.Problem]) -> list[type[p.Problem]]:
    """Returns the problem classes that have their own code."""
    own_problems = [family] if "code" in vars(family) else []
    return own_problems + [leaf for kind in family.__subclasses__() for leaf in list_problems(kind)]


def _get_needs(routers: Sequence[APIRouter]) -> dict[str, Need]:
    """Returns what each operation requires of a key's scope, by operation id."""
    needs = {}
    for router in routers:
        for route in router.routes:
            if isinstance(route, APIRoute) and (need := get_need(route)):
                needs[build_operation_id(route)] = need
    return needs
