"""Streaming sample-rate conversion: soxr behind push and flush."""

import enum

import numpy as np
import soxr

__all__ = ["Quality", "StreamResampler"]


class Quality(enum.StrEnum):
    """Two uses, two filters. Lag is how far the output trails the input, in 20 ms pieces (docs/audio.md)."""

    FAST = "QQ"
    """Cubic, no lag, some aliasing: for voice-activity detection, which must not wait for a filter."""
    CLEAN = "HQ"
    """Up to 40 ms of lag: for what the model hears and for what a person hears."""


class StreamResampler:
    """Converts 16-bit mono PCM from one rate to another, piece by piece.

    `push` may return nothing: the filter hands out its samples in bursts. When the rates are equal nothing is touched.
    """

    def __init__(self, from_hz: int, to_hz: int, quality: Quality) -> None:
        self._args = (from_hz, to_hz, quality)
        self._stream = self._open()

    def push(self, pcm: bytes) -> bytes:
        """Whole samples at the first rate in, whole samples at the second rate out."""
        return pcm if self._stream is None else self._convert(pcm, last=False)

    def flush(self) -> bytes:
        """Return what the filter still holds, and start afresh."""
        if self._stream is None:
            return b""
        tail = self._convert(b"", last=True)
        self._stream = self._open()
        return tail

    def _convert(self, pcm: bytes, *, last: bool) -> bytes:
        assert self._stream is not None
        return bytes(self._stream.resample_chunk(np.frombuffer(pcm, np.int16), last=last).tobytes())

    def _open(self) -> "soxr.ResampleStream | None":
        from_hz, to_hz, quality = self._args
        return None if from_hz == to_hz else soxr.ResampleStream(from_hz, to_hz, 1, dtype="int16", quality=quality)
