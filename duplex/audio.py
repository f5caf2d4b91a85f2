"""PCM as bytes: what the samples are, how they become frames, and the recent past of a microphone."""

from collections import deque
from dataclasses import dataclass

from duplex.errors import InvalidAudio

__all__ = ["FRAME_MS", "INPUT_RATES_HZ", "SAMPLE_BYTES", "Framer", "PcmFormat", "Recording", "whole_samples"]

SAMPLE_BYTES = 2
"""16-bit mono throughout."""

FRAME_MS = 20
"""The unit of voice-activity detection: webrtcvad takes 10, 20 or 30 ms."""

INPUT_RATES_HZ = (8000, 16000, 22050, 24000, 32000, 44100, 48000)


@dataclass(frozen=True, slots=True)
class PcmFormat:
    """16-bit little-endian mono PCM at one of `INPUT_RATES_HZ`. Raises `InvalidAudio` for any other rate."""

    rate_hz: int

    def __post_init__(self) -> None:
        if self.rate_hz not in INPUT_RATES_HZ:
            rates = ", ".join(map(str, INPUT_RATES_HZ))
            raise InvalidAudio(f"A rate of {self.rate_hz} Hz is not supported; use one of {rates}.", param="rate")


def whole_samples(pcm: bytes | memoryview, param: str = "audio") -> int:
    """How many samples `pcm` holds. Raises `InvalidAudio`, naming the field `param`, when one is cut in half."""
    if len(pcm) % SAMPLE_BYTES:
        raise InvalidAudio(
            f"{len(pcm)} bytes are not whole 16-bit samples; the odd byte would shift all that follows. "
            "Nothing of this message was used.",
            param=param,
        )
    return len(pcm) // SAMPLE_BYTES


class Framer:
    """Any pieces in, whole frames out: the same bytes give the same frames however they were split."""

    def __init__(self, frame_bytes: int) -> None:
        self._frame_bytes = frame_bytes
        self._rest = b""

    def push(self, piece: bytes | memoryview) -> list[bytes]:
        """Return the frames completed by `piece`; the rest, shorter than a frame, waits for more."""
        if not self._rest and len(piece) == self._frame_bytes:
            return [bytes(piece)]
        pending = self._rest + bytes(piece)
        whole = len(pending) - len(pending) % self._frame_bytes
        self._rest = pending[whole:]
        return [pending[at : at + self._frame_bytes] for at in range(0, whole, self._frame_bytes)]


class Recording:
    """The recent past of one microphone, addressed by sample number since its start.

    Gives at most `limit` samples back; what is older is gone, and asking for it gives what is left. Pieces are kept as
    they came: half a minute in one block would be copied whole each time it is moved.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._pieces: deque[bytes] = deque()
        self._kept = 0
        self._end = 0

    @property
    def start(self) -> int:
        """Number of the oldest sample still here."""
        return self._end - min(self._kept, self.limit)

    @property
    def end(self) -> int:
        """Number of the sample that comes next."""
        return self._end

    def append(self, pcm: bytes) -> None:
        """Add whole samples; the oldest leave when the limit is reached."""
        if not pcm:
            return
        samples = len(pcm) // SAMPLE_BYTES
        self._pieces.append(pcm)
        self._kept += samples
        self._end += samples
        while self._kept - len(self._pieces[0]) // SAMPLE_BYTES >= self.limit:
            self._kept -= len(self._pieces.popleft()) // SAMPLE_BYTES

    def read(self, start: int, end: int) -> bytes:
        """Samples `start` up to, not including, `end`, as far as they are here."""
        first, last = max(start, self.start), min(end, self._end)
        found, at = [], self._end
        for piece in reversed(self._pieces):
            if at <= first:
                break
            at -= len(piece) // SAMPLE_BYTES
            if at < last:
                found.append(piece)
        offset = first - at
        return b"".join(reversed(found))[offset * SAMPLE_BYTES : (offset + max(0, last - first)) * SAMPLE_BYTES]
