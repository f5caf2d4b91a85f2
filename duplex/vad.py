"""Is the user speaking? A detector judges single frames; the gate turns its votes into speech with a start and an end.

         votes   . . # . # # # # . # # # . . . . . . .
         gate          |onset             |            |release
                                          '- hangover -'

Onset opens the gate, release closes it. Beside it `BargeInJudge` weighs the same votes for an interruption. All times
are sample numbers at 16 kHz since the start of the microphone.
"""

import enum
import math
import operator
from collections import deque
from dataclasses import dataclass, field
from typing import Protocol

import webrtcvad

from duplex.audio import FRAME_MS, SAMPLE_BYTES
from duplex.barge_in import BargeInJudge, BargeInSettings, Verdict
from duplex.echo import SILENT_DBFS, EchoBar

__all__ = [
    "VAD_FRAME_BYTES",
    "VAD_FRAME_SAMPLES",
    "VAD_RATE_HZ",
    "FloorGatedDetector",
    "FrameClassifier",
    "GateEvent",
    "GateMoment",
    "SpeechDetector",
    "VadGate",
    "VadSettings",
    "Vote",
    "WebRtcDetector",
    "default_detector",
]

VAD_RATE_HZ = 16_000
VAD_FRAME_SAMPLES = VAD_RATE_HZ * FRAME_MS // 1000
VAD_FRAME_BYTES = VAD_FRAME_SAMPLES * SAMPLE_BYTES


class Vote(enum.Enum):
    """What one frame is evidence of."""

    NOTHING = enum.auto()
    FAINT = enum.auto()
    """Speech that was under way may go on in it."""
    SPEECH = enum.auto()


class FrameClassifier(Protocol):
    """Tells the sound of speech from others, frame by frame: 20 ms, 16 kHz, 16-bit mono. May remember earlier ones."""

    def is_speech(self, frame: bytes) -> bool:
        """Does this frame, `VAD_FRAME_BYTES` long, sound like speech?"""
        ...


class SpeechDetector(Protocol):
    """Judges frames of the same form, and knows the room."""

    def judge(self, frame: bytes, far_dbfs: float = SILENT_DBFS) -> Vote:
        """Weigh the next frame, heard while the client plays something as loud as `far_dbfs`."""
        ...


class WebRtcDetector:
    """WebRTC's voice-activity detector, 2 microseconds a frame. Mode 3 is its strictest."""

    def __init__(self, mode: int = 3) -> None:
        self._vad = webrtcvad.Vad(mode)

    def is_speech(self, frame: bytes) -> bool:
        """Vote of the detector alone."""
        return bool(self._vad.is_speech(frame, VAD_RATE_HZ))


class FloorGatedDetector:
    """Lets a classifier vote only on frames clearly louder than the room, and than the echo of an answer in it.

    webrtcvad alone fires for ever on a fan; with a margin of 6 dB over the tracked floor its false triggers on
    stationary noise go to none at the same latency (docs/interruption.md has the measurement). Frames from 3 dB on are
    faint: they let speech go on but neither begin nor interrupt.
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

    def __init__(self, inner: FrameClassifier, margin_db: float = 6.0, release_margin_db: float = 3.0) -> None:
        self._inner = inner
        self._margin_db = margin_db
        self._release_margin_db = release_margin_db
        self._echo = EchoBar()
        self._floor_dbfs: float | None = None
        self._frames = 0

    def is_speech(self, frame: bytes) -> bool:
        """Whether the frame is speech, with no answer in the room."""
        return self.judge(frame) is Vote.SPEECH

    def judge(self, frame: bytes, far_dbfs: float = SILENT_DBFS) -> Vote:
        """Vote of the inner classifier, or nothing when the frame is as quiet as the room or the answer's echo."""
        # The inner classifier hears every frame, loud or not: its own noise model must not have holes.
        voiced = self._inner.is_speech(frame)
        self._frames += 1
        self._echo.hear_far(far_dbfs)
        if not voiced and not self._echo.sounds and self._frames < self._UNVOICED_FRAMES_A_LOOK:
            return Vote.NOTHING
        level = level_dbfs(frame)
        floor = min(level, self._HIGHEST_FIRST_FLOOR_DBFS) if self._floor_dbfs is None else self._floor_dbfs
        self._floor_dbfs = max(self._followed(floor, level), self._LOWEST_FLOOR_DBFS)
        if self._echo.sounds:
            self._echo.hear_near(level)
        return self._weigh(level, floor) if voiced else Vote.NOTHING

    def _weigh(self, level: float, floor: float) -> Vote:
        if level <= max(self._QUIETEST_DBFS, self._echo.bar_dbfs()):
            return Vote.NOTHING
        if level > floor + self._margin_db:
            return Vote.SPEECH
        return Vote.FAINT if level > floor + self._release_margin_db else Vote.NOTHING

    def _followed(self, floor: float, level: float) -> float:
        """The floor falls quickly and rises slowly, so that speech does not lift it."""
        frames, self._frames = self._frames, 0
        if level < floor:
            return level + (floor - level) * self._KEPT_PER_LOOK
        return min(level, floor + self._RISE_DB_PER_FRAME * frames)


def level_dbfs(frame: bytes) -> float:
    """Level of 16-bit samples in dB below full scale; digital silence is -100.

    Every fourth sample is looked at, which differs by 0.3 dB (standard deviation) on speech, and numpy is left alone:
    called once in 20 ms its code is never in the cache, and it cost twice as much (135 against 62 microseconds).
    """
    samples = memoryview(frame).cast("h")[::4]
    power = sum(map(operator.mul, samples, samples)) / (len(samples) * 32768.0**2)
    return 10.0 * math.log10(max(power, 1e-10))


def default_detector() -> SpeechDetector:
    """webrtcvad behind the noise floor: no model, no delay."""
    return FloorGatedDetector(WebRtcDetector())


class GateMoment(enum.Enum):
    """What just became known."""

    ONSET = enum.auto()
    LIKELY = enum.auto()
    """See `Verdict`, of which this and the next two are the gate's words."""
    UNLIKELY = enum.auto()
    CONFIRM = enum.auto()
    PAUSE = enum.auto()
    """Perhaps the end: `pause_ms` of silence. It comes again after each further voiced frame."""
    RELEASE = enum.auto()


@dataclass(frozen=True, slots=True)
class GateEvent:
    """`at` is the sample where the speech began, or ended (pause, release), not where it was noticed."""

    moment: GateMoment
    at: int


@dataclass(frozen=True, slots=True)
class VadSettings:
    """How many of the last frames must be voiced, and how long silence must last.

    Onset 3 of 4 gave 70 ms at the median on clean to 10 dB speech. 600 ms of hangover cut no pause of half a second.
    """

    onset_votes: int = 3
    onset_frames: int = 4
    hangover_ms: int = 600
    pause_ms: int = 250
    long_speech_ms: int = 15_000
    """Speech that lasts so long ends at the first short pause."""
    long_hangover_ms: int = 200
    speech_limit_ms: int = 30_000
    """And then it ends: a room full of voices has no pause."""
    barge_in: BargeInSettings = field(default_factory=BargeInSettings)


class VadGate:
    """Votes in; onset and release of speech out, and the verdicts on an interruption between them.

    After `rearm` the gate asks for fresh evidence of an interruption: what was said before an answer began must not
    interrupt that answer.
    """

    def __init__(self, detector: SpeechDetector, settings: VadSettings) -> None:
        self._detector = detector
        self._settings = settings
        self._votes: deque[bool] = deque(maxlen=settings.onset_frames)
        self._judge = BargeInJudge(settings.barge_in)
        self._frames = 0
        self._started_at = 0
        self._last_voiced_end = 0
        self.open = False

    @property
    def started_at(self) -> int:
        """Sample where the speech now open, or the last one, began."""
        return self._started_at

    @property
    def confirmed(self) -> bool:
        """Is the speech now open enough to interrupt an answer?"""
        return self.open and self._judge.confirmed

    def configure(self, settings: VadSettings) -> None:
        """Use other settings from the next frame on; speech under way goes on."""
        self._settings = settings
        self._votes = deque(self._votes, maxlen=settings.onset_frames)
        self._judge.configure(settings.barge_in)

    def rearm(self) -> None:
        """Forget the evidence so far; an open gate stays open."""
        self._votes.clear()
        self._judge.rearm()

    def guard(self, ms: int) -> None:
        """Ask for more evidence of an interruption for so long."""
        self._judge.guard(ms)

    def push(self, frame: bytes, far_dbfs: float = SILENT_DBFS) -> list[GateEvent]:
        """Judge one frame of `VAD_FRAME_BYTES`, heard while the client plays something as loud as `far_dbfs`."""
        vote = self._detector.judge(frame, far_dbfs)
        voiced = vote is Vote.SPEECH
        self._votes.append(voiced)
        self._frames += 1
        if voiced or (self.open and vote is Vote.FAINT):
            self._last_voiced_end = self._frames * VAD_FRAME_SAMPLES
        speech = self._begin() if voiced else []
        verdicts = [GateEvent(_MOMENTS[verdict], self._started_at) for verdict in self._judge.push(voiced=voiced)]
        end = [self._release()] if self.open and self._has_ended() else self._pause()
        return [*speech, *verdicts, *end]

    def close(self) -> list[GateEvent]:
        """End the speech at once, as a commit does."""
        if not self.open:
            return []
        return [self._release()]

    def _begin(self) -> list[GateEvent]:
        if self.open or sum(self._votes) < self._settings.onset_votes:
            return []
        self.open = True
        self._started_at = self._first_voiced()
        return [GateEvent(GateMoment.ONSET, self._started_at)]

    def _release(self) -> GateEvent:
        self.open = False
        self._votes.clear()
        if self._judge.confirmed:
            self._judge.rearm()
        return GateEvent(GateMoment.RELEASE, self._last_voiced_end)

    def _first_voiced(self) -> int:
        return (self._frames - len(self._votes) + self._votes.index(True)) * VAD_FRAME_SAMPLES

    def _pause(self) -> list[GateEvent]:
        silent_ms = self._ms_since(self._last_voiced_end)
        pauses = self.open and silent_ms - FRAME_MS < self._settings.pause_ms <= silent_ms
        return [GateEvent(GateMoment.PAUSE, self._last_voiced_end)] if pauses else []

    def _has_ended(self) -> bool:
        settings = self._settings
        lasts_ms, silent_ms = self._ms_since(self._started_at), self._ms_since(self._last_voiced_end)
        is_long = lasts_ms >= settings.long_speech_ms
        hangover_ms = min(settings.hangover_ms, settings.long_hangover_ms) if is_long else settings.hangover_ms
        return silent_ms >= hangover_ms or lasts_ms >= settings.speech_limit_ms

    def _ms_since(self, sample: int) -> int:
        return (self._frames * VAD_FRAME_SAMPLES - sample) * 1000 // VAD_RATE_HZ


_MOMENTS = {
    Verdict.LIKELY: GateMoment.LIKELY,
    Verdict.UNLIKELY: GateMoment.UNLIKELY,
    Verdict.CONFIRM: GateMoment.CONFIRM,
}
