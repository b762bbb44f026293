"""/guide: the documentation of this very version, without the internet. Public, as /docs is.

The pages are the Markdown files of `docs/`. Links between them are rewritten to where they are
served; the first page's list of links is the navigation.
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

from app.domain.problems import NotFound
from app.web.page import render

router = APIRouter(include_in_schema=False)
APP = Path(__file__).parents[1]
FOLDERS = (APP / "guide", APP.parent / "docs")
"""In an installed package, and in a checkout: there is one of the two."""
FILES = {".svg": "image/svg+xml", ".py": "text/plain", ".ts": "text/plain"}
"""What pages link to beside each other."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the navigation."""

    address: str
    title: str


@dataclass(frozen=True, slots=True)
class Page:
    title: str
    html: str


@router.get("/guide")
async def show_first(request: Request) -> Response:
    return _answer(request, "index")


@router.get("/guide/{name:path}")
async def show(request: Request, name: str) -> Response:
    if name in files():
        return FileResponse(folder() / name, media_type=FILES[Path(name).suffix])
    return _answer(request, f"{name}/index" if f"{name}/index" in pages() else name)


def _answer(request: Request, name: str) -> Response:
    if name not in pages() or request.url.path != address_of(name):
        raise NotFound
    return render.page(request, "guide.html", page=page(name), navigation=navigation(), here=section_of(name))


@cache
def folder() -> Path:
    return next(each for each in FOLDERS if each.is_dir())


@cache
def pages() -> frozenset[str]:
    """The names of all pages: their paths without `.md`."""
    return frozenset(path.removesuffix(".md") for path in _below("*.md"))


@cache
def files() -> frozenset[str]:
    """Pictures and examples. Nothing else in the folder is served."""
    return frozenset(path for kind in FILES for path in _below(f"*{kind}") if path != "conf.py")


def _below(pattern: str) -> Iterator[str]:
    return (path.relative_to(folder()).as_posix() for path in folder().rglob(pattern))


def address_of(name: str) -> str:
    """Where a page is served: `decisions/index` at /guide/decisions."""
    return join("/guide", name).removesuffix("/index")


def section_of(name: str) -> str:
    """The address that the navigation marks: a decision's is that of their list."""
    return address_of(join(dirname(name), "index") if dirname(name) else name)


@cache
def page(name: str) -> Page:
    text = (folder() / f"{name}.md").read_text()
    tokens = _reader().parse(text, {"name": name})
    html: str = _reader().renderer.render(tokens, _reader().options, {})
    return Page(next(title for _, title in headings(tokens)), html)


@cache
def navigation() -> tuple[Entry, ...]:
    """The first page's links to other pages, in their order."""
    tokens = _reader().parse((folder() / "index.md").read_text(), {"name": "index"})
    entries = (
        Entry(str(token.attrs["href"]), inline[at + 1].content)
        for inline in (each.children or [] for each in tokens)
        for at, token in enumerate(inline)
        if token.type == "link_open"
    )
    return (Entry("/guide", "Overview"), *entries)


@cache
def _reader() -> MarkdownIt:
    reader = MarkdownIt("commonmark", {"html": False}).enable("table")
    reader.core.ruler.push("addresses", _rewrite)
    reader.add_render_rule("fence", _code)
    return reader


def _code(_: object, tokens: Sequence[Token], at: int, *__: object) -> str:
    """Code that is wider than the page is scrolled, so the keyboard must reach it."""
    return f'<pre tabindex="0"><code>{escapeHtml(tokens[at].content)}</code></pre>\n'


def _rewrite(state: StateCore) -> None:
    """Gives each heading its anchor, and each link and picture the address it has here."""
    for heading, title in headings(state.tokens):
        heading.attrs["id"] = anchor(title)
    for token in (child for each in state.tokens for child in each.children or []):
        for attribute in token.attrs.keys() & {"href", "src"}:
            token.attrs[attribute] = _served(str(token.attrs[attribute]), state.env["name"])


def headings(tokens: Sequence[Token]) -> Iterator[tuple[Token, str]]:
    """Each heading's opening token, and its words."""
    for at, token in enumerate(tokens):
        if token.type == "heading_open":
            words = tokens[at + 1].children or []
            yield token, "".join(word.content for word in words)


def anchor(title: str) -> str:
    """As code hosts and Sphinx make it, so that one link serves everywhere."""
    return re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-")


def _served(link: str, name: str) -> str:
    if "://" in link or link.startswith("#"):
        return link
    path, mark, place = link.partition("#")
    target = normpath(join(dirname(name), path))
    return address_of(target.removesuffix(".md")) + mark + place
