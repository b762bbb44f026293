"""The OpenAPI description (`/openapi.json`): what FastAPI cannot derive by itself.

`list_refusals` derives the refusals of an operation from what it takes: a key, a body, an id in
its path, an Idempotency-Key. `EXTRA_REFUSALS` names those that only the operation itself makes.
A test checks the whole document, and the fuzzer compares every answer with it.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, get_args

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic_core import to_jsonable_python

from app.agents import payload
from app.domain import problems as p
from app.domain.callers import NEEDS_BY_SCOPE, Need
from app.domain.words import Scope
from app.web import examples
from app.web.dependencies import get_need
from app.web.event_examples import EXAMPLE_EVENTS

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
    "Settings": "Settings of the whole tenant.",
    "Health": "For load balancers and supervisors.",
}
"""In the order of the document: what is used every day comes first."""

EXTRA_REFUSALS: dict[str, Sequence[type[p.Problem]]] = {
    "sms-send-one": (
        p.NotFound,
        p.MissingPhoneNumber,
        p.DncBlocked,
        p.NoOpenTurn,
        p.StaleTurn,
        p.TurnClosed,
        p.TurnCancelled,
    ),
    "sms-cancel": (p.NotCancellable,),
    "sms-decide-opt-out": (p.NotHeld, p.SuppressionActive),
    "interactions-patch": (p.SuppressionActive,),
    "outcomes-give": (p.DncBlocked, p.NoOpenTurn, p.StaleTurn, p.TurnClosed, p.TurnCancelled),
    "turns-settle-held": (p.NotHeld, p.DncBlocked, p.MissingPhoneNumber),
    "leads-add": (p.AlreadyExists,),
    "leads-remove": (p.InUse,),
    "dnc-put": (p.SuppressionActive,),
    "dnc-lift": (p.SuppressionActive,),
    "consent-lift": (p.SuppressionActive,),
    "consent-undo": (p.NotFound, p.SuppressionActive),
    "campaigns-add": (p.AlreadyExists,),
    "campaigns-remove": (p.InUse,),
    "provider-accounts-change": (p.InUse,),
    "provider-accounts-remove": (p.InUse,),
    "vendor-sync": (p.ProviderError,),
    "vendor-check": (p.ProviderError,),
    "phone-numbers-add": (p.AlreadyExists,),
    "phone-numbers-remove": (p.InUse,),
    "sms-agents-remove": (p.InUse,),
    "health-ready": (p.Unavailable,),
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
RETRY_HEADERS = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}}}


def describe_api(app: FastAPI, routers: Sequence[APIRouter]) -> dict[str, Any]:
    """Returns the whole document. It is built once and then served from memory."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
            webhooks=app.webhooks.routes,
            tags=[{"name": name, "description": about} for name, about in TAG_DESCRIPTIONS.items()],
        )
        needs = _get_needs(app, routers)
        for path, method, operation in list_operations(document["paths"]):
            _complete_operation(path, method, operation, needs.get(operation["operationId"]))
        for name, _, operation in list_operations(document["webhooks"]):
            _complete_webhook(name, operation)
        document["components"]["examples"] = {
            problem.code: {"summary": problem.default, "value": _build_example(problem)}
            for problem in _list_problems(p.Problem)
        }
        app.openapi_schema = document
    return app.openapi_schema


def list_operations(paths: Mapping[str, Any]) -> Iterator[tuple[str, str, Operation]]:
    """Yields (path, method, operation) in the document's order."""
    for path, item in paths.items():
        for method, operation in item.items():
            yield path, method, operation


def list_refusals(path: str, method: str, operation: Operation) -> set[type[p.Problem]]:
    """Returns all problems that the operation may answer with, except internal errors (500)."""
    problems = set(EXTRA_REFUSALS.get(operation["operationId"], ()))
    parameters = {(parameter["in"], parameter["name"]) for parameter in operation.get("parameters", ())}
    if operation.get("security"):
        problems |= {p.Unauthorized, p.Forbidden, p.RateLimited, p.Unavailable}
    if parameters or "requestBody" in operation:
        problems.add(p.Invalid)
    if method != "get":
        problems |= {p.PayloadTooLarge, p.OutcomeUnknown}
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


def _complete_webhook(name: str, operation: Operation) -> None:
    example = EXAMPLE_EVENTS.get(name) or to_jsonable_python(
        payload.build_sample("org_sample", examples.AGENT, SAMPLED_AT)
    )
    operation["requestBody"]["content"]["application/json"]["example"] = example


def _add_refusal(responses: dict[str, Any], problem: type[p.Problem]) -> None:
    content = {"schema": {"$ref": "#/components/schemas/Refusal"}, "examples": {}}
    empty = {"description": "", "content": {"application/json": content}}
    response = responses.setdefault(str(problem.status), empty)
    refusal_text = f"`{problem.code}`: {problem.default}"
    response["description"] = f"{response['description']}\n{refusal_text}".strip()
    examples_by_code = response["content"]["application/json"]["examples"]
    examples_by_code[problem.code] = {"$ref": f"#/components/examples/{problem.code}"}
    if problem in RETRYABLE_PROBLEMS:
        response["headers"] = RETRY_HEADERS


def _build_example(problem: type[p.Problem]) -> dict[str, Any]:
    return {"success": False, "error": problem(details=EXAMPLE_DETAILS.get(problem, ())).to_body()}


def _list_problems(family: type[p.Problem]) -> list[type[p.Problem]]:
    """Returns the problem classes that have their own code."""
    own_problems = [family] if "code" in vars(family) else []
    return own_problems + [leaf for kind in family.__subclasses__() for leaf in _list_problems(kind)]


def _get_needs(app: FastAPI, routers: Sequence[APIRouter]) -> dict[str, Need]:
    """Returns what each operation requires of a key's scope, by operation id."""
    needs = {}
    for router in routers:
        for route in router.routes:
            if isinstance(route, APIRoute) and (need := get_need(route)):
                needs[app.router.generate_unique_id_function(route)] = need
    return needs
