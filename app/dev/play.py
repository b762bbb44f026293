"""Plays scripts against the agent, and prints what differs from what was expected."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from app.demo.data import DEMO_QUESTIONS, Api
from app.dev.changes import describe_changes
from app.dev.conversation import Conversation, Snapshot
from app.dev.script import Mismatch, ScriptedConversation, Step, find_mismatches
from app.dev.tenant import set_questionnaire

LOOK_SECONDS = 0.1
LATE_SECONDS = 2.0
"""How long a step still waits after the agent has finished: an outcome may follow a reply."""


@dataclass(frozen=True, slots=True)
class Player:
    """Plays conversations with the agent of the tenant of `api`."""

    api: Api
    carrier_url: str
    print_line: Callable[[str], None] = print

    def play_all(self, conversations: Iterable[ScriptedConversation]) -> int:
        """Returns how many steps failed. The steps after a failed one are not played."""
        failed_count = sum(
            not self._play(number, conversation) for number, conversation in enumerate(conversations, start=1)
        )
        self.print_line("FAILED" if failed_count else "passed")
        return failed_count

    def _play(self, number: int, scripted: ScriptedConversation) -> bool:
        set_questionnaire(self.api, scripted.questionnaire or DEMO_QUESTIONS)
        conversation = Conversation(self.api, self.carrier_url, scripted.lead_fields)
        self.print_line(f"conversation {number}")
        try:
            return all(
                self._play_step(conversation, i, step) for i, step in enumerate(scripted.steps, start=1)
            )  # stops at the first step that fails
        finally:
            conversation.close()

    def _play_step(self, conversation: Conversation, number: int, step: Step) -> bool:
        before = conversation.take_snapshot()
        for text in step.texts:
            self.print_line(f"  lead> {text}")
        conversation.write(step.texts)
        mismatches = self._wait_for_step(conversation, step, before)
        if mismatches:
            self.print_line(f"  step {number} failed:")
        for mismatch in mismatches:
            self.print_line(f"    {mismatch.field}")
            self.print_line(f"      - expected: {mismatch.expected}")
            self.print_line(f"      + found:    {mismatch.found}")
        return not mismatches

    def _wait_for_step(self, conversation: Conversation, step: Step, before: Snapshot) -> list[Mismatch]:
        """Waits until the agent has finished and all has come that is expected, or the time is over.
        Returns what has not come."""
        deadline = time.monotonic() + step.timeout
        last_snapshot, settled_at = before, None
        while True:
            snapshot = conversation.take_snapshot()
            for line in describe_changes(last_snapshot, snapshot):
                self.print_line(f"  {line}")
            last_snapshot, now = snapshot, time.monotonic()
            settled_at = (settled_at or now) if snapshot.is_settled else None
            mismatches = list(find_mismatches(step, before, snapshot))
            is_late = settled_at is not None and now - settled_at > LATE_SECONDS
            if now > deadline and not snapshot.is_settled:
                return mismatches or [
                    Mismatch("timeout", f"the agent has finished in {step.timeout:g} s", "it has not")
                ]
            if (settled_at is not None and not mismatches) or is_late or now > deadline:
                return mismatches
            time.sleep(LOOK_SECONDS)
