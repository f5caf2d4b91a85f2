"""The sound of a fake microphone, as Chromium reads it."""

import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tests.speech import speech as voiced

__all__ = ["MICROPHONE_RATE_HZ", "Sides", "read_sides", "silence", "speech", "write_microphone"]

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


@dataclass(frozen=True)
class Sides:
    """What the page has recorded of a conversation, on one clock; -1..1 at `rate_hz`."""

    user: Samples
    answer: Samples
    rate_hz: int

    def begins_s(self, side: Samples, after_s: float = 0.0, *, loud: float = 0.02) -> float:
        """When a side is first loud after a moment, in seconds; fails when it never is."""
        found = np.flatnonzero(np.abs(side[round(after_s * self.rate_hz) :]) > loud)
        assert found.size, f"nothing is heard after {after_s:.2f} s"
        return after_s + float(found[0]) / self.rate_hz

    def stops_s(self, side: Samples, after_s: float, *, pause_s: float, loud: float = 0.02) -> float:
        """When a side is last loud before its first pause of so many seconds after a moment."""
        found = np.flatnonzero(np.abs(side[round(after_s * self.rate_hz) :]) > loud)
        gaps = np.flatnonzero(np.diff(found) > pause_s * self.rate_hz)
        last = found[gaps[0]] if gaps.size else found[-1]
        return after_s + float(last) / self.rate_hz


def read_sides(path: Path) -> Sides:
    """Read the WAV that the page lets its user save."""
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth()) == (2, 2)
        both = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2) / 32768.0
        return Sides(both[:, 0], both[:, 1], file.getframerate())
