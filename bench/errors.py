"""What ends a benchmark without a result."""

import asyncio
from collections.abc import Coroutine
from typing import TypeVar

from rich.console import Console

__all__ = ["BenchError", "cause", "run_measurement"]

T = TypeVar("T")


class BenchError(Exception):
    """Something did not happen that every run needs; the message says what."""


def cause(error: Exception) -> BenchError | None:
    """What to tell the user, out of whatever groups it is in; None when anything else failed too, which is a bug."""
    if isinstance(error, BenchError):
        return error
    if not isinstance(error, ExceptionGroup):
        return None
    causes = [cause(inner) for inner in error.exceptions]
    return causes[0] if all(causes) else None


def run_measurement(run: Coroutine[object, object, T], console: Console) -> T | None:
    """What `run` returns; None when there is no result, which the user is then told. Raises whatever is a bug."""
    try:
        return asyncio.run(run)
    except (BenchError, ExceptionGroup) as error:
        found = cause(error)
        if found is None:
            raise
        console.print(f"No result: {found}", markup=False, highlight=False, soft_wrap=True)
        return None
