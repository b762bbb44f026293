"""The words of an MMS that a carrier brings as attachments: fetched, and made part of the text."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import structlog

from app.calls import carriers
from app.domain.carriage import Account, InboundText, Media
from app.domain.problems import ProviderError
from app.wire.client import Wire

TEXT_PART_SECONDS = 1.5
"""The webhook waits for the text, because there may be a STOP in it. No carrier waits less than 2 s."""
MAX_TEXT_PART_BYTES = 16 << 10
"""A longer one is a file that somebody attached."""
MAX_TEXT_PARTS = 5
MMS_AT_ONCE = 8
log = structlog.get_logger("text_parts")


async def read_text_parts(wire: Wire, account: Account, texts: Sequence[InboundText]) -> list[InboundText]:
    """The texts without layout files, and with the words of their small text files. Call it with no
    transaction open. A text file that cannot be fetched stays an attachment."""
    if not any(text.media for text in texts):
        return list(texts)
    semaphore = asyncio.Semaphore(MMS_AT_ONCE)

    async def read_one(text: InboundText) -> InboundText:
        async with semaphore:
            return await _read_parts(wire, account, text) if text.media else text

    return await asyncio.gather(*map(read_one, texts))


async def _read_parts(wire: Wire, account: Account, text: InboundText) -> InboundText:
    media = [item for item in text.media if not item.is_layout]
    text_files = [item for item in media if item.is_plain_text][:MAX_TEXT_PARTS]
    words = await asyncio.gather(*(_fetch_words(wire, account, item) for item in text_files))
    words_by_file = {item: piece for item, piece in zip(text_files, words, strict=True) if piece is not None}
    other_media = tuple(item for item in media if item not in words_by_file)
    return replace(text, media=other_media).with_pieces(list(words_by_file.values()))


async def _fetch_words(wire: Wire, account: Account, text_file: Media) -> str | None:
    """The file's text; None: it could not be fetched, or is none."""
    try:
        async with asyncio.timeout(TEXT_PART_SECONDS):
            response = await carriers.fetch_attachment(wire, account, text_file.url, MAX_TEXT_PART_BYTES)
    except (ProviderError, TimeoutError):
        log.warning("the words of an MMS could not be fetched", account_id=account.account_id)
        return None
    if response.headers.get("content-type", "").lower().startswith("text/html"):
        return None  # a page that asks to sign in, not the file
    return response.text.lstrip("\ufeff").replace("\x00", "").strip()
