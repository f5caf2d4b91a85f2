"""The sound of a fake microphone, as Chromium reads it."""

import wave
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tests.speech import speech as voiced

__all__ = ["MICROPHONE_RATE_HZ", "silence", "speech", "write_microphone"]

MICROPHONE_RATE_HZ = 48_000
Samples = npt.NDArray[np.float64]


def silence(duration_s: float) -> Samples:
    """Nothing, for so long."""
    return np.zeros(round(duration_s * MICROPHONE_RATE_HZ))


def speech(duration_s: float, *, pitch_hz: float = 128.0) -> Samples:
    """One utterance of so many seconds, -1..1 at `MICROPHONE_RATE_HZ`."""
    return np.frombuffer(voiced(duration_s, MICROPHONE_RATE_HZ, pitch_hz, level=0.5), "<i2") / 32768.0


def write_microphone(path: Path, *parts: Samples) -> Path:
    """Write the parts one after the other as the WAV file Chromium's fake microphone plays."""
    pcm = np.rint(np.concatenate(parts) * 32767).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(MICROPHONE_RATE_HZ)
        file.writeframes(pcm.tobytes())
    return path
