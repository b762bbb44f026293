"""A search of texts says where it found the words, and leads there."""

import re
from datetime import UTC, datetime, timedelta
from html import unescape

import pytest

from app.resources import Resources
from app.web.page.found_words import build_pattern, cut_snippet, link_addresses
from tests.browser.inbox import fill_thread
from tests.makers import Data, Tenant
from tests.web.people import Browser
from tests.web.test_page import a_thread, ours

__all__ = ["ours"]


@pytest.mark.parametrize(
    ("typed", "text", "marked"),
    [
        ("ﬁ ‿", "fi ‿", "<mark>fi</mark> ‿"),
        ("ͺ", "Hi", "Hi"),
        ("solar", "Solar panels, no solaris", "<mark>Solar</mark> panels, no solaris"),
        ("roof solar", "Solar on the roof", "<mark>Solar</mark> on the <mark>roof</mark>"),
        ('"the roof"', "the flat roof, the  roof", "the flat roof, <mark>the  roof</mark>"),
        ("ann@example.com", "To Ann@example.com.", "To <mark>Ann@example.com</mark>."),
        ("太阳", "关于太阳能", "关于<mark>太阳</mark>能"),
        ("<b> 9", "<b>9 & 10</b>", "&lt;<mark>b</mark>&gt;<mark>9</mark> &amp; 10&lt;/<mark>b</mark>&gt;"),
        ("!!", "Hi!!", "Hi!!"),
        (
            "jose cafe",
            "Café José, Jose\u0301: joséph",
            "<mark>Café</mark> <mark>José</mark>, <mark>Jose\u0301</mark>: joséph",
        ),
        ("가 방", "각 가, 방", "각 <mark>가</mark>, <mark>방</mark>"),
        ("Łódź", "lodz in ŁÓDŹ", "<mark>lodz</mark> in <mark>ŁÓDŹ</mark>"),
        ("strasse", "Die Straße, İstanbul", "Die <mark>Straße</mark>, İstanbul"),
        ("привет", "О, Приве\u0301т!", "О, <mark>Приве\u0301т</mark>!"),
        ("", "Hi", "Hi"),
    ],
)
def test_what_was_found_is_marked_and_everything_else_is_escaped(typed: str, text: str, marked: str) -> None:
    assert link_addresses(text, build_pattern(typed)) == marked


def test_a_mark_in_an_address_leaves_the_link_whole() -> None:
    html = link_addresses("See https://example.com/solar?a=1&b=2.", build_pattern("solar"))
    assert 'href="https://example.com/solar?a=1&amp;b=2"' in html
    assert "https://example.com/<mark>solar</mark>?a=1&amp;b=2</a>." in html


def test_a_snippet_begins_shortly_before_what_was_found() -> None:
    text = f"{'word ' * 30}the\nroof is ours {'more ' * 30}"
    assert cut_snippet(text, build_pattern("roof")).startswith("…word word word the <mark>roof</mark> is ours")
    long_word = "w" * 40
    for line, snippet in (
        (f"{long_word} roof is", "…<mark>roof</mark> is"),
        (f"A https://example.com/{long_word}/roof is", f"…{long_word[:23]}/<mark>roof</mark> is"),
        (f"{long_word}/roof", f"…{long_word[:23]}/<mark>roof</mark>"),
        (f"ours, and here {long_word[:20]} roof", f"…{long_word[:20]} <mark>roof</mark>"),
    ):
        assert cut_snippet(line, build_pattern("roof")) == snippet
    assert cut_snippet("The roof", build_pattern("roof")) == "The <mark>roof</mark>"
    assert cut_snippet("No such word", build_pattern("roof")) == "No such word"


async def test_a_row_shows_the_newest_text_that_matches_and_leads_to_it(
    sam: Browser, tenant: Tenant, ours: Data, resources: Resources
) -> None:
    lead, sent = await a_thread(tenant, firstName="Ann", lastName="X")
    thread = sent["interactionId"]
    await fill_thread(resources, thread, 200)
    await a_thread(tenant, firstName="Bob", lastName="X")
    page = await sam.page('/conversations?within=messages&search="text+60"')
    assert page.count("<mark>") == 1
    assert "<mark>Text 60</mark>." in page
    [link] = re.findall(rf'href="(/conversations/{thread}\?[^"]*)"', page)
    assert unescape(link).endswith("before=85#msg_60")
    opened = await sam.page(unescape(link).partition("#")[0])
    article = opened.partition('id="msg_60"')[2]
    assert "<mark>Text 60</mark>." in article[:600]
    assert 'id="msg_84"' in opened
    newest = await sam.page('/conversations?within=messages&search="text+199"')
    assert "before" not in re.findall(rf'href="(/conversations/{thread}\?[^"]*)"', newest)[0]
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    order = {"leadId": lead["leadId"], "message": "Text 199 later", "sendAt": tomorrow}
    scheduled = await tenant.call("POST", "/sms/send", order)
    assert "later" in (await sam.page('/conversations?within=messages&search="text+199"'))  # what waits is the newest
    await tenant.call("POST", f"/messages/{scheduled['messageId']}/cancel")
    assert "later" not in await sam.page('/conversations?within=messages&search="text+199"')
    changed = await sam.get(
        f"/conversations/changes?within=messages&search=text&opened={thread}&texts=msg_7&rows={thread}"
    )
    assert "<mark>Text</mark> 7." in changed.text
    assert "<mark>" not in await sam.page("/conversations?search=ann")
