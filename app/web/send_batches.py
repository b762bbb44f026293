"""Plain sends that wait at the same time are stored as one batch
(`docs/decisions/0014-waiting-requests-go-as-one-batch.md`)."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from app.commands import outgoing, send
from app.domain.idempotency import ReplayedAnswer
from app.domain.orders import AcceptedText, Order, RefusedOrder
from app.domain.problems import Unavailable
from app.store import idempotency as idempotency_store
from app.store.batching import Batcher, RunAlone
from app.store.connections import DATABASE_AWAY_ERRORS, CommitLost
from app.store.engine import Database, ReadTx
from app.web.idempotency import build_repeat_outcome, claim_key

LOST_COMMIT_SECONDS = 2.0
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
