"""On the page, what may be an opt-out waits for a person, who also undoes an opt-out by mistake."""

import re

from tests.flows.test_undone import SENTENCE
from tests.web.people import Browser
from tests.web.test_attention import needing
from tests.web.test_contact import panel
from tests.world import World

ASKS = "It is an opt-out"


async def show(sam: Browser, thread: str) -> str:
    return await sam.page(f"/conversations/{thread}")


def state(page: str) -> str:
    found = re.search(r'aria-label="Agent state">(.*?)</p>', page, re.S)
    assert found
    return re.sub(r"<[^>]*>", "", found[1]).strip()


async def test_an_unclear_text_needs_a_person_until_it_is_decided(sam: Browser, idle_world: World) -> None:
    thread = (await idle_world.send(agentMode=True))["interactionId"]
    await idle_world.text("wrong number")
    await idle_world.text("my roof is on Elm Street")
    page = await show(sam, thread)
    assert needing(page) == ["Jane Miller"]
    assert "Possible opt-out" in page
    assert "Waits for your decision" in page
    assert state(page) == "The agent waits for your decision: Jane Miller may have opted out."
    assert page.count(ASKS) == 1
    assert (await sam.submit(page, "/opt-out", answer="no")).status_code == 303
    page = await show(sam, thread)
    assert needing(page) == []
    assert ASKS not in page
    assert "Possible opt-out" not in page
    assert "Not an opt-out" in page
    assert state(page).startswith("Collecting texts for the agent")
    shown = await panel(sam, thread)
    assert "<strong>Not an opt-out</strong> <q>wrong number</q>" in shown
    assert "<bdi>sam@example.com</bdi> · person" in shown


async def test_a_person_decides_that_it_is_an_opt_out_and_undoes_it_with_a_reason(
    sam: Browser, idle_world: World
) -> None:
    thread = (await idle_world.send(agentMode=True))["interactionId"]
    await idle_world.text("leave me alone")
    assert (await sam.submit(await show(sam, thread), "/opt-out", answer="yes")).status_code == 303
    page = await show(sam, thread)
    assert needing(page) == []
    assert ASKS not in page
    assert (await idle_world.thread(thread))["status"] == "dnc"
    shown = await panel(sam, thread)
    assert "the lead opted out" in shown
    assert "Only Jane" not in shown
    for empty in ("", "  "):
        refused = await sam.submit(page, "/undo-opt-out", reason=empty)
        assert refused.status_code == 400
    assert (await sam.submit(page, "/undo-opt-out", reason="She meant a caller")).status_code == 303
    shown = await panel(sam, thread)
    assert "May be contacted" in shown
    assert "<strong>Opt-out undone</strong> <q>She meant a caller</q>" in shown
    assert (await idle_world.thread(thread))["status"] == "in_progress"
    assert "Not an opt-out" in await show(sam, thread)


async def test_a_definitive_word_cannot_be_undone_on_the_page(sam: Browser, idle_world: World) -> None:
    thread = (await idle_world.send())["interactionId"]
    await idle_world.text(SENTENCE)
    page = await show(sam, thread)
    assert "Undo a mistaken opt-out" in page
    await idle_world.text("STOP")
    assert "Undo a mistaken opt-out" not in await show(sam, thread)
    assert "Only Jane can allow texts again, by sending START." in await panel(sam, thread)
    refused = await sam.submit(page, "/undo-opt-out", reason="A mistake")
    assert refused.status_code == 409
    assert (await idle_world.thread(thread))["status"] == "dnc"


async def test_a_form_decides_only_what_is_unclear(sam: Browser, idle_world: World) -> None:
    thread = (await idle_world.send())["interactionId"]
    await idle_world.text("is this spam?")
    page = await show(sam, thread)
    assert (await sam.submit(page, "/opt-out", answer="no", text="msg_other")).status_code == 404
    assert (await sam.submit(page, "/opt-out", answer="maybe")).status_code == 400
    assert needing(await show(sam, thread)) == ["Jane Miller"]
