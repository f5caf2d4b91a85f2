"""Sound that webrtcvad takes for speech, made of harmonics and formants: no recording ships with the tests."""

import numpy as np

__all__ = ["noise", "pcm", "silence", "speech"]


def speech(seconds: float, rate_hz: int = 16_000, pitch_hz: float = 120.0, level: float = 0.3) -> bytes:
    """Voiced syllables, four a second without gaps, 16-bit mono."""
    t = np.arange(round(seconds * rate_hz)) / rate_hz
    glide = pitch_hz * (1 + 0.1 * np.sin(2 * np.pi * 2.0 * t))
    phase = 2 * np.pi * np.cumsum(glide) / rate_hz
    sound = np.zeros_like(t)
    for harmonic in range(1, 25):
        frequency = harmonic * pitch_hz
        formants = sum(
            gain / (1 + ((frequency - at) / 120.0) ** 2) for at, gain in ((600, 1.0), (1200, 0.6), (2500, 0.3))
        )
        sound += formants * np.sin(harmonic * phase)
    sound *= 0.7 + 0.3 * np.sin(2 * np.pi * 4.0 * t)
    return pcm(level * sound / np.max(np.abs(sound)))


def silence(seconds: float, rate_hz: int = 16_000) -> bytes:
    """Digital silence."""
    return bytes(2 * round(seconds * rate_hz))


def noise(seconds: float, rate_hz: int = 16_000, level: float = 0.02) -> bytes:
    """White noise from a fixed seed."""
    return pcm(level * np.random.default_rng(1).standard_normal(round(seconds * rate_hz)))


def pcm(sound: "np.typing.NDArray[np.float64]") -> bytes:
    """-1..1 to 16-bit little-endian."""
    return np.clip(np.rint(sound * 32767), -32768, 32767).astype("<i2").tobytes()
