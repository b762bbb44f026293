"""/guide: the documentation of this version. It is public like /docs and needs no internet.

The pages are the Markdown files of `docs/`. Links between them are rewritten to the addresses
under /guide. The links of the first page are the navigation. With `.md` behind its address, a page
is served as it is written, for machines that read.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from posixpath import dirname, join, normpath

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, Response
from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.rules_core import StateCore
from markdown_it.token import Token

from app.documents import get_folder
from app.domain.problems import NotFound
from app.web.page import render

router = APIRouter(include_in_schema=False)
MEDIA_TYPES = {".svg": "image/svg+xml", ".py": "text/plain", ".ts": "text/plain"}
"""The files that pages link to, besides other pages."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the navigation."""

    address: str
    title: str


@dataclass(frozen=True, slots=True)
class Page:
    title: str
    html: str


@router.get("/guide")
async def show_first_page(request: Request) -> Response:
    return _render_page(request, "index")


@router.get("/guide/{name:path}")
async def show_page(request: Request, name: str) -> Response:
    if name.removesuffix(".md") in list_pages() and name.endswith(".md"):
        return FileResponse(get_folder() / name, media_type="text/markdown")
    if name in list_files():
        return FileResponse(get_folder() / name, media_type=MEDIA_TYPES[Path(name).suffix])
    return _render_page(request, f"{name}/index" if f"{name}/index" in list_pages() else name)


def _render_page(request: Request, name: str) -> Response:
    if name not in list_pages() or request.url.path != get_address(name):
        raise NotFound
    return render.page(
        request, "guide.html", page=build_page(name), navigation=build_navigation(), here=get_section(name)
    )


@cache
def list_pages() -> frozenset[str]:
    """Returns the names of all pages: their paths without `.md`."""
    return frozenset(path.removesuffix(".md") for path in _list_paths("*.md"))


@cache
def list_files() -> frozenset[str]:
    """Returns the paths of pictures and examples. No other file of the folder is served."""
    return frozenset(path for suffix in MEDIA_TYPES for path in _list_paths(f"*{suffix}") if path != "conf.py")


def _list_paths(pattern: str) -> Iterator[str]:
    return (path.relative_to(get_folder()).as_posix() for path in get_folder().rglob(pattern))


def get_address(name: str) -> str:
    """Returns the path of a page: `decisions/index` is served at /guide/decisions."""
    return join("/guide", name).removesuffix("/index")


def get_section(name: str) -> str:
    """Returns the address that the navigation marks as current; for a decision, their list."""
    return get_address(join(dirname(name), "index") if dirname(name) else name)


@cache
def build_page(name: str) -> Page:
    text = (get_folder() / f"{name}.md").read_text()
    tokens = _build_parser().parse(text, {"name": name})
    html: str = _build_parser().renderer.render(tokens, _build_parser().options, {})
    return Page(next(title for _, title in list_headings(tokens)), html)


@cache
def build_navigation() -> tuple[Entry, ...]:
    """Returns the links of the first page, in their order."""
    tokens = _build_parser().parse((get_folder() / "index.md").read_text(), {"name": "index"})
    entries = (
        Entry(str(token.attrs["href"]), inline[index + 1].content)
        for inline in (block.children or [] for block in tokens)
        for index, token in enumerate(inline)
        if token.type == "link_open"
    )
    return (Entry("/guide", "Overview"), *entries)


@cache
def _build_parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    parser.core.ruler.push("addresses", _rewrite_addresses)
    parser.add_render_rule("table_open", _render_table)
    parser.add_render_rule("fence", _render_code)
    return parser


def _render_code(_: object, tokens: Sequence[Token], index: int, *__: object) -> str:
    """Makes code focusable, because wide code scrolls and the keyboard must reach it."""
    return f'<pre tabindex="0"><code>{escapeHtml(tokens[index].content)}</code></pre>\n'


def _render_table(*_: object) -> str:
    """Makes tables focusable, for the same reason."""
    return '<table tabindex="0">\n'


def _rewrite_addresses(state: StateCore) -> None:
    """Gives each heading its anchor, and each link and picture its address under /guide."""
    for heading, title in list_headings(state.tokens):
        heading.attrs["id"] = make_anchor(title)
    for token in (child for block in state.tokens for child in block.children or []):
        for attribute in token.attrs.keys() & {"href", "src"}:
            token.attrs[attribute] = _get_served_address(str(token.attrs[attribute]), state.env["name"])


def list_headings(tokens: Sequence[Token]) -> Iterator[tuple[Token, str]]:
    """Yields the opening token and the title of each heading."""
    for index, token in enumerate(tokens):
        if token.type == "heading_open":
            words = tokens[index + 1].children or []
            yield token, "".join(word.content for word in words)


def make_anchor(title: str) -> str:
    """Makes an anchor as code hosts and Sphinx do, so that the same link works there, too."""
    return re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-")


def _get_served_address(link: str, name: str) -> str:
    if "://" in link or link.startswith("#"):
        return link
    path, hash_sign, fragment = link.partition("#")
    target = normpath(join(dirname(name), path))
    return get_address(target.removesuffix(".md")) + hash_sign + fragment
