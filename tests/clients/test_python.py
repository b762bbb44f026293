"""The Python client: what it repeats, and what it says when it cannot go on."""

import json
from collections.abc import AsyncIterator

import httpx
import pytest
import respx

from leadsail import ApiError, LeadSail, OutcomeUnknown, Unreachable
from tests.makers import Data
from tests.service import Api
from tests.world import World, agent, carrier, idle_world, working, world

__all__ = ["agent", "carrier", "idle_world", "working", "world"]
URL = "https://sms.example.com"
SENT = httpx.Response(202, json={"success": True, "data": {"messageId": "msg_1", "interactionId": "int_1"}})


def refusal(status: int, code: str, **headers: str) -> httpx.Response:
    error = {"code": code, "message": "No.", "details": ["to: why"]}
    return httpx.Response(status, json={"success": False, "error": error}, headers=headers)


UNAVAILABLE, LOST_COMMIT = refusal(503, "UNAVAILABLE"), refusal(504, "OUTCOME_UNKNOWN")
RUNNING = refusal(409, "IDEMPOTENCY_IN_PROGRESS", **{"Retry-After": "0"})
FROM_A_PROXY = httpx.Response(502, text="<h1>Bad gateway</h1>")


@pytest.fixture
async def client() -> AsyncIterator[LeadSail]:
    async with LeadSail(URL, "lss_key", first_pause=0.001) as opened:
        yield opened


@pytest.mark.parametrize(
    "first",
    [
        UNAVAILABLE,
        LOST_COMMIT,
        RUNNING,
        FROM_A_PROXY,
        refusal(429, "RATE_LIMITED", **{"Retry-After": "0"}),
        refusal(503, "UNAVAILABLE", **{"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}),
        refusal(500, "INTERNAL_ERROR"),
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("late"),
        httpx.RemoteProtocolError("cut"),
    ],
    ids=["503", "504", "409", "502", "429", "a date", "500", "refused", "late", "cut"],
)
async def test_a_send_is_repeated_with_the_same_key(client: LeadSail, first: httpx.Response | Exception) -> None:
    with respx.mock:
        route = respx.post(f"{URL}/api/v1/sms/send").mock(side_effect=[first, SENT])
        sent = await client.send("lead-1", "Hi", campaign_id="spring")
    assert sent["messageId"] == "msg_1"
    keys = [call.request.headers["Idempotency-Key"] for call in route.calls]
    assert len(keys) == 2
    assert keys[0] == keys[1]
    assert json.loads(route.calls[0].request.content) == {"leadId": "lead-1", "message": "Hi", "campaignId": "spring"}


@pytest.mark.parametrize(
    "first",
    [LOST_COMMIT, FROM_A_PROXY, httpx.ReadTimeout("late"), httpx.RemoteProtocolError("cut")],
    ids=["504", "502", "late", "cut"],
)
async def test_what_may_be_done_is_never_repeated_without_a_key(
    client: LeadSail, first: httpx.Response | Exception
) -> None:
    with respx.mock:
        route = respx.post(f"{URL}/api/v1/messages/msg_1/cancel").mock(side_effect=[first])
        with pytest.raises(OutcomeUnknown) as raised:
            await client.cancel_message("msg_1")
    assert route.call_count == 1
    assert raised.value.idempotency_key is None


@pytest.mark.parametrize("first", [UNAVAILABLE, httpx.ConnectError("refused")], ids=["503", "refused"])
async def test_what_was_surely_not_done_is_repeated_without_a_key(
    client: LeadSail, first: httpx.Response | Exception
) -> None:
    done = httpx.Response(200, json={"success": True, "data": {"status": "cancelled"}})
    with respx.mock:
        respx.post(f"{URL}/api/v1/messages/msg_1/cancel").mock(side_effect=[first, done])
        assert (await client.cancel_message("msg_1"))["status"] == "cancelled"


async def test_a_refusal_is_not_repeated_and_says_all_that_the_service_said(client: LeadSail) -> None:
    with respx.mock:
        answer = refusal(403, "DNC_BLOCKED", **{"X-Request-Id": "req_1"})
        route = respx.post(f"{URL}/api/v1/sms/send").mock(side_effect=[answer])
        with pytest.raises(ApiError) as raised:
            await client.send("lead-1", "Hi")
    assert route.call_count == 1
    error = raised.value
    assert (error.status, error.code, error.details, error.request_id) == (403, "DNC_BLOCKED", ["to: why"], "req_1")


async def test_a_long_pause_is_left_to_the_caller(client: LeadSail) -> None:
    with respx.mock:
        answer = refusal(429, "RATE_LIMITED", **{"Retry-After": "3600"})
        route = respx.post(f"{URL}/api/v1/sms/send").mock(return_value=answer)
        with pytest.raises(ApiError, match="RATE_LIMITED"):
            await client.send("lead-1", "Hi")
    assert route.call_count == 1


async def test_it_gives_up_and_says_that_nothing_was_accepted(client: LeadSail) -> None:
    with respx.mock:
        route = respx.post(f"{URL}/api/v1/sms/send").mock(side_effect=httpx.ConnectError("refused"))
        with pytest.raises(Unreachable):
            await client.send("lead-1", "Hi")
    assert route.call_count == 5


async def test_a_doubt_about_one_try_outlives_the_refusal_of_the_last(client: LeadSail) -> None:
    tries = [httpx.ReadTimeout("late"), *[httpx.ConnectError("refused")] * 4]
    with respx.mock:
        respx.post(f"{URL}/api/v1/sms/send").mock(side_effect=tries)
        with pytest.raises(OutcomeUnknown) as raised:
            await client.send("lead-1", "Hi", idempotency_key="order-1")
    assert raised.value.idempotency_key == "order-1"


async def test_the_feed_goes_on_where_it_was(client: LeadSail) -> None:
    def page(*ids: str) -> httpx.Response:
        events: list[Data] = [
            {"eventId": one, "type": "message", "interactionId": None, "data": {}, "at": ""} for one in ids
        ]
        return httpx.Response(200, json={"success": True, "data": {"events": events, "hasMore": False}})

    away = [httpx.ConnectError("refused")] * 6
    with respx.mock:
        route = respx.get(f"{URL}/api/v1/events").mock(side_effect=[page("1-1", "1-2"), *away, page(), page("2-3")])
        seen = []
        async for event in client.follow_events(after="1-0"):
            seen.append(event["eventId"])
            if len(seen) == 3:
                break
    assert seen == ["1-1", "1-2", "2-3"]
    afters = [call.request.url.params["after"] for call in route.calls]
    assert afters == ["1-0", *["1-2"] * 8]


async def test_the_feed_ends_with_a_refusal(client: LeadSail) -> None:
    with respx.mock:
        respx.get(f"{URL}/api/v1/events").mock(return_value=refusal(401, "UNAUTHORIZED"))
        with pytest.raises(ApiError, match="UNAUTHORIZED"):
            await anext(client.follow_events())


async def test_an_id_is_no_way_to_another_address(client: LeadSail) -> None:
    with respx.mock:
        route = respx.get(url__startswith=URL).mock(return_value=refusal(404, "NOT_FOUND"))
        with pytest.raises(ApiError, match="NOT_FOUND"):
            await client.get_lead("../settings?x=1")
    assert route.calls[0].request.url.raw_path == b"/api/v1/leads/..%2Fsettings%3Fx%3D1"


async def test_an_address_without_a_scheme_is_said_at_once() -> None:
    async with LeadSail("sms.example.com", "lss_key") as mistaken:
        with pytest.raises(httpx.UnsupportedProtocol):
            await mistaken.get_lead("lead-1")


# Against the service.


async def test_it_sends_and_reads_what_came_of_it(world: World, api: Api) -> None:
    async with LeadSail(api.url, world.tenant.key) as client:
        lead = await client.put_lead("crm-1", first_name="Tess", phone="(212) 555-0166")
        forecast = await client.forecast("crm-1", "Hi Tess")
        assert (forecast["to"], forecast["segments"]) == ("+12125550166", 1)
        assert [interaction async for interaction in client.list_interactions()] == []
        first = await client.send("crm-1", "Hi Tess", idempotency_key="order-1")
        again = await client.send("crm-1", "Hi Tess", idempotency_key="order-1")
        assert first == again
        bulk = await client.send_bulk([{"lead_id": "crm-1", "message": "Two"}, {"lead_id": "nobody", "message": "-"}])
        assert (bulk["accepted"], bulk["refused"]) == (1, 1)
        assert bulk["results"][1]["error"]["code"] == "NOT_FOUND"
        entries = [entry async for entry in client.list_transcript(first["interactionId"])]
        assert [entry["message"] for entry in entries] == ["Hi Tess", "Two"]
        assert (await client.get_interaction(first["interactionId"]))["leadId"] == lead["leadId"]
        found: list[Data] = []
        async for event in client.follow_events(types=["receipt"]):
            found.append(dict(event))
            if len(found) == 2:
                break
        assert {event["interactionId"] for event in found} == {first["interactionId"]}


async def test_lists_are_read_to_their_end(idle_world: World, api: Api) -> None:
    made = {(await idle_world.tenant.lead())["leadId"] for _ in range(4)}
    async with LeadSail(api.url, idle_world.tenant.key) as client:
        found = [lead["leadId"] async for lead in client.list_leads(limit=2)]
    assert len(found) == 5
    assert made < set(found)
