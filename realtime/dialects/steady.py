"""A player whose loudspeaker is the wire: sound comes in as it is made, and leaves in real time without a gap.

What the client of a continuous stream would do with a queue of its own is done here, so that silence is true zeros and
a break is heard with the next piece. Positions are samples of sound, times milliseconds since the stream began.
"""

from collections import deque
from dataclasses import dataclass

from duplex.audio import SAMPLE_BYTES
from duplex.clock import ms_to_samples, samples_to_ms
from duplex.heard_text import usual_s

__all__ = ["MOST_TEXTS", "MOST_WAITING_S", "TICK_MS", "Piece", "SteadyStream", "TimedText"]

TICK_MS = 40
"""One piece of the stream. Sound waits half of it on the average, and a break all of it at the worst."""

MOST_WAITING_S = 15
"""More sound than can gather behind a client that is just not yet given up; beyond it the oldest is dropped."""

MOST_TEXTS = 256
"""So many texts may wait for their sound; beyond it they are joined to the newest."""


@dataclass(frozen=True, slots=True)
class TimedText:
    """What is said from `start_ms` on. Its end is an estimate from the usual speed of speech."""

    text: str
    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class Piece:
    """`TICK_MS` of 16-bit sound, and the texts whose sound begins in it."""

    pcm: bytes
    texts: tuple[TimedText, ...]


class SteadyStream:
    """See the module's docstring. The stream begins with the first `take`, whose `now` counts seconds of any clock."""

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._tick_bytes = ms_to_samples(TICK_MS, rate_hz) * SAMPLE_BYTES
        self._began_at: float | None = None
        self._ticks = 0
        self._sound = bytearray()
        self._played = 0
        self._held = False
        self._texts: deque[tuple[int, str]] = deque()
        self._text_end = 0

    @property
    def elapsed_ms(self) -> int:
        """How much of the stream has left."""
        return self._ticks * TICK_MS

    def push(self, pcm: bytes) -> None:
        """Whole samples, to be heard when everything before them has been."""
        self._sound += pcm
        excess = len(self._sound) - MOST_WAITING_S * self._rate_hz * SAMPLE_BYTES
        if excess > 0:
            del self._sound[:excess]
            self._played += excess // SAMPLE_BYTES

    def say(self, text: str) -> None:
        """What the sound pushed next says. It leaves with that sound, so that nothing is told that is never heard."""
        if len(self._texts) >= MOST_TEXTS:
            at, waiting = self._texts.pop()
            text = waiting + text
        else:
            at = max(self._pushed, self._text_end)
        self._texts.append((at, text))
        self._text_end = at + round(usual_s(text) * self._rate_hz)

    def finish(self) -> None:
        """No more sound of this answer: texts leave with the last of it at the latest."""
        last = self._pushed - 1
        self._texts = deque((min(at, last), text) for at, text in self._texts)
        self._text_end = self._pushed

    def hold(self) -> None:
        """Zeros from the next piece on, until `release` goes on where it stopped, or `clear`."""
        self._held = True

    def release(self) -> None:
        """Go on."""
        self._held = False

    def clear(self) -> None:
        """Drop everything that has not left: zeros from the next piece on."""
        self._sound.clear()
        self._texts.clear()
        self._text_end = self._played
        self._held = False

    def due_at(self) -> float:
        """When the next piece may leave; minus infinity before the first."""
        return float("-inf") if self._began_at is None else self._began_at + self.elapsed_ms / 1000

    def take(self, now: float) -> Piece | None:
        """The next piece, if it is due. Pieces that are late leave one after the other; none is left out."""
        if self._began_at is None:
            self._began_at = now
        if now < self.due_at():
            return None
        sound = b"" if self._held else bytes(self._sound[: self._tick_bytes])
        del self._sound[: len(sound)]
        texts = self._due_texts(self._played + len(sound) // SAMPLE_BYTES)
        self._played += len(sound) // SAMPLE_BYTES
        self._ticks += 1
        return Piece(sound.ljust(self._tick_bytes, b"\0"), texts)

    def _due_texts(self, played: int) -> tuple[TimedText, ...]:
        texts = []
        while self._texts and self._texts[0][0] < played:
            at, text = self._texts.popleft()
            start_ms = self.elapsed_ms + samples_to_ms(max(0, at - self._played), self._rate_hz)
            texts.append(TimedText(text, start_ms, start_ms + round(usual_s(text) * 1000)))
        return tuple(texts)

    @property
    def _pushed(self) -> int:
        """Position of the sound that is pushed next."""
        return self._played + len(self._sound) // SAMPLE_BYTES
