"""For all tests."""

from collections.abc import Iterator

import pytest

from bench.torture.blocking import LoopWatch


@pytest.fixture(autouse=True)
def nothing_holds_up_the_loop() -> Iterator[None]:
    """A test fails in whose event loop something computes for long, or waits without giving way."""
    with LoopWatch() as watch:
        yield
    assert watch.found == []
