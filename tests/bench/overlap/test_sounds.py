"""What can be said of the set without the programs that make it."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from bench.errors import BenchError
from bench.overlap.sounds import Clip, Kind, at_level, clips, clips_of
from bench.speech import RATE_HZ


@pytest.mark.parametrize("kind", [Kind.COUGH, Kind.CLICKS, Kind.SLAM])
def test_noises_are_made_here_and_always_the_same(kind: Kind) -> None:
    once, again = clips(kind), clips(kind)
    assert [clip.name for clip in once] == [clip.name for clip in again]
    for clip, other in zip(once, again, strict=True):
        assert np.array_equal(clip.samples, other.samples)
        assert clip.kind is kind
        assert 0 <= clip.onset < clip.end <= len(clip.samples)
        assert 0.01 < np.abs(clip.samples).max() < 1.0


def test_a_level_is_that_of_the_power() -> None:
    sound = at_level(np.random.default_rng(1).standard_normal(RATE_HZ), -30.0)
    assert 10 * np.log10(np.mean(sound**2)) == pytest.approx(-30.0)


def test_a_clip_is_as_loud_as_it_is() -> None:
    sound = np.concatenate([np.zeros(1600), np.full(1600, 0.01)])
    clip = Clip("x", Kind.COUGH, sound)
    assert np.array_equal(clip.samples, sound)
    assert clip.onset == 1600


def test_other_sets_are_read_from_a_folder(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="no WAV"):
        clips_of(tmp_path)
    tone = 0.1 * np.sin(np.arange(48_000) / 20)
    soundfile.write(tmp_path / "one.wav", np.stack([tone, tone], axis=1), 48_000)
    (clip,) = clips_of(tmp_path)
    assert (clip.name, clip.kind) == ("one", Kind.INTERRUPTION)
    assert len(clip.samples) == RATE_HZ


def test_a_missing_program_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(BenchError, match="espeak-ng"):
        clips(Kind.TRANSIENT)
