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
from app.web.doors import Held
from app.web.page.doors import SignedIn
from app.web.page.render import IMAGES
from app.wire.client import Lost, NotSent

router = APIRouter(include_in_schema=False)
DEADLINE = 5.0
LARGEST = 5 << 20
"""No carrier passes more on."""
HOPS = 4
"""A carrier's address often leads to its storage, and that to another host."""
KEPT = {
    "Cache-Control": "private, max-age=3600",
    "Content-Security-Policy": "default-src 'none'; sandbox",
}


@router.get("/conversations/{interaction_id}/texts/{message_id}/media/{place}")
async def media(
    interaction_id: str,
    message_id: str,
    place: Annotated[int, Path(ge=0, le=20)],
    person: SignedIn,
    held: Held,
) -> Response:
    key = (person.tenant_id, interaction_id, message_id)
    async with held.database.reading(person.tenant_id) as read:
        row = await store.attachment(read, *key, place)
    if row is None:
        raise NotFound
    fetched = await _fetched(held, row)
    kind = fetched.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind in IMAGES:
        return Response(fetched.content, media_type=kind, headers=KEPT)
    as_file = KEPT | {"Content-Disposition": "attachment"}
    return Response(fetched.content, media_type="application/octet-stream", headers=as_file)


async def _fetched(held: Resources, row: Row) -> httpx.Response:
    """The attachment, whole. Raises `ProviderError`."""
    account = held.seal.open_account(row) if row["account_id"] else None
    url = row["url"]
    for _ in range(HOPS):
        try:
            request = httpx.Request("GET", url)
            if account:
                request = REGISTRY[account.provider].media(account, url)
            response = await held.wire.exchange(request, DEADLINE, cap=LARGEST)
            if response.is_success and not response.extensions["truncated"]:
                return response
            if not response.has_redirect_location:
                break
            url = str(request.url.join(response.headers["location"]))
        except (Lost, NotSent, httpx.InvalidURL):
            break
    raise ProviderError("The attachment cannot be fetched from where it lies.")
