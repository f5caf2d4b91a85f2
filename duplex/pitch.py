"""Does a sound repeat itself as often as a voice does? Vowels do; coughs, bangs, clicks and noise do not."""

import numpy as np

from duplex.evidence import VAD_FRAME_SAMPLES, VAD_RATE_HZ

__all__ = ["PitchFinder"]

_DECIMATION = 4
"""4 kHz hold every pitch and its first overtones; the mean of four samples takes the hiss away."""
_FRAME = VAD_FRAME_SAMPLES // _DECIMATION
_SHORTEST = VAD_RATE_HZ // _DECIMATION // 500
_LONGEST = VAD_RATE_HZ // _DECIMATION // 70
"""Periods of 500 to 70 Hz, in decimated samples."""


class PitchFinder:
    """Compares frames with what came just before, at every distance that can be a period of a voice.

    A frame is as alike as the best normalised correlation, 0 to 1: 0.85 at the median on voiced speech, 0.25 on
    coughs, 0.1 on a room's noise, and at 10 dB above steady noise hardly less (docs/interruption.md).
    """

    ENOUGH = 0.7

    def __init__(self) -> None:
        self._before = bytes(VAD_FRAME_SAMPLES * 2)

    def pass_over(self, frame: bytes) -> None:
        """The next frame, which nobody asks about."""
        self._before = frame

    def is_pitched(self, frame: bytes) -> bool:
        """Judge the next frame."""
        sound = np.frombuffer(self._before + frame, np.int16).astype(np.float32)
        self._before = frame
        sound = sound.reshape(-1, _DECIMATION).mean(axis=1)
        sound -= sound.mean()
        now = sound[-_FRAME:]
        # Entry k is about the frame that began `_FRAME - k` samples before this one.
        alike = np.correlate(sound[_FRAME - _LONGEST : -_SHORTEST], now, "valid")
        powers = np.cumsum(np.concatenate(([0.0], sound * sound)))
        first = np.arange(_FRAME - _LONGEST, _FRAME - _SHORTEST + 1)
        before = powers[first + _FRAME] - powers[first]
        scale = np.sqrt(np.maximum(before * (powers[-1] - powers[-1 - _FRAME]), 1.0))
        alike /= scale
        best = int(alike.argmax())
        # A slow rumble is alike at every short distance: most of all at the shortest, which comes last.
        return bool(alike[best] >= self.ENOUGH) and best != len(alike) - 1
