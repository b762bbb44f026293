"""The story: a whole conversation, played through the API, the webhooks and the page.

It uses what any client has: a key, a sign-in, a carrier's token. If a step does not happen in time,
the story ends with a message and a non-zero exit status.
"""

import base64
import hmac
import json
import re
import secrets
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar
from urllib.parse import urlencode

import httpx

from app.demo import http_clients
from app.demo.data import CAMPAIGN_ID, Api, Demo

T = TypeVar("T")
STEP_SECONDS = 30.0


class StalledStory(Exception):
    """A step of the story did not happen."""


class Story:
    """One conversation. Each has a new lead, so the story can be played again."""

    def __init__(self, demo: Demo) -> None:
        self._demo = demo
        self._api = Api(demo.addresses.api, demo.api_key)
        self._phone = f"+1415{secrets.randbelow(800) + 200}1{secrets.randbelow(900) + 100}"
        self._lead_id = f"story_{secrets.token_hex(5)}"
        self._last_seq = 0
        self._thread_id = ""

    def play(self) -> None:
        """Plays all steps. Raises `StalledStory`, `RuntimeError` or `httpx.HTTPError`."""
        self._print_line("A lead asks for a call back; the backend sends the first text.")
        self._api.call(
            "POST",
            "/leads",
            leadId=self._lead_id,
            firstName="Jane",
            lastName="Miller",
            phone=self._phone,
            campaignId=CAMPAIGN_ID,
        )
        first_answer = self._send_text("Hi Jane, you asked about solar panels. Is now a good time?")
        self._thread_id = first_answer["interactionId"]
        rules = ", ".join(f"{rung['field']} by {rung['rule']}" for rung in first_answer["resolution"])
        self._print_line(f"Resolved: {rules}.")
        self._wait_for("the receipts", lambda: self._get_message(first_answer)["status"] == "delivered")
        self._print_line("She writes three texts; the window collects them, and the agent answers once.")
        for text in ("Hi!", "yes, I have a question", "do I need to own my home?"):
            self._text_as_lead(text)
            time.sleep(0.3)
        first_exchange = self._wait_for("the agent's answer", lambda: self._find_answered_turn(1))
        if len(first_exchange["messages"]) != 3:
            raise StalledStory(f"the turn has {len(first_exchange['messages'])} texts and not 3")
        self._wait_for("the answer's delivery", lambda: self._is_last_status("sms_agent", "delivered"))
        self._qualify()
        self._print_line("She also writes to the Twilio number: a signed webhook, posted twice.")
        self._post_twilio_inbound()
        self._print_line("A person takes over on the Conversations page.")
        self._answer_by_hand("Hi Jane, Sam here: I will call you at five.")
        self._wait_for("the text by hand", lambda: self._is_last_status("manual", "delivered"))
        self._print_line("She opts out.")
        self._text_as_lead("STOP")
        self._wait_for("the opt-out", lambda: self._get_interaction()["status"] == "dnc")
        self._expect_refusal("Just one more thing…")
        self._print_new_entries()
        self._print_line("After STOP nothing goes out. The end.")

    def _qualify(self) -> None:
        """The lead answers both questions; checks what the agent made of it."""
        self._print_line("She answers the agent's two questions; it records what she says.")
        given_answers = {"homeowner": "Yes, I own it", "bill": "About 180 dollars"}
        for number, text in enumerate(given_answers.values(), start=2):
            self._text_as_lead(text)
            last_exchange = self._wait_for("the agent's next answer", partial(self._find_answered_turn, number))
        known_keys = [
            item["key"]
            for item in json.loads(last_exchange["attempts"][0]["requestBody"])["questionnaire"]["knownInformation"]
        ]
        if known_keys != ["homeowner"]:
            raise StalledStory(f"the last payload lists {known_keys} as known, and not the first answer")
        interaction = self._wait_for("the outcome", lambda: self._find_interaction("qualified"))
        texts = {entry["messageId"]: entry["message"] for entry in interaction["transcript"]}
        answers = self._api.call("GET", f"/leads/{self._lead_id}/export")["answers"]
        exported_answers = {
            answer["key"]: answer["answer"] for answer in answers if texts.get(answer["messageId"]) == answer["answer"]
        }
        if exported_answers != given_answers or not interaction["summary"]:
            raise StalledStory(
                f"the outcome has the answers {exported_answers} and the summary {interaction['summary']!r}"
            )
        self._print_line(f"The conversation ends in an outcome: {interaction['status']}.")
        print(f"  summary: {interaction['summary']}")
        for answer in answers:
            print(f"  {answer['key']}: {answer['answer']}  (from {answer['messageId']}, by {answer['author']})")

    def _find_interaction(self, status: str) -> dict[str, Any] | None:
        interaction = self._get_interaction()
        return interaction if interaction["status"] == status else None

    def _print_line(self, line: str) -> None:
        self._print_new_entries()
        print(f"\n— {line}", flush=True)

    def _print_new_entries(self) -> None:
        """Prints the entries that the transcript has got since the last call."""
        if not self._thread_id:
            return
        page = self._api.call("GET", f"/interactions/{self._thread_id}/messages?after={self._last_seq}&limit=100")
        for entry in page["messages"]:
            self._last_seq = entry["seq"]
            clock = entry["timestamp"][11:19]
            print(f"  {clock}  {entry['source']:>9}  {entry['message']}  [{entry['status']}]")

    def _wait_for(self, event_name: str, look: Callable[[], T | None]) -> T:
        """The first true result of `look`. Raises `StalledStory` after `STEP_SECONDS`."""
        deadline = time.monotonic() + STEP_SECONDS
        while time.monotonic() < deadline:
            result = look()
            self._print_new_entries()
            if result:
                return result
            time.sleep(0.2)
        raise StalledStory(f"{event_name} did not come within {STEP_SECONDS:.0f} s")

    def _send_text(self, text: str) -> dict[str, Any]:
        return self._api.call("POST", "/sms/send", leadId=self._lead_id, message=text)

    def _get_message(self, send_answer: Mapping[str, Any]) -> dict[str, Any]:
        return self._api.call("GET", f"/messages/{send_answer['messageId']}")

    def _get_interaction(self) -> dict[str, Any]:
        return self._api.call("GET", f"/interactions/{self._thread_id}")

    def _find_answered_turn(self, number: int) -> dict[str, Any] | None:
        """The newest turn, when this number of turns was answered."""
        turns = self._api.call("GET", f"/interactions/{self._thread_id}/turns")["turns"]
        answered_turns = [entry for entry in turns if entry["state"] == "replied"]
        return answered_turns[0] if len(answered_turns) >= number else None

    def _is_last_status(self, source: str, status: str) -> bool:
        entries = self._get_interaction()["transcript"]
        own_entries = [entry for entry in entries if entry["source"] == source]
        return bool(own_entries) and own_entries[-1]["status"] == status

    def _text_as_lead(self, text: str) -> None:
        answer = httpx.post(
            f"{self._demo.addresses.carrier}/phone/{self._phone}/texts",
            json={"to": self._demo.number, "text": text},
            timeout=15,
            trust_env=False,
        )
        if not answer.is_success:
            raise StalledStory(f"the carrier could not deliver {text!r}: {answer.status_code}")

    def _post_twilio_inbound(self) -> None:
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
        signed_text = url + "".join(f"{name}{form[name]}" for name in sorted(form))
        digest = hmac.digest(demo.twilio_token.encode(), signed_text.encode(), "sha1")
        headers = {
            "X-Twilio-Signature": base64.b64encode(digest).decode(),
            "Content-Type": "application/x-www-form-urlencoded",
        }
        for _ in range(2):
            answer = httpx.post(url, content=urlencode(form), headers=headers, trust_env=False)
            if answer.status_code != 200:
                raise StalledStory(f"the Twilio webhook was answered {answer.status_code}")
        threads = self._api.call("GET", f"/interactions/lead/{self._lead_id}")["interactions"]
        matching_entries = [e for t in threads for e in t["transcript"] if e["message"] == form["Body"]]
        if len(threads) != 2 or len(matching_entries) != 1:
            raise StalledStory("the text to the Twilio number is not stored once in a thread of its own")

    def _answer_by_hand(self, text: str) -> None:
        page = f"{self._demo.addresses.api}/conversations/{self._thread_id}"
        with http_clients.build_blocking_client(self._demo.addresses.api, follow_redirects=True) as browser:
            form = _find_form(browser.get("/sign-in").text, "/sign-in")
            origin = {"Origin": self._demo.addresses.api}
            browser.post(
                "/sign-in", headers=origin, data=form | {"email": self._demo.email, "password": self._demo.password}
            )
            action, fields = _find_form_with_field(browser.get(page).text, "message")
            answer = browser.post(action, headers=origin, data=fields | {"message": text})
            if not answer.is_success:
                raise StalledStory(f"the page answered {answer.status_code}")

    def _expect_refusal(self, text: str) -> None:
        try:
            self._send_text(text)
        except RuntimeError as error:
            if "DNC_BLOCKED" not in str(error):
                raise
            print("  (the backend tries once more: 403 DNC_BLOCKED)")
        else:
            raise StalledStory("a text after STOP was accepted")


def _find_form(page: str, action: str) -> dict[str, str]:
    """The hidden fields of the form with this action."""
    for form_action, fields in _parse_forms(page):
        if form_action.split("?")[0] == action:
            return fields
    raise StalledStory(f"the page has no form for {action}")


def _find_form_with_field(page: str, field: str) -> tuple[str, dict[str, str]]:
    """Action and fields of the form that has a textarea of this name."""
    for match in re.finditer(r"<form\b.*?</form>", page, re.S):
        if f'name="{field}"' in match[0]:
            [(action, fields)] = list(_parse_forms(match[0]))
            return action, fields
    raise StalledStory("the page has no compose form")


def _parse_forms(page: str) -> list[tuple[str, dict[str, str]]]:
    """Action and fields of each form: its hidden inputs and its selects."""
    forms = []
    for match in re.finditer(r'<form\b[^>]*action="([^"]*)"[^>]*>(.*?)</form>', page, re.S):
        fields = dict(re.findall(r'<input[^>]*type="hidden"[^>]*name="([^"]*)"[^>]*value="([^"]*)"', match[2]))
        for select in re.finditer(r'<select[^>]*name="([^"]*)".*?</select>', match[2], re.S):
            selected_option = re.search(r'<option[^>]*value="([^"]*)"[^>]*selected', select[0])
            first_option = re.search(r'<option[^>]*value="([^"]*)"', select[0])
            if option := selected_option or first_option:
                fields[select[1]] = option[1]
        forms.append((match[1], fields))
    return forms


def tell_story(demo: Demo) -> int:
    """Plays the story; returns the exit code."""
    try:
        Story(demo).play()
    except (StalledStory, RuntimeError, httpx.HTTPError) as error:
        print(f"\nThe story stopped: {error}", file=sys.stderr)
        return 1
    return 0
