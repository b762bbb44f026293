"""What carriers themselves say of a lead's text, through their signed webhooks: it decides like a
word, and who answered it is not answered twice."""

import base64
import hmac
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import count
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.makers import CREDENTIALS, Data, Tenant, phone
from tests.world import World

KEY = Ed25519PrivateKey.generate()
PUBLIC = base64.b64encode(KEY.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()
ACCOUNTS = {
    "twilio": CREDENTIALS["twilio"],
    "telnyx": {"apiKey": "KEY1", "publicKey": PUBLIC},
    "plivo": {"authId": "MA1", "authToken": "plivo-token"},
    "bandwidth": {
        "accountId": "5500123", "applicationId": "app-1", "username": "u", "password": "p",
        "callbackUsername": "cb", "callbackPassword": "cb-secret",
    },
}  # fmt: skip
VERDICTS = {
    "twilio": {"stop": "STOP", "start": "START", "help": "HELP"},
    "telnyx": {"stop": "STOP", "start": "START", "help": "HELP"},
    "plivo": {"stop": "optout", "start": "optin", "help": "help"},
}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
_ids = count(1)


@dataclass(frozen=True, slots=True)
class Line:
    """A number of ours at a carrier, and a lead who writes to it."""

    tenant: Tenant
    provider: str
    url: str
    number: str
    lead: Data

    @property
    def phone(self) -> str:
        number: str = self.lead["phone"]
        return number

    async def text(self, text: str, verdict: str | None = None) -> None:
        """The lead writes; the carrier says what it took it for."""
        answer = await SIGNED[self.provider](self, f"in-{next(_ids)}", text, verdict)
        assert answer.is_success

    async def consent(self) -> Data:
        return await self.tenant.call("GET", f"/consent/{self.phone}")

    async def entries(self) -> list[Data]:
        path = f"/interactions/lead/{self.lead['leadId']}"
        threads = (await self.tenant.call("GET", path))["interactions"]
        return [entry for thread in threads for entry in thread["transcript"]]

    async def answers(self) -> list[str]:
        """What we ourselves answered."""
        return [e["message"] for e in await self.entries() if e["source"] == "system"]

    async def send(self) -> int:
        body = {"leadId": self.lead["leadId"], "message": "Hi"}
        return (await self.tenant.ask("POST", "/sms/send", body)).status_code


async def _twilio(line: Line, text_id: str, text: str, verdict: str | None) -> httpx.Response:
    form = {"MessageSid": text_id, "AccountSid": ACCOUNTS["twilio"]["accountSid"],
            "From": line.phone, "To": line.number, "Body": text, "NumMedia": "0"}  # fmt: skip
    form |= {} if verdict is None else {"OptOutType": verdict}
    said = line.url + "".join(f"{name}{form[name]}" for name in sorted(form))
    mac = hmac.digest(ACCOUNTS["twilio"]["authToken"].encode(), said.encode(), "sha1")
    headers = FORM | {"X-Twilio-Signature": base64.b64encode(mac).decode()}
    return await line.tenant.http.post(line.url, content=urlencode(form), headers=headers)


async def _telnyx(line: Line, text_id: str, text: str, verdict: str | None) -> httpx.Response:
    payload = {"id": text_id, "direction": "inbound", "type": "SMS", "text": text, "media": [],
               "from": {"phone_number": line.phone}, "autoresponse_type": verdict,
               "to": [{"phone_number": line.number, "status": "webhook_delivered"}]}  # fmt: skip
    body = json.dumps({"data": {"event_type": "message.received", "payload": payload}}).encode()
    stamp = str(int(time.time()))
    headers = {
        "Telnyx-Timestamp": stamp,
        "Telnyx-Signature-Ed25519": base64.b64encode(KEY.sign(f"{stamp}|".encode() + body)).decode(),
    }
    return await line.tenant.http.post(line.url, content=body, headers=headers)


async def _plivo(line: Line, text_id: str, text: str, verdict: str | None) -> httpx.Response:
    form = {"MessageUUID": text_id, "From": line.phone[1:], "To": line.number[1:], "Type": "sms",
            "Text": text, "MessageIntent": verdict or ""}  # fmt: skip
    said = line.url + "?" + "".join(f"{name}{form[name]}" for name in sorted(form)) + ".nonce-1"
    mac = hmac.digest(ACCOUNTS["plivo"]["authToken"].encode(), said.encode(), "sha256")
    headers = FORM | {"X-Plivo-Signature-V3": base64.b64encode(mac).decode(),
                      "X-Plivo-Signature-V3-Nonce": "nonce-1"}  # fmt: skip
    return await line.tenant.http.post(line.url, content=urlencode(form), headers=headers)


async def _bandwidth(line: Line, text_id: str, text: str, verdict: str | None) -> httpx.Response:
    message = {"id": text_id, "owner": line.number, "to": [line.number], "from": line.phone,
               "text": text, "direction": "in", "time": "2026-11-24T12:00:00Z"}  # fmt: skip
    body = [{"type": "message-received", "to": line.number, "message": message}]
    return await line.tenant.http.post(line.url, json=body, auth=("cb", "cb-secret"))


Signed = Callable[[Line, str, str, str | None], Awaitable[httpx.Response]]
SIGNED: dict[str, Signed] = {
    "twilio": _twilio, "telnyx": _telnyx, "plivo": _plivo, "bandwidth": _bandwidth,
}  # fmt: skip


async def line_at(tenant: Tenant, provider: str, **lead: Any) -> Line:
    body = {"provider": provider, "name": provider, "credentials": ACCOUNTS[provider]}
    account = await tenant.call("POST", "/provider-accounts", body)
    number = await tenant.number(providerAccountId=account["accountId"])
    made = await tenant.lead(**lead)
    return Line(tenant, provider, account["webhooks"]["inbound"], number["phoneNumber"], made)


judging = pytest.mark.parametrize("provider", sorted(VERDICTS))


@judging
@pytest.mark.parametrize("text", ["PAUSE", "Basta ya de esto", "", "can you stop by at 5?"])
async def test_a_stop_by_the_carrier_is_one_whatever_the_words_say(tenant: Tenant, provider: str, text: str) -> None:
    line = await line_at(tenant, provider)
    await line.text(text, VERDICTS[provider]["stop"])
    told = await line.consent()
    assert told["causes"] == ["lead"]
    [event] = told["events"]
    assert (event["event"], event["rule"], event["text"]) == ("opted_out", "carrier", text)
    assert await line.send() == 403
    assert await line.answers() == []


@judging
@pytest.mark.parametrize("text", ["JOIN", "Yes", "count me in again"])
async def test_a_start_by_the_carrier_lifts_what_the_lead_asked_for(tenant: Tenant, provider: str, text: str) -> None:
    line = await line_at(tenant, provider)
    await line.text("STOP")
    assert await line.send() == 403
    await line.text(text, VERDICTS[provider]["start"])
    told = await line.consent()
    assert told["causes"] == []
    rule = "word" if (provider, text) == ("twilio", "Yes") else "carrier"
    assert (told["events"][-1]["event"], told["events"][-1]["rule"]) == ("opted_in", rule)
    assert await line.send() == 202


@judging
async def test_a_start_by_the_carrier_lifts_no_cause_of_a_person(tenant: Tenant, provider: str) -> None:
    line = await line_at(tenant, provider)
    await tenant.call("POST", "/suppressions", {"phones": [line.phone], "reason": "asked by phone"})
    await line.text("JOIN", VERDICTS[provider]["start"])
    assert (await line.consent())["causes"] == ["person"]


@judging
async def test_a_help_by_the_carrier_is_answered_by_the_carrier(tenant: Tenant, provider: str) -> None:
    line = await line_at(tenant, provider)
    await line.text("RATES", VERDICTS[provider]["help"])
    assert await line.answers() == []
    assert [event["event"] for event in (await line.consent())["events"]] == ["help"]
    assert await line.send() == 202


@pytest.mark.parametrize(
    ("text", "verdict", "causes", "answers"),
    [
        ("STOP", "START", ["lead"], 1),  # the carrier confirmed something else
        ("please stop texting me", "HELP", ["lead"], 1),
        ("START", "STOP", ["lead"], 0),
        ("HELP", "STOP", ["lead"], 0),
        ("STOP", "STOP", ["lead"], 0),
    ],
)
async def test_where_word_and_carrier_disagree_the_stricter_wins(
    tenant: Tenant, text: str, verdict: str, causes: list[str], answers: int
) -> None:
    line = await line_at(tenant, "twilio")
    await line.text(text, verdict)
    assert (await line.consent())["causes"] == causes
    assert len(await line.answers()) == answers


@pytest.mark.parametrize(("text", "verdict"), [("START", "HELP"), ("HELP", "START")])
async def test_either_the_word_or_the_carrier_makes_a_start(tenant: Tenant, text: str, verdict: str) -> None:
    line = await line_at(tenant, "twilio")
    await line.text("STOP")
    await line.text(text, verdict)
    assert (await line.consent())["causes"] == []


@judging
@pytest.mark.parametrize("form", [str.lower, str.upper, str.title, " {} ".format])
async def test_the_carriers_verdict_is_read_in_any_case(
    tenant: Tenant, provider: str, form: Callable[[str], str]
) -> None:
    line = await line_at(tenant, provider)
    await line.text("PAUSE", form(VERDICTS[provider]["stop"]))
    assert (await line.consent())["causes"] == ["lead"]


@judging
@pytest.mark.parametrize("verdict", ["", " ", "NONE", "STOPPED", "0"])
async def test_a_verdict_that_nobody_knows_says_nothing(tenant: Tenant, provider: str, verdict: str) -> None:
    line = await line_at(tenant, provider)
    await line.text("PAUSE", verdict)
    assert (await line.consent()) | {"phone": ""} == {
        "phone": "", "suppressed": False, "causes": [], "events": [], "standing": [],
    }  # fmt: skip
    await line.text("STOP", verdict)
    assert (await line.consent())["causes"] == ["lead"]
    assert await line.answers() == []


async def test_control_words_by_the_carrier_reach_no_agent_but_an_answer_of_yes_does(
    idle_world: World,
) -> None:
    line = await line_at(idle_world.tenant, "twilio", campaignId=idle_world.campaign["campaignId"])
    body = {"leadId": line.lead["leadId"], "message": "Do you own it?", "agentMode": True}
    sent = await idle_world.tenant.call("POST", "/sms/send", body | {"from": line.number})
    await line.text("RATES", "HELP")
    await line.text("JOIN", "START")
    assert await idle_world.turns(sent["interactionId"]) == []
    # Twilio takes YES for START, also from those who never stopped.
    await line.text("Yes", "START")
    [turn] = await idle_world.turns(sent["interactionId"])
    assert len(turn["messages"]) == 1
    await line.text("PAUSE", "STOP")
    [turn] = await idle_world.turns(sent["interactionId"])
    assert turn["state"] == "cancelled"


@pytest.mark.parametrize("provider", sorted(SIGNED))
@pytest.mark.parametrize("text", ["please stop texting me", "Stop please", "STOP!\nSent from my iPhone", "opt out"])
async def test_an_opt_out_that_no_carrier_answers_is_confirmed_by_us(tenant: Tenant, provider: str, text: str) -> None:
    line = await line_at(tenant, provider)
    await line.text(text)
    assert len(await line.answers()) == 1
    await line.text(text)
    await line.text("STOP")
    assert len(await line.answers()) == 1


@judging
@pytest.mark.parametrize("text", ["STOP", "stop", " Stop\n", "QUIT", "end"])
async def test_a_word_that_the_carrier_answers_is_not_confirmed_by_us(tenant: Tenant, provider: str, text: str) -> None:
    line = await line_at(tenant, provider)
    await line.text(text)
    assert (await line.consent())["causes"] == ["lead"]
    assert await line.answers() == []


@pytest.mark.parametrize(
    ("provider", "text", "answers"),
    [
        ("twilio", "HELP", 0), ("twilio", "info", 0), ("twilio", "help me please", 1),
        ("telnyx", "Help", 0), ("plivo", "INFO", 0), ("bandwidth", "HELP", 1),
    ],
)  # fmt: skip
async def test_a_help_is_answered_once_by_the_carrier_or_by_us(
    tenant: Tenant, provider: str, text: str, answers: int
) -> None:
    line = await line_at(tenant, provider)
    await line.text(text)
    assert len(await line.answers()) == answers


async def test_a_stop_from_a_stranger_by_the_carrier_is_obeyed_too(tenant: Tenant) -> None:
    line = await line_at(tenant, "twilio")
    stranger = Line(tenant, "twilio", line.url, line.number, {"phone": phone(), "leadId": ""})
    await stranger.text("PAUSE", "stop")
    assert (await stranger.consent())["causes"] == ["lead"]
