"""The states of turns as lists for SQL: `state IN {UNFINISHED_SQL}`."""

from collections.abc import Sequence

from app.domain.turns import HANDED_OVER_STATES, UNFINISHED_STATES, TurnState


def _list_sql(states: Sequence[TurnState]) -> str:
    return "(" + ", ".join(f"'{state}'" for state in states) + ")"


UNFINISHED_SQL = _list_sql(UNFINISHED_STATES)
HANDED_OVER_SQL = _list_sql(HANDED_OVER_STATES)
