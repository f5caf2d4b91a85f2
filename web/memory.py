"""Gives memory that nothing uses any more back to the system, as long as the server runs.

glibc keeps what was freed for what comes next, in holes between what still lives. A server would hold on to the most
that it ever needed at once. The allocators of other systems have no such call, and need none.
"""

import asyncio
import ctypes
from collections.abc import Awaitable, Callable

__all__ = ["find_trim", "give_back"]

_EVERY_S = 60.0
"""Of giving back. It stops the allocator for about 5 ms when there are 20 MB to give, and for 1 ms when there is
nothing (2 virtual CPUs): too little to be heard, and too much for every call that ends."""

Trim = Callable[[int], int]


def find_trim() -> Trim | None:
    """The C library's `malloc_trim`; None where there is none."""
    try:
        trim: Trim = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):
        return None
    return trim


async def give_back(trim: Trim | None, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
    """Call `trim` once a minute, for ever; return at once where there is none."""
    while trim is not None:
        await sleep(_EVERY_S)
        await asyncio.to_thread(trim, 0)
