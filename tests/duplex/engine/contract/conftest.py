"""Fixtures for suites that need an engine behind the port: `engine_factory` for each kind there is, `parrot_factory`
where the content of the answer or a fault matters. Both give `async with engine_factory(limits=…, argv=…) as running`.
"""

import itertools
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

import pytest

from duplex.engine.limits import EngineLimits
from tests.duplex.engine.contract.harness import QUICK_LIMITS, RunningEngine, engine_kinds, running_engine


class EngineFactory(Protocol):
    """Starts an engine process with the adapter on it, and stops it at the end."""

    def __call__(
        self,
        *,
        limits: EngineLimits = QUICK_LIMITS,
        ctx_size: int = 4096,
        n_predict: int | None = None,
        argv: Sequence[str] = (),
    ) -> AbstractAsyncContextManager[RunningEngine]:
        """`argv` is added to the process's own."""
        ...


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for each engine this machine has."""
    if "engine_kind" in metafunc.fixturenames:
        metafunc.parametrize("engine_kind", engine_kinds())


@pytest.fixture
def engine_factory(engine_kind: str, tmp_path: Path) -> EngineFactory:
    """Starts engines of the kind the test runs on."""
    return _factory(engine_kind, tmp_path)


@pytest.fixture
def parrot_factory(tmp_path: Path) -> EngineFactory:
    """Starts parrots, whose answers are known and whose faults can be switched."""
    return _factory("parrot", tmp_path)


def _factory(kind: str, folder: Path) -> EngineFactory:
    numbers = itertools.count()

    def start(
        *,
        limits: EngineLimits = QUICK_LIMITS,
        ctx_size: int = 4096,
        n_predict: int | None = None,
        argv: Sequence[str] = (),
    ) -> AbstractAsyncContextManager[RunningEngine]:
        folder_of_one = folder / f"engine{next(numbers)}"
        return running_engine(kind, folder_of_one, limits=limits, ctx_size=ctx_size, n_predict=n_predict, argv=argv)

    return start
