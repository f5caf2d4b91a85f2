"""Is somebody interrupting? Votes of single frames in; hold, cut and release of an answer out, in two steps.

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

__all__ = ["BargeIn", "BargeInJudge", "BargeInSettings", "Verdict", "evidence"]


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
    """After 120 ms of voice: also for "mm-hm"."""
    BALANCED = "balanced"
    """After 320 ms: not for one short word, but for two in a row."""
    CALM = "calm"
    """After 800 ms."""


@dataclass(frozen=True, slots=True)
class BargeInSettings:
    """How much evidence each step takes: so many voiced ones of the last frames, 20 ms each.

    The defaults are `BargeIn.BALANCED`. docs/interruption.md has the measurement they come from.
    """

    hold_votes: int = 3
    hold_frames: int = 4
    cut_votes: int = 16
    cut_frames: int = 40
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


_EVIDENCE = {BargeIn.EAGER: (6, 12), BargeIn.BALANCED: (16, 40), BargeIn.CALM: (40, 100)}
"""Votes and frames of a cut."""
_FRAMES_PER_VOTE = 2.5
"""At 10 dB above the noise less than half of the frames of speech are found voiced."""
_SHORTEST_LIMIT_MS = 600
_LIMIT_PER_FRAME_MS = 24
"""A hold may last a little longer than the evidence of a cut takes to gather."""


def evidence(preset: BargeIn, *, min_ms: int | None = None, threshold: float = 0.5) -> BargeInSettings:
    """What `preset` asks for; with `min_ms` so much voice instead, at least what a hold takes.

    `threshold`, 0 to 1, scales either: 0.5 leaves it alone, 0.25 and less halves it, 1 doubles it.
    """
    base = BargeInSettings()
    votes, frames = _EVIDENCE[preset]
    if min_ms is not None:
        votes = math.ceil(min_ms / FRAME_MS)
        frames = round(votes * _FRAMES_PER_VOTE)
    scale = min(max(threshold / 0.5, 0.5), 2.0)
    votes = max(base.hold_votes, round(votes * scale))
    frames = max(base.hold_frames, votes, round(frames * scale))
    limit_ms = max(_SHORTEST_LIMIT_MS, frames * _LIMIT_PER_FRAME_MS)
    return replace(base, cut_votes=votes, cut_frames=frames, hold_limit_ms=limit_ms)


class BargeInJudge:
    """Weighs votes frame by frame. It does not know whether there is an answer to interrupt."""

    def __init__(self, settings: BargeInSettings) -> None:
        self._settings = settings
        self._votes: deque[bool] = deque(maxlen=_kept(settings))
        self._guarded_frames = 0
        self._silent_frames = 0
        self._likely_frames = 0
        self.likely = False
        self.confirmed = False

    def configure(self, settings: BargeInSettings) -> None:
        """Use other settings from the next frame on; what is likely stays so until it is decided."""
        self._settings = settings
        self._votes = deque(self._votes, maxlen=_kept(settings))

    def rearm(self) -> None:
        """Forget everything: what was said before an answer began must not interrupt it."""
        self._votes.clear()
        self._silent_frames = self._likely_frames = 0
        self.likely = self.confirmed = False

    def guard(self, ms: int) -> None:
        """Ask for more evidence for so long: what is heard may be the answer's own echo."""
        self._guarded_frames = max(self._guarded_frames, ms // FRAME_MS)

    def push(self, *, voiced: bool) -> list[Verdict]:
        """Weigh the next frame."""
        self._votes.append(voiced)
        self._guarded_frames = max(0, self._guarded_frames - 1)
        self._silent_frames = 0 if voiced else self._silent_frames + 1
        if self.confirmed:
            return []
        if not self.likely:
            return self._suspect() if voiced else []
        self._likely_frames += 1
        return self._decide(voiced=voiced)

    def _suspect(self) -> list[Verdict]:
        more = self._settings.guard_hold_votes if self._guarded_frames else 0
        if not self._has(self._settings.hold_votes + more, self._settings.hold_frames + more):
            return []
        self.likely = True
        self._likely_frames = 0
        return [Verdict.LIKELY, *self._decide(voiced=True)]

    def _decide(self, *, voiced: bool) -> list[Verdict]:
        more = self._settings.guard_cut_votes if self._guarded_frames else 0
        if voiced and self._has(self._settings.cut_votes + more, self._settings.cut_frames + more):
            self.likely, self.confirmed = False, True
            return [Verdict.CONFIRM]
        if self._silent_frames * FRAME_MS >= self._settings.release_ms:
            self.likely = False
            return [Verdict.UNLIKELY]
        if self._likely_frames * FRAME_MS >= self._settings.hold_limit_ms:
            self.rearm()
            return [Verdict.UNLIKELY]
        return []

    def _has(self, votes: int, frames: int) -> bool:
        return sum(list(self._votes)[-frames:]) >= votes


def _kept(settings: BargeInSettings) -> int:
    """How many votes can matter."""
    return max(
        settings.hold_frames + settings.guard_hold_votes,
        settings.cut_frames + settings.guard_cut_votes,
    )
