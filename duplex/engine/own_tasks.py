"""Work of an adapter that goes on whoever stops waiting for it."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from duplex.errors import InvalidEvent

__all__ = ["OwnTasks"]

_T = TypeVar("_T")


class OwnTasks:
    """Tasks that end with their owner's conversation, and not with a call that is cancelled."""

    def __init__(self, on_failure: Callable[[Exception], None]) -> None:
        """`on_failure` is told what a task failed with, unless it was the caller's own fault."""
        self._on_failure = on_failure
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, _T], name: str) -> asyncio.Task[_T]:
        """Run `work`. Wait for it with `asyncio.wait`: awaiting a task cancels it when the wait is cancelled."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._notice)
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

    def _notice(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        failure = None if task.cancelled() else task.exception()
        if isinstance(failure, Exception) and not isinstance(failure, InvalidEvent):
            self._on_failure(failure)
