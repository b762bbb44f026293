"""What a step of a script expects, and has not come."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from app.dev.conversation import Snapshot
from app.dev.script import Step
from app.domain.checks import AgentAnswer, run_checks


@dataclass(frozen=True, slots=True)
class Mismatch:
    """What was expected and did not come."""

    field: str
    expected: str
    found: str


def find_mismatches(step: Step, before: Snapshot, after: Snapshot) -> Iterator[Mismatch]:
    """Yields what the step expects and has not come between the two moments."""
    new_texts = after.received[len(before.received) :]
    reply = "\n".join(new_texts)
    if step.reply and not (reply and step.reply.allows(reply)):
        yield Mismatch("expects.reply", str(step.reply), repr(reply) if reply else "no reply")
    if step.no_reply and reply:
        yield Mismatch("expects.no_reply", "no reply", repr(reply))
    if step.status is not None and after.status != step.status:
        yield Mismatch("expects.status", step.status, after.status)
    for key, rule in step.answers.items():
        fact = after.answers.get(key)
        if fact is None or not rule.allows(fact):
            yield Mismatch(f"expects.answers.{key}", str(rule), repr(fact) if fact is not None else "no answer")
    is_handed_off = not after.is_agent_mode_on
    if step.handoff is not None and is_handed_off != step.handoff:
        yield Mismatch("expects.handoff", _say_handoff(step.handoff), _say_handoff(is_handed_off))
    answer = AgentAnswer("handed_off" if is_handed_off else "answered" if new_texts else "declined", tuple(new_texts))
    status = {"status": after.status} if after.status else None
    for result in run_checks(step.checks, replace(answer, outcome=status)):
        if not result.passed:
            yield Mismatch(f"expects.{result.check}", "passed", result.detail or "failed")


def _say_handoff(is_handed_off: bool) -> str:
    return "a hand-off" if is_handed_off else "no hand-off"
