"""How trials end: nothing of them stays open, and none runs for ever."""

from app.resources import Resources
from tests.flows.test_trials import Candidates, add_corpus, candidates, run_trial
from tests.world import World, agent, carrier, idle_world, working, world

__all__ = ["agent", "candidates", "carrier", "idle_world", "working", "world"]


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
