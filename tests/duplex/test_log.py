import io
import json
import logging
import threading
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from duplex.log import configure_logging

ENGINE = logging.getLogger("duplex.engine.output")


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    loggers = (logging.getLogger(), ENGINE)
    before = [(logger, list(logger.handlers), logger.level, logger.propagate) for logger in loggers]
    yield
    for logger, handlers, level, propagate in before:
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)


def test_lines_at_the_level_and_above_are_written_once() -> None:
    stream = io.StringIO()
    configure_logging("info", io.StringIO())
    configure_logging("info", stream)
    logging.getLogger("duplex.x").info("seen")
    logging.getLogger("duplex.x").debug("hidden")
    assert stream.getvalue().count("INFO duplex.x: seen") == 1
    assert "hidden" not in stream.getvalue()


def test_json_lines_are_objects_whatever_they_hold() -> None:
    stream = io.StringIO()
    configure_logging("info", stream, line_format="json")
    logging.getLogger("duplex.x").warning('two\nlines, "quoted", %s', "音")
    try:
        int("why")
    except ValueError:
        logging.getLogger("duplex.y").exception("failed")
    first, second = [json.loads(line) for line in stream.getvalue().splitlines()]
    when = datetime.fromisoformat(first.pop("time"))
    assert abs((datetime.now(UTC) - when).total_seconds()) < 60
    assert first == {"level": "WARNING", "logger": "duplex.x", "message": 'two\nlines, "quoted", 音'}
    assert (second["level"], second["message"]) == ("ERROR", "failed")
    assert second["error"].endswith("'why'")


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


def test_what_the_engine_prints_is_printed_on_demand_whatever_the_level(capsys: pytest.CaptureFixture[str]) -> None:
    stream = io.StringIO()
    for _ in range(2):
        configure_logging("error", stream, engine_output=True)
    assert ENGINE.isEnabledFor(logging.DEBUG)
    ENGINE.debug("%s", "main: 100 % loaded")
    configure_logging("error", stream)
    assert capsys.readouterr().out == "[CPP] main: 100 % loaded\n"
    assert stream.getvalue() == ""


def test_nobody_waits_for_a_reader_of_the_engines_output_that_has_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    stuck = StuckStream()
    monkeypatch.setattr("sys.stdout", stuck)
    configure_logging("error", io.StringIO(), engine_output=True)
    for number in range(5000):
        ENGINE.debug("line %d", number)
    stuck.go_on.set()
    configure_logging("error", io.StringIO())
    written = stuck.getvalue().splitlines()
    assert written[0] == "[CPP] line 0"
    assert 1000 <= len(written) <= 1001, "one was being written, a thousand waited"


class StuckStream(io.StringIO):
    """A pipe that nobody reads until it is told to go on."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = threading.Event()

    def write(self, text: str) -> int:
        self.go_on.wait()
        return super().write(text)


def test_otherwise_it_goes_nowhere_because_it_may_hold_what_was_said(capsys: pytest.CaptureFixture[str]) -> None:
    stream = io.StringIO()
    configure_logging("info", stream, engine_output=True)
    configure_logging("debug", stream)
    assert not ENGINE.isEnabledFor(logging.CRITICAL)
    ENGINE.debug("loaded")
    ENGINE.critical("loaded")
    assert stream.getvalue() == ""
    assert capsys.readouterr().out == ""
