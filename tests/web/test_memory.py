"""Memory goes back to the system once a minute."""

import asyncio
import platform

import pytest

from web.memory import find_trim, give_back


async def test_it_is_given_back_once_a_minute() -> None:
    waited: list[float] = []
    kept: list[int] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            raise asyncio.CancelledError

    def trim(pad: int) -> int:
        kept.append(pad)
        return 1

    with pytest.raises(asyncio.CancelledError):
        await give_back(trim, sleep=sleep)
    assert (waited, kept) == ([60.0] * 3, [0, 0])


async def test_where_there_is_no_such_call_nothing_waits() -> None:
    await give_back(None)


def test_it_is_found_where_it_is() -> None:
    trim = find_trim()
    assert (trim is not None) == (platform.libc_ver()[0] == "glibc")
    assert trim is None or trim(0) in {0, 1}
