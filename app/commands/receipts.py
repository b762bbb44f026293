"""Take in the carriers' receipts."""

from collections.abc import Sequence

from app.domain.carriage import Account, Receipt
from app.store import receipts, suppressions
from app.store.engine import Tx

BARE = {"failed": "FAILED", "undelivered": "UNDELIVERED"}
"""A failure always has a code, also where the carrier gives none: by it failures are found."""


async def apply(tx: Tx, account: Account, given: Sequence[Receipt]) -> int:
    """Applies the receipts of one account; returns how many said nothing we know."""
    words = [
        receipts.Word(
            status=receipt.status,
            at=receipt.at,
            message_id=receipt.message_id,
            provider_message_id=receipt.provider_message_id,
            code=receipt.code or BARE.get(receipt.status),
            message=receipt.meaning,
            opted_out=receipt.opted_out,
        )
        for receipt in given
        if receipt.status is not None
    ]
    if words:
        rows = await receipts.apply(tx, account.tenant_id, account.account_id, words)
        await suppressions.add(
            tx,
            [
                suppressions.Cause(
                    tenant_id=account.tenant_id, phone=row["to_phone"], cause="lead",
                    actor="carrier", event="opted_out", rule="carrier", text=row["code"],
                    message_id=row["message_id"],
                )
                for row in rows
                if row["opted_out"] and row["to_phone"]
            ],
        )  # fmt: skip
    return len(given) - len(words)
