"""Places in a line: arrival decides, not how soon a body is read."""

import asyncio
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duplex.errors import EngineBusy
from http_compat.line import Errand, Line, Place

PATIENCE_S = 5.0


async def served(line: Line[str], count: int) -> list[str | None]:
    """What a worker gets to do, in order."""
    works = []
    for _ in range(count):
        place = await line.first()
        assert place is not None
        works.append(await place.work())
        line.leave(place)
    return works


def joined(line: Line[str], *errands: Errand) -> list[Place[str]]:
    return [line.join(errand) for errand in errands]


@given(st.permutations(range(6)), st.sets(st.integers(0, 5)))
async def test_work_is_done_in_the_order_of_arrival_however_the_bodies_come(order: list[int], spoilt: set[int]) -> None:
    line: Line[str] = Line(6)
    places = joined(line, *itertools.islice(itertools.cycle(Errand), 6))
    worker = asyncio.create_task(served(line, 6))
    for number in order:
        await asyncio.sleep(0)
        places[number].fill(None if number in spoilt else f"work {number}")
    async with asyncio.timeout(PATIENCE_S):
        works = await worker
    assert works == [None if number in spoilt else f"work {number}" for number in range(6)]
    assert len(line) == 0


async def test_a_worker_that_came_first_waits_for_the_first_place() -> None:
    line: Line[str] = Line(2)
    worker = asyncio.create_task(served(line, 1))
    await asyncio.sleep(0)
    with line.join(Errand.GENERATE) as place:
        place.fill("answer")
    async with asyncio.timeout(PATIENCE_S):
        assert await worker == ["answer"]


async def test_a_place_stays_the_first_until_it_leaves() -> None:
    line: Line[str] = Line(2)
    first, second = joined(line, Errand.PREFILL, Errand.GENERATE)
    assert await line.first(0.0) is first
    assert await line.first() is first
    assert list(line) == [first, second]
    line.leave(first)
    assert await line.first(0.0) is second


async def test_patience_ends() -> None:
    line: Line[str] = Line(2)
    assert await line.first(0.0) is None
    assert await line.first_prefill(0.0) is None
    (generate,) = joined(line, Errand.GENERATE)
    assert await line.first_prefill(0.0) is None
    line.leave(generate)
    # The line has grown before, which is no news.
    assert await line.first(0.0) is None


async def test_the_first_prefill_passes_over_others() -> None:
    line: Line[str] = Line(4)
    _, prefill, _, _ = joined(line, Errand.GENERATE, Errand.PREFILL, Errand.GENERATE, Errand.PREFILL)
    assert await line.first_prefill(0.0) is prefill
    line.leave(prefill)
    assert [place.errand for place in line] == [Errand.GENERATE, Errand.GENERATE, Errand.PREFILL]


async def test_a_prefill_is_waited_for_while_others_come() -> None:
    line: Line[str] = Line(4)
    joined(line, Errand.GENERATE)
    waiting = asyncio.create_task(line.first_prefill(PATIENCE_S))
    await asyncio.sleep(0)
    joined(line, Errand.GENERATE)
    await asyncio.sleep(0)
    (prefill,) = joined(line, Errand.PREFILL)
    async with asyncio.timeout(PATIENCE_S):
        assert await waiting is prefill


async def test_a_full_line_says_when_to_try_again() -> None:
    line: Line[str] = Line(2)
    first, _ = joined(line, Errand.PREFILL, Errand.PREFILL)
    with pytest.raises(EngineBusy, match="2 requests") as refused:
        line.join(Errand.PREFILL)
    assert refused.value.retry_after_s == 1.0
    assert len(line) == 2
    line.leave(first)
    joined(line, Errand.PREFILL)


async def test_whoever_leaves_without_work_lets_the_next_go_on() -> None:
    line: Line[str] = Line(2)
    with pytest.raises(LookupError), line.join(Errand.PREFILL):
        raise LookupError("the body was no good")
    with line.join(Errand.PREFILL) as place:
        place.fill("hear")
    async with asyncio.timeout(PATIENCE_S):
        assert await served(line, 2) == [None, "hear"]


async def test_the_first_word_about_a_place_counts() -> None:
    line: Line[str] = Line(1)
    with line.join(Errand.GENERATE) as place:
        assert place.known is None
        assert not place.is_broken
        place.fill("answer")
        assert place.known == "answer"
        place.fill("something else")
    assert await place.work() == "answer"


async def test_a_worker_that_is_cancelled_takes_no_place_with_it() -> None:
    line: Line[str] = Line(1)
    (place,) = joined(line, Errand.PREFILL)
    worker = asyncio.create_task(served(line, 1))
    await asyncio.sleep(0)
    worker.cancel()
    await asyncio.gather(worker, return_exceptions=True)
    place.fill("hear")
    assert await served(line, 1) == ["hear"]


async def test_those_who_stand_in_it_can_be_walked_while_they_leave() -> None:
    line: Line[str] = Line(3)
    places = joined(line, *[Errand.PREFILL] * 3)
    for place in line:
        line.leave(place)
    assert len(line) == 0
    assert [place.known for place in places] == [None] * 3
