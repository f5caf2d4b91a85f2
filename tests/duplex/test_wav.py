import struct
import wave
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duplex.errors import InvalidAudio
from duplex.wav import IncompleteWav, WavAudio, read_wav, write_wav

SAMPLES = struct.pack("<6h", 0, 1, -1, 32767, -32768, 5)


def test_writes_what_the_standard_library_reads() -> None:
    with wave.open(BytesIO(write_wav(SAMPLES, rate_hz=24_000))) as reader:
        assert (reader.getframerate(), reader.getnchannels(), reader.getsampwidth()) == (24_000, 1, 2)
        assert reader.readframes(100) == SAMPLES


def test_header_is_44_bytes_with_final_sizes() -> None:
    content = write_wav(SAMPLES, rate_hz=16_000)
    assert len(content) == 44 + len(SAMPLES)
    assert struct.unpack_from("<I", content, 4)[0] == len(content) - 8
    assert struct.unpack_from("<I", content, 40)[0] == len(SAMPLES)


@given(st.binary(max_size=200), st.integers(1, 192_000), st.integers(1, 2))
def test_round_trip(noise: bytes, rate_hz: int, channels: int) -> None:
    pcm = noise[: len(noise) - len(noise) % (2 * channels)] or bytes(2 * channels)
    assert read_wav(write_wav(pcm, rate_hz=rate_hz, channels=channels)) == WavAudio(pcm, rate_hz, channels)


@pytest.mark.parametrize("length", range(44 + len(SAMPLES)))
def test_every_prefix_is_incomplete(length: int) -> None:
    with pytest.raises(IncompleteWav):
        read_wav(write_wav(SAMPLES, rate_hz=24_000)[:length])


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF])
def test_a_placeholder_for_the_size_is_incomplete_until_the_file_is_closed(size: int) -> None:
    content = bytearray(write_wav(SAMPLES, rate_hz=24_000))
    struct.pack_into("<I", content, 40, size)
    with pytest.raises(IncompleteWav):
        read_wav(bytes(content))
    assert read_wav(bytes(content), torn=True).pcm == SAMPLES


@pytest.mark.parametrize(("length", "samples"), [(44, 0), (45, 0), (46, 1), (49, 2), (56, 6)])
def test_a_torn_file_gives_its_whole_samples(length: int, samples: int) -> None:
    content = write_wav(SAMPLES, rate_hz=24_000)[:length]
    assert read_wav(content, torn=True).pcm == SAMPLES[: 2 * samples]


def test_a_torn_header_stays_incomplete() -> None:
    with pytest.raises(IncompleteWav):
        read_wav(write_wav(SAMPLES, rate_hz=24_000)[:40], torn=True)


def test_skips_other_chunks_and_what_follows_the_samples() -> None:
    content = write_wav(SAMPLES, rate_hz=24_000)
    odd_chunk = b"LIST" + struct.pack("<I", 3) + b"abc\0"
    longer = content[:12] + odd_chunk + content[12:] + b"tail"
    assert read_wav(longer).pcm == SAMPLES


def _with_format(tag: int, bits: int) -> bytes:
    content = bytearray(write_wav(SAMPLES, rate_hz=24_000))
    struct.pack_into("<H", content, 20, tag)
    struct.pack_into("<H", content, 34, bits)
    return bytes(content)


@pytest.mark.parametrize(
    "content",
    [
        b"not a wave file at all",
        _with_format(3, 16),
        _with_format(1, 8),
        b"RIFF\0\0\0\0WAVEdata\x02\0\0\0ab",
        write_wav(SAMPLES, rate_hz=24_000).replace(struct.pack("<I", 12), struct.pack("<I", 11)),
    ],
    ids=["no RIFF", "float", "8 bit", "samples before format", "half a sample"],
)
def test_refuses_what_can_never_be_16_bit_pcm(content: bytes) -> None:
    with pytest.raises(InvalidAudio):
        read_wav(content)


@pytest.mark.parametrize(("length", "channels"), [(1, 1), (2, 2), (3, 2)])
def test_writes_whole_frames_only(length: int, channels: int) -> None:
    with pytest.raises(InvalidAudio):
        write_wav(bytes(length), rate_hz=24_000, channels=channels)
