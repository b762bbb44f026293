"""How much an agent's endpoint is given to do at once."""

from collections import Counter

AT_ONCE_PER_AGENT = 64
BREAKS_AFTER = 5


class Endpoints:
    """The endpoints of all agents, as one worker sees them. One that fails is tried one hand-over
    at a time, so that it never takes the room of others."""

    def __init__(self) -> None:
        self._busy: Counter[str] = Counter()
        self._failures: Counter[str] = Counter()
        """In a row."""

    def full(self, agent_id: str) -> bool:
        room = 1 if self._failures[agent_id] >= BREAKS_AFTER else AT_ONCE_PER_AGENT
        return self._busy[agent_id] >= room

    def enter(self, agent_id: str) -> None:
        self._busy[agent_id] += 1

    def leave(self, agent_id: str) -> None:
        self._busy[agent_id] -= 1

    def said(self, agent_id: str, failed: bool) -> None:
        """An endpoint that answers well is as good as new."""
        self._failures[agent_id] = self._failures[agent_id] + 1 if failed else 0
