"""What ends a run is told to the user; a bug is not hidden behind it."""

from bench.errors import BenchError, cause

LOST = BenchError("no answer")


def test_a_finding_is_found_in_any_depth_of_groups() -> None:
    assert cause(LOST) is LOST
    assert cause(ExceptionGroup("tasks", [ExceptionGroup("call", [LOST]), BenchError("also")])) is LOST


def test_a_bug_is_not_taken_for_a_finding_even_beside_one() -> None:
    assert cause(KeyError("x")) is None
    assert cause(ExceptionGroup("tasks", [LOST, ExceptionGroup("call", [KeyError("x")])])) is None
