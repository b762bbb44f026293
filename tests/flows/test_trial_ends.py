"""How trials end: nothing of them stays open, and none runs for ever."""

import asyncio
import json

from app.resources import Resources
from tests.flows.test_trials import Candidates, add_corpus, candidates, run_trial
from tests.world import World, agent, carrier, idle_world, until, working, world

__all__ = ["agent", "candidates", "carrier", "idle_world", "working", "world"]


async def test_a_late_reply_through_the_api_is_too_slow(world: World, candidates: Candidates) -> None:
    """Though the trial waits for another answer meanwhile, and looks at it afterwards."""
    corpus_id = await add_corpus(world, made=[{"says": ["Hi"]}, {"says": ["Hello"]}])
    asked = run_trial(world, corpus_id, webhookUrl=f"{candidates.url}/later-and-slow", maxSeconds=1)
    running = asyncio.create_task(asked)

    async def posted() -> bool:
        return bool(candidates.bodies)

    await until(posted)
    await asyncio.sleep(1.2)
    turn_id = json.loads(candidates.bodies[0])["turn"]["turnId"]
    reply = {"leadId": world.lead["leadId"], "message": "I am late", "source": "sms_agent", "turnId": turn_id}
    assert (await world.tenant.call("POST", "/sms/send", reply))["status"] == "caught"
    _, results = await running
    result = next(item for item in results if item["turnId"] == turn_id)
    assert (result["candidate"]["kind"], result["passed"]) == ("too_slow", False)
    assert result["candidate"]["reason"] == "no answer in 1 s"


async def test_a_trial_that_cannot_go_on_fails_and_says_so(
    world: World, candidates: Candidates, resources: Resources
) -> None:
    corpus_id = await add_corpus(world, made=[{"says": ["Hi"]}, {"says": ["Hello"]}])
    async with resources.database.system_tx() as tx:
        await tx.execute(
            """UPDATE corpus_turns SET payload = '{"turn": {}}' WHERE corpus_turn_id = (
                   SELECT max(corpus_turn_id) FROM corpus_turns WHERE corpus_id = $1)""",
            corpus_id,
        )
    trial, _ = await run_trial(world, corpus_id, webhookUrl=f"{candidates.url}/good")
    assert (trial["state"], trial["fault"]) == ("failed", "An unexpected error. The service's log says more.")
    assert trial["finishedAt"]
    other_id = await add_corpus(world, made=[{"says": ["Hi"]}])
    other, _ = await run_trial(world, other_id, webhookUrl=f"{candidates.url}/good")
    assert (other["state"], other["fault"]) == ("done", None)
