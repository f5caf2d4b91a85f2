import struct

import numpy as np
import pytest

from duplex.engine.parrot.t2w import Vocoder, wav_header
from duplex.engine.parrot.voice import AudioToken


def numbered(count: int, first: int = 0) -> list[AudioToken]:
    """Tokens whose samples are their number."""
    return [AudioToken(n, np.full(960, n, dtype=np.float32)) for n in range(first, first + count)]


def test_lengths_of_windows() -> None:
    vocoder = Vocoder()
    assert len(vocoder.feed(numbered(28), last=False)) == 20_160
    assert len(vocoder.feed(numbered(28), last=False)) == 24_000


@pytest.mark.parametrize("left", [3, 4, 25, 28])
def test_length_of_the_last_window(left: int) -> None:
    vocoder = Vocoder()
    vocoder.feed(numbered(28), last=False)
    assert len(vocoder.feed(numbered(left), last=True)) == (8 + 2 * left) * 480
    assert len(vocoder.feed(numbered(28), last=False)) == 24_000


def test_four_tokens_wait_for_the_next_window() -> None:
    vocoder = Vocoder()
    first = vocoder.feed(numbered(28), last=False)
    assert (first[0], first[-1]) == (0, 20)
    second = vocoder.feed(numbered(10, first=25), last=True)
    assert (second[0], second[-1]) == (21, 34)
    # Kept after a last window too: the next answer opens with the end of this one.
    third = vocoder.feed(numbered(28, first=100), last=False)
    assert list(third[::960]) == [31, 32, 33, 34, *range(100, 121)]


def test_header() -> None:
    header = wav_header(24_000)
    assert len(header) == 44
    assert header[:4] + header[8:16] + header[36:40] == b"RIFFWAVEfmt data"
    assert struct.unpack_from("<I", header, 4) == (48_036,)
    assert struct.unpack_from("<IHHIIHH", header, 16) == (16, 1, 1, 24_000, 48_000, 2, 16)
    assert struct.unpack_from("<I", header, 40) == (48_000,)
