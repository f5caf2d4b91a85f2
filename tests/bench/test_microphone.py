"""Sound in its place, to the sample."""

import numpy as np
import pytest

from bench.microphone import FRAME_SAMPLES, Microphone
from bench.speech import RATE_HZ, Samples, Utterance


def words(lead_s: float = 0.1, seconds: float = 0.5) -> Utterance:
    voice = 0.3 * np.sin(2 * np.pi * 300 * np.arange(round(seconds * RATE_HZ)) / RATE_HZ)
    return Utterance("words", np.concatenate([np.zeros(round(lead_s * RATE_HZ)), voice]))


def stream(microphone: Microphone, frames: int) -> Samples:
    heard = b"".join(microphone.next_frame() for _ in range(frames))
    return np.asarray(np.frombuffer(heard, "<i2") / 32767)


def test_nobody_speaks_in_a_silent_room() -> None:
    microphone = Microphone()
    assert microphone.next_frame() == bytes(2 * FRAME_SAMPLES)
    assert microphone.position == FRAME_SAMPLES


def test_speech_begins_at_the_sample_it_was_given_also_within_a_frame() -> None:
    microphone = Microphone()
    said = microphone.say(words(), onset=5007)
    heard = stream(microphone, 60)
    assert (said.start, said.onset, said.end) == (3407, 5007, 13007)
    assert np.allclose(heard[3407:13007], said.utterance.samples, atol=1 / 32767)
    assert not heard[:5007].any()
    assert not heard[13007:].any()


def test_utterances_follow_each_other() -> None:
    microphone = Microphone()
    first = microphone.say(words(lead_s=0.0), onset=1000)
    second = microphone.say(words(lead_s=0.0), onset=first.end)
    heard = stream(microphone, 80)
    assert np.allclose(heard[second.start : second.end], second.utterance.samples, atol=1 / 32767)


def test_nothing_can_be_said_in_the_past_or_over_an_earlier_utterance() -> None:
    microphone = Microphone()
    stream(microphone, 10)
    with pytest.raises(ValueError, match="cannot begin"):
        microphone.say(words(lead_s=0.0), onset=10 * FRAME_SAMPLES - 1)
    first = microphone.say(words(lead_s=0.0), onset=10 * FRAME_SAMPLES)
    with pytest.raises(ValueError, match="cannot begin"):
        microphone.say(words(lead_s=0.0), onset=first.end - 1)


def test_what_was_said_is_over_and_does_not_keep_others_from_speaking() -> None:
    microphone = Microphone()
    microphone.say(words(lead_s=0.0), onset=0)
    stream(microphone, 25)
    again = microphone.say(words(lead_s=0.0), onset=25 * FRAME_SAMPLES)
    assert stream(microphone, 25).any()
    assert again.start == 25 * FRAME_SAMPLES


def test_the_rooms_noise_goes_on_for_ever_under_the_words() -> None:
    noise = np.random.default_rng(1).standard_normal(1000) * 0.01
    microphone = Microphone(noise)
    said = microphone.say(words(lead_s=0.0), onset=3000)
    heard = stream(microphone, 40)
    expected = np.take(noise, np.arange(len(heard)), mode="wrap")
    expected[said.start : said.end] += said.utterance.samples
    assert np.allclose(heard, expected, atol=1 / 32767)


def test_a_sum_beyond_full_scale_is_clipped_and_does_not_wrap() -> None:
    microphone = Microphone(np.full(FRAME_SAMPLES, 1.5))
    assert set(stream(microphone, 1)) == {1.0}
