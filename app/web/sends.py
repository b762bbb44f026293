"""The gatherer's way to `commands.send`, and the shortest way through the door for a plain send.

`POST /api/v1/sms/send` is asked far more often than anything else. What is plainly a good
request takes a path without the framework: the same model, the same key check, the same limits,
the same command, the same answer. Whatever is not plainly good goes the ordinary way.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import SimpleNamespace

from pydantic import TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.access.keys import Keyring
from app.commands import outgoing, send
from app.domain.idempotency import IdempotencyKey, Replayed, digest
from app.domain.orders import Order, Refused, Sent
from app.domain.problems import Unavailable
from app.store import idempotency
from app.store.engine import AWAY, CommitLost, Database, Tx
from app.store.gather import ByItself, Gatherer
from app.web import problems
from app.web.envelope import Answer
from app.web.idempotency import LONGEST, begin, repeated
from app.web.rates import Rates
from app.web.sms import ROUTE, Queued, SendBody, ordered

PATH = "/api/v1/sms/send"
MATCHED = SimpleNamespace(path=PATH)
SETTLE_WITHIN = 2.0
ANSWER = TypeAdapter(Answer[Queued])
Result = outgoing.Answered | Refused
Sends = Gatherer[Order, Result]


def gatherer(database: Database) -> Sends:
    """Gathers plain sends of all tenants."""

    async def carry(orders: Sequence[Order]) -> Sequence[Result | ByItself]:
        told: dict[str, Result | ByItself] = {}
        fresh = orders
        try:
            async with database.gathered() as tx:
                told = await _known(tx, orders)
                fresh = [order for order in orders if order.message_id not in told]
                results = await send.texts(tx, fresh)
        except CommitLost as lost:
            results = await _settle(database, fresh, lost)
            # What is kept for repeats was answered by the facts of then.
            told |= {order.message_id: ByItself() for order in fresh if order.keyed}
        for order, result in zip(fresh, results, strict=True):
            told.setdefault(order.message_id, outgoing.answered(result))
        return [told[order.message_id] for order in orders]

    async def single(order: Order) -> Result:
        keyed = order.keyed
        try:
            async with database.system() as tx:
                if keyed:
                    await begin(tx, order.tenant_id, keyed)
                [result] = await send.texts(tx, [replace(order, keyed=None)])
                told = outgoing.accepted(outgoing.answered(result))  # or the key is free again
                if keyed:
                    kept = {"success": True, "data": told}
                    await idempotency.finish(tx, order.tenant_id, keyed, 202, kept)
        except Replayed as first:
            return first.data
        except CommitLost as lost:
            [result] = await _settle(database, [order], lost)
            return await single(order) if keyed else outgoing.answered(result)
        return told

    return Gatherer(carry, single)


async def _known(tx: Tx, orders: Sequence[Order]) -> dict[str, Result | ByItself]:
    """By message id, those that are not the first with their key: the first one's answer, unless
    it is among these orders and must be stored before."""
    asked = [(order, order.keyed) for order in orders if order.keyed]
    if not asked:
        return {}
    firsts = await idempotency.first(tx, [(order.tenant_id, keyed) for order, keyed in asked])
    known: dict[str, Result | ByItself] = {}
    made: set[tuple[str, str]] = set()
    for i, (order, keyed) in enumerate(asked):
        mine = order.tenant_id, keyed.key
        if i in firsts:
            ending = repeated(firsts[i], keyed)
            known[order.message_id] = ending.data if isinstance(ending, Replayed) else Refused(ending)
        elif mine in made:
            known[order.message_id] = ByItself()
        made.add(mine)
    return known


async def _settle(database: Database, orders: Sequence[Order], lost: CommitLost) -> list[Sent | Refused]:
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


async def _accepted(database: Database, orders: Sequence[Order], backend: int) -> list[Sent | Refused] | None:
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
        key, body, keyed = given
        scope["route"] = MATCHED
        try:
            content = await _accept(scope, key, body, keyed)
        except Exception as error:
            await (await problems.told(Request(scope), error))(scope, receive, send)
            return
        if content is None:
            await self._app(scope, _again(message, receive), send)
            return
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
        await send({"type": "http.response.start", "status": 202, "headers": headers})
        await send({"type": "http.response.body", "body": content})


async def _accept(scope: Scope, key: str, body: SendBody, keyed: IdempotencyKey | None) -> bytes | None:
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
    answer = outgoing.accepted(await sends.put(replace(ordered(caller, body), keyed=keyed)))
    return ANSWER.dump_json(ANSWER.validate_python({"data": answer}), by_alias=True)


def _plain(scope: Scope, message: Message) -> tuple[str, SendBody, IdempotencyKey | None] | None:
    """API key, body and idempotency key of a request that is plainly a good one; None: let the
    framework judge."""
    headers: Mapping[bytes, bytes] = dict(scope["headers"])
    key, once = headers.get(b"x-api-key"), headers.get(b"idempotency-key")
    if (
        key is None
        or (once is not None and not 0 < len(once) <= LONGEST)
        or len(headers) < len(scope["headers"])  # one of them is there twice
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
    keyed = None if once is None else IdempotencyKey(ROUTE, once.decode("latin-1"), digest(message["body"]))
    return key.decode("latin-1"), body, keyed


def _again(message: Message, receive: Receive) -> Receive:
    told = False

    async def replay() -> Message:
        nonlocal told
        if told:
            return await receive()
        told = True
        return message

    return replay
