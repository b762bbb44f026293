"""The demo agent: a few rules that qualify a lead, behind real HTTP.

It checks the signature (Standard Webhooks), reads the transcript for what it has asked, and
answers through the API as any agent would, or inline in the webhook's own answer.
"""

import asyncio
import base64
import contextlib
import hmac
import re
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from app.demo import calls
from app.demo.data import Demo, port_of

FRESH = 300
STAMP = re.compile(r"[0-9]{1,12}")
PERSON = re.compile(r"\b(human|person|somebody|someone real|real agent|call me)\b", re.I)
FACTS = (
    (re.compile(r"\b(own|owner|rent)\b.*\?", re.I), "Yes, the roof has to be yours."),
    (
        re.compile(r"\b(price|cost|how much|expensive)\b", re.I),
        "Most homes pay nothing up front; the exact offer depends on your roof.",
    ),
    (re.compile(r"\b(hours|open|when)\b", re.I), "We are here from 9 to 5, Monday to Friday."),
)


def compose(told: dict[str, Any]) -> dict[str, Any]:
    """The answer to a payload: `{"reply"}` or `{"handoff", "reason"}`."""
    said = told["message"]["combinedText"]
    if PERSON.search(said):
        return {"handoff": True, "reason": "the lead asked for a person"}
    mine = [e["message"] for e in told["interaction"]["transcript"] if e["source"] == "sms_agent"]
    name = told["lead"]["firstName"] or "there"
    parts = [] if mine else [f"Hi {name}, thanks for getting back to us!"]
    parts += [fact for pattern, fact in FACTS if pattern.search(said)]
    questions = [entry["question"] for entry in told["questionnaire"]["informationToCollect"]]
    open_ones = [q for q in questions if not any(q in text for text in mine)]
    if open_ones:
        parts.append(open_ones[0])
    elif not parts:
        parts.append(f"Thank you, {name}, that is all I need. A colleague will be in touch.")
    return {"reply": " ".join(parts)}


def genuine(secret: str, headers: Any, body: bytes) -> bool:
    """Whether the request bears one of the agent's signatures, and is fresh."""
    stamp = headers.get("webhook-timestamp", "")
    if not STAMP.fullmatch(stamp) or abs(time.time() - int(stamp)) > FRESH:
        return False
    signed = f"{headers.get('webhook-id', '')}.{stamp}.".encode() + body
    key = base64.b64decode(secret.removeprefix("whsec_"))
    expected = "v1," + base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
    given = headers.get("webhook-signature", "").split()
    return any(hmac.compare_digest(expected.encode(), one.encode()) for one in given)


class Agent:
    """`api_key`: answers go through the API; None: inline."""

    def __init__(self, secret: str, api_url: str, api_key: str | None) -> None:
        self.secret = secret
        self._api_key = api_key
        self._begun: set[asyncio.Task[None]] = set()
        self._api = calls.client(base_url=api_url, timeout=15)

    @contextlib.asynccontextmanager
    async def living(self, _: Starlette) -> AsyncIterator[None]:
        """From start to stop; answers under way are given up."""
        yield
        for task in self._begun:
            task.cancel()
        await asyncio.gather(*self._begun, return_exceptions=True)
        await self._api.aclose()

    async def hear(self, request: Request) -> Response:
        body = await request.body()
        if not genuine(self.secret, request.headers, body):
            return JSONResponse({"error": "the signature is missing or wrong"}, 401)
        told = await request.json()
        answer = compose(told)
        if self._api_key is None or "reply" not in answer:
            return JSONResponse(answer)
        task = asyncio.create_task(self._say(told, answer["reply"]))
        self._begun.add(task)
        task.add_done_callback(self._begun.discard)
        return Response(status_code=202)

    async def _say(self, told: dict[str, Any], text: str) -> None:
        reply = {
            "leadId": told["lead"]["leadId"],
            "message": text,
            "source": "sms_agent",
            "turnId": told["turn"]["turnId"],
        }
        headers = {"X-API-Key": self._api_key or ""}
        for wait in (0.0, 0.5, 2.0):
            await asyncio.sleep(wait)
            try:
                answer = await self._api.post("/api/v1/sms/send", json=reply, headers=headers)
            except httpx.TransportError:
                continue
            if answer.status_code < 500:
                return  # sent, or not wanted any more


async def health(_: Request) -> Response:
    return JSONResponse({"status": "ok"})


def build(secret: str, api_url: str = "", api_key: str | None = None) -> Starlette:
    """The agent as an ASGI application."""
    agent = Agent(secret, api_url, api_key)
    routes = [Route("/", agent.hear, methods=["POST"]), Route("/health", health)]
    return Starlette(routes=routes, lifespan=agent.living)


def main(file: str) -> None:
    """Runs the agent of the demo that `file` tells of."""
    demo = Demo.read(Path(file))
    host, port = port_of(demo.addresses.agent)
    uvicorn.run(
        build(demo.agent_secret, demo.addresses.api, demo.agent_key),
        host=host,
        port=port,
        log_level="warning",
        timeout_graceful_shutdown=1,
    )


if __name__ == "__main__":
    main(sys.argv[1])
