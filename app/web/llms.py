"""/llms.txt and /llms-full.txt: the guide for language models (https://llmstxt.org).

Both are made from the pages of the guide: the first lists them as the first page does, the second
holds their text. Each page is also served as it is written, with `.md` behind its address.
"""

import re
from functools import cache
from posixpath import dirname, join, normpath

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse

from app.documents import get_folder
from app.web import guide
from app.web.dependencies import AppResources

router = APIRouter(include_in_schema=False)
PICTURE = re.compile(r"^!\[.*\)\n\n?", re.M)
LINK = re.compile(r"\]\((?![a-z]+:|#)([^)#\s]+\.(?:md|py|ts|svg))(#[^)\s]*)?\)")
"""A link of a page to another file of the guide."""
API_LINKS = """## The API

* [OpenAPI description]({base}/openapi.json): every route, field, refusal and webhook, with examples
"""


@router.get("/llms.txt")
async def show_index(resources: AppResources) -> PlainTextResponse:
    return PlainTextResponse(build_index(resources.settings.base_url))


@router.get("/llms-full.txt")
async def show_all_pages(resources: AppResources) -> PlainTextResponse:
    return PlainTextResponse(build_full_text(resources.settings.base_url))


@cache
def build_index(base_url: str) -> str:
    """The first page of the guide, as llmstxt.org wants it: title, summary, lists of links."""
    title, summary, lists = PICTURE.sub("", _read_page("index", base_url)).split("\n\n", 2)
    return f"{title}\n\n> {summary}\n\n{lists.rstrip()}\n\n{API_LINKS.format(base=base_url)}"


@cache
def build_full_text(base_url: str) -> str:
    """The text of all pages that the first page lists, in its order."""
    names = [entry.address.removeprefix("/guide").lstrip("/") for entry in guide.build_navigation()[1:]]
    pages = [name if name in guide.list_pages() else f"{name}/index" for name in names]
    return "\n\n".join(_read_page(name, base_url).strip() for name in ("index", *pages)) + "\n"


def _read_page(name: str, base_url: str) -> str:
    """The Markdown of a page, with whole addresses in its links."""

    def write_address(link: re.Match[str]) -> str:
        path = normpath(join(dirname(name), link[1]))
        return f"]({base_url}/guide/{path}{link[2] or ''})"

    return LINK.sub(write_address, (get_folder() / f"{name}.md").read_text())
