"""Files that people uploaded for a text (docs/decisions/0037-uploads-are-rows.md)."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from app.domain.media import MediaFile
from app.store.engine import ReadTx, Tx
from app.store.rows import columns_of, unnest_sql


@dataclass(frozen=True, slots=True)
class NewUpload:
    """A file of a text; `place` is its place among the text's media."""

    tenant_id: str
    message_id: str
    place: int
    upload_id: str
    content_type: str
    content: bytes


def make_upload_id() -> str:
    """192 random bits: who has the address of a file may read it, and nobody can guess it."""
    return secrets.token_urlsafe(24)


ADD_UPLOADS_SQL = f"""
INSERT INTO uploads (tenant_id, message_id, place, upload_id, content_type, content)
SELECT * FROM {unnest_sql(NewUpload)}
"""


async def add(tx: Tx, uploads: Sequence[NewUpload]) -> None:
    """Stores the files of a text that is stored already."""
    await tx.execute(ADD_UPLOADS_SQL, *columns_of(uploads))


FIND_UPLOAD_SQL = "SELECT content_type, content FROM uploads WHERE upload_id = $1"


async def find(read: ReadTx, upload_id: str) -> MediaFile | None:
    """The file with this id, of whichever tenant."""
    return await read.fetch_one(MediaFile, FIND_UPLOAD_SQL, upload_id)


GET_UPLOAD_SQL = """
SELECT content_type, content FROM uploads WHERE tenant_id = $1 AND message_id = $2 AND place = $3
"""


async def get(read: ReadTx, tenant_id: str, message_id: str, place: int) -> MediaFile | None:
    """The file at `place` of the text's media; None if nobody uploaded one there, or if it is no longer kept."""
    return await read.fetch_one(MediaFile, GET_UPLOAD_SQL, tenant_id, message_id, place)
