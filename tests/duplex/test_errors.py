"""Failures that are kept and raised more than once."""

import pytest

from duplex.errors import EngineBusy, EngineExited, InvalidEvent, anew


@pytest.mark.parametrize(
    "failure",
    [
        EngineExited("It was killed."),
        InvalidEvent("No.", code="invalid_image", param="image"),
        EngineBusy("Later.", retry_after_s=3.0),
    ],
)
def test_the_same_failure_says_the_same_and_comes_from_nowhere(failure: Exception) -> None:
    with pytest.raises(type(failure)):
        raise failure
    again = anew(failure)
    assert (type(again), str(again), vars(again)) == (type(failure), str(failure), vars(failure))
    assert failure.__traceback__ is not None
    assert (again.__traceback__, again.__cause__, again.__context__) == (None, None, None)


def test_a_bug_leads_back_to_where_it_came_from() -> None:
    bug = KeyError("a")
    assert anew(bug).__cause__ is bug
