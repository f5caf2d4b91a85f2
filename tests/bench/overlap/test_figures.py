"""Made-up trials and what they come to."""

from dataclasses import replace

from bench.overlap.figures import COLUMNS, cells, promises
from bench.overlap.sounds import Kind
from bench.overlap.trials import Condition, Overlap, Trial
from duplex.barge_in import BargeIn

CUT = Trial(
    condition="clean",
    barge_in=BargeIn.BALANCED,
    kind=Kind.INTERRUPTION,
    clip="Wait",
    into_answer_s=1.0,
    held_s=0.06,
    released_s=None,
    cut_s=0.4,
    last_byte_s=0.05,
    clip_s=2.0,
    answered_s=0.8,
    stale_bytes=0,
)
HELD = replace(CUT, kind=Kind.BACKCHANNEL, released_s=0.5, cut_s=None, clip_s=0.3, answered_s=None)


def call(*trials: Trial) -> Overlap:
    return Overlap(
        Condition("clean", BargeIn.BALANCED), list(trials), quiet_s=30.0, false_holds=1, false_cuts=0, asked_s=[0.75]
    )


def line(*trials: Trial) -> dict[str, str]:
    return dict(zip(COLUMNS, cells(call(*trials)), strict=True))


def test_the_line_of_a_call() -> None:
    shown = line(CUT, HELD, replace(CUT, cut_s=None, held_s=None, last_byte_s=None, answered_s=None))
    assert shown["hold p50/p95"] == "60 / 60"
    assert shown["cut p50/p95"] == "400 / 400"
    assert shown["missed"] == "1 of 2"
    assert shown['"mm-hm" cut'] == "0 of 1"
    assert shown["60 ms cut"] == "-"
    assert shown["released after"] == "200"
    assert shown["for nothing/min"] == "2.0 / 0.0"


def test_kept_promises() -> None:
    found = {promise.what: promise for promise in promises([call(CUT, HELD)])}
    assert all(promise.is_met for promise in found.values())
    assert found["balanced: onset to cut, p50"].value == 400.0
    assert found["missed interruptions"].value == 0.0
    assert found["balanced: words of agreement cut"].value == 0.0


def test_broken_promises() -> None:
    late = replace(CUT, held_s=0.2, cut_s=0.9, last_byte_s=0.3, stale_bytes=4, answered_s=1.0)
    cut_off = replace(HELD, cut_s=0.3)
    slam = replace(HELD, kind=Kind.SLAM, cut_s=0.3)
    broken = {promise.what for promise in promises([call(late, cut_off, slam)]) if not promise.is_met}
    assert broken == {
        "onset to hold, p50",
        "onset to hold, p95",
        "onset to last byte, p95",
        "balanced: onset to cut, p50",
        "balanced: onset to cut, p95",
        "answer after a break, later than after a question, p50",
        "stale bytes after the cut",
        "balanced: words of agreement cut",
        "balanced: slams cut",
    }


def test_nothing_measured_promises_nothing() -> None:
    assert [promise.what for promise in promises([])] == ["stale bytes after the cut"]
