"""The measurement of the echo measures what it says."""

import json
from pathlib import Path

import numpy as np
import pytest
import soxr
from rich.console import Console

from bench import echo
from bench.answers import answers
from bench.echo import Counted, Plan, interruptions, loss_db, main, triggers
from bench.echo_call import OUTPUT_RATE_HZ, Call, Defence, Echo, Moment, call
from bench.speech import RATE_HZ, Samples, Utterance, levelled, synthetic_speech
from duplex.evidence import VAD_FRAME_BYTES, VAD_FRAME_SAMPLES
from duplex.vad import GateMoment

TINY = Plan(delays_ms=(60,), gains_db=(-6.0,), answers=1, interruptions=1)
INAUDIBLE_DB = -90.0


def silent(seconds: float) -> Samples:
    return np.zeros(round(seconds * OUTPUT_RATE_HZ))


def spoken(seconds: float) -> Samples:
    voice = levelled(synthetic_speech(seconds, pitch_hz=120.0, seed=1))
    return np.asarray(soxr.resample(voice, RATE_HZ, OUTPUT_RATE_HZ))


def words(seed: int = 1) -> Utterance:
    return Utterance("words", synthetic_speech(1.5, pitch_hz=130.0, seed=seed))


def test_answers_are_of_one_level_and_neighbours_differ() -> None:
    first, second = answers(2)
    assert len(first) > 5 * OUTPUT_RATE_HZ
    assert np.sqrt(np.mean(first**2)) == pytest.approx(np.sqrt(np.mean(second**2)), rel=0.5)
    assert len(first) != len(second) or not np.allclose(first, second)


def test_the_microphone_has_a_far_end_for_each_frame_and_each_answer_begins_once() -> None:
    sounds = Call([spoken(1.0)] * 2, Echo(50, -6.0, 20), noise_snr_db=40, seed=1)
    heard, loud = [], []
    for frame in sounds.heard():
        heard.append(frame)
        loud.append(any(sounds.far_end.read(VAD_FRAME_SAMPLES, frame.arrived_s)))
    assert {len(frame.near) for frame in heard} == {VAD_FRAME_BYTES}
    assert len(heard) == int(sounds.seconds / 0.02)
    begins = [number * 0.02 for number, frame in enumerate(heard) if frame.begins]
    assert begins == pytest.approx(sounds.starts_s, abs=0.021)
    assert not any(loud[:45])
    assert all(loud[55:95])


def test_somebody_who_speaks_is_heard_where_he_was_placed() -> None:
    sounds = Call([silent(3.0)], Echo(50, INAUDIBLE_DB), noise_snr_db=None, seed=1)
    sounds.say(words().samples, at=2 * RATE_HZ)
    sounds.say(words().samples, at=len(sounds.echo) - 10)
    likely = [m.at_s for m in call(sounds, Defence.NOTHING) if m.moment is GateMoment.LIKELY]
    assert likely[0] == pytest.approx(2.08, abs=0.05)


def test_steps_are_counted_after_the_time_to_learn() -> None:
    moments = [
        Moment(1.0, GateMoment.LIKELY),
        Moment(4.0, GateMoment.LIKELY),
        Moment(4.1, GateMoment.CONFIRM),
        Moment(5.0, GateMoment.RELEASE),
        Moment(6.0, GateMoment.LIKELY),
    ]
    assert triggers(moments, after_s=3.0) == {"hold": 2, "cut": 1}


def test_an_interruption_without_an_echo_is_on_time_and_silence_is_missed() -> None:
    counted = Counted()
    sounds = Call([silent(6.0)] * 2, Echo(50, INAUDIBLE_DB), noise_snr_db=40, seed=1)
    faint = words(2)
    faint.samples *= 1e-4
    interruptions(sounds, [words(), faint], Defence.NOTHING, counted)
    assert (counted.said, counted.early, counted.missed) == (2, 0, 1)
    assert len(counted.latency_ms["hold"]) == len(counted.latency_ms["cut"]) == 1
    assert 40 < counted.latency_ms["hold"][0] < counted.latency_ms["cut"][0] < 600


@pytest.mark.parametrize(
    ("moments", "early"),
    [
        ([], False),
        ([GateMoment.ONSET], False),
        ([GateMoment.ONSET, GateMoment.LIKELY], True),
        ([GateMoment.LIKELY, GateMoment.CONFIRM], True),
        ([GateMoment.LIKELY, GateMoment.UNLIKELY], False),
        ([GateMoment.LIKELY, GateMoment.UNLIKELY, GateMoment.LIKELY], True),
        ([GateMoment.CONFIRM, GateMoment.RELEASE, GateMoment.ONSET], False),
    ],
)
def test_an_echo_taken_for_speech_before_it_began_is_no_detection_of_it(moments: list[GateMoment], early: bool) -> None:
    assert echo._is_open([Moment(number / 10, moment) for number, moment in enumerate(moments)], 2.0) is early
    assert not echo._is_open([Moment(3.0, GateMoment.LIKELY)], 2.0)


def test_an_answer_that_is_held_falls_silent_and_goes_on_later() -> None:
    sounds = Call([spoken(6.0)], Echo(100, -6.0), noise_snr_db=None, seed=1)
    loud_near, loud_far = [], []
    for number, heard in enumerate(sounds.heard()):
        if number == 150:
            sounds.stop(3.0)
        if number == 200:
            sounds.go_on(4.0)
        loud_near.append(any(heard.near))
        loud_far.append(any(sounds.far_end.read(VAD_FRAME_SAMPLES, heard.arrived_s)))
    assert all(loud_far[100:151])
    assert not any(loud_far[153:201])
    assert all(loud_far[203:250])
    assert all(loud_near[100:156])
    assert not any(loud_near[158:206])
    assert all(loud_near[209:250])


def test_the_canceller_is_measured_after_it_has_learnt() -> None:
    assert loss_db(Call(answers(1), Echo(60, -6.0), noise_snr_db=None, seed=1)) > 20


def test_it_prints_tables_and_keeps_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("QUICK", "1")
    monkeypatch.setattr(echo, "QUICK", TINY)
    monkeypatch.setattr(echo, "utterances", lambda: [words()])
    monkeypatch.setattr(echo, "answers", lambda count: [spoken(4.0)] * count)
    path = tmp_path / "echo.json"
    code = main(["--out", str(path)])
    printed = capsys.readouterr().out
    found = json.loads(path.read_text())
    assert code == (0 if found["met"] else 1)
    assert list(found["echo_return_loss_db"]) == ["-6 dB, 60 ms"]
    assert list(found["detector"]) == [f"-6 dB, {defence}" for defence in Defence]
    for word in ("echo return loss", "60 ms", "holds/min", *map(str, Defence), "CPU"):
        assert word in printed, word


def test_a_defence_that_never_noticed_anything_has_no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(echo, "utterances", lambda: [words()])
    monkeypatch.setattr(echo, "answers", lambda count: [spoken(4.0)] * count)
    bench = echo._Bench(TINY, Console())
    bench.counted[-6.0, Defence.BAR] = Counted(minutes=1.0, said=1, missed=1)
    assert list(bench.detections().columns[4].cells) == ["-"]
