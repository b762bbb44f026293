"""Longer texts that a carrier hands over in parts are joined before they are received."""

from collections.abc import Sequence
from datetime import timedelta

from app.domain.carriage import Account, InboundText
from app.store import parts
from app.store.engine import Row, Tx

INCOMPLETE_AFTER = timedelta(seconds=60)
"""What of a text is there by then is delivered; the rest was lost, or comes alone."""


async def join(tx: Tx, account: Account, texts: Sequence[InboundText]) -> list[InboundText]:
    """The texts that are whole: those without parts, and those whose last part just came; and
    what came of a text whose place another one takes, since handsets count to 255 and begin
    again, some at each text.

    A joined text bears the provider id of its first part; the part comes and the text leaves in
    one transaction, so that neither is lost."""
    whole_texts = [text for text in texts if text.part is None]
    key = (account.tenant_id, account.account_id)
    for text in texts:
        if text.part is None:
            continue
        check = await parts.lock_and_check(tx, *key, text)
        if check["known"]:
            continue
        if check["of_another"]:
            whole_texts.append(_join_rows(await parts.take(tx, *key, text)))
        if await parts.add(tx, *key, text) >= text.part.total:
            whole_texts.append(_join_rows(await parts.take(tx, *key, text)))
    return whole_texts


async def take_incomplete(tx: Tx, limit: int) -> list[tuple[Row, InboundText]]:
    """What is left of texts whose other parts never came, each with its account's row."""
    lonely = await parts.take_incomplete(tx, INCOMPLETE_AFTER, limit)
    return [(rows[0], _join_rows(rows)) for rows in lonely]


def _join_rows(rows: Sequence[Row]) -> InboundText:
    first, words = rows[0], "".join(row["text"] for row in rows)
    return InboundText(first["provider_id"], first["sender"], first["our_number"], words)
