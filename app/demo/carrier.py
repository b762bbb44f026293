"""The simulated carrier: a real HTTP server that can fail in every way in which carriers fail.

The last four digits of the recipient choose what happens (only here; they mean nothing elsewhere):

    0001  refuses: not a phone number          0011  takes it, never answers
    0002  refuses: opted out                   0012  takes it, breaks the connection
    0003  429, Retry-After 1, then takes it    0013  takes it, answers 500
    0004  refuses: unauthorized                0014  answers 500, has not taken it
    0005  refuses: no credit                   0015  answers 500 once, then takes it
    0006  503, has not taken it                0016  as 0013, and its look-up finds nothing
    0007  429 twice, then takes it             0017  takes it, answers after 3 s
    0021  receipt before the answer            0018  takes it, answers a byte at a time, endlessly
    0022  receipts in reverse                  0019  takes it, answers with 8 MiB
    0023  every receipt twice                  0020  takes it, answers with an HTML page
    0024  no receipt at all                    0025  undelivered
                                               0026  undelivered, opted out

For every other number the carrier takes the text and reports `sent`, then `delivered`. On the page
at `/` a person can write texts as a lead.
"""

import asyncio
import hmac
import html
import itertools
import json
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import (
    HTMLResponse,
    JSONResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Route

from app.demo import http_clients
from app.demo.data import Demo, split_address

RECEIPT_DELAY_SECONDS = 0.15
RETRY_DELAYS = (0.2, 1.0, 3.0)
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


@dataclass(slots=True)
class PhoneText:
    """A text on the lead's phone; `mine` if the lead wrote it."""

    id: str
    mine: bool
    other: str
    text: str
    at: str
    status: str
    media: list[Any] = field(default_factory=list)


class Carrier:
    """The carrier's state: accepted texts by reference, and the texts on each phone."""

    def __init__(self, secret: str, inbound_urls: dict[str, str], receipt_delay: float) -> None:
        self.secret = secret
        self.inbound_urls = inbound_urls
        """The URL for inbound texts of each of the customer's numbers."""
        self.receipt_delay = receipt_delay
        self.accepted: dict[str, list[dict[str, Any]]] = {}
        self.phones: dict[str, list[PhoneText]] = {}
        self.lead_texts: list[dict[str, Any]] = []
        """The webhook body of every text that a lead wrote."""
        self.request_counts: dict[str, int] = {}
        self.lookup_counts: dict[str, int] = {}
        """How many look-ups there were, by reference."""
        self.denied_lookup_counts: dict[str, int] = {}
        """How many look-ups found nothing, by reference."""
        self._ids = itertools.count(1)
        self._client = http_clients.build_client(timeout=15)
        self._tasks: set[asyncio.Task[None]] = set()
        self._run = f"{time.time_ns():x}"

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.aclose()

    def new_id(self) -> str:
        return f"sim_{self._run}_{next(self._ids)}"

    def accept_text(self, order: dict[str, Any]) -> dict[str, Any]:
        """Accepts a text and puts it on the lead's phone."""
        accepted_text = {"id": self.new_id(), "status": "queued", **order}
        self.accepted.setdefault(str(order.get("reference")), []).append(accepted_text)
        self.phones.setdefault(order["to"], []).append(
            PhoneText(
                str(accepted_text["id"]),
                False,
                order["from"],
                order["text"],
                _format_now(),
                "received",
                order.get("media") or [],
            )
        )
        return accepted_text

    @property
    def has_open_reports(self) -> bool:
        """Whether background tasks still have receipts to post."""
        return bool(self._tasks)

    def start_task(self, coroutine: Any) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def report_statuses(self, accepted_text: dict[str, Any], *statuses: str, code: str | None = None) -> None:
        """Posts a receipt for each status, one after the other."""
        for status in statuses:
            await asyncio.sleep(self.receipt_delay)
            accepted_text["status"] = status
            body = {
                "type": "status",
                "id": accepted_text["id"],
                "reference": accepted_text.get("reference"),
                "status": status,
                "at": _format_now(),
                **({"code": code} if code else {}),
            }
            if 200 <= await self.post_webhook(accepted_text["callbackUrl"], body) < 300:
                accepted_text.setdefault("told", []).append(status)

    async def post_webhook(self, url: str, body: dict[str, Any]) -> int:
        """Posts a signed webhook, with retries after a 5xx or a broken connection. Returns the last
        status; 0 without an answer."""
        status = 0
        for wait in (0.0, *RETRY_DELAYS):
            await asyncio.sleep(wait)
            try:
                answer = await self._client.post(url, **sign_webhook(self.secret, url, body))
            except httpx.TransportError:
                continue
            status = answer.status_code
            if status < 500:
                break
        return status


def sign_webhook(secret: str, url: str, body: dict[str, Any]) -> dict[str, Any]:
    """Content and headers of a webhook signed for `url`."""
    content, stamp = json.dumps(body).encode(), str(int(time.time()))
    mac = hmac.digest(secret.encode(), f"{stamp}.{url}.".encode() + content, "sha256").hex()
    headers = {
        "Content-Type": "application/json",
        "X-Simulator-Signature": f"t={stamp},v1={mac}",
    }
    return {"content": content, "headers": headers}


def _format_now() -> str:
    return datetime.now(UTC).isoformat()


async def take_text(request: Request) -> Response:
    """POST /messages: takes a text, or does what the recipient's last digits say."""
    carrier: Carrier = request.app.state.carrier
    if not _is_authorized(request, carrier):
        return _build_problem(401, "unauthorized", "The secret is wrong.")
    order = await request.json()
    reference, digits = str(order.get("reference")), order["to"][-4:]
    carrier.request_counts[reference] = carrier.request_counts.get(reference, 0) + 1
    if digits in REFUSALS:
        return _build_problem(*REFUSALS[digits])
    first_count, first_answer = FIRST_ANSWERS.get(digits, (0, RATE_LIMIT_ANSWER))
    if carrier.request_counts[reference] <= first_count:
        return _build_problem(*first_answer)
    accepted_text = carrier.accept_text(order)
    answer = JSONResponse({"id": accepted_text["id"], "status": "queued"}, 202)
    match digits:
        case "0011":
            await asyncio.sleep(60)
        case "0012":
            return BrokenResponse()
        case "0013" | "0016":
            return _build_problem(500, "internal", "Something broke after the text was taken.")
        case "0017":
            carrier.start_task(carrier.report_statuses(accepted_text, "sent", "delivered"))
            await asyncio.sleep(3)
        case "0018":
            return StreamingResponse(_drip_body(), 202)
        case "0019":
            return Response(b" " * (8 << 20) + b"{}", 202)
        case "0020":
            return HTMLResponse("<h1>It works!</h1>")
        case "0021":
            await carrier.report_statuses(accepted_text, "delivered")
            return answer
        case "0022":
            carrier.start_task(carrier.report_statuses(accepted_text, "delivered", "sent"))
        case "0023":
            carrier.start_task(carrier.report_statuses(accepted_text, "sent", "sent", "delivered", "delivered"))
        case "0025":
            carrier.start_task(carrier.report_statuses(accepted_text, "sent", "undelivered", code="unreachable"))
        case "0026":
            carrier.start_task(carrier.report_statuses(accepted_text, "undelivered", code="opted_out"))
        case "0024":
            pass
        case _:
            carrier.start_task(carrier.report_statuses(accepted_text, "sent", "delivered"))
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
    carrier: Carrier = request.app.state.carrier
    if not _is_authorized(request, carrier):
        return _build_problem(401, "unauthorized", "The secret is wrong.")
    reference = request.query_params.get("reference", "")
    carrier.lookup_counts[reference] = carrier.lookup_counts.get(reference, 0) + 1
    accepted_texts = [t for t in carrier.accepted.get(reference, []) if not t["to"].endswith("0016")]
    if not accepted_texts:
        carrier.denied_lookup_counts[reference] = carrier.denied_lookup_counts.get(reference, 0) + 1
    return JSONResponse({"messages": [_describe_text(accepted_text) for accepted_text in accepted_texts]})


async def look_up_text(request: Request) -> Response:
    """GET /messages/{id}"""
    carrier: Carrier = request.app.state.carrier
    if not _is_authorized(request, carrier):
        return _build_problem(401, "unauthorized", "The secret is wrong.")
    all_texts = itertools.chain.from_iterable(carrier.accepted.values())
    accepted_text = next((t for t in all_texts if t["id"] == request.path_params["id"]), None)
    return (
        JSONResponse(_describe_text(accepted_text))
        if accepted_text
        else _build_problem(404, "unknown", "No such text.")
    )


def _describe_text(accepted_text: dict[str, Any]) -> dict[str, Any]:
    return {name: accepted_text.get(name) for name in ("id", "reference", "status")}


async def list_numbers(request: Request) -> Response:
    """GET /numbers: the customer's numbers and their webhooks."""
    carrier: Carrier = request.app.state.carrier
    if not _is_authorized(request, carrier):
        return _build_problem(401, "unauthorized", "The secret is wrong.")
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
    carrier: Carrier = request.app.state.carrier
    if not _is_authorized(request, carrier):
        return _build_problem(401, "unauthorized", "The secret is wrong.")
    since = request.query_params.get("since", "")
    return JSONResponse({"texts": [body for body in carrier.lead_texts if body["sentAt"] >= since]})


async def list_twilio_texts(request: Request) -> Response:
    """GET Twilio's list of texts, which is empty: the demo's Twilio number has missed none."""
    return JSONResponse({"messages": [], "next_page_uri": None})


async def text_as_lead(request: Request) -> Response:
    """POST /phone/{phone}/texts {"to", "text", "media"?}: writes a text as the lead."""
    carrier: Carrier = request.app.state.carrier
    body = await request.json()
    status = await _write_text(
        carrier, request.path_params["phone"], body["to"], body.get("text", ""), body.get("media") or []
    )
    is_passed_on = 200 <= status < 300
    return JSONResponse({"status": status}, 200 if is_passed_on else 502)


async def _write_text(carrier: Carrier, phone: str, to: str, text: str, media: list[Any]) -> int:
    """Posts a lead's text to the number's webhook. Returns the webhook's status; 404 without one."""
    body: dict[str, Any] = {
        "type": "inbound",
        "id": carrier.new_id(),
        "from": phone,
        "to": to,
        "text": text,
        "media": media,
        "sentAt": _format_now(),
    }
    carrier.lead_texts.append(body)
    phone_text = PhoneText(body["id"], True, to, text, _format_now(), "sending", media)
    carrier.phones.setdefault(phone, []).append(phone_text)
    url = carrier.inbound_urls.get(to)
    status = await carrier.post_webhook(url, body) if url else 404
    phone_text.status = "delivered" if 200 <= status < 300 else "not delivered"
    return status


async def list_phone_texts(request: Request) -> Response:
    """GET /phone/{phone}/texts: the texts on the phone, in order."""
    carrier: Carrier = request.app.state.carrier
    texts = carrier.phones.get(request.path_params["phone"], [])
    return JSONResponse({"texts": [{name: getattr(text, name) for name in PhoneText.__slots__} for text in texts]})


async def count_requests(request: Request) -> Response:
    """GET /accepted?reference=…: how often the text was accepted, and how many requests sent it."""
    carrier: Carrier = request.app.state.carrier
    reference = request.query_params.get("reference", "")
    return JSONResponse(
        {
            "accepted": len(carrier.accepted.get(reference, [])),
            "requests": carrier.request_counts.get(reference, 0),
        }
    )


async def configure_number(request: Request) -> Response:
    """POST /configure {"number", "inboundUrl"}: sets a number's webhook."""
    carrier: Carrier = request.app.state.carrier
    body = await request.json()
    carrier.inbound_urls[body["number"]] = body["inboundUrl"]
    return JSONResponse({})


async def answer_health(_: Request) -> Response:
    return JSONResponse({"status": "ok"})


PAGE_HTML = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>The lead's phone</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>
:root{{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}}
body{{max-width:34rem;margin:2rem auto;padding:0 1rem}}
ol{{list-style:none;padding:0;display:flex;flex-direction:column;gap:.5rem}}
li{{max-width:80%;padding:.5rem .8rem;border-radius:1rem;background:#8883;white-space:pre-wrap;
overflow-wrap:anywhere}}
li.mine{{align-self:end;background:#1769d2;color:#fff}} small{{opacity:.75}}
form{{display:grid;gap:.6rem;margin-top:1rem}}
textarea,input,select,button{{font:inherit;padding:.5rem}}
</style></head><body><h1>The lead’s phone</h1>
<form method="get"><label>Phone <input name="phone" value="{phone}" list="known"></label>
<datalist id="known">{known}</datalist><button>Show</button></form>
<ol role="log" aria-label="Texts">{texts}</ol>
<form method="post"><input type="hidden" name="phone" value="{phone}">
<label>To <select name="to">{numbers}</select></label>
<label>Text <textarea name="text" rows="3" required></textarea></label>
<button>Text as the lead</button></form></body></html>"""


async def show_phone(request: Request) -> Response:
    """The page of a lead's phone."""
    carrier: Carrier = request.app.state.carrier
    if request.method == "POST":
        form = await request.form()
        phone = str(form["phone"])
        await _write_text(carrier, phone, str(form["to"]), str(form["text"]), [])
        return RedirectResponse(f"/?phone={phone.replace('+', '%2B')}", 303)
    phone = request.query_params.get("phone") or next(iter(carrier.phones), request.app.state.lead)
    texts = "".join(
        f'<li class="{"mine" if text.mine else "theirs"}">{html.escape(text.text)}<br>'
        f"<small>{text.at[11:19]} · {html.escape(text.other)} · {text.status}</small></li>"
        for text in carrier.phones.get(phone, [])
    )
    phone_options = "".join(f'<option value="{html.escape(name)}">' for name in carrier.phones)
    number_options = "".join(f"<option>{html.escape(to)}</option>" for to in carrier.inbound_urls)
    return HTMLResponse(
        PAGE_HTML.format(phone=html.escape(phone), texts=texts, known=phone_options, numbers=number_options)
    )


def _is_authorized(request: Request, carrier: Carrier) -> bool:
    authorization = request.headers.get("authorization", "")
    return hmac.compare_digest(authorization.encode(), f"Bearer {carrier.secret}".encode())


def _build_problem(status: int, code: str, message: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"code": code, "message": message}, status, headers)


def build_app(
    secret: str,
    inbound_urls: dict[str, str] | None = None,
    lead: str = "+12125551234",
    receipts: float = RECEIPT_DELAY_SECONDS,
) -> Starlette:
    """The carrier of one customer, with this secret. `inbound_urls` are the webhooks of its numbers,
    `lead` is the phone that the page shows first, `receipts` the seconds before each receipt."""
    app = Starlette(
        routes=[
            Route("/", show_phone, methods=["GET", "POST"]),
            Route("/health", answer_health),
            Route("/messages", take_text, methods=["POST"]),
            Route("/messages", look_up_texts, methods=["GET"]),
            Route("/messages/{id}", look_up_text, methods=["GET"]),
            Route("/numbers", list_numbers),
            Route("/inbound", list_inbound_texts),
            Route("/2010-04-01/Accounts/{sid}/Messages.json", list_twilio_texts),
            Route("/configure", configure_number, methods=["POST"]),
            Route("/accepted", count_requests),
            Route("/phone/{phone}/texts", text_as_lead, methods=["POST"]),
            Route("/phone/{phone}/texts", list_phone_texts, methods=["GET"]),
        ],
    )
    app.state.carrier = Carrier(secret, dict(inbound_urls or {}), receipts)
    app.state.lead = lead
    return app


def run_carrier(file: str) -> None:
    """Runs the carrier of the demo that `file` describes."""
    demo = Demo.read(Path(file))
    inbound = f"{demo.addresses.api}/webhooks/simulator/{demo.account_id}/inbound"
    host, port = split_address(demo.addresses.carrier)
    uvicorn.run(
        build_app(demo.carrier_secret, {demo.number: inbound}),
        host=host,
        port=port,
        log_level="warning",
        timeout_graceful_shutdown=1,
    )


if __name__ == "__main__":
    run_carrier(sys.argv[1])
