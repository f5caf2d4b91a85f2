"""Small pieces of structured concurrency."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine

__all__ = ["beside", "first_of", "task_group", "wait_at_most"]


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
        tasks = [group.create_task(coroutine, name=name) for name, coroutine in coroutines.items()]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()


async def first_of(**coroutines: Coroutine[object, object, None]) -> None:
    """Run `coroutines` as tasks of those names until one returns or fails; the others are cancelled."""
    async with task_group() as group:
        tasks = [group.create_task(coroutine, name=name) for name, coroutine in coroutines.items()]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()


@contextlib.asynccontextmanager
async def task_group() -> AsyncIterator[asyncio.TaskGroup]:
    """A task group whose first error leaves as itself: callers catch errors by their type and need not know that a
    group was around them. An engine that dies fails several tasks at once, for one reason."""
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except BaseExceptionGroup as group_error:
        error: BaseException = group_error
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        raise error from None
