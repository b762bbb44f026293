"""Webhook endpoints: events are posted in order, signed, and again until they are taken."""

from datetime import UTC, datetime
from typing import Any

import pytest

from app.resources import Resources
from app.store import webhook_deliveries
from app.store.webhook_deliveries import Delivery
from tests.backend import Backend, backend, refuse_some
from tests.flows.test_events import all_of, settle
from tests.makers import Data, Tenant
from tests.world import World, until

__all__ = ["backend"]
HAPPEN_SQL = """
INSERT INTO tenant_events (tenant_id, type, name, interaction_id, data)
SELECT $1, 'receipt', 'message.sent', $2, jsonb_build_object('nth', n) FROM generate_series(1, $3::int) n
"""
COUNT_BEHIND_SQL = "SELECT count(*) FROM webhook_backlogs WHERE tenant_id = $1"
COUNT_DELIVERIES_SQL = "SELECT count(*) FROM webhook_deliveries WHERE endpoint_id = $1"
NOW_SQL = "UPDATE webhook_queue SET due_at = clock_timestamp() WHERE tenant_id = $1 AND lease IS NULL"


async def open_endpoint(tenant: Tenant, backend: Backend, **given: Any) -> Data:
    return await tenant.call("POST", "/webhook-endpoints", {"url": backend.url} | given)


async def has_taken(backend: Backend, count: int) -> list[Data]:
    async def look() -> list[Data] | None:
        return backend.taken if len(backend.taken) >= count else None

    return await until(look)


async def has_heard(backend: Backend, event_type: str) -> Data:
    async def look() -> Data | None:
        return next((event for event in backend.taken if event["type"] == event_type), None)

    return await until(look)


async def retry_now(resources: Resources, tenant: Tenant) -> None:
    async with resources.database.system_tx() as tx:
        await tx.execute(NOW_SQL, tenant.tenant_id)


async def get_endpoint(tenant: Tenant, endpoint: Data) -> Data:
    return await tenant.call("GET", f"/webhook-endpoints/{endpoint['endpointId']}")


async def state_is(tenant: Tenant, endpoint: Data, state: str) -> Data:
    async def look() -> Data | None:
        found = await get_endpoint(tenant, endpoint)
        return found if found["state"] == state else None

    return await until(look)


async def test_a_conversation_is_heard_in_order_and_as_the_feed_tells_it(
    world: World, backend: Backend, resources: Resources
) -> None:
    endpoint = await open_endpoint(world.tenant, backend)
    sent = await world.send("Hi Jane", agentMode=True)
    await world.status_is(sent["messageId"], "delivered")
    world.agent.answers = [(200, {"reply": "Yes"})]
    await world.text("Hello?")
    turn = await world.turn_is(sent["interactionId"], "replied")
    reply_id = turn["reply"]["messageIds"][0]
    await world.status_is(reply_id, "delivered")
    await settle(resources)

    def is_last(event: Data) -> bool:
        return (event["type"], event["data"].get("messageId")) == ("message.delivered", reply_id)

    async def heard() -> bool:
        return any(is_last(event) for event in backend.taken)

    await until(heard)
    heard_types = backend.types_of(sent["interactionId"])
    assert heard_types[0] == "interaction.opened"
    for first, second in (
        ("message.queued", "message.sending"), ("message.sent", "message.delivered"),
        ("message.received", "turn.handed_over"), ("turn.handed_over", "turn.replied"),
    ):  # fmt: skip
        assert heard_types.index(first) < heard_types.index(second)
    fed = await all_of(world.tenant, "&types=all")
    by_id = {event["eventId"]: event for event in fed}
    for event in backend.taken:
        assert by_id[event["eventId"]] == event
    for post in backend.posts:
        post.require_signature(endpoint["signingSecret"])
        assert post.headers["webhook-id"] == post.event["eventId"]
        assert b"Hello?" not in post.body
        assert world.phone.encode() not in post.body


async def test_only_wanted_types_are_posted_and_words_only_on_request(world: World, backend: Backend) -> None:
    await open_endpoint(world.tenant, backend, types=["message.received", "optout"], include=["text", "phones"])
    await world.send("Hi Jane")
    await world.text("What does it cost?")
    await world.text("STOP")
    await has_heard(backend, "optout")
    first, _, optout = backend.taken
    assert [first["type"], optout["type"]] == ["message.received", "optout"]
    assert first["data"]["text"] == "What does it cost?"
    assert (first["data"]["from"], first["data"]["to"]) == (world.phone, world.ours)
    assert optout["data"]["phone"] == world.phone
    assert optout["interactionId"] == first["interactionId"]


async def test_an_endpoint_gets_no_words_that_only_another_asked_for(world: World, backend: Backend) -> None:
    await open_endpoint(world.tenant, backend, types=["message.received"])
    await open_endpoint(world.tenant, backend, types=["message.received"], include=["text", "phones"])
    await world.send("Hi Jane")
    await world.text("What does it cost?")
    await has_taken(backend, 2)
    plain, wordy = sorted((post.event["data"] for post in backend.posts), key=len)
    assert (wordy.pop("text"), wordy.pop("media")) == ("What does it cost?", [])
    assert (wordy.pop("from"), wordy.pop("to")) == (world.phone, world.ours)
    assert plain == wordy


async def test_a_refused_event_holds_back_its_thread_and_no_other(
    world: World, backend: Backend, resources: Resources
) -> None:
    await open_endpoint(world.tenant, backend, types=["message.queued", "message.sent"])
    other_lead = await world.tenant.lead(campaignId=world.campaign["campaignId"])
    first = await world.send("First")
    refused_id = first["interactionId"]
    backend.decide = refuse_some(lambda event: event["interactionId"] == refused_id)
    await world.status_is(first["messageId"], "delivered")
    other = await world.tenant.call("POST", "/sms/send", {"leadId": other_lead["leadId"], "message": "Other"})
    second = await world.send("Second")
    await world.status_is(second["messageId"], "delivered")

    async def other_is_heard() -> bool:
        return backend.types_of(other["interactionId"]) == ["message.queued", "message.sent"]

    await until(other_is_heard)
    assert backend.types_of(refused_id) == []
    posted = {post.event["eventId"] for post in backend.posts if post.event["interactionId"] == refused_id}
    assert len(posted) == 1
    backend.decide = None
    await retry_now(resources, world.tenant)
    await has_taken(backend, 6)
    mine = [event["data"] for event in backend.taken if event["interactionId"] == refused_id]
    assert [(data["messageId"], data["status"]) for data in mine] == [
        (first["messageId"], "queued"), (first["messageId"], "sent"),
        (second["messageId"], "queued"), (second["messageId"], "sent"),
    ]  # fmt: skip


async def happen(resources: Resources, tenant: Tenant, thread: str, count: int) -> None:
    async with resources.database.system_tx() as tx:
        await tx.execute(HAPPEN_SQL, tenant.tenant_id, thread, count)


def nths_of(events: list[Data], thread: str) -> list[int]:
    return [event["data"]["nth"] for event in events if event["interactionId"] == thread]


async def test_a_thread_with_thousands_of_events_that_are_not_taken_holds_up_no_other(
    world: World, backend: Backend, resources: Resources
) -> None:
    tenant, count = world.tenant, 2_100
    endpoint = await open_endpoint(tenant, backend, types=["message.sent"])
    backend.decide = refuse_some(lambda event: event["interactionId"] == "int_busy")
    await happen(resources, tenant, "int_busy", count)
    for thread in ("int_1", "int_2"):
        await happen(resources, tenant, thread, 60)

    async def others_are_heard() -> bool:
        return all(len(nths_of(backend.taken, thread)) == 60 for thread in ("int_1", "int_2"))

    await until(others_are_heard)
    for thread in ("int_1", "int_2"):
        assert nths_of(backend.taken, thread) == list(range(1, 61))
    assert nths_of(backend.taken, "int_busy") == []

    async def few_are_queued() -> bool:  # when what the others took is settled
        return bool(0 < (await get_endpoint(tenant, endpoint))["queued"] <= 50)

    await until(few_are_queued)

    backend.decide = None
    await happen(resources, tenant, "int_busy", 5)
    await retry_now(resources, tenant)

    async def all_is_heard() -> bool:
        return len(nths_of(backend.taken, "int_busy")) == count + 5

    await until(all_is_heard, 60)
    assert nths_of(backend.taken, "int_busy") == [*range(1, count + 1), *range(1, 6)]
    async with resources.database.system_tx() as tx:
        assert await tx.fetch_value(COUNT_BEHIND_SQL, tenant.tenant_id) == 0


async def test_a_rewind_forgets_that_a_thread_was_behind(world: World, backend: Backend, resources: Resources) -> None:
    endpoint = await open_endpoint(world.tenant, backend, types=["message.sent"])
    backend.decide = refuse_some(lambda _: True)
    await happen(resources, world.tenant, "int_busy", 120)
    await state_is(world.tenant, endpoint, "failing")
    backend.decide = None
    backend.posts.clear()
    path = f"/webhook-endpoints/{endpoint['endpointId']}/rewind"
    await world.tenant.call("POST", path, {"to": "2026-01-01T00:00:00Z"})

    async def all_is_heard() -> bool:
        return nths_of(backend.taken, "int_busy") == list(range(1, 121))

    await until(all_is_heard, 60)


async def test_many_phones_that_are_blocked_at_once_do_not_wait_for_each_other(
    world: World, backend: Backend, resources: Resources
) -> None:
    await open_endpoint(world.tenant, backend, types=["optout"], include=["phones"])
    phones = [f"+1212555{n:04}" for n in range(100, 112)]
    backend.decide = refuse_some(lambda event: event["data"]["phone"] == phones[0])
    await world.tenant.call("POST", "/suppressions", {"phones": phones})
    taken = await has_taken(backend, 8)
    assert phones[0] not in [event["data"]["phone"] for event in taken]


async def test_after_the_last_try_the_endpoint_is_paused_and_its_resume_loses_nothing(
    world: World, backend: Backend, resources: Resources
) -> None:
    tenant = world.tenant
    endpoint = await open_endpoint(tenant, backend, types=["message.queued"])
    backend.decide = refuse_some(lambda _: True, 500)
    sent = await world.send("Hi")
    await state_is(tenant, endpoint, "failing")
    async with resources.database.system_tx() as tx:
        await tx.execute("UPDATE webhook_queue SET attempts = 29 WHERE tenant_id = $1", tenant.tenant_id)
    await retry_now(resources, tenant)
    paused = await state_is(tenant, endpoint, "paused")
    assert paused["pausedReason"].endswith("was not taken for 24 hours: HTTP 500")
    backend.decide = None
    await world.send("Again")
    await settle(resources)
    assert backend.taken == []
    assert (await all_of(tenant, "&types=endpoint.paused"))[0]["data"] == {
        "endpointId": endpoint["endpointId"], "reason": paused["pausedReason"],
    }  # fmt: skip
    await tenant.call("POST", f"/webhook-endpoints/{endpoint['endpointId']}/resume")
    first, second = await has_taken(backend, 2)
    assert first["data"]["messageId"] == sent["messageId"]
    assert second["data"]["seq"] == 2


async def test_an_endpoint_that_is_gone_is_paused_at_once(world: World, backend: Backend) -> None:
    endpoint = await open_endpoint(world.tenant, backend)
    backend.decide = refuse_some(lambda _: True, 410)
    await world.send("Hi")
    paused = await state_is(world.tenant, endpoint, "paused")
    assert paused["pausedReason"] == "the endpoint answered 410 Gone"
    assert len(backend.posts) < 3


async def test_a_rewind_sends_the_same_bytes_again(world: World, backend: Backend, resources: Resources) -> None:
    tenant = world.tenant
    endpoint = await open_endpoint(tenant, backend, include=["text", "phones"])
    sent = await world.send("Hi Jane")
    await world.status_is(sent["messageId"], "delivered")
    await has_heard(backend, "message.delivered")
    first_posts = list(backend.posts)
    path = f"/webhook-endpoints/{endpoint['endpointId']}/rewind"
    start = first_posts[1].event["eventId"]
    await tenant.call("POST", path, {"to": start})
    await has_taken(backend, 2 * len(first_posts) - 1)
    again = backend.posts[len(first_posts) :]
    assert [post.body for post in again] == [post.body for post in first_posts[1:]]
    assert [post.headers["webhook-id"] for post in again] == [post.headers["webhook-id"] for post in first_posts[1:]]

    backend.posts.clear()
    await tenant.call("POST", path, {"to": first_posts[0].event["at"]})
    await has_taken(backend, len(first_posts))
    assert {post.body for post in backend.posts} == {post.body for post in first_posts}


@pytest.mark.parametrize("to", ["tomorrow", "2026-01-01T00:00:00", "1-1", "1-", "x" * 65, ""])
async def test_a_rewind_to_nowhere_is_refused(tenant: Tenant, to: str) -> None:
    endpoint = await tenant.call("POST", "/webhook-endpoints", {"url": "https://backend.example.com"})
    answer = await tenant.ask("POST", f"/webhook-endpoints/{endpoint['endpointId']}/rewind", {"to": to})
    assert answer.status_code == 400
    assert answer.json()["error"]["details"][0].startswith("to: ")


async def test_each_request_is_recorded_with_its_bytes(world: World, backend: Backend, resources: Resources) -> None:
    tenant = world.tenant
    endpoint = await open_endpoint(tenant, backend, types=["message.queued"])
    path = f"/webhook-endpoints/{endpoint['endpointId']}/deliveries"
    backend.decide = refuse_some(lambda _: len(backend.posts) == 0)
    await world.send("Hi")
    await state_is(tenant, endpoint, "failing")
    await retry_now(resources, tenant)
    await has_taken(backend, 1)
    await state_is(tenant, endpoint, "active")
    newest, oldest = (await tenant.call("GET", path))["deliveries"]
    assert (oldest["outcome"], oldest["httpStatus"], oldest["detail"]) == ("failed", 503, "HTTP 503")
    assert (newest["outcome"], newest["httpStatus"], newest["attempt"]) == ("delivered", 204, 2)
    assert [newest["requestBody"].encode(), oldest["requestBody"].encode()] == [p.body for p in backend.posts]
    assert newest["durationMs"] >= 0
    failed = await tenant.call("GET", path, params={"outcome": "failed", "eventId": oldest["eventId"]})
    assert failed["deliveries"] == [oldest]
    page = await tenant.call("GET", path, params={"limit": 1})
    assert (page["deliveries"], page["hasMore"]) == ([newest], True)
    rest = await tenant.call("GET", path, params={"cursor": page["nextCursor"]})
    assert rest["deliveries"] == [oldest]


async def test_of_the_requests_to_an_endpoint_the_newest_thousand_are_kept(
    world: World, backend: Backend, resources: Resources
) -> None:
    endpoint = await open_endpoint(world.tenant, backend)
    old_requests = [
        Delivery(
            tenant_id=world.tenant.tenant_id,
            endpoint_id=endpoint["endpointId"],
            delivery_id=f"dlv_0{n:04}",  # older than every id that is made today
            event_id="evt",
            name="message.sent",
            interaction_id=None,
            attempt=1,
            at=datetime.now(UTC),
            outcome="delivered",
            http_status=200,
            duration_ms=1,
            detail=None,
            answer=None,
            request_body=b"{}",
        )
        for n in range(1_003)
    ]
    async with resources.database.system_tx() as tx:
        await webhook_deliveries.record(tx, old_requests)
    await world.send("Hi Jane")
    await has_taken(backend, 1)

    async def oldest_are_gone() -> bool:
        async with resources.database.system_tx() as tx:
            count: int = await tx.fetch_value(COUNT_DELIVERIES_SQL, endpoint["endpointId"])
        return count == webhook_deliveries.MAX_KEPT

    await until(oldest_are_gone, 30)


async def test_a_new_secret_signs_beside_the_old_one(world: World, backend: Backend) -> None:
    endpoint = await open_endpoint(world.tenant, backend)
    path = f"/webhook-endpoints/{endpoint['endpointId']}"
    rotated = await world.tenant.call("POST", f"{path}/rotate-secret")
    assert rotated["signingSecret"] != endpoint["signingSecret"]
    await world.send("Hi")
    await has_heard(backend, "message.queued")
    for secret in (endpoint["signingSecret"], rotated["signingSecret"]):
        backend.posts[0].require_signature(secret)
    assert "signingSecret" not in await world.tenant.call("GET", path)


async def test_the_test_button_posts_a_signed_sample(tenant: Tenant, backend: Backend) -> None:
    endpoint = await open_endpoint(tenant, backend, active=False)
    path = f"/webhook-endpoints/{endpoint['endpointId']}"
    good = await tenant.call("POST", f"{path}/test")
    assert (good["outcome"], good["httpStatus"], good["type"]) == ("delivered", 204, "endpoint.test")
    backend.posts[0].require_signature(endpoint["signingSecret"])
    assert backend.posts[0].body == good["requestBody"].encode()
    backend.decide = refuse_some(lambda _: True, 404)
    bad = await tenant.call("POST", f"{path}/test")
    assert (bad["outcome"], bad["detail"]) == ("failed", "HTTP 404")
    assert [one["outcome"] for one in (await tenant.call("GET", f"{path}/deliveries"))["deliveries"]] == [
        "failed", "delivered",
    ]  # fmt: skip
    unreachable = await tenant.call("PATCH", path, {"url": "http://127.0.0.1:9/hook"})
    assert unreachable["url"].endswith(":9/hook")
    assert (await tenant.call("POST", f"{path}/test"))["detail"] == "the connection was refused"


async def test_an_inactive_endpoint_keeps_its_place(world: World, backend: Backend) -> None:
    endpoint = await open_endpoint(world.tenant, backend, types=["message.queued"])
    path = f"/webhook-endpoints/{endpoint['endpointId']}"
    await world.tenant.call("PATCH", path, {"active": False})
    sent = await world.send("Hi")
    await world.status_is(sent["messageId"], "delivered")
    assert backend.posts == []
    await world.tenant.call("PATCH", path, {"active": True})
    [event] = await has_taken(backend, 1)
    assert event["data"]["messageId"] == sent["messageId"]


async def test_a_tenant_has_ten_endpoints_at_most(tenant: Tenant) -> None:
    for n in range(10):
        await tenant.call("POST", "/webhook-endpoints", {"url": f"https://backend.example.com/{n}"})
    eleventh = await tenant.ask("POST", "/webhook-endpoints", {"url": "https://backend.example.com"})
    assert eleventh.json()["error"]["details"] == ["url: a tenant has at most 10 webhook endpoints"]
    first = (await tenant.call("GET", "/webhook-endpoints"))["webhookEndpoints"][0]
    await tenant.call("DELETE", f"/webhook-endpoints/{first['endpointId']}")
    await tenant.call("POST", "/webhook-endpoints", {"url": "https://backend.example.com"})


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"url": "ftp://backend.example.com"}, "url"),
        ({"url": "https://user@backend.example.com"}, "url"),
        ({"url": None}, "url"),
        ({"types": ["message"]}, "types[0]"),
        ({"types": []}, "types"),
        ({"include": ["words"]}, "include[0]"),
        ({"secret": "whsec_x"}, "secret"),
    ],
)
async def test_a_wrong_endpoint_is_refused_by_the_name_of_its_field(tenant: Tenant, given: Data, field: str) -> None:
    body = {"url": "https://backend.example.com"} | given
    answer = await tenant.ask("POST", "/webhook-endpoints", body)
    assert answer.status_code == 400
    assert answer.json()["error"]["details"][0].startswith(f"{field}: ")


async def test_an_erased_lead_is_in_no_queue_and_no_record(
    world: World, backend: Backend, resources: Resources
) -> None:
    tenant = world.tenant
    endpoint = await open_endpoint(tenant, backend, include=["text", "phones"])
    backend.decide = refuse_some(lambda event: event["type"] == "message.sent")
    sent = await world.send("Hi Jane")
    await world.status_is(sent["messageId"], "delivered")
    await state_is(tenant, endpoint, "failing")
    await tenant.call("POST", f"/leads/{world.lead['leadId']}/erase")
    backend.decide = None
    backend.posts.clear()
    await retry_now(resources, tenant)

    async def is_empty() -> bool:
        return bool((await get_endpoint(tenant, endpoint))["queued"] == 0)

    await until(is_empty)
    assert not [post for post in backend.posts if world.phone.encode() in post.body or b"Hi Jane" in post.body]
    kept = await tenant.call("GET", f"/webhook-endpoints/{endpoint['endpointId']}/deliveries")
    assert not [one for one in kept["deliveries"] if world.lead["leadId"] in one["requestBody"]]


async def test_rewinds_while_events_are_settled_lose_nothing(
    world: World, backend: Backend, resources: Resources
) -> None:
    tenant = world.tenant
    endpoint = await open_endpoint(tenant, backend)
    path = f"/webhook-endpoints/{endpoint['endpointId']}/rewind"
    sent = [await world.send(f"Text {n}") for n in range(10)]
    await world.status_is(sent[-1]["messageId"], "delivered")
    await has_heard(backend, "message.delivered")
    first = backend.posts[0].event["eventId"]
    for _ in range(10):
        await tenant.call("POST", path, {"to": first})
    await settle(resources)
    backend.posts.clear()
    await tenant.call("POST", path, {"to": first})
    wanted = [event["eventId"] for event in await all_of(tenant, "&types=all") if event["interactionId"]]

    async def is_all_there() -> bool:
        return {post.event["eventId"] for post in backend.posts} >= set(wanted)

    await until(is_all_there, 50)  # a lease that a rewind waits for
