"""Texts that go together in one statement: a thread that somebody holds delays nobody else."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager

import asyncpg
import pytest

from app.commands.receive import InboundPost
from app.domain.carriage import Account, InboundText
from app.domain.ids import make
from app.domain.orders import Order
from app.resources import Resources
from app.settings import Settings
from app.web import webhooks
from app.web.send_batches import build_send_batcher
from tests.makers import Data, Tenant, phone
from tests.world import World

STRANGERS = 40
ROWS = {"int": ("interactions", "interaction_id"), "msg": ("messages", "message_id"), "org": ("tenants", "tenant_id")}


@asynccontextmanager
async def holding(configuration: Settings, row: str) -> AsyncIterator[None]:
    """The lock of the row of a thread, a text or a tenant, held by somebody else."""
    table, key = ROWS[row.partition("_")[0]]
    connection = await asyncpg.connect(configuration.database_url)
    try:
        await connection.execute("BEGIN; SET LOCAL ROLE app_system")
        await connection.execute(f"SELECT 1 FROM {table} WHERE {key} = '{row}' FOR UPDATE")
        yield
    finally:
        await connection.close()


async def both(configuration: Settings, held: str, mine: Awaitable[None], others: list[Awaitable[None]]) -> None:
    """All at once; fails unless the others are done while the thread is still held."""
    async with holding(configuration, held):
        waiting = asyncio.ensure_future(mine)
        await asyncio.wait_for(asyncio.gather(*others), 10)
        assert not waiting.done()
    await asyncio.wait_for(waiting, 10)


async def test_a_held_thread_delays_no_other_threads_sends(idle_world: World, configuration: Settings) -> None:
    world = idle_world
    first = await world.send("One")
    leads = [await world.tenant.lead(phone=phone()) for _ in range(STRANGERS)]

    async def send(lead_id: str) -> None:
        await world.tenant.call("POST", "/sms/send", {"leadId": lead_id, "message": "Hi"})

    await both(
        configuration,
        first["interactionId"],
        send(world.lead["leadId"]),
        [send(lead["leadId"]) for lead in leads],
    )
    thread = await world.tenant.call("GET", f"/interactions/{first['interactionId']}")
    assert [entry["seq"] for entry in thread["transcript"]] == [1, 2]


async def test_a_held_thread_delays_no_other_leads_texts(idle_world: World, configuration: Settings) -> None:
    world = idle_world
    first = await world.send("One")
    writers = [phone() for _ in range(STRANGERS)]

    async def write(number: str) -> None:
        assert await world.carrier.text(number, world.ours, "Hey") == 200

    await both(
        configuration,
        first["interactionId"],
        write(world.phone),
        [write(number) for number in writers],
    )
    thread = await world.tenant.call("GET", f"/interactions/{first['interactionId']}")
    assert [entry["message"] for entry in thread["transcript"]] == ["One", "Hey"]
    listed = await world.tenant.call("GET", "/interactions?limit=100")
    assert len(listed["interactions"]) == STRANGERS + 1


async def test_texts_to_and_from_a_lead_keep_the_order_in_which_they_came(
    idle_world: World, resources: Resources
) -> None:
    world = idle_world
    sends, posts = (
        build_send_batcher(resources.database),
        webhooks.build_post_batcher(resources.database),
    )
    leads = [world.lead, *[await world.tenant.lead(phone=phone()) for _ in range(STRANGERS)]]
    account = Account(
        tenant_id=world.tenant.tenant_id, account_id=world.account["accountId"],
        provider="simulator", credentials={}, base_url=None,
    )  # fmt: skip

    def order(lead: Data, text: str) -> Order:
        return Order(
            tenant_id=world.tenant.tenant_id, message_id=make("msg"), thread_id=make("int"),
            lead_id=lead["leadId"], text=text, source="api", actor="test",
        )  # fmt: skip

    def post(lead: Data, text: str) -> InboundPost:
        return InboundPost(account, [InboundText(make("evt"), lead["phone"], world.ours, text)])

    to, back = [f"To {n}" for n in range(10)], [f"Back {n}" for n in range(10)]
    await asyncio.gather(*(sends.submit(order(lead, text)) for text in to for lead in leads))
    await asyncio.gather(*(posts.submit(post(lead, text)) for text in back for lead in leads))
    for lead in leads:
        path = f"/interactions/lead/{lead['leadId']}"
        [thread] = (await world.tenant.call("GET", path))["interactions"]
        assert [entry["message"] for entry in thread["transcript"]] == [*to, *back]


@pytest.mark.parametrize("word", ["STOP", "Please stop texting me", "HELP"])
async def test_a_word_that_must_be_obeyed_goes_by_itself(idle_world: World, word: str) -> None:
    world = idle_world
    others = [phone() for _ in range(20)]
    statuses = await asyncio.gather(
        *(world.carrier.text(number, world.ours, "Hey") for number in others),
        world.carrier.text(world.phone, world.ours, word),
    )
    assert set(statuses) == {200}
    consent = await world.tenant.call("GET", f"/consent/{world.phone}")
    assert consent["suppressed"] is (word != "HELP")
    assert len(consent["events"]) == 1


async def texts_of(world: World, count: int) -> list[str]:
    """Ids of texts to as many strangers."""
    leads = [await world.tenant.lead(phone=phone()) for _ in range(count)]
    sent = [await world.tenant.call("POST", "/sms/send", {"leadId": lead["leadId"], "message": "Hi"}) for lead in leads]
    return [one["messageId"] for one in sent]


async def report(world: World, message_id: str, word: str, **more: str) -> None:
    """The carrier says it of the text, through the world's account."""
    url = f"{world.account['webhooks']['status']}?message={message_id}"
    body = {"type": "status", "id": f"sim-{message_id}", "status": word} | more
    assert await world.carrier.known.post_webhook(url, body) == 200


async def status_of(tenant: Tenant, message_id: str) -> str:
    return str((await tenant.call("GET", f"/messages/{message_id}"))["status"])


async def test_a_held_text_delays_no_other_texts_receipts(idle_world: World, configuration: Settings) -> None:
    mine, *others = await texts_of(idle_world, STRANGERS)
    await both(
        configuration, mine, report(idle_world, mine, "delivered"),
        [report(idle_world, message_id, "delivered") for message_id in others],
    )  # fmt: skip
    statuses = {await status_of(idle_world.tenant, one) for one in (mine, *others)}
    assert statuses == {"delivered"}


async def test_receipts_that_come_together_move_each_text_forward_alone(
    idle_world: World,
) -> None:
    texts = await texts_of(idle_world, 20)
    words = ["delivered", "sent", "failed", "sent"]
    await asyncio.gather(
        *(report(idle_world, one, words[n % 4]) for n, one in enumerate(texts)),
        *(report(idle_world, one, "sent") for one in texts),
    )
    seen = [await status_of(idle_world.tenant, one) for one in texts]
    assert seen == [words[n % 4] for n in range(len(texts))]


async def test_receipts_that_come_together_touch_the_texts_of_their_own_account_alone(
    idle_world: World, other_tenant: Tenant
) -> None:
    world = idle_world
    [ours] = await texts_of(world, 1)
    account = await other_tenant.account("simulator", baseUrl=world.account["baseUrl"])
    await other_tenant.number(providerAccountId=account["accountId"])
    lead = await other_tenant.lead()
    body = {"leadId": lead["leadId"], "message": "Hi"}
    theirs = (await other_tenant.call("POST", "/sms/send", body))["messageId"]

    async def through(status_url: str, message_id: str) -> None:
        said = {"type": "status", "id": f"x-{message_id}", "status": "failed"}
        assert await world.carrier.known.post_webhook(f"{status_url}?message={message_id}", said) == 200

    urls = world.account["webhooks"]["status"], account["webhooks"]["status"]
    await asyncio.gather(through(urls[0], theirs), through(urls[1], ours))
    assert await status_of(world.tenant, ours) == "queued"
    assert await status_of(other_tenant, theirs) == "queued"
    await asyncio.gather(through(urls[0], ours), through(urls[1], theirs))
    assert await status_of(world.tenant, ours) == "failed"
    assert await status_of(other_tenant, theirs) == "failed"


async def test_an_opted_out_code_among_many_receipts_suppresses_its_phone_alone(
    idle_world: World,
) -> None:
    world = idle_world
    stopped, *others = await texts_of(world, 20)
    await asyncio.gather(
        report(world, stopped, "failed", code="opted_out"),
        *(report(world, one, "delivered") for one in others),
    )
    for one in (stopped, *others):
        to = (await world.tenant.call("GET", f"/messages/{one}"))["to"]
        consent = await world.tenant.call("GET", f"/consent/{to}")
        assert consent["suppressed"] is (one == stopped)
