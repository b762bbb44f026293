"""Joins long texts that a carrier delivers in parts, before they are received."""

from collections.abc import Sequence
from datetime import timedelta

from app.domain.carriage import Account, InboundText
from app.store import parts
from app.store.engine import Tx
from app.store.parts import IncompletePart, StoredPart

INCOMPLETE_AFTER = timedelta(seconds=60)
"""After this time a text is received without its missing parts; one that comes later is received
alone."""


async def join(tx: Tx, account: Account, texts: Sequence[InboundText]) -> list[InboundText]:
    """Stores the parts, and returns the texts that can be received now: texts without parts, and
    texts whose last part came. Also an incomplete text whose reference a new text uses: handsets
    count references to 255 and begin again, some of them with each text.

    A joined text has the provider id of its first part. Storing a part and taking the whole text
    happen in the caller's transaction, so nothing is lost."""
    whole_texts = [text for text in texts if text.part is None]
    key = (account.tenant_id, account.account_id)
    for text in texts:
        if text.part is None:
            continue
        check = await parts.lock_and_check(tx, *key, text)
        if check.known:
            continue
        if check.of_another:
            whole_texts.append(_join_parts(await parts.take(tx, *key, text)))
        if await parts.add(tx, *key, text) >= text.part.total:
            whole_texts.append(_join_parts(await parts.take(tx, *key, text)))
    return whole_texts


async def take_incomplete(tx: Tx, limit: int) -> list[tuple[IncompletePart, InboundText]]:
    """Takes up to `limit` texts whose other parts did not come in time, each with its first part."""
    incomplete_texts = await parts.take_incomplete(tx, INCOMPLETE_AFTER, limit)
    return [(text_parts[0], _join_parts(text_parts)) for text_parts in incomplete_texts]


def _join_parts(text_parts: Sequence[StoredPart]) -> InboundText:
    first, text = text_parts[0], "".join(part.text for part in text_parts)
    return InboundText(first.provider_id, first.sender, first.our_number, text)
