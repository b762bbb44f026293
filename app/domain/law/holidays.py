"""The legal public holidays of the United States (5 U.S.C. § 6103), on which some states forbid calls. What a state
celebrates besides is not known here."""

from datetime import date, timedelta

DAYS = frozenset({(1, 1), (6, 19), (7, 4), (11, 11), (12, 25)})
"""By month and day. On a Saturday they are kept on the Friday before, on a Sunday on the Monday after."""
WEEKDAYS = frozenset({(1, 0, 3), (2, 0, 3), (9, 0, 1), (10, 0, 2), (11, 3, 4)})
"""By month, weekday, and which of the month: Monday is 0. Memorial Day is the last Monday of May."""
ONE_DAY, ONE_WEEK = timedelta(days=1), timedelta(days=7)
MONDAY, FRIDAY, MAY = 0, 4, 5


def is_holiday(day: date) -> bool:
    """Whether the day is a holiday, or one is kept on it."""
    weekday = day.weekday()
    return (
        _is_of_year(day)
        or (day.month, weekday, (day.day + 6) // 7) in WEEKDAYS
        or (day.month == MAY and weekday == MONDAY and (day + ONE_WEEK).month != MAY)
        or (weekday == FRIDAY and _is_of_year(day + ONE_DAY))
        or (weekday == MONDAY and _is_of_year(day - ONE_DAY))
    )


def _is_of_year(day: date) -> bool:
    return (day.month, day.day) in DAYS
