"""What a thread's turns want: the rules of the hand-over, without a database."""

from datetime import UTC, datetime
from typing import Any

import pytest

from app.domain.turns import LiveTurn, TurnState, TurnStep, decide_step

LATER = datetime(2026, 2, 15, 10, 30, tzinfo=UTC)


def turn(state: TurnState, **more: Any) -> LiveTurn:
    facts = {"is_due": True, "posting": False, "protected": False, "is_patient": True} | more
    return LiveTurn("org_1", "int_1", "turn_1", state, LATER, attempt=1, accepted_at=None, unsent_reply=None, **facts)


COLLECTING, YOUNG = turn("collecting"), turn("collecting", is_due=False)
AWAITING = turn("awaiting_reply", is_due=False)
EXPIRED = turn("awaiting_reply")
POSTING = turn("delivering", is_due=False, posting=True)
RETRYING = turn("delivering", is_due=False)
LEFT = turn("delivering", posting=True)
"""Its lease has ended."""
PROTECTED = turn("awaiting_reply", is_due=False, protected=True)
IMPATIENT = turn("collecting", is_patient=False)
CANCELLED = turn("cancelled", is_due=False, posting=True)
UNHEARD = turn("failed")


@pytest.mark.parametrize(
    ("live", "wanted"),
    [
        ([], TurnStep()),
        ([COLLECTING], TurnStep(due_turn=COLLECTING)),
        ([YOUNG], TurnStep(look_at=LATER)),
        ([UNHEARD, COLLECTING], TurnStep(due_turn=COLLECTING)),
        ([AWAITING], TurnStep()),
        ([AWAITING, COLLECTING], TurnStep(due_turn=COLLECTING, superseded_turn=AWAITING)),
        ([EXPIRED], TurnStep(expired_turn=EXPIRED)),
        ([EXPIRED, YOUNG], TurnStep(expired_turn=EXPIRED, look_at=LATER)),
        ([EXPIRED, COLLECTING], TurnStep(due_turn=COLLECTING, superseded_turn=EXPIRED)),
        ([POSTING], TurnStep()),
        ([POSTING, COLLECTING], TurnStep()),
        ([POSTING, YOUNG], TurnStep(look_at=LATER)),
        ([CANCELLED, COLLECTING], TurnStep()),
        ([RETRYING, COLLECTING], TurnStep(due_turn=COLLECTING, superseded_turn=RETRYING)),
        ([LEFT], TurnStep(due_turn=LEFT)),
        ([LEFT, COLLECTING], TurnStep(due_turn=COLLECTING, superseded_turn=LEFT)),
        ([PROTECTED, COLLECTING], TurnStep(waiting_turn=COLLECTING)),
        ([PROTECTED, IMPATIENT], TurnStep(due_turn=IMPATIENT, superseded_turn=PROTECTED)),
    ],
)
def test_a_thread_wants_one_thing_at_a_time(live: list[LiveTurn], wanted: TurnStep) -> None:
    assert decide_step(live) == wanted
    assert decide_step(live[::-1]) == wanted
