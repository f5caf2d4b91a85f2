"""Levels of made-up answers, microphones that hear them, and voices over them."""

import numpy as np
import pytest

from duplex.detectors import default_detector
from duplex.echo import EchoBar, LearntBar, ResidualBar
from duplex.evidence import SILENT_DBFS, VAD_FRAME_BYTES, VAD_FRAME_SAMPLES, VAD_RATE_HZ
from duplex.vad import GateMoment, VadGate, VadSettings
from tests.speech import noise, pcm, silence, speech

QUIET_ROOM_DBFS = -58.0
ANSWER = silence(0.1) + speech(0.7, pitch_hz=200.0) + silence(0.2) + speech(1.5, pitch_hz=180.0)


def talk(seed: int, frames: int) -> list[float]:
    """Levels of somebody who talks: words and pauses, in dBFS."""
    random = np.random.default_rng(seed)
    levels: list[float] = []
    while len(levels) < frames:
        word = -20.0 - 10.0 * np.abs(np.cos(np.arange(random.integers(8, 20)) / 3.0)) * random.uniform(0.5, 1.5)
        levels += [*word.tolist(), *[-70.0] * int(random.integers(3, 12))]
    return levels[:frames]


def later(levels: list[float], frames: int, db: float) -> list[float]:
    """What a microphone hears of them."""
    return [max(level + db, QUIET_ROOM_DBFS) for level in ([SILENT_DBFS] * frames + levels)[: len(levels)]]


def listen(bar: EchoBar, far: list[float], near: list[float], *, alike: bool = True) -> list[bool]:
    """Which frames are louder than the room and the bar. `alike`: by their waveforms it may be the answer."""
    click = np.eye(1, VAD_FRAME_SAMPLES, dtype=np.int16)[0].tobytes()
    hiss = np.random.default_rng(1).integers(-9, 9, (len(near), VAD_FRAME_SAMPLES), np.int16)
    above = []
    for frame, far_dbfs, near_dbfs in zip(hiss, far, near, strict=True):
        bar.hear_far(far_dbfs, click)
        if bar.sounds:
            bar.hear_near(near_dbfs, click if alike else frame.tobytes())
        above.append(near_dbfs > max(bar.bar_dbfs(), QUIET_ROOM_DBFS))
    return above


@pytest.mark.parametrize("db", [-25.0, -20.0, -10.0, -6.0, 0.0])
@pytest.mark.parametrize("delay", [1, 5, 15, 22])
def test_an_echo_is_learnt_and_stays_below_the_bar(db: float, delay: int) -> None:
    far = talk(1, 500)
    assert not any(listen(LearntBar(), far, later(far, delay, db)))


def test_a_voice_louder_than_the_echo_rises_over_it() -> None:
    far = talk(1, 400)
    near = later(far, 5, -15.0)
    near[300:320] = [-20.0] * 20
    above = listen(LearntBar(), far, near)
    assert not any(above[150:300])
    assert sum(above[300:320]) >= 18


def test_an_echo_that_stops_lets_a_faint_voice_through() -> None:
    bar = LearntBar()
    far = talk(1, 300)
    listen(bar, far, later(far, 5, -6.0))
    above = listen(bar, [SILENT_DBFS] * 40, [-40.0] * 40)
    assert not above[0]
    assert all(above[20:]), "its delay and the room's reverberation are over"


def test_a_voice_over_an_answer_that_is_not_heard_raises_no_bar() -> None:
    bar = LearntBar()
    above = listen(bar, talk(1, 1000), talk(2, 1000))
    loud = [over for over, level in zip(above, talk(2, 1000), strict=True) if level > -30.0]
    assert np.mean(above[5:25]) < 0.1, "at first nobody knows how loud the echo may be"
    assert np.mean(loud[60:]) > 0.97


@pytest.mark.parametrize("begins", [45, 75])
@pytest.mark.parametrize("db", [0.0, -6.0])
def test_most_of_a_second_of_an_answer_that_is_not_heard_is_enough_to_hear_a_voice(begins: int, db: float) -> None:
    far = talk(1, begins + 30)
    near = [QUIET_ROOM_DBFS] * begins + [max(level + db, QUIET_ROOM_DBFS) for level in talk(2, 30)]
    above = listen(LearntBar(), far, near)
    assert above == [level > QUIET_ROOM_DBFS for level in near]


@pytest.mark.parametrize("begins", [0, 15, 25])
@pytest.mark.parametrize("db", [0.0, -10.0])
def test_a_voice_that_does_not_sound_like_the_answer_is_heard_after_300_ms(begins: int, db: float) -> None:
    far = talk(1, begins + 40)
    near = [QUIET_ROOM_DBFS] * begins + [max(level + db, QUIET_ROOM_DBFS) for level in talk(2, 40)]
    above = listen(LearntBar(), far, near, alike=False)
    late = slice(begins + 15, begins + 40)
    assert above[late] == [level > QUIET_ROOM_DBFS for level in near[late]]
    assert not any(listen(LearntBar(), far, near)[begins + 5 : begins + 20]), "it might be the answer's echo"


def test_a_player_that_runs_dry_is_no_silence() -> None:
    far = talk(1, 60)
    near = later(far, 5, 0.0)
    near[20:23] = [QUIET_ROOM_DBFS] * 3
    assert not any(listen(LearntBar(), far, near))


def test_an_echo_that_has_gone_is_forgotten() -> None:
    bar = LearntBar()
    far = talk(1, 300)
    listen(bar, far, later(far, 5, -3.0))
    voice = talk(2, 2200)
    above = listen(bar, talk(3, 2200), voice)
    assert np.mean([over for over, level in zip(above[1700:], voice[1700:], strict=True) if level > -30.0]) > 0.97


def test_a_voice_over_an_echo_does_not_raise_the_bar() -> None:
    bar = LearntBar()
    far = talk(1, 900)
    near = later(far, 5, -15.0)
    for start in range(200, 900, 100):
        near[start : start + 30] = [-18.0] * 30
    above = listen(bar, far, near)
    assert all(sum(above[start : start + 30]) >= 25 for start in range(200, 900, 100))
    assert not any(over for at, over in enumerate(above) if at > 150 and at % 100 >= 30)


def test_without_an_answer_there_is_no_bar() -> None:
    assert all(listen(LearntBar(), [SILENT_DBFS] * 100, [-50.0] * 100))


def test_behind_a_canceller_a_voice_must_be_louder_than_what_that_leaves() -> None:
    bar = ResidualBar()
    far = talk(1, 300)
    assert not any(listen(bar, far, later(far, 5, -20.0))[5:])
    assert all(listen(bar, [-20.0] * 50, [-36.0] * 50))
    assert not any(listen(bar, [-20.0] * 50, [-38.0] * 50))


def test_behind_a_canceller_nothing_is_learnt_and_the_bar_falls_half_a_second_after_an_answer() -> None:
    bar = ResidualBar()
    listen(bar, [-20.0] * 300, [-25.0] * 300)
    assert bar.bar_dbfs() == -37.0
    assert listen(bar, [SILENT_DBFS] * 26, [-40.0] * 26).index(True) == 24
    assert all(listen(ResidualBar(), [SILENT_DBFS] * 10, [-50.0] * 10))


def first_answer(near: bytes) -> dict[GateMoment, float]:
    """When the default detector decides what for the first time, in seconds of a microphone beside `ANSWER`."""
    gate = VadGate(default_detector(), VadSettings())
    gate.guard(VadSettings().barge_in.guard_begin_ms)
    decided: dict[GateMoment, float] = {}
    for at in range(0, len(ANSWER) - VAD_FRAME_BYTES + 1, VAD_FRAME_BYTES):
        for event in gate.push(near[at : at + VAD_FRAME_BYTES], ANSWER[at : at + VAD_FRAME_BYTES]):
            decided.setdefault(event.moment, (at + VAD_FRAME_BYTES) / 2 / VAD_RATE_HZ)
    return decided


@pytest.mark.parametrize("begins_s", [0.8, 1.5])
def test_the_first_answer_is_cut_by_a_voice_as_loud_as_the_answer(begins_s: float) -> None:
    quiet = noise(len(ANSWER) / 2 / VAD_RATE_HZ, level=0.001)
    decided = first_answer(noise(begins_s, level=0.001) + speech(1.2) + quiet)
    assert decided[GateMoment.LIKELY] <= begins_s + 0.1
    assert decided[GateMoment.CONFIRM] <= begins_s + 0.5


@pytest.mark.parametrize("delay_s", [0.02, 0.15, 0.31])
@pytest.mark.parametrize("gain", [1.0, 0.5, 0.1])
def test_the_first_answer_is_not_held_by_its_own_echo(delay_s: float, gain: float) -> None:
    sound = np.frombuffer(ANSWER, np.int16) / 32768
    room = np.random.default_rng(1).standard_normal(len(sound)) * 0.001
    late = round(delay_s * VAD_RATE_HZ)
    room[late:] += gain * sound[: len(sound) - late]
    assert first_answer(pcm(room)) == {}
