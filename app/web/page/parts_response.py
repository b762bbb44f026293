"""An answer whose parts leave one by one, as they become ready."""

import zlib
from collections.abc import AsyncIterator

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

GZIP_HEADER = 16
"""Added to a window's size, it makes zlib write the format of gzip."""


class PartsResponse(StreamingResponse):
    """Is rendered to its end when nobody listens any more, as after HEAD: else the transaction of the rest would be
    cancelled, and its connection lost to the pool."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.stream_response(send)


async def compress_parts(parts: AsyncIterator[bytes], level: int) -> AsyncIterator[bytes]:
    """Compresses each part so that the browser can read it before the next one comes."""
    compressor = zlib.compressobj(level, wbits=zlib.MAX_WBITS + GZIP_HEADER)
    async for part in parts:
        yield compressor.compress(part) + compressor.flush(zlib.Z_SYNC_FLUSH)
    yield compressor.flush()
