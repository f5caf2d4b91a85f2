"""Nothing lost, nothing out of place."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duplex.audio import INPUT_RATES_HZ
from duplex.resample import Quality, StreamResampler
from duplex.speaking import Voice


def tone(rate_hz: int, seconds: float) -> bytes:
    t = np.arange(round(rate_hz * seconds)) / rate_hz
    return (10_000 * np.sin(2 * np.pi * 440 * t)).astype("<i2").tobytes()


@pytest.mark.parametrize("quality", list(Quality))
@pytest.mark.parametrize("rate_hz", INPUT_RATES_HZ)
def test_a_second_stays_a_second_and_a_tone_the_same_tone(rate_hz: int, quality: Quality) -> None:
    resampler = StreamResampler(rate_hz, 16_000, quality)
    sound = tone(rate_hz, 1.0)
    out = b"".join(resampler.push(sound[at : at + 960]) for at in range(0, len(sound), 960)) + resampler.flush()
    got, wanted = np.frombuffer(out, "<i2").astype(float), np.frombuffer(tone(16_000, 1.0), "<i2").astype(float)
    assert len(got) == pytest.approx(16_000, abs=1)
    middle = slice(2000, 14_000)
    assert np.corrcoef(got[middle], wanted[middle])[0, 1] > 0.999


def test_equal_rates_pass_untouched() -> None:
    resampler = StreamResampler(16_000, 16_000, Quality.CLEAN)
    assert resampler.push(b"\1\2") == b"\1\2"
    assert resampler.flush() == b""


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 3000), max_size=8))
def test_the_split_does_not_change_the_sound(cuts: list[int]) -> None:
    sound = tone(24_000, 0.2)
    whole = StreamResampler(24_000, 16_000, Quality.CLEAN)
    expected = whole.push(sound) + whole.flush()
    split = StreamResampler(24_000, 16_000, Quality.CLEAN)
    edges = [0, *sorted(2 * cut for cut in cuts if 2 * cut < len(sound)), len(sound)]
    out = b"".join(split.push(sound[a:b]) for a, b in itertools.pairwise(edges)) + split.flush()
    got, wanted = np.frombuffer(out, "<i2").astype(int), np.frombuffer(expected, "<i2").astype(int)
    assert len(got) == len(wanted)
    # The filter rounds to 16 bits with dither of its own.
    assert np.max(np.abs(got - wanted)) <= 4


@pytest.mark.parametrize("rate_hz", [8000, 16_000, 24_000, 48_000])
def test_a_voice_is_cut_into_short_pieces_and_complete(rate_hz: int) -> None:
    voice = Voice(rate_hz, 100)
    pieces = voice.push(bytes(48_000)) + voice.push(bytes(960)) + voice.flush()
    assert max(map(len, pieces)) <= rate_hz // 10 * 2
    assert sum(map(len, pieces)) == pytest.approx(rate_hz * 1.02 * 2, abs=4)
