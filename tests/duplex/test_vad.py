"""The gate on scripted votes, the detectors on sound."""

from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duplex.barge_in import BargeIn, evidence
from duplex.vad import (
    VAD_FRAME_BYTES,
    VAD_FRAME_SAMPLES,
    FloorGatedDetector,
    GateEvent,
    GateMoment,
    VadGate,
    VadSettings,
    WebRtcDetector,
    default_detector,
    level_dbfs,
)
from tests.speech import noise, silence, speech

FRAME = bytes(VAD_FRAME_BYTES)


class Votes:
    """A detector that says what it was told to."""

    def __init__(self, votes: Iterable[bool]) -> None:
        self._votes = iter(votes)

    def is_speech(self, frame: bytes) -> bool:
        assert len(frame) == VAD_FRAME_BYTES
        return next(self._votes)


def run(script: str, settings: VadSettings) -> list[tuple[int, GateEvent]]:
    """`#` is voiced. Returns (frame number, event)."""
    gate = VadGate(Votes(mark == "#" for mark in script), settings)
    return [(number, event) for number, _ in enumerate(script, 1) for event in gate.push(FRAME)]


SETTINGS = VadSettings(hangover_ms=100, barge_in=evidence(BargeIn.EAGER))
SPEECH = {GateMoment.ONSET, GateMoment.RELEASE}


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("", []),
        ("..........", []),
        ("##..##..##", []),
        ("#.##......", [(4, GateMoment.ONSET, 0), (9, GateMoment.RELEASE, 4)]),
        ("..###.....", [(5, GateMoment.ONSET, 2), (10, GateMoment.RELEASE, 5)]),
        ("..######.....", [(5, GateMoment.ONSET, 2), (13, GateMoment.RELEASE, 8)]),
        ("###.###.....", [(3, GateMoment.ONSET, 0), (12, GateMoment.RELEASE, 7)]),
        ("###....###....", [(3, GateMoment.ONSET, 0)]),
        ("###.....###.....", [
            (3, GateMoment.ONSET, 0),
            (8, GateMoment.RELEASE, 3),
            (11, GateMoment.ONSET, 8),
            (16, GateMoment.RELEASE, 11),
        ]),
    ],
)  # fmt: skip
def test_moments_and_their_samples(script: str, expected: list[tuple[int, GateMoment, int]]) -> None:
    found = [
        (number, event.moment, event.at // VAD_FRAME_SAMPLES)
        for number, event in run(script, SETTINGS)
        if event.moment in SPEECH
    ]
    assert found == expected


def test_verdicts_come_after_the_onset_and_before_the_release() -> None:
    found = [(number, event.moment) for number, event in run("######.....", replace(SETTINGS, hangover_ms=100))]
    assert found == [
        (3, GateMoment.ONSET),
        (3, GateMoment.LIKELY),
        (6, GateMoment.CONFIRM),
        (11, GateMoment.RELEASE),
    ]
    found = [(number, event.moment) for number, event in run("###..........", replace(SETTINGS, hangover_ms=200))]
    assert found == [
        (3, GateMoment.ONSET),
        (3, GateMoment.LIKELY),
        (13, GateMoment.UNLIKELY),
        (13, GateMoment.RELEASE),
    ]


@given(st.lists(st.booleans(), max_size=200))
def test_moments_alternate_and_never_go_back(votes: list[bool]) -> None:
    events = [event for _, event in run("".join(".#"[vote] for vote in votes), SETTINGS)]
    open_ = False
    position = 0
    for event in events:
        if event.moment in SPEECH:
            assert open_ is (event.moment is GateMoment.RELEASE)
            open_ = event.moment is GateMoment.ONSET
            assert event.at >= position
            position = event.at
        elif event.moment is GateMoment.LIKELY:
            assert open_, "only speech can interrupt"


def test_rearm_asks_for_fresh_evidence() -> None:
    gate = VadGate(Votes([True] * 40), SETTINGS)
    moments = [e.moment for _ in range(6) for e in gate.push(FRAME)]
    assert moments == [GateMoment.ONSET, GateMoment.LIKELY, GateMoment.CONFIRM]
    assert gate.confirmed
    gate.rearm()
    assert gate.open
    assert not gate.confirmed
    assert [e.moment for _ in range(5) for e in gate.push(FRAME)] == [GateMoment.LIKELY]
    assert [e.moment for e in gate.push(FRAME)] == [GateMoment.CONFIRM]


def test_close_releases_an_open_gate_only() -> None:
    gate = VadGate(Votes([True] * 3), SETTINGS)
    assert gate.close() == []
    for _ in range(3):
        gate.push(FRAME)
    assert gate.close() == [GateEvent(GateMoment.RELEASE, 3 * VAD_FRAME_SAMPLES)]
    assert gate.close() == []


def frames(sound: bytes) -> list[bytes]:
    return [sound[at : at + VAD_FRAME_BYTES] for at in range(0, len(sound) - VAD_FRAME_BYTES + 1, VAD_FRAME_BYTES)]


def test_the_default_detector_hears_speech_and_not_silence() -> None:
    detector = default_detector()
    assert not any(detector.is_speech(frame) for frame in frames(silence(1)))
    assert sum(detector.is_speech(frame) for frame in frames(speech(1))) > 40


def test_the_floor_learns_a_noisy_room() -> None:
    """White noise loud enough for webrtcvad's loosest mode: the margin over the learnt floor silences it."""
    room = frames(noise(30, level=0.05))
    bare = WebRtcDetector(mode=0)
    assert sum(bare.is_speech(frame) for frame in room[-250:]) > 50
    gated = FloorGatedDetector(WebRtcDetector(mode=0))
    votes = [gated.is_speech(frame) for frame in room]
    assert not any(votes[-250:])


def test_a_room_that_is_noisy_from_the_first_frame_is_not_taken_for_speech() -> None:
    gated = FloorGatedDetector(WebRtcDetector(mode=0))
    votes = [gated.is_speech(frame) for frame in frames(noise(3, level=0.01))]
    assert not any(votes)


def test_a_call_may_begin_with_speech() -> None:
    detector = default_detector()
    assert sum(detector.is_speech(frame) for frame in frames(speech(0.5))) > 20


def test_noise_after_digital_silence_is_learnt_within_seconds() -> None:
    """A microphone that opens with zeros must not leave a floor that takes minutes to climb."""
    gated = FloorGatedDetector(WebRtcDetector(mode=0))
    votes = [gated.is_speech(frame) for frame in frames(silence(10) + noise(15, level=0.01))]
    assert not any(votes[-150:])


def test_speech_rises_over_the_learnt_floor() -> None:
    detector = FloorGatedDetector(WebRtcDetector())
    for frame in frames(noise(10, level=0.01)):
        detector.is_speech(frame)
    assert sum(detector.is_speech(frame) for frame in frames(speech(1))) > 40


@pytest.mark.parametrize(("amplitude", "level"), [(0, -100.0), (32767, 0.0), (3277, -20.0)])
def test_level(amplitude: int, level: float) -> None:
    assert level_dbfs(amplitude.to_bytes(2, "little") * 320) == pytest.approx(level, abs=0.01)
