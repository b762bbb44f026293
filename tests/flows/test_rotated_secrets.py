"""Credentials that were replaced: for a day the carrier may still sign with the old ones."""

from datetime import UTC, datetime

import pytest

from app.resources import Resources
from tests.flows.carrier_posts import PROVIDERS, make_credentials, open_line, post_text
from tests.makers import Data, Tenant, phone
from tests.world import World, until

carriers = pytest.mark.parametrize("provider", PROVIDERS)


async def rotate(tenant: Tenant, account: Data) -> dict[str, str]:
    keys = make_credentials(account["provider"])
    await tenant.call("PATCH", f"/provider-accounts/{account['accountId']}", {"credentials": keys})
    return keys


async def make_older(resources: Resources, hours: int) -> None:
    async with resources.database.system_tx() as tx:
        await tx.execute("UPDATE former_credentials SET replaced_at = replaced_at - $1 * interval '1 hour'", hours)


async def is_suppressed(tenant: Tenant, lead: str) -> bool:
    suppressed: bool = (await tenant.call("GET", f"/consent/{lead}"))["suppressed"]
    return suppressed


@carriers
async def test_a_stop_signed_with_the_old_secret_is_obeyed_for_a_day(
    tenant: Tenant, resources: Resources, provider: str
) -> None:
    account, old, number = await open_line(tenant, provider)
    new = await rotate(tenant, account)
    await make_older(resources, 23)
    for keys in (old, new):
        lead = phone()
        assert (await post_text(tenant, account, keys, lead, number, "STOP")).status_code == 200
        assert await is_suppressed(tenant, lead)
    forged = await post_text(tenant, account, make_credentials(provider), phone(), number, "STOP")
    assert forged.status_code == 401


@carriers
async def test_after_a_day_the_old_secret_is_wrong(tenant: Tenant, resources: Resources, provider: str) -> None:
    account, old, number = await open_line(tenant, provider)
    new = await rotate(tenant, account)
    await make_older(resources, 25)
    lead = phone()
    assert (await post_text(tenant, account, old, lead, number, "STOP")).status_code == 401
    assert not await is_suppressed(tenant, lead)
    assert (await post_text(tenant, account, new, lead, number, "STOP")).status_code == 200


async def test_a_secret_that_was_mistyped_in_between_loses_nothing(tenant: Tenant) -> None:
    account, first, number = await open_line(tenant, "twilio")
    assert (await post_text(tenant, account, first, phone(), number, "Hi")).is_success  # fills the cache
    every = [first, *[await rotate(tenant, account) for _ in range(3)]]
    for keys in every:
        assert (await post_text(tenant, account, keys, phone(), number, "Hi")).status_code == 200


async def test_a_change_of_the_name_keeps_nothing(tenant: Tenant, resources: Resources) -> None:
    account, _, _ = await open_line(tenant, "twilio")
    await tenant.call("PATCH", f"/provider-accounts/{account['accountId']}", {"name": "Ours", "active": True})
    async with resources.database.system_tx() as tx:
        assert await tx.fetch_value("SELECT count(*) FROM former_credentials") == 0


async def test_former_credentials_that_cannot_be_opened_disturb_nobody(tenant: Tenant, resources: Resources) -> None:
    account, _, number = await open_line(tenant, "twilio")
    new = await rotate(tenant, account)
    async with resources.database.system_tx() as tx:
        await tx.execute("UPDATE former_credentials SET credentials = '\\x00'")
    assert (await post_text(tenant, account, new, phone(), number, "Hi")).status_code == 200
    forged = await post_text(tenant, account, make_credentials("twilio"), phone(), number, "Hi")
    assert forged.status_code == 401


async def test_a_removed_account_takes_its_former_credentials_along(tenant: Tenant, resources: Resources) -> None:
    account = await tenant.account("twilio")
    await rotate(tenant, account)
    await tenant.call("DELETE", f"/provider-accounts/{account['accountId']}")
    async with resources.database.system_tx() as tx:
        assert await tx.fetch_value("SELECT count(*) FROM former_credentials") == 0


async def refuse(world: World, times: int) -> None:
    """Webhooks come with a signature that is not the account's."""
    for _ in range(times):
        answer = await post_text(
            world.tenant, world.account, {"secret": "nobody's"}, phone(), world.ours, "Hi"
        )  # fmt: skip
        assert answer.status_code == 401


async def test_after_a_run_of_refused_webhooks_the_record_is_read(world: World) -> None:
    """The carrier took a STOP, and its webhook was refused."""
    lead = phone()
    text = {"type": "inbound", "id": "in-lost", "from": lead, "to": world.ours, "text": "STOP", "media": [],
            "sentAt": datetime.now(UTC).isoformat()}  # fmt: skip
    world.carrier.known.lead_texts.append(text)
    await refuse(world, 2)
    assert (await account_of(world))["missedTexts"] is None
    await refuse(world, 1)

    async def obeyed() -> bool:
        return await is_suppressed(world.tenant, lead)

    await until(obeyed)

    async def settled() -> bool:
        return (await account_of(world))["missedTexts"] is None

    await until(settled)


async def test_who_forges_webhooks_stops_no_text_and_makes_us_ask_the_carrier_rarely(
    world: World, resources: Resources
) -> None:
    await refuse(world, 3)

    async def settled() -> bool:
        return (await account_of(world))["missedTexts"] is None

    await until(settled)
    await refuse(world, 9)
    async with resources.database.system_tx() as tx:
        wait = await tx.fetch_value("SELECT max(fetch_at) - clock_timestamp() FROM provider_accounts")
    assert 20 < wait.total_seconds() <= 30
    await world.status_is((await world.send())["messageId"], "delivered")


async def account_of(world: World) -> Data:
    return await world.tenant.call("GET", f"/provider-accounts/{world.account['accountId']}")
