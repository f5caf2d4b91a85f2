"""Is the user speaking? The gate turns the evidence of frames into speech with a start and an end.

         evidence  . . # . # # # # . # # # . . . . . . .
         gate          |onset             |            |release
                                          '- hangover -'

Onset opens the gate, release closes it. Beside it `BargeInJudge` weighs the same frames for an interruption. All times
are sample numbers at 16 kHz since the start of the microphone.
"""

import enum
from collections import deque
from dataclasses import dataclass, field

from duplex.audio import FRAME_MS
from duplex.barge_in import BargeInJudge, BargeInSettings, Verdict
from duplex.evidence import NO_SOUND, VAD_FRAME_SAMPLES, VAD_RATE_HZ, SpeechDetector

__all__ = ["GateEvent", "GateMoment", "VadGate", "VadSettings"]


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
    """How loud a voice must be, in how many of the last frames, and how long silence must last.

    Onset 3 of 4 gave 70 ms at the median on clean to 10 dB speech. 600 ms of hangover cut no pause of half a second.
    """

    attack_db: float = 6.0
    """Above the room, to begin."""
    release_db: float = 3.0
    """And to go on."""
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
        self._released_at = 0
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

    def guard(self, ms: int, *, holds: bool = True) -> None:
        """See `BargeInJudge.guard`."""
        self._judge.guard(ms, holds=holds)

    def push(self, frame: bytes, far: bytes = NO_SOUND) -> list[GateEvent]:
        """Judge one frame of `VAD_FRAME_BYTES`, heard while the client plays `far`, a frame as long."""
        evidence = self._detector.judge(frame, far)
        voiced = evidence.above_room_db > self._settings.attack_db
        self._votes.append(voiced)
        self._frames += 1
        if voiced or (self.open and evidence.above_room_db > self._settings.release_db):
            self._last_voiced_end = self._frames * VAD_FRAME_SAMPLES
        verdicts = self._judge.push(evidence)
        if not (voiced or verdicts or self.open):
            return []
        speech = self._begin(confirmed=Verdict.CONFIRM in verdicts) if voiced or verdicts else []
        heard = [GateEvent(_MOMENTS[verdict], self._started_at) for verdict in verdicts]
        end = [self._release()] if self.open and self._has_ended() else self._pause()
        return [*speech, *heard, *end]

    def close(self) -> list[GateEvent]:
        """End the speech at once, as a commit does."""
        if not self.open:
            return []
        return [self._release()]

    def _begin(self, *, confirmed: bool) -> list[GateEvent]:
        """Open the gate; an interruption opens it too, though none of it may have been loud for long."""
        if self.open or not (confirmed or sum(self._votes) >= self._settings.onset_votes):
            return []
        self.open = True
        first = self._judge.spread_frames if confirmed else len(self._votes) - self._votes.index(True)
        # What was over before is not said twice.
        self._started_at = max((self._frames - first) * VAD_FRAME_SAMPLES, self._released_at)
        self._last_voiced_end = self._frames * VAD_FRAME_SAMPLES
        return [GateEvent(GateMoment.ONSET, self._started_at)]

    def _release(self) -> GateEvent:
        self.open = False
        self._released_at = self._last_voiced_end
        self._votes.clear()
        if self._judge.confirmed:
            self._judge.rearm()
        return GateEvent(GateMoment.RELEASE, self._last_voiced_end)

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
