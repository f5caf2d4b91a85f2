"""Where log lines go and which are let through."""

import logging
import sys
from typing import TextIO

__all__ = ["LOG_LEVELS", "configure_logging"]

LOG_LEVELS = ("debug", "info", "warning", "error")

_HANDLER_NAME = "omni-duplex"
# At DEBUG these write out what they carry, which is speech, text and keys; at INFO a line per request, keys included.
_LIBRARIES = ("httpcore", "httpx", "multipart", "uvicorn", "websockets")


def configure_logging(level: str, stream: TextIO | None = None) -> None:
    """Send lines of `level` (one of `LOG_LEVELS`) and above to `stream`, by default stderr. Twice is as good as once.

    Run uvicorn with `log_config=None`, or it installs handlers of its own beside this one.
    """
    root = logging.getLogger()
    for handler in list(root.handlers):
        if handler.get_name() == _HANDLER_NAME:
            root.removeHandler(handler)
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.set_name(_HANDLER_NAME)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root.addHandler(handler)
    root.setLevel(level.upper())
    for name in _LIBRARIES:
        logging.getLogger(name).setLevel(logging.WARNING)
