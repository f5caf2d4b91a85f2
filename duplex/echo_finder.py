"""Does the microphone hear the answer at all? Tells an echo from a voice in a fifth of a second, by their waveforms."""

import math
from collections import deque

import numpy as np
import numpy.typing as npt

from duplex.evidence import VAD_FRAME_SAMPLES, VAD_RATE_HZ

__all__ = ["EchoFinder"]

_DECIMATION = 2
"""Up to 4 kHz there is enough of every voice, and telephones and small loudspeakers have no more."""
_FRAME = VAD_FRAME_SAMPLES // _DECIMATION
_BAND_HZ = (300, 3400)
_NEAR_FRAMES = 25
_DELAY_FRAMES = 25
_FAR_FRAMES = _NEAR_FRAMES + _DELAY_FRAMES
_SIZE = 1 << (_FAR_FRAMES * _FRAME - 1).bit_length()
_FREQUENCIES = np.fft.rfftfreq(_SIZE, _DECIMATION / VAD_RATE_HZ)
_IN_BAND = (_BAND_HZ[0] < _FREQUENCIES) & (_BAND_HZ[1] > _FREQUENCIES)
_WHITENING = 0.85
"""1 is PHAT, in which the noise between the harmonics of a voice counts like the voice."""
_SPREAD = 8
"""1 ms, in decimated samples: what a loudspeaker and the first reflections make of one moment."""


class EchoFinder:
    """Compares the last half second of the microphone with the answer, at every delay up to half a second.

    Generalised cross-correlation: whitened, an echo stands out at one delay however a room colours it. Two voices are a
    little alike at many.
    """

    ENOUGH = 3.2
    """After 200 ms 99 % of echoes stand out more, and 3 of 10 other voices, of which some do not 100 ms later."""

    def __init__(self) -> None:
        silence = np.zeros(_FRAME, np.float32)
        self._near = deque([silence] * _NEAR_FRAMES, maxlen=_NEAR_FRAMES)
        self._far = deque([silence] * _FAR_FRAMES, maxlen=_FAR_FRAMES)

    def hear(self, near: bytes, far: bytes) -> None:
        """The next frame of the microphone, and what was sent meanwhile."""
        self._near.append(_decimated(near))
        self._far.append(_decimated(far))

    def prominence(self) -> float:
        """How far the best delay stands out: its amplitude beside the root mean square of all, at least 1."""
        near, far = (np.fft.rfft(np.concatenate(frames), _SIZE) for frames in (self._near, self._far))
        cross = np.where(_IN_BAND, far * near.conj(), 0.0)
        cross /= np.maximum(np.abs(cross), 1.0) ** _WHITENING
        # Entry k is about the delay of `_DELAY_FRAMES * _FRAME - k` samples.
        alike = np.fft.irfft(cross, _SIZE)[: _DELAY_FRAMES * _FRAME + 1] ** 2
        spread = np.convolve(alike, np.full(_SPREAD, 1 / _SPREAD), "same")
        mean = float(spread.mean())
        return math.sqrt(float(spread.max()) / mean) if mean else 1.0


def _decimated(frame: bytes) -> npt.NDArray[np.float32]:
    samples = np.frombuffer(frame, np.int16).astype(np.float32)
    return np.asarray(samples.reshape(-1, _DECIMATION).mean(axis=1))
