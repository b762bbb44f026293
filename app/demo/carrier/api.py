"""The API of the carrier, as its customers call it, and what tests ask it."""

import asyncio
import hmac
import itertools
from collections.abc import AsyncIterator
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse

from app.demo.carrier.state import Carrier, get_carrier

REFUSALS = {
    "0001": (400, "bad_number", "The number is not a phone."),
    "0002": (400, "opted_out", "The recipient has opted out."),
    "0004": (401, "unauthorized", "The account may not send."),
    "0005": (402, "no_credit", "The account has no credit."),
    "0006": (503, "down", "The carrier is down."),
    "0014": (500, "internal", "Something broke before the text was taken."),
}
RATE_LIMIT_ANSWER = (429, "rate_limited", "Too many at once.", {"Retry-After": "1"})
FIRST_ANSWERS: dict[str, tuple[int, tuple[Any, ...]]] = {
    "0003": (1, RATE_LIMIT_ANSWER),
    "0007": (2, RATE_LIMIT_ANSWER),
    "0015": (1, REFUSALS["0014"]),
}
"""How many of the first requests for a text get which answer."""


async def take_text(request: Request) -> Response:
    """POST /messages: takes a text, or does what the recipient's last digits say."""
    carrier = get_carrier(request)
    if not _is_authorized(request, carrier):
        return _build_problem(401, "wrong_credentials", "The secret is wrong.")
    if carrier.is_suspended:
        return _build_problem(403, "suspended", "The account is suspended.")
    order = await request.json()
    reference, digits = str(order.get("reference")), order["to"][-4:]
    carrier.request_counts[reference] = carrier.request_counts.get(reference, 0) + 1
    if digits in REFUSALS:
        return _build_problem(*REFUSALS[digits])
    first_count, first_answer = FIRST_ANSWERS.get(digits, (0, RATE_LIMIT_ANSWER))
    if carrier.request_counts[reference] <= first_count:
        return _build_problem(*first_answer)
    accepted_order = carrier.accept_text(order)
    answer = JSONResponse({"id": accepted_order["id"], "status": "queued"}, 202)
    match digits:
        case "0011":
            await asyncio.sleep(60)
        case "0012":
            return BrokenResponse()
        case "0013" | "0016":
            return _build_problem(500, "internal", "Something broke after the text was taken.")
        case "0017":
            carrier.start_task(carrier.report_statuses(accepted_order, "sent", "delivered"))
            await asyncio.sleep(3)
        case "0018":
            return StreamingResponse(_drip_body(), 202)
        case "0019":
            return Response(b" " * (8 << 20) + b"{}", 202)
        case "0020":
            return HTMLResponse("<h1>It works!</h1>")
        case "0021":
            await carrier.report_statuses(accepted_order, "delivered")
            return answer
        case "0022":
            carrier.start_task(carrier.report_statuses(accepted_order, "delivered", "sent"))
        case "0023":
            carrier.start_task(carrier.report_statuses(accepted_order, "sent", "sent", "delivered", "delivered"))
        case "0025":
            carrier.start_task(carrier.report_statuses(accepted_order, "sent", "undelivered", code="unreachable"))
        case "0026":
            carrier.start_task(carrier.report_statuses(accepted_order, "undelivered", code="opted_out"))
        case "0024":
            pass
        case _:
            carrier.start_task(carrier.report_statuses(accepted_order, "sent", "delivered"))
    return answer


async def _drip_body() -> AsyncIterator[bytes]:
    while True:
        yield b" "
        await asyncio.sleep(0.5)


class BrokenResponse(Response):
    """An answer that breaks off: the body is shorter than its Content-Length."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 202, "headers": [(b"content-length", b"100")]})
        await send({"type": "http.response.body", "body": b'{"id"', "more_body": True})


async def look_up_texts(request: Request) -> Response:
    """GET /messages?reference=…: every text that was taken with this reference."""
    carrier = get_carrier(request)
    if not _is_authorized(request, carrier):
        return _build_problem(401, "wrong_credentials", "The secret is wrong.")
    reference = request.query_params.get("reference", "")
    carrier.lookup_counts[reference] = carrier.lookup_counts.get(reference, 0) + 1
    accepted_texts = [t for t in carrier.accepted.get(reference, []) if not t["to"].endswith("0016")]
    if not accepted_texts:
        carrier.denied_lookup_counts[reference] = carrier.denied_lookup_counts.get(reference, 0) + 1
    return JSONResponse({"messages": [_describe_text(accepted_order) for accepted_order in accepted_texts]})


async def look_up_text(request: Request) -> Response:
    """GET /messages/{id}"""
    carrier = get_carrier(request)
    if not _is_authorized(request, carrier):
        return _build_problem(401, "wrong_credentials", "The secret is wrong.")
    all_texts = itertools.chain.from_iterable(carrier.accepted.values())
    accepted_order = next((t for t in all_texts if t["id"] == request.path_params["id"]), None)
    return (
        JSONResponse(_describe_text(accepted_order))
        if accepted_order
        else _build_problem(404, "unknown", "No such text.")
    )


def _describe_text(accepted_order: dict[str, Any]) -> dict[str, Any]:
    return {name: accepted_order.get(name) for name in ("id", "reference", "status")}


async def list_numbers(request: Request) -> Response:
    """GET /numbers: the customer's numbers and their webhooks."""
    carrier = get_carrier(request)
    if not _is_authorized(request, carrier):
        return _build_problem(401, "wrong_credentials", "The secret is wrong.")
    return JSONResponse(
        {
            "numbers": [
                {"number": number, "capabilities": ["sms", "mms"], "inboundUrl": url}
                for number, url in carrier.inbound_urls.items()
            ]
        }
    )


async def list_inbound_texts(request: Request) -> Response:
    """GET /inbound?since=…: the texts of leads since then, whether their webhook succeeded or not."""
    carrier = get_carrier(request)
    if not _is_authorized(request, carrier):
        return _build_problem(401, "wrong_credentials", "The secret is wrong.")
    since = request.query_params.get("since", "")
    return JSONResponse({"texts": [body for body in carrier.lead_texts if body["sentAt"] >= since]})


async def list_twilio_texts(request: Request) -> Response:
    """GET Twilio's list of texts, which is empty: the demo's Twilio number has missed none."""
    return JSONResponse({"messages": [], "next_page_uri": None})


async def count_requests(request: Request) -> Response:
    """GET /accepted?reference=…: how often the text was accepted, and how many requests sent it."""
    carrier = get_carrier(request)
    reference = request.query_params.get("reference", "")
    return JSONResponse(
        {"accepted": len(carrier.accepted.get(reference, [])), "requests": carrier.request_counts.get(reference, 0)}
    )


async def configure_number(request: Request) -> Response:
    """POST /configure {"number", "inboundUrl"}: sets a number's webhook."""
    carrier = get_carrier(request)
    body = await request.json()
    carrier.inbound_urls[body["number"]] = body["inboundUrl"]
    return JSONResponse({})


async def answer_health(_: Request) -> Response:
    return JSONResponse({"status": "ok"})


def _is_authorized(request: Request, carrier: Carrier) -> bool:
    authorization = request.headers.get("authorization", "")
    return hmac.compare_digest(authorization.encode(), f"Bearer {carrier.secret}".encode())


def _build_problem(status: int, code: str, message: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"code": code, "message": message}, status, headers)
