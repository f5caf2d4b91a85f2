"""Speech-like sound for a fake microphone: voiced, with formants and a syllable rhythm, the same on every machine."""

import wave
from pathlib import Path

import numpy as np
import numpy.typing as npt

__all__ = ["MICROPHONE_RATE_HZ", "silence", "speech", "write_microphone"]

MICROPHONE_RATE_HZ = 48_000
_SYLLABLES_PER_S = 4.0
_PITCH_HZ = 128.0
# First three formants of a few vowels, in Hz, as any phonetics table gives them for a male voice.
_VOWELS = ((730, 1090, 2440), (270, 2290, 3010), (570, 840, 2410), (530, 1840, 2480), (300, 870, 2240))

Samples = npt.NDArray[np.float64]


def silence(duration_s: float) -> Samples:
    """Nothing, for so long."""
    return np.zeros(round(duration_s * MICROPHONE_RATE_HZ))


def speech(duration_s: float, *, seed: int = 1) -> Samples:
    """One utterance of so many seconds, peak 0.5, at `MICROPHONE_RATE_HZ`. The same seed says the same."""
    random = np.random.default_rng(seed)
    at_s = np.arange(round(duration_s * MICROPHONE_RATE_HZ)) / MICROPHONE_RATE_HZ
    syllable = np.floor(at_s * _SYLLABLES_PER_S).astype(int)
    vowels = np.array(_VOWELS)[random.integers(len(_VOWELS), size=syllable.max() + 1)]
    glide = 1 + 0.12 * np.sin(2 * np.pi * 0.7 * at_s) + 0.015 * np.sin(2 * np.pi * 5.5 * at_s)
    phase = 2 * np.pi * np.cumsum(_PITCH_HZ * glide) / MICROPHONE_RATE_HZ

    voice = np.zeros_like(at_s)
    for harmonic in range(1, 28):
        gain = sum(
            weight / (1 + ((harmonic * _PITCH_HZ - vowels[syllable, formant]) / width) ** 2)
            for formant, (weight, width) in enumerate(((1.0, 90), (0.5, 120), (0.25, 160)))
        )
        voice += gain * np.sin(harmonic * phase)
    breath = random.standard_normal(at_s.size) * 0.02
    rhythm = 0.35 + 0.65 * np.abs(np.sin(np.pi * _SYLLABLES_PER_S * at_s))
    loud = (voice / np.abs(voice).max() + breath) * rhythm
    edge = np.minimum(1, np.minimum(at_s, at_s[::-1]) / 0.02)
    return np.asarray(0.5 * edge * loud / np.abs(loud).max())


def write_microphone(path: Path, *parts: Samples) -> Path:
    """Write the parts one after the other as the WAV file Chromium's fake microphone plays."""
    pcm = np.rint(np.concatenate(parts) * 32767).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(MICROPHONE_RATE_HZ)
        file.writeframes(pcm.tobytes())
    return path
