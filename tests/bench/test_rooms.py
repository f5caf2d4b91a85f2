"""A room that does what its numbers say."""

import numpy as np
import pytest

from bench.rooms import as_pcm, echo_of, level_db, reduction_db, room_response
from bench.speech import RATE_HZ, Samples


def tone(seconds: float, level: float = 0.05) -> Samples:
    return level * np.sin(2 * np.pi * 400 * np.arange(round(seconds * RATE_HZ)) / RATE_HZ)


def test_a_room_begins_with_the_direct_sound_and_fades() -> None:
    response = room_response(3)
    assert np.sum(response**2) == pytest.approx(1.0)
    assert np.argmax(np.abs(response)) == 0
    late = len(response) // 2
    assert np.sum(response[late:] ** 2) < 0.001 * np.sum(response[:late] ** 2)


@pytest.mark.parametrize("delay_ms", [0, 20, 300])
def test_an_echo_is_late_by_its_delay(delay_ms: int) -> None:
    click = np.zeros(RATE_HZ)
    click[1000] = 0.01
    echo = echo_of(click, delay_ms=delay_ms, gain_db=-6.0, seed=1)
    assert len(echo) == len(click)
    assert np.argmax(np.abs(echo)) == 1000 + delay_ms * 16
    assert np.max(np.abs(echo[: 1000 + delay_ms * 16])) < 1e-9


@pytest.mark.parametrize("gain_db", [-6.0, -20.0])
def test_an_echo_of_noise_is_as_faint_as_asked_for(gain_db: float) -> None:
    noise = 0.02 * np.random.default_rng(1).standard_normal(2 * RATE_HZ)
    assert reduction_db(noise, echo_of(noise, gain_db=gain_db, seed=2)) == pytest.approx(-gain_db, abs=1.0)


def test_rooms_differ_by_their_seed_only() -> None:
    sound = tone(0.5)
    once = echo_of(sound, gain_db=-6.0, seed=1)
    assert np.array_equal(once, echo_of(sound, gain_db=-6.0, seed=1))
    assert not np.allclose(once, echo_of(sound, gain_db=-6.0, seed=2))


def test_levels_are_below_full_scale() -> None:
    assert level_db(np.ones(100)) == 0.0
    assert level_db(np.full(100, 0.1)) == pytest.approx(-20.0)
    assert level_db(np.zeros(100)) == -100.0


def test_pcm_is_clipped_and_does_not_wrap() -> None:
    assert as_pcm(np.array([0.0, 1.0, -1.0, 3.0, -3.0])) == np.array([0, 32767, -32767, 32767, -32768], "<i2").tobytes()
