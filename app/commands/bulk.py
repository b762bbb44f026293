"""Bulk sends, and the cancelling of texts."""

from collections.abc import Sequence

from app.commands import caps, resolve, send
from app.commands.directory import require_found
from app.domain.callers import Caller
from app.domain.orders import AcceptedText, Order, RefusedOrder, ResolvedOrder
from app.domain.problems import NotCancellable
from app.store import cancelling, messages, sending
from app.store.engine import ReadTx, Tx


async def accept_bulk(
    tx: Tx, caller: Caller, bulk_id: str, entries: Sequence[Order | RefusedOrder]
) -> list[AcceptedText | RefusedOrder]:
    """Accepts the orders of a bulk send that may be sent; returns the result of each entry, in
    order."""
    orders = [entry for entry in entries if isinstance(entry, Order)]
    outcomes = iter(await send.accept_texts(tx, orders) if orders else [])
    results = [next(outcomes) if isinstance(entry, Order) else entry for entry in entries]
    refused_count = sum(isinstance(result, RefusedOrder) for result in results)
    await sending.record_bulk(tx, caller.tenant_id, bulk_id, len(results) - refused_count, refused_count)
    return results


async def forecast_bulk(read: ReadTx, entries: Sequence[Order | RefusedOrder]) -> list[ResolvedOrder | RefusedOrder]:
    """What each entry of a bulk send would be told now, in order. Stores nothing."""
    orders = [entry for entry in entries if isinstance(entry, Order)]
    outcomes = iter(await caps.judge_caps(read, await resolve.resolve_orders(read, orders)) if orders else [])
    return [next(outcomes) if isinstance(entry, Order) else entry for entry in entries]


async def cancel_text(tx: Tx, caller: Caller, message_id: str) -> None:
    """Cancels an unsent text. Raises `NotFound`; `NotCancellable` once a request to the carrier may
    have begun."""
    if not await cancelling.cancel_text(tx, caller.tenant_id, message_id, f"Cancelled by {caller.actor}."):
        require_found(await messages.get(tx, caller.tenant_id, message_id))
        raise NotCancellable


async def cancel_bulk(tx: Tx, caller: Caller, bulk_id: str) -> int:
    """Cancels the texts of a bulk send that are still unsent; returns how many. Raises
    `NotFound`."""
    require_found(await messages.get_bulk(tx, caller.tenant_id, bulk_id))
    why = f"Cancelled by {caller.actor}."
    return await cancelling.cancel_bulk(tx, caller.tenant_id, bulk_id, why)
