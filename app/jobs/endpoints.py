"""How many hand-overs an agent's endpoint gets at once. Both webhooks of an agent under test are endpoints."""

from collections import Counter

MAX_PER_AGENT = 64
FAILURES_TO_BREAK = 5


class Endpoints:
    """The endpoints of all agents, as one worker sees them. An endpoint that keeps failing gets one
    hand-over at a time, so it does not use up the places that others need."""

    def __init__(self) -> None:
        self._busy: Counter[str] = Counter()
        self._failures: Counter[str] = Counter()
        """Failures in a row, by endpoint."""

    def is_full(self, endpoint: str) -> bool:
        room = 1 if self._failures[endpoint] >= FAILURES_TO_BREAK else MAX_PER_AGENT
        return self._busy[endpoint] >= room

    def take_place(self, endpoint: str) -> None:
        self._busy[endpoint] += 1

    def free_place(self, endpoint: str) -> None:
        self._busy[endpoint] -= 1

    def record_answer(self, endpoint: str, has_failed: bool) -> None:
        """Counts a failure; a good answer resets the count."""
        self._failures[endpoint] = self._failures[endpoint] + 1 if has_failed else 0
