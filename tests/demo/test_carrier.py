"""The simulated carrier over real HTTP: what its magic digits do, its receipts, its phone.

Its requests and webhooks are built and read by the simulator's own dialect, so that the two
cannot drift apart.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.demo import carrier, http_clients
from app.domain.carriage import Account, InboundPage, OutgoingText, WebhookRequest
from app.providers import simulator, twilio
from tests.world import served, until

SECRET = "demo-secret"
OURS, LEAD = "+18335645667", "+12125551234"


@dataclass(slots=True)
class Us:
    """Our webhooks: what came, in order, and with which status it is answered."""

    url: str = ""
    hooks: list[WebhookRequest] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    takes_receipts: asyncio.Event = field(default_factory=asyncio.Event)

    async def hear_receipt(self, request: Request) -> Response:
        await self.takes_receipts.wait()
        return await self.hear(request)

    async def hear(self, request: Request) -> Response:
        url = f"{self.url}{request.url.path}" + (f"?{q}" if (q := request.url.query) else "")
        self.hooks.append(
            WebhookRequest(
                request.method, url, dict(request.headers),
                tuple(request.query_params.multi_items()), await request.body(),
            )
        )  # fmt: skip
        return Response(status_code=self.answers.pop(0) if self.answers else 200)

    def words(self) -> list[str]:
        """The receipts' status words, in order."""
        return [str(r.status) for hook in self.hooks for r in simulator.read_status(hook)]


@dataclass(slots=True)
class World:
    us: Us
    account: Account
    http: httpx.AsyncClient

    async def send(self, digits: str, reference: str = "msg_1") -> httpx.Response:
        text = OutgoingText(
            reference, f"+1415555{digits}", OURS, "Hi Jane", (),
            f"{self.us.url}/status?message={reference}", timedelta(hours=1),
        )  # fmt: skip
        return await self.http.send(simulator.build_send_request(self.account, text, datetime.now(UTC)))

    async def get(self, path: str, **params: str) -> Any:
        return (await self.http.get(path, params=params)).json()

    async def counts(self, reference: str = "msg_1") -> tuple[int, int]:
        told = await self.get("/accepted", reference=reference)
        return told["accepted"], told["requests"]


@pytest.fixture(scope="module")
async def servers() -> AsyncIterator[tuple[Us, Starlette, str]]:
    us = Us()
    routes = [Route("/status", us.hear_receipt, methods=["POST"]),
              Route("/inbound", us.hear, methods=["POST"])]  # fmt: skip
    app = carrier.build_app(SECRET)
    async with served(Starlette(routes=routes)) as us.url, served(app) as url:
        yield us, app, url


@pytest.fixture
async def world(servers: tuple[Us, Starlette, str]) -> AsyncIterator[World]:
    """The carrier without a memory, and webhooks that nothing has reached."""
    us, app, url = servers
    us.hooks, us.answers = [], []
    us.takes_receipts.set()
    app.state.carrier = carrier.Carrier(SECRET, {OURS: f"{us.url}/inbound"}, 0.02)
    account = Account("org_1", "acct_1", "simulator", {"secret": SECRET}, url)
    async with http_clients.build_client(base_url=url, timeout=5) as http:
        yield World(us, account, http)
    await app.state.carrier.close()


async def receipts(world: World, number: int) -> list[str]:
    """The words of the receipts, once so many came; waits a little for one too many."""

    async def look() -> bool:
        return len(world.us.words()) >= number

    await until(look, 5)
    await asyncio.sleep(0.1)
    return world.us.words()


async def test_a_number_without_magic_is_taken_and_delivered(world: World) -> None:
    outcome = simulator.read_outcome(await world.send("1234"))
    assert outcome.verdict == "accepted"
    assert await receipts(world, 2) == ["sent", "delivered"]
    assert await world.counts() == (1, 1)


async def test_receipts_are_signed_for_the_address_they_go_to(world: World) -> None:
    await world.send("1234")
    await receipts(world, 2)
    assert all(simulator.is_genuine(world.account, h, datetime.now(UTC)) for h in world.us.hooks)
    assert simulator.read_status(world.us.hooks[0])[0].message_id == "msg_1"


@pytest.mark.parametrize(
    ("digits", "status", "verdict", "code"),
    [
        ("0001", 400, "refused", "bad_number"),
        ("0002", 400, "opted_out", "opted_out"),
        ("0004", 401, "refused", "unauthorized"),
        ("0005", 402, "refused", "no_credit"),
        ("0006", 503, "unknown", "down"),
        ("0014", 500, "unknown", "internal"),
    ],
)
async def test_a_refusal_takes_nothing(world: World, digits: str, status: int, verdict: str, code: str) -> None:
    answer = await world.send(digits)
    outcome = simulator.read_outcome(answer)
    assert (answer.status_code, outcome.verdict, outcome.code) == (status, verdict, code)
    assert await world.counts() == (0, 1)


async def test_a_throttled_text_is_taken_the_second_time(world: World) -> None:
    first, second = simulator.read_outcome(await world.send("0003")), await world.send("0003")
    assert (first.verdict, first.retry_after) == ("later", 1.0)
    assert simulator.read_outcome(second).verdict == "accepted"
    assert await world.counts() == (1, 2)


@pytest.mark.parametrize(
    ("digits", "verdicts"),
    [("0007", ["later", "later", "accepted"]), ("0015", ["unknown", "accepted"])],
)
async def test_a_text_may_be_taken_after_several_requests(world: World, digits: str, verdicts: list[str]) -> None:
    heard = [simulator.read_outcome(await world.send(digits)).verdict for _ in verdicts]
    assert heard == verdicts
    assert await world.counts() == (1, len(verdicts))


async def test_a_carrier_may_deny_what_it_took(world: World) -> None:
    assert simulator.read_outcome(await world.send("0016")).verdict == "unknown"
    assert await world.counts() == (1, 1)
    text = OutgoingText("msg_1", "+14155550016", OURS, "Hi Jane", (), "", timedelta(hours=1))
    request = simulator.build_lookup_request(world.account, text, datetime.now(UTC))
    assert request is not None
    assert simulator.read_lookup(await world.http.send(request), text, datetime.now(UTC)) == []


async def test_a_text_may_be_taken_and_never_answered(world: World) -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(world.send("0011"), 0.3)
    assert await world.counts() == (1, 1)


async def test_a_text_may_be_taken_and_the_connection_break(world: World) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        await world.send("0012")
    assert await world.counts() == (1, 1)


async def test_a_text_may_be_taken_and_answered_500(world: World) -> None:
    assert simulator.read_outcome(await world.send("0013")).verdict == "unknown"
    assert await world.counts() == (1, 1)


@pytest.mark.parametrize("digits", ["1234", "0013"])
async def test_a_look_up_finds_what_was_taken(world: World, digits: str) -> None:
    await world.send(digits)
    text = OutgoingText("msg_1", LEAD, OURS, "", (), "", timedelta())
    request = simulator.build_lookup_request(world.account, text, datetime.now(UTC))
    assert request is not None
    found = simulator.read_lookup(await world.http.send(request), text, datetime.now(UTC))
    assert found is not None
    assert len(found) == 1
    one = await world.http.get(
        f"/messages/{found[0].provider_message_id}", headers={"Authorization": f"Bearer {SECRET}"}
    )
    assert one.json()["reference"] == "msg_1"


async def test_a_look_up_finds_nothing_of_what_was_not_taken(world: World) -> None:
    await world.send("0014")
    headers = {"Authorization": f"Bearer {SECRET}"}
    listed = await world.http.get("/messages?reference=msg_1", headers=headers)
    assert listed.json() == {"messages": []}
    assert (await world.http.get("/messages/sim_0", headers=headers)).status_code == 404


async def test_ids_are_fresh_for_each_send(world: World) -> None:
    answers = [await world.send("1234") for _ in range(3)]
    assert len({answer.json()["id"] for answer in answers}) == 3
    assert await world.counts() == (3, 3)


async def test_a_receipt_may_come_before_the_answer(world: World) -> None:
    answer = await world.send("0021")
    assert world.us.words() == ["delivered"]
    assert answer.status_code == 202


@pytest.mark.parametrize(
    ("digits", "words"),
    [
        ("0022", ["delivered", "sent"]),
        ("0023", ["sent", "sent", "delivered", "delivered"]),
        ("0025", ["sent", "undelivered"]),
        ("0026", ["undelivered"]),
    ],
)
async def test_receipts_come_as_the_digits_say(world: World, digits: str, words: list[str]) -> None:
    assert (await world.send(digits)).status_code == 202
    assert await receipts(world, len(words)) == words


async def test_a_receipt_may_never_come(world: World) -> None:
    assert (await world.send("0024")).status_code == 202
    await asyncio.sleep(0.2)
    assert world.us.words() == []


async def test_a_receipt_says_that_the_lead_opted_out(world: World) -> None:
    await world.send("0026")
    await receipts(world, 1)
    assert simulator.read_status(world.us.hooks[0])[0].has_opted_out


async def test_without_the_secret_nothing_is_taken_or_told(world: World) -> None:
    for request in (
        world.http.post("/messages", json={"to": LEAD}),
        world.http.get("/messages?reference=msg_1"),
        world.http.get("/messages/sim_0"),
    ):
        assert (await request).status_code == 401


async def test_the_lead_s_text_reaches_our_webhook_signed(world: World) -> None:
    media = [{"url": "https://x.example/1.png", "contentType": "image/png"}]
    answer = await world.http.post(f"/phone/{LEAD}/texts", json={"to": OURS, "text": "Hi there", "media": media})
    assert answer.json() == {"status": 200}
    [hook] = world.us.hooks
    assert simulator.is_genuine(world.account, hook, datetime.now(UTC))
    [text] = simulator.read_inbound(hook)
    assert (text.sender, text.to, text.text) == (LEAD, OURS, "Hi there")
    assert text.media[0].content_type == "image/png"


async def test_the_lead_s_text_is_repeated_under_one_id_while_we_are_away(world: World) -> None:
    world.us.answers = [503, 200]
    answer = await world.http.post(f"/phone/{LEAD}/texts", json={"to": OURS, "text": "Hi"})
    assert answer.json() == {"status": 200}
    ids = [text.provider_id for hook in world.us.hooks for text in simulator.read_inbound(hook)]
    assert len(ids) == 2
    assert len(set(ids)) == 1


async def test_the_lead_s_text_does_not_wait_for_receipts(world: World) -> None:
    world.us.takes_receipts.clear()
    for batch in range(4):
        await asyncio.gather(*(world.send("1234", f"msg_{batch}_{n}") for n in range(30)))
    await asyncio.sleep(0.1)  # now their receipts are on their way
    answer = await world.http.post(f"/phone/{LEAD}/texts", json={"to": OURS, "text": "Hi"})
    assert answer.json() == {"status": 200}
    world.us.takes_receipts.set()

    async def have_come() -> bool:
        return len(world.us.hooks) == 1 + 2 * 120

    await until(have_come)


async def test_a_webhook_that_says_no_is_not_asked_again(world: World) -> None:
    world.us.answers = [401]
    answer = await world.http.post(f"/phone/{LEAD}/texts", json={"to": OURS, "text": "Hi"})
    assert (answer.status_code, answer.json()) == (502, {"status": 401})
    assert len(world.us.hooks) == 1


async def test_where_a_number_s_texts_go_can_be_told(world: World) -> None:
    number = "+12125550123"
    told = {"number": number, "inboundUrl": f"{world.us.url}/inbound"}
    assert (await world.http.post("/configure", json=told)).status_code == 200
    await world.http.post(f"/phone/{LEAD}/texts", json={"to": number, "text": "Hi"})
    assert simulator.read_inbound(world.us.hooks[0])[0].to == number


async def test_the_twilio_line_of_the_demo_missed_no_texts(world: World) -> None:
    credentials = {"accountSid": "AC1", "authToken": "token"}
    account = Account("org_1", "acct_2", "twilio", credentials, world.account.base_url)
    now = datetime.now(UTC)
    request = twilio.build_history_request(account, now, None)
    assert request
    assert twilio.read_history(await world.http.send(request), now) == InboundPage(())


async def test_the_phone_shows_both_sides_in_order(world: World) -> None:
    await world.send("9999")
    phone = "+14155559999"
    await world.http.post(f"/phone/{phone}/texts", json={"to": OURS, "text": "Hello"})
    texts = (await world.get(f"/phone/{phone}/texts"))["texts"]
    assert [(text["mine"], text["text"]) for text in texts] == [(False, "Hi Jane"), (True, "Hello")]


async def test_the_page_lets_one_text_as_the_lead(world: World) -> None:
    form = {"phone": LEAD, "to": OURS, "text": "<b>Hi</b> & bye"}
    sent = await world.http.post("/", data=form)
    assert sent.status_code == 303
    page = (await world.http.get(sent.headers["location"])).text
    assert "&lt;b&gt;Hi&lt;/b&gt; &amp; bye" in page
    assert "<b>Hi" not in page
    assert "delivered" in page
    assert simulator.read_inbound(world.us.hooks[0])[0].sender == LEAD


async def test_the_page_escapes_what_its_address_says(world: World) -> None:
    page = (await world.http.get("/", params={"phone": '"><script>x</script>'})).text
    assert "<script>" not in page


async def test_a_receipt_that_nobody_takes_harms_nothing(world: World) -> None:
    world.us.answers = [404, 404]
    await world.send("1234")
    assert await receipts(world, 2) == ["sent", "delivered"]
    assert await world.counts() == (1, 1)
