"""The guide at /guide: every page, every link, in the page's own look, from the files of docs/."""

import re
from functools import cache
from html import unescape
from html.parser import HTMLParser

import pytest

from app import documents
from app.web import guide
from app.web.page import render
from tests.service import Api

PAGES = sorted(guide.list_pages())
NAMES = {guide.get_address(name): name for name in PAGES}
EVERY_PAGE = pytest.mark.parametrize("name", PAGES)


class Read(HTMLParser):
    """What a reader of one page can follow, and where links may point."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.pictures: list[tuple[str, str]] = []
        self.anchors: set[str] = set()
        self.styled: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        has = {name: value or "" for name, value in attrs}
        self.anchors.add(has.get("id", ""))
        if tag == "a":
            self.links.append(has["href"])
        if tag == "img":
            self.pictures.append((has["src"], has["alt"]))
        if tag in ("style", "script") or "style" in has or any(n.startswith("on") for n in has):
            self.styled.append(tag)


@cache
def read(name: str) -> Read:
    return Read(guide.build_page(name).html)


@EVERY_PAGE
async def test_each_page_has_a_title_the_navigation_and_nothing_inline(api: Api, name: str) -> None:
    answer = await api.http.get(guide.get_address(name))
    assert answer.headers["Content-Security-Policy"] == render.CONTENT_POLICY
    [title] = re.findall(r"<title>(.+)</title>", answer.text)
    [heading] = re.findall(r"<h1[^>]*>(.+)</h1>", answer.text)
    plain_heading = unescape(re.sub(r"<[^>]+>", "", heading))
    subject = "" if name == "index" else f"{plain_heading} · "
    assert unescape(title) == f"{subject}Guide · LeadSail SMS"
    page = Read(answer.text)
    assert page.styled == []
    assert all(entry.address in page.links for entry in guide.build_navigation())
    assert answer.text.count('aria-current="page"') == 2  # of the two navigations


@EVERY_PAGE
def test_each_link_and_picture_leads_somewhere(name: str) -> None:
    for link in read(name).links:
        address, _, anchor = link.partition("#")
        target = NAMES.get(address, "" if address else name)
        assert target or address.removeprefix("/guide/") in guide.list_files() or "://" in link, link
        assert not anchor or anchor in read(target).anchors, link
    for picture, words in read(name).pictures:
        assert picture.removeprefix("/guide/") in guide.list_files()
        assert words


async def test_a_picture_is_served_as_one(api: Api) -> None:
    answer = await api.http.get("/guide/flows.svg")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "image/svg+xml")


def test_the_navigation_names_each_page_of_the_guide() -> None:
    listed = {entry.address for entry in guide.build_navigation()}
    decisions = set(read("decisions/index").links)
    assert set(NAMES) == listed | decisions


async def test_an_example_is_shown_as_text(api: Api) -> None:
    answer = await api.http.get("/guide/examples/agent.py")
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert answer.text == (documents.get_folder() / "examples" / "agent.py").read_text()


@pytest.mark.parametrize(
    "address",
    ["nothing", "index", "conf.py", "../app/main.py", "%2e%2e/README.md", "decisions/", "", "/etc"],
)
async def test_nothing_but_the_guide_is_served(api: Api, address: str) -> None:
    assert (await api.http.get(f"/guide/{address}")).status_code == 404


def test_anchors_are_those_of_code_hosts() -> None:
    assert guide.make_anchor("Debug a worker") == "debug-a-worker"
    assert guide.make_anchor("1. PostgreSQL is the truth, Redis is the clock") == (
        "1-postgresql-is-the-truth-redis-is-the-clock"
    )
    assert guide.make_anchor("`active_at`, twice!") == "active_at-twice"


def test_an_installed_package_holds_the_pages_in_itself() -> None:
    """Before any other folder: beside an installed package, `docs` may be a stranger's."""
    assert documents.DOCS_FOLDERS[0] == documents.APP_FOLDER / "guide"
    assert documents.DOCS_FOLDERS[1] == documents.get_folder()
