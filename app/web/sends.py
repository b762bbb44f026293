"""The gatherer's way to `commands.send`, and the shortest way through the door for a plain send.

`POST /api/v1/sms/send` is asked far more often than anything else. What is plainly a good
request takes a path without the framework: the same model, the same key check, the same limits,
the same command, the same answer. Whatever is not plainly good goes the ordinary way.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from types import SimpleNamespace

import structlog
from pydantic import TypeAdapter, ValidationError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.access.keys import Keyring
from app.commands import send
from app.domain.orders import Order, Refused, Sent, answer
from app.domain.problems import Problem, Unavailable
from app.store.engine import AWAY, CommitLost, Database, Tx
from app.store.gather import Gatherer
from app.web import problems
from app.web.envelope import Answer
from app.web.rates import Rates
from app.web.sms import Queued, SendBody, ordered

PATH = "/api/v1/sms/send"
ROUTE = SimpleNamespace(path=PATH)
SETTLE_WITHIN = 2.0
ANSWER = TypeAdapter(Answer[Queued])
Result = Sent | Refused
Opened = AbstractAsyncContextManager[Tx]
Sends = Gatherer[Order, Result]
log = structlog.get_logger("sends")


def gatherer(database: Database) -> Sends:
    """Gathers plain sends of all tenants."""

    async def store(opened: Opened, orders: Sequence[Order]) -> Sequence[Result]:
        try:
            async with opened as tx:
                return await send.texts(tx, orders)
        except CommitLost as lost:
            return await _settle(database, orders, lost)

    async def carry(orders: Sequence[Order]) -> Sequence[Result]:
        return await store(database.gathered(), orders)

    async def single(order: Order) -> Result:
        [result] = await store(database.system(), [order])
        return result

    return Gatherer(carry, single)


async def _settle(
    database: Database, orders: Sequence[Order], lost: CommitLost
) -> Sequence[Result]:
    """What became of the orders, whose COMMIT was sent and its answer lost. Raises `Unavailable`
    when they surely were not accepted and never will be, `lost` when nobody can tell in time."""
    try:
        async with asyncio.timeout(SETTLE_WITHIN):
            while True:
                results = await _accepted(database, orders, lost.backend)
                if results is not None:
                    break
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise lost from None
    if not results:
        raise Unavailable
    return results


async def _accepted(
    database: Database, orders: Sequence[Order], backend: int
) -> Sequence[Result] | None:
    try:
        async with database.system() as tx:
            return await send.accepted(tx, orders, backend)
    except (Unavailable, *AWAY):
        return None


class Hot:
    """ASGI, around the application: answers plain sends, and passes on all else."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != PATH or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        message = await receive()
        given = _plain(scope, message)
        if given is None:
            await self._app(scope, _again(message, receive), send)
            return
        key, body = given
        scope["route"] = ROUTE
        try:
            content = await _accept(scope, key, body)
            if content is None:
                await self._app(scope, _again(message, receive), send)
                return
        except Problem as problem:
            await problems.rendered(problem)(scope, receive, send)
            return
        except AWAY as error:
            log.warning("the database is away", error=type(error).__name__)
            await problems.rendered(Unavailable())(scope, receive, send)
            return
        headers = [(b"content-type", b"application/json"),
                   (b"content-length", str(len(content)).encode())]  # fmt: skip
        await send({"type": "http.response.start", "status": 202, "headers": headers})
        await send({"type": "http.response.body", "body": content})


async def _accept(scope: Scope, key: str, body: SendBody) -> bytes | None:
    """The answer's body; None: the key is an agent's, whose texts are replies to turns."""
    state = scope["app"].state
    ring: Keyring = state.keyring
    caller = await ring.caller_of(key)
    if caller.source != "api":
        return None
    rates: Rates = state.rates
    standing = rates.take(caller)
    if standing is not None:
        scope["state"]["answer_headers"] = standing.headers()
        standing.require()
    caller.require("reply")
    sends: Sends = state.sends
    result = await sends.put(ordered(caller, body))
    if isinstance(result, Refused):
        raise result.problem
    return ANSWER.dump_json(ANSWER.validate_python({"data": answer(result)}), by_alias=True)


def _plain(scope: Scope, message: Message) -> tuple[str, SendBody] | None:
    """Key and body of a request that is plainly a good one; None: let the framework judge."""
    headers: Mapping[bytes, bytes] = dict(scope["headers"])
    key = headers.get(b"x-api-key")
    if (
        key is None
        or b"idempotency-key" in headers
        or headers.get(b"content-type") != b"application/json"
        or message["type"] != "http.request"
        or message.get("more_body")
        or scope["query_string"]
    ):
        return None
    try:
        body = SendBody.model_validate_json(message["body"])
    except ValidationError:
        return None
    if body.dry_run or body.turn_id is not None or body.source == "sms_agent":
        return None
    return key.decode("latin-1"), body


def _again(message: Message, receive: Receive) -> Receive:
    told = False

    async def replay() -> Message:
        nonlocal told
        if told:
            return await receive()
        told = True
        return message

    return replay
