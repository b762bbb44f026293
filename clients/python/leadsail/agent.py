"""An agent: a function that answers turns, as an ASGI application.

agent = Agent(os.environ["AGENT_SECRET"])

@agent.turn
async def answer(turn: Turn) -> str:
    return f"You wrote: {turn.text}"

app.add_route("/sms", agent, methods=["POST"])  # FastAPI and Starlette; `uvicorn module:agent` alone
"""

import inspect
import json
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import anyio.to_thread

from leadsail.errors import InvalidSignature
from leadsail.webhooks import verify

MAX_BODY_BYTES = 16 * 1024 * 1024
log = logging.getLogger("leadsail.agent")


@dataclass(frozen=True, slots=True)
class Turn:
    """What a lead wrote within one window. `payload` is all that the service sent."""

    payload: dict[str, Any]
    kind: str | None = None
    """`replay`, `shadow` or `test`: the answer is only recorded. None: the lead gets it."""

    @property
    def turn_id(self) -> str:
        return str(self.payload["turn"]["turnId"])

    @property
    def interaction_id(self) -> str:
        return str(self.payload["interaction"]["interactionId"])

    @property
    def text(self) -> str:
        """All texts of the turn, one per line."""
        return str(self.payload["message"]["combinedText"])

    @property
    def messages(self) -> list[dict[str, Any]]:
        return list(self.payload["message"]["messages"])

    @property
    def transcript(self) -> list[dict[str, Any]]:
        """The conversation so far, with the texts of this turn."""
        return list(self.payload["interaction"]["transcript"])

    @property
    def lead(self) -> dict[str, Any]:
        return dict(self.payload["lead"])

    @property
    def open_questions(self) -> list[dict[str, Any]]:
        return list(self.payload["questionnaire"]["informationToCollect"])


@dataclass(frozen=True, slots=True)
class HandOff:
    """A person takes over, after these texts."""

    reason: str | None = None
    texts: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the conversation came to, beside these texts. `answers`: the lead's, by the question's key."""

    status: str | None = None
    summary: str | None = None
    answers: Mapping[str, str] = field(default_factory=dict)
    lead_status: str | None = None
    note: str | None = None
    texts: Sequence[str] = ()


Answer = str | Sequence[str] | HandOff | Outcome | None
"""One text; several (an empty list: no answer is wanted); a hand-off; an outcome. None: the answer comes
later, by `LeadSail.send` with `turn_id`."""
Answering = Callable[[Turn], Awaitable[Answer] | Answer]
A = TypeVar("A", bound=Callable[[Turn], Any])
Message = MutableMapping[str, Any]


class Agent:
    """Checks the signature of each turn, asks the function, and renders what it returns."""

    def __init__(self, *secrets: str) -> None:
        """Two secrets are needed only while one replaces the other."""
        if not secrets:
            raise ValueError("the agent needs its signing secret")
        self._secrets = secrets
        self._answering: Answering | None = None

    def turn(self, function: A) -> A:
        """Decorates the function that answers. It may be called again for the same turn: the service
        repeats what it got no 2xx for."""
        self._answering = function
        return function

    async def answer(self, headers: Mapping[str, str], body: bytes) -> tuple[int, dict[str, Any]]:
        """Returns status and JSON for a request, whatever carries it."""
        try:
            verify(self._secrets, headers, body)
        except InvalidSignature as error:
            return 401, {"error": str(error)}
        kind = {name.lower(): value for name, value in headers.items()}.get("webhook-kind")
        return 200, render_answer(await self._ask(Turn(json.loads(body), kind)))

    async def __call__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        if scope["type"] != "http":
            raise RuntimeError(f"an agent answers http, not {scope['type']}")
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        body = await _read_body(receive)
        if scope["method"] != "POST" or body is None:
            status, content = (405, {"error": "POST"}) if body is not None else (413, {"error": "too large"})
        else:
            try:
                status, content = await self.answer(headers, body)
            except Exception:
                log.exception("a turn could not be answered; the service hands it over again")
                status, content = 500, {"error": "the agent failed"}
        raw_headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": status, "headers": raw_headers})
        await send({"type": "http.response.body", "body": json.dumps(content).encode()})

    async def _ask(self, turn: Turn) -> Answer:
        if self._answering is None:
            raise RuntimeError("no function is decorated with @agent.turn")
        if inspect.iscoroutinefunction(self._answering):
            answer: Answer = await self._answering(turn)
            return answer
        given = await anyio.to_thread.run_sync(self._answering, turn)
        return await given if inspect.isawaitable(given) else given


def render_answer(answer: Answer) -> dict[str, Any]:
    """Returns the JSON that the service reads. Raises `TypeError`."""
    match answer:
        case None:
            return {}
        case str():
            return {"reply": answer}
        case HandOff():
            return _drop_empty({"replies": _list_texts(answer.texts), "handoff": True, "reason": answer.reason})
        case Outcome():
            answers = [{"key": key, "answer": words} for key, words in answer.answers.items()]
            return _drop_empty(
                {
                    "replies": _list_texts(answer.texts),
                    "status": answer.status,
                    "summary": answer.summary,
                    "answers": answers,
                    "leadStatus": answer.lead_status,
                    "note": answer.note,
                }
            )
        case Iterable():
            return {"replies": _list_texts(answer)}
    raise TypeError(f"an agent answers with text, not with {type(answer).__name__}")


def _list_texts(texts: Iterable[object]) -> list[str]:
    listed = [texts] if isinstance(texts, str) else list(texts)
    if not all(isinstance(text, str) for text in listed):
        raise TypeError("the texts of an answer must be strings")
    return [str(text) for text in listed]


def _drop_empty(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value not in (None, [])}


async def _read_body(receive: Callable[[], Awaitable[Message]]) -> bytes | None:
    """Returns the whole body; None if it is too large."""
    parts, size = [], 0
    while True:
        event = await receive()
        parts.append(event.get("body", b""))
        size += len(parts[-1])
        if size > MAX_BODY_BYTES:
            return None
        if not event.get("more_body", False):
            return b"".join(parts)
