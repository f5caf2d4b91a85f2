"""Finds what holds up an event loop: callbacks that compute for long, and calls that wait in the loop's own thread.

Computing is counted in the thread's own CPU time, without the garbage collector's share, so that a busy machine proves
nothing. Calls are found by Python's audit events, and naps by their name; those that asyncio makes are let be: it knows
how.
"""

import asyncio
import gc
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self
from unittest import mock

__all__ = ["BUSY_S", "LoopWatch"]

BUSY_S = 0.25
"""CPU time of one callback. Nothing here needs a tenth of it, and a call's sound is held up by all of it."""

_ROOT = Path(__file__).parents[2]
_OURS = tuple(f"{_ROOT / folder}/" for folder in ("duplex", "realtime", "http_compat", "web"))
_TESTS = f"{_ROOT / 'tests'}/"
_ASYNCIO = str(Path(asyncio.__file__).parent)
_WAITS = frozenset({"subprocess.Popen", "os.system", "socket.connect", "socket.getaddrinfo", "shutil.rmtree"})
_run_handle: Callable[[asyncio.Handle], None] = asyncio.Handle._run  # noqa: SLF001
_sleep = time.sleep
# An audit hook is for ever: there is one, and it asks who watches.
_watches: list["LoopWatch"] = []
_hooks: list[Callable[[str, tuple[Any, ...]], None]] = []


class LoopWatch:
    """Watches every asyncio loop of this process while it is entered, but for what tests themselves run in one."""

    def __init__(self, busy_s: float = BUSY_S) -> None:
        self.found: list[str] = []
        self._busy_s = busy_s

        def run(handle: asyncio.Handle) -> None:
            self._run(handle)

        def nap(seconds: float) -> None:
            self.note_call("time.sleep", (seconds,))
            _sleep(seconds)

        self._patches = (mock.patch.object(asyncio.Handle, "_run", run), mock.patch.object(time, "sleep", nap))
        self._inside = threading.local()
        self._collected_s = 0.0
        self._collects_since_s = 0.0

    def __enter__(self) -> Self:
        if not _hooks:
            _hooks.append(_hear)
            sys.addaudithook(_hear)
        _watches.append(self)
        gc.callbacks.append(self._note_collection)
        for patch in self._patches:
            patch.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for patch in self._patches:
            patch.stop()
        gc.callbacks.remove(self._note_collection)
        _watches.remove(self)

    def note_call(self, event: str, arguments: Sequence[Any]) -> None:
        """What the audit hook hears."""
        if not getattr(self._inside, "callback", False) or _cannot_wait(event, arguments):
            return
        if culprit := _culprit(sys._getframe()):  # noqa: SLF001
            self.found.append(f"{event} in the event loop's thread, at {culprit}")

    def _run(self, handle: asyncio.Handle) -> None:
        self._inside.callback = True
        self._collected_s = 0.0
        began_s = time.thread_time()
        try:
            _run_handle(handle)
        finally:
            took_s = time.thread_time() - began_s - self._collected_s
            self._inside.callback = False
            if took_s > self._busy_s and not _is_of_a_test(handle):
                self.found.append(f"the event loop was busy for {took_s:.2f} s with {handle!r}"[:500])

    def _note_collection(self, phase: str, _facts: dict[str, int]) -> None:
        if phase == "start":
            self._collects_since_s = time.thread_time()
        else:
            self._collected_s += time.thread_time() - self._collects_since_s


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if event in _WAITS:
        for watch in _watches:
            watch.note_call(event, arguments)


def _cannot_wait(event: str, arguments: Sequence[Any]) -> bool:
    return event == "socket.connect" and arguments[0].gettimeout() == 0.0


def _culprit(frame: FrameType | None) -> str | None:
    """Our own line that makes the call; None when asyncio makes it, or a test."""
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith((_ASYNCIO, _TESTS)):
            return None
        if file.startswith(_OURS):
            return f"{Path(file).relative_to(_ROOT)}:{frame.f_lineno}"
        frame = frame.f_back
    return None


def _is_of_a_test(handle: asyncio.Handle) -> bool:
    """Whether it is a step of a test's own coroutine: tests may compute as long as they like."""
    task = getattr(handle._callback, "__self__", None)  # type: ignore[attr-defined]  # noqa: SLF001
    if not isinstance(task, asyncio.Task):
        return False
    code = getattr(task.get_coro(), "cr_code", None)
    return code is not None and code.co_filename.startswith(_TESTS)
