from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.duplex.engine.parrot.harness import Harness


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[..., Harness]]:
    """Starts parrots with the given faults, and ends them with the test."""
    with ExitStack() as stack:

        def start(*faults: str, **options: object) -> Harness:
            root = tmp_path / f"parrot{len(list(tmp_path.iterdir()))}"
            root.mkdir()
            return stack.enter_context(Harness(root, *faults, **options))  # type: ignore[arg-type]

        yield start


@pytest.fixture
def parrot(started: Callable[..., Harness]) -> Harness:
    """One without faults, not initialised."""
    return started()
