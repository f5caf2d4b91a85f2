"""For all tests."""

import gc
from collections.abc import Iterator

import pytest

from bench.torture.blocking import LoopWatch
from duplex.engine.watch import make_watcher


@pytest.fixture(scope="session", autouse=True)
def first_watcher() -> None:
    """The first one of a process asks a program where the C library is, which the server does in a thread."""
    make_watcher().close()


@pytest.fixture(autouse=True)
def nothing_holds_up_the_loop() -> Iterator[None]:
    """A test fails in whose event loop something computes for long, or waits without giving way."""
    with LoopWatch() as watch:
        yield
    assert watch.found == []


@pytest.fixture
def without_collector() -> Iterator[None]:
    """What the test leaves in cycles stays."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()
