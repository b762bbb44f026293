"""A carrier's receipt says that a lead opted out, and is about a text that is not ours: another system of
the tenant sent it. The recipient opted out all the same."""

import base64
import hmac
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import httpx
import pytest

from tests.flows.test_carriers_words import ACCOUNTS, FORM, KEY
from tests.flows.test_dialects import CREDENTIALS, signed
from tests.makers import Data, Tenant, phone


@dataclass(frozen=True, slots=True)
class Account:
    """An account of the tenant, and a number of ours at it."""

    tenant: Tenant
    provider: str
    hooks: Data
    number: str

    async def receipt(self, to: str, text_id: str = "foreign-1", code: str = "", at: datetime | None = None) -> None:
        """The carrier says that the recipient opted out, or what else the code says."""
        answer = await SIGNED[self.provider](self, to, text_id, code or CODES[self.provider], at or datetime.now(UTC))
        assert answer.is_success

    async def start(self, lead: Data) -> None:
        """The lead opts in again, at Vonage."""
        form = {"msisdn": lead["phone"][1:], "to": self.number[1:], "messageId": f"start-{lead['phone']}",
                "text": "START", "type": "text"}  # fmt: skip
        assert (await self.tenant.http.get(self.hooks["inbound"], params=signed(form))).is_success

    async def consent(self, number: str) -> tuple[list[str], list[str]]:
        record = await self.tenant.call("GET", f"/consent/{number}")
        return record["causes"], [f"{event['event']} {event['rule']} {event['text']}" for event in record["events"]]


async def _twilio(account: Account, to: str, text_id: str, code: str, at: datetime) -> httpx.Response:
    url = account.hooks["status"]
    form = {"MessageSid": text_id, "AccountSid": ACCOUNTS["twilio"]["accountSid"], "To": to,
            "From": account.number, "MessageStatus": "undelivered", "ErrorCode": code}  # fmt: skip
    content = url + "".join(f"{name}{form[name]}" for name in sorted(form))
    mac = hmac.digest(ACCOUNTS["twilio"]["authToken"].encode(), content.encode(), "sha1")
    headers = FORM | {"X-Twilio-Signature": base64.b64encode(mac).decode()}
    return await account.tenant.http.post(url, content=urlencode(form), headers=headers)


async def _telnyx(account: Account, to: str, text_id: str, code: str, at: datetime) -> httpx.Response:
    payload = {"id": text_id, "direction": "outbound", "from": {"phone_number": account.number},
               "to": [{"phone_number": to, "status": "sending_failed"}], "errors": [{"code": code}]}  # fmt: skip
    event = {"event_type": "message.finalized", "occurred_at": at.isoformat(), "payload": payload}
    body = json.dumps({"data": event}).encode()
    stamp = str(int(time.time()))
    headers = {
        "Telnyx-Timestamp": stamp,
        "Telnyx-Signature-Ed25519": base64.b64encode(KEY.sign(f"{stamp}|".encode() + body)).decode(),
    }
    return await account.tenant.http.post(account.hooks["status"], content=body, headers=headers)


async def _plivo(account: Account, to: str, text_id: str, code: str, at: datetime) -> httpx.Response:
    url = account.hooks["status"]
    form = {"MessageUUID": text_id, "From": account.number[1:], "To": to[1:], "Status": "undelivered",
            "ErrorCode": code}  # fmt: skip
    content = url + "?" + "".join(f"{name}{form[name]}" for name in sorted(form)) + ".nonce-1"
    mac = hmac.digest(ACCOUNTS["plivo"]["authToken"].encode(), content.encode(), "sha256")
    headers = FORM | {"X-Plivo-Signature-V3": base64.b64encode(mac).decode(),
                      "X-Plivo-Signature-V3-Nonce": "nonce-1"}  # fmt: skip
    return await account.tenant.http.post(url, content=urlencode(form), headers=headers)


async def _bandwidth(account: Account, to: str, text_id: str, code: str, at: datetime) -> httpx.Response:
    message = {"id": text_id, "owner": account.number, "to": [to], "from": account.number, "direction": "out"}
    body = [{"type": "message-failed", "to": to, "time": at.isoformat(), "errorCode": int(code), "message": message}]
    return await account.tenant.http.post(account.hooks["status"], json=body, auth=("cb", "cb-secret"))


async def _vonage(account: Account, to: str, text_id: str, code: str, at: datetime) -> httpx.Response:
    form = {"msisdn": to[1:], "to": account.number[1:], "messageId": text_id, "status": "rejected",
            "err-code": code, "message-timestamp": f"{at:%Y-%m-%d %H:%M:%S}"}  # fmt: skip
    return await account.tenant.http.get(account.hooks["status"], params=signed(form))


Signed = Callable[[Account, str, str, str, datetime], Awaitable[httpx.Response]]
SIGNED: dict[str, Signed] = {
    "twilio": _twilio, "telnyx": _telnyx, "plivo": _plivo, "bandwidth": _bandwidth, "vonage": _vonage,
}  # fmt: skip
CODES = {"twilio": "21610", "telnyx": "40300", "plivo": "200", "bandwidth": "4775", "vonage": "1240"}
everywhere = pytest.mark.parametrize("provider", sorted(SIGNED))


async def account_at(tenant: Tenant, provider: str) -> Account:
    credentials = ACCOUNTS.get(provider) or CREDENTIALS[provider]
    body = {"provider": provider, "name": provider, "credentials": credentials}
    made = await tenant.call("POST", "/provider-accounts", body)
    number = await tenant.number(providerAccountId=made["accountId"])
    return Account(tenant, provider, made["webhooks"], number["phoneNumber"])


async def send(tenant: Tenant, lead: Data) -> int:
    return (await tenant.ask("POST", "/sms/send", {"leadId": lead["leadId"], "message": "Hi"})).status_code


@everywhere
async def test_a_lead_who_opted_out_from_another_system_is_suppressed(tenant: Tenant, provider: str) -> None:
    account, lead = await account_at(tenant, provider), await tenant.lead()
    for _ in range(2):
        await account.receipt(lead["phone"])
    assert await account.consent(lead["phone"]) == (["lead"], [f"opted_out carrier {CODES[provider]}"])
    assert await send(tenant, lead) == 403


@everywhere
async def test_the_same_receipt_does_not_undo_a_later_opt_in(tenant: Tenant, provider: str) -> None:
    account, lead = await account_at(tenant, provider), await tenant.lead()
    said_at = datetime.now(UTC) - timedelta(seconds=2)
    await account.receipt(lead["phone"], at=said_at)
    vonage = account if provider == "vonage" else await account_at(tenant, "vonage")
    await vonage.start(lead)
    await account.receipt(lead["phone"], at=said_at)
    causes, events = await account.consent(lead["phone"])
    assert (causes, len(events)) == ([], 2)
    await account.receipt(lead["phone"], "foreign-2", at=datetime.now(UTC) + timedelta(seconds=2))
    assert (await account.consent(lead["phone"]))[0] == ["lead"]


@pytest.mark.parametrize("provider", ["telnyx", "bandwidth", "vonage"])
async def test_a_first_receipt_from_before_the_opt_in_is_not_heeded(tenant: Tenant, provider: str) -> None:
    account, lead = await account_at(tenant, provider), await tenant.lead()
    vonage = account if provider == "vonage" else await account_at(tenant, "vonage")
    await vonage.start(lead)
    await account.receipt(lead["phone"], at=datetime.now(UTC) - timedelta(minutes=10))
    causes, events = await account.consent(lead["phone"])
    assert (causes, len(events)) == ([], 1)


@everywhere
async def test_an_unknown_phone_or_another_failure_changes_nothing(
    tenant: Tenant, other_tenant: Tenant, provider: str
) -> None:
    account, lead = await account_at(tenant, provider), await tenant.lead()
    stranger, theirs = phone(), await other_tenant.lead()
    for number in (stranger, theirs["phone"]):
        await account.receipt(number, f"to-{number}")
        assert await account.consent(number) == ([], [])
    await account.receipt(lead["phone"], code="30003" if provider == "twilio" else "4770")
    assert await account.consent(lead["phone"]) == ([], [])
    record = await other_tenant.call("GET", f"/consent/{theirs['phone']}")
    assert record["causes"] == []
