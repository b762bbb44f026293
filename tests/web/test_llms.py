"""/llms.txt and /llms-full.txt: the guide for machines that read."""

import re

from app import documents
from app.settings import Settings
from app.web import guide
from tests.service import Api

LINKS = re.compile(r"\]\(([^)\s]+)\)")


async def test_the_index_has_the_form_of_llmstxt_and_lists_each_page(api: Api, configuration: Settings) -> None:
    answer = await api.http.get("/llms.txt")
    assert answer.headers["Content-Type"].startswith("text/plain")
    title, empty, summary, *rest = answer.text.splitlines()
    assert (title, empty, rest[0]) == ("# LeadSail SMS", "", "")
    assert summary.startswith("> Text conversations between organizations and their leads")
    assert "![" not in answer.text
    listed = {link.removeprefix(f"{configuration.base_url}/guide/") for link in LINKS.findall(answer.text)}
    named = {entry.address.removeprefix("/guide/") for entry in guide.build_navigation()[1:]}
    pages = {f"{name}.md" if name in guide.list_pages() else f"{name}/index.md" for name in named}
    assert listed == pages | {f"{configuration.base_url}/openapi.json"}


async def test_each_link_of_both_leads_to_something_that_is_served(api: Api, configuration: Settings) -> None:
    for address in ("/llms.txt", "/llms-full.txt"):
        text = (await api.http.get(address)).text
        ours = {link for link in LINKS.findall(text) if link.startswith(f"{configuration.base_url}/")}
        assert len(ours) > 15
        for link in ours:
            path = link.removeprefix(configuration.base_url).partition("#")[0]
            assert (await api.http.get(path)).status_code == 200, link
        relative = [link for link in LINKS.findall(text) if re.fullmatch(r"[\w/.-]+\.(md|py|ts|svg)(#.*)?", link)]
        assert relative == []


async def test_the_whole_text_holds_each_page_once_and_no_decision(api: Api) -> None:
    answer = await api.http.get("/llms-full.txt")
    assert answer.headers["Content-Type"].startswith("text/plain")
    for name in ("quickstart", "sending", "agents", "first-agent", "decisions/index"):
        title = (documents.get_folder() / f"{name}.md").read_text().splitlines()[0]
        assert answer.text.count(f"\n{title}\n") == 1, title
    decision = (documents.get_folder() / "decisions" / "0001-postgresql-is-the-truth.md").read_text().splitlines()[0]
    assert f"\n{decision}\n" not in answer.text
    assert "def is_genuine(headers, body):" in answer.text


async def test_a_page_is_served_as_it_is_written(api: Api) -> None:
    answer = await api.http.get("/guide/first-agent.md")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/markdown; charset=utf-8")
    assert answer.text == (documents.get_folder() / "first-agent.md").read_text()
    assert (await api.http.get("/guide/decisions/index.md")).status_code == 200
    for absent in ("nothing.md", "conf.md", "examples/agent.py.md", "../README.md"):
        assert (await api.http.get(f"/guide/{absent}")).status_code == 404, absent
