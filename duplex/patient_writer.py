"""Text on its way to something slow, written from a thread of its own, so that nobody who has a text waits for it."""

import contextlib
import queue
import threading
from collections.abc import Callable

__all__ = ["WAITING_TEXTS", "PatientWriter"]

WAITING_TEXTS = 1000
"""So many wait at most; what comes then is dropped."""


class PatientWriter:
    """Hands texts to `write` in their order, one at a time. For one thread of callers; `close` ends it."""

    def __init__(
        self, write: Callable[[str], None], *, name: str, close_within_s: float, on_failure: Callable[[Exception], None]
    ) -> None:
        """`name` is the thread's. The first OSError or ValueError of `write` goes to `on_failure`, in that thread, and
        nothing is written after it."""
        self._write = write
        self._close_within_s = close_within_s
        self._on_failure = on_failure
        self._texts: queue.Queue[str | None] = queue.Queue(WAITING_TEXTS)
        self._thread = threading.Thread(target=self._write_all, name=name, daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many texts wait, the one that is being written not counted."""
        return self._texts.qsize()

    @property
    def is_running(self) -> bool:
        """Whether its thread is there."""
        return self._thread.is_alive()

    def put(self, text: str) -> None:
        """Write it when its turn comes. Never waits."""
        with contextlib.suppress(queue.Full):
            self._texts.put_nowait(text)

    def close(self) -> None:
        """Wait until everything is written, twice `close_within_s` at the longest. Nothing may be put after it."""
        with contextlib.suppress(queue.Full):
            self._texts.put(None, timeout=self._close_within_s)
        self._thread.join(self._close_within_s)

    def _write_all(self) -> None:
        is_writable = True
        while (text := self._texts.get()) is not None:
            if not is_writable:
                continue
            try:
                self._write(text)
            except (OSError, ValueError) as error:
                is_writable = False
                self._on_failure(error)
