import asyncio
import contextlib
import weakref
from collections.abc import Awaitable, Callable

import pytest

from duplex.tasks import beside, first_of, task_group, wait_at_most


async def test_tasks_run_beside_the_body_and_end_with_it() -> None:
    running, ended = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        try:
            running.set()
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with beside(work=work()):
        await running.wait()
        assert not ended.is_set()
    assert ended.is_set()


async def test_the_error_of_the_body_leaves_as_itself() -> None:
    async def fail() -> None:
        async with beside(work=asyncio.sleep(3600)):
            raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        await fail()


async def test_the_error_of_a_task_ends_the_body() -> None:
    async def broken() -> None:
        raise LookupError("theirs")

    async def body() -> None:
        async with beside(work=broken()):
            await asyncio.Event().wait()

    with pytest.raises(LookupError, match="theirs"):
        await body()


async def test_of_two_errors_the_first_is_told() -> None:
    """An engine that dies fails several tasks for one reason; callers ask for its type and not for a group's."""

    async def broken() -> None:
        raise LookupError("theirs")

    async def body() -> None:
        async with beside(first=broken(), second=broken()):
            await asyncio.Event().wait()

    with pytest.raises(LookupError, match="theirs"):
        await body()


async def test_a_cancellation_that_meets_an_error_is_not_lost() -> None:
    began = asyncio.Event()

    async def fails_when_it_has_to_end() -> None:
        try:
            began.set()
            await asyncio.Event().wait()
        finally:
            raise LookupError("at the worst moment")

    async def takes_errors_and_goes_on() -> None:
        with contextlib.suppress(LookupError):
            async with task_group() as group:
                group.create_task(fails_when_it_has_to_end())
        await asyncio.Event().wait()

    task = asyncio.create_task(takes_errors_and_goes_on())
    await began.wait()
    task.cancel()
    await asyncio.wait([task], timeout=1)
    assert task.cancelled()


async def test_a_wait_ends_with_its_event_or_its_limit() -> None:
    event = asyncio.Event()
    assert not await wait_at_most(0.0, event)
    event.set()
    assert await wait_at_most(3600.0, event)


async def test_the_first_to_return_ends_the_others() -> None:
    ended: list[str] = []

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")

    async def returns() -> None:
        await asyncio.sleep(0)

    await first_of(slow=waits(), quick=returns())
    assert ended == ["cancelled"]


async def test_the_first_to_fail_ends_the_others_and_its_error_leaves_as_itself() -> None:
    async def fails() -> None:
        await asyncio.sleep(0)
        raise ValueError("why")

    with pytest.raises(ValueError, match="why"):
        await first_of(slow=asyncio.Event().wait(), broken=fails())  # type: ignore[arg-type]


class Witness:
    """Something a frame knows."""


async def _fails_beside(witness: Witness) -> None:
    async def fails() -> None:
        await asyncio.sleep(0)
        raise ValueError(type(witness).__name__)

    async def waits() -> None:
        await asyncio.Event().wait()

    async with beside(waits=waits()):
        await first_of(slow=waits(), broken=fails())


async def _is_cancelled_within(witness: Witness) -> None:
    async def knows_its_task() -> None:
        task = asyncio.current_task()
        await asyncio.Event().wait()
        del task

    async with beside(knows=knows_its_task()):
        await asyncio.sleep(0)
    del witness


async def _is_cancelled_when_it_fails(witness: Witness) -> None:
    async def fails_when_it_has_to_end() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise LookupError(type(witness).__name__)

    async def waits() -> None:
        async with task_group() as group:
            group.create_task(fails_when_it_has_to_end())

    async with beside(waits=waits()):
        await asyncio.sleep(0)
        await asyncio.sleep(0)


@pytest.mark.usefixtures("without_collector")
@pytest.mark.parametrize("body", [_fails_beside, _is_cancelled_within, _is_cancelled_when_it_fails])
async def test_what_a_failing_body_knew_does_not_wait_for_the_collector(
    body: Callable[[Witness], Awaitable[None]],
) -> None:
    witness = Witness()
    gone = weakref.ref(witness)
    with contextlib.suppress(ValueError):
        await body(witness)
    del witness
    assert gone() is None
