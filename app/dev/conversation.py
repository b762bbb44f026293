"""One lead's conversation with the agent: what the lead writes, and what is to be seen of it."""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.demo import http_clients
from app.demo.data import NUMBER, Api
from app.dev.tenant import CAMPAIGN_ID

QUIET_STATES = frozenset({"off", "idle", "held", "paused"})
"""States of the agent in which it owes the lead nothing."""
LEAVING_STATUSES = frozenset({"queued", "sending"})


class DevError(Exception):
    """The conversation cannot go on. The message says why."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that is to be seen of the conversation at one moment."""

    interaction: Mapping[str, Any] = field(default_factory=dict)
    """As `GET /interactions/{id}` shows it; empty before the lead's first text."""
    turns: Sequence[Mapping[str, Any]] = ()
    """Oldest first."""
    received: Sequence[str] = ()
    """The texts that reached the lead's phone."""
    answers: Mapping[str, str] = field(default_factory=dict)
    """What the lead has answered, by question."""

    @property
    def status(self) -> str:
        return str(self.interaction.get("status", ""))

    @property
    def is_agent_mode_on(self) -> bool:
        return bool(self.interaction and self.interaction["sms"]["agentMode"])

    @property
    def is_settled(self) -> bool:
        """Whether the agent has finished, and the lead has all that was sent."""
        if not self.interaction or self.interaction["agentState"]["state"] not in QUIET_STATES:
            return not self.interaction
        return not any(entry["status"] in LEAVING_STATUSES for entry in self.interaction["transcript"])

    @property
    def payload(self) -> str | None:
        """The body of the newest POST to the agent; None if there was none."""
        attempts = [attempt for record in self.turns for attempt in record["attempts"]]
        return str(attempts[-1]["requestBody"]) if attempts else None


class Conversation:
    """A new lead, and the thread with the agent that begins with their first text. With `known_fields`, as the
    API shows it, a lead that stays when the conversation is closed."""

    def __init__(
        self,
        api: Api,
        carrier_url: str,
        lead_fields: Mapping[str, Any] | None = None,
        known_fields: Mapping[str, Any] | None = None,
    ) -> None:
        self._api = api
        self._carrier = http_clients.build_blocking_client(carrier_url, timeout=20)
        self._is_known = known_fields is not None
        if known_fields is not None:
            self.phone, self.lead_id = known_fields["phone"], known_fields["leadId"]
            return
        # Not in the carrier's own range: there the last four digits mean something.
        self.phone = f"+1415{secrets.randbelow(800) + 200}1{secrets.randbelow(900) + 100}"
        self.lead_id = f"dev_{secrets.token_hex(5)}"
        given_fields = {"firstName": "Jane", "lastName": "Miller", **(lead_fields or {})}
        api.call("POST", "/leads", leadId=self.lead_id, phone=self.phone, campaignId=CAMPAIGN_ID, **given_fields)

    def write(self, texts: Iterable[str]) -> None:
        """Writes texts as the lead, one right after the other. Raises `DevError`."""
        for text in texts:
            answer = self._carrier.post(f"/phone/{self.phone}/texts", json={"to": NUMBER, "text": text})
            if not answer.is_success:
                raise DevError(f"the service did not take the text: {answer.text}")

    def take_snapshot(self) -> Snapshot:
        interactions = self._api.call("GET", f"/interactions/lead/{self.lead_id}")["interactions"]
        if not interactions:
            return Snapshot()
        interaction = interactions[0]
        # The phone before the turns: a reply that is on the phone is then never without its turn.
        phone_texts = self._carrier.get(f"/phone/{self.phone}/texts").json()["texts"]
        turns = self._api.call("GET", f"/interactions/{interaction['interactionId']}/turns")["turns"]
        questionnaire = self._api.call("GET", f"/leads/{self.lead_id}")["questionnaire"]
        return Snapshot(
            interaction,
            turns[::-1],
            [entry["text"] for entry in phone_texts if not entry["mine"]],
            {item["key"]: item["answer"] for item in questionnaire if item["answer"]},
        )

    def switch_agent_mode(self, on: bool) -> None:
        """Raises `DevError` before the lead's first text: there is no thread yet."""
        interaction = self.take_snapshot().interaction
        if not interaction:
            raise DevError("the lead has not written yet; agent mode is on from the first text")
        self._api.call("PATCH", f"/interactions/{interaction['interactionId']}", agentMode=on)

    def release_held_text(self) -> None:
        """Decides, as a person would, that the text which waits is no wish to opt out. Raises `DevError`."""
        for entry in reversed(self.take_snapshot().interaction.get("transcript", ())):
            if entry.get("possibleOptOut") and entry["optOut"] is None:
                self._api.call("POST", f"/messages/{entry['messageId']}/opt-out-decision", optOut=False)
                return
        raise DevError("no text waits for a decision")

    def close(self) -> None:
        """Ends agent mode of a new lead, so that nothing of this conversation reaches the agent any more."""
        if not self._is_known and self.take_snapshot().is_agent_mode_on:
            self.switch_agent_mode(on=False)
        self._carrier.close()
