"""Batches of plain sends, and a fast path for them around the framework.

`POST /api/v1/sms/send` is by far the most frequent request. A plain and valid one skips FastAPI,
with the same model, key check, limits, command and answer; every other request goes through
`web.sms` (`docs/decisions/0014-waiting-requests-go-as-one-batch.md`,
`docs/decisions/0015-plain-sends-skip-the-framework.md`).
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import SimpleNamespace

from pydantic import TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.commands import outgoing, send
from app.domain.idempotency import IdempotencyKey, ReplayedAnswer, digest_body
from app.domain.orders import AcceptedText, Order, RefusedOrder
from app.domain.problems import Unavailable
from app.store import idempotency as idempotency_store
from app.store.batching import Batcher, RunAlone
from app.store.connections import DATABASE_AWAY_ERRORS, CommitLost
from app.store.engine import Database, ReadTx
from app.web import problems
from app.web.envelope import Answer
from app.web.idempotency import MAX_KEY_LENGTH, build_repeat_outcome, claim_key
from app.web.sms import ROUTE, build_order
from app.web.sms_shapes import Queued, SendBody
from app.web.state import get_state

SEND_PATH = "/api/v1/sms/send"
MATCHED_ROUTE = SimpleNamespace(path=SEND_PATH)
LOST_COMMIT_SECONDS = 2.0
ANSWER_ADAPTER = TypeAdapter(Answer[Queued])
SendResult = outgoing.AnswerData | RefusedOrder
SendBatcher = Batcher[Order, SendResult]


def build_send_batcher(database: Database) -> SendBatcher:
    """Builds the batcher for plain sends of all tenants."""

    async def run_batch(orders: Sequence[Order]) -> Sequence[SendResult | RunAlone]:
        results_by_id: dict[str, SendResult | RunAlone] = {}
        new_orders = orders
        try:
            async with database.batch() as batch:
                results_by_id = await _get_repeats(batch, orders)
                new_orders = [order for order in orders if order.message_id not in results_by_id]
                results = await send.accept_batch(batch, new_orders)
        except CommitLost as lost_commit:
            results = await _find_lost_outcome(database, new_orders, lost_commit)
            # A stored answer holds the facts of that commit. Run alone, the order finds it by its key.
            results_by_id |= {order.message_id: RunAlone() for order in new_orders if order.idempotency_key}
        for order, result in zip(new_orders, results, strict=True):
            results_by_id.setdefault(order.message_id, outgoing.to_answer(result))
        return [results_by_id[order.message_id] for order in orders]

    async def run_single(order: Order) -> SendResult:
        try:
            async with database.system_tx() as tx:
                idempotency = await claim_key(tx, order.tenant_id, order.idempotency_key)
                [result] = await send.accept_texts(tx, [replace(order, idempotency_key=None)])
                answer = outgoing.unwrap_answer(outgoing.to_answer(result))  # raises for a refusal, which frees the key
                await idempotency.store_data(answer, 202)
        except ReplayedAnswer as replayed_answer:
            return replayed_answer.data
        except CommitLost as lost_commit:
            [result] = await _find_lost_outcome(database, [order], lost_commit)
            return await run_single(order) if order.idempotency_key else outgoing.to_answer(result)
        return answer

    return Batcher(run_batch, run_single)


async def _get_repeats(read: ReadTx, orders: Sequence[Order]) -> dict[str, SendResult | RunAlone]:
    """Returns results by message id for orders that repeat an idempotency key: the first answer, or
    `RunAlone` if the first order is in this batch and has no answer yet."""
    orders_with_key = [(order, order.idempotency_key) for order in orders if order.idempotency_key]
    if not orders_with_key:
        return {}
    first_answers = await idempotency_store.find_first_answers(
        read, [(order.tenant_id, idempotency_key) for order, idempotency_key in orders_with_key]
    )
    repeats: dict[str, SendResult | RunAlone] = {}
    new_keys: set[tuple[str, str]] = set()
    for i, (order, idempotency_key) in enumerate(orders_with_key):
        own_key = order.tenant_id, idempotency_key.key
        if i in first_answers:
            repeat_outcome = build_repeat_outcome(first_answers[i], idempotency_key)
            repeats[order.message_id] = (
                repeat_outcome.data if isinstance(repeat_outcome, ReplayedAnswer) else RefusedOrder(repeat_outcome)
            )
        elif own_key in new_keys:
            repeats[order.message_id] = RunAlone()
        new_keys.add(own_key)
    return repeats


async def _find_lost_outcome(
    database: Database, orders: Sequence[Order], lost_commit: CommitLost
) -> list[AcceptedText | RefusedOrder]:
    """Finds out whether a COMMIT whose answer was lost took effect, and returns the results.

    Raises `Unavailable` if it surely did not and never will, `lost_commit` if that cannot be found
    out in time (`docs/decisions/0023-a-lost-commit-is-looked-up.md`)."""
    try:
        async with asyncio.timeout(LOST_COMMIT_SECONDS):
            while True:
                results = await _find_accepted_texts(database, orders, lost_commit.backend)
                if results is not None:
                    break
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise lost_commit from None
    if not results:
        raise Unavailable
    return results


async def _find_accepted_texts(
    database: Database, orders: Sequence[Order], backend: int
) -> list[AcceptedText | RefusedOrder] | None:
    try:
        async with database.system_tx() as tx:
            return await send.find_lost_outcome(tx, orders, backend)
    except (Unavailable, *DATABASE_AWAY_ERRORS):
        return None


class PlainSendRoute:
    """An ASGI wrapper around the application: answers plain sends, passes on all other requests."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != SEND_PATH or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        message = await receive()
        plain_send = _read_plain_send(scope, message)
        if plain_send is None:
            await self._app(scope, _replay_first_message(message, receive), send)
            return
        key, body, idempotency_key = plain_send
        scope["route"] = MATCHED_ROUTE
        try:
            content = await _accept_text(scope, key, body, idempotency_key)
        except Exception as error:
            await (await problems.build_error_response(Request(scope), error))(scope, receive, send)
            return
        if content is None:
            await self._app(scope, _replay_first_message(message, receive), send)
            return
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
        await send({"type": "http.response.start", "status": 202, "headers": headers})
        await send({"type": "http.response.body", "body": content})


async def _accept_text(scope: Scope, key: str, body: SendBody, idempotency_key: IdempotencyKey | None) -> bytes | None:
    """Returns the answer's body; None for an agent's key, because its texts are replies to turns."""
    state = get_state(scope["app"])
    caller = await state.key_cache.get_caller(key)
    if caller.source != "api":
        return None
    rate_state = state.rates.take_token(caller)
    if rate_state is not None:
        scope["state"]["answer_headers"] = rate_state.build_headers()
        rate_state.require_allowed()
    caller.require("reply")
    answer = outgoing.unwrap_answer(
        await state.send_batcher.submit(replace(build_order(caller, body), idempotency_key=idempotency_key))
    )
    return ANSWER_ADAPTER.dump_json(ANSWER_ADAPTER.validate_python({"data": answer}), by_alias=True)


def _read_plain_send(scope: Scope, message: Message) -> tuple[str, SendBody, IdempotencyKey | None] | None:
    """Returns API key, body and idempotency key of a plain and valid request; None if the framework
    must handle it."""
    headers: Mapping[bytes, bytes] = dict(scope["headers"])
    key, raw_key = headers.get(b"x-api-key"), headers.get(b"idempotency-key")
    if (
        key is None
        or (raw_key is not None and not 0 < len(raw_key) <= MAX_KEY_LENGTH)
        or len(headers) < len(scope["headers"])  # a header is given twice
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
    idempotency_key = (
        None if raw_key is None else IdempotencyKey(ROUTE, raw_key.decode("latin-1"), digest_body(message["body"]))
    )
    return key.decode("latin-1"), body, idempotency_key


def _replay_first_message(message: Message, receive: Receive) -> Receive:
    is_replayed = False

    async def receive_again() -> Message:
        nonlocal is_replayed
        if is_replayed:
            return await receive()
        is_replayed = True
        return message

    return receive_again
