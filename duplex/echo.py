"""How loud the answer's own echo may be: what we sent, and what the microphone hears meanwhile.

An echo is speech, so no speech detector rejects it; but we know what was sent and when. A frame of the microphone
counts only when it is louder than the answer was within the last half second, less what the room takes from it.
"""

import math
from collections import deque
from typing import Protocol

import numpy as np
import numpy.typing as npt

from duplex.echo_finder import EchoFinder
from duplex.evidence import NO_SOUND, SILENT_DBFS

__all__ = ["EchoBar", "LearntBar", "ResidualBar"]

_LOOK_BACK = 25
"""0.5 s, in frames: the longest way through a client's buffers, the room and back that is covered."""
_AUDIBLE_DBFS = -55.0


class EchoBar(Protocol):
    """How loud a voice over an answer must be. Once a frame: `hear_far`, then, while it `sounds`, `hear_near`."""

    @property
    def sounds(self) -> bool:
        """May the answer be heard in this frame?"""
        ...

    def hear_far(self, far_dbfs: float, far: bytes) -> None:
        """The answer sounds like this in the next frame."""
        ...

    def hear_near(self, near_dbfs: float, near: bytes) -> None:
        """And this is what the microphone hears in it."""
        ...

    def bar_dbfs(self) -> float:
        """What the frame must exceed; minus infinity while no answer is heard."""
        ...


class ResidualBar:
    """Behind a canceller the room is known: what is left of an echo is so much fainter, all but a few bursts of it."""

    _REMAINS_DB = -17.0
    """Of the loudest of the answer within the last half second (docs/interruption.md)."""

    def __init__(self) -> None:
        self._far: deque[float] = deque(maxlen=_LOOK_BACK)

    @property
    def sounds(self) -> bool:
        """See `EchoBar`."""
        return max(self._far, default=SILENT_DBFS) > _AUDIBLE_DBFS

    def hear_far(self, far_dbfs: float, far: bytes) -> None:
        """See `EchoBar`."""
        del far
        self._far.append(far_dbfs)

    def hear_near(self, near_dbfs: float, near: bytes) -> None:
        """Nothing can be learnt from it."""

    def bar_dbfs(self) -> float:
        """See `EchoBar`."""
        return max(self._far) + self._REMAINS_DB if self.sounds else -math.inf


class LearntBar:
    """Finds the answer in what the microphone hears, and how loud a voice over it must be therefore.

    Where the microphone's levels have risen and fallen for 2 s as those of the answer did up to half a second before,
    it hears the answer; how much later and fainter is learnt. Where they have not, it hears something else, or a voice
    over the answer: nothing is learnt, because a user must not raise the bar for himself. Levels and differences are
    dB.
    """

    _MARGIN_DB = 3.0
    _ALIKE = 0.75
    """Correlation of levels. An echo comes to more, a voice that knows nothing of the answer to 0.68 in 19 of 20
    windows, at the best of 26 delays."""
    _ALIKE_EARLY = 0.8
    """In the first windows, which are shorter."""
    _ALIKE_FAINT = 0.65
    """An echo near the noise is less alike, and to be wrong about a faint one does no harm."""
    _FAINT_DB = -15.0
    _BEFORE = 8
    _AFTER = 3
    """Frames around the echo's delay: the room's reverberation, and what the position may be wrong by."""
    _WINDOW = 100
    _SHORTEST_WINDOW = 50
    _IN_A_ROW = 3
    """So many windows, 100 ms apart: chance does not last."""
    _EVERY = 5
    _SHARE = 0.95
    _GAINS = 200
    """4 s in which the answer was heard."""
    _FORGET_AFTER = 1500
    """30 s of an answer in which it was not: somebody who talks a lot over an answer hides its echo."""
    _UNKNOWN = 100
    """In the first 2 s of the first answer it is taken to come back as loud as it can."""
    _AUDIBLE_DB = 30.0
    """So much fainter than the answer no echo harms."""
    _COMPARABLE = 10
    """So many of the last 25 frames must be louder for their sound to be compared."""
    _QUIET_SHARE = 0.25
    """Of the frames: fewer may be quiet because the client ran dry."""
    _SLACK_DB = 6.0
    """A loudspeaker and a room do not give back all sounds alike, and the bar is about the loudest of them."""
    _TELLING_DBFS = -45.0
    """In the answer's own pauses there is nothing to compare: silence would look like an echo as loud as it."""
    _LOWEST_DBFS = -60.0
    _LEAST_SPREAD_DB = 2.0

    def __init__(self) -> None:
        self._near: deque[float] = deque(maxlen=self._WINDOW)
        self._far: deque[float] = deque(maxlen=self._WINDOW + _LOOK_BACK)
        self._gains: deque[float] = deque(maxlen=self._GAINS)
        self._gain_db = 0.0
        self._delay: int | None = None
        self._silent_frames = _LOOK_BACK
        self._frames = 0
        self._alike_in_a_row = 0
        self._unheard_frames = 0
        self._finder = EchoFinder()
        self._far_frame = NO_SOUND
        self._other_frames = 0

    @property
    def sounds(self) -> bool:
        """May the answer be heard in this frame?"""
        return self._silent_frames < _LOOK_BACK

    def hear_far(self, far_dbfs: float, far: bytes) -> None:
        """The answer sounds like this in the next frame."""
        if not self.sounds:
            if far_dbfs <= _AUDIBLE_DBFS:
                return
            # Levels from both sides of a pause do not belong together.
            self._near.clear()
            self._far.clear()
            self._far.extend([self._LOWEST_DBFS] * _LOOK_BACK)
            self._finder = EchoFinder()
        self._silent_frames = 0 if far_dbfs > _AUDIBLE_DBFS else self._silent_frames + 1
        self._far.append(max(far_dbfs, self._LOWEST_DBFS))
        self._far_frame = far

    def hear_near(self, near_dbfs: float, near: bytes) -> None:
        """And this is what the microphone hears in it. Only while the answer `sounds`."""
        self._near.append(max(near_dbfs, self._LOWEST_DBFS))
        self._frames += 1
        self._unheard_frames += 1
        if self._frames % self._EVERY == 0 and len(self._near) >= self._SHORTEST_WINDOW:
            self._learn()
        if self._frames < self._UNKNOWN and not self._gains:
            self._finder.hear(near, self._far_frame)
            self._gain_db = self._guessed_db()
        elif self._frames == self._UNKNOWN and not self._gains:
            self._gain_db = -math.inf
        elif self._unheard_frames == self._FORGET_AFTER:
            self._gains.clear()
            self._gain_db = -math.inf
            self._delay = None

    def bar_dbfs(self) -> float:
        """What the frame must exceed; minus infinity while no answer is heard."""
        if not self.sounds:
            return -math.inf
        return max(self._far_now()) + self._gain_db + self._MARGIN_DB

    def _far_now(self, ago: int = 0) -> list[float]:
        """What of the answer may be heard `ago` frames before this one."""
        far = list(self._far)
        end = len(far) - ago
        if self._delay is None:
            return far[max(0, end - _LOOK_BACK) : end]
        first = max(0, end - 1 - self._delay - self._BEFORE)
        return far[first : min(end, end - self._delay + self._AFTER)]

    def _learn(self) -> None:
        alike, delay = self._likeness()
        known, self._delay = self._delay, delay
        gains = self._newest_gains()
        enough = self._ALIKE if len(self._near) == self._WINDOW else self._ALIKE_EARLY
        faint = max(gains, default=0.0) < self._FAINT_DB
        if alike < (self._ALIKE_FAINT if faint else enough):
            self._alike_in_a_row, self._delay = 0, known
            return
        self._alike_in_a_row += 1
        if self._alike_in_a_row < self._IN_A_ROW:
            self._delay = known
            return
        self._unheard_frames = 0
        self._gains.extend(gains)
        if self._gains:
            self._gain_db = sorted(self._gains)[int(self._SHARE * (len(self._gains) - 1))]

    def _newest_gains(self) -> list[float]:
        """Of the frames since the last look, or of all when none was learnt, in which the answer was loud enough."""
        count = self._EVERY if self._gains else len(self._near)
        newest = [(near, max(self._far_now(ago))) for ago, near in enumerate(list(self._near)[: -count - 1 : -1])]
        most = self._gain_db + 2 * self._MARGIN_DB if len(self._gains) >= self._GAINS // 2 else math.inf
        # Once the echo is known, what is clearly over the bar is a voice over the answer.
        return [near - far for near, far in newest if far > self._TELLING_DBFS and near - far <= most]

    def _guessed_db(self) -> float:
        """While nothing is learnt: what quiet frames allow, and nothing while what is heard is not the answer."""
        self._other_frames -= 1
        if self._frames % self._EVERY == 0:
            loud = max(self._far) - self._AUDIBLE_DB
            heard = sum(near > loud for near in list(self._near)[-_LOOK_BACK:])
            if heard >= self._COMPARABLE and self._finder.prominence() < self._finder.ENOUGH:
                self._other_frames = _LOOK_BACK
        return -math.inf if self._other_frames > 0 else self._ceiling_db()

    def _ceiling_db(self) -> float:
        """How loud an echo can be at most, at any delay: in it no frame is fainter than what was sent; 0 at most."""
        near, windows = self._delayed()
        if len(near) <= _LOOK_BACK:
            return 0.0
        # No delay is a whole number of frames: the echo is as loud as the faintest around it.
        faintest = np.minimum(np.minimum(windows[:-2], windows[1:-1]), windows[2:])
        gains = np.sort(np.where(faintest > self._TELLING_DBFS, near - faintest, math.inf))
        tell = np.isfinite(gains).sum(axis=1)
        at = np.maximum(1, self._QUIET_SHARE * tell).astype(int)
        return float(min(0.0, np.take_along_axis(gains, at[:, None], axis=1).max() + self._SLACK_DB))

    def _delayed(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """The microphone's levels, and those of the answer beside them at each delay, the longest first."""
        near = np.array(self._near)
        far = np.array(self._far)[-len(near) - _LOOK_BACK :]
        return near, np.lib.stride_tricks.sliding_window_view(far, len(near))

    def _likeness(self) -> tuple[float, int]:
        """Correlation of the microphone's levels with the answer's, -1 to 1, at the best delay, in frames."""
        near, windows = self._delayed()
        windows = windows - windows.mean(axis=1, keepdims=True)
        near = near - near.mean()
        spreads = np.sqrt((windows**2).mean(axis=1) * (near**2).mean())
        alike = (windows @ near) / len(near) / np.maximum(spreads, self._LEAST_SPREAD_DB**2)
        best = int(alike.argmax())
        return float(alike[best]), _LOOK_BACK - best
