"""A/B tests: sides stay, and the comparison may be looked at any time."""

import random
from collections.abc import Iterable
from functools import cache

import pytest

from app.domain.experiments import (
    ALPHA,
    NOTHING_FOUND,
    Side,
    SideCount,
    choose_side,
    compare,
    describe,
    describe_opt_outs,
    find_safer_side,
    get_growth,
)

RUNS = 2000
growth = cache(get_growth)
Counts = dict[Side, SideCount]


def opted_out(leads_a: int, of_a: int, leads_b: int, of_b: int) -> Counts:
    return {"a": SideCount("a", of_a, opted_out=leads_a), "b": SideCount("b", of_b, opted_out=leads_b)}


def test_a_lead_stays_on_its_side_and_the_share_is_that_of_the_leads() -> None:
    for share in (0.01, 0.2, 0.5):
        sides = [choose_side("experiment_1", f"lead_{n}", share) for n in range(20_000)]
        assert sides == [choose_side("experiment_1", f"lead_{n}", share) for n in range(20_000)]
        assert abs(sides.count("b") / 20_000 - share) < 0.011
    again = [choose_side("experiment_2", f"lead_{n}", 0.5) for n in range(20_000)]
    assert abs(sum(one == other for one, other in zip(sides, again, strict=True)) / 20_000 - 0.5) < 0.02


def is_stopped(sides: Iterable[Side], share: float) -> bool:
    """Whether an experiment stops whose leads on these sides opt out, one after the other, and are looked at each
    time."""
    count_a = count_b = 0
    for side in sides:
        if side == "b":
            count_b += 1
        else:
            count_a += 1
        if growth(count_a, count_b, share) >= 1 / ALPHA:
            return True
    return False


def count_false_stops(share: float, opt_outs: int) -> int:
    return sum(
        is_stopped((choose_side(f"experiment_{run}", f"lead_{n}", share) for n in range(opt_outs)), share)
        for run in range(RUNS)
    )


@pytest.mark.short
@pytest.mark.parametrize("share", [0.1, 0.5])
def test_of_2000_experiments_with_equal_sides_at_most_alpha_stop(share: float) -> None:
    """200 opt-outs: some 7,000 leads of which 3 % opt out."""
    assert 0 < count_false_stops(share, 200) <= ALPHA * RUNS


@pytest.mark.long
@pytest.mark.parametrize("share", [0.05, 0.5])
def test_of_2000_long_experiments_with_equal_sides_at_most_alpha_stop(share: float) -> None:
    """2,000 opt-outs: some 67,000 leads of which 3 % opt out."""
    assert count_false_stops(share, 2000) <= ALPHA * RUNS


def count_leads_until_stopped(rate_a: float, rate_b: float, share: float, run: int, limit: int) -> tuple[int, Side]:
    """Leads until it stops, and where they all go then."""
    dice = random.Random(run)
    counts = {"a": [0, 0], "b": [0, 0]}
    for lead in range(limit):
        side = choose_side(f"experiment_{run}", f"lead_{lead}", share)
        counts[side][1] += 1
        if dice.random() < (rate_b if side == "b" else rate_a):
            counts[side][0] += 1
            if growth(counts["a"][0], counts["b"][0], share) >= 1 / ALPHA:
                kept = find_safer_side(opted_out(*counts["a"], *counts["b"]), share)
                assert kept
                return lead + 1, kept
    return limit + 1, "b"


@pytest.mark.parametrize(
    ("rate_a", "rate_b", "share", "within", "kept"),
    [
        (0.02, 0.10, 0.5, 750, "a"),
        (0.02, 0.06, 0.5, 2300, "a"),
        (0.02, 0.10, 0.1, 2000, "a"),
        (0.10, 0.02, 0.5, 750, "b"),
    ],
)
def test_a_rise_in_opt_outs_is_stopped_within_so_many_leads(
    rate_a: float, rate_b: float, share: float, within: int, kept: Side
) -> None:
    """In 19 of 20 experiments: docs/trials.md says these numbers."""
    results = [count_leads_until_stopped(rate_a, rate_b, share, run, within) for run in range(200)]
    assert sum(leads <= within and side == kept for leads, side in results) >= 190


def test_a_few_opt_outs_alone_stop_nothing_and_a_row_of_them_does() -> None:
    assert find_safer_side(opted_out(0, 40, 3, 40), 0.5) is None
    assert find_safer_side(opted_out(0, 0, 0, 0), 0.5) is None
    assert find_safer_side(opted_out(0, 40, 12, 40), 0.5) == "a"
    assert find_safer_side(opted_out(12, 40, 0, 40), 0.5) == "b"
    assert find_safer_side(opted_out(12, 360, 1, 40), 0.1) is None, "nine of ten leads are on A"


def test_the_bounds_hold_the_true_ratio_and_close_in_on_it() -> None:
    finding = compare({"a": SideCount("a", 5000, 500), "b": SideCount("b", 5000, 1000)}, "replied", 0.5)
    assert finding.more == "b"
    assert finding.low
    assert finding.high
    assert 1.6 < finding.low < 2 < finding.high < 2.5
    wider = compare({"a": SideCount("a", 500, 50), "b": SideCount("b", 500, 100)}, "replied", 0.5)
    assert wider.low
    assert wider.high
    assert wider.low < finding.low < finding.high < wider.high
    nothing = compare({"a": SideCount("a"), "b": SideCount("b")}, "qualified", 0.2)
    assert (nothing.more, nothing.low, nothing.high) == (None, None, None)
    far = compare({"a": SideCount("a"), "b": SideCount("b", replied=300)}, "replied", 0.01)
    assert (far.more, far.low, far.high) == ("b", None, None), "more than a thousand times as often"
    outside = 0
    for run in range(200):  # B's leads do it three times as often as A's, with a share of a fifth
        dice = random.Random(run)
        share, ratio = 0.2, 3.0
        odds = share * ratio / (1 - share)
        count_b = sum(dice.random() < odds / (1 + odds) for _ in range(150))
        found = compare(
            {"a": SideCount("a", replied=150 - count_b), "b": SideCount("b", replied=count_b)}, "replied", share
        )
        outside += not (found.low or 0) <= ratio <= (found.high or 1e9)
    assert outside <= ALPHA * 200


def test_the_verdict_is_said_in_words() -> None:
    counts: Counts = {"a": SideCount("a", 1300, 300, 60, 2), "b": SideCount("b", 1210, 600, 61, 40)}
    assert describe(counts, 0.5) == (
        "More leads of B replied: 600 of 1,210, and 300 of 1,300 of A. "
        "More leads of B opted out: 40 of 1,210, and 2 of 1,300 of A."
    )
    assert describe_opt_outs(counts, 0.5) == "More leads of B opted out: 40 of 1,210, and 2 of 1,300 of A."
    assert describe(opted_out(1, 10, 1, 10), 0.5) == NOTHING_FOUND
