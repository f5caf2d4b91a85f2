"""G.711, the telephone's eight bits a sample: from and to 16-bit PCM, by tables that are worked out once."""

import enum
from functools import cache

import numpy as np
import numpy.typing as npt

__all__ = ["G711_RATE_HZ", "Law", "compress", "expand"]

G711_RATE_HZ = 8000

_BIAS, _MU_CLIP = 132, 32_635
"""Mu-law is linear within segments that double in width; the bias makes their borders powers of two."""


class Law(enum.StrEnum):
    """The two companding laws, in RFC 3551's names."""

    MU = "pcmu"
    A = "pcma"


def expand(sound: bytes, law: Law) -> bytes:
    """16-bit little-endian samples, one for each byte."""
    return bytes(_decoding(law)[np.frombuffer(sound, np.uint8)].tobytes())


def compress(pcm: bytes, law: Law) -> bytes:
    """One byte for each whole 16-bit little-endian sample."""
    return bytes(_encoding(law)[np.frombuffer(pcm, "<u2")].tobytes())


@cache
def _decoding(law: Law) -> npt.NDArray[np.int16]:
    code = np.arange(256) ^ (0xFF if law is Law.MU else 0x55)
    segment, step = (code >> 4) & 7, code & 15
    if law is Law.MU:
        size = (((step << 3) + _BIAS) << segment) - _BIAS
        negative = code & 0x80 != 0
    else:
        size = np.where(segment == 0, (step << 4) + 8, ((step << 4) + 0x108) << np.maximum(segment - 1, 0))
        negative = code & 0x80 == 0
    return np.where(negative, -size, size).astype("<i2")


@cache
def _encoding(law: Law) -> npt.NDArray[np.uint8]:
    """Indexed by the sample's sixteen bits."""
    sample = np.arange(65_536).astype(np.uint16).view(np.int16).astype(np.int64)
    negative = sample < 0
    if law is Law.MU:
        size = np.minimum(np.abs(sample), _MU_CLIP) + _BIAS
        segment = np.clip(np.floor(np.log2(size)).astype(np.int64) - 7, 0, 7)
        code = (segment << 4) | ((size >> (segment + 3)) & 15)
        return np.asarray((code | np.where(negative, 0x80, 0)) ^ 0xFF, np.uint8)
    size = np.where(negative, ~sample, sample)
    segment = np.clip(np.floor(np.log2(np.maximum(size, 1))).astype(np.int64) - 7, 0, 7)
    code = (segment << 4) | ((size >> np.where(segment == 0, 4, segment + 3)) & 15)
    return np.asarray((code | np.where(negative, 0, 0x80)) ^ 0x55, np.uint8)
