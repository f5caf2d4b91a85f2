"""What a client sends, cut to what the engine takes: whole tenths of a second, not too short and not too long.

Clients send chunks of any length. The engine pads each prefill with silence to the next 100 ms, which would tear holes
into speech that comes in pieces of 80 ms. So a rest waits for what follows it, and only the end is padded.
"""

from duplex.audio import SAMPLE_BYTES
from duplex.engine.base import ENGINE_INPUT_RATE_HZ, Mode

__all__ = ["Intake"]

_TENTH_BYTES = ENGINE_INPUT_RATE_HZ // 10 * SAMPLE_BYTES

_LEAST_BYTES = {Mode.SIMPLEX: 2 * _TENTH_BYTES, Mode.DUPLEX: 10 * _TENTH_BYTES}
"""In duplex the model hears one second at a time. In simplex every prefill costs two tokens beside those of its sound,
one for 100 ms, so the smallest chunks are gathered."""

_MOST_BYTES = 100 * _TENTH_BYTES
"""10 s. The engine takes up to 30 s at once; a break has to wait for what is being heard."""


class Intake:
    """The input of one session: 16-bit mono PCM at `ENGINE_INPUT_RATE_HZ`, each sample once."""

    def __init__(self, mode: Mode) -> None:
        self._least_bytes = _LEAST_BYTES[mode]
        self._waiting = b""

    def push(self, pcm: bytes) -> list[bytes]:
        """Take a chunk; returns what can be heard now, in pieces of whole tenths of a second."""
        self._waiting += pcm
        if len(self._waiting) < self._least_bytes:
            return []
        whole = len(self._waiting) - len(self._waiting) % _TENTH_BYTES
        ready, self._waiting = self._waiting[:whole], self._waiting[whole:]
        return [ready[at : at + _MOST_BYTES] for at in range(0, whole, _MOST_BYTES)]

    def flush(self) -> bytes:
        """The rest, of any length: nothing follows it."""
        rest, self._waiting = self._waiting, b""
        return rest
