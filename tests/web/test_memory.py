"""Memory goes back to the system: what is large at once, all else once a minute."""

import asyncio
import platform

import pytest

from web.memory import LARGE_BYTES, find_allocator, give_back, keep_large_apart


class Allocator:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.kept: list[int] = []
        self.options: list[tuple[int, int]] = []

    def malloc_trim(self, pad: int, /) -> int:
        self.kept.append(pad)
        return 1

    def mallopt(self, parameter: int, value: int, /) -> int:
        self.options.append((parameter, value))
        return 1


async def test_it_is_given_back_once_a_minute() -> None:
    waited: list[float] = []
    allocator = Allocator()

    async def sleep(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await give_back(allocator, sleep=sleep)
    assert (waited, allocator.kept) == ([60.0] * 3, [0, 0])


def test_what_is_large_is_kept_apart() -> None:
    allocator = Allocator()
    keep_large_apart(allocator)
    assert allocator.options == [(-3, LARGE_BYTES)]


async def test_where_there_is_no_such_allocator_nothing_waits() -> None:
    keep_large_apart(None)
    await give_back(None)


def test_it_is_found_where_it_is() -> None:
    allocator = find_allocator()
    assert (allocator is not None) == (platform.libc_ver()[0] == "glibc")
    if allocator is not None:
        assert allocator.malloc_trim(0) in {0, 1}
        assert allocator.mallopt(-3, LARGE_BYTES) == 1
