"""Small pieces of structured concurrency."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine

__all__ = ["beside", "wait_at_most"]


async def wait_at_most(limit_s: float, event: asyncio.Event) -> bool:
    """Wait for `event`, `limit_s` seconds at the longest; tells whether it is set."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(limit_s):
            await event.wait()
    return event.is_set()


@contextlib.asynccontextmanager
async def beside(**coroutines: Coroutine[object, object, None]) -> AsyncIterator[None]:
    """Run `coroutines` while the body runs, as tasks of those names, and cancel them when it ends.

    One that fails ends the body. A single error leaves as itself: callers catch the body's errors by their type and
    need not know that a task group was around it.
    """
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(coroutine, name=name) for name, coroutine in coroutines.items()]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
    except BaseExceptionGroup as group_error:
        if len(group_error.exceptions) == 1:
            raise group_error.exceptions[0] from None
        raise
