"""The reply's way out: from the engine's PCM to pieces of the client's."""

from duplex.audio import SAMPLE_BYTES
from duplex.clock import ms_to_samples
from duplex.engine.base import ENGINE_OUTPUT_RATE_HZ
from duplex.resample import Quality, StreamResampler

__all__ = ["Voice"]


class Voice:
    """One response's sound at the client's rate, in pieces of at most `piece_ms`."""

    def __init__(self, rate_hz: int, piece_ms: int) -> None:
        self._resampler = StreamResampler(ENGINE_OUTPUT_RATE_HZ, rate_hz, Quality.CLEAN)
        self._piece_bytes = ms_to_samples(piece_ms, rate_hz) * SAMPLE_BYTES

    def push(self, pcm: bytes) -> list[bytes]:
        """Engine PCM in, whole pieces and a shorter last one out; none while the filter fills."""
        return self._cut(self._resampler.push(pcm))

    def flush(self) -> list[bytes]:
        """What the filter still holds, at the end of the response."""
        return self._cut(self._resampler.flush())

    def _cut(self, pcm: bytes) -> list[bytes]:
        return [pcm[at : at + self._piece_bytes] for at in range(0, len(pcm), self._piece_bytes)]
