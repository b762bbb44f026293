"""An A/B test is started from a form, compared on its page and on the agent's, and stopped there."""

from app.resources import Resources
from tests.web.people import Browser, add_person
from tests.web.test_trial_pages import ADMIN, texts_of
from tests.world import World

SECRET = "whsec_"
COUNTS = [
    {"side": "a", "leads": 130, "replied": 60, "qualified": 4, "opted_out": 2},
    {"side": "b", "leads": 121, "replied": 61, "qualified": 5, "opted_out": 24},
]


async def test_an_ab_test_is_started_compared_and_stopped_on_the_page(
    idle_world: World, stranger: Browser, resources: Resources
) -> None:
    world = idle_world
    await add_person(resources, world.tenant.tenant_id, ADMIN)
    await stranger.sign_in(ADMIN)
    agent_page = f"/settings/agents/{world.smsagent['smsAgentId']}"
    assert "Start an A/B test" in await stranger.page(agent_page)
    assert "No A/B test yet." in await stranger.page("/settings/experiments")
    new = await stranger.page(f"/settings/experiments/new?agent={world.smsagent['smsAgentId']}")
    fields = {
        "name": "Asks <first>", "smsAgentId": world.smsagent["smsAgentId"], "share": "0.7",
        "webhookUrl": "https://b.example.com/sms",
    }  # fmt: skip
    refused = await stranger.submit(new, "/new", **fields)
    assert (refused.status_code, "less than or equal to 0.5" in texts_of(refused.text)) == (400, True)
    started = await stranger.submit(new, "/new", **fields | {"share": "0.5"})
    assert (started.status_code, "Asks &lt;first&gt; runs" in started.text, SECRET in started.text) == (200, True, True)
    assert SECRET not in (await stranger.submit(new, "/new", **fields | {"share": "0.5"})).text, "sent twice"
    [experiment] = (await world.tenant.call("GET", "/experiments"))["experiments"]
    async with resources.database.system_tx() as tx:
        await tx.execute(
            "UPDATE experiments SET counts = $2 WHERE tenant_id = $1 AND kept_side IS NULL",
            world.tenant.tenant_id,
            COUNTS,
        )
    here = f"/settings/experiments/{experiment['experimentId']}"
    rotated = await stranger.submit(await stranger.page(here), "/rotate-secret")
    assert ("Asks &lt;first&gt; has a new secret" in rotated.text, SECRET in rotated.text) == (True, True)
    for path in (here, agent_page):
        words = texts_of(await stranger.page(path))
        assert "More leads of B opted out: 24 of 121, and 2 of 130 of A." in words
        assert "19.8 % 13.7 to 27.8" in words, words
    assert "Start an A/B test" not in await stranger.page(agent_page), "one at a time"
    again = await stranger.page("/settings/experiments/new")
    busy = await stranger.submit(again, "/new", **fields | {"share": "0.5"})
    assert "Has another A/B test" in texts_of(busy.text)
    stopped = await stranger.submit(await stranger.page(here), "/stop")
    assert stopped.headers["location"].startswith(here)
    shown = texts_of(await stranger.page(stopped.headers["location"]))
    assert "New turns of all leads go to this side." in shown
    assert "All leads go to A" in shown
    assert "stopped by hand" in shown
    assert "All leads go to A" in texts_of(await stranger.page("/settings/experiments"))
    assert "Start an A/B test" in await stranger.page(agent_page)
    body = {key: experiment[key] for key in ("smsAgentId", "webhookUrl")} | {"name": "Newer"}
    newer = await world.tenant.call("POST", "/experiments", body)
    await world.tenant.call("POST", f"/experiments/{newer['experimentId']}/stop", {"keep": "a"})
    await world.tenant.call("POST", f"/experiments/{experiment['experimentId']}/stop", {"keep": "b"})
    shown = await stranger.page(agent_page)
    assert "All leads go to B" in texts_of(shown), "the one in force, not the newest"
    assert "Start an A/B test" not in shown
