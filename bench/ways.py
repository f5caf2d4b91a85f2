"""How WAVs in a directory are found: the least that does it, and the two ways of llama.cpp-omni's own Python server.

Each is an endless iterator over one directory that nobody else reads: the sound of each WAV, then None when the turn is
over. Files are removed as they are read.

The old server's ways are modelled on what its source does and when it waits; what it spends between two waits is left
out, so the model is faster than the original: 16 ms in the mean for its 16.8 ms in simplex, 95 for its 97 to 122 ms in
duplex.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from pathlib import Path

from duplex.engine.spool import DONE_FLAG, wav_number
from duplex.wav import IncompleteWav, read_wav

__all__ = ["WAYS", "Way", "notified", "old_duplex", "old_simplex"]

Way = Callable[[Path], AsyncGenerator[bytes | None, None]]

_SIMPLEX_POLL_S = 0.01
_SIMPLEX_SETTLE_S = 0.01
"""A file that was found is left alone for so long, in case it is still being written."""
_DUPLEX_SCAN_S = 0.05
_DUPLEX_SETTLE_S = 0.02
_DUPLEX_TICK_S = 0.1
"""The loop that sends looks for what the loop that scans has found when its wait for text has ended."""


async def notified(directory: Path) -> AsyncGenerator[bytes | None, None]:
    """As soon as the kernel says that a file was closed. Linux."""
    from inotify_simple import INotify, flags  # noqa: PLC0415 - the other ways need none

    closed: asyncio.Queue[str] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    with contextlib.closing(INotify(nonblocking=True)) as inotify:
        inotify.add_watch(directory, flags.CLOSE_WRITE)

        def look() -> None:
            for event in inotify.read(timeout=0):
                closed.put_nowait(event.name)

        loop.add_reader(inotify.fileno(), look)
        try:
            while True:
                for what in _taken(directory / await closed.get()):
                    yield what
        finally:
            loop.remove_reader(inotify.fileno())


async def old_simplex(directory: Path) -> AsyncGenerator[bytes | None, None]:
    """Look, let each new file settle, read it, and look again after a pause."""
    while True:
        for name in _listed(directory):
            if name != DONE_FLAG:
                await asyncio.sleep(_SIMPLEX_SETTLE_S)
            for what in _taken(directory / name):
                yield what
        await asyncio.sleep(_SIMPLEX_POLL_S)


async def old_duplex(directory: Path) -> AsyncGenerator[bytes | None, None]:
    """One loop scans and lets files settle, another one sends what the first has found."""
    found: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def scan() -> None:
        while True:
            for name in _listed(directory):
                if name != DONE_FLAG:
                    await asyncio.sleep(_DUPLEX_SETTLE_S)
                for what in _taken(directory / name):
                    found.put_nowait(what)
            await asyncio.sleep(_DUPLEX_SCAN_S)

    scanning = asyncio.create_task(scan())
    try:
        while True:
            await asyncio.sleep(_DUPLEX_TICK_S)
            while not found.empty():
                yield found.get_nowait()
    finally:
        scanning.cancel()


WAYS: dict[str, Way] = {"notified": notified, "simplex": old_simplex, "duplex": old_duplex}
"""By the name in a request to the relay."""


def _listed(directory: Path) -> Sequence[str]:
    """WAVs in the engine's order, and the flag behind them."""
    names = [path.name for path in directory.iterdir()]
    wavs = sorted((name for name in names if wav_number(name) is not None), key=lambda name: wav_number(name) or 0)
    return [*wavs, *(name for name in names if name == DONE_FLAG)]


def _taken(path: Path) -> Iterator[bytes | None]:
    """What a file says, which is then removed: nothing while it is not whole."""
    sound = None
    if path.name != DONE_FLAG:
        try:
            sound = read_wav(path.read_bytes()).pcm
        except IncompleteWav:
            return
    path.unlink()
    yield sound
