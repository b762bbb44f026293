"""The states of turns as lists for SQL: `state IN {UNFINISHED_SQL}`.

Statements that look for the turns of one thread take the states as parameters instead. As literals
they could match the partial index of all unfinished turns, and the planner could scan that index: it is
short when a session plans and long in a burst. With parameters it must use the thread's key.
"""

from collections.abc import Sequence

from app.domain.turns import HANDED_OVER_STATES, UNFINISHED_STATES, TurnState


def _list_sql(states: Sequence[TurnState]) -> str:
    return "(" + ", ".join(f"'{state}'" for state in states) + ")"


UNFINISHED_SQL = _list_sql(UNFINISHED_STATES)
CANCELLABLE_SQL = _list_sql(("planned", *UNFINISHED_STATES))
HANDED_OVER_SQL = _list_sql(HANDED_OVER_STATES)


def has_begun_sql(turn: str) -> str:
    """A condition: texts of the lead began the turn (an alias of it), or an agent got it. Else it is only planned, or
    it was called off before."""
    return f"({turn}.trigger = 'texts' OR {turn}.handed_over_at IS NOT NULL)"
