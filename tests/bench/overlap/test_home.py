"""A loudspeaker that does as it is told, and a microphone beside it."""

import numpy as np
import pytest

from bench.microphone import FRAME_SAMPLES
from bench.overlap.home import Echo, Home, Loudspeaker
from bench.overlap.sounds import room
from bench.speech import Samples


def numbered(samples: int, start: int = 1) -> bytes:
    return np.arange(start, start + samples, dtype="<i2").tobytes()


def heard(sound: Samples) -> list[int]:
    return [int(value) for value in np.rint(sound * 32768)]


def test_it_plays_when_its_cushion_is_full_and_stops_when_told() -> None:
    speaker = Loudspeaker()
    speaker.begin()
    speaker.receive(numbered(900))
    assert not speaker.pull(10).any()
    speaker.receive(numbered(2000, start=901))
    assert heard(speaker.pull(3)) == [1, 2, 3]
    speaker.hold()
    assert not speaker.pull(1000).any()
    speaker.release()
    assert heard(speaker.pull(3)) == [4, 5, 6], "not a sample is lost"
    assert speaker.played == 6


def test_a_flush_leaves_nothing_and_ends_a_hold() -> None:
    speaker = Loudspeaker()
    speaker.receive(numbered(2000))
    speaker.pull(10)
    speaker.hold()
    speaker.flush()
    assert not speaker.pull(1000).any()
    speaker.begin()
    speaker.receive(numbered(960))
    assert heard(speaker.pull(2)) == [1, 2]
    assert speaker.played == 2


def test_without_echo_the_microphone_hears_nothing_of_it() -> None:
    home = Home()
    home.loudspeaker.receive(numbered(2000))
    assert not any(any(home.next_frame()) for _ in range(6))


@pytest.mark.parametrize("delay_ms", [0, 20, 300])
def test_an_echo_comes_later_and_fainter(delay_ms: int) -> None:
    home = Home(echo=Echo(-20.0, delay_ms))
    click = np.zeros(3200, "<i2")
    click[500] = 20_000
    home.loudspeaker.receive(click.tobytes())
    frames = np.concatenate([np.frombuffer(home.next_frame(), "<i2") for _ in range(30)])
    assert int(np.argmax(np.abs(frames))) == 500 + delay_ms * 16
    assert np.abs(frames).max() == pytest.approx(2000, rel=0.01)
    assert np.count_nonzero(frames[500 + delay_ms * 16 :]) > 100, "and smeared"
    assert len(frames) == 30 * FRAME_SAMPLES


def test_the_room_is_the_same_each_time() -> None:
    assert np.array_equal(room(), room())
    assert room()[0] == 1.0
