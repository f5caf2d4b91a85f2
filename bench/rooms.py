"""A room with a loudspeaker and a microphone in it, made with numpy: what the microphone hears of what is played.

All sound is mono at 16 kHz, -1..1.
"""

import numpy as np

from bench.speech import RATE_HZ, Samples

__all__ = ["as_pcm", "echo_of", "level_db", "reduction_db", "room_response"]

_RESPONSE_S = 0.25
_REVERBERATION = 0.3
"""Of the direct sound, the amplitude of the first reflections."""
_DRIVE = 1.5
"""How far a small loudspeaker is driven into its limits."""


def room_response(seed: int, *, decay_s: float = 0.25) -> Samples:
    """Direct sound and 250 ms of reflections that fall by 60 dB in `decay_s`; of energy 1."""
    count = round(_RESPONSE_S * RATE_HZ)
    fall = 10 ** (-3 * np.arange(count) / RATE_HZ / decay_s)
    response = _REVERBERATION * np.random.default_rng(seed).standard_normal(count) * fall
    response[0] = 1.0
    return np.asarray(response / np.sqrt(np.sum(response**2)))


def echo_of(played: Samples, *, gain_db: float, seed: int, delay_ms: float = 0.0) -> Samples:
    """What a microphone hears of `played`, as long as that: late, fainter, with a room and mild distortion."""
    driven = np.tanh(_DRIVE * played) / _DRIVE
    response = room_response(seed)
    size = 1 << (len(played) + len(response)).bit_length()
    heard = np.fft.irfft(np.fft.rfft(driven, size) * np.fft.rfft(response, size), size)[: len(played)]
    late = np.concatenate([np.zeros(round(delay_ms * RATE_HZ / 1000)), heard])[: len(played)]
    return np.asarray(late * 10 ** (gain_db / 20))


def level_db(samples: Samples) -> float:
    """Mean level in dB below full scale; silence is -100."""
    return float(10 * np.log10(max(float(np.mean(samples**2)), 1e-10)))


def reduction_db(before: Samples, after: Samples) -> float:
    """By how much `after` is fainter than `before`."""
    return level_db(before) - level_db(after)


def as_pcm(samples: Samples) -> bytes:
    """16-bit little-endian."""
    return np.clip(np.rint(samples * 32767), -32768, 32767).astype("<i2").tobytes()
