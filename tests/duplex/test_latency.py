"""Where the time of one turn went."""

from duplex.latency import TurnLatency


def spoken(latency: TurnLatency) -> None:
    """The last word arrived at 10.0 s; the engine was asked at 10.61 s and said something at 10.9 s."""
    latency.speech_ended(10.0, 10.6)
    latency.asked_at = 10.61
    latency.open(10.61)
    latency.output("text", 10.9)
    latency.output("text", 11.5)


def test_the_stages_of_an_answer() -> None:
    latency = TurnLatency()
    spoken(latency)
    assert latency.take() == {
        "speech_end_to_detected_ms": 600,
        "speech_end_to_request_ms": 610,
        "speech_end_to_first_text_ms": 900,
        "request_to_first_text_ms": 290,
    }
    latency.open(20.0)
    latency.output("audio", 20.5)
    assert latency.take() == {"request_to_first_audio_ms": 500}, "the turn before is forgotten"


def test_nobody_asks_a_duplex_model() -> None:
    latency = TurnLatency()
    latency.speech_ended(10.0, 10.6)
    latency.open(10.8)
    latency.output("audio", 10.9)
    assert "speech_end_to_request_ms" not in latency.take()


def test_the_stages_of_a_break() -> None:
    latency = TurnLatency()
    spoken(latency)
    latency.held_at = 12.07
    stages = latency.take_break(12.0, 12.36)
    assert {name: ms for name, ms in stages.items() if "onset" in name} == {
        "onset_to_hold_ms": 70,
        "onset_to_break_ms": 360,
    }
    assert stages["speech_end_to_first_text_ms"] == 900


def test_a_hold_of_before_and_words_of_before_are_not_the_break_s() -> None:
    latency = TurnLatency()
    spoken(latency)
    latency.held_at = 11.0
    assert "onset_to_hold_ms" not in latency.take_break(12.0, 12.4)
    latency.open(20.0)
    assert latency.take_break(17.0, 20.4)["onset_to_break_ms"] == 400
    latency.open(30.0)
    assert latency.take_break(None, 31.0) == {}
