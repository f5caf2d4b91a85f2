"""The gate on scripted votes, the detectors on sound."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from duplex.barge_in import BargeIn, evidence
from duplex.echo import SILENT_DBFS
from duplex.vad import (
    VAD_FRAME_BYTES,
    VAD_FRAME_SAMPLES,
    FloorGatedDetector,
    GateEvent,
    GateMoment,
    VadGate,
    VadSettings,
    Vote,
    WebRtcDetector,
    default_detector,
    level_dbfs,
)
from tests.speech import noise, silence, speech

FRAME = bytes(VAD_FRAME_BYTES)


class Votes:
    """A detector that says what it was told to."""

    def __init__(self, votes: Iterable[bool | Vote]) -> None:
        self._votes = iter(votes)

    def judge(self, frame: bytes, far_dbfs: float = SILENT_DBFS) -> Vote:
        assert len(frame) == VAD_FRAME_BYTES
        vote = next(self._votes)
        return vote if isinstance(vote, Vote) else (Vote.SPEECH if vote else Vote.NOTHING)


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
    assert not any(detector.judge(frame) is Vote.SPEECH for frame in frames(silence(1)))
    assert sum(detector.judge(frame) is Vote.SPEECH for frame in frames(speech(1))) > 40


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
    assert sum(detector.judge(frame) is Vote.SPEECH for frame in frames(speech(0.5))) > 20


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


@pytest.mark.parametrize(
    ("script", "released"),
    [
        # f is faint: not enough to begin, enough to go on.
        ("ffffffffff", None),
        ("###ffffff.....", 14),
        ("###..f..f.....", 14),
        ("###.......", 8),
    ],
)
def test_faint_frames_keep_speech_going_and_begin_none(script: str, released: int | None) -> None:
    marks = {"#": Vote.SPEECH, "f": Vote.FAINT, ".": Vote.NOTHING}
    gate = VadGate(Votes(marks[mark] for mark in script), SETTINGS)
    events = [(number, event.moment) for number, _ in enumerate(script, 1) for event in gate.push(FRAME)]
    assert next((number for number, moment in events if moment is GateMoment.RELEASE), None) == released


def test_faint_frames_are_no_evidence_of_an_interruption() -> None:
    gate = VadGate(Votes([Vote.SPEECH] * 3 + [Vote.FAINT] * 50), SETTINGS)
    moments = [event.moment for _ in range(53) for event in gate.push(FRAME)]
    assert moments == [GateMoment.ONSET, GateMoment.LIKELY, GateMoment.UNLIKELY]


LONG = replace(SETTINGS, hangover_ms=600, long_speech_ms=1000, long_hangover_ms=100, speech_limit_ms=2000)


@pytest.mark.parametrize(
    ("script", "released"),
    [
        ("#" * 200, 100),
        ("#" * 20 + "." * 10 + "#" * 200, 100),
        ("#" * 60 + "." * 10 + "#" * 200, 65),
        ("#" * 45 + "." * 10 + "#" * 200, 50),
    ],
)
def test_speech_that_never_ends_is_ended(script: str, released: int) -> None:
    """At its first short pause when it is long, and then in any case."""
    releases = [number for number, event in run(script, LONG) if event.moment is GateMoment.RELEASE]
    assert releases[0] == released


def quieter(sound: bytes, db: float) -> bytes:
    samples = np.frombuffer(sound, "<i2") * 10 ** (db / 20)
    return np.rint(samples).astype("<i2").tobytes()


def test_speech_little_louder_than_the_room_is_faint() -> None:
    class Always:
        def is_speech(self, frame: bytes) -> bool:
            return True

    detector = FloorGatedDetector(Always())
    for frame in frames(noise(10, level=0.01)):
        detector.judge(frame)
    votes = [[detector.judge(frame) for frame in frames(quieter(noise(0.2, level=0.01), db))] for db in (1, 4.5, 8)]
    assert [set(each) for each in votes] == [{Vote.NOTHING}, {Vote.FAINT}, {Vote.SPEECH}]


def test_a_pause_is_told_after_each_stretch_of_speech() -> None:
    settings = replace(SETTINGS, hangover_ms=200, pause_ms=100)
    pauses = [
        (number, event.at // VAD_FRAME_SAMPLES)
        for number, event in run("####.......##....." + "." * 8, settings)
        if event.moment is GateMoment.PAUSE
    ]
    assert pauses == [(9, 4), (18, 13)]


def test_a_hangover_shorter_than_a_pause_tells_none() -> None:
    moments = [event.moment for _, event in run("####" + "." * 20, replace(SETTINGS, hangover_ms=100))]
    assert GateMoment.PAUSE not in moments
