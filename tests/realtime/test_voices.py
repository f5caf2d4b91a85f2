"""Voices that clients leave for their next conversations."""

import pytest

from duplex.errors import InvalidAudio, InvalidEvent
from duplex.wav import read_wav, write_wav
from realtime.voices import MOST_VOICES, Voices, check_voice


def wav(seconds: float, *, rate_hz: int = 16_000, channels: int = 1) -> bytes:
    return write_wav(b"\1\2" * round(seconds * rate_hz) * channels, rate_hz=rate_hz, channels=channels)


def test_a_voice_is_found_by_its_name_and_by_no_other() -> None:
    voices = Voices()
    name = voices.keep(b"a")
    assert (voices.find(name), voices.find("voice_"), voices.find(name[:-1])) == (b"a", None, None)


def test_the_oldest_is_forgotten() -> None:
    voices = Voices()
    names = [voices.keep(bytes([number])) for number in range(MOST_VOICES + 2)]
    assert [voices.find(name) is None for name in names] == [True, True, *[False] * MOST_VOICES]


@pytest.mark.parametrize(("seconds", "kept_s"), [(3.0, 3.0), (12.5, 12.5), (45.0, 30.0)])
def test_three_to_thirty_seconds_are_kept(seconds: float, kept_s: float) -> None:
    kept, told_s = check_voice(wav(seconds))
    assert told_s == kept_s
    assert len(read_wav(kept).pcm) == round(kept_s * 32_000)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (wav(2.9), "lasts 2.9 s"),
        (wav(5, rate_hz=24_000), "24000 Hz"),
        (wav(5, channels=2), "2 channels"),
        (wav(5)[:-2], "cut short"),
        (b"", "cut short"),
    ],
)
def test_what_the_engine_cannot_imitate_is_refused_with_the_reason(content: bytes, words: str) -> None:
    with pytest.raises(InvalidEvent, match=words):
        check_voice(content)


def test_what_is_no_wav_is_refused() -> None:
    with pytest.raises(InvalidAudio):
        check_voice(b"ID3 and so on, for many bytes")
