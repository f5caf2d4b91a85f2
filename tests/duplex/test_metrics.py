"""What is counted of a session."""

import pytest

from duplex.effects import Interrupt, Prefill, Say, Speak
from duplex.engine.base import EngineIdle
from duplex.errors import EngineBusy, EngineExited
from duplex.messages import BreakReason, ResponseAudio, ResponseCut, ResponseEnded, Warned
from duplex.metrics import Metrics, SessionMeter

CUT = ResponseCut(BreakReason.TURN_DETECTED, 500, {"speech_end_to_first_audio_ms": 400})


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"omni_duplex_{name}", labels)


class Clock:
    at_s = 100.0

    def now(self) -> float:
        return self.at_s


def test_a_session_is_counted_while_it_runs_and_when_it_has_ended() -> None:
    metrics, clock = Metrics(), Clock()
    with metrics.meter("openai").counting(clock.now, dict):
        assert value(metrics, "running_sessions", dialect="openai") == 1
        assert value(metrics, "sessions_total", dialect="openai") == 1
        clock.at_s += 70
    assert value(metrics, "running_sessions", dialect="openai") == 0
    assert value(metrics, "sessions_ended_total", reason="done") == 1
    assert value(metrics, "session_seconds_sum") == 70
    assert value(metrics, "session_seconds_bucket", le="60.0") == 0
    assert value(metrics, "session_seconds_bucket", le="300.0") == 1


def test_a_session_that_is_lost_says_why() -> None:
    metrics = Metrics()
    with pytest.raises(EngineExited), metrics.meter("live").counting(Clock().now, dict):
        raise EngineExited("gone")
    assert value(metrics, "sessions_ended_total", reason="EngineExited") == 1
    assert value(metrics, "running_sessions", dialect="live") == 0
    assert not metrics.fills


def test_a_break_is_timed_to_the_socket_and_to_the_silent_engine() -> None:
    metrics = Metrics()
    meter = metrics.meter("openai")
    meter.decided(Say(CUT), 10.0)
    meter.decided(Interrupt(forget=False), 10.0)
    meter.heard(EngineIdle(interrupted=False), 10.5)
    meter.sent(CUT, 10.004)
    meter.heard(EngineIdle(interrupted=True), 11.5)
    meter.heard(EngineIdle(interrupted=True), 99.0)
    assert value(metrics, "break_flush_seconds_count") == 1
    assert value(metrics, "break_flush_seconds_sum") == pytest.approx(0.004)
    assert value(metrics, "break_drain_seconds_count") == 1
    assert value(metrics, "break_drain_seconds_sum") == pytest.approx(1.5)
    assert value(metrics, "responses_total", dialect="openai", outcome="turn_detected") == 1


def test_the_stages_of_a_turn_keep_their_names() -> None:
    metrics = Metrics()
    meter = metrics.meter("openai")
    meter.sent(ResponseEnded({"speech_end_to_first_audio_ms": 812, "request_to_first_text_ms": 90}), 1.0)
    meter.sent(CUT, 2.0)
    assert value(metrics, "responses_total", dialect="openai", outcome="completed") == 1
    stage = "speech_end_to_first_audio"
    assert value(metrics, "turn_stage_seconds_count", stage=stage) == 2
    assert value(metrics, "turn_stage_seconds_sum", stage=stage) == pytest.approx(1.212)
    assert value(metrics, "turn_stage_seconds_sum", stage="request_to_first_text") == pytest.approx(0.09)


def test_what_is_lost_is_counted() -> None:
    metrics = Metrics()
    meter = metrics.meter("openai")
    meter.sent(Warned("input_dropped", "words"), 1.0)
    meter.dropped(input_s=2.5, pictures=3)
    meter.first_audio(0.25)
    metrics.refused("realtime", EngineBusy("words"))
    assert value(metrics, "warnings_total", code="input_dropped") == 1
    assert value(metrics, "input_dropped_seconds_total") == 2.5
    assert value(metrics, "pictures_dropped_total") == 3
    assert value(metrics, "refusals_total", interface="realtime", reason="EngineBusy") == 1
    assert value(metrics, "turn_stage_seconds_sum", stage="request_to_first_audio") == 0.25


def test_what_is_of_no_interest_counts_nothing() -> None:
    metrics = Metrics()
    meter: SessionMeter = metrics.meter("openai")
    meter.decided(Prefill(b""), 1.0)
    meter.decided(Speak(1, ResponseAudio(b"")), 1.0)
    meter.sent(ResponseAudio(b""), 1.0)
    assert value(metrics, "break_flush_seconds_count") == 0


def test_the_fullest_queue_of_each_kind_is_shown_while_sessions_run() -> None:
    metrics, clock = Metrics(), Clock()
    one, other = {"a": 0.5, "b": 0.0}, {"a": 0.25}
    with metrics.meter("x").counting(clock.now, lambda: one), metrics.meter("x").counting(clock.now, lambda: other):
        assert value(metrics, "queue_fill_ratio", queue="a") == 0.5
        one["a"] = 0.1
        assert value(metrics, "queue_fill_ratio", queue="a") == 0.25
        assert value(metrics, "queue_fill_ratio", queue="b") == 0.0
    assert value(metrics, "queue_fill_ratio", queue="a") is None
