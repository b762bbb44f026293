"""A person's text, with the files that the person uploaded for it."""

from collections.abc import Sequence
from dataclasses import replace

from app.commands import outgoing
from app.commands.outgoing import AnswerData
from app.domain.callers import Caller
from app.domain.media import EXTENSIONS, MediaFile, format_size, get_max_bytes
from app.domain.orders import Order
from app.domain.problems import Invalid
from app.store import uploads
from app.store.engine import Tx
from app.store.uploads import NewUpload

MEDIA_PATH = "/media/"
"""Where carriers fetch uploaded files, below our public address."""


async def send_text(tx: Tx, caller: Caller, order: Order, files: Sequence[MediaFile], base_url: str) -> AnswerData:
    """Sends the order's text with the files, which come before the order's own media. Raises the
    problem that forbids it; roll back then."""
    new_uploads = [
        NewUpload(order.tenant_id, order.message_id, place, uploads.make_upload_id(), file.content_type, file.content)
        for place, file in enumerate(files)
    ]
    urls = [_build_url(base_url, upload) for upload in new_uploads]
    result = await outgoing.dispatch_text(tx, caller, replace(order, media=(*urls, *order.media)))
    answer = outgoing.unwrap_answer(result)
    if new_uploads:
        _require_carried(files, str(answer["provider"]))
        await uploads.add(tx, new_uploads)
    return answer


def _build_url(base_url: str, upload: NewUpload) -> str:
    # Some carriers tell the type of a file by the ending of its address.
    return f"{base_url}{MEDIA_PATH}{upload.upload_id}.{EXTENSIONS[upload.content_type]}"


def _require_carried(files: Sequence[MediaFile], provider: str) -> None:
    """Raises `Invalid` if the files are too much for the carrier."""
    size, limit = sum(len(file.content) for file in files), get_max_bytes(provider)
    if size > limit:
        raise Invalid(
            details=[f"mediaUrls: the files have {format_size(size)}; this number carries up to {format_size(limit)}"]
        )
