"""How many hand-overs an agent's endpoint gets at once."""

from collections import Counter

MAX_PER_AGENT = 64
FAILURES_TO_BREAK = 5


class Endpoints:
    """The endpoints of all agents, as one worker sees them. An endpoint that keeps failing gets one
    hand-over at a time, so it does not use up the places that others need."""

    def __init__(self) -> None:
        self._busy: Counter[str] = Counter()
        self._failures: Counter[str] = Counter()
        """Failures in a row, by agent."""

    def is_full(self, agent_id: str) -> bool:
        room = 1 if self._failures[agent_id] >= FAILURES_TO_BREAK else MAX_PER_AGENT
        return self._busy[agent_id] >= room

    def take_place(self, agent_id: str) -> None:
        self._busy[agent_id] += 1

    def free_place(self, agent_id: str) -> None:
        self._busy[agent_id] -= 1

    def record_answer(self, agent_id: str, has_failed: bool) -> None:
        """Counts a failure; a good answer resets the count."""
        self._failures[agent_id] = self._failures[agent_id] + 1 if has_failed else 0
