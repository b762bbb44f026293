"""What holds texts back is told where one would wait for them."""

import re
from html import unescape

import pytest

from app.resources import Resources
from tests.web.people import Browser
from tests.world import World


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/settings", "Texts are waiting: everything is paused: fire drill."),
        ("/phone-numbers/{number}", "Texts are waiting: this number is paused: fire drill."),
        ("/sms-agents/{agent}", "Texts are waiting: the agent is paused: fire drill."),
    ],
)
async def test_a_brake_is_told_with_its_reason_until_it_is_let_go(
    sam: Browser, idle_world: World, path: str, said: str
) -> None:
    sent = await idle_world.send()
    here = f"/conversations/{sent['interactionId']}"
    assert "Texts are waiting" not in await sam.page(here)
    brake = path.format(number=idle_world.number["phoneNumberId"], agent=idle_world.smsagent["smsAgentId"])
    await idle_world.tenant.call("POST", f"{brake}/pause", {"reason": "fire drill"})
    assert said in await sam.page(here)
    await idle_world.tenant.call("POST", f"{brake}/resume", {})
    assert "Texts are waiting" not in await sam.page(here)


async def test_an_agent_that_the_loop_breaker_paused_says_until_when_and_why(
    sam: Browser, idle_world: World, resources: Resources
) -> None:
    sent = await idle_world.send(agentMode=True)
    async with resources.database.system_tx() as tx:
        await tx.execute(
            "UPDATE interactions SET paused_until = clock_timestamp() + interval '1 h',"
            " paused_reason = '50 turns were handed over today' WHERE interaction_id = $1",
            sent["interactionId"],
        )
    page = unescape(await sam.page(f"/conversations/{sent['interactionId']}"))
    assert re.search(r"The agent is paused until .+: 50 turns were handed over today\.", page)
