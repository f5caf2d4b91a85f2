"""Where log lines go and which are let through."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Literal, TextIO

from duplex.patient_writer import PatientWriter

__all__ = ["ENGINE_OUTPUT", "LOG_LEVELS", "LogFormat", "configure_logging"]

LogFormat = Literal["text", "json"]

LOG_LEVELS = ("debug", "info", "warning", "error")

ENGINE_OUTPUT = "duplex.engine.output"
"""The logger of what the engine itself prints."""

_CLOSE_WITHIN_S = 1.0

_HANDLER_NAME = "omni-duplex"
_NEVER = logging.CRITICAL + 1
_TEXT_LINE = "%(asctime)s %(levelname)s %(name)s: %(message)s"
# At DEBUG these write out what they carry, which is speech, text and keys; at INFO a line per request, keys included.
_LIBRARIES = ("httpcore", "httpx", "multipart", "uvicorn", "websockets")


def configure_logging(
    level: str, stream: TextIO | None = None, *, engine_output: bool = False, line_format: LogFormat = "text"
) -> None:
    """Send lines of `level` (one of `LOG_LEVELS`) and above to `stream`, by default stderr. Twice is as good as once.

    `json` makes each line an object with `time` (UTC, ISO 8601), `level`, `logger`, `message`, and `error` with the
    traceback of an exception.

    `engine_output` prints what the engine writes on stdout, whatever the level, as `[CPP] ` and the line: it may hold
    what was said. Otherwise those lines go nowhere, at no level. The engine writes a lot: when whoever reads our stdout
    stops reading, lines are dropped, and no call waits.

    Run uvicorn with `log_config=None`, or it installs handlers of its own beside this one.
    """
    root, engine = logging.getLogger(), logging.getLogger(ENGINE_OUTPUT)
    for logger in (root, engine):
        for handler in list(logger.handlers):
            if handler.get_name() == _HANDLER_NAME:
                logger.removeHandler(handler)
                handler.close()
    formatter = _JsonLines() if line_format == "json" else logging.Formatter(_TEXT_LINE)
    _add_handler(root, logging.StreamHandler(stream), formatter)
    root.setLevel(level.upper())
    engine.propagate = False
    engine.setLevel(logging.DEBUG if engine_output else _NEVER)
    if engine_output:
        _add_handler(engine, _PatientHandler(sys.stdout), logging.Formatter("[CPP] %(message)s"))
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


class _JsonLines(logging.Formatter):
    """One object a line, whatever the message holds."""

    def format(self, record: logging.LogRecord) -> str:
        """ASCII without line breaks."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line)


def _add_handler(logger: logging.Logger, handler: logging.Handler, formatter: logging.Formatter) -> None:
    handler.set_name(_HANDLER_NAME)
    handler.setFormatter(formatter)
    logger.addHandler(handler)
