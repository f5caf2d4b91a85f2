"""The gate on scripted evidence."""

from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duplex.barge_in import BargeIn, evidence_for
from duplex.evidence import NO_SOUND, NO_VOICE, VAD_FRAME_BYTES, VAD_FRAME_SAMPLES, Evidence
from duplex.vad import GateEvent, GateMoment, VadGate, VadSettings

FRAME = bytes(VAD_FRAME_BYTES)


MARKS = {"#": Evidence(20.0, pitched=True), "f": Evidence(4.0, pitched=True), ".": NO_VOICE}
"""`f` is faint: not enough to begin, enough to go on."""


class Script:
    """A detector that says what it was told to."""

    def __init__(self, marks: Iterable[str]) -> None:
        self._marks = iter(marks)

    def judge(self, frame: bytes, far: bytes = NO_SOUND) -> Evidence:
        assert len(frame) == VAD_FRAME_BYTES
        return MARKS[next(self._marks)]


def run(script: str, settings: VadSettings) -> list[tuple[int, GateEvent]]:
    """`#` is voiced. Returns (frame number, event)."""
    gate = VadGate(Script(script), settings)
    return [(number, event) for number, _ in enumerate(script, 1) for event in gate.push(FRAME)]


SETTINGS = VadSettings(
    hangover_ms=100, barge_in=replace(evidence_for(BargeIn.EAGER), hold_votes=3, hold_frames=4, cut_frames=8)
)
SPEECH = {GateMoment.ONSET, GateMoment.RELEASE}


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("", []),
        ("..........", []),
        ("##..##..##", []),
        ("#.##......", [(4, GateMoment.ONSET, 0), (9, GateMoment.RELEASE, 4)]),
        ("..###.....", [(5, GateMoment.ONSET, 2), (10, GateMoment.RELEASE, 5)]),
        ("..######.....", [(5, GateMoment.ONSET, 2), (13, GateMoment.RELEASE, 8)]),
        ("###.###.....", [(3, GateMoment.ONSET, 0), (12, GateMoment.RELEASE, 7)]),
        ("###....###....", [(3, GateMoment.ONSET, 0)]),
        ("###.....###.....", [
            (3, GateMoment.ONSET, 0),
            (8, GateMoment.RELEASE, 3),
            (11, GateMoment.ONSET, 8),
            (16, GateMoment.RELEASE, 11),
        ]),
    ],
)  # fmt: skip
def test_moments_and_their_samples(script: str, expected: list[tuple[int, GateMoment, int]]) -> None:
    found = [
        (number, event.moment, event.at // VAD_FRAME_SAMPLES)
        for number, event in run(script, SETTINGS)
        if event.moment in SPEECH
    ]
    assert found == expected


def test_verdicts_come_after_the_onset_and_before_the_release() -> None:
    found = [(number, event.moment) for number, event in run("######.....", replace(SETTINGS, hangover_ms=100))]
    assert found == [
        (3, GateMoment.ONSET),
        (3, GateMoment.LIKELY),
        (6, GateMoment.CONFIRM),
        (11, GateMoment.RELEASE),
    ]
    found = [(number, event.moment) for number, event in run("###..........", replace(SETTINGS, hangover_ms=200))]
    assert found == [
        (3, GateMoment.ONSET),
        (3, GateMoment.LIKELY),
        (13, GateMoment.UNLIKELY),
        (13, GateMoment.RELEASE),
    ]


def test_an_interruption_opens_the_gate_although_it_was_never_loud_for_long() -> None:
    settings = replace(SETTINGS, barge_in=evidence_for(BargeIn.EAGER))
    found = [(n, e.moment, e.at // VAD_FRAME_SAMPLES) for n, e in run("..##ffff......", settings)]
    assert found == [
        (4, GateMoment.LIKELY, 0),
        (8, GateMoment.ONSET, 2),
        (8, GateMoment.CONFIRM, 2),
        (13, GateMoment.RELEASE, 8),
    ]


@given(st.text("#f.", max_size=200), st.sampled_from(BargeIn))
def test_moments_alternate_and_never_go_back(script: str, preset: BargeIn) -> None:
    events = [event for _, event in run(script, replace(SETTINGS, barge_in=evidence_for(preset)))]
    open_ = False
    position = 0
    for event in events:
        if event.moment in SPEECH:
            assert open_ is (event.moment is GateMoment.RELEASE)
            open_ = event.moment is GateMoment.ONSET
            assert event.at >= position
            position = event.at
        elif event.moment is GateMoment.CONFIRM:
            assert open_, "only speech can interrupt"


def test_rearm_asks_for_fresh_evidence() -> None:
    gate = VadGate(Script("#" * 40), SETTINGS)
    moments = [e.moment for _ in range(6) for e in gate.push(FRAME)]
    assert moments == [GateMoment.ONSET, GateMoment.LIKELY, GateMoment.CONFIRM]
    assert gate.confirmed
    gate.rearm()
    assert gate.open
    assert not gate.confirmed
    assert [e.moment for _ in range(5) for e in gate.push(FRAME)] == [GateMoment.LIKELY]
    assert [e.moment for e in gate.push(FRAME)] == [GateMoment.CONFIRM]


def test_close_releases_an_open_gate_only() -> None:
    gate = VadGate(Script("###"), SETTINGS)
    assert gate.close() == []
    for _ in range(3):
        gate.push(FRAME)
    assert gate.close() == [GateEvent(GateMoment.RELEASE, 3 * VAD_FRAME_SAMPLES)]
    assert gate.close() == []


@pytest.mark.parametrize(
    ("script", "released"),
    [
        ("ffffffffff", None),
        ("###ffffff.....", 14),
        ("###..f..f.....", 14),
        ("###.......", 8),
    ],
)
def test_faint_frames_keep_speech_going_and_begin_none(script: str, released: int | None) -> None:
    releases = [number for number, event in run(script, SETTINGS) if event.moment is GateMoment.RELEASE]
    assert releases == ([] if released is None else [released])


LONG = replace(SETTINGS, hangover_ms=600, long_speech_ms=1000, long_hangover_ms=100, speech_limit_ms=2000)


@pytest.mark.parametrize(
    ("script", "released"),
    [
        ("#" * 200, 100),
        ("#" * 20 + "." * 10 + "#" * 200, 100),
        ("#" * 60 + "." * 10 + "#" * 200, 65),
        ("#" * 45 + "." * 10 + "#" * 200, 50),
    ],
)
def test_speech_that_never_ends_is_ended(script: str, released: int) -> None:
    """At its first short pause when it is long, and then in any case."""
    releases = [number for number, event in run(script, LONG) if event.moment is GateMoment.RELEASE]
    assert releases[0] == released


def test_a_pause_is_told_after_each_stretch_of_speech() -> None:
    settings = replace(SETTINGS, hangover_ms=200, pause_ms=100)
    pauses = [
        (number, event.at // VAD_FRAME_SAMPLES)
        for number, event in run("####.......##....." + "." * 8, settings)
        if event.moment is GateMoment.PAUSE
    ]
    assert pauses == [(9, 4), (18, 13)]


def test_a_hangover_shorter_than_a_pause_tells_none() -> None:
    moments = [event.moment for _, event in run("####" + "." * 20, replace(SETTINGS, hangover_ms=100))]
    assert GateMoment.PAUSE not in moments
