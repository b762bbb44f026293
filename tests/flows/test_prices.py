"""What texts cost: carriers tell it early, late, again, or without a new status; it is kept and counted."""

from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from app.commands.receipts import ReceiptReport, apply_reports
from app.domain.carriage import Account, Price, Receipt
from app.jobs.deliver import RATES
from app.jobs.prices import PriceFetcher
from app.resources import Resources
from app.store import outbox, text_settling
from app.store.text_settling import Settlement
from tests.flows.figure_history import count_now
from tests.flows.test_lost_answers import MESSAGES
from tests.makers import Data
from tests.world import World, agent, carrier, idle_world, served, until, working, world

__all__ = ["agent", "carrier", "idle_world", "working", "world"]
CHEAP, DEAR = Price(Decimal("0.0079"), "USD"), Price(Decimal("0.0083"), "USD")


async def get_price(resources: Resources, text: Data) -> tuple[Decimal | None, str | None]:
    async with resources.database.system_tx() as tx:
        [row] = await tx.fetch_rows("SELECT price, currency FROM messages WHERE message_id = $1", text["messageId"])
    return row["price"], row["currency"]


async def get_costs(world: World, resources: Resources) -> Data:
    await count_now(resources)
    [whole] = (await world.tenant.call("GET", "/figures"))["figures"]
    costs: Data = whole["costs"]
    return costs


async def test_the_price_of_a_text_that_arrived_is_kept_and_counted(world: World, resources: Resources) -> None:
    text = await world.send()

    async def is_priced() -> bool:
        return await get_price(resources, text) == (Decimal("0.0079"), "USD")

    await until(is_priced)
    assert await get_costs(world, resources) == {
        "texts": {"USD": 0.0079}, "threads": {"USD": 0.0079}, "perReply": {}, "perQualified": {},
    }  # fmt: skip


async def test_a_price_may_come_before_its_text_is_known_and_after_its_last_status(
    idle_world: World, resources: Resources
) -> None:
    text = await idle_world.send()
    key = idle_world.tenant.tenant_id, text["messageId"]
    async with resources.database.system_tx() as tx:
        [claimed] = await outbox.claim(tx, "a lease", 1, RATES)
    account = Account(claimed.tenant_id, claimed.account_id, "simulator", {})
    receipt = Receipt("theirs", "sent", price=CHEAP)

    async def report(*receipts: Receipt) -> None:
        async with resources.database.system_tx() as tx:
            await apply_reports(tx, [ReceiptReport(account, receipts)])

    await report(receipt)
    assert await get_price(resources, text) == (None, None), "nobody knows yet whose it is"
    async with resources.database.system_tx() as tx:
        settlement = Settlement(*key, "sent", provider_message_id="theirs", outcome="accepted")
        await text_settling.settle(tx, "a lease", [settlement])
    assert await get_price(resources, text) == (CHEAP.amount, "USD")
    assert (await get_costs(idle_world, resources))["texts"] == {"USD": 0.0079}
    # Told otherwise with the same status, beside one of a higher rank that does not tell it.
    await report(replace(receipt, price=DEAR), Receipt("theirs", "delivered"))
    assert await get_price(resources, text) == (DEAR.amount, "USD")
    await report(replace(receipt, price=CHEAP))
    assert (await get_costs(idle_world, resources))["texts"] == {"USD": 0.0079}
    async with resources.database.system_tx() as tx:
        count = await tx.fetch_value("SELECT count(*) FROM tenant_events WHERE tenant_id = $1", key[0])
    feed = (await idle_world.tenant.call("GET", "/events?wait=0"))["events"]
    told = [(event["type"], event["data"]["status"]) for event in feed if "messageId" in event["data"]]
    assert told[-2:] == [("receipt", "sent"), ("receipt", "delivered")], "a price alone is no receipt"
    await report(replace(receipt, price=CHEAP), Receipt("theirs", "delivered"))
    async with resources.database.system_tx() as tx:
        assert await tx.fetch_value("SELECT count(*) FROM tenant_events WHERE tenant_id = $1", key[0]) == count
    assert (await get_costs(idle_world, resources))["texts"] == {"USD": 0.0079}


async def test_prices_that_stand_only_in_the_carriers_record_are_fetched(
    idle_world: World, resources: Resources
) -> None:
    listed: list[Data] = []
    asked: list[str] = []

    async def list_texts(request: Request) -> JSONResponse:
        asked.append(str(request.url))
        if len(listed) < 2:
            return JSONResponse({}, 500)
        is_first = "Page=1" not in asked[-1]
        if not is_first and len(asked) == 3:
            return JSONResponse({}, 404)
        more = f"{MESSAGES}?PageSize=1000&Page=1\0" if is_first else None
        return JSONResponse({"messages": listed[:1] if is_first else listed[1:], "next_page_uri": more})

    async with served(Starlette(routes=[Route(MESSAGES, list_texts)])) as url:
        account = await idle_world.tenant.account("twilio", baseUrl=url)
        number = await idle_world.tenant.number(providerAccountId=account["accountId"])
        text = await idle_world.send(**{"from": number["phoneNumber"]})
        fetcher = PriceFetcher(resources.database, resources.wire, resources.seal)

        async def be_due() -> None:
            async with resources.database.system_tx() as tx:
                await tx.execute("UPDATE price_fetches SET due_at = clock_timestamp()")

        async def get_since() -> datetime:
            async with resources.database.system_tx() as tx:
                since: datetime = await tx.fetch_value("SELECT since FROM price_fetches")
            return since

        async def fetch(must_stop: bool = False) -> bool:
            return await fetcher.fetch_due(lambda: must_stop)

        async with resources.database.system_tx() as tx:
            await tx.execute(
                "UPDATE messages SET status = 'delivered', provider_message_id = 'SM1' WHERE message_id = $1",
                text["messageId"],
            )
        assert not await fetch(), "a new account has no prices yet"
        await be_due()
        assert await fetch()
        assert await get_price(resources, text) == (None, None), "the carrier was down"
        sent = {"direction": "outbound-api", "price_unit": "USD"}
        listed += [
            {**sent, "sid": "SM1", "price": "-0.00830"}, {**sent, "sid": "SM2", "price": "-0.5"},
            {**sent, "sid": "SM3", "price": None}, {**sent, "sid": "SM1", "direction": "inbound", "price": "-0.1"},
        ]  # fmt: skip
        assert not await fetch(), "it is left alone for some hours"
        await be_due()
        since = await get_since()
        assert await fetch(must_stop=True)
        assert await get_price(resources, text) == (DEAR.amount, "USD")
        assert (len(asked), await get_since()) == (2, since), "a worker that stops reads no other page"
        assert await fetch()
        assert "Page=1" in asked[2], "it went on where it had stopped"
        assert not await fetch()
        await be_due()
        assert await fetch(must_stop=True)
        assert "Page=1" not in asked[3], "what the carrier does not know any more is begun anew"
        assert await get_since() == since
        assert await fetch()
        assert await get_price(resources, text) == (DEAR.amount, "USD")
        assert (await get_costs(idle_world, resources))["texts"] == {"USD": 0.0083}
        assert not await fetch()
        assert (len(asked), await get_since() > since) == (5, True)
