"""What was heard, and pacing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duplex.playout import Pacer, PlayoutClock


def test_nothing_sent_is_nothing_heard() -> None:
    clock = PlayoutClock()
    assert clock.played_s(100.0) == 0.0
    assert clock.ends_at == float("-inf")


def test_without_reports_playing_starts_with_the_first_piece() -> None:
    clock = PlayoutClock()
    clock.sent(0.1, now=10.0)
    clock.sent(0.1, now=10.0)
    assert clock.played_s(10.05) == pytest.approx(0.05)
    assert clock.played_s(10.5) == pytest.approx(0.2)
    assert clock.ends_at == pytest.approx(10.2)


def test_an_underrun_pauses_the_estimate() -> None:
    clock = PlayoutClock()
    clock.sent(0.1, now=10.0)
    clock.sent(0.1, now=20.0)
    assert clock.played_s(20.05) == pytest.approx(0.15)


def test_a_report_replaces_the_estimate() -> None:
    clock = PlayoutClock()
    clock.sent(1.0, now=10.0)
    clock.acknowledge(0.2, now=10.5)
    assert clock.played_s(10.6) == pytest.approx(0.3)
    assert clock.ends_at == pytest.approx(11.3)


@pytest.mark.parametrize(("reported", "played"), [(-5.0, 0.0), (0.0, 0.0), (99.0, 1.0)])
def test_an_impossible_report_is_clamped(reported: float, played: float) -> None:
    clock = PlayoutClock()
    clock.sent(1.0, now=0.0)
    clock.acknowledge(reported, now=0.0)
    assert clock.played_s(0.0) == pytest.approx(played)


@given(st.lists(st.tuples(st.floats(0.001, 0.1), st.floats(0, 2)), min_size=1, max_size=60), st.floats(0.1, 1))
def test_pacing_never_runs_further_ahead_than_the_lead(pieces: list[tuple[float, float]], lead_s: float) -> None:
    """Whenever the writer comes round, what was sent is at most the lead ahead of what can have been played."""
    pacer, heard, now = Pacer(lead_s), PlayoutClock(), 0.0
    for duration, pause in pieces:
        now = max(now + pause, pacer.due_at(duration))
        pacer.sent(duration, now)
        heard.sent(duration, now)
        assert heard.sent_s - heard.played_s(now) <= max(lead_s, duration) + 1e-6


def test_a_reset_lets_the_next_piece_leave_at_once() -> None:
    pacer = Pacer(0.25)
    for _ in range(3):
        pacer.sent(0.1, 0.0)
    assert pacer.due_at(0.1) > 0.0
    pacer.reset()
    assert pacer.due_at(0.1) == float("-inf")


def test_while_held_the_clock_stands() -> None:
    clock = PlayoutClock()
    clock.sent(1.0, now=10.0)
    clock.hold(10.3)
    clock.hold(10.9)
    assert clock.played_s(12.0) == pytest.approx(0.3)
    assert clock.ends_at == float("inf")
    clock.release(13.3)
    assert clock.played_s(13.4) == pytest.approx(0.4)
    assert clock.ends_at == pytest.approx(14.0)
    clock.release(20.0)
    assert clock.ends_at == pytest.approx(14.0), "released once"


def test_a_report_while_held_is_believed() -> None:
    clock = PlayoutClock()
    clock.sent(1.0, now=10.0)
    clock.hold(10.3)
    clock.acknowledge(0.2, now=11.0)
    assert clock.played_s(12.0) == pytest.approx(0.2)
    clock.release(13.3)
    assert clock.ends_at == pytest.approx(14.1)
    clock.hold(13.4)
    clock.acknowledge(1.0, now=13.5)
    assert clock.ends_at == pytest.approx(13.4), "it has played everything all the same"


def test_a_piece_that_was_on_its_way_into_a_hold_is_played_after_it() -> None:
    clock = PlayoutClock()
    clock.sent(0.1, now=10.0)
    clock.hold(10.05)
    clock.sent(0.1, now=10.06)
    assert clock.played_s(11.0) == pytest.approx(0.05)
    clock.release(12.05)
    assert clock.ends_at == pytest.approx(12.2)


def test_a_hold_of_what_has_ended_changes_nothing() -> None:
    clock = PlayoutClock()
    clock.sent(0.1, now=10.0)
    clock.hold(11.0)
    assert clock.ends_at == pytest.approx(10.1)
    clock.release(12.0)
    assert clock.ends_at == pytest.approx(10.1)


def test_real_time_stands_still_with_a_client_that_waits() -> None:
    pacer = Pacer(0.25)
    pacer.sent(0.2, now=10.0)
    pacer.stood_still(5.0)
    assert pacer.due_at(0.1) == pytest.approx(15.05)


def test_dry_is_a_client_with_nothing_left_to_play() -> None:
    clock = PlayoutClock()
    assert clock.is_dry(0.0)
    clock.sent(0.1, now=10.0)
    assert not clock.is_dry(10.05)
    assert clock.is_dry(10.11)
    clock.hold(10.05)
    assert not clock.is_dry(99.0)
