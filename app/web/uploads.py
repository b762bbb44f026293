"""Files that people uploaded, for the carriers that send them on. Whoever has the address may read one
(docs/decisions/0037-uploads-are-rows.md)."""

from fastapi import APIRouter
from starlette.responses import Response

from app.commands.manual_texts import MEDIA_PATH
from app.domain.media import EXTENSIONS
from app.domain.problems import NotFound
from app.store import uploads
from app.web.dependencies import SystemTx

router = APIRouter(include_in_schema=False)
HEADERS = {
    # A carrier may fetch a file once for each recipient, and nobody else has the address.
    "Cache-Control": "private, max-age=86400, immutable",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "X-Robots-Tag": "noindex",
}


@router.get(f"{MEDIA_PATH}{{name}}")
async def get_upload(name: str, tx: SystemTx) -> Response:
    """The ending of the name is for carriers, and not compared."""
    upload = await uploads.find(tx, name.partition(".")[0])
    if upload is None:
        raise NotFound
    extension = EXTENSIONS[upload.content_type]
    disposition = {"Content-Disposition": f'attachment; filename="file.{extension}"'}
    return Response(upload.content, media_type=upload.content_type, headers=HEADERS | disposition)
