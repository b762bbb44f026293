"""How trials end: nothing of them stays open, and none runs for ever."""

import asyncio
import json
import time
from datetime import timedelta

from app.domain.windows import HAND_OVER_DEADLINE
from app.jobs.trials import MAX_AT_ONCE, TrialRunner
from app.resources import Resources
from app.store import owed
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


async def test_what_is_open_when_a_trial_is_stopped_has_failed(world: World, candidates: Candidates) -> None:
    corpus_id = await add_corpus(world, made=[{"says": ["Hi"]}] * 3)
    body = {"corpusId": corpus_id, "smsAgentId": world.smsagent["smsAgentId"], "perMinute": 600, "maxSeconds": 600}
    trial = await world.tenant.call("POST", "/trials", body | {"webhookUrl": f"{candidates.url}/later"})

    async def are_posted() -> bool:
        return len(candidates.bodies) == 3

    await until(are_posted)
    await world.tenant.call("POST", f"/trials/{trial['trialId']}/stop")
    tally = (await world.tenant.call("GET", f"/trials/{trial['trialId']}"))["tally"]
    assert (tally["settled"], tally["failed"], tally["passed"]) == (3, 3, 0)
    results = (await world.tenant.call("GET", f"/trials/{trial['trialId']}/results"))["results"]
    assert {result["candidate"]["reason"] for result in results} == {"the trial was stopped"}
    assert [check["detail"] for result in results for check in result["checks"]] == ["the trial was stopped"] * 3


async def test_a_candidate_that_never_answers_holds_up_no_other_trial(
    world: World, candidates: Candidates, resources: Resources
) -> None:
    hanging_id = await add_corpus(world, made=[{"says": ["Hi"]}] * 30)
    body = {"corpusId": hanging_id, "smsAgentId": world.smsagent["smsAgentId"], "perMinute": 600}
    hanging = await world.tenant.call("POST", "/trials", body | {"webhookUrl": f"{candidates.url}/hangs"})

    async def is_full() -> bool:
        return len(candidates.bodies) == MAX_AT_ONCE

    await until(is_full)
    async with resources.database.system_tx() as tx:
        assert await owed.is_anything_due(tx, timedelta(0)), "a worker that drains waits for it"
    other_id = await add_corpus(world, made=[{"says": ["Hello"]}])
    began_at = time.monotonic()
    other, _ = await run_trial(world, other_id, webhookUrl=f"{candidates.url}/good")
    assert (other["tally"]["passed"], time.monotonic() - began_at < HAND_OVER_DEADLINE.total_seconds() / 2) == (1, True)
    assert len(candidates.bodies) == MAX_AT_ONCE + 1
    assert (await world.tenant.call("GET", f"/trials/{hanging['trialId']}"))["state"] == "running"
    await world.tenant.call("POST", f"/trials/{hanging['trialId']}/stop")
    candidates.is_over.set()


async def test_a_slow_trial_leaves_the_lane_to_others(world: World, candidates: Candidates) -> None:
    corpus_id = await add_corpus(world, made=[{"says": ["Hi"]}] * 2)
    body = {"corpusId": corpus_id, "smsAgentId": world.smsagent["smsAgentId"], "perMinute": 1}
    slow = await world.tenant.call("POST", "/trials", body | {"webhookUrl": f"{candidates.url}/good"})

    async def has_settled() -> bool:
        return bool((await world.tenant.call("GET", f"/trials/{slow['trialId']}"))["tally"]["settled"] == 1)

    await until(has_settled)
    other_id = await add_corpus(world, made=[{"says": ["Hello"]}])
    other, _ = await run_trial(world, other_id, webhookUrl=f"{candidates.url}/good", perMinute=1)
    assert other["tally"]["settled"] == 1
    assert (await world.tenant.call("GET", f"/trials/{slow['trialId']}"))["state"] == "running"
    assert len(candidates.bodies) == 2, "the slow one keeps its pace"


async def test_a_worker_that_stops_leaves_the_judge_to_another_one(
    idle_world: World, candidates: Candidates, resources: Resources
) -> None:
    corpus_id = await add_corpus(idle_world, made=[{"says": ["Hi"]}])
    body = {"corpusId": corpus_id, "smsAgentId": idle_world.smsagent["smsAgentId"]}
    urls = {"webhookUrl": f"{candidates.url}/good", "judgeUrl": f"{candidates.url}/judge"}
    trial = await idle_world.tenant.call("POST", "/trials", body | urls)
    runner = TrialRunner(resources.database, resources.wire, resources.seal)

    async def run_batch(is_stopping: bool) -> tuple[int, str]:
        """How often the judge was asked until now, and the trial's state."""

        async def rest_for(_: float) -> bool:
            return is_stopping

        async def run() -> bool:
            return await runner.run_next(rest_for)

        await until(run)
        return len(candidates.judged), (await idle_world.tenant.call("GET", f"/trials/{trial['trialId']}"))["state"]

    assert [await run_batch(True), await run_batch(False)] == [(0, "running"), (1, "running")]
    assert await run_batch(False) == (1, "done")
    assert len(candidates.bodies) == 1
