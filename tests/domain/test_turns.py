"""What a thread's turns want: the rules of the hand-over, without a database."""

from datetime import UTC, datetime
from typing import Any

import pytest

from app.domain.turns import Step, step

LATER = datetime(2026, 2, 15, 10, 30, tzinfo=UTC)


def turn(state: str, **more: Any) -> dict[str, Any]:
    facts = {"state": state, "is_due": True, "posting": False, "protected": False,
             "patient": True, "due_at": LATER}  # fmt: skip
    return facts | more


COLLECTING, YOUNG = turn("collecting"), turn("collecting", is_due=False)
AWAITING = turn("awaiting_reply", is_due=False)
EXPIRED = turn("awaiting_reply")
POSTING = turn("delivering", is_due=False, posting=True)
RETRYING = turn("delivering", is_due=False)
LEFT = turn("delivering", posting=True)
"""Its lease has ended."""
PROTECTED = turn("awaiting_reply", is_due=False, protected=True)
IMPATIENT = turn("collecting", patient=False)
CANCELLED = turn("cancelled", is_due=False, posting=True)
UNHEARD = turn("failed")


@pytest.mark.parametrize(
    ("live", "wanted"),
    [
        ([], Step()),
        ([COLLECTING], Step(hand_over=COLLECTING)),
        ([YOUNG], Step(look_at=LATER)),
        ([UNHEARD, COLLECTING], Step(hand_over=COLLECTING)),
        ([AWAITING], Step()),
        ([AWAITING, COLLECTING], Step(hand_over=COLLECTING, supersedes=AWAITING)),
        ([EXPIRED], Step(expires=EXPIRED)),
        ([EXPIRED, YOUNG], Step(expires=EXPIRED, look_at=LATER)),
        ([EXPIRED, COLLECTING], Step(hand_over=COLLECTING, supersedes=EXPIRED)),
        ([POSTING], Step()),
        ([POSTING, COLLECTING], Step()),
        ([POSTING, YOUNG], Step(look_at=LATER)),
        ([CANCELLED, COLLECTING], Step()),
        ([RETRYING, COLLECTING], Step(hand_over=COLLECTING, supersedes=RETRYING)),
        ([LEFT], Step(hand_over=LEFT)),
        ([LEFT, COLLECTING], Step(hand_over=COLLECTING, supersedes=LEFT)),
        ([PROTECTED, COLLECTING], Step(waits=COLLECTING)),
        ([PROTECTED, IMPATIENT], Step(hand_over=IMPATIENT, supersedes=PROTECTED)),
    ],
)
def test_a_thread_wants_one_thing_at_a_time(live: list[dict[str, Any]], wanted: Step) -> None:
    assert step(live) == wanted
    assert step(live[::-1]) == wanted
