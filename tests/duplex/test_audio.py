"""Framing, formats and the recording."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duplex.audio import INPUT_RATES_HZ, Framer, PcmFormat, Recording, whole_samples
from duplex.errors import InvalidAudio


@given(st.binary(max_size=4000), st.lists(st.integers(0, 4000), max_size=12), st.integers(1, 700))
def test_any_split_gives_the_same_frames(pcm: bytes, cuts: list[int], frame_bytes: int) -> None:
    whole = Framer(frame_bytes).push(pcm)
    framer = Framer(frame_bytes)
    edges = [0, *sorted(min(cut, len(pcm)) for cut in cuts), len(pcm)]
    pieces = [pcm[start:end] for start, end in itertools.pairwise(edges)]
    frames = [frame for piece in pieces for frame in framer.push(piece)]
    assert frames == whole
    assert b"".join(frames) == pcm[: len(pcm) // frame_bytes * frame_bytes]
    assert all(len(frame) == frame_bytes for frame in frames)


def test_an_exactly_full_last_frame_is_not_kept_back() -> None:
    assert Framer(4).push(b"12345678") == [b"1234", b"5678"]


@pytest.mark.parametrize("rate_hz", [*INPUT_RATES_HZ])
def test_supported_rates(rate_hz: int) -> None:
    assert PcmFormat(rate_hz).rate_hz == rate_hz


@pytest.mark.parametrize("rate_hz", [0, -16000, 1, 11025, 96000, 10**12])
def test_other_rates_are_refused_by_name(rate_hz: int) -> None:
    with pytest.raises(InvalidAudio, match=str(rate_hz)):
        PcmFormat(rate_hz)


def test_half_a_sample_is_refused() -> None:
    with pytest.raises(InvalidAudio, match="641"):
        whole_samples(b"\0" * 641)


def sample(number: int) -> bytes:
    return number.to_bytes(2, "little")


def samples(numbers: range) -> bytes:
    return b"".join(map(sample, numbers))


@given(st.lists(st.integers(0, 40), max_size=10), st.integers(1, 60), st.integers(-5, 300), st.integers(-5, 300))
def test_a_recording_is_addressed_by_absolute_sample(sizes: list[int], limit: int, start: int, end: int) -> None:
    recording = Recording(limit)
    total = 0
    for size in sizes:
        recording.append(samples(range(total, total + size)))
        total += size
    assert recording.end == total
    assert recording.start == max(0, total - limit)
    wanted = range(max(start, recording.start), min(end, total))
    assert recording.read(start, end) == samples(wanted)
