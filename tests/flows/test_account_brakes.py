"""A carrier that refuses the account itself: suspended, out of credit, wrong credentials. The texts wait
within their validity, one is tried now and then, and they leave when the carrier takes texts again."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from app.operations.doctor import examine_all
from app.resources import Resources
from app.settings import Settings
from tests.flows.carrier_posts import open_line
from tests.makers import Data, Tenant
from tests.world import World, served, until

TYPE = "https://developer.vonage.com/api-errors#"
REFUSALS: dict[str, tuple[str, int, Data]] = {
    "twilio, wrong token": ("twilio", 401, {"code": 20003, "message": "Authenticate"}),
    "twilio, suspended": ("twilio", 403, {"code": 20005, "message": "Account not active"}),
    "twilio, disabled": ("twilio", 403, {"code": 10001, "message": "Account is not active"}),
    "twilio, without a code": ("twilio", 401, {}),
    "vonage, credentials": ("vonage", 401, {"type": f"{TYPE}unauthorized", "title": "Unauthorized"}),
    "vonage, low balance": ("vonage", 402, {"type": f"{TYPE}low-balance", "title": "Low balance"}),
    "vonage, barred": ("vonage", 403, {"type": f"{TYPE}1060", "title": "Barred"}),
    "telnyx, key": ("telnyx", 401, {"errors": [{"code": "10009", "title": "Authentication failed"}]}),
    "telnyx, payment": ("telnyx", 402, {}),
    "plivo, token": ("plivo", 401, {"error": "Authentication Failed"}),
    "plivo, credit": ("plivo", 402, {"error": "insufficient credit"}),
    "bandwidth, forbidden": ("bandwidth", 403, {"type": "forbidden", "description": "no"}),
    "sinch, token": ("sinch", 401, {}),
    "sinch, credit": ("sinch", 402, {}),
}  # fmt: skip
TAKEN: dict[str, Data] = {
    "twilio": {"sid": "SM1"}, "vonage": {"message_uuid": "u-1"}, "telnyx": {"data": {"id": "t-1"}},
    "plivo": {"message_uuid": ["p-1"]}, "bandwidth": {"id": "b-1"}, "sinch": {"id": "s-1"},
}  # fmt: skip


@dataclass(slots=True)
class Vendor:
    """A carrier that refuses the account, until it does not."""

    url: str = ""
    refusal: tuple[int, Data] | None = None
    taken: Data = field(default_factory=dict)
    sends: int = 0

    async def take(self, request: Request) -> Response:
        self.sends += request.method == "POST"
        status, body = self.refusal or (202, self.taken)
        return JSONResponse(body, status)


@pytest.fixture
async def vendor() -> AsyncIterator[Vendor]:
    twin = Vendor()
    async with served(Starlette(routes=[Route("/{path:path}", twin.take, methods=["GET", "POST"])])) as url:
        twin.url = url
        yield twin


async def account_of(tenant: Tenant, account_id: str) -> Data:
    return await tenant.call("GET", f"/provider-accounts/{account_id}")


async def paused(tenant: Tenant, account_id: str, is_paused: bool = True) -> Data:
    async def look() -> Data | None:
        account = await account_of(tenant, account_id)
        return account if bool(account["pausedAt"]) is is_paused else None

    return await until(look)


async def make_due(resources: Resources) -> None:
    """Time passes until the next try."""
    async with resources.database.system_tx() as tx:
        await tx.execute("UPDATE provider_accounts SET resumes_at = clock_timestamp() WHERE paused_at IS NOT NULL")


@pytest.mark.usefixtures("working")
@pytest.mark.parametrize("case", REFUSALS)
async def test_texts_wait_while_the_carrier_refuses_the_account(
    tenant: Tenant, resources: Resources, vendor: Vendor, case: str
) -> None:
    provider, *refusal = REFUSALS[case]
    vendor.refusal, vendor.taken = (refusal[0], refusal[1]), TAKEN[provider]  # type: ignore[assignment]
    account, _, number = await open_line(tenant, provider, baseUrl=vendor.url)
    leads = [await tenant.lead() for _ in range(3)]
    body = {"message": "Hi", "from": number}
    sent = [await tenant.call("POST", "/sms/send", body | {"leadId": lead["leadId"]}) for lead in leads]
    shown = await paused(tenant, account["accountId"])
    assert shown["pausedReason"]
    assert shown["resumesAt"]
    for text in sent:
        message = await tenant.call("GET", f"/messages/{text['messageId']}")
        assert message["status"] in ("queued", "sending")
    vendor.refusal = None
    await make_due(resources)
    for text in sent:

        async def left(message_id: str = text["messageId"]) -> bool:
            message = await tenant.call("GET", f"/messages/{message_id}")
            return message["status"] == "sent" and message["errorCode"] is None

        await until(left)
    assert (await account_of(tenant, account["accountId"]))["pausedAt"] is None


async def test_a_paused_account_is_tried_with_one_text_and_rests_longer_each_time(
    world: World, resources: Resources
) -> None:
    account_id, carrier = world.account["accountId"], world.carrier.known
    other = await world.tenant.number(providerAccountId=account_id)
    carrier.is_suspended = True
    for sender in (world.ours, other["phoneNumber"]):
        for _ in range(4):
            await world.send(**{"from": sender})
    await paused(world.tenant, account_id)

    async def requests() -> int:
        async with resources.database.system_tx() as tx:
            return int(await tx.fetch_value("SELECT count(*) FROM attempts"))

    async def waits() -> float:
        async with resources.database.system_tx() as tx:
            wait = await tx.fetch_value("SELECT max(resumes_at) - clock_timestamp() FROM provider_accounts")
            pauses = await tx.fetch_value("SELECT max(pauses) FROM provider_accounts")
        return wait.total_seconds() / 2 ** (pauses - 1)  # type: ignore[no-any-return]

    async def settled() -> bool:
        async with resources.database.system_tx() as tx:
            return bool(await tx.fetch_value("SELECT count(*) = 8 FROM outbox WHERE state = 'queued'"))

    await until(settled)
    for _ in range(3):
        before = await requests()
        await make_due(resources)

        async def tried(count: int = before + 1) -> bool:
            return await requests() >= count

        await until(tried)
        await until(settled)
        assert await requests() == before + 1
        assert 3 < await waits() <= 5
    carrier.is_suspended = False
    await make_due(resources)

    async def all_left() -> bool:
        return len(world.carrier.received(world.phone)) == 8

    await until(all_left)


async def test_a_text_fails_only_when_its_validity_is_over(world: World, resources: Resources) -> None:
    world.carrier.known.is_suspended = True
    sent = await world.send()
    await paused(world.tenant, world.account["accountId"])

    async def waiting() -> Data | None:
        message = await world.tenant.call("GET", f"/messages/{sent['messageId']}")
        return message if message["status"] == "queued" and message["errorCode"] else None

    message = await until(waiting)
    assert (message["errorCode"], message["heldReason"]) == (
        "suspended", "the account is paused: The carrier suspended the account. Ask the carrier why."
    )  # fmt: skip
    async with resources.database.system_tx() as tx:
        await tx.execute("UPDATE outbox SET expires_at = clock_timestamp()")
    await make_due(resources)
    assert (await world.status_is(sent["messageId"], "failed"))["errorCode"] == "EXPIRED"


async def test_new_credentials_release_the_account_at_once(world: World) -> None:
    path = f"/provider-accounts/{world.account['accountId']}"
    await world.tenant.call("PATCH", path, {"credentials": {"secret": "a wrong one"}})
    sent = await world.send()
    await paused(world.tenant, world.account["accountId"])
    await world.tenant.call("PATCH", path, {"credentials": {"secret": "simulator-secret-1"}})
    assert (await account_of(world.tenant, world.account["accountId"]))["pausedAt"] is None
    await world.status_is(sent["messageId"], "delivered")


async def test_a_refusal_of_the_text_pauses_nothing(world: World) -> None:
    for digits in ("0001", "0004", "0005"):
        lead = await world.tenant.lead(phone=f"+1212555{digits}")
        sent = await world.tenant.call("POST", "/sms/send", {"leadId": lead["leadId"], "message": "Hi"})
        await world.status_is(sent["messageId"], "failed")
    assert (await account_of(world.tenant, world.account["accountId"]))["pausedAt"] is None


async def test_a_paused_account_stops_no_other(world: World) -> None:
    world.carrier.known.is_suspended = True
    await world.send()
    await paused(world.tenant, world.account["accountId"])
    world.carrier.known.is_suspended = False
    other = await world.tenant.account("simulator", baseUrl=world.carrier.url)
    number = await world.tenant.number(providerAccountId=other["accountId"])
    lead = await world.tenant.lead()
    body = {"leadId": lead["leadId"], "message": "Hi", "from": number["phoneNumber"]}
    await world.status_is((await world.tenant.call("POST", "/sms/send", body))["messageId"], "delivered")


async def test_a_paused_account_is_told_to_all_who_look(
    world: World, resources: Resources, configuration: Settings
) -> None:
    world.carrier.known.is_suspended = True
    await world.send()
    await paused(world.tenant, world.account["accountId"])
    findings = [str(finding) async for finding in examine_all(configuration, ask_vendors=False)]
    assert any("sends nothing since" in finding and "suspended the account" in finding for finding in findings)
    metrics = (await world.tenant.http.get("/metrics")).text
    assert 'leadsail_paused_accounts{provider="simulator"} 1.0' in metrics
