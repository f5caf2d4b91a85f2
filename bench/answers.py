"""What the assistant says while its echo is measured: espeak-ng where it is installed, else sound made here."""

import shutil

import numpy as np
import soxr

from bench.echo_call import OUTPUT_RATE_HZ
from bench.speech import RATE_HZ, Samples, levelled, synthetic_speech
from bench.voices import espeak

__all__ = ["answers"]

_VOICES = ("en-us", "en-us+f3", "en-gb+m7", "en-gb", "en-us+f2")
_TEXTS = (
    "The quick answer is that it will be sunny, with a light wind from the west. Later in the afternoon some clouds "
    "may appear, but it should stay dry until midnight, and tomorrow looks very much the same.",
    "First put the kettle on and warm the pot. Then take one spoon of tea for each cup, pour the water over it before "
    "it stops boiling, and wait for four minutes. Milk goes in last, whatever they tell you.",
    "There are three trains in the morning, and the one at half past eight is usually on time. You change at the "
    "second station, where there is a bakery on the platform, and arrive shortly before noon.",
)
_ESPEAK = "espeak-ng"
_MADE_S = 10.0


def answers(count: int) -> list[Samples]:
    """So many answers of about ten seconds at `OUTPUT_RATE_HZ`, neighbours in other voices. Blocks meanwhile."""
    spoken = shutil.which(_ESPEAK) is not None
    return [_spoken(number) if spoken else _made(number) for number in range(count)]


def _spoken(number: int) -> Samples:
    samples, rate_hz = espeak(_VOICES[number % len(_VOICES)], _TEXTS[number % len(_TEXTS)])
    at_level = levelled(np.asarray(soxr.resample(samples, rate_hz, RATE_HZ)))
    gain = float(np.sqrt(np.mean(at_level**2) / np.mean(samples**2)))
    return np.asarray(gain * soxr.resample(samples, rate_hz, OUTPUT_RATE_HZ))


def _made(number: int) -> Samples:
    voice = levelled(synthetic_speech(_MADE_S, pitch_hz=110.0 + 25.0 * (number % 4), seed=number))
    return np.asarray(soxr.resample(voice, RATE_HZ, OUTPUT_RATE_HZ))
