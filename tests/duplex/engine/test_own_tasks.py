import asyncio

import pytest

from duplex.engine.own_tasks import OwnTasks
from duplex.errors import EngineExited, InvalidEvent


def _must_not_fail(failure: Exception) -> None:
    pytest.fail(f"told of {failure!r}")


async def _after(event: asyncio.Event, outcome: object) -> object:
    await event.wait()
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


async def test_a_task_outlives_the_wait_for_it() -> None:
    tasks, go = OwnTasks(), asyncio.Event()
    task = tasks.start(_after(go, "done"), "work", _must_not_fail)
    waiter = asyncio.ensure_future(asyncio.wait([task]))
    await asyncio.sleep(0)
    waiter.cancel()
    await asyncio.wait([waiter])
    go.set()
    assert await task == "done"


@pytest.mark.parametrize("outcome", [EngineExited("dead"), OSError(28, "No space left"), RuntimeError("a bug")])
async def test_a_failure_is_told(outcome: Exception) -> None:
    told: list[Exception] = []
    tasks, go = OwnTasks(), asyncio.Event()
    task = tasks.start(_after(go, outcome), "work", told.append)
    go.set()
    await asyncio.wait([task])
    await asyncio.sleep(0)
    assert told == [outcome]


@pytest.mark.parametrize("outcome", ["fine", InvalidEvent("no picture")])
async def test_what_is_no_failure_is_not_told(outcome: object) -> None:
    tasks, go = OwnTasks(), asyncio.Event()
    task = tasks.start(_after(go, outcome), "work", _must_not_fail)
    go.set()
    await asyncio.wait([task])
    await asyncio.sleep(0)
    assert task.done()


async def test_stopping_breaks_off_once_and_waits() -> None:
    hung_up = asyncio.Event()
    cancelled = 0

    async def hangs_up_slowly() -> None:
        nonlocal cancelled
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled += 1
            await hung_up.wait()
            raise

    tasks = OwnTasks()
    task = tasks.start(hangs_up_slowly(), "work", _must_not_fail)
    await asyncio.sleep(0)
    tasks.cancel()
    await asyncio.sleep(0)
    async with asyncio.TaskGroup() as group:
        stopping = group.create_task(tasks.stop())
        await asyncio.sleep(0)
        assert not stopping.done()
        hung_up.set()
    assert task.cancelled()
    assert cancelled == 1
    await tasks.stop()
