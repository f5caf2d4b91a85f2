"""The log of WAV timing: one line for each WAV handed to an HTTP client, in the columns of the earlier server.

It shows where sound is late: between the engine writing it and us sending it, or between one piece and the next.
"""

import enum
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from duplex.patient_writer import PatientWriter

__all__ = ["StopReason", "WavTimingLog"]

_log = logging.getLogger(__name__)

_LARGEST_BYTES = 10 * 2**20
_CLOSE_WITHIN_S = 2.0


class StopReason(enum.StrEnum):
    """Why the lines of a session end. The values are the words of the file."""

    SESSION_STOPPED = "会话停止"
    """The client stopped the session, or is gone."""
    NEW_SESSION = "新会话初始化，关闭旧日志"
    """The next session begins."""


class WavTimingLog:
    """Appends to one file; no caller ever waits for the disk.

    Once the file exceeds 10 MB it becomes `NAME.1`, in place of the one before, and a new one is begun. A file that
    cannot be written is one warning, and nothing after that. For one thread of callers; `close` ends it.
    """

    def __init__(
        self, path: Path, *, largest_bytes: int = _LARGEST_BYTES, now_s: Callable[[], float] = time.time
    ) -> None:
        """`now_s` gives the seconds of the epoch, for the times of headers and footers."""
        self._path = path
        self._largest_bytes = largest_bytes
        self._now_s = now_s
        self._started = False
        self._last_sent_s: float | None = None
        self._writer = PatientWriter(
            self._append, name="wav-timing-log", close_within_s=_CLOSE_WITHIN_S, on_failure=self._warn
        )

    def start(self) -> None:
        """Write the header of a session, unless its lines have begun already."""
        if self._started:
            return
        self._started = True
        line = "=" * 80
        self._writer.put(f"\n{line}\n[{_moment(self._now_s())}] 新会话开始 (双工模式)\n{line}\n")

    def wav(self, name: str, written_s: float, sent_s: float, duration_s: float) -> None:
        """Write the line of one WAV. Begins a session when none has begun.

        `written_s` is when the engine wrote the file and `sent_s` when we sent it, in seconds of the epoch; a
        `written_s` of 0 means that it is not known. `duration_s` is the length of its sound.
        """
        self.start()
        interval_ms = 0.0 if self._last_sent_s is None else (sent_s - self._last_sent_s) * 1000
        self._last_sent_s = sent_s
        written = _moment(written_s)[:-3] if written_s else "-"
        delay = f"{(sent_s - written_s) * 1000:.1f}" if written_s else "-"
        self._writer.put(
            f"{name:<20} {written:<26} {_moment(sent_s)[:-3]:<26} "
            f"{delay:>10}ms    {interval_ms:>10.1f}ms    {duration_s:>6.3f}s\n"
        )

    def stop(self, reason: StopReason) -> None:
        """Write the footer of a session; nothing when none has begun."""
        if not self._started:
            return
        self._started = False
        self._last_sent_s = None
        self._writer.put(f"{'-' * 120}\n[{reason}] {_moment(self._now_s())}\n")

    def close(self) -> None:
        """Wait until everything is written, a few seconds at the longest. Nothing may be written after it. Blocks."""
        self._writer.close()

    def _warn(self, error: Exception) -> None:
        reason = getattr(error, "strerror", None) or error
        _log.warning("No WAV timing is logged: %s cannot be written (%s).", self._path, reason)

    def _append(self, text: str) -> None:
        # Opened for every line, so that an operator can move or delete it at any time.
        with self._path.open("a", encoding="utf-8") as file:
            file.write(text)
            size = file.tell()
        if size > self._largest_bytes:
            self._path.replace(self._path.with_name(f"{self._path.name}.1"))


def _moment(epoch_s: float) -> str:
    """Local time with six digits of a second."""
    return datetime.fromtimestamp(epoch_s, tz=UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S.%f")
