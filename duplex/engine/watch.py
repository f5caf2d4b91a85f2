"""Wake-ups when a directory of the spool changes.

A wake-up is only a reason to look; what is there and whether it is whole is decided from the files themselves. So
every wait also ends by itself after `recheck_s`, which covers events the kernel drops and file systems that send none.
"""

import asyncio
import contextlib
import os
import sys
from collections import defaultdict
from pathlib import Path
from typing import Protocol

if sys.platform == "linux":
    import inotify_simple
else:
    inotify_simple = None

__all__ = ["DirectoryWatch", "InotifyWatcher", "PollingWatcher", "SpoolWatcher", "make_watcher"]

_EVENTS_BYTES = 64 * 1024
_OVERFLOW = 0x4000
"""IN_Q_OVERFLOW. As a plain number: flags of an enum cost ten times as much."""

NOTIFIED_RECHECK_S = 0.2
POLLED_RECHECK_S = 0.002
"""A poll of one name every 2 ms hands a file over in 1.1 ms at the median, for 4 % of a core while a turn is active."""


class DirectoryWatch(Protocol):
    """Interest in one directory."""

    async def wait(self) -> None:
        """Return at the next change since the last return, at `nudge`, or after the re-check time."""
        ...

    def nudge(self) -> None:
        """End the current or the next wait at once."""
        ...

    def close(self) -> None:
        """Lose interest. A wait in progress ends."""
        ...


class SpoolWatcher(Protocol):
    """One per process, made by the composition root."""

    def watch(self, directory: Path) -> DirectoryWatch:
        """Watch an existing `directory`. Called on the running loop."""
        ...

    def close(self) -> None:
        """Release what the watcher holds. Not on a loop with sessions: closing an inotify handle can take 15 ms."""
        ...


class _Watch:
    """An event that something else sets, with a re-check."""

    def __init__(self, recheck_s: float) -> None:
        self._recheck_s = recheck_s
        self._changed = asyncio.Event()

    async def wait(self) -> None:
        # A bare timer: `wait_at_most` would set up a cancellation, on the way of every piece of sound.
        recheck = asyncio.get_running_loop().call_later(self._recheck_s, self._changed.set)
        try:
            await self._changed.wait()
        finally:
            recheck.cancel()
        self._changed.clear()

    def nudge(self) -> None:
        self._changed.set()

    def close(self) -> None:
        self._changed.set()


class PollingWatcher:
    """Wakes every few milliseconds, wherever there is nothing better."""

    def __init__(self, *, recheck_s: float = POLLED_RECHECK_S) -> None:
        self._recheck_s = recheck_s

    def watch(self, directory: Path) -> DirectoryWatch:
        """A watch that only re-checks."""
        return _Watch(self._recheck_s)

    def close(self) -> None:
        """Nothing is held."""


class _InotifyWatch(_Watch):
    def __init__(self, watcher: "InotifyWatcher", descriptor: int, recheck_s: float) -> None:
        super().__init__(recheck_s)
        self._watcher = watcher
        self._descriptor = descriptor

    def close(self) -> None:
        super().close()
        self._watcher.forget(self._descriptor, self)


class InotifyWatcher:
    """Linux: one inotify handle for the life of the process, read by the loop.

    Watches come and go on it (0.01 to 0.05 ms); the handle itself is closed once, at the end.
    """

    def __init__(self, *, recheck_s: float = NOTIFIED_RECHECK_S) -> None:
        """Raises OSError where the kernel has no inotify instance to give."""
        self._recheck_s = recheck_s
        self._inotify = inotify_simple.INotify(nonblocking=True)
        self._watches: defaultdict[int, set[_InotifyWatch]] = defaultdict(set)
        self._loop: asyncio.AbstractEventLoop | None = None

    def watch(self, directory: Path) -> DirectoryWatch:
        """Watch for files that are finished, moved in or removed, and for the directory's own end."""
        self._attach()
        flags = inotify_simple.flags
        mask = flags.CLOSE_WRITE | flags.MOVED_TO | flags.DELETE_SELF | flags.MOVE_SELF
        try:
            descriptor = self._inotify.add_watch(directory, mask)
        except OSError:
            # No watch left to give, or no such directory: looking every 2 ms works without either.
            return _Watch(POLLED_RECHECK_S)
        watch = _InotifyWatch(self, descriptor, self._recheck_s)
        self._watches[descriptor].add(watch)
        return watch

    def forget(self, descriptor: int, watch: _InotifyWatch) -> None:
        """Drop one watch of a directory, and the kernel's when it was the last."""
        watches = self._watches.get(descriptor)
        if watches is None:
            return
        watches.discard(watch)
        if not watches:
            del self._watches[descriptor]
            with contextlib.suppress(OSError):
                self._inotify.rm_watch(descriptor)

    def close(self) -> None:
        """Close the handle, and with it every watch."""
        self._watches.clear()
        if self._loop is not None and not self._loop.is_closed():
            self._loop.remove_reader(self._inotify.fileno())
        self._inotify.close()

    def _attach(self) -> None:
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            loop.add_reader(self._inotify.fileno(), self._read)
            self._loop = loop

    def _read(self) -> None:
        try:
            # One system call instead of the three of `INotify.read`, which asks twice whether there is something.
            content = os.read(self._inotify.fileno(), _EVENTS_BYTES)
        except BlockingIOError:
            return
        for event in inotify_simple.parse_events(content):
            if event.mask & _OVERFLOW:
                touched = {watch for watches in self._watches.values() for watch in watches}
            else:
                touched = self._watches.get(event.wd, set())
            for watch in touched:
                watch.nudge()


def make_watcher() -> SpoolWatcher:
    """The best watcher this machine has. Blocks: the first of a process asks other programs where the C library is."""
    if inotify_simple is not None:
        with contextlib.suppress(OSError):
            return InotifyWatcher()
    return PollingWatcher()
