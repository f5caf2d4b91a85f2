"""The lines a supervisor reads: llama.cpp's on stderr, the engine's on stdout.

A reader that went away is no reason to stop: the real server ignores SIGPIPE and does not check its writes.
"""

import contextlib
import sys
import threading
from datetime import datetime

__all__ = ["Log"]


class Log:
    """Writes both streams as the real binary does: stderr at once, stdout in blocks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def server(self, line: str) -> None:
        """One llama.cpp line, unbuffered."""
        with self._lock, contextlib.suppress(OSError):
            sys.stderr.write(line + "\n")
            sys.stderr.flush()

    def engine(self, line: str) -> None:
        """One engine line with its `HH:MM:SS.mmm ` prefix. A pipe gets it when the buffer is full or flushed."""
        now = datetime.now().astimezone()
        with self._lock, contextlib.suppress(OSError):
            sys.stdout.write(f"{now:%H:%M:%S}.{now.microsecond // 1000:03d} {line}\n")

    def flush(self) -> None:
        """Hand the engine lines over."""
        with self._lock, contextlib.suppress(OSError):
            sys.stdout.flush()
