"""A turn is kept with one click, a trial is run from a form, and its answers are read side by side."""

import re
from html import unescape

from app.resources import Resources
from tests.web.people import Browser, add_person
from tests.world import World, until

ADMIN = "mia@example.com"


def texts_of(page: str) -> str:
    """What the page says, without its tags."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", page.split("<main")[1])).split())


async def ended(person: Browser, here: str) -> str:
    async def look() -> str | None:
        page = await person.page(here)
        return page if ">Running<" not in page else None

    return await until(look)


async def test_a_kept_turn_is_tried_and_read_side_by_side(
    world: World, stranger: Browser, resources: Resources
) -> None:
    await add_person(resources, world.tenant.tenant_id, ADMIN)
    await stranger.enter(resources, ADMIN)
    world.agent.answers = [(200, {"reply": "Hi Jane! Do you own <b>it</b>?"})]
    sent = await world.send("Hi Jane", agentMode=True)
    await world.text("Hey, how much?")
    turn = await world.turn_is(sent["interactionId"], "replied")
    here = f"/conversations/{sent['interactionId']}/turns/{turn['turnId']}"
    page = await stranger.page(here)
    answer = await stranger.submit(page, "/keep")
    assert answer.headers["location"] == f"{here}#trials"
    page = await stranger.page(here)
    assert "Kept in Marked turns." in page
    await stranger.submit(page, "/keep")  # once more changes nothing
    [corpus] = (await world.tenant.call("GET", "/corpora"))["corpora"]
    assert (corpus["name"], corpus["turnCount"]) == ("Marked turns", 1)

    assert "No trial was run yet." in await stranger.page("/settings/trials")
    new = await stranger.page("/settings/trials/new")
    fields = {
        "corpusId": corpus["corpusId"], "smsAgentId": world.smsagent["smsAgentId"], "perMinute": "600",
        "webhookUrl": "ftp://nowhere", "checks.mustNotContain": "$, free", "checks.outcomeIs": "recorded",
    }  # fmt: skip
    refused = await stranger.submit(new, "/new", **fields)
    assert (refused.status_code, "ust be an http or https address" in texts_of(refused.text)) == (400, True)
    world.agent.answers = [(200, {"reply": "Hi Jane! It is <b>free</b>. Do you own it?"})]
    started = await stranger.submit(new, "/new", **fields | {"webhookUrl": ""})
    shown = await ended(stranger, started.headers["location"])
    assert "<ins> It is &lt;b&gt;free&lt;/b&gt;.</ins>" in shown
    assert "<del> &lt;b&gt;it&lt;/b&gt;?</del>" in shown
    words = texts_of(shown)
    for said in (
        "Marked turns Done",
        "1 of 1 turns",
        "Hey, how much?",
        "Not passed",
        "Must not contain: contains 'free'",
    ):
        assert said in words, said
    here = started.headers["location"].partition("?")[0]
    assert "None." in await stranger.page(f"{here}?show=passed")
    assert "Not passed" in await stranger.page(f"{here}?show=failed")
    assert "0 of 1 passed" in await stranger.page("/settings/trials")
    assert "/stop" not in shown, "what is done cannot be stopped"
    new = await stranger.page("/settings/trials/new")
    of_shadow = await stranger.submit(new, "/new", **fields | {"webhookUrl": "", "ofShadow": "1"})
    assert "the agent's shadow" in texts_of(await stranger.page("/settings/trials"))
    assert "No answer was judged yet." in await ended(stranger, of_shadow.headers["location"]), "it had none"
    assert (await stranger.page(f"{here}?after=zzz")).count("<tr>") == 0
