"""Percentiles without invention, and goals that can be missed."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.figures import Beside, Goal, Row, percentile

values = st.lists(st.floats(min_value=-1e6, max_value=1e6), min_size=1, max_size=300)
shares = st.integers(min_value=1, max_value=100).map(lambda percent: percent / 100)


@pytest.mark.parametrize(
    ("share", "expected"), [(0.01, 1.0), (0.5, 50.0), (0.51, 51.0), (0.95, 95.0), (0.99, 99.0), (1.0, 100.0)]
)
def test_a_percentile_of_a_hundred_values_is_the_value_of_that_rank(share: float, expected: float) -> None:
    assert percentile([float(value) for value in range(100, 0, -1)], share) == expected


@given(values, shares)
def test_a_percentile_was_measured_and_splits_the_values_as_it_says(measured: list[float], share: float) -> None:
    found = percentile(measured, share)
    below = sum(value < found for value in measured)
    not_above = sum(value <= found for value in measured)
    assert found in measured
    assert below < math.ceil(share * len(measured) - 1e-9) <= not_above


def test_of_few_values_the_high_percentiles_are_the_worst_one() -> None:
    assert percentile([3.0, 1.0, 2.0], 0.95) == 3.0


def test_no_values_have_no_percentile() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)


@pytest.mark.parametrize("share", [0.0, -0.1, 1.01])
def test_a_share_outside_the_values_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="share"):
        percentile([1.0], share)


def test_a_goal_allows_its_bound_unless_it_is_strict() -> None:
    assert Goal(0.5, 2.0).is_met([2.0])
    assert not Goal(0.5, 2.0, strict=True).is_met([2.0])
    assert not Goal(0.5, 2.0).is_met([2.1])


def test_a_goal_on_the_median_forgives_a_tail_and_a_goal_on_the_largest_does_not() -> None:
    measured = [1.0, 1.0, 9.0]
    assert Goal(0.5, 2.0).is_met(measured)
    assert not Goal(1.0, 2.0).is_met(measured)


def test_nothing_measured_meets_no_goal() -> None:
    assert not Goal(1.0, 0.0).is_met([])


def test_a_row_is_met_only_when_every_goal_is() -> None:
    goals = (Goal(0.5, 160.0), Goal(0.95, 250.0))
    assert Row("barge-in", "ms", [150.0, 240.0], goals).is_met
    assert not Row("barge-in", "ms", [150.0, 260.0], goals).is_met
    assert not Row("barge-in", "ms", [170.0, 170.0], goals).is_met


def test_a_row_prints_its_percentiles_goals_and_verdict() -> None:
    row = Row("hand-off", "ms", [1.0, 2.0, 30.0], (Goal(0.5, 2.0), Goal(0.99, 10.0)), tail=0.99)
    assert row.cells() == ("hand-off [ms]", "3", "2.0", "30.0", "30.0", "-", "-", "-", "-", "p50 ≤ 2, p99 ≤ 10", "NO")


def test_a_row_for_information_has_no_verdict() -> None:
    cells = Row("memory", "MB", [73.26], digits=2).cells()
    assert cells == ("memory [MB]", "1", "73.26", "73.26", "73.26", "-", "-", "-", "-", "-", "-")


def test_an_empty_row_says_so_and_misses_its_goal() -> None:
    row = Row("stale", "bytes", [], (Goal(1.0, 0.0),))
    assert row.cells() == ("stale [bytes]", "0", "-", "-", "-", "-", "-", "-", "-", "max ≤ 0", "NO")
    assert row.shortfalls() == ["Missed: stale: max ≤ 0, measured nothing."]


FLOOR = Goal(0.5, 1.3, Beside.FLOOR)
OLD = Goal(0.5, 12.0, Beside.OLD, least=True)


@pytest.mark.parametrize(
    ("values", "floor", "old", "met"),
    [
        ([1.25, 9.0], [1.0, 1.0], [15.0, 15.0], (True, True)),
        ([1.4], [1.0], [16.0], (False, False)),
        ([1.0], [], [], (False, False)),
        ([], [1.0], [99.0], (False, False)),
        ([1.0], [0.0], [99.0], (False, True)),
    ],
)
def test_a_goal_may_be_a_ratio_of_medians(
    values: list[float], floor: list[float], old: list[float], met: tuple[bool, bool]
) -> None:
    assert (FLOOR.is_met(values, floor=floor), OLD.is_met(values, old=old)) == met


def test_a_goal_may_ask_for_as_much_as_a_share_of_the_floor() -> None:
    goal = Goal(1.0, 0.5, Beside.FLOOR, least=True)
    assert goal.is_met([50.0], floor=[100.0])
    assert not goal.is_met([49.0], floor=[100.0])


def test_a_row_shows_what_was_measured_beside_it_and_where_its_limit_is() -> None:
    row = Row("hand-off", "ms", [1.5], (FLOOR, OLD), digits=2, floor=[1.0], old=[30.0])
    assert row.cells()[5:] == ("1.00", "30.00", "1.5", "20", "p50 ≤ 1.3 × floor, old ≥ 12 ×", "NO")
    assert row.shortfalls() == ["Missed: hand-off: p50 ≤ 1.3 × floor, measured 1.5."]
    assert (row.as_json()["floor"], row.as_json()["old"]) == ([1.0], [30.0])


def test_the_results_file_keeps_every_value() -> None:
    found = Row("start", "s", [1.23456, 2.0], (Goal(1.0, 3.0, strict=True),), facts={"runs": 2}).as_json()
    assert found == {
        "what": "start",
        "unit": "s",
        "n": 2,
        "p50": 1.235,
        "p95": 2.0,
        "max": 2.0,
        "goals": ["max < 3"],
        "met": True,
        "cells": ("start [s]", "2", "1.2", "2.0", "2.0", "-", "-", "-", "-", "max < 3", "yes"),
        "runs": 2,
        "values": [1.235, 2.0],
    }
