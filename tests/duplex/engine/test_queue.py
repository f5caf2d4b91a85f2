"""The queue in front of the engines, and what it promises."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duplex.engine.queue import LeaseLengths, LeaseQueue


def test_first_come_first_served_of_a_thousand() -> None:
    queue = LeaseQueue[int](1000)
    for waiter in range(1000):
        queue.join(waiter)
        assert queue.position(waiter) == waiter + 1
    assert queue.is_full
    served = []
    while (head := queue.head) is not None:
        assert queue.position(head) == 1
        queue.leave(head)
        served.append(head)
    assert served == list(range(1000))


def test_whoever_lost_an_engine_stands_before_the_others_and_needs_no_room() -> None:
    queue = LeaseQueue[str](1)
    queue.join("came")
    queue.join("lost", first=True)
    queue.join("lost later", first=True)
    assert [queue.position(name) for name in ("lost", "lost later", "came", "nobody")] == [1, 2, 3, 0]
    assert queue.is_full
    queue.leave("lost")
    queue.leave("lost")
    assert (queue.head, len(queue)) == ("lost later", 2)


@given(st.lists(st.tuples(st.sampled_from(["join", "first", "leave", "serve"]), st.integers(0, 7))))
def test_it_is_two_lists_one_after_the_other(moves: list[tuple[str, int]]) -> None:
    queue = LeaseQueue[int](5)
    lists: dict[bool, list[int]] = {True: [], False: []}
    numbers = itertools.count()
    for move, any_of_them in moves:
        everybody = lists[True] + lists[False]
        which = 0 if move == "serve" else any_of_them
        if move == "first" or (move == "join" and not queue.is_full):
            waiter = next(numbers)
            queue.join(waiter, first=move == "first")
            lists[move == "first"].append(waiter)
        elif move in {"leave", "serve"} and which < len(everybody):
            gone = everybody[which]
            queue.leave(gone)
            for waiters in lists.values():
                if gone in waiters:
                    waiters.remove(gone)
        everybody = lists[True] + lists[False]
        assert queue.head == next(iter(everybody), None)
        assert [queue.position(waiter) for waiter in everybody] == list(range(1, len(everybody) + 1))
        assert (len(queue), queue.is_full) == (len(everybody), len(lists[False]) >= 5)


@pytest.mark.parametrize(
    ("lengths", "running", "position", "wait_s"),
    [
        ([], [10.0], 1, None),
        ([60.0], [], 1, None),
        ([60.0], [10.0], 1, 50.0),
        ([60.0], [10.0], 3, 170.0),
        ([60.0], [10.0, 30.0], 1, 30.0),
        ([60.0], [10.0, 30.0], 2, 50.0),
        ([60.0], [10.0, 30.0], 3, 90.0),
        ([60.0], [600.0], 1, 6.0),  # it lasts longer than usual: soon, and nobody knows when
        ([1.0, 60.0, 3000.0], [0.0], 1, 60.0),  # one that hung up at once and one that stayed an hour are not the rule
    ],
)
def test_the_estimate(lengths: list[float], running: list[float], position: int, wait_s: float | None) -> None:
    measured = LeaseLengths()
    for length in lengths:
        measured.record(length)
    assert measured.estimated_wait_s(position, running) == wait_s


def test_old_leases_are_forgotten() -> None:
    measured = LeaseLengths()
    for length in [1000.0] * 100 + [10.0] * 32:
        measured.record(length)
    assert measured.estimated_wait_s(1, [0.0]) == 10.0


@given(
    st.lists(st.floats(0.1, 1e4), min_size=1),
    st.lists(st.floats(0, 1e4), min_size=1, max_size=8),
)
def test_nobody_waits_longer_than_whoever_stands_behind_him(lengths: list[float], running: list[float]) -> None:
    measured = LeaseLengths()
    for length in lengths:
        measured.record(length)
    waits = [measured.estimated_wait_s(position, running) for position in range(1, 30)]
    assert all(one is not None and other is not None and 0 < one <= other for one, other in itertools.pairwise(waits))
