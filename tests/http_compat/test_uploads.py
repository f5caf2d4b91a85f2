"""Uploads before anything decodes them."""

import base64
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duplex.errors import InvalidAudio, InvalidEvent
from duplex.wav import write_wav
from http_compat.uploads import LONGEST_AUDIO_S, decode_base64, plain_pcm

ROOT = Path(__file__).parents[2]


def base64_of(content: bytes) -> str:
    return base64.b64encode(content).decode()


@pytest.mark.parametrize("junk", ["\n", " ", "\r\n", "!", "-"])
def test_characters_outside_the_alphabet_are_skipped(junk: str) -> None:
    assert decode_base64(junk + junk.join(base64_of(b"some bytes")) + junk, "audio") == b"some bytes"


@pytest.mark.parametrize("text", ["QUJDR", "QUJDRA", "Q", "QUJDRA=", "ä"])
def test_broken_base64_is_the_clients_fault(text: str) -> None:
    with pytest.raises(InvalidAudio, match="the audio is not valid base64"):
        decode_base64(text, "audio")
    with pytest.raises(InvalidEvent, match="the image is not valid base64") as refused:
        decode_base64(text, "image")
    assert (refused.value.code, refused.value.param) == ("invalid_image", "image")


@pytest.mark.parametrize("prefix", ["data:audio/wav;base64,", " DATA:;base64,"])
def test_a_data_url_is_refused_by_name(prefix: str) -> None:
    for what, error in (("audio", InvalidAudio), ("image", InvalidEvent)):
        with pytest.raises(error, match=f"the {what} is a data: URL"):
            decode_base64(prefix + base64_of(b"some bytes"), what)  # type: ignore[arg-type]


@given(st.binary(max_size=400).filter(lambda pcm: len(pcm) % 2 == 0))
def test_sixteen_bit_mono_at_the_engines_rate_comes_out_bit_for_bit(pcm: bytes) -> None:
    assert plain_pcm(write_wav(pcm, rate_hz=16_000)) == pcm


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"fLaC" + bytes(100),
        write_wav(bytes(320), rate_hz=24_000),
        write_wav(bytes(320), rate_hz=16_000, channels=2),
        # A second of a processor of everybody's, if each chunk was looked at.
        write_wav(b"", rate_hz=16_000)[:36] + b"LIST\0\0\0\0" * 1000 + write_wav(bytes(320), rate_hz=16_000)[36:],
    ],
)
def test_all_else_is_left_to_a_decoder(content: bytes) -> None:
    assert plain_pcm(content) is None


def test_too_much_of_it_is_refused() -> None:
    second = bytes(2 * 16_000)
    assert plain_pcm(write_wav(LONGEST_AUDIO_S * second, rate_hz=16_000)) is not None
    with pytest.raises(InvalidAudio, match="longer than 120 s"):
        plain_pcm(write_wav(LONGEST_AUDIO_S * second + bytes(2), rate_hz=16_000))


def test_the_server_itself_loads_no_library_that_decodes() -> None:
    """What is not there cannot be given a file by mistake."""
    script = "import sys, web.app; print({'soundfile', 'PIL', 'http_compat.decode'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
