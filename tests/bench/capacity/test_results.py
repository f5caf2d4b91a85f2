"""What trials come to."""

from dataclasses import replace

import pytest

from bench.capacity.client import lateness_s
from bench.capacity.results import capacity_rows, limit_of
from bench.capacity.trial import Trial, figures_of

GOOD, BAD = figures_of([1.0]), figures_of([50.0])


def trial(sessions: int, *, good: bool = True) -> Trial:
    figures = GOOD if good else BAD
    return Trial("ours", sessions, 50.0, 110.0, 60.0, 61.0, handling=figures, jitter=figures, client_late=GOOD)


def test_lateness_is_counted_from_the_piece_that_came_earliest() -> None:
    arrivals = [(10.0, 0.0), (10.1, 0.1), (10.19, 0.2), (10.32, 0.3)]
    assert lateness_s(arrivals) == pytest.approx([0.01, 0.01, 0.0, 0.03])


@pytest.mark.parametrize(
    ("trials", "limit"),
    [
        ([], (None, None)),
        ([trial(1)], (1, None)),
        ([trial(100, good=False), trial(10)], (10, 100)),
        ([trial(10), trial(100, good=False), trial(50), trial(400, good=False)], (50, 100)),
        ([trial(10, good=False)], (None, 10)),
    ],
)
def test_the_limit_is_between_what_held_and_what_did_not(
    trials: list[Trial], limit: tuple[int | None, int | None]
) -> None:
    assert limit_of(trials) == limit


@pytest.mark.parametrize("flaw", [{"silent": 1}, {"error": "A call was cut off.", "handling": {}}])
def test_who_loses_a_session_does_not_hold(flaw: dict[str, object]) -> None:
    assert not replace(trial(10), **flaw).holds(1000.0)  # type: ignore[arg-type]


def test_costs_are_a_sessions_share() -> None:
    assert (trial(10).cpu_a_session, trial(10).rss_a_session_kb) == (5.0, 5120.0)


@pytest.mark.parametrize(
    ("ours", "floor", "met"),
    [
        ([trial(100)], [trial(100)], [True, True, True]),
        ([trial(100)], [trial(400)], [True, True, False]),
        ([trial(50), trial(100, good=False)], [trial(100)], [False, False, True]),
        ([trial(100, good=False)], [trial(100)], [False, False, False]),
        ([trial(50)], [trial(50)], []),
        ([replace(trial(100), error="lost", handling={}, jitter={})], [], [False, False]),
    ],
)
def test_the_goals_are_for_a_hundred_calls_and_half_the_echo(
    ours: list[Trial], floor: list[Trial], met: list[bool]
) -> None:
    assert [row.is_met for row in capacity_rows(ours, floor) if row.goals] == met


def test_each_size_shows_delays_and_costs_beside_those_of_the_echo() -> None:
    found = list(capacity_rows([trial(10)], [replace(trial(10), cpu_percent=20.0)]))
    assert [row.what for row in found] == [
        "10 calls: frame sent → decided, p99",
        "10 calls: sound later than its place, p99",
        "10 calls: CPU",
        "10 calls: memory",
    ]
    assert [(list(row.values), list(row.floor)) for row in found[2:]] == [([5.0], [2.0]), ([5120.0], [5120.0])]
