"""A time that travels in a frame."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.capacity.stamps import STAMP_BYTES, age_us, read_stamp, stamp
from duplex.detectors import default_detector
from duplex.evidence import NO_VOICE, VAD_FRAME_BYTES

MICROSECONDS = st.integers(0, 2**50)


@given(MICROSECONDS, st.integers(0, 3_600_000_000))
def test_what_was_stamped_tells_its_age(at_us: int, later_us: int) -> None:
    stamped_us = read_stamp(stamp(at_us) + bytes(VAD_FRAME_BYTES - STAMP_BYTES))
    assert stamped_us is not None
    assert age_us(stamped_us, at_us + later_us) == later_us


@pytest.mark.parametrize("frame", [b"", bytes(VAD_FRAME_BYTES), b"\x01\x00\xfe\xff", stamp(7)[2:]])
def test_other_frames_have_none(frame: bytes) -> None:
    assert read_stamp(frame) is None


def test_no_detector_hears_it() -> None:
    detector = default_detector()
    frames = [stamp(at_us * 20_000) + bytes(VAD_FRAME_BYTES - STAMP_BYTES) for at_us in range(100)]
    assert {detector.judge(frame) for frame in frames} == {NO_VOICE}
