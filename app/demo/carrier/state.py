"""The carrier's state: the texts that it accepted, the texts on each phone, and open receipts."""

import asyncio
import hmac
import itertools
import json
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
from starlette.requests import Request

from app.demo import http_clients

RETRY_DELAYS = (0.2, 1.0, 3.0)
RECEIPTS_AT_ONCE = 32
"""Much fewer than the connections of the client: texts of leads do not wait for receipts."""
PRICE = {"price": "0.0079", "currency": "USD"}
"""Of any text; told when it has arrived."""


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
        self.is_suspended = False
        """Refuses every text, whoever it is for."""
        self._ids = itertools.count(1)
        self._client = http_clients.build_client(timeout=15)
        self._receipt_slots = asyncio.Semaphore(RECEIPTS_AT_ONCE)
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
        accepted_order = {"id": self.new_id(), "status": "queued", **order}
        self.accepted.setdefault(str(order.get("reference")), []).append(accepted_order)
        self.phones.setdefault(order["to"], []).append(
            PhoneText(
                str(accepted_order["id"]),
                False,
                order["from"],
                order["text"],
                format_now(),
                "received",
                order.get("media") or [],
            )
        )
        return accepted_order

    @property
    def has_open_reports(self) -> bool:
        """Whether background tasks still have receipts to post."""
        return bool(self._tasks)

    def start_task(self, coroutine: Any) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def report_statuses(self, accepted_order: dict[str, Any], *statuses: str, code: str | None = None) -> None:
        """Posts a receipt for each status, one after the other."""
        for status in statuses:
            await asyncio.sleep(self.receipt_delay)
            accepted_order["status"] = status
            body = {
                "type": "status",
                "id": accepted_order["id"],
                "reference": accepted_order.get("reference"),
                "to": accepted_order["to"],
                "status": status,
                "at": format_now(),
                **({"code": code} if code else {}),
                **(PRICE if status == "delivered" else {}),
            }
            async with self._receipt_slots:
                answer_status = await self.post_webhook(accepted_order["callbackUrl"], body)
            if 200 <= answer_status < 300:
                accepted_order.setdefault("told", []).append(status)

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
    headers = {"Content-Type": "application/json", "X-Simulator-Signature": f"t={stamp},v1={mac}"}
    return {"content": content, "headers": headers}


def format_now() -> str:
    return datetime.now(UTC).isoformat()


def get_carrier(request: Request) -> Carrier:
    """The state of the carrier that serves `request`."""
    carrier: Carrier = request.app.state.carrier
    return carrier
