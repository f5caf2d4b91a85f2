"""The far end: our own sound as the client plays it, beside what its microphone hears.

    sent, played  --> FarEnd --> the canceller, and the bar an echo must not pass
    microphone    ------------'

All sound that comes out is 16-bit mono PCM at 16 kHz.
"""

import math
from collections import deque
from dataclasses import dataclass

from duplex.audio import SAMPLE_BYTES, Recording
from duplex.clock import ms_to_samples
from duplex.evidence import VAD_RATE_HZ
from duplex.resample import Quality, StreamResampler

__all__ = ["FarEnd"]


class _MicrophoneCount:
    """Which sample of the microphone is heard when.

    Samples arrive late and in bursts, never early, so the earliest arrivals tell the time. Seconds are of one monotonic
    clock.
    """

    _DRIFT = 0.001
    """Two crystals part by less than 1 ms a second."""
    _WINDOW = VAD_RATE_HZ // 2
    _BURST = 3 * VAD_RATE_HZ // 10
    """Lateness that half a second of microphone does not make up for is a pause in it, and no burst."""

    def __init__(self) -> None:
        self.next = 0
        """Number of the sample that comes next."""
        self._ahead: float | None = None
        self._least_late: float = math.inf
        self._window_ends = self._WINDOW

    def at(self, now: float) -> int:
        """The sample heard at `now` if nothing is late."""
        if self._ahead is None:
            self._ahead = self.next - now * VAD_RATE_HZ
        return round(now * VAD_RATE_HZ + self._ahead)

    def hear(self, samples: int, now: float) -> int:
        """So many samples came. Returns the number of the first."""
        expected = self.at(now)
        if self.next == 0:
            # The microphone may open long after something was sent.
            self.next = max(0, expected - samples)
        first, self.next = self.next, self.next + samples
        assert self._ahead is not None
        late = max(0, expected - self.next)
        # Earlier than ever: all before was late. Otherwise give way to a slower crystal.
        self._ahead += max(0, self.next - expected) - min(late, self._DRIFT * samples)
        self._least_late = min(self._least_late, late)
        if self.next >= self._window_ends:
            if self._least_late > self._BURST:
                self.next += round(self._least_late)
            self._least_late, self._window_ends = math.inf, self.next + self._WINDOW
        return first


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Samples `first` up to, not including, `last` of what was sent, played from the microphone's sample `at` on."""

    at: int
    first: int
    last: int

    @property
    def ends_at(self) -> int:
        return self.at + self.last - self.first

    def until(self, at: int) -> "_Stretch":
        """What of it is played before `at`."""
        return _Stretch(self.at, self.first, min(self.last, self.first + max(0, at - self.at)))


class _Lead:
    """Keeps the far end ahead of the loudspeaker by the same time in all of a call.

    A canceller that must learn a new delay lets the echo through meanwhile, so the first lead that it can work with
    stays the one that is wanted. Acknowledgements arrive late and unevenly, never early: the earliest of some counts.
    Leads are samples.
    """

    _ACKS = 10
    """Two seconds of them: on a busy machine or network all of a few may be late."""
    _TOLERANCE = VAD_RATE_HZ * 30 // 1000
    """Less is no more than acknowledgements jitter, and the canceller's filter makes up for it."""
    _MOST = VAD_RATE_HZ * 400 // 1000
    """Echoes later than that were not found within seconds."""
    DEFAULT = VAD_RATE_HZ * 120 // 1000

    def __init__(self) -> None:
        self._wanted: int | None = None
        self.begin()

    def begin(self) -> None:
        """A new response: what was measured is of no use any more."""
        self._least: float = math.inf
        self._acks = 0

    def excess(self, lead: int) -> int:
        """How much farther ahead than wanted the far end is, once that is known, else 0; below 0 when it is late."""
        self._least = min(self._least, lead)
        self._acks += 1
        known_late = self._wanted is not None and self._least < self._wanted - self._TOLERANCE
        if self._acks < self._ACKS and not known_late:
            return 0
        least = int(self._least)
        self.begin()
        if self._wanted is None:
            self._wanted = least if 0 <= least <= self._MOST else self.DEFAULT
        return 0 if abs(least - self._wanted) <= self._TOLERANCE else least - self._wanted


class FarEnd:
    """Our own output as the client plays it, counted in samples of the microphone.

    What is sent counts as played from that moment on, one piece after the other; the client is later by the network
    and its buffers, and the canceller finds that delay. When acknowledgements say that the delay has changed, what is
    still to come moves, so that it stays the same. All `now` are seconds of one monotonic clock.

    Memory: `_KEPT_S` of sound and one entry for each gap in it.
    """

    _KEPT_S = 10
    """5 s that may be sent ahead, and the past that an acknowledgement may go back to."""
    _PAST = 2 * VAD_RATE_HZ
    """How long it is remembered when something was played."""

    def __init__(self, rate_hz: int) -> None:
        """`rate_hz` is the rate of what will be sent."""
        self._count = _MicrophoneCount()
        self._sent = Recording(self._KEPT_S * VAD_RATE_HZ)
        self._played: deque[_Stretch] = deque()
        self._lead = _Lead()
        self._begun = 0
        self._waiting_from: int | None = None
        self._resampler = StreamResampler(rate_hz, VAD_RATE_HZ, Quality.FAST)

    def set_rate(self, rate_hz: int) -> None:
        """What is sent is at this rate from now on."""
        self._sent.append(self._resampler.flush())
        self._resampler = StreamResampler(rate_hz, VAD_RATE_HZ, Quality.FAST)

    def begin(self) -> None:
        """A new response: acknowledgements count from here. What is left of the last one is still played."""
        self._resampler.flush()
        self._begun = self._sent.end
        self._lead.begin()

    def sent(self, pcm: bytes, now: float) -> None:
        """The next piece of the response left; whole samples at the rate it was told."""
        first = self._sent.end
        self._sent.append(self._resampler.push(pcm))
        if self._waiting_from is None:
            self._play(first, now)

    def acknowledge(self, played_ms: int, now: float) -> None:
        """The client has played so much of the response that began last; 0 says that it has not begun with it."""
        heard = self._begun + ms_to_samples(played_ms, VAD_RATE_HZ)
        if self._waiting_from is not None or not self._begun < heard < self._sent.end:
            return
        here = self._count.at(now)
        playing = next((here - one.at + one.first for one in reversed(self._played) if one.at <= here), None)
        excess = 0 if playing is None else self._lead.excess(playing - heard)
        if excess and playing is not None:
            self._cut(here)
            self._play(min(max(playing - excess, self._sent.start), self._sent.end), now)

    def hold(self, now: float) -> None:
        """The client stops playing and keeps what it has."""
        if self._waiting_from is None:
            self._waiting_from = self._cut(self._count.at(now))

    def release(self, now: float) -> None:
        """The client plays on where it stopped. Nothing when it was not held."""
        if self._waiting_from is not None:
            first, self._waiting_from = self._waiting_from, None
            self._play(first, now)

    def flush(self, now: float) -> None:
        """The client throws away what it has not played."""
        self._cut(self._count.at(now))
        self._waiting_from = None
        self.begin()

    def read(self, samples: int, now: float) -> bytes:
        """The far end of the next `samples` of the microphone, which arrived at `now`; zeros where nothing plays."""
        start = self._count.hear(samples, now)
        end = start + samples
        far = bytearray(samples * SAMPLE_BYTES)
        for stretch in self._played:
            first, last = max(start, stretch.at), min(end, stretch.ends_at)
            if first < last:
                shift = stretch.first - stretch.at
                piece = self._sent.read(first + shift, last + shift)
                # What has left the recording is missing at the front.
                far[(last - start) * SAMPLE_BYTES - len(piece) : (last - start) * SAMPLE_BYTES] = piece
        self._forget()
        return bytes(far)

    def _play(self, first: int, now: float) -> None:
        """Let all from `first` on be played as soon as what is being played ends."""
        at = self._count.at(now)
        newest = self._played[-1] if self._played else None
        if newest is not None and newest.ends_at >= at:
            at = newest.ends_at
            if newest.last == first:
                self._played.pop()
                at, first = newest.at, newest.first
        if first < self._sent.end:
            self._played.append(_Stretch(at, first, self._sent.end))
        self._forget()

    def _cut(self, at: int) -> int:
        """Let nothing be played from `at` on. Returns the first sample that is not."""
        first = self._sent.end
        while self._played and self._played[-1].ends_at > at:
            cut = self._played.pop()
            kept = cut.until(at)
            first = kept.last
            if kept.first < kept.last:
                self._played.append(kept)
        return first

    def _forget(self) -> None:
        while self._played and self._played[0].ends_at < self._count.next - self._PAST:
            self._played.popleft()
        while self._played and self._played[0].last <= self._sent.start:
            self._played.popleft()
