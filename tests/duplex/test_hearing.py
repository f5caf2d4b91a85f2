"""Both paths of the microphone count the same samples, and the chunker takes each once."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from duplex.audio import INPUT_RATES_HZ, Recording
from duplex.detectors import default_detector
from duplex.evidence import NO_SOUND, NO_VOICE, Evidence
from duplex.hearing import Chunker, Microphone
from duplex.vad import GateMoment, VadGate, VadSettings
from tests.speech import silence, speech


@pytest.mark.parametrize("rate_hz", INPUT_RATES_HZ)
def test_speech_is_found_where_it_is_at_every_rate(rate_hz: int) -> None:
    microphone = Microphone(rate_hz, VadGate(default_detector(), VadSettings()), 160_000)
    sound = silence(1.0, rate_hz) + speech(1.5, rate_hz) + silence(1.0, rate_hz)
    step = rate_hz // 50 * 2
    events = [event for at in range(0, len(sound), step) for event in microphone.push(sound[at : at + step], 0.0)]
    assert [event.moment for event in events] == [
        GateMoment.LIKELY,
        GateMoment.ONSET,
        GateMoment.CONFIRM,
        GateMoment.PAUSE,
        GateMoment.RELEASE,
    ]
    assert events[1].at == pytest.approx(16_000, abs=640)
    assert events[4].at == pytest.approx(40_000, abs=1600)
    kept = np.frombuffer(microphone.recording.read(0, 1 << 40), np.int16)
    first_loud = int(np.argmax(np.abs(kept) > 1000))
    assert first_loud == pytest.approx(events[1].at, abs=640), "a position of the gate is valid in the recording"


def test_the_fast_path_does_not_wait_for_the_clean_one() -> None:
    """Frames judged after each 20 ms at 24 kHz: the vote of a frame is there when its last sample is."""
    frames: list[bytes] = []

    class Counting:
        def judge(self, frame: bytes, far: bytes = NO_SOUND) -> Evidence:
            frames.append(frame)
            return NO_VOICE

    microphone = Microphone(24_000, VadGate(Counting(), VadSettings()), 160_000)
    for number in range(1, 51):
        list(microphone.push(bytes(960), 0.0))
        assert number - len(frames) <= 1


def test_a_new_rate_goes_on_where_the_old_one_ended() -> None:
    microphone = Microphone(24_000, VadGate(default_detector(), VadSettings()), 160_000)
    microphone.push(bytes(48_000), 0.0)
    microphone.set_rate(8000)
    microphone.push(bytes(16_000), 0.0)
    microphone.set_rate(16_000)
    assert microphone.rate_hz == 16_000
    assert microphone.recording.end == pytest.approx(32_000, abs=2)


@given(st.lists(st.integers(0, 50), max_size=20), st.integers(1, 30))
def test_each_sample_is_taken_once_and_in_order(sizes: list[int], chunk: int) -> None:
    recording = Recording(10_000)
    chunker = Chunker(recording, chunk)
    taken, total = b"", 0
    for size in sizes:
        recording.append(b"".join((n % 65536).to_bytes(2, "little") for n in range(total, total + size)))
        total += size
        chunks = chunker.take_whole()
        assert all(len(piece) == 2 * chunk for piece in chunks)
        taken += b"".join(chunks)
    taken += b"".join(chunker.take_rest())
    assert taken == recording.read(0, total)
    assert chunker.waiting == 0


def test_the_chunker_skips_forward_and_goes_back_when_told() -> None:
    recording = Recording(100)
    recording.append(bytes(100))
    chunker = Chunker(recording, 10)
    chunker.skip_to(45)
    chunker.skip_to(5)
    assert chunker.waiting == 5
    chunker.seek(-7)
    assert chunker.waiting == 50
    recording.append(bytes(160))
    assert chunker.lost == 30
    chunker.discard()
    assert chunker.take_rest() == []


def test_held_for_so_many_samples_or_until_released() -> None:
    recording = Recording(1000)
    recording.append(bytes(20))
    chunker = Chunker(recording, 10)
    chunker.hold(15)
    chunker.take_whole()
    assert chunker.held
    recording.append(bytes(40))
    chunker.take_whole()
    assert not chunker.held
    chunker.hold(None)
    recording.append(bytes(400))
    chunker.take_whole()
    assert chunker.held
    chunker.release()
    assert not chunker.held


def test_what_is_taken_early_is_not_taken_again_nor_the_silence_after_it() -> None:
    recording = Recording(100_000)
    chunker = Chunker(recording, 16_000)
    recording.append(bytes(2 * 20_000))
    assert [len(chunk) // 2 for chunk in chunker.take_early(18_000)] == [16_000, 3200]
    recording.append(bytes(2 * 5000))
    assert chunker.take_rest(18_000) == []
    assert chunker.waiting == 0


def test_when_the_speech_went_on_all_of_the_rest_is_taken() -> None:
    recording = Recording(100_000)
    chunker = Chunker(recording, 16_000)
    recording.append(bytes(2 * 3500))
    early = chunker.take_early(2000)
    recording.append(bytes(2 * 9000))
    rest = chunker.take_rest(8000)
    assert sum(map(len, early + rest)) == 2 * 12_500
    assert chunker.take_early(9000) == []
