"""Before a first contact the tenant's webhook may refuse; while it is away, the text waits."""

import gzip
import re
import zlib
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks import Webhook
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.calls.contact_checks import ask_webhook
from app.commands import release
from app.domain.contact_checks import CHECK_WORDS, REFUSAL_WORDS, CheckAnswer, get_wait, read_answer
from app.resources import Resources
from app.store import contact_checks, sweeping
from app.store.suppressions import PhoneKey
from tests.flows.moved_time import pass_time
from tests.flows.test_law import ask, live_in, may_text, message_of
from tests.makers import Data, Tenant
from tests.service import Api
from tests.web.people import Browser
from tests.web.test_settings import shown_once
from tests.world import World, served, until

CLEAR: Data = {"refuse": None}
AWAY: tuple[int, Data] = (503, {})


async def asking(world: World, *answers: tuple[int, Data]) -> None:
    """A webhook that gives these answers is asked before first contacts."""
    world.agent.answers = list(answers)
    await world.tenant.call("PATCH", "/settings", {"contactCheckUrl": world.agent.url})


async def message_is(world: World, sent: Data, status: str) -> Data:
    async def look() -> Data | None:
        message = await message_of(world, sent)
        return message if message["status"] == status else None

    return await until(look)


async def make_due(resources: Resources, world: World) -> None:
    """What waits for a later attempt is due now."""
    async with resources.database.system_tx() as tx:
        await tx.execute(
            "UPDATE contact_checks SET due_at = clock_timestamp() WHERE due_at IS NOT NULL AND lease IS NULL"
            " AND tenant_id = $1",
            world.tenant.tenant_id,
        )


async def test_a_first_contact_waits_for_the_answer_and_leaves_with_it(world: World) -> None:
    await asking(world, (200, CLEAR))
    secret = (await world.tenant.call("POST", "/settings/rotate-contact-check-secret"))["signingSecret"]
    sent = await world.send("Hi Jane")
    [reason] = sent["verdict"]["reasons"]
    assert (sent["verdict"]["verdict"], reason["rule"], reason["words"]) == ("later", "contact_check", CHECK_WORDS)
    assert (reason["until"], reason["citation"]) == (sent["heldUntil"], None)
    assert reason["liftedBy"][0] == "your webhook answers that the phone may be contacted"
    held = await message_of(world, sent)
    if held["heldUntil"]:
        assert (held["heldRule"], held["heldReason"]) == ("contact_check", CHECK_WORDS)
    await message_is(world, sent, "delivered")
    assert world.agent.told == [{"type": "contact.check", "tenantId": world.tenant.tenant_id, "phone": world.phone}]
    headers, body = world.agent.requests[0]
    assert Webhook(secret).verify(body, headers) == world.agent.told[0]
    again = await world.send("Hi again")
    assert again["heldUntil"] is None
    assert len(world.agent.told) == 1  # the answer counts for a time


@pytest.mark.parametrize("why", REFUSAL_WORDS)
async def test_a_refusal_cancels_the_text_and_refuses_the_next_until_the_lead_writes(world: World, why: str) -> None:
    await asking(world, (200, {"refuse": why, "words": "since May"}))
    sent = await world.send("Hi Jane")
    message = await message_is(world, sent, "cancelled")
    words = f"{REFUSAL_WORDS[why]}: since May"
    assert (message["errorCode"], message["errorMessage"]) == ("CONTACT_REFUSED", words)
    assert world.carrier.received(world.phone) == []
    refused = await ask(world)
    error = refused.json()["error"]
    assert (refused.status_code, error["code"]) == (403, "CONTACT_REFUSED")
    [reason] = error["verdict"]["reasons"]
    assert (error["verdict"]["verdict"], reason["rule"], reason["words"]) == ("no", why, words)
    assert "the lead writes" in reason["liftedBy"]
    assert (await may_text(world))["reasons"][0]["rule"] == why
    entry = {"leadId": world.lead["leadId"], "message": "Hi"}
    told = await world.tenant.call("POST", "/sms/send/bulk", {"messages": [entry, entry], "dryRun": True})
    assert (told["refused"], told["reasons"]) == (2, {why: 2})
    assert told["results"][1]["error"]["verdict"]["reasons"][0]["words"] == words
    await world.text("Hello, who is this?")
    assert (await world.send("Solar Co"))["heldUntil"] is None
    assert len(world.agent.told) == 1


async def test_while_the_webhook_is_away_nothing_leaves_and_nothing_is_lost(world: World, resources: Resources) -> None:
    await asking(world, AWAY, (200, {"maybe": 1}), (200, {"refuse": "mood"}), (200, CLEAR))
    sent = await world.send("Hi Jane")
    for count in (1, 2, 3):
        await world.told(count)

        async def failed(count: int = count) -> bool:
            async with resources.database.system_tx() as tx:
                sql = "SELECT attempts = $2 AND lease IS NULL FROM contact_checks WHERE tenant_id = $1"
                return bool(await tx.fetch_value(sql, world.tenant.tenant_id, count))

        await until(failed)
        await pass_time(resources, world.tenant.tenant_id, minutes=2)

        async def held_again() -> bool:
            # Judged beside the answer, the text would wait for its next moment, a minute from now.
            async with resources.database.system_tx() as tx:
                sql = "SELECT bool_and(due_at > clock_timestamp()) FROM outbox WHERE tenant_id = $1"
                return bool(await tx.fetch_value(sql, world.tenant.tenant_id))

        await until(held_again)
        await make_due(resources, world)
    assert world.carrier.received(world.phone) == []
    await message_is(world, sent, "delivered")
    assert len({headers["webhook-id"] for headers, _ in world.agent.requests}) == 1


async def test_a_dry_run_says_what_would_wait_and_asks_nobody(idle_world: World, resources: Resources) -> None:
    world = idle_world
    await asking(world)
    entry = {"leadId": world.lead["leadId"], "message": "Hi"}
    told = await world.tenant.call("POST", "/sms/send/bulk", {"messages": [entry, entry], "dryRun": True})
    assert (told["held"], told["reasons"]) == (2, {"contact_check": 2})
    forecast = await world.tenant.call("POST", "/sms/send", {**entry, "dryRun": True})
    assert forecast["verdict"]["reasons"][0]["rule"] == "contact_check"
    assert (await may_text(world))["verdict"] == "later"
    async with resources.database.system_tx() as tx:
        sql = "SELECT count(*) FROM contact_checks WHERE tenant_id = $1"
        assert await tx.fetch_value(sql, world.tenant.tenant_id) == 0


async def test_hours_and_the_webhook_both_hold_a_text(idle_world: World) -> None:
    world = idle_world
    await live_in(world, "FL", 2)
    await asking(world)
    sent = await world.send("Hi Jane")
    untils = {reason["rule"]: reason["until"] for reason in sent["verdict"]["reasons"]}
    assert sorted(untils) == ["contact_check", "us-fl-hours", "us-hours"]
    assert sent["heldUntil"] == untils["us-hours"] > untils["contact_check"]


async def test_another_webhook_is_asked_anew_and_without_one_the_text_leaves(world: World) -> None:
    await asking(world, (200, {"refuse": "landline"}))
    await message_is(world, await world.send("Hi Jane"), "cancelled")
    await world.tenant.call("PATCH", "/settings", {"contactCheckUrl": world.agent.url + "?v=2"})
    sent = await world.send("Hi Jane")  # no answer that counts
    assert sent["heldUntil"]
    await world.tenant.call("PATCH", "/settings", {"contactCheckUrl": None})
    await message_is(world, sent, "delivered")


async def test_an_answer_counts_for_its_time_and_an_erasure_forgets_it(world: World, resources: Resources) -> None:
    await asking(world, (200, CLEAR), (200, {"refuse": "reassigned"}))
    await message_is(world, await world.send("Hi Jane"), "delivered")
    async with resources.database.system_tx() as tx:
        await tx.execute(
            "UPDATE contact_checks SET valid_until = clock_timestamp() WHERE tenant_id = $1", world.tenant.tenant_id
        )
    await message_is(world, await world.send("Hi Jane"), "cancelled")
    await world.tenant.call("POST", f"/leads/{world.lead['leadId']}/erase")
    async with resources.database.system_tx() as tx:
        sql = "SELECT count(*) FROM contact_checks WHERE tenant_id = $1"
        assert await tx.fetch_value(sql, world.tenant.tenant_id) == 0
    assert sweeping.RETENTION["contact_checks"][0] == "valid_until"


async def test_a_person_reads_what_a_text_waits_for(idle_world: World, sam: Browser) -> None:
    world = idle_world
    await asking(world)
    sent = await world.send("Hi Jane")
    assert CHECK_WORDS in await sam.page(f"/conversations/{sent['interactionId']}")
    assert CHECK_WORDS in await sam.page(f"/conversations/new?lead={world.lead['leadId']}")


async def test_a_webhook_that_seems_to_be_away_is_seen_on_the_page_and_measured(
    idle_world: World, sam: Browser, resources: Resources, api: Api, other_tenant: Tenant
) -> None:
    world = idle_world
    await asking(world)
    await world.send("Hi Jane")
    told = "does not say whether 1 phone may be contacted, and the texts to them wait: HTTP 503"
    assert told not in await sam.page("/system")
    async with resources.database.system_tx() as tx:
        sql = "UPDATE contact_checks SET attempts = 5, failure = 'HTTP 503' WHERE tenant_id = $1"
        await tx.execute(sql, world.tenant.tenant_id)
        assert [one.count for one in await contact_checks.list_silent(tx, world.tenant.tenant_id)] == [1]
        assert await contact_checks.list_silent(tx, other_tenant.tenant_id) == []
    assert told in await sam.page("/system")
    measured = re.search(r"^leadsail_unchecked_phones (.*)$", (await api.http.get("/metrics")).text, re.M)
    assert measured
    assert float(measured[1]) >= 1


async def test_a_person_makes_the_secret_that_signs_the_questions(world: World, sam: Browser) -> None:
    button = "Signing secret of the webhook for first contacts"
    assert button not in await sam.page("/settings/general")
    await asking(world, (200, CLEAR))
    page = await sam.page("/settings/general")
    assert button in page
    shown = await sam.submit(page, "/rotate-secret")
    assert 'href="/settings/general"' in shown.text
    assert "cannot be shown again" in (await sam.submit(page, "/rotate-secret")).text
    await world.send("Hi Jane")
    told = await world.told(1)
    headers, body = world.agent.requests[0]
    assert Webhook(shown_once(shown.text)).verify(body, headers) == told


@pytest.mark.parametrize(
    ("status", "content", "answer"),
    [
        (200, b'{"refuse": null}', CheckAnswer()),
        (201, b'{"refuse": "landline"}', CheckAnswer("landline")),
        (200, b'{"refuse": "landline", "words": " No\\u0000de "}', CheckAnswer("landline", "Node")),
        (200, b'{"refuse": "landline", "words": 5}', CheckAnswer("landline")),
    ],
)
def test_a_clear_answer_is_understood(status: int, content: bytes, answer: CheckAnswer) -> None:
    assert read_answer(True, status, content) == answer


@pytest.mark.parametrize(
    "content", [b"", b"ok", b"null", b"[]", b"{}", b'{"refuse": true}', b'{"refuse": ["landline"]}', b"[" * 9999]
)
def test_whatever_else_comes_is_no_answer(content: bytes) -> None:
    assert read_answer(True, 200, content).failure
    assert read_answer(False, 500, b'{"refuse": null}').failure == "HTTP 500"


def test_a_webhook_that_is_away_is_asked_ever_more_rarely() -> None:
    waits = [get_wait(attempt) for attempt in range(1, 9)]
    assert waits == sorted(waits)
    assert waits[-1] == waits[-2]


@pytest.mark.parametrize(
    "url",
    ["ftp://checks.example.com", "http://sam:word@checks.example.com/", "/check", "http://", "http://a b.example"],
)
async def test_the_webhooks_address_is_checked_like_any_other(idle_world: World, url: str) -> None:
    answer = await idle_world.tenant.ask("PATCH", "/settings", {"contactCheckUrl": url})
    assert answer.status_code == 400
    assert answer.json()["error"]["details"][0].startswith("contactCheckUrl: ")


async def test_each_question_has_its_own_id(world: World) -> None:
    await asking(world, (200, CLEAR), (200, CLEAR), (200, CLEAR))
    entries = [{"leadId": (await world.tenant.lead())["leadId"], "message": "Hi"} for _ in range(3)]
    await world.tenant.call("POST", "/sms/send/bulk", {"messages": entries})
    await world.told(3)
    assert len({headers["webhook-id"] for headers, _ in world.agent.requests}) == 3


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [("gzip", gzip.compress), ("deflate", zlib.compress), ("br", None)],
)
async def test_an_answer_that_is_compressed_unasked_is_read(
    resources: Resources, encoding: str, compress: Callable[[bytes], bytes] | None
) -> None:
    async def answer(_: Request) -> Response:
        content = b'{"refuse": "landline"}'
        headers = {"content-encoding": encoding}
        return Response(compress(content) if compress else content, headers=headers)

    async with served(Starlette(routes=[Route("/", answer, methods=["POST"])])) as url:
        known = await ask_webhook(resources.wire, f"{url}/", [], "evt_1", "org_1", "+13055550100")
    unread = CheckAnswer(failure="the answer is compressed as br, which cannot be read")
    assert known == (CheckAnswer("landline") if compress else unread)


async def test_a_webhook_that_is_away_holds_up_only_its_own_tenant(
    resources: Resources, tenant: Tenant, other_tenant: Tenant
) -> None:
    sick, well = tenant, other_tenant
    async with resources.database.system_tx() as tx:
        for asker, phones in ((sick, 100), (well, 2)):
            await contact_checks.ask_about(tx, [PhoneKey(asker.tenant_id, f"+1305555{n:04}") for n in range(phones)])
        questions = await contact_checks.claim(tx, 20, "evt_1", timedelta(minutes=1), 10)
        counts = Counter(question.tenant_id for question in questions)
        assert (counts[sick.tenant_id], counts[well.tenant_id]) == (10, 2)
        again = await contact_checks.claim(tx, 20, "evt_2", timedelta(minutes=1), 10, [sick.tenant_id])
        assert not [question for question in again if question.tenant_id == sick.tenant_id]


async def test_a_text_whose_webhook_is_away_is_judged_again_after_it_was_asked_again(
    idle_world: World, resources: Resources
) -> None:
    world = idle_world
    await asking(world)
    sent = await world.send("Hi Jane")
    async with resources.database.system_tx() as tx:
        await tx.execute(
            "UPDATE contact_checks SET due_at = due_at + interval '10 minutes' WHERE tenant_id = $1",
            world.tenant.tenant_id,
        )
    await pass_time(resources, world.tenant.tenant_id, minutes=2)
    async with resources.database.system_tx() as tx:
        await release.release_texts(tx, 100)
    held_until = datetime.fromisoformat((await message_of(world, sent))["heldUntil"])
    assert timedelta(minutes=9) < held_until - datetime.now(UTC) < timedelta(minutes=12)
