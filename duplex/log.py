"""Where log lines go and which are let through."""

import contextlib
import logging
import queue
import sys
import threading
from typing import TextIO

__all__ = ["ENGINE_OUTPUT", "LOG_LEVELS", "configure_logging"]

LOG_LEVELS = ("debug", "info", "warning", "error")

ENGINE_OUTPUT = "duplex.engine.output"
"""The logger of what the engine itself prints."""

_WAITING_LINES = 1000
_CLOSE_WITHIN_S = 1.0

_HANDLER_NAME = "omni-duplex"
# At DEBUG these write out what they carry, which is speech, text and keys; at INFO a line per request, keys included.
_LIBRARIES = ("httpcore", "httpx", "multipart", "uvicorn", "websockets")


def configure_logging(level: str, stream: TextIO | None = None, *, engine_output: bool = False) -> None:
    """Send lines of `level` (one of `LOG_LEVELS`) and above to `stream`, by default stderr. Twice is as good as once.

    `engine_output` prints what the engine writes on stdout, whatever the level, as `[CPP] ` and the line: it may hold
    what was said. Otherwise those lines are DEBUG lines like any other. The engine writes a lot: when whoever reads our
    stdout stops reading, lines are dropped, and no call waits.

    Run uvicorn with `log_config=None`, or it installs handlers of its own beside this one.
    """
    root, engine = logging.getLogger(), logging.getLogger(ENGINE_OUTPUT)
    for logger in (root, engine):
        for handler in list(logger.handlers):
            if handler.get_name() == _HANDLER_NAME:
                logger.removeHandler(handler)
                handler.close()
    _add_handler(root, logging.StreamHandler(stream), "%(asctime)s %(levelname)s %(name)s: %(message)s")
    root.setLevel(level.upper())
    engine.propagate = not engine_output
    engine.setLevel(logging.DEBUG if engine_output else logging.NOTSET)
    if engine_output:
        _add_handler(engine, _PatientHandler(sys.stdout), "[CPP] %(message)s")
    for name in _LIBRARIES:
        logging.getLogger(name).setLevel(logging.WARNING)


class _PatientHandler(logging.Handler):
    """Writes from a thread of its own, so that nobody waits for a slow reader. At most so many lines wait."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._lines: queue.Queue[str | None] = queue.Queue(_WAITING_LINES)
        self._writer = threading.Thread(target=self._write_all, name="engine-output", daemon=True)
        self._writer.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Hand one line over."""
        with contextlib.suppress(queue.Full):
            self._lines.put_nowait(self.format(record))

    def close(self) -> None:
        """Write what waits, as far as that is soon done."""
        with contextlib.suppress(queue.Full):
            self._lines.put(None, timeout=_CLOSE_WITHIN_S)
        self._writer.join(_CLOSE_WITHIN_S)
        super().close()

    def _write_all(self) -> None:
        # A closed pipe is nobody's fault here, and there is no place to complain to.
        with contextlib.suppress(OSError, ValueError):
            while (line := self._lines.get()) is not None:
                self._stream.write(f"{line}\n")
                if self._lines.empty():
                    self._stream.flush()


def _add_handler(logger: logging.Logger, handler: logging.Handler, line: str) -> None:
    handler.set_name(_HANDLER_NAME)
    handler.setFormatter(logging.Formatter(line))
    logger.addHandler(handler)
