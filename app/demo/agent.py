"""The demo agent: a real HTTP server with a few rules that qualify a lead.

It checks the signature (Standard Webhooks), sees in the transcript what it has asked already, and
replies through the API or in its answer to the webhook. It records the lead's answers, and when it has
all of them, whether the lead is qualified.
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

from app.demo import http_clients
from app.demo.data import Demo, split_address

MAX_SIGNATURE_AGE = 300
TIMESTAMP = re.compile(r"[0-9]{1,12}")
PERSON_WISH = re.compile(r"\b(human|person|somebody|someone real|real agent|call me)\b", re.I)
NO_ANSWER = re.compile(r"\b(no|nope|not|rent|renting)\b", re.I)
MAX_SUMMARY_LENGTH = 1000
FACT_ANSWERS = (
    (re.compile(r"\b(own|owner|rent)\b.*\?", re.I), "Yes, the roof has to be yours."),
    (
        re.compile(r"\b(price|cost|how much|expensive)\b", re.I),
        "Most homes pay nothing up front; the exact offer depends on your roof.",
    ),
    (re.compile(r"\b(hours|open|when)\b", re.I), "We are here from 9 to 5, Monday to Friday."),
)


def compose_answer(payload: dict[str, Any]) -> dict[str, Any]:
    """The answer to a turn's payload: `{"handoff", "reason"}`, or `{"reply"}` with the outcome so far."""
    lead_text = payload["message"]["combinedText"]
    if PERSON_WISH.search(lead_text):
        return {"handoff": True, "reason": "the lead asked for a person"}
    own_texts = [e["message"] for e in payload["interaction"]["transcript"] if e["source"] == "sms_agent"]
    name = payload["lead"]["firstName"] or "there"
    parts = [] if own_texts else [f"Hi {name}, thanks for getting back to us!"]
    parts += [fact for pattern, fact in FACT_ANSWERS if pattern.search(lead_text)]
    questions = [entry["question"] for entry in payload["questionnaire"]["informationToCollect"]]
    open_questions = [q for q in questions if not any(q in text for text in own_texts)]
    if open_questions:
        parts.append(open_questions[0])
    elif not parts:
        parts.append(f"Thank you, {name}, that is all I need. A colleague will be in touch.")
    return {"reply": " ".join(parts)} | find_outcome(payload, own_texts)


def find_outcome(payload: dict[str, Any], own_texts: list[str]) -> dict[str, Any]:
    """What this turn brings: `answers` to the question that was asked last, and with the last answer
    `status` and `summary`. Empty: nothing."""
    questionnaire = payload["questionnaire"]
    asked_entry = next(
        (q for q in questionnaire["informationToCollect"] if q["question"] in "".join(own_texts[-1:])), None
    )
    answering_texts = [entry for entry in payload["message"].get("messages", []) if "?" not in entry["text"]]
    if not asked_entry or not answering_texts:
        return {}
    answer = {"key": asked_entry["key"], "answer": answering_texts[-1]["text"]}
    outcome: dict[str, Any] = {"answers": [answer | {"messageId": answering_texts[-1]["messageId"]}]}
    if len(questionnaire["informationToCollect"]) > 1:
        return outcome
    facts = [*questionnaire["knownInformation"], {**asked_entry, **answer}]
    is_unfit = any(fact["key"] == "homeowner" and NO_ANSWER.search(fact["answer"]) for fact in facts)
    summary = " ".join(f"{fact['question']} {fact['answer'].rstrip('. ')}." for fact in facts)[:MAX_SUMMARY_LENGTH]
    return outcome | {"status": "disqualified" if is_unfit else "qualified", "summary": summary}


def is_genuine(secret: str, headers: Any, body: bytes) -> bool:
    """Whether the request has a valid signature that is at most `MAX_SIGNATURE_AGE` seconds old."""
    stamp = headers.get("webhook-timestamp", "")
    if not TIMESTAMP.fullmatch(stamp) or abs(time.time() - int(stamp)) > MAX_SIGNATURE_AGE:
        return False
    signed_bytes = f"{headers.get('webhook-id', '')}.{stamp}.".encode() + body
    key = base64.b64decode(secret.removeprefix("whsec_"))
    expected_signature = "v1," + base64.b64encode(hmac.digest(key, signed_bytes, "sha256")).decode()
    given_signatures = headers.get("webhook-signature", "").split()
    return any(hmac.compare_digest(expected_signature.encode(), signature.encode()) for signature in given_signatures)


class Agent:
    """The agent's state. With an `api_key` it replies through the API, without one inline."""

    def __init__(self, secret: str, api_url: str, api_key: str | None) -> None:
        self.secret = secret
        self._api_key = api_key
        self._tasks: set[asyncio.Task[None]] = set()
        self._api = http_clients.build_client(base_url=api_url, timeout=15)

    @contextlib.asynccontextmanager
    async def run_lifespan(self, _: Starlette) -> AsyncIterator[None]:
        """Cancels at the end the replies that are still being sent."""
        yield
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._api.aclose()

    async def take_turn(self, request: Request) -> Response:
        body = await request.body()
        if not is_genuine(self.secret, request.headers, body):
            return JSONResponse({"error": "the signature is missing or wrong"}, 401)
        payload = await request.json()
        answer = compose_answer(payload)
        if self._api_key is None or "reply" not in answer:
            return JSONResponse(answer)
        task = asyncio.create_task(self._send_answer(payload, answer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return Response(status_code=202)

    async def _send_answer(self, payload: dict[str, Any], answer: dict[str, Any]) -> None:
        """Sends the reply, then the outcome: an outcome alone would close the turn."""
        turn_id = payload["turn"]["turnId"]
        reply = {
            "leadId": payload["lead"]["leadId"],
            "message": answer["reply"],
            "source": "sms_agent",
            "turnId": turn_id,
        }
        outcome = {name: value for name, value in answer.items() if name != "reply"}
        await self._post("/api/v1/sms/send", reply)
        if outcome:
            await self._post(f"/api/v1/turns/{turn_id}/outcome", outcome)

    async def _post(self, path: str, body: dict[str, Any]) -> None:
        headers = {"X-API-Key": self._api_key or ""}
        for wait in (0.0, 0.5, 2.0):
            await asyncio.sleep(wait)
            try:
                answer = await self._api.post(path, json=body, headers=headers)
            except httpx.TransportError:
                continue
            if answer.status_code < 500:
                return  # taken, or refused: another attempt would not help


async def answer_health(_: Request) -> Response:
    return JSONResponse({"status": "ok"})


def build_app(secret: str, api_url: str = "", api_key: str | None = None) -> Starlette:
    """The agent as an ASGI application."""
    agent = Agent(secret, api_url, api_key)
    routes = [Route("/", agent.take_turn, methods=["POST"]), Route("/health", answer_health)]
    return Starlette(routes=routes, lifespan=agent.run_lifespan)


def run_agent(file: str) -> None:
    """Runs the agent of the demo that `file` describes."""
    demo = Demo.read(Path(file))
    host, port = split_address(demo.addresses.agent)
    uvicorn.run(
        build_app(demo.agent_secret, demo.addresses.api, demo.agent_key),
        host=host,
        port=port,
        log_level="warning",
        timeout_graceful_shutdown=1,
    )


if __name__ == "__main__":
    run_agent(sys.argv[1])
