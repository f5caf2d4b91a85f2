import struct
from pathlib import Path

import numpy as np
import pytest

from duplex.engine.parrot.hearing import Ear, is_image, pad_to_tokens, read_wav, resample
from tests.duplex.engine.parrot.harness import silence, speech, then


def riff(tag: int, channels: int, rate_hz: int, bits: int, payload: bytes, *, extra: bytes = b"") -> bytes:
    fmt = struct.pack("<HHIIHH", tag, channels, rate_hz, rate_hz * channels * bits // 8, channels * bits // 8, bits)
    fmt += extra
    chunks = b"LIST" + struct.pack("<I", 3) + b"abc\0"
    chunks += b"fmt " + struct.pack("<I", len(fmt)) + fmt + b"data" + struct.pack("<I", len(payload)) + payload
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


TONE = speech(0.5)
INT32 = (TONE * (2**31 - 1)).astype("<i4")
FORMATS = {
    "8 bit": riff(1, 1, 16_000, 8, (TONE * 127 + 128).astype("u1").tobytes()),
    "16 bit": riff(1, 1, 16_000, 16, (TONE * 32767).astype("<i2").tobytes()),
    "24 bit": riff(1, 1, 16_000, 24, b"".join(value.tobytes()[1:] for value in INT32)),
    "32 bit": riff(1, 1, 16_000, 32, INT32.tobytes()),
    "float": riff(3, 1, 16_000, 32, TONE.astype("<f4").tobytes()),
    "extensible": riff(
        0xFFFE, 1, 16_000, 32, TONE.astype("<f4").tobytes(), extra=struct.pack("<HHIH", 22, 32, 4, 3) + bytes(14)
    ),
    "stereo": riff(1, 2, 16_000, 16, (np.stack([TONE, TONE], axis=1) * 32767).astype("<i2").tobytes()),
    "48 kHz": riff(1, 1, 48_000, 16, (speech(0.5, rate_hz=48_000) * 32767).astype("<i2").tobytes()),
    "8 kHz": riff(1, 1, 8000, 16, (speech(0.5, rate_hz=8000) * 32767).astype("<i2").tobytes()),
}


@pytest.mark.parametrize("name", FORMATS)
def test_wav_formats(name: str, tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(FORMATS[name])
    heard = read_wav(path)
    assert heard is not None
    assert len(heard) == len(TONE)
    inner = slice(800, -800)
    assert np.max(np.abs(heard[inner] - TONE[inner])) < 0.02


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"RIFF\0\0\0\0WAVE", FORMATS["16 bit"][:30], riff(7, 1, 16_000, 8, b"abc"), riff(1, 0, 0, 16, b"")],
)
def test_what_is_no_wav_is_none(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    assert read_wav(path) is None
    assert read_wav(tmp_path / "missing.wav") is None


def test_a_directory_raises(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        read_wav(tmp_path)


def test_resample_keeps_duration_and_level() -> None:
    there = resample(speech(1.0).astype(np.float32), 16_000, 24_000)
    assert len(there) == 24_000
    inner = slice(1200, -1200)
    assert np.max(np.abs(there[inner] - speech(1.0, rate_hz=24_000)[inner])) < 0.01
    assert len(resample(there[:0], 24_000, 16_000)) == 0


@pytest.mark.parametrize(("given", "padded"), [(0, 0), (1, 1600), (1600, 1600), (1601, 3200)])
def test_padding(given: int, padded: int) -> None:
    assert len(pad_to_tokens(np.ones(given, dtype=np.float32))) == padded


@pytest.mark.parametrize(
    ("content", "image"),
    [(b"\xff\xd8\xff\xe0rest", True), (b"\x89PNG\r\n\x1a\nrest", True), (b"no picture", False), (b"", False)],
)
def test_images(content: bytes, image: bool, tmp_path: Path) -> None:
    path = tmp_path / "picture"
    path.write_bytes(content)
    assert is_image(path) is image
    assert not is_image(tmp_path / "missing")


def hears(*parts: object) -> Ear:
    ear = Ear()
    for part in parts:
        ear.hear(np.asarray(part, dtype=np.float32))
    return ear


@pytest.mark.parametrize(
    ("parts", "finished"),
    [
        ([silence(1)], False),
        ([speech(1)], False),
        ([then(speech(0.5), silence(0.5))], False),
        ([then(speech(0.3), silence(0.7))], True),
        ([speech(1), silence(0.5)], True),
        ([speech(1), silence(0.3)], False),
        ([speech(1), silence(0.3), silence(0.3)], True),
        ([speech(1), silence(1), speech(1)], False),
        ([0.004 * speech(1), silence(1)], False),
    ],
)
def test_the_end_of_an_utterance(parts: list[object], finished: bool) -> None:
    assert hears(*parts).finished(0.6) is finished


@pytest.mark.parametrize("chunk_s", [0.1, 0.13, 1.0])
def test_the_utterance_is_found_however_it_is_cut(chunk_s: float) -> None:
    heard = then(silence(1.0), speech(1.5), silence(1.0))
    size = round(chunk_s * 16_000)
    words, seconds = hears(*[heard[at : at + size] for at in range(0, len(heard), size)]).take()
    assert seconds == pytest.approx(1.5, abs=0.05)
    assert len(words) == pytest.approx(1.7 * 16_000, abs=800)
    assert np.max(np.abs(words)) > 0.3


def test_taking_forgets() -> None:
    ear = hears(speech(1), silence(1))
    ear.take()
    assert not ear.speaking
    assert ear.take()[1] == 0
    assert len(ear.take()[0]) == 0


def test_a_steady_hum_stops_being_speech() -> None:
    ear = hears(*[0.03 * speech(1.0)] * 60)
    ear.drop()
    ear.hear((0.03 * speech(1.0)).astype(np.float32))
    assert not ear.speaking


def test_a_minute_of_speech_is_kept_and_no_more() -> None:
    ear = hears(*[speech(10.0)] * 8, silence(1.0))
    words, seconds = ear.take()
    assert seconds == pytest.approx(59, abs=0.1)
    assert len(words) <= 60 * 16_000
