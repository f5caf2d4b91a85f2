"""Work of an adapter that goes on whoever stops waiting for it."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, TypeVar

from duplex.errors import InvalidEvent
from duplex.tasks import forget_where

__all__ = ["OwnTasks"]

_T = TypeVar("_T")


class OwnTasks:
    """Tasks that end with their owner's conversation, and not with a call that is cancelled."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(
        self, work: Coroutine[Any, Any, _T], name: str, on_failure: Callable[[Exception], None]
    ) -> asyncio.Task[_T]:
        """Run `work`. Wait for it with `asyncio.wait`: awaiting a task cancels it when the wait is cancelled.

        `on_failure` is told what it fails with, unless that is the caller's own fault. It is known only while the task
        runs: an owner that was known for ever would wait for the collector with all it has heard.
        """
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(partial(self._notice, on_failure))
        return task

    def cancel(self) -> None:
        """Break all of it off, once: a second time would break off how the first one hangs up, and leave its connection
        open."""
        for task in self._tasks:
            if not task.cancelling():
                task.cancel()

    async def stop(self) -> None:
        """Break all of it off, and return when it has ended."""
        self.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _notice(self, on_failure: Callable[[Exception], None], task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        forget_where(task)
        failure = None if task.cancelled() else task.exception()
        if isinstance(failure, Exception) and not isinstance(failure, InvalidEvent):
            on_failure(failure)
