"""Receiving: whose a text is, once and for ever, and signed."""

import asyncio
import base64
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from app.demo.carrier import sign_webhook
from tests.makers import CREDENTIALS, Data, phone
from tests.service import Api
from tests.world import World


async def threads_of(world: World, lead_id: str) -> list[Data]:
    found: list[Data] = (await world.tenant.call("GET", f"/interactions/lead/{lead_id}"))["interactions"]
    return found


async def lead_with(world: World, number: str) -> Data:
    """The one lead with this phone."""
    found = (await world.tenant.call("GET", f"/leads?search={number[1:]}"))["leads"]
    assert len(found) == 1
    lead: Data = found[0]
    return lead


async def test_an_answer_stands_in_the_thread_of_the_text_it_answers(world: World) -> None:
    sent = await world.send("Hi Jane")
    await world.text("Hello back")
    thread = await world.only_thread()
    assert thread["interactionId"] == sent["interactionId"]
    told = [(e["seq"], e["role"], e["source"], e["message"]) for e in thread["transcript"]]
    assert told == [(1, "agent", "api", "Hi Jane"), (2, "user", "inbound", "Hello back")]
    assert thread["sms"]["direction"] == "inbound"
    assert thread["unreadCount"] == 1
    assert thread["lastMessagePreview"] == "Hello back"


async def test_a_lead_who_writes_first_opens_the_thread_that_we_answer_in(world: World) -> None:
    await world.text("Are you there?")
    sent = await world.send("Yes")
    thread = await world.only_thread()
    assert thread["interactionId"] == sent["interactionId"]
    assert [entry["seq"] for entry in thread["transcript"]] == [1, 2]


async def test_a_text_belongs_to_the_lead_in_the_campaign_of_the_number(world: World) -> None:
    mine = await world.tenant.campaign(phoneNumberId=world.number["phoneNumberId"])
    other = await world.tenant.campaign()
    shared = phone()
    lead = await world.tenant.lead(phone=shared, campaignId=mine["campaignId"])
    await world.tenant.lead(phone=shared, campaignId=other["campaignId"])
    assert await world.carrier.text(shared, world.ours, "Hi") == 200
    [thread] = await threads_of(world, lead["leadId"])
    assert thread["campaignId"] == mine["campaignId"]


async def test_then_to_the_first_of_the_agents_inbound_campaigns_that_knows_the_phone(
    world: World,
) -> None:
    first, second = [await world.tenant.campaign() for _ in range(2)]
    ids = [second["campaignId"], first["campaignId"]]
    path = f"/sms-agents/{world.smsagent['smsAgentId']}"
    await world.tenant.call("PATCH", path, {"inboundCampaignIds": ids})
    shared = phone()
    lead = await world.tenant.lead(phone=shared, campaignId=second["campaignId"])
    await world.tenant.lead(phone=shared, campaignId=first["campaignId"])
    assert await world.carrier.text(shared, world.ours, "Hi") == 200
    assert len(await threads_of(world, lead["leadId"])) == 1


async def test_then_to_the_most_recently_active_lead_with_that_phone(world: World) -> None:
    shared = phone()
    old = await world.tenant.lead(phone=shared)
    new = await world.tenant.lead(phone=shared)
    assert await world.carrier.text(shared, world.ours, "Hi") == 200
    assert len(await threads_of(world, new["leadId"])) == 1
    assert await threads_of(world, old["leadId"]) == []


async def test_a_text_to_one_of_two_leads_with_a_phone_makes_it_the_most_recent(
    world: World,
) -> None:
    shared = phone()
    old = await world.tenant.lead(phone=shared)
    new = await world.tenant.lead(phone=shared)
    await world.tenant.call("POST", "/sms/send", {"leadId": old["leadId"], "message": "Hi"})
    elsewhere = await world.tenant.number(providerAccountId=world.account["accountId"])
    number = elsewhere["phoneNumber"]
    world.carrier.known.inbound_urls[number] = world.account["webhooks"]["inbound"]
    assert await world.carrier.text(shared, number, "Hello") == 200
    assert len(await threads_of(world, old["leadId"])) == 2
    assert await threads_of(world, new["leadId"]) == []


async def test_a_stranger_gets_a_placeholder_that_gives_way_to_the_real_lead(world: World) -> None:
    path = f"/sms-agents/{world.smsagent['smsAgentId']}"
    primary = {"inboundCampaignIds": [world.campaign["campaignId"]]}
    await world.tenant.call("PATCH", path, primary)
    stranger = phone()
    assert await world.carrier.text(stranger, world.ours, "Who is this?") == 200
    placeholder = await lead_with(world, stranger)
    assert placeholder["isPlaceholder"]
    assert placeholder["campaignId"] == world.campaign["campaignId"]
    real = await world.tenant.lead(phone=stranger)
    [thread] = await threads_of(world, real["leadId"])
    assert thread["transcript"][0]["message"] == "Who is this?"
    gone = await world.tenant.ask("GET", f"/leads/{placeholder['leadId']}")
    assert gone.status_code == 404


async def test_racing_first_texts_of_a_stranger_make_one_lead_and_one_thread(world: World) -> None:
    stranger = phone()
    answered = await asyncio.gather(*(world.carrier.text(stranger, world.ours, f"text {n}") for n in range(10)))
    assert answered == [200] * 10
    lead = await lead_with(world, stranger)
    [thread] = await threads_of(world, lead["leadId"])
    assert [entry["seq"] for entry in thread["transcript"]] == list(range(1, 11))


async def test_a_text_to_an_inactive_number_is_stored(world: World) -> None:
    path = f"/phone-numbers/{world.number['phoneNumberId']}"
    await world.tenant.call("PATCH", path, {"active": False})
    await world.text("Still here")
    assert (await world.only_thread())["transcript"][0]["message"] == "Still here"


def inbound(world: World, **more: Any) -> Data:
    return {"type": "inbound", "id": "in_1", "from": world.phone, "to": world.ours,
            "text": "Hi"} | more  # fmt: skip


async def post(world: World, api: Api, body: Data, secret: str | None = None) -> httpx.Response:
    url = world.account["webhooks"]["inbound"]
    return await api.http.post(url, **sign_webhook(secret or CREDENTIALS["simulator"]["secret"], url, body))


async def test_a_repeated_webhook_changes_nothing_however_often(world: World, api: Api) -> None:
    answers = await asyncio.gather(*(post(world, api, inbound(world)) for _ in range(5)))
    assert {answer.status_code for answer in answers} == {200}
    thread = await world.only_thread()
    assert len(thread["transcript"]) == 1
    assert thread["unreadCount"] == 1


async def test_a_wrong_signature_stores_nothing(world: World, api: Api) -> None:
    assert (await post(world, api, inbound(world), "guess")).status_code == 401
    bare = await api.http.post(world.account["webhooks"]["inbound"], json=inbound(world))
    assert bare.status_code == 401
    assert await threads_of(world, world.lead["leadId"]) == []


async def test_an_unknown_account_is_not_found(world: World, api: Api) -> None:
    url = world.account["webhooks"]["inbound"]
    for wrong in (url.replace("acct_", "acct_x"), url.replace("simulator", "twilio")):
        assert (await api.http.post(wrong, json=inbound(world))).status_code == 404


async def test_a_number_of_another_tenant_is_dropped_although_the_signature_is_right(
    world: World, api: Api, other_tenant: Any
) -> None:
    theirs = await other_tenant.account("simulator")
    number = await other_tenant.number(providerAccountId=theirs["accountId"])
    body = inbound(world, to=number["phoneNumber"])
    assert (await post(world, api, body)).status_code == 200
    assert (await other_tenant.call("GET", "/interactions"))["interactions"] == []
    assert (await world.tenant.call("GET", "/interactions"))["interactions"] == []


@pytest.mark.parametrize("text", ["", " untrimmed \n", "NUL\x00inside", "👍🏽 emoji", "x" * 12_000, "'; DROP TABLE--"])
async def test_any_text_is_stored_as_it_came_but_for_nul(world: World, api: Api, text: str) -> None:
    body = inbound(world, text=text, media=[{"url": "https://carrier.example/a.png"}])
    assert (await post(world, api, body)).status_code == 200
    [entry] = (await world.only_thread())["transcript"]
    assert entry["message"] == text.replace("\x00", "")
    assert entry["media"] == [{"url": "https://carrier.example/a.png", "contentType": None}]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"type":"inbound"}', b"\xff\xfe"])
async def test_a_novelty_is_answered_2xx_and_ignored(world: World, api: Api, body: bytes) -> None:
    url = world.account["webhooks"]["inbound"]
    made = sign_webhook(CREDENTIALS["simulator"]["secret"], url, {})
    stamp = made["headers"]["X-Simulator-Signature"].split(",")[0][2:]
    secret = CREDENTIALS["simulator"]["secret"].encode()
    mac = hmac.digest(secret, f"{stamp}.{url}.".encode() + body, "sha256").hex()
    headers = {"X-Simulator-Signature": f"t={stamp},v1={mac}"}
    assert (await api.http.post(url, content=body, headers=headers)).status_code == 200
    status_url = world.account["webhooks"]["status"]
    mac = hmac.digest(secret, f"{stamp}.{status_url}.".encode() + body, "sha256").hex()
    headers = {"X-Simulator-Signature": f"t={stamp},v1={mac}"}
    assert (await api.http.post(status_url, content=body, headers=headers)).status_code == 200


async def twilio_post(api: Api, account: Data, form: Data, kind: str = "inbound") -> httpx.Response:
    url = account["webhooks"][kind]
    said = url + "".join(f"{name}{form[name]}" for name in sorted(form))
    token = CREDENTIALS["twilio"]["authToken"].encode()
    signature = base64.b64encode(hmac.digest(token, said.encode(), "sha1")).decode()
    headers = {
        "X-Twilio-Signature": signature, "Content-Type": "application/x-www-form-urlencoded",
    }  # fmt: skip
    return await api.http.post(url, content=urlencode(form), headers=headers)


async def test_twilio_texts_and_receipts_come_in_by_its_own_dialect(world: World, api: Api) -> None:
    account = await world.tenant.account("twilio")
    number = await world.tenant.number(providerAccountId=account["accountId"])
    form = {
        "MessageSid": "SM1", "AccountSid": CREDENTIALS["twilio"]["accountSid"],
        "From": world.phone, "To": number["phoneNumber"], "Body": "Hi & bye = ok +1 ",
        "NumMedia": "1", "MediaUrl0": "https://api.twilio.com/m", "MediaContentType0": "image/png",
        "Novelty": "",
    }  # fmt: skip
    answer = await twilio_post(api, account, form)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/xml; charset=utf-8")
    assert answer.text == "<Response/>"
    [thread] = await threads_of(world, world.lead["leadId"])
    [entry] = thread["transcript"]
    assert entry["message"] == "Hi & bye = ok +1 "
    assert entry["media"][0]["url"] == "https://api.twilio.com/m"
    forged = await twilio_post(api, account, form | {"AccountSid": "AC" + "f" * 32})
    assert forged.status_code == 401


async def test_the_lists_filters_find_threads(world: World) -> None:
    sent = await world.send("Something rare: zyzzyva")
    other = await world.tenant.lead(firstName="Zoe", campaignId=world.campaign["campaignId"])
    await world.tenant.call("POST", "/sms/send", {"leadId": other["leadId"], "message": "Hi"})

    async def ids(query: str) -> list[str]:
        page = await world.tenant.call("GET", f"/interactions?{query}")
        assert "transcript" not in page["interactions"] or page["interactions"] == []
        return [thread["leadId"] for thread in page["interactions"]]

    assert await ids("") == [other["leadId"], world.lead["leadId"]]
    assert await ids("search=zoe") == [other["leadId"]]
    assert await ids(f"search={world.phone[-7:]}") == [world.lead["leadId"]]
    assert await ids(f"search={world.phone[-4:]}") == [world.lead["leadId"]]
    assert await ids(f"search={world.phone[1:]}") == [world.lead["leadId"]]
    assert await ids(f"search={world.phone[2:8]}") == [world.lead["leadId"]]
    assert await ids(f"search={world.lead['leadId'][3:]}") == [world.lead["leadId"]]
    assert await ids("search=%25") == []
    assert await ids("search=zyzzyva&in=messages") == [world.lead["leadId"]]
    assert await ids("search=ZYZZYVA,+something&in=messages") == [world.lead["leadId"]]
    assert await ids("search=zyzzyva+other&in=messages") == []
    assert await ids("search=%25!&in=messages") == []
    assert await ids("search=zoe&status=qualified") == []
    assert await ids("search=jane&status=in_progress,dnc") == [world.lead["leadId"]]
    assert await ids(f"search=hi&in=messages&leadId={world.lead['leadId']}") == []
    assert await ids("search=zyzzyva") == []
    assert await ids(f"leadId={other['leadId']}") == [other["leadId"]]
    assert len(await ids(f"campaignIds={world.campaign['campaignId']},other")) == 2
    assert await ids("campaignIds=other") == []
    assert await ids("status=qualified,dnc") == []
    assert len(await ids("status=in_progress")) == 2
    assert len(await ids("status=in_progress,dnc,in_progress")) == 2
    campaign = world.campaign["campaignId"]
    assert len(await ids(f"campaignIds={campaign}&status=in_progress")) == 2
    assert await ids(f"campaignIds={campaign}&status=dnc") == []
    assert await ids(f"campaignIds={campaign}&unread=true") == []
    assert len(await ids(f"campaignIds={campaign}&unread=false&startDate=2020-01-01")) == 2
    assert await ids("unread=true") == []
    assert await ids("endDate=2020-01-01") == []
    assert len(await ids("startDate=2020-01-01")) == 2
    page = await world.tenant.call("GET", "/interactions?limit=1")
    assert page["hasMore"]
    rest = await world.tenant.call("GET", f"/interactions?limit=1&cursor={page['nextCursor']}")
    assert [thread["interactionId"] for thread in rest["interactions"]] == [sent["interactionId"]]
    assert "transcript" not in page["interactions"][0]
    wrong = await world.tenant.ask("GET", "/interactions?status=nonsense")
    assert wrong.status_code == 400
    assert json.loads(wrong.text)["error"]["details"][0].startswith("status:")


async def test_a_list_tells_what_is_scheduled_in_each_thread(idle_world: World) -> None:
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    sent = await idle_world.send("Later", sendAt=later)
    other = await idle_world.tenant.lead()
    await idle_world.send(leadId=other["leadId"])
    page = await idle_world.tenant.call("GET", "/interactions")
    scheduled = {one["leadId"]: one["scheduled"] for one in page["interactions"]}
    assert scheduled[other["leadId"]] == []
    [waiting] = scheduled[idle_world.lead["leadId"]]
    assert waiting["messageId"] == sent["messageId"]
    assert (await idle_world.thread(sent["interactionId"]))["scheduled"] == [waiting]


async def test_transcript_pages_miss_and_repeat_nothing(world: World) -> None:
    for n in range(7):
        sent = await world.send(f"text {n + 1}")
    path = f"/interactions/{sent['interactionId']}/messages"

    async def page(query: str) -> tuple[list[int], bool]:
        told = await world.tenant.call("GET", f"{path}?{query}")
        return [entry["seq"] for entry in told["messages"]], told["hasMore"]

    assert await page("limit=3") == ([1, 2, 3], True)
    assert await page("after=3&limit=3") == ([4, 5, 6], True)
    assert await page("after=6&limit=3") == ([7], False)
    assert await page("before=8&limit=3") == ([5, 6, 7], True)
    assert await page("before=3&limit=3") == ([1, 2], False)


async def test_reading_lowers_the_unread_count_to_what_came_after(world: World) -> None:
    for n in range(3):
        await world.text(f"text {n + 1}")
    thread = await world.only_thread()
    assert thread["unreadCount"] == 3
    path = f"/interactions/{thread['interactionId']}/read"
    assert await world.tenant.call("POST", path, {"throughSeq": 2}) == {"unreadCount": 1}
    assert await world.tenant.call("POST", path, {"throughSeq": 1}) == {"unreadCount": 1}
    assert await world.tenant.call("POST", path, {"throughSeq": 99}) == {"unreadCount": 0}
