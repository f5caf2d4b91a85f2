"""Is somebody interrupting? Evidence of single frames in; hold, cut and release of an answer out, in two steps.

         votes     . . # # # . # # # . # # # # # # # #
         likely        |LIKELY: hold the answer      |CONFIRM: cut it off

         votes     . . # # # # . . . . . . . . . . .
         likely        |LIKELY: hold             |UNLIKELY: go on where it stopped

A hold costs a listener a pause, a cut costs the rest of an answer: so the first is quick and the second is sure.
"""

import enum
import math
from collections import deque
from dataclasses import dataclass, replace

from duplex.audio import FRAME_MS
from duplex.evidence import Evidence

__all__ = ["BargeIn", "BargeInJudge", "BargeInSettings", "Verdict", "evidence_for"]


class Verdict(enum.Enum):
    """What just became known."""

    LIKELY = enum.auto()
    """Somebody seems to speak."""
    UNLIKELY = enum.auto()
    """It was a noise, or a word or two that were no interruption."""
    CONFIRM = enum.auto()
    """Somebody interrupts."""


class BargeIn(enum.StrEnum):
    """How readily speech cuts an answer off. All hold it equally soon."""

    EAGER = "eager"
    """After 120 ms of anything like a voice: also for "mm-hm" and a cough."""
    BALANCED = "balanced"
    """After 360 ms of a voice: not for one short word, but for two in a row."""
    CALM = "calm"
    """After 720 ms of a voice."""


@dataclass(frozen=True, slots=True)
class BargeInSettings:
    """How much evidence each step takes: so many of the last frames, 20 ms each, that count.

    The defaults are `BargeIn.BALANCED`. docs/interruption.md has the measurement they come from.
    """

    hold_db: float = 6.0
    """Above the room, for a frame to count for a hold: noise must not begin it."""
    hold_votes: int = 2
    hold_frames: int = 3
    cut_db: float = 2.0
    """For a cut less is enough: at 10 dB above the noise half of the frames of speech are fainter than 6."""
    fading_db: float = 25.0
    """So much below the loudest frame of late is no voice any more, but a slam that rings on."""
    cut_votes: int = 18
    cut_frames: int = 40
    bridged_frames: int = 4
    """A gap in a word, such as the closure of a consonant, counts like the word around it."""
    pitched_votes: int = 7
    """So many of them must be pitched: speech has 11 of 18, a cough no more than 6."""
    spread_votes: int = 12
    spread_frames: int = 22
    """So many are enough when the first of them is so long ago: that is no short word any more."""
    release_ms: int = 200
    """So much silence ends a hold: longer than the closure of a consonant, shorter than a pause between words."""
    hold_limit_ms: int = 960
    """A hold that was not confirmed by then is over, whatever is heard: noise must not gag an answer for ever."""
    guard_hold_votes: int = 1
    guard_cut_votes: int = 2
    """So many votes more while the judge is on its guard."""
    guard_begin_ms: int = 2000
    """So long after the sound of an answer begins: until then an echo canceller has not learnt the room."""
    guard_again_ms: int = 1000
    """So long after it begins again, when it ran dry or was held, and after a flush."""


_PRESETS = {
    BargeIn.EAGER: BargeInSettings(
        cut_votes=6,
        cut_frames=12,
        bridged_frames=0,
        pitched_votes=0,
        spread_votes=6,
        spread_frames=12,
        guard_cut_votes=0,
    ),
    BargeIn.BALANCED: BargeInSettings(),
    BargeIn.CALM: BargeInSettings(cut_votes=36, cut_frames=100, pitched_votes=14, spread_votes=36, spread_frames=100),
}
_FRAMES_PER_VOTE = 2.5
_PITCHED_PER_VOTE = 0.4
"""In noise and in hissed words."""
_SHORTEST_LIMIT_MS = 600
_LIMIT_PER_FRAME_MS = 24
"""A hold may last a little longer than the evidence of a cut takes to gather."""


def evidence_for(preset: BargeIn, *, min_ms: int | None = None, threshold: float = 0.5) -> BargeInSettings:
    """What `preset` asks for; with `min_ms` so much voice instead, at least what a hold takes.

    `threshold`, 0 to 1, scales either: 0.5 leaves it alone, 0.25 and less halves it, 1 doubles it.
    """
    asked = _PRESETS[preset]
    if min_ms is not None:
        votes = math.ceil(min_ms / FRAME_MS)
        frames = round(votes * _FRAMES_PER_VOTE)
        pitched = min(asked.pitched_votes, round(votes * _PITCHED_PER_VOTE))
        asked = replace(
            asked, cut_votes=votes, cut_frames=frames, pitched_votes=pitched, spread_votes=votes, spread_frames=frames
        )
    scale = min(max(threshold / 0.5, 0.5), 2.0)
    votes = max(asked.hold_votes, round(asked.cut_votes * scale))
    frames = max(asked.hold_frames, votes, round(asked.cut_frames * scale))
    return replace(
        asked,
        cut_votes=votes,
        cut_frames=frames,
        pitched_votes=round(asked.pitched_votes * scale),
        spread_votes=min(votes, round(asked.spread_votes * scale)),
        spread_frames=min(frames, round(asked.spread_frames * scale)),
        hold_limit_ms=max(_SHORTEST_LIMIT_MS, frames * _LIMIT_PER_FRAME_MS),
    )


class BargeInJudge:
    """Weighs frame by frame. It does not know whether there is an answer to interrupt."""

    def __init__(self, settings: BargeInSettings) -> None:
        self._settings = settings
        self._loud: deque[bool] = deque(maxlen=settings.hold_frames + settings.guard_hold_votes)
        self._votes: deque[bool] = deque(maxlen=settings.cut_frames + settings.guard_cut_votes)
        self._pitched: deque[bool] = deque(maxlen=self._votes.maxlen)
        self._levels: deque[float] = deque(maxlen=self._votes.maxlen)
        self._guarded_frames = 0
        self._guards_holds = True
        self._silent_frames = 0
        self._likely_frames = 0
        self.likely = False
        self.confirmed = False

    def configure(self, settings: BargeInSettings) -> None:
        """Use other settings from the next frame on; what is likely stays so until it is decided."""
        self._settings = settings
        self._loud = deque(self._loud, maxlen=settings.hold_frames + settings.guard_hold_votes)
        self._votes = deque(self._votes, maxlen=settings.cut_frames + settings.guard_cut_votes)
        self._pitched = deque(self._pitched, maxlen=self._votes.maxlen)
        self._levels = deque(self._levels, maxlen=self._votes.maxlen)

    def rearm(self) -> None:
        """Forget everything: what was said before an answer began must not interrupt it."""
        self._loud.clear()
        self._votes.clear()
        self._pitched.clear()
        self._levels.clear()
        self._silent_frames = self._likely_frames = 0
        self.likely = self.confirmed = False

    def guard(self, ms: int, *, holds: bool) -> None:
        """Ask for more evidence of a cut for so long, with `holds` of a hold too: it may be the answer's own echo."""
        self._guarded_frames = max(self._guarded_frames, ms // FRAME_MS)
        self._guards_holds = holds

    def push(self, evidence: Evidence) -> list[Verdict]:
        """Weigh the next frame."""
        self._guarded_frames = max(0, self._guarded_frames - 1)
        above_room_db = evidence.above_room_db
        loud = above_room_db > self._settings.hold_db
        self._levels.append(above_room_db)
        # Most frames hold no voice, and need not be compared with the loudest.
        voiced = above_room_db > self._settings.cut_db and (
            above_room_db > max(self._levels) - self._settings.fading_db
        )
        self._loud.append(loud)
        self._count(voiced=voiced, pitched=evidence.pitched)
        if self.confirmed:
            return []
        if not self.likely:
            return self._suspect() if loud else []
        self._likely_frames += 1
        return self._decide(voiced=voiced)

    def _count(self, *, voiced: bool, pitched: bool) -> None:
        if voiced and self._silent_frames <= self._settings.bridged_frames:
            for gap in range(min(self._silent_frames, len(self._votes))):
                self._votes[-1 - gap] = True
        self._silent_frames = 0 if voiced else self._silent_frames + 1
        self._votes.append(voiced)
        self._pitched.append(voiced and pitched)

    def _suspect(self) -> list[Verdict]:
        more = self._settings.guard_hold_votes if self._guarded_frames and self._guards_holds else 0
        if sum(list(self._loud)[-self._settings.hold_frames - more :]) < self._settings.hold_votes + more:
            return []
        self.likely = True
        self._likely_frames = 0
        return [Verdict.LIKELY, *self._decide(voiced=True)]

    def _decide(self, *, voiced: bool) -> list[Verdict]:
        if voiced and self._is_enough():
            self.likely, self.confirmed = False, True
            return [Verdict.CONFIRM]
        if self._silent_frames * FRAME_MS >= self._settings.release_ms:
            self.likely = False
            return [Verdict.UNLIKELY]
        if self._likely_frames * FRAME_MS >= self._settings.hold_limit_ms:
            self.rearm()
            return [Verdict.UNLIKELY]
        return []

    @property
    def spread_frames(self) -> int:
        """How long ago the first frame began that counts for a cut; 0 when none does."""
        return len(self._votes) - self._votes.index(True) if True in self._votes else 0

    def _is_enough(self) -> bool:
        settings = self._settings
        more = settings.guard_cut_votes if self._guarded_frames else 0
        votes = list(self._votes)[-settings.cut_frames - more :]
        if sum(list(self._pitched)[-len(votes) :]) < settings.pitched_votes:
            return False
        count, spread = sum(votes), len(votes) - votes.index(True)
        is_spread = spread >= settings.spread_frames + more and count >= settings.spread_votes + more
        return is_spread or count >= settings.cut_votes + more
