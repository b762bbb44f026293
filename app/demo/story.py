"""The story: a whole conversation, played through the public doors only.

It holds what any client would hold (a key, a sign-in, a carrier's token) and waits as any
client would. A step that does not happen ends it with a message and a non-zero exit.
"""

import base64
import hmac
import re
import secrets
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import urlencode

import httpx

from app.demo import calls
from app.demo.data import CAMPAIGN_ID, Api, Demo

T = TypeVar("T")
PATIENCE = 30.0


class Stalled(Exception):
    """A step of the story did not happen."""


class Story:
    """One play with a lead of its own, so that it can be told again and again."""

    def __init__(self, demo: Demo) -> None:
        self._demo = demo
        self._api = Api(demo.addresses.api, demo.api_key)
        self._phone = f"+1415{secrets.randbelow(800) + 200}1{secrets.randbelow(900) + 100}"
        self._lead_id = f"story_{secrets.token_hex(5)}"
        self._shown = 0
        self._thread = ""

    def play(self) -> None:
        """All of it, in order. Raises `Stalled`."""
        self._tell("A lead asks for a call back; the backend sends the first text.")
        self._api.call(
            "POST",
            "/leads",
            leadId=self._lead_id,
            firstName="Jane",
            lastName="Miller",
            phone=self._phone,
            campaignId=CAMPAIGN_ID,
        )
        sent = self._send("Hi Jane, you asked about solar panels. Is now a good time?")
        self._thread = sent["interactionId"]
        rules = ", ".join(f"{rung['field']} by {rung['rule']}" for rung in sent["resolution"])
        self._tell(f"Resolved: {rules}.")
        self._until("the receipts", lambda: self._message(sent)["status"] == "delivered")
        self._tell("She answers in a burst; the window gathers it, the agent answers once.")
        for text in ("Hi!", "yes, I have a question", "do I need to own my home?"):
            self._text_as_lead(text)
            time.sleep(0.3)
        turn = self._until("the agent's answer", self._answered_turn)
        if len(turn["messages"]) != 3:
            raise Stalled(f"the turn held {len(turn['messages'])} texts and not 3")
        self._until("the answer's delivery", lambda: self._last("sms_agent", "delivered"))
        self._tell("She also writes to the Twilio line: a signed webhook, sent twice.")
        self._twilio_inbound()
        self._tell("A person takes over on the Conversations page.")
        self._answer_by_hand("Hi Jane, Sam here: I will call you at five.")
        self._until("the text by hand", lambda: self._last("manual", "delivered"))
        self._tell("She has had enough.")
        self._text_as_lead("STOP")
        self._until("the opt-out", lambda: self._interaction()["status"] == "dnc")
        self._refused("Just one more thing…")
        self._show()
        self._tell("After STOP nothing goes out. The end.")

    def _tell(self, line: str) -> None:
        self._show()
        print(f"\n— {line}", flush=True)

    def _show(self) -> None:
        """Prints what the transcript has grown by."""
        if not self._thread:
            return
        page = self._api.call(
            "GET",
            f"/interactions/{self._thread}/messages?after={self._shown}&limit=100",
        )
        for entry in page["messages"]:
            self._shown = entry["seq"]
            clock = entry["timestamp"][11:19]
            print(f"  {clock}  {entry['source']:>9}  {entry['message']}  [{entry['status']}]")

    def _until(self, what: str, look: Callable[[], T | None]) -> T:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            seen = look()
            self._show()
            if seen:
                return seen
            time.sleep(0.2)
        raise Stalled(f"{what} did not come within {PATIENCE:.0f} s")

    def _send(self, text: str) -> dict[str, Any]:
        return self._api.call("POST", "/sms/send", leadId=self._lead_id, message=text)

    def _message(self, sent: Mapping[str, Any]) -> dict[str, Any]:
        return self._api.call("GET", f"/messages/{sent['messageId']}")

    def _interaction(self) -> dict[str, Any]:
        return self._api.call("GET", f"/interactions/{self._thread}")

    def _answered_turn(self) -> dict[str, Any] | None:
        turns = self._api.call("GET", f"/interactions/{self._thread}/turns")["turns"]
        return next((turn for turn in turns if turn["state"] == "replied"), None)

    def _last(self, source: str, status: str) -> bool:
        entries = self._interaction()["transcript"]
        mine = [entry for entry in entries if entry["source"] == source]
        return bool(mine) and mine[-1]["status"] == status

    def _text_as_lead(self, text: str) -> None:
        answer = httpx.post(
            f"{self._demo.addresses.carrier}/phone/{self._phone}/texts",
            json={"to": self._demo.number, "text": text},
            timeout=15,
            trust_env=False,
        )
        if not answer.is_success:
            raise Stalled(f"the carrier could not pass on {text!r}: {answer.status_code}")

    def _twilio_inbound(self) -> None:
        demo, sid = self._demo, f"SM{secrets.token_hex(16)}"
        url = f"{demo.addresses.api}/webhooks/twilio/{demo.twilio_account_id}/inbound"
        form = {
            "MessageSid": sid,
            "SmsSid": sid,
            "AccountSid": demo.twilio_sid,
            "From": self._phone,
            "To": demo.twilio_number,
            "Body": "Is this the right number?",
            "NumMedia": "0",
        }
        signed = url + "".join(f"{name}{form[name]}" for name in sorted(form))
        digest = hmac.digest(demo.twilio_token.encode(), signed.encode(), "sha1")
        headers = {
            "X-Twilio-Signature": base64.b64encode(digest).decode(),
            "Content-Type": "application/x-www-form-urlencoded",
        }
        for _ in range(2):
            answer = httpx.post(url, content=urlencode(form), headers=headers, trust_env=False)
            if answer.status_code != 200:
                raise Stalled(f"the Twilio webhook was answered {answer.status_code}")
        threads = self._api.call("GET", f"/interactions/lead/{self._lead_id}")["interactions"]
        held = [e for t in threads for e in t["transcript"] if e["message"] == form["Body"]]
        if len(threads) != 2 or len(held) != 1:
            raise Stalled("the second line's text does not stand once in a thread of its own")

    def _answer_by_hand(self, text: str) -> None:
        page = f"{self._demo.addresses.api}/conversations/{self._thread}"
        with calls.blocking(self._demo.addresses.api, follow_redirects=True) as browser:
            form = _form(browser.get("/sign-in").text, "/sign-in")
            origin = {"Origin": self._demo.addresses.api}
            browser.post(
                "/sign-in",
                headers=origin,
                data=form | {"email": self._demo.email, "password": self._demo.password},
            )
            action, fields = _form_with(browser.get(page).text, "message")
            answer = browser.post(action, headers=origin, data=fields | {"message": text})
            if not answer.is_success:
                raise Stalled(f"the page answered {answer.status_code}")

    def _refused(self, text: str) -> None:
        try:
            self._send(text)
        except RuntimeError as error:
            if "DNC_BLOCKED" not in str(error):
                raise
            print("  (the backend tries once more: 403 DNC_BLOCKED)")
        else:
            raise Stalled("a text after STOP was accepted")


def _form(page: str, action: str) -> dict[str, str]:
    """The hidden fields of the form with this action."""
    for found, fields in _forms(page):
        if found.split("?")[0] == action:
            return fields
    raise Stalled(f"the page has no form for {action}")


def _form_with(page: str, field: str) -> tuple[str, dict[str, str]]:
    """Action and fields of the form that has a textarea of this name."""
    for match in re.finditer(r"<form\b.*?</form>", page, re.S):
        if f'name="{field}"' in match[0]:
            [(action, fields)] = list(_forms(match[0]))
            return action, fields
    raise Stalled("the page has no compose form")


def _forms(page: str) -> list[tuple[str, dict[str, str]]]:
    forms = []
    for match in re.finditer(r'<form\b[^>]*action="([^"]*)"[^>]*>(.*?)</form>', page, re.S):
        fields = dict(
            re.findall(
                r'<input[^>]*type="hidden"[^>]*name="([^"]*)"[^>]*value="([^"]*)"',
                match[2],
            )
        )
        for select in re.finditer(r'<select[^>]*name="([^"]*)".*?</select>', match[2], re.S):
            chosen = re.search(r'<option[^>]*value="([^"]*)"[^>]*selected', select[0])
            first = re.search(r'<option[^>]*value="([^"]*)"', select[0])
            if option := chosen or first:
                fields[select[1]] = option[1]
        forms.append((match[1], fields))
    return forms


def tell(demo: Demo) -> int:
    """Plays the story; returns the exit code."""
    try:
        Story(demo).play()
    except (Stalled, RuntimeError, httpx.HTTPError) as error:
        print(f"\nThe story stopped: {error}", file=sys.stderr)
        return 1
    return 0
