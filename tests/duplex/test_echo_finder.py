"""Echoes in made-up rooms, and voices that know nothing of the answer."""

import numpy as np
import pytest

from bench.rooms import as_pcm, echo_of
from bench.speech import RATE_HZ, Samples
from duplex.echo_finder import EchoFinder
from duplex.evidence import VAD_FRAME_SAMPLES

BEGINS = round(0.1 * RATE_HZ)
"""A quiet room, before the answer."""


def said(seed: int) -> Samples:
    """A voice that wanders as no other does: `synthetic_speech` always glides alike."""
    random = np.random.default_rng(seed)
    count = round(0.9 * RATE_HZ)
    steps = np.interp(np.arange(count), np.arange(0, count + 800, 800), random.normal(0.0, 1.0, count // 800 + 1))
    phase = 2 * np.pi * np.cumsum(random.uniform(90, 200) * (1 + 0.1 * steps)) / RATE_HZ
    voice = sum(np.sin(n * phase + random.uniform(0, 6.3)) / n for n in range(1, 20))
    breath = 0.3 * random.standard_normal(count)
    quiet = 1e-4 * random.standard_normal(BEGINS)
    return np.concatenate([quiet, 0.2 * (voice + breath) * np.abs(np.sin(np.arange(count) / 1100))])


def prominence(near: Samples, far: Samples, *, seconds: float) -> float:
    finder = EchoFinder()
    frames = [as_pcm(sound[: round(seconds * RATE_HZ)].reshape(-1, VAD_FRAME_SAMPLES)) for sound in (near, far)]
    size = 2 * VAD_FRAME_SAMPLES
    for at in range(0, len(frames[0]), size):
        finder.hear(frames[0][at : at + size], frames[1][at : at + size])
    return finder.prominence()


@pytest.mark.parametrize("delay_ms", [20, 90, 305, 430])
@pytest.mark.parametrize("gain_db", [-20.0, 0.0])
@pytest.mark.parametrize("seed", [1, 2])
def test_an_echo_is_found_in_a_fifth_of_a_second(delay_ms: int, gain_db: float, seed: int) -> None:
    far = said(seed)
    near = echo_of(far, gain_db=gain_db, seed=seed, delay_ms=delay_ms)
    seconds = round((BEGINS / RATE_HZ + delay_ms / 1000 + 0.2) / 0.02) * 0.02
    assert prominence(near, far, seconds=seconds) > EchoFinder.ENOUGH


def test_most_other_voices_are_told_from_it() -> None:
    others = [prominence(said(seed), said(1), seconds=0.6) for seed in range(3, 13)]
    assert sum(other < EchoFinder.ENOUGH for other in others) >= 6


def test_silence_stands_out_nowhere() -> None:
    assert EchoFinder().prominence() == 1.0
