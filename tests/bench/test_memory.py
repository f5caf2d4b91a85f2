"""What the memory of a long call comes to, and what a queue that was served out of order or in part does."""

import pytest

from bench.memory import LongCall, rows, slope_mb_per_hour
from bench.queue import Waiting
from bench.queue import rows as queue_rows


@pytest.mark.parametrize(
    ("during_mb", "slope"),
    [
        ([90.0] * 60, 0.0),
        ([90.0 + number / 60 for number in range(60)], 2.0),
        # What is made in the first rounds is no growth.
        ([80.0] * 12 + [90.0] * 48, 0.0),
        # Nor is what the allocator keeps for a while.
        ([90.0 + (number % 2) * (number > 40) for number in range(60)], 0.0),
    ],
)
def test_growth_is_counted_for_an_hour_and_after_the_first_fifth(during_mb: list[float], slope: float) -> None:
    assert slope_mb_per_hour(during_mb, 0.5) == pytest.approx(slope, abs=1e-6)


def test_a_call_of_a_few_minutes_has_no_growth_to_show() -> None:
    assert slope_mb_per_hour([90.0] * 15, 0.1) is None
    assert [row.what for row in rows(LongCall(88.0, [90.0] * 15, 88.0))] == ["memory: left by that call"]


@pytest.mark.parametrize(
    ("growth_mb", "after_mb", "met"),
    [(0.9, 88.5, [True, True]), (1.1, 88.5, [False, True]), (0.0, 88.6, [True, False])],
)
def test_a_call_may_grow_by_less_than_two_megabytes_an_hour_and_leave_nothing(
    growth_mb: float, after_mb: float, met: list[bool]
) -> None:
    call = LongCall(88.0, [88.0 + growth_mb * number / 60 for number in range(60)], after_mb)
    assert call.hours == 0.5
    assert [row.is_met for row in rows(call)] == met


@pytest.mark.parametrize(("order", "met"), [([0, 1, 2], True), ([0, 2, 1], False), ([0, 1], False)])
def test_all_in_the_queue_are_served_in_their_order(order: list[int], met: bool) -> None:
    served, memory, *rest = queue_rows(Waiting(3, 80.0, 130.0, 0.5, order, 5.0))
    assert (served.is_met, memory.is_met) == (met, True)
    assert not any(row.goals for row in rest)
