"""Finding speech in sound, and one sound in another."""

import numpy as np
import pytest

from bench.speech import (
    RATE_HZ,
    Samples,
    Utterance,
    best_match,
    levelled,
    room_noise,
    speech_span,
    synthetic_speech,
)
from duplex.engine.parrot.hearing import Ear


def tone(seconds: float, level: float = 0.3) -> Samples:
    return level * np.sin(2 * np.pi * 300 * np.arange(round(seconds * RATE_HZ)) / RATE_HZ)


def silence(seconds: float) -> Samples:
    return np.zeros(round(seconds * RATE_HZ))


def level_db(samples: Samples) -> float:
    return float(10 * np.log10(np.mean(samples**2)))


def test_the_onset_is_the_first_frame_that_is_loud() -> None:
    assert speech_span(np.concatenate([silence(0.5), tone(1.0), silence(0.3)])) == (8000, 24000)


def test_an_onset_within_a_frame_counts_from_the_frame() -> None:
    onset, _ = speech_span(np.concatenate([silence(0.503), tone(1.0)]))
    assert onset == 8000


def test_sound_30_db_below_the_speech_is_not_speech_yet() -> None:
    quiet = np.concatenate([tone(0.5, 0.3 / 40), tone(1.0)])
    audible = np.concatenate([tone(0.5, 0.3 / 25), tone(1.0)])
    assert speech_span(quiet)[0] == 8000
    assert speech_span(audible)[0] == 0


def test_a_pause_within_the_speech_belongs_to_it() -> None:
    assert speech_span(np.concatenate([tone(0.5), silence(0.4), tone(0.5), silence(1.0)])) == (0, 22400)


@pytest.mark.parametrize("nothing", [silence(0.0), silence(0.005), silence(1.0)])
def test_silence_has_neither_speech_nor_level(nothing: Samples) -> None:
    with pytest.raises(ValueError, match="silence"):
        speech_span(nothing)
    with pytest.raises(ValueError, match="silence"):
        levelled(nothing)


def test_all_voices_are_brought_to_one_level() -> None:
    assert level_db(levelled(tone(1.0, 0.01))) == pytest.approx(-20.0, abs=0.1)
    assert level_db(levelled(tone(1.0, 0.9))) == pytest.approx(-20.0, abs=0.1)


def test_a_sound_with_sharp_peaks_stays_below_full_scale() -> None:
    clicks = silence(1.0)
    clicks[::160] = 0.1
    assert np.abs(levelled(clicks)).max() <= 0.9 + 1e-9


def test_room_noise_lies_as_far_below_speech_as_asked_for() -> None:
    noise = room_noise(2.0, snr_db=25.0, seed=1)
    assert level_db(noise) == pytest.approx(-45.0, abs=0.1)
    frames = noise.reshape(-1, 320)
    assert float(np.std(10 * np.log10(np.mean(frames**2, axis=1)))) < 3.0


def test_the_same_seed_says_the_same_and_another_one_does_not() -> None:
    once = synthetic_speech(1.0, pitch_hz=120.0, seed=3)
    assert np.array_equal(once, synthetic_speech(1.0, pitch_hz=120.0, seed=3))
    assert best_match(once[4000:12000], synthetic_speech(1.0, pitch_hz=120.0, seed=4)) < 0.8


def test_synthetic_speech_is_heard_as_one_utterance_of_its_length() -> None:
    said = Utterance("synthetic", synthetic_speech(1.5, pitch_hz=120.0, seed=1))
    ear = Ear()
    ear.hear(np.concatenate([silence(0.5), said.samples, silence(1.0)]).astype(np.float32))
    _, seconds = ear.take()
    assert seconds == pytest.approx(said.speech_s, abs=0.1)


def test_a_part_is_found_in_its_whole_at_any_loudness() -> None:
    whole = synthetic_speech(1.5, pitch_hz=140.0, seed=5)
    assert best_match(0.2 * whole[5000:12000], whole) == pytest.approx(1.0, abs=1e-6)


def test_a_part_is_found_in_noise_and_a_stranger_is_not() -> None:
    said = Utterance("one", synthetic_speech(1.5, pitch_hz=110.0, seed=6))
    other = Utterance("other", synthetic_speech(1.5, pitch_hz=170.0, seed=7))
    heard = said.samples[3000:15000] + room_noise(0.75, snr_db=20.0, seed=8)
    assert best_match(heard, said.samples) > 0.95
    assert best_match(heard, other.samples) < 0.5


def test_silence_in_the_whole_matches_nothing() -> None:
    part = tone(0.5)
    assert best_match(part, np.concatenate([silence(1.0), 1e-6 * tone(1.0)])) < 0.1


@pytest.mark.parametrize(("part", "whole"), [(silence(0.5), tone(1.0)), (tone(1.0), tone(0.5))])
def test_a_match_needs_a_sound_that_fits(part: Samples, whole: Samples) -> None:
    with pytest.raises(ValueError, match="part"):
        best_match(part, whole)
