import io
import logging
from collections.abc import Iterator

import pytest

from duplex.log import configure_logging


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers, root.level = handlers, level


def test_lines_at_the_level_and_above_are_written_once() -> None:
    stream = io.StringIO()
    configure_logging("info", io.StringIO())
    configure_logging("info", stream)
    logging.getLogger("duplex.x").info("seen")
    logging.getLogger("duplex.x").debug("hidden")
    assert stream.getvalue().count("INFO duplex.x: seen") == 1
    assert "hidden" not in stream.getvalue()


def test_libraries_that_write_out_what_they_carry_stay_silent_at_debug() -> None:
    stream = io.StringIO()
    configure_logging("debug", stream)
    for name in ("httpx", "httpcore.connection", "websockets.server", "uvicorn.access", "uvicorn.error"):
        logging.getLogger(name).debug("speech")
        logging.getLogger(name).info("key")
    logging.getLogger("duplex.x").debug("ours")
    assert "speech" not in stream.getvalue()
    assert "key" not in stream.getvalue()
    assert "ours" in stream.getvalue()
