"""Where a caller sits: a loudspeaker that plays what the server sends, and a microphone that hears it, noise and clips.

The loudspeaker is a client as the protocol wants it: it stops and goes on when told, drops when told, and reports.
"""

from dataclasses import dataclass

import numpy as np

from bench.microphone import FRAME_SAMPLES, Microphone
from bench.overlap.sounds import room
from bench.speech import RATE_HZ, Samples

__all__ = ["Echo", "Home", "Loudspeaker"]

_CUSHION = 60 * RATE_HZ // 1000


@dataclass(frozen=True, slots=True)
class Echo:
    """How the microphone hears the loudspeaker: so many dB below the answer, and so much later."""

    db: float
    delay_ms: int


class Loudspeaker:
    """Plays 16-bit mono PCM at 16 kHz. Counts are samples."""

    def __init__(self) -> None:
        self._queue = bytearray()
        self._held = False
        self._flows = False
        self.played = 0
        """Of the response that began last."""

    def begin(self) -> None:
        """A response begins."""
        self.played = 0

    def receive(self, pcm: bytes) -> None:
        """The next piece of it."""
        self._queue += pcm

    def hold(self) -> None:
        """Stop, and keep everything."""
        self._held = True

    def release(self) -> None:
        """Go on."""
        self._held = False

    def flush(self) -> None:
        """Drop everything."""
        self._queue.clear()
        self._held = self._flows = False

    def pull(self, samples: int) -> Samples:
        """What sounds during the next `samples`."""
        if not self._flows and len(self._queue) >= 2 * _CUSHION:
            self._flows = True
        if self._held or not self._flows:
            return np.zeros(samples)
        piece = bytes(self._queue[: 2 * samples])
        del self._queue[: 2 * samples]
        self._flows = bool(self._queue)
        self.played += len(piece) // 2
        return np.frombuffer(piece.ljust(2 * samples, b"\0"), "<i2") / 32768.0


class Home(Microphone):
    """A microphone in a room with a loudspeaker."""

    def __init__(self, noise: Samples | None = None, echo: Echo | None = None) -> None:
        super().__init__(noise)
        self.loudspeaker = Loudspeaker()
        self._echo = echo
        self._room = room()
        late = 0 if echo is None else echo.delay_ms * RATE_HZ // 1000
        self._sounded = np.zeros(late + len(self._room) - 1)

    def next_frame(self) -> bytes:
        """The next 20 ms, while the loudspeaker plays as much."""
        frame = super().next_frame()
        sound = np.concatenate([self._sounded, self.loudspeaker.pull(FRAME_SAMPLES)])
        self._sounded = sound[FRAME_SAMPLES:]
        if self._echo is None:
            return frame
        heard = np.convolve(sound[: FRAME_SAMPLES + len(self._room) - 1], self._room, mode="valid")
        mixed = np.frombuffer(frame, "<i2") + heard * 32767 * 10 ** (self._echo.db / 20)
        return np.clip(np.rint(mixed), -32768, 32767).astype("<i2").tobytes()
