"""A carrier's record says less of a text than its webhook: the webhook that comes after all
completes what was fetched, once, and makes no second text of it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from app.commands import receive
from app.commands.receive import InboundPost
from app.domain.carriage import Account, InboundText, Media
from app.resources import Resources
from app.web import presence
from tests.flows.test_receive import twilio_post
from tests.makers import CREDENTIALS, Data
from tests.service import Api
from tests.world import World, served, until

SID = CREDENTIALS["twilio"]["accountSid"]
MESSAGES = f"/2010-04-01/Accounts/{SID}/Messages.json"
PICTURES = {
    "NumMedia": "2", "MediaUrl0": "https://api.twilio.com/m0", "MediaContentType0": "image/png",
    "MediaUrl1": "https://api.twilio.com/m1", "MediaContentType1": "image/jpeg",
}  # fmt: skip


@dataclass(slots=True)
class Twilio:
    """A twin of Twilio that takes texts, with a record of what leads wrote; and our side of it."""

    world: World
    resources: Resources
    api: Api
    record: list[Data] = field(default_factory=list)
    account: Data = field(default_factory=dict)
    number: str = ""
    interaction_id: str = ""

    async def take(self, request: Request) -> Response:
        return JSONResponse({"sid": "SM_out"}, 201)

    async def show(self, request: Request) -> Response:
        return JSONResponse({"messages": self.record})

    def wrote(self, sid: str, body: str, media: int = 0) -> None:
        """The lead wrote, and no webhook came."""
        at = datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S +0000")
        self.record.append(
            {"sid": sid, "direction": "inbound", "from": self.world.phone, "to": self.number,
             "body": body, "num_media": str(media), "date_created": at, "status": "received"}
        )  # fmt: skip

    async def fetched(self) -> list[Data]:
        """We were away, and fetched the record; what the thread holds then of the lead."""
        async with self.resources.database.system_tx() as tx:
            await tx.execute("UPDATE installation SET alive_at = alive_at - $1::interval",
                             timedelta(minutes=5))  # fmt: skip
        await presence.record_presence(self.resources.database)

        async def there() -> list[Data] | None:
            texts = await self.texts()
            return texts if len(texts) >= len(self.record) else None

        return await until(there)

    async def webhook(self, sid: str, body: str, **more: str) -> None:
        form = {"MessageSid": sid, "AccountSid": SID, "From": self.world.phone,
                "To": self.number, "Body": body} | more  # fmt: skip
        assert (await twilio_post(self.api, self.account, form)).is_success

    async def texts(self) -> list[Data]:
        thread = await self.world.thread(self.interaction_id)
        return [entry for entry in thread["transcript"] if entry["role"] == "user"]

    async def turns(self) -> list[list[int]]:
        """The texts of each turn, by their places."""
        turns = await self.world.turns(self.interaction_id)
        return [[message["seq"] for message in turn["messages"]] for turn in turns]

    async def causes(self) -> list[str]:
        told = await self.world.tenant.call("GET", f"/consent/{self.world.phone}")
        causes: list[str] = told["causes"]
        return causes


@pytest.fixture
async def twilio(world: World, resources: Resources, api: Api) -> AsyncIterator[Twilio]:
    twin = Twilio(world, resources, api)
    routes = [Route(MESSAGES, twin.take, methods=["POST"]), Route(MESSAGES, twin.show)]
    async with served(Starlette(routes=routes)) as url:
        twin.account = await world.tenant.account("twilio", baseUrl=url)
        number = await world.tenant.number(providerAccountId=twin.account["accountId"])
        twin.number = number["phoneNumber"]
        sent = await world.send(agentMode=True, **{"from": twin.number})
        twin.interaction_id = sent["interactionId"]
        await world.status_is(sent["messageId"], "sent")
        yield twin


async def test_pictures_that_the_record_only_counts_come_with_the_webhook_in_one_turn(
    twilio: Twilio,
) -> None:
    twilio.wrote("MM1", "", 2)
    [blank] = await twilio.fetched()
    assert (blank["message"], blank["media"]) == ("", [])
    assert await twilio.turns() == []
    await asyncio.gather(*(twilio.webhook("MM1", "", **PICTURES) for _ in range(5)))
    [text] = await twilio.texts()
    assert (text["messageId"], text["seq"]) == (blank["messageId"], blank["seq"])
    assert [one["url"] for one in text["media"]] == [PICTURES["MediaUrl0"], PICTURES["MediaUrl1"]]
    assert await twilio.turns() == [[blank["seq"]]]
    told = await twilio.world.told(1)
    assert len(told["message"]["messages"][0]["media"]) == 2


async def test_two_webhooks_in_one_batch_complete_a_text_once(twilio: Twilio) -> None:
    twilio.wrote("MM1", "\ufffc", 1)  # what phones write in place of a picture: it shows nothing
    await twilio.fetched()
    account = Account(twilio.world.tenant.tenant_id, twilio.account["accountId"], "twilio", {})
    picture = (Media("https://api.twilio.com/m0"),)
    text = InboundText("MM1", twilio.world.phone, twilio.number, "Look", picture)
    async with twilio.resources.database.system_tx() as tx:
        received = await receive.receive_texts(tx, [InboundPost(account, [text])] * 2)
    assert [(one.stored_count, one.repeated_count) for one in received] == [(0, 1), (0, 1)]
    [fuller] = await twilio.texts()
    assert await twilio.turns() == [[fuller["seq"]]]
    assert (fuller["message"], len(fuller["media"])) == ("Look", 1)


async def test_words_that_were_handed_over_are_not_handed_over_again_with_their_picture(
    twilio: Twilio,
) -> None:
    twilio.wrote("MM1", "look", 2)
    [text] = await twilio.fetched()
    await twilio.world.turn_is(twilio.interaction_id, "awaiting_reply")
    await twilio.webhook("MM1", "look", **PICTURES)
    [fuller] = await twilio.texts()
    assert (fuller["message"], len(fuller["media"])) == ("look", 2)
    assert await twilio.turns() == [[text["seq"]]]


async def test_words_that_the_record_hides_come_with_the_webhook(twilio: Twilio) -> None:
    twilio.wrote("SM1", "")
    await twilio.fetched()
    await twilio.webhook("SM1", "Tuesday works")
    await twilio.webhook("SM1", "Something else")
    [text] = await twilio.texts()
    assert text["message"] == "Tuesday works"
    assert await twilio.turns() == [[text["seq"]]]
    thread = await twilio.world.thread(twilio.interaction_id)
    assert (thread["lastMessagePreview"], thread["unreadCount"]) == ("Tuesday works", 1)


@pytest.mark.parametrize(
    ("recorded", "body", "verdict"),
    [("PAUSE", "PAUSE", {"OptOutType": "STOP"}), ("", "STOP", {}), ("", "PLEASE STOP", {})],
)
async def test_a_stop_that_only_the_webhook_tells_is_obeyed(
    twilio: Twilio, recorded: str, body: str, verdict: dict[str, str]
) -> None:
    twilio.wrote("SM1", recorded)
    await twilio.fetched()
    assert await twilio.causes() == []
    await twilio.webhook("SM1", body, **verdict)
    assert await twilio.causes() == ["lead"]
    await twilio.webhook("SM2", "START")
    await twilio.webhook("SM1", body, **verdict)
    assert await twilio.causes() == []


async def test_what_the_lead_said_later_stands_although_the_webhook_comes_last(
    twilio: Twilio,
) -> None:
    twilio.wrote("SM1", "PAUSE")
    await twilio.fetched()
    await twilio.webhook("SM2", "STOP")
    await twilio.webhook("SM3", "START")
    await twilio.webhook("SM1", "PAUSE", OptOutType="STOP")
    assert await twilio.causes() == []


async def test_words_that_come_only_with_the_webhook_may_be_an_opt_out(twilio: Twilio) -> None:
    twilio.wrote("MM9", "", 1)
    await twilio.fetched()
    assert not (await twilio.world.thread(twilio.interaction_id))["awaitsDecision"]
    for _ in range(2):
        await twilio.webhook("MM9", "leave me alone")
    [text] = await twilio.texts()
    assert (text["message"], text["possibleOptOut"], text["optOut"]) == ("leave me alone", True, None)
    assert (await twilio.world.thread(twilio.interaction_id))["awaitsDecision"]
    assert await twilio.turns() == []
    path = f"/messages/{text['messageId']}/opt-out-decision"
    await twilio.world.tenant.call("POST", path, {"optOut": False})
    assert (await twilio.world.told(1))["message"]["combinedText"] == "leave me alone"
