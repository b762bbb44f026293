"""A carrier took a text, its answer was lost, and its list says less than we sent, or says it
otherwise: that is no denial, and the lead gets the text once."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from app.resources import Resources
from tests.makers import CREDENTIALS, Data
from tests.world import World, served, until

SENT = "“Hi” Jane – see https://example.com/a?utm_source=long&utm_campaign=longer "
MESSAGES = f"/2010-04-01/Accounts/{CREDENTIALS['twilio']['accountSid']}/Messages.json"


@dataclass(slots=True)
class Twin:
    """Twilio as far as a lost answer needs it: it takes texts and fails to say so."""

    url: str = ""
    taken: list[Data] = field(default_factory=list)
    loses: bool = True
    asked: int = 0
    shown: dict[str, Any] = field(default_factory=dict)
    """What its list says otherwise of each text; `None`: it lists nothing."""

    async def take(self, request: Request) -> Response:
        form = await request.form()
        at = datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S +0000")
        taken = {"sid": f"SM{len(self.taken)}", "to": form["To"], "from": form["From"],
                 "body": form["Body"], "status": "sent", "direction": "outbound-api",
                 "date_created": at, "error_code": None}  # fmt: skip
        self.taken.append(taken)
        return JSONResponse({}, 500) if self.loses else JSONResponse({"sid": taken["sid"]}, 201)

    async def list(self, request: Request) -> Response:
        self.asked += 1
        return JSONResponse({"messages": [one | self.shown for one in self.taken]})


@pytest.fixture
async def twin() -> AsyncIterator[Twin]:
    made = Twin()
    routes = [Route(MESSAGES, made.take, methods=["POST"]), Route(MESSAGES, made.list)]
    async with served(Starlette(routes=routes)) as made.url:
        yield made


async def send(world: World, twin: Twin) -> str:
    """A text through the twin; its id."""
    account = await world.tenant.account("twilio", baseUrl=twin.url)
    number = await world.tenant.number(providerAccountId=account["accountId"], messagesPerSecond=50)
    message_id: str = (await world.send(SENT, **{"from": number["phoneNumber"]}))["messageId"]
    await world.status_is(message_id, "unknown")
    return message_id


async def asked(twin: Twin, resources: Resources, times: int, after: str) -> None:
    """So long after the attempt the carrier is asked for the `times`-th time."""

    async def look() -> bool:
        async with resources.database.system_tx() as tx:
            await tx.execute(
                "UPDATE outbox SET due_at = clock_timestamp(),"
                f" begun_at = least(begun_at, clock_timestamp() - interval '{after}')"
                " WHERE state = 'unknown' AND lease IS NULL"
            )
        await asyncio.sleep(0.1)
        return twin.asked >= times

    await until(look)


@pytest.mark.parametrize(
    "shown",
    [
        {"body": ""},
        {"body": None},
        {"body": SENT.strip()},
        {"body": SENT[:10]},
        {"body": '"Hi" Jane - see https://twil.io/abc'},
        {"body": "?Hi? Jane"},
        {"body": "Something else"},
        {"date_created": None},
        {"sid": None},
    ],
)
async def test_a_list_that_says_otherwise_denies_nothing_and_nothing_is_sent_again(
    world: World, resources: Resources, twin: Twin, shown: Data
) -> None:
    twin.shown = shown
    message_id = await send(world, twin)
    await asked(twin, resources, 1, "20 seconds")
    await asked(twin, resources, 2, "90 seconds")

    async def settled() -> Data | None:
        message = await world.tenant.call("GET", f"/messages/{message_id}")
        return message if message["errorCode"] == "OUTCOME_UNKNOWN" else None

    assert (await until(settled))["status"] == "unknown"
    assert len(twin.taken) == 1


async def test_a_list_of_nothing_but_other_texts_of_ours_is_a_denial(
    world: World, resources: Resources, twin: Twin
) -> None:
    """What is linked to another of our texts, or is no text of ours, is no doubt."""
    message_id = await send(world, twin)
    lost = twin.taken.pop()
    twin.loses = False
    other = await world.send("Another", **{"from": lost["from"]})
    async with resources.database.system_tx() as tx:  # the unknown one no longer holds it back
        await tx.execute("UPDATE outbox SET begun_at = begun_at - interval '61 seconds'")
    await world.status_is(other["messageId"], "sent")
    twin.taken.append(lost | {"sid": "SM9", "body": "You are unsubscribed.",
                              "direction": "outbound-reply"})  # fmt: skip
    await asked(twin, resources, 1, "20 seconds")
    await asked(twin, resources, 2, "90 seconds")
    await world.status_is(message_id, "sent")
    assert [one["body"] for one in twin.taken].count(SENT) == 1
