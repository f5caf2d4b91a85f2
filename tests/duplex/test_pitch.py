"""What repeats itself like a voice."""

import numpy as np
import numpy.typing as npt
import pytest

from duplex.evidence import VAD_FRAME_SAMPLES, VAD_RATE_HZ
from duplex.pitch import PitchFinder
from tests.speech import noise, silence, speech


def share(sound: bytes) -> float:
    """Share of the frames that are pitched."""
    finder = PitchFinder()
    size = VAD_FRAME_SAMPLES * 2
    found = [finder.is_pitched(sound[at : at + size]) for at in range(0, len(sound) - size + 1, size)]
    return sum(found) / len(found)


def pcm(samples: npt.NDArray[np.float64]) -> bytes:
    return bytes(np.rint(samples / np.abs(samples).max() * 10_000).astype("<i2").tobytes())


def voice(pitch_hz: float, seconds: float = 1.0) -> npt.NDArray[np.float64]:
    at_s = np.arange(round(seconds * VAD_RATE_HZ)) / VAD_RATE_HZ
    overtones = [np.sin(2 * np.pi * pitch_hz * n * at_s) / n for n in range(1, 12)]
    return np.asarray(sum(overtones))


@pytest.mark.parametrize("pitch_hz", [75, 110, 180, 260, 395])
def test_voices_from_deep_to_high_are_pitched(pitch_hz: float) -> None:
    assert share(pcm(voice(pitch_hz))) > 0.9


def test_speech_is_pitched_most_of_the_time() -> None:
    assert share(speech(2)) > 0.5


@pytest.mark.parametrize("level", [0.001, 0.05, 0.5])
def test_noise_is_not(level: float) -> None:
    assert share(noise(2, level=level)) < 0.05


def test_silence_is_not() -> None:
    assert share(silence(1)) == 0


def test_a_voice_ten_decibels_above_noise_is() -> None:
    clean = voice(140)
    hiss = np.random.default_rng(1).standard_normal(len(clean)) * clean.std() / 10**0.5
    assert share(pcm(clean + hiss)) > 0.9


def test_a_rumble_below_any_voice_is_not() -> None:
    """The slow swing of a door's air pressure looks alike at every short distance, were it not centred."""
    at_s = np.arange(VAD_RATE_HZ) / VAD_RATE_HZ
    assert share(pcm(np.sin(2 * np.pi * 8 * at_s))) < 0.5


def test_a_frame_that_was_passed_over_is_what_came_before() -> None:
    sound = pcm(voice(75))
    size = VAD_FRAME_SAMPLES * 2
    finder = PitchFinder()
    finder.pass_over(sound[:size])
    assert finder.is_pitched(sound[size : 2 * size])
    assert not PitchFinder().is_pitched(sound[size : 2 * size])
