"""Longer texts that a carrier hands over in parts are joined before they are received."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from app.domain.carriage import Account, InboundText
from app.store import parts
from app.store.engine import Row, Tx

LONELY_AFTER = timedelta(seconds=60)
"""What of a text is there by then is delivered; the rest was lost, or comes alone."""


async def join(tx: Tx, account: Account, texts: Sequence[InboundText]) -> list[InboundText]:
    """The texts that are whole: those without parts, and those whose last part just came.

    A joined text bears the provider id of its first part; the part comes and the text leaves in
    one transaction, so that neither is lost."""
    whole = [text for text in texts if text.part is None]
    for text in texts:
        if text.part is None:
            continue
        stored = await parts.add(tx, account.tenant_id, account.account_id, text)
        if stored >= text.part.total:
            rows = await parts.take(tx, account.tenant_id, account.account_id, text)
            provider_id, words = _joined(rows)
            whole.append(replace(text, provider_id=provider_id, text=words, part=None))
    return whole


async def lonely(tx: Tx, limit: int) -> list[tuple[Row, InboundText]]:
    """What is left of texts whose other parts never came, each with its account's row."""
    found: list[tuple[Row, InboundText]] = []
    for rows in await parts.lonely(tx, LONELY_AFTER, limit):
        first = rows[0]
        provider_id, text = _joined(rows)
        found.append((first, InboundText(provider_id, first["sender"], first["our_number"], text)))
    return found


def _joined(rows: Sequence[Row]) -> tuple[str, str]:
    """Provider id and text."""
    return rows[0]["provider_id"], "".join(row["text"] for row in rows)
