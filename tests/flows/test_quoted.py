"""What a lead quotes from our texts is nobody's wish."""

import pytest

from tests.world import World

OURS = "Hi Jane, this is Sunny Roofs. Is now a good time? Reply STOP to opt out of these texts."


@pytest.mark.parametrize(
    "text",
    [
        "Removed a question mark from “Reply STOP to opt out of these texts.”",
        f"👍 removed from “{OURS}”",
        f"Reaccionó con 👍 a “{OURS}”",
        f"> {OURS}\nYes please!",
        f"“{OURS}” – yes, Tuesday works",
        f"{OURS}\nYes, now is fine",
        f"『{OURS}』に「いいね」",
    ],
)
async def test_a_quotation_of_ours_is_conversation(idle_world: World, text: str) -> None:
    thread = (await idle_world.send(OURS))["interactionId"]
    await idle_world.text(text)
    shown = await idle_world.thread(thread)
    assert (shown["status"], shown["awaitsDecision"]) == ("in_progress", False)


@pytest.mark.parametrize("text", [f"“{OURS}” STOP", f"> {OURS}\nplease stop texting me", "STOP", "Reply STOP"])
async def test_a_wish_beside_a_quotation_is_one(idle_world: World, text: str) -> None:
    thread = (await idle_world.send(OURS))["interactionId"]
    await idle_world.text(text)
    assert (await idle_world.thread(thread))["status"] == "dnc"
