"""Whatever a carrier says can be stored: it stops neither its own texts nor those of others."""

import asyncio
import json
import secrets
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.jobs.deliver import Delivery
from app.resources import Resources
from app.store import text_settling
from app.store.brakes import AccountAnswer
from tests.flows.carrier_posts import PROVIDERS, SIGN, Post, make_credentials, open_line
from tests.makers import Data, Tenant
from tests.world import World, served, until

LONG = secrets.token_hex(3000)
"""PostgreSQL compresses what repeats itself."""


def took(provider: str, carrier_id: str) -> bytes:
    """The 2xx of a carrier that took a text under this id."""
    answers: dict[str, Data] = {
        "bandwidth": {"id": carrier_id}, "plivo": {"message_uuid": [carrier_id]}, "simulator": {"id": carrier_id},
        "sinch": {"id": carrier_id}, "telnyx": {"data": {"id": carrier_id}}, "twilio": {"sid": carrier_id},
        "vonage": {"message_uuid": carrier_id},
    }  # fmt: skip
    return json.dumps(answers[provider]).encode()


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_an_answer_that_no_database_can_hold_settles_its_text(
    tenant: Tenant, working: None, provider: str
) -> None:
    answers = [took(provider, LONG), took(provider, "a\x00b"), took(provider, "a\ud800b")]

    async def answer(_: Request) -> Response:
        return Response(answers.pop(), 201, media_type="application/json")

    routes = [Route("/{path:path}", answer, methods=["POST"])]
    async with served(Starlette(routes=routes)) as url:
        body = {"provider": provider, "name": "odd", "credentials": make_credentials(provider), "baseUrl": url}
        account = await tenant.call("POST", "/provider-accounts", body)
        number = await tenant.number(providerAccountId=account["accountId"], messagesPerSecond=100)
        for _ in range(len(answers)):
            order = {"leadId": (await tenant.lead())["leadId"], "message": "Hi", "from": number["phoneNumber"]}
            sent = await tenant.call("POST", "/sms/send", order)

            async def settled(message_id: str = sent["messageId"]) -> Data | None:
                message = await tenant.call("GET", f"/messages/{message_id}")
                return message if message["attempts"] else None

            message = await until(settled)
            # Some take an id that cannot be printed for none: then the text is looked up.
            assert message["status"] in ("sent", "unknown")
            assert (message["providerMessageId"] is not None) == (message["status"] == "sent")
            assert len(message["providerMessageId"] or "") <= 255


async def test_what_cannot_be_settled_keeps_nothing_else_from_it(
    idle_world: World, other_tenant: Tenant, resources: Resources
) -> None:
    sent = [
        await idle_world.send("One"),
        await idle_world.send("Two", leadId=(await idle_world.tenant.lead())["leadId"]),
    ]
    delivery = Delivery(resources.database, resources.wire, resources.seal, resources.settings.base_url)
    await idle_world.tenant.call(
        "PATCH", f"/phone-numbers/{idle_world.number['phoneNumberId']}", {"messagesPerSecond": 100}
    )
    batch = await delivery.claim(10)
    assert batch is not None
    batch.account_answers["odd"] = AccountAnswer(idle_world.tenant.tenant_id, "\ud800", datetime.now(UTC), None)
    good, bad = [text_settling.Settlement(*text.key, "sent", outcome="accepted") for text in batch.texts]
    await delivery._settle(batch, [replace(bad, code="\ud800"), good])
    statuses = [(await idle_world.tenant.call("GET", f"/messages/{text['messageId']}"))["status"] for text in sent]
    assert sorted(statuses) == ["sending", "sent"]


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_text_with_a_long_id_or_sender_is_stored_once(tenant: Tenant, provider: str) -> None:
    account, keys, number = await open_line(tenant, provider)
    for carrier_id, sender in (
        (LONG, "+12025550177"),
        ("short", f"+{int(LONG[:2500], 16)}"),
        ("short too", f"N{LONG}"),
    ):
        post = Post(account["webhooks"]["inbound"], sender, number, "Hello", (), carrier_id)
        body, headers = SIGN[provider](keys, post)
        answers = await asyncio.gather(*(tenant.http.post(post.url, content=body, headers=headers) for _ in range(2)))
        assert [answer.status_code for answer in answers] == [200, 200]
    threads = (await tenant.call("GET", "/interactions"))["interactions"]
    assert [thread["unreadCount"] for thread in threads] == [1, 1, 1]
    for thread in threads:
        for path in (f"/leads/{thread['leadId']}/export", f"/consent/{thread['phone']}"):
            assert (await tenant.ask("GET", path)).status_code == 200, path
