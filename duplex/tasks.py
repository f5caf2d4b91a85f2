"""Small pieces of structured concurrency."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine, Generator, Mapping
from contextvars import Context
from types import TracebackType
from typing import Any, TypeVar

__all__ = ["beside", "first_of", "forget_where", "task_group", "wait_at_most"]

_T = TypeVar("_T")


async def wait_at_most(limit_s: float, event: asyncio.Event) -> bool:
    """Wait for `event`, `limit_s` seconds at the longest; tells whether it is set."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(limit_s):
            await event.wait()
    return event.is_set()


@contextlib.asynccontextmanager
async def beside(**coroutines: Coroutine[object, object, None]) -> AsyncIterator[None]:
    """Run `coroutines` while the body runs, as tasks of those names, and cancel them when it ends.

    One that fails ends the body.
    """
    async with task_group() as group:
        tasks = _started(group, coroutines)
        try:
            yield
        finally:
            _cancel_all(tasks)


async def first_of(**coroutines: Coroutine[object, object, None]) -> None:
    """Run `coroutines` as tasks of those names until one returns or fails; the others are cancelled."""
    async with task_group() as group:
        tasks = _started(group, coroutines)
        # Not `asyncio.wait`: its frame knows the tasks, and is a part of the cancellation that meets their error.
        is_one_done = _event_of(tasks)
        try:
            await is_one_done.wait()
        finally:
            _cancel_all(tasks)


def _started(
    group: asyncio.TaskGroup, coroutines: Mapping[str, Coroutine[object, object, None]]
) -> list[asyncio.Task[None]]:
    return [group.create_task(coroutine, name=name) for name, coroutine in coroutines.items()]


def _event_of(tasks: list[asyncio.Task[None]]) -> asyncio.Event:
    """Set when one of them is done."""
    event = asyncio.Event()
    for task in tasks:
        task.add_done_callback(lambda _: event.set())
    return event


def forget_where(task: asyncio.Task[Any]) -> None:
    """Where a task was cancelled: it keeps the error, whose traceback keeps frames, which may keep the task."""
    if task.cancelled():
        try:
            task.exception()
        except asyncio.CancelledError as error:
            error.__traceback__ = None


def _cancel_all(tasks: list[asyncio.Task[None]]) -> None:
    """And forget them: one that failed keeps its error, whose traceback keeps the frame that knows the list."""
    while tasks:
        tasks.pop().cancel()


@contextlib.asynccontextmanager
async def task_group() -> AsyncIterator[asyncio.TaskGroup]:
    """A task group whose first error leaves as itself: callers catch errors by their type and need not know that a
    group was around them. An engine that dies fails several tasks at once, for one reason.

    An error's traceback keeps the frames through which it came, and what these know. Nothing here knows an error that
    leaves, or a whole conversation would wait for the collector with minutes of sound.
    """
    error: BaseException | None = None
    try:
        async with _TaskGroup() as group:
            yield group
            # Here and not on the way out, where Python before 3.13 leaves its own cancellation of us standing: then
            # nobody could tell it from one that came from outside.
            while group.running:
                await asyncio.wait(group.running)
    except BaseExceptionGroup as group_error:
        # In its traceback is the frame that made it, and knows it.
        group_error.__traceback__ = None
        # A cancellation that meets an error would be lost with it, and what is to end would go on for ever.
        error = asyncio.CancelledError() if _is_being_cancelled() else group_error
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
    if error is not None:
        # Out here it does not get the group that it came in for its context.
        try:
            raise error
        finally:
            del error


def _is_being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class _TaskGroup(asyncio.TaskGroup):
    def __init__(self) -> None:
        super().__init__()
        self.running: set[asyncio.Task[Any]] = set()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await super().__aexit__(kind, error, trace)
        finally:
            # As Python 3.13 does it: whoever has opened a group keeps it in a frame, and the task keeps its error.
            self._errors: list[BaseException] = []
            self._parent_task: asyncio.Task[Any] | None = None
            del error

    def create_task(
        self,
        coro: Generator[Any, None, _T] | Coroutine[Any, Any, _T],
        *,
        name: str | None = None,
        context: Context | None = None,
    ) -> asyncio.Task[_T]:
        task = super().create_task(coro, name=name, context=context)
        self.running.add(task)
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self.running.discard(task)
        forget_where(task)
