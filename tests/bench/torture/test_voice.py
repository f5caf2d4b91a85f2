import pytest

from bench.torture.voice import INPUT_RATE_HZ, MARKS, marks_in, marks_of, utterance
from duplex.resample import Quality, StreamResampler


@pytest.mark.parametrize("mark", [0, 1, 17, MARKS - 1])
@pytest.mark.parametrize("rate_hz", [8000, 16_000, 24_000, 48_000])
def test_a_mark_is_found_at_every_rate_and_wherever_its_words_are_cut(mark: int, rate_hz: int) -> None:
    resampler = StreamResampler(INPUT_RATE_HZ, rate_hz, Quality.CLEAN)
    words = resampler.push(utterance(mark, 0.8, voice=mark)) + resampler.flush()
    gap = bytes(rate_hz // 2)
    assert marks_in(gap + words[: len(words) // 3 // 2 * 2] + gap, rate_hz) == {mark}


def test_two_marks_are_two_and_silence_has_none() -> None:
    assert marks_in(utterance(3, 0.5) + utterance(4, 0.5, voice=1), INPUT_RATE_HZ) == {3, 4}
    assert marks_in(bytes(32_000), INPUT_RATE_HZ) == frozenset()


def test_a_dozen_sessions_in_a_row_have_nothing_in_common() -> None:
    marks = [mark for index in range(100, 112) for mark in marks_of(index)]
    assert len(set(marks)) == len(marks)
