"""WAV files as bytes: 16-bit PCM in, 16-bit PCM out, and a clear answer to "is it whole yet".

The engine writes a WAV under its final name, header first, so a reader can meet any prefix of it. The header says the
final sizes from its first byte on: a file is whole when it is as long as that, and timing is never asked.
"""

import struct
from dataclasses import dataclass

from duplex.errors import InvalidAudio

__all__ = ["IncompleteWav", "WavAudio", "read_wav", "write_wav"]

_RIFF_HEADER = struct.Struct("<4sI4s")
_CHUNK_HEADER = struct.Struct("<4sI")
_FORMAT = struct.Struct("<HHIIHH")
_PCM = 1
_UNKNOWN_SIZE = 0xFFFFFFFF
_MOST_CHUNKS = 100
"""Before the samples. A file of millions of empty chunks would keep everybody waiting."""


class IncompleteWav(Exception):
    """The bytes are the beginning of a WAV that is still being written: ask again later."""


@dataclass(frozen=True, slots=True)
class WavAudio:
    """What a WAV holds."""

    pcm: bytes
    """16-bit little-endian samples, channels interleaved."""
    rate_hz: int
    channels: int


def read_wav(content: bytes, *, torn: bool = False) -> WavAudio:
    """Read a 16-bit PCM WAV.

    Chunks other than the format and the samples are skipped. With `torn` the writer is known to have finished, so
    whatever samples are there are all there will be and a short file is read as far as it goes.

    Raises IncompleteWav when more bytes are due, InvalidAudio when this can never become a 16-bit PCM WAV.
    """
    if len(content) < _RIFF_HEADER.size:
        raise IncompleteWav
    riff, _, wave = _RIFF_HEADER.unpack_from(content)
    if riff != b"RIFF" or wave != b"WAVE":
        raise InvalidAudio("not a WAV file: it does not begin with a RIFF/WAVE header")
    rate_hz = channels = 0
    offset = _RIFF_HEADER.size
    for _ in range(_MOST_CHUNKS):
        if len(content) < offset + _CHUNK_HEADER.size:
            raise IncompleteWav
        name, size = _CHUNK_HEADER.unpack_from(content, offset)
        offset += _CHUNK_HEADER.size
        if name == b"data":
            if not rate_hz:
                raise InvalidAudio("the WAV has samples before their format")
            return WavAudio(_samples(content, offset, size, channels, torn=torn), rate_hz, channels)
        if name == b"fmt ":
            if len(content) < offset + _FORMAT.size:
                raise IncompleteWav
            rate_hz, channels = _read_format(content, offset)
        offset += size + size % 2
    raise InvalidAudio(f"the WAV has {_MOST_CHUNKS} chunks and no samples among them")


def _read_format(content: bytes, offset: int) -> tuple[int, int]:
    tag, channels, rate_hz, _, _, bits = _FORMAT.unpack_from(content, offset)
    if tag != _PCM or bits != 16 or not 1 <= channels <= 8 or rate_hz == 0:
        raise InvalidAudio(f"want 16-bit PCM, got format {tag} with {bits} bits, {channels} channels, {rate_hz} Hz")
    return rate_hz, channels


def _samples(content: bytes, offset: int, size: int, channels: int, *, torn: bool) -> bytes:
    frame_bytes = 2 * channels
    if torn:
        end = min(len(content), offset + size) if size else len(content)
        return content[offset : end - (end - offset) % frame_bytes]
    # Writers that do not know their length yet put 0 or the largest number there until they close the file.
    if size in {0, _UNKNOWN_SIZE} or len(content) < offset + size:
        raise IncompleteWav
    if size % frame_bytes:
        raise InvalidAudio(f"{size} bytes of samples do not divide into frames of {frame_bytes}")
    return content[offset : offset + size]


def write_wav(pcm: bytes, *, rate_hz: int, channels: int = 1) -> bytes:
    """A 16-bit PCM WAV around `pcm` with the shortest header there is (44 bytes).

    Raises InvalidAudio when `pcm` is not a whole number of frames.
    """
    frame_bytes = 2 * channels
    if len(pcm) % frame_bytes:
        raise InvalidAudio(f"{len(pcm)} bytes do not divide into frames of {frame_bytes}")
    header = b"".join(
        (
            _RIFF_HEADER.pack(b"RIFF", 36 + len(pcm), b"WAVE"),
            _CHUNK_HEADER.pack(b"fmt ", _FORMAT.size),
            _FORMAT.pack(_PCM, channels, rate_hz, rate_hz * frame_bytes, frame_bytes, 16),
            _CHUNK_HEADER.pack(b"data", len(pcm)),
        )
    )
    return header + pcm
