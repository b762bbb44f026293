"""An opt-out that a text was taken for says how to undo it; a person undoes it, but no definitive word and
nothing that a carrier said. What people decide is kept as examples."""

import asyncio
from collections.abc import Sequence

import pytest

from app.resources import Resources
from app.store.opt_out_decisions import list_examples
from tests.flows.test_possible import consent, decide, entry_of
from tests.makers import Data
from tests.world import World, until

SENTENCE = "I asked you twice already, stop texting me about the roof"
SENTENCES = (
    SENTENCE,
    "I really do not want any more texts from you people",
    "por favor ya no quiero recibir mensajes de ustedes sobre el techo",
)
UNDERSTOOD = ("sentence", "meaning")


async def undo(world: World, reason: str = "She meant another company") -> Data:
    return await world.tenant.call("POST", f"/suppressions/{world.phone}/undo", {"reason": reason})


async def refusal(world: World, body: Data) -> tuple[int, str]:
    answer = await world.tenant.ask("POST", f"/suppressions/{world.phone}/undo", body)
    return answer.status_code, answer.json()["error"]["code"]


async def greet(world: World) -> str:
    """Sends a text and waits for its arrival: an opt-out would still cancel it. Returns the thread."""
    thread: str = (await world.send())["interactionId"]

    async def arrived() -> Sequence[str]:
        return world.carrier.received(world.phone)

    await until(arrived)
    return thread


async def confirmation(world: World) -> str:
    """The only text of ours after the first."""

    async def look() -> Sequence[str] | None:
        return world.carrier.received(world.phone)[1:]

    [text] = await until(look)
    await asyncio.sleep(0.5)
    assert world.carrier.received(world.phone)[1:] == [text]
    return text


async def examples(world: World, resources: Resources) -> list[tuple[str, bool]]:
    tenant = world.tenant.tenant_id
    return [(example.text, example.opt_out) async for example in list_examples(resources.database, tenant)]


@pytest.mark.parametrize("text", SENTENCES)
async def test_an_opt_out_by_a_sentence_is_confirmed_and_undone_by_a_person(
    world: World, resources: Resources, text: str
) -> None:
    thread = await greet(world)
    await world.text(text)
    assert "START" in await confirmation(world)
    record = await undo(world)
    assert (record["suppressed"], record["causes"]) == (False, [])
    done, undone = record["events"]
    assert done["event"] == "opted_out"
    assert done["rule"] in UNDERSTOOD
    assert (undone["event"], undone["cause"], undone["rule"]) == ("opt_out_undone", "lead", "person")
    assert undone["text"] == "She meant another company"
    assert undone["actor"].startswith("key_")
    assert (await world.thread(thread))["status"] == "in_progress"
    assert (await entry_of(world, thread, text))["optOut"] is False
    assert await examples(world, resources) == [(text, False)]
    await world.send("Sorry!")


@pytest.mark.parametrize(
    ("own_words", "expected"),
    [
        ("You get no more texts from us.", "You get no more texts from us. Reply START to resume."),
        ("Bye. Text start to come back.", "Bye. Text start to come back."),
        ("We restarted nothing", "We restarted nothing Reply START to resume."),
    ],
)
async def test_the_tenants_own_confirmation_says_how_to_undo_it_after_a_sentence(
    world: World, own_words: str, expected: str
) -> None:
    await world.tenant.call("PATCH", "/settings", {"optOutConfirmation": own_words})
    await greet(world)
    await world.text(SENTENCE)
    assert await confirmation(world) == expected


async def test_after_a_definitive_word_the_tenants_own_confirmation_stays_as_it_is(world: World) -> None:
    await world.tenant.call("PATCH", "/settings", {"optOutConfirmation": "Bye."})
    await greet(world)
    await world.text("STOP")
    assert await confirmation(world) == "Bye."


@pytest.mark.parametrize("words", [("STOP",), (SENTENCE, "Stop."), ("unsubscribe", SENTENCE)])
async def test_a_definitive_word_is_never_undone(world: World, words: Sequence[str]) -> None:
    await world.send()
    for word in words:
        await world.text(word)
    assert await refusal(world, {"reason": "A mistake"}) == (409, "SUPPRESSION_ACTIVE")
    assert (await consent(world))["causes"] == ["lead"]


async def test_a_definitive_word_before_a_start_does_not_keep_a_later_sentence(world: World) -> None:
    await world.send()
    for text in ("STOP", "START", SENTENCE):
        await world.text(text)
    assert (await undo(world))["causes"] == []


async def test_what_a_carrier_said_is_never_undone(world: World) -> None:
    phone = "+12125550026"
    sent = await world.send(to=phone)
    await world.status_is(sent["messageId"], "undelivered")
    answer = await world.tenant.ask("POST", f"/suppressions/{phone}/undo", {"reason": "A mistake"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "SUPPRESSION_ACTIVE")


async def test_an_undo_wants_a_reason_and_an_opt_out_that_stands(world: World) -> None:
    await world.send()
    assert await refusal(world, {"reason": "A mistake"}) == (404, "NOT_FOUND")
    await world.text(SENTENCE)
    for body in ({}, {"reason": ""}, {"reason": "  "}, {"reason": None}):
        assert await refusal(world, body) == (400, "VALIDATION_ERROR")
    assert (await consent(world))["causes"] == ["lead"]


async def test_an_undo_leaves_what_a_person_blocked(world: World) -> None:
    await world.send()
    await world.tenant.call("POST", "/suppressions", {"phones": [world.phone]})
    await world.text(SENTENCE)
    answer = await world.tenant.ask("DELETE", f"/suppressions/{world.phone}")
    assert (answer.status_code, (await consent(world))["causes"]) == (200, ["lead"])
    await world.tenant.call("POST", "/suppressions", {"phones": [world.phone]})
    assert (await undo(world))["causes"] == ["person"]
    assert (await world.only_thread())["status"] == "dnc"


async def test_a_persons_decision_is_undone_and_its_example_turns_over(world: World, resources: Resources) -> None:
    thread = (await world.send())["interactionId"]
    await world.text("wrong\tnumber\nsorry")
    await world.text("is this spam?")
    for text, is_opt_out in (("is this spam?", False), ("wrong\tnumber\nsorry", True)):
        await decide(world, (await entry_of(world, thread, text))["messageId"], is_opt_out)
    assert await examples(world, resources) == [("wrong\tnumber\nsorry", True), ("is this spam?", False)]
    await undo(world)
    assert await examples(world, resources) == [("wrong\tnumber\nsorry", False), ("is this spam?", False)]


async def test_examples_are_erased_with_their_lead(world: World, resources: Resources) -> None:
    heir = await world.tenant.lead(phone=world.phone)
    thread = (await world.send())["interactionId"]
    await world.text("wrong number")
    await decide(world, (await entry_of(world, thread, "wrong number"))["messageId"], False)
    await world.tenant.call("POST", f"/leads/{world.lead['leadId']}/erase")
    assert await examples(world, resources) == []
    await world.text("is this spam?")
    text = await entry_of(world, thread, "is this spam?")
    await decide(world, text["messageId"], False)
    assert await examples(world, resources) == [("is this spam?", False)]
    await world.tenant.call("POST", f"/leads/{heir['leadId']}/erase")
    assert await examples(world, resources) == []
