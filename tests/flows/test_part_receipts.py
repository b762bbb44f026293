"""A long text of which one part arrived and another did not: the error stays visible."""

from decimal import Decimal

import httpx
import pytest

from app.resources import Resources
from tests.flows.carrier_posts import open_line, sign_plivo, sign_sinch
from tests.flows.test_dialects import signed
from tests.makers import Data, Tenant

LONG = "A long text. " * 20
FAILED = {"vonage": ("failed", "6"), "plivo": ("undelivered", "30"), "sinch": ("Failed", "408")}
DELIVERED = {"vonage": ("delivered", "0"), "plivo": ("delivered", ""), "sinch": ("Delivered", "0")}


class Line:
    """A text of ours on its way, and the receipts of its parts."""

    def __init__(self, tenant: Tenant, account: Data, keys: dict[str, str], sent: Data) -> None:
        self.tenant, self.account, self.keys, self.sent = tenant, account, keys, sent

    async def report(self, part: int, outcome: tuple[str, str]) -> None:
        answer = await getattr(self, f"_{self.account['provider']}")(part, *outcome)
        assert answer.is_success, answer.text

    async def message(self) -> Data:
        return await self.tenant.call("GET", f"/messages/{self.sent['messageId']}")

    async def _vonage(self, part: int, status: str, code: str) -> httpx.Response:
        said = {"msisdn": self.sent["to"][1:], "to": self.sent["from"][1:], "messageId": f"dlr-{part}",
                "status": status, "err-code": code, "client-ref": self.sent["messageId"],
                "price": "0.01"}  # fmt: skip
        keyed = signed(said, self.keys["signatureSecret"])
        return await self.tenant.http.get(self.account["webhooks"]["status"], params=keyed)

    async def _plivo(self, part: int, status: str, code: str) -> httpx.Response:
        url = f"{self.account['webhooks']['status']}?message={self.sent['messageId']}"
        form = {"MessageUUID": f"p-{part}", "ParentMessageUUID": "p-1", "Status": status, "ErrorCode": code,
                "Units": "2", "PartInfo": f"{part} of 2", "To": self.sent["to"][1:],
                "TotalAmount": "0.007"}  # fmt: skip
        body, headers = sign_plivo(self.keys, url, form)
        return await self.tenant.http.post(url, content=body, headers=headers)

    async def report_batch(self, *outcomes: tuple[str, str]) -> None:
        """Sinch reports a whole batch: how many parts have which status."""
        statuses = [{"code": int(code), "status": status, "count": 1} for status, code in outcomes]
        said = {"type": "delivery_report_sms", "batch_id": "b-1", "client_reference": self.sent["messageId"],
                "statuses": statuses, "total_message_count": 2}  # fmt: skip
        body, headers = sign_sinch(self.keys, said)
        answer = await self.tenant.http.post(self.account["webhooks"]["status"], content=body, headers=headers)
        assert answer.is_success


async def open_text(tenant: Tenant, provider: str, text: str = LONG) -> Line:
    account, keys, number = await open_line(tenant, provider)
    lead = await tenant.lead()
    body = {"leadId": lead["leadId"], "message": text, "from": number}
    return Line(tenant, account, keys, await tenant.call("POST", "/sms/send", body))


PRICES = {"plivo": (Decimal("0.007"), "USD"), "vonage": (Decimal("0.02"), "EUR")}
"""Of both parts: Plivo tells that of the text, Vonage that of a part."""
by_parts = pytest.mark.parametrize("provider", ["plivo", "vonage"])


@by_parts
@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
async def test_the_error_of_one_part_stays_visible(
    tenant: Tenant, provider: str, order: tuple[int, int], resources: Resources
) -> None:
    line = await open_text(tenant, provider)
    for part in (*order, *order):  # receipts come twice
        await line.report(part, DELIVERED[provider] if part == 1 else FAILED[provider])
    message = await line.message()
    assert (message["status"], message["errorCode"]) == ("delivered", FAILED[provider][1])
    assert message["errorMessage"].startswith("Delivered in part: ")
    async with resources.database.system_tx() as tx:
        [row] = await tx.fetch_rows("SELECT price, currency FROM messages WHERE message_id = $1", message["messageId"])
    assert tuple(row.values()) == PRICES[provider]
    thread = await tenant.call("GET", f"/interactions/{line.sent['interactionId']}")
    assert thread["transcript"][-1]["status"] == "delivered"


@by_parts
async def test_a_part_that_arrives_after_all_leaves_no_error(tenant: Tenant, provider: str) -> None:
    line = await open_text(tenant, provider)
    await line.report(1, DELIVERED[provider])
    await line.report(2, FAILED[provider])
    await line.report(2, DELIVERED[provider])
    await line.report(2, FAILED[provider])  # an old one
    message = await line.message()
    assert (message["status"], message["errorCode"], message["errorMessage"]) == ("delivered", None, None)


@by_parts
async def test_a_text_of_which_no_part_arrives_is_undelivered(tenant: Tenant, provider: str) -> None:
    line = await open_text(tenant, provider)
    for part in (1, 2):
        await line.report(part, FAILED[provider])
    message = await line.message()
    assert (message["status"], message["errorCode"]) == ("undelivered", FAILED[provider][1])
    assert not message["errorMessage"].startswith("Delivered")


@by_parts
async def test_a_text_of_one_part_is_delivered_after_a_failure(tenant: Tenant, provider: str) -> None:
    line = await open_text(tenant, provider, "Short")
    await line.report(1, FAILED[provider])
    await line.report(1, DELIVERED[provider])
    message = await line.message()
    assert (message["status"], message["errorCode"]) == ("delivered", None)


@pytest.mark.parametrize("first", [0, 1])
async def test_a_batch_report_of_two_outcomes_keeps_the_error(tenant: Tenant, first: int) -> None:
    line = await open_text(tenant, "sinch")
    outcomes = [DELIVERED["sinch"], FAILED["sinch"]]
    await line.report_batch(outcomes[first], outcomes[1 - first])
    message = await line.message()
    assert (message["status"], message["errorCode"]) == ("delivered", "408")
    assert message["errorMessage"].startswith("Delivered in part: ")
