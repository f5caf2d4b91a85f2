"""Eight bits a sample, as the telephone network has them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from duplex.g711 import Law, compress, expand

KNOWN = {
    Law.MU: {0x00: -32124, 0x80: 32124, 0xFF: 0, 0x7F: 0, 0xFE: 8, 0xEF: 132, 0x8F: 16764, 0x0F: -16764},
    Law.A: {0x55: -8, 0xD5: 8, 0x2A: -32256, 0xAA: 32256, 0x80: 5504, 0xC5: 264},
}
"""From the tables of ITU-T G.711, scaled to 16 bits."""


@pytest.mark.parametrize("law", list(Law))
def test_known_bytes_are_known_samples(law: Law) -> None:
    for code, sample in KNOWN[law].items():
        assert int.from_bytes(expand(bytes([code]), law), "little", signed=True) == sample, hex(code)


@pytest.mark.parametrize("law", list(Law))
def test_every_byte_survives_the_way_there_and_back(law: Law) -> None:
    codes = bytes(code for code in range(256) if (law, code) != (Law.MU, 0x7F))  # its zero has two signs
    assert compress(expand(codes, law), law) == codes


@pytest.mark.parametrize(("law", "code"), [(Law.MU, 0xFF), (Law.A, 0xD5)])
def test_silence_is_the_smallest_step(law: Law, code: int) -> None:
    assert compress(bytes(320), law) == bytes([code]) * 160


@pytest.mark.parametrize("law", list(Law))
def test_loud_and_soft_are_heard_to_the_same_part(law: Law) -> None:
    every = np.arange(-32_768, 32_768).astype("<i2")
    back = np.frombuffer(expand(compress(every.tobytes(), law), law), "<i2").astype(int)
    error = np.abs(back - every.astype(int))
    assert (error <= np.maximum(16, np.abs(every.astype(int)) / 25)).all()
    assert (np.diff(back) >= 0).all(), "louder never becomes quieter"


def test_nothing_is_nothing() -> None:
    assert compress(b"", Law.MU) == expand(b"", Law.A) == b""


@given(st.lists(st.integers(-32_768, 32_767)), st.sampled_from(list(Law)))
def test_each_sample_is_one_byte_whatever_its_neighbours(samples: list[int], law: Law) -> None:
    pieces = [sample.to_bytes(2, "little", signed=True) for sample in samples]
    whole = compress(b"".join(pieces), law)
    assert whole == b"".join(compress(piece, law) for piece in pieces)
    assert len(expand(whole, law)) == 2 * len(samples)
