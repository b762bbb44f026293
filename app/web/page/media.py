"""Attachments for the page: what people uploaded, and what is fetched from the carrier or its storage.
Their content is not trusted: it is shown only as an image of a known type, else it is a download."""

from typing import Annotated

from fastapi import APIRouter, Path
from starlette.responses import Response

from app.calls import carriers
from app.domain.problems import NotFound
from app.store import accounts, uploads
from app.store import page as store
from app.web.dependencies import AppResources
from app.web.page.dependencies import SignedIn
from app.web.page.render import IMAGE_TYPES

router = APIRouter(include_in_schema=False)
CACHE_HEADERS = {"Cache-Control": "private, max-age=3600", "Content-Security-Policy": "default-src 'none'; sandbox"}


@router.get("/conversations/{interaction_id}/texts/{message_id}/media/{place}")
async def show_media(
    interaction_id: str,
    message_id: str,
    place: Annotated[int, Path(ge=0, le=20)],
    person: SignedIn,
    resources: AppResources,
) -> Response:
    key = (person.tenant_id, interaction_id, message_id)
    async with resources.database.read_tx(person.tenant_id) as read:
        attachment = await store.get_attachment(read, *key, place)
        if attachment is None:
            raise NotFound
        upload = await uploads.get(read, person.tenant_id, message_id, place)
        row = await accounts.get_by_id(read, attachment.account_id) if attachment.account_id else None
    if upload:
        return _build_response(upload.content_type, upload.content)
    account = resources.seal.open_account(row) if row else None
    answer = await carriers.fetch_attachment(resources.wire, account, attachment.url)
    content_type = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    return _build_response(content_type, answer.content)


def _build_response(content_type: str, content: bytes) -> Response:
    if content_type in IMAGE_TYPES:
        return Response(content, media_type=content_type, headers=CACHE_HEADERS)
    as_file = CACHE_HEADERS | {"Content-Disposition": "attachment"}
    return Response(content, media_type="application/octet-stream", headers=as_file)
