"""Which opt-outs a person may undo."""

from collections.abc import Iterable
from typing import Protocol, TypeVar

MISTAKABLE_RULES = frozenset({"sentence", "meaning", "person"})
"""The rules that understood an opt-out. A definitive word or a carrier's verdict is no mistake."""
LIFTING_EVENTS = frozenset({"opted_in", "opt_out_undone"})


class RecordedEvent(Protocol):
    """A consent event of a phone."""

    @property
    def event(self) -> str: ...
    @property
    def cause(self) -> str | None: ...
    @property
    def rule(self) -> str | None: ...


E = TypeVar("E", bound=RecordedEvent)


def find_undoable(events: Iterable[E]) -> list[E]:
    """The opt-outs that stand and may be a mistake, of a phone's events from the oldest on. None if one
    of those that stand cannot be a mistake."""
    standing_opt_outs: list[E] = []
    for event in events:
        if event.event in LIFTING_EVENTS:
            standing_opt_outs = []
        elif event.event == "opted_out" and event.cause == "lead":
            standing_opt_outs.append(event)
    return standing_opt_outs if all(event.rule in MISTAKABLE_RULES for event in standing_opt_outs) else []
