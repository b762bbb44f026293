"""Ids: as base64 would write them, in the order of their making."""

import base64
from datetime import UTC, datetime, timedelta

import pytest

from app.domain import ids


def test_an_id_is_a_uuid_of_version_7_in_base32hex() -> None:
    for _ in range(1000):
        kind, _, written = ids.make("msg").partition("_")
        whole = base64.b32hexdecode(written.upper() + "======")
        assert (kind, len(written), len(whole)) == ("msg", 26, 16)
        assert (whole[6] >> 4, whole[8] >> 6) == (7, 2)
        assert base64.b32hexencode(whole).decode().rstrip("=").lower() == written


def test_ids_sort_by_the_time_of_their_making() -> None:
    made = datetime.now(UTC)
    one = ids.make("int")
    assert ids.first_since("int", made - timedelta(milliseconds=5)) < one
    assert one < ids.first_since("int", made + timedelta(seconds=5))


@pytest.mark.parametrize("cell", [None, "east"])
def test_an_id_tells_the_hour_of_its_making(cell: str | None) -> None:
    hours = [datetime.now(UTC).replace(minute=0, second=0, microsecond=0)]
    made = ids.make("msg", cell)
    hours.append(datetime.now(UTC).replace(minute=0, second=0, microsecond=0))
    assert ids.get_hour(made) in hours


@pytest.mark.parametrize("id_", ["", "msg", "msg_", "int_old17", "msg_no-digits-of-ours-in-here-", "int_" + "a" * 27])
def test_what_is_not_one_of_our_ids_was_made_in_no_hour(id_: str) -> None:
    assert ids.get_hour(id_) is None
