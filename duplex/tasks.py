"""Small pieces of structured concurrency."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine, Generator, Mapping
from contextvars import Context
from typing import Any, TypeVar

__all__ = ["beside", "first_of", "task_group", "wait_at_most"]

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
            for task in tasks:
                task.cancel()


async def first_of(**coroutines: Coroutine[object, object, None]) -> None:
    """Run `coroutines` as tasks of those names until one returns or fails; the others are cancelled."""
    async with task_group() as group:
        tasks = _started(group, coroutines)
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()


def _started(
    group: asyncio.TaskGroup, coroutines: Mapping[str, Coroutine[object, object, None]]
) -> list[asyncio.Task[None]]:
    tasks = [group.create_task(coroutine, name=name) for name, coroutine in coroutines.items()]
    for task in tasks:
        task.add_done_callback(_forget_how)
    return tasks


def _forget_how(task: asyncio.Task[None]) -> None:
    """A cancelled task keeps the error, whose traceback keeps the groups within, which keep the task: with them a whole
    conversation would wait for the collector."""
    if task.cancelled():
        try:
            task.exception()
        except asyncio.CancelledError as error:
            error.__traceback__ = None


@contextlib.asynccontextmanager
async def task_group() -> AsyncIterator[asyncio.TaskGroup]:
    """A task group whose first error leaves as itself: callers catch errors by their type and need not know that a
    group was around them. An engine that dies fails several tasks at once, for one reason."""
    try:
        async with _TaskGroup() as group:
            yield group
            # Here and not on the way out, where Python before 3.13 leaves its own cancellation of us standing: then
            # nobody could tell it from one that came from outside.
            while group.running:
                await asyncio.wait(group.running)
    except BaseExceptionGroup as group_error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            # A cancellation that meets an error would be lost with it, and what is to end would go on for ever.
            raise asyncio.CancelledError from None
        error: BaseException = group_error
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        raise error from None


class _TaskGroup(asyncio.TaskGroup):
    def __init__(self) -> None:
        super().__init__()
        self.running: set[asyncio.Task[Any]] = set()

    def create_task(
        self,
        coro: Generator[Any, None, _T] | Coroutine[Any, Any, _T],
        *,
        name: str | None = None,
        context: Context | None = None,
    ) -> asyncio.Task[_T]:
        task = super().create_task(coro, name=name, context=context)
        self.running.add(task)
        task.add_done_callback(self.running.discard)
        return task
