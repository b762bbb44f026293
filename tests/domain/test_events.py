"""Types of events, their bodies, and when a webhook is sent again."""

from datetime import UTC, datetime, timedelta
from itertools import accumulate

import pytest

from app.domain.event_bodies import RecordedEvent, build_body, shapes_of
from app.domain.events import EVENT_TYPES, GIVE_UP_AFTER, RETRIES, SHORT_TYPES, EventId, get_wait, parse_event_id


def test_an_event_is_tried_from_five_seconds_on_for_a_day() -> None:
    assert RETRIES[0] == timedelta(seconds=5)
    assert sum(RETRIES, timedelta()) == GIVE_UP_AFTER == timedelta(hours=24)
    assert max(RETRIES) == timedelta(hours=1)
    assert sorted(RETRIES[:6]) == list(RETRIES[:6])
    assert [get_wait(n + 1, None) for n in range(len(RETRIES))] == list(RETRIES)
    assert get_wait(len(RETRIES) + 1, None) is None
    assert list(accumulate(RETRIES))[-1] == GIVE_UP_AFTER


@pytest.mark.parametrize(("asked", "wait"), [(0.0, 1), (90.0, 90), (86_400.0, 3_600)])
def test_what_an_endpoint_asks_for_is_kept_within_bounds(asked: float, wait: int) -> None:
    assert get_wait(1, asked) == timedelta(seconds=wait)


def test_after_the_last_try_nothing_is_asked() -> None:
    assert get_wait(len(RETRIES) + 1, 5.0) is None


@pytest.mark.parametrize(
    "text", ["", "-", "1", "1-", "-1", "a-1", "1-1-1", "1.1.1-1", ".1-1", "²-1", "9999999999999999999-1", "2026-01-01"]
)
def test_what_is_no_event_id_is_none(text: str) -> None:
    assert parse_event_id(text) is None


def test_an_event_id_is_a_place_in_the_feed() -> None:
    assert parse_event_id("48211-1907") == EventId(0, 48211, 1907)
    assert parse_event_id("1767225600.48211-1907") == EventId(1767225600, 48211, 1907)


def test_every_type_has_a_shape_and_no_short_name() -> None:
    assert len(set(EVENT_TYPES)) == len(EVENT_TYPES)
    assert not set(EVENT_TYPES) & set(SHORT_TYPES)
    for event_type in EVENT_TYPES:
        assert shapes_of(event_type)


def test_a_body_has_phones_only_for_who_includes_them() -> None:
    data = {"event": "opted_out", "phone": "+12125550123"}
    event = RecordedEvent(
        7, 9, "consent", "optout", None, "service", data, None, datetime(2026, 2, 15, tzinfo=UTC), "7-9"
    )
    assert "phone" not in build_body("org_1", event, {}, False)["data"]
    assert build_body("org_1", event, {}, True)["data"]["phone"] == "+12125550123"
    assert (event.id, event.data) == ("7-9", data)
