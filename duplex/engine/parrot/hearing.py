"""Ears: WAV files to 16 kHz mono, and an energy test that finds an utterance and its end."""

import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt

__all__ = ["HEARD_RATE_HZ", "Ear", "Samples", "is_image", "pad_to_tokens", "read_wav", "resample", "silence"]

Samples = npt.NDArray[np.float32]

HEARD_RATE_HZ = 16_000
_TOKEN_SAMPLES = 1600
_FRAME = 320
_MARGIN = 1600
_FLOOR_RISE = 1.002
_THRESHOLD_MIN = 0.008
_THRESHOLD_MAX = 0.04
_ONSET_FRAMES = 3
_MAX_UTTERANCE_S = 60

_PCM_DTYPES = {(1, 8): "u1", (1, 16): "<i2", (1, 32): "<i4", (3, 32): "<f4", (3, 64): "<f8"}


def resample(samples: Samples, from_hz: int, to_hz: int) -> Samples:
    """Band-limited, through the spectrum: exact in length, and fine for whole utterances."""
    if from_hz == to_hz or not len(samples):
        return samples
    count = max(1, round(len(samples) * to_hz / from_hz))
    spectrum = np.fft.rfft(samples)
    kept = np.zeros(count // 2 + 1, dtype=np.complex128)
    bins = min(len(spectrum), len(kept))
    kept[:bins] = spectrum[:bins]
    return (np.fft.irfft(kept, n=count) * (count / len(samples))).astype(np.float32)


def read_wav(path: Path) -> Samples | None:
    """A WAV file of any common format as 16 kHz mono in -1..1; None when it cannot be read as one.

    Raises `IsADirectoryError`. The real engine reads FLAC and MP3 as well.
    """
    try:
        content = path.read_bytes()
    except IsADirectoryError:
        raise
    except (OSError, ValueError):
        return None
    chunks = _riff_chunks(content)
    if "fmt " not in chunks or "data" not in chunks or len(chunks["fmt "]) < 16:
        return None
    tag, channels, rate_hz, _, _, bits = struct.unpack_from("<HHIIHH", chunks["fmt "])
    if tag == 0xFFFE and len(chunks["fmt "]) >= 26:
        (tag,) = struct.unpack_from("<H", chunks["fmt "], 24)
    frames = _to_float(chunks["data"], tag, bits)
    if frames is None or not channels or not rate_hz:
        return None
    frames = frames[: len(frames) // channels * channels]
    mono: Samples = frames.reshape(-1, channels).mean(axis=1, dtype=np.float32)
    return resample(mono, rate_hz, HEARD_RATE_HZ)


def _riff_chunks(content: bytes) -> dict[str, bytes]:
    if content[:4] != b"RIFF" or content[8:12] != b"WAVE":
        return {}
    chunks: dict[str, bytes] = {}
    at = 12
    while at + 8 <= len(content):
        name = content[at : at + 4].decode("latin-1")
        (size,) = struct.unpack_from("<I", content, at + 4)
        chunks.setdefault(name, content[at + 8 : at + 8 + size])
        at += 8 + size + size % 2
    return chunks


def _to_float(raw: bytes, tag: int, bits: int) -> Samples | None:
    if (tag, bits) == (1, 24):
        octets = np.frombuffer(raw[: len(raw) // 3 * 3], dtype=np.uint8).reshape(-1, 3).astype(np.int32)
        value = octets[:, 0] | octets[:, 1] << 8 | octets[:, 2] << 16
        return ((value ^ 0x800000) - 0x800000).astype(np.float32) / np.float32(2**23)
    name = _PCM_DTYPES.get((tag, bits))
    if name is None:
        return None
    dtype = np.dtype(name)
    values = np.frombuffer(raw[: len(raw) // dtype.itemsize * dtype.itemsize], dtype=dtype)
    if tag == 3:
        return values.astype(np.float32)
    if bits == 8:
        return (values.astype(np.float32) - 128) / np.float32(128)
    return values.astype(np.float32) / np.float32(2 ** (bits - 1))


def silence(count: int) -> Samples:
    """`count` samples of it."""
    return np.zeros(count, dtype=np.float32)


def is_image(path: Path) -> bool:
    """Whether a file begins like a picture the real engine's decoder knows (JPEG, PNG, BMP, GIF)."""
    try:
        with path.open("rb") as file:
            head = file.read(8)
    except (OSError, ValueError):
        return False
    return head.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"GIF8"))


def pad_to_tokens(samples: Samples) -> Samples:
    """Zeros to the next 100 ms, the sound of one text-model token; nothing stays nothing."""
    return np.pad(samples, (0, -len(samples) % _TOKEN_SAMPLES))


class Ear:
    """Finds one utterance in what is heard: voice, then silence.

    The threshold follows the noise floor, which sinks at once and rises slowly (twofold in 7 s), so that a hum is not
    speech and a long word does not become the floor.
    """

    def __init__(self) -> None:
        self._floor = 0.002
        self._rest: Samples = silence(0)
        self._heard: Samples = silence(0)
        self._first: int | None = None
        self._last = 0
        self._run = 0
        self.silent_chunk = False
        """Whether the last chunk of at least half a second held no voice."""

    def hear(self, samples: Samples) -> bool:
        """Take one prefill; returns whether it held voice."""
        start = len(self._heard)
        self._heard = np.concatenate([self._heard, samples])
        pending = np.concatenate([self._rest, samples])
        whole = len(pending) // _FRAME * _FRAME
        self._rest = pending[whole:]
        at = start + len(samples) - len(pending)
        voiced = False
        for frame in pending[:whole].reshape(-1, _FRAME):
            at += _FRAME
            voiced |= self._frame(float(np.sqrt(np.mean(frame * frame))), at)
        self.silent_chunk = not voiced and len(samples) >= HEARD_RATE_HZ // 2
        self._forget_old()
        return voiced

    def _frame(self, level: float, end: int) -> bool:
        self._floor = max(1e-5, min(level, self._floor * _FLOOR_RISE))
        threshold = min(_THRESHOLD_MAX, max(_THRESHOLD_MIN, 4 * self._floor))
        if level <= threshold:
            self._run = 0
            return False
        self._run += 1
        if self._run >= _ONSET_FRAMES or self._first is not None:
            if self._first is None:
                self._first = end - self._run * _FRAME
            self._last = end
        return True

    def _forget_old(self) -> None:
        keep = _MAX_UTTERANCE_S * HEARD_RATE_HZ if self._first is not None else _MARGIN
        surplus = len(self._heard) - keep
        if surplus > 0:
            self._heard = self._heard[surplus:]
            self._last = max(0, self._last - surplus)
            if self._first is not None:
                self._first = max(0, self._first - surplus)

    @property
    def speaking(self) -> bool:
        """Whether an utterance has begun."""
        return self._first is not None

    def finished(self, silence_s: float) -> bool:
        """Whether an utterance began and at least `silence_s` of silence, or a silent chunk, followed."""
        if self._first is None:
            return False
        return self.silent_chunk or len(self._heard) - self._last >= silence_s * HEARD_RATE_HZ

    def take(self) -> tuple[Samples, float]:
        """The utterance with 100 ms on both sides, and the seconds from its first voice to its last. Forgets it."""
        if self._first is None:
            return silence(0), 0.0
        words = self._heard[max(0, self._first - _MARGIN) : self._last + _MARGIN]
        seconds = (self._last - self._first) / HEARD_RATE_HZ
        self.drop()
        return words, seconds

    def drop(self) -> None:
        """Forget what was heard, not what silence sounds like."""
        self._heard = self._heard[:0]
        self._rest = self._rest[:0]
        self._first = None
        self._last = 0
        self._run = 0
