"""Where log lines go and which are let through."""

import logging
import sys
from typing import TextIO

from duplex.patient_writer import PatientWriter

__all__ = ["ENGINE_OUTPUT", "LOG_LEVELS", "configure_logging"]

LOG_LEVELS = ("debug", "info", "warning", "error")

ENGINE_OUTPUT = "duplex.engine.output"
"""The logger of what the engine itself prints."""

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
    """Nobody waits for a slow reader of its lines."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._writer = PatientWriter(
            self._write,
            name="engine-output",
            close_within_s=_CLOSE_WITHIN_S,
            # A closed pipe is nobody's fault here, and there is no place to complain to.
            on_failure=lambda _: None,
        )

    def emit(self, record: logging.LogRecord) -> None:
        """Hand one line over."""
        self._writer.put(self.format(record))

    def close(self) -> None:
        """Write what waits, as far as that is soon done."""
        self._writer.close()
        super().close()

    def _write(self, line: str) -> None:
        self._stream.write(f"{line}\n")
        if not self._writer.waiting:
            self._stream.flush()


def _add_handler(logger: logging.Logger, handler: logging.Handler, line: str) -> None:
    handler.set_name(_HANDLER_NAME)
    handler.setFormatter(logging.Formatter(line))
    logger.addHandler(handler)
