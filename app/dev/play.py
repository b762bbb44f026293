"""Plays scripts against the agent, and prints what differs from what was expected."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from app.demo.data import DEMO_QUESTIONS, Api
from app.dev.changes import describe_changes
from app.dev.conversation import Conversation, Snapshot
from app.dev.mismatches import Mismatch, find_mismatches
from app.dev.script import Pause, ScriptedConversation, Step
from app.dev.styles import STYLES
from app.dev.tenant import set_questionnaire, set_window

LOOK_SECONDS = 0.1
LATE_SECONDS = 2.0
"""How long a step still waits after the agent has finished: an outcome may follow a reply."""
REAL_WINDOW_SECONDS = 1.0
"""The window that is waited for. A longer one is moved to its end."""
MAX_QUESTIONS = 10
"""Questions in a row that a lead answers in one step."""
MAX_AT_ONCE = 6
NOTHING_EXPECTED = Step()
Questions = Sequence[Mapping[str, Any]]
MoveTime = Callable[[str, float], None]
"""Moves the time of a lead's thread: its id, and seconds."""
PrintLine = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Player:
    """Plays conversations with the agent of the tenant of `api`."""

    api: Api
    carrier_url: str
    move_time: MoveTime
    print_line: PrintLine = print

    def play_all(self, conversations: Iterable[ScriptedConversation]) -> int:
        """Returns how many conversations failed. The steps after a failed one are not played. Those that
        need the same settings are played together, and printed one after the other."""
        numbered_conversations = enumerate(conversations, start=1)
        failed_count = sum(
            self._play_group(list(group))
            for _, group in groupby(numbered_conversations, lambda item: _get_settings(item[1]))
        )
        self.print_line("FAILED" if failed_count else "passed")
        return failed_count

    def _play_group(self, group: Sequence[tuple[int, ScriptedConversation]]) -> int:
        questions, window = _get_settings(group[0][1])
        set_questionnaire(self.api, questions)
        set_window(self.api, window or REAL_WINDOW_SECONDS)
        if len(group) == 1:
            return int(not self._play(*group[0], self.print_line))
        with ThreadPoolExecutor(MAX_AT_ONCE) as pool:
            failed_count = 0
            for has_passed, lines in pool.map(self._play_quietly, *zip(*group, strict=True)):
                failed_count += not has_passed
                for line in lines:
                    self.print_line(line)
            return failed_count

    def _play_quietly(self, number: int, script: ScriptedConversation) -> tuple[bool, list[str]]:
        lines: list[str] = []
        return self._play(number, script, lines.append), lines

    def _play(self, number: int, script: ScriptedConversation, print_line: PrintLine) -> bool:
        conversation = Conversation(self.api, self.carrier_url, script.lead_fields)
        print_line(f"conversation {number}{f': {script.name}' if script.name else ''}")
        game = Game(conversation, _get_settings(script)[0], script.window, self.move_time, print_line)
        try:
            return all(
                game.play_step(i, step) for i, step in enumerate(script.steps, start=1)
            )  # stops at the first step that fails
        finally:
            conversation.close()


def _get_settings(script: ScriptedConversation) -> tuple[list[dict[str, Any]], float | None]:
    return script.questionnaire or DEMO_QUESTIONS, script.window


@dataclass(slots=True)
class Game:
    """One conversation that is being played."""

    conversation: Conversation
    questions: Questions
    window: float | None
    move_time: MoveTime
    print_line: PrintLine
    last_snapshot: Snapshot = field(default_factory=Snapshot)
    """What was printed."""

    def play_step(self, number: int, step: Step) -> bool:
        """Whether all came that was expected."""
        self._move_time(step.waits)
        before = self.conversation.take_snapshot()
        self._write(step.texts)
        if step.style:
            before = self._answer_questions(step, before)
        mismatches = self._wait_for_step(step, before)
        if mismatches:
            self.print_line(f"  step {number} failed:")
        for mismatch in mismatches:
            self.print_line(f"    {mismatch.field}")
            self.print_line(f"      - expected: {mismatch.expected}")
            self.print_line(f"      + found:    {mismatch.found}")
        return not mismatches

    def _move_time(self, seconds: float) -> None:
        if seconds:
            self.move_time(self.conversation.lead_id, seconds)

    def _write(self, texts: Sequence[str | Pause]) -> None:
        for text in texts:
            if isinstance(text, Pause):
                self._move_time(text.seconds)
                continue
            self.print_line(f"  lead> {text}")
            self.conversation.write([text])
        if texts:
            self._move_time(self.window or 0)

    def _answer_questions(self, step: Step, before: Snapshot) -> Snapshot:
        """Answers what the agent asks, one question after the other. Returns the moment before the last
        answer."""
        if step.texts:
            self._wait_for_step(NOTHING_EXPECTED, before)
        for _ in range(MAX_QUESTIONS):
            moment = self.conversation.take_snapshot()
            fact = self._find_fact(step, moment)
            if fact is None:
                break
            before = moment
            self._write(STYLES[step.style or "plain"](fact))
            self._wait_for_step(NOTHING_EXPECTED, before)
        return before

    def _find_fact(self, step: Step, moment: Snapshot) -> str | None:
        """What the lead answers to the newest text; None if it asks nothing that the lead can answer."""
        newest = moment.received[-1] if moment.received else ""
        asked_keys = [item["key"] for item in self.questions if item["question"] in newest]
        return next((step.facts[key] for key in asked_keys if key in step.facts), None)

    def _wait_for_step(self, step: Step, before: Snapshot) -> list[Mismatch]:
        """Waits until the agent has finished and all has come that is expected, or the time is over.
        Returns what has not come."""
        deadline = time.monotonic() + step.timeout
        settled_at = None
        while True:
            snapshot = self.conversation.take_snapshot()
            for line in describe_changes(self.last_snapshot, snapshot):
                self.print_line(f"  {line}")
            self.last_snapshot, now = snapshot, time.monotonic()
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
