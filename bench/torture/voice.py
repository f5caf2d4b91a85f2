"""What callers say here: a voice with a mark of its own in it, and which marks are in what they are answered.

The stand-in gives the caller's own words back, so a mark in an answer tells whose words these are and when they were
said. A mark is a steady tone above the voice; each utterance of a session has its own. Sound is 16-bit mono PCM.
"""

import functools

import numpy as np
import numpy.typing as npt

__all__ = ["INPUT_RATE_HZ", "MARKS", "marks_in", "marks_of", "utterance"]

INPUT_RATE_HZ = 16_000
MARKS = 36
"""So many can be told apart."""
UTTERANCES = 3
"""Most of one session: with it a dozen sessions at a time have nothing in common."""

_FIRST_MARK_HZ = 2000.0
_MARK_STEP_HZ = 40.0
_MARK_LEVEL = 0.05
_HEARD_LEVEL = 0.02
"""In between the mark itself and what its sudden beginning spills onto its neighbours."""
_WINDOW_S = 0.1
_HOP_S = 0.05
_HIGHEST_HARMONIC_HZ = 1600.0
_VOICES_HZ = (105.0, 125.0, 150.0, 180.0)
_VOICE_S = 4.0


def marks_of(index: int) -> tuple[int, ...]:
    """The marks of a session's utterances, in their order."""
    return tuple((index * UTTERANCES + number) % MARKS for number in range(UTTERANCES))


def utterance(mark: int, seconds: float, voice: int = 0) -> bytes:
    """Speech of at most 4 s at 16 kHz that holds `mark` throughout."""
    count = round(min(seconds, _VOICE_S) * INPUT_RATE_HZ)
    at_s = np.arange(count) / INPUT_RATE_HZ
    tone = _MARK_LEVEL * np.sin(2 * np.pi * _frequency_hz(mark) * at_s)
    edges = np.minimum(1.0, np.minimum(at_s, at_s[::-1]) / 0.02)
    sound = (_voice(_VOICES_HZ[voice % len(_VOICES_HZ)])[:count] + tone) * edges
    return np.rint(sound * 32767).astype("<i2").tobytes()


def marks_in(pcm: bytes, rate_hz: int) -> frozenset[int]:
    """The marks that are heard anywhere in `pcm`, for at least about a tenth of a second."""
    samples = np.frombuffer(pcm[: len(pcm) // 2 * 2], dtype="<i2") / 32768
    window, hop = round(_WINDOW_S * rate_hz), round(_HOP_S * rate_hz)
    if len(samples) < window:
        return frozenset()
    frames = np.lib.stride_tricks.sliding_window_view(samples, window)[::hop]
    shape = np.hanning(window)
    # At ten cycles a second to a bin, every mark has its own.
    bins = np.rint([_frequency_hz(mark) * window / rate_hz for mark in range(MARKS)]).astype(int)
    levels = 2 * np.abs(np.fft.rfft(frames * shape, axis=1)[:, bins]) / shape.sum()
    return frozenset(int(mark) for mark in np.flatnonzero(levels.max(axis=0) > _HEARD_LEVEL))


def _frequency_hz(mark: int) -> float:
    return _FIRST_MARK_HZ + mark * _MARK_STEP_HZ


@functools.cache
def _voice(pitch_hz: float) -> npt.NDArray[np.float64]:
    """Voiced syllables, four a second."""
    at_s = np.arange(round(_VOICE_S * INPUT_RATE_HZ)) / INPUT_RATE_HZ
    phase = 2 * np.pi * np.cumsum(pitch_hz * (1 + 0.1 * np.sin(2 * np.pi * 2.0 * at_s))) / INPUT_RATE_HZ
    sound = np.zeros_like(at_s)
    for harmonic in range(1, int(_HIGHEST_HARMONIC_HZ / 1.1 / pitch_hz) + 1):
        formants = sum(gain / (1 + ((harmonic * pitch_hz - at) / 120.0) ** 2) for at, gain in ((600, 1.0), (1200, 0.6)))
        sound += formants * np.sin(harmonic * phase)
    sound *= 0.7 + 0.3 * np.sin(2 * np.pi * 4.0 * at_s)
    return np.asarray(0.3 * sound / np.max(np.abs(sound)))
