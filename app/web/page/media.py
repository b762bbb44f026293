"""Attachments for the page: fetched from where they lie, with the account's credentials only at
the carrier's own host, and never trusted. The other machine is asked with no transaction open."""

from typing import Annotated

import httpx
from fastapi import APIRouter, Path
from starlette.responses import Response

from app.domain.problems import NotFound, ProviderError
from app.providers import REGISTRY
from app.resources import Resources
from app.store import page as store
from app.store.engine import Row
from app.web.dependencies import AppResources
from app.web.page.dependencies import SignedIn
from app.web.page.render import IMAGE_TYPES
from app.wire.client import AnswerLost, NotSent

router = APIRouter(include_in_schema=False)
DEADLINE_SECONDS = 5.0
MAX_BYTES = 5 << 20
"""No carrier passes more on."""
MAX_REDIRECTS = 4
"""A carrier's address often leads to its storage, and that to another host."""
CACHE_HEADERS = {
    "Cache-Control": "private, max-age=3600",
    "Content-Security-Policy": "default-src 'none'; sandbox",
}


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
        row = await store.get_attachment(read, *key, place)
    if row is None:
        raise NotFound
    attachment = await _fetch_attachment(resources, row)
    content_type = attachment.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type in IMAGE_TYPES:
        return Response(attachment.content, media_type=content_type, headers=CACHE_HEADERS)
    as_file = CACHE_HEADERS | {"Content-Disposition": "attachment"}
    return Response(attachment.content, media_type="application/octet-stream", headers=as_file)


async def _fetch_attachment(resources: Resources, row: Row) -> httpx.Response:
    """The attachment, whole. Raises `ProviderError`."""
    account = resources.seal.open_account(row) if row["account_id"] else None
    url = row["url"]
    for _ in range(MAX_REDIRECTS):
        try:
            request = httpx.Request("GET", url)
            if account:
                request = REGISTRY[account.provider].build_media_request(account, url)
            response = await resources.wire.exchange(request, DEADLINE_SECONDS, cap=MAX_BYTES)
            if response.is_success and not response.extensions["truncated"]:
                return response
            if not response.has_redirect_location:
                break
            url = str(request.url.join(response.headers["location"]))
        except (AnswerLost, NotSent, httpx.InvalidURL):
            break
    raise ProviderError("The attachment cannot be fetched from where it lies.")
