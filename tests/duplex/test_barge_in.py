"""The judge on scripted votes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duplex.barge_in import BargeIn, BargeInJudge, BargeInSettings, Verdict, evidence

SETTINGS = BargeInSettings(hold_votes=3, hold_frames=4, cut_votes=6, cut_frames=10, release_ms=80, hold_limit_ms=400)


def run(script: str, settings: BargeInSettings = SETTINGS) -> list[tuple[int, Verdict]]:
    """`#` is voiced. Returns (frame number, verdict)."""
    judge = BargeInJudge(settings)
    return [(number, verdict) for number, mark in enumerate(script, 1) for verdict in judge.push(voiced=mark == "#")]


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("", []),
        ("..........", []),
        ("##..##..##", []),
        ("###....", [(3, Verdict.LIKELY), (7, Verdict.UNLIKELY)]),
        ("#.##...#", [(4, Verdict.LIKELY)]),
        ("######..", [(3, Verdict.LIKELY), (6, Verdict.CONFIRM)]),
        ("######....######", [(3, Verdict.LIKELY), (6, Verdict.CONFIRM)]),
        ("####..##", [(3, Verdict.LIKELY), (8, Verdict.CONFIRM)]),
        # The second of two short utterances is weighed together with the first.
        ("###....###", [(3, Verdict.LIKELY), (7, Verdict.UNLIKELY), (10, Verdict.LIKELY), (10, Verdict.CONFIRM)]),
        ("###..........###", [(3, Verdict.LIKELY), (7, Verdict.UNLIKELY), (16, Verdict.LIKELY)]),
    ],
)
def test_verdicts_and_when_they_come(script: str, expected: list[tuple[int, Verdict]]) -> None:
    assert run(script) == expected


def test_a_doubt_does_not_last_for_ever() -> None:
    verdicts = run("###" + "..#" * 10)
    assert verdicts[:2] == [(3, Verdict.LIKELY), (23, Verdict.UNLIKELY)]


@given(st.lists(st.booleans(), max_size=300))
def test_verdicts_alternate_and_no_doubt_outlives_its_limit(votes: list[bool]) -> None:
    likely_since: int | None = None
    confirmed = False
    judge = BargeInJudge(SETTINGS)
    for number, vote in enumerate(votes):
        for verdict in judge.push(voiced=vote):
            assert not confirmed, "after a confirmation nothing more is said"
            assert (likely_since is None) is (verdict is Verdict.LIKELY)
            likely_since = number if verdict is Verdict.LIKELY else None
            confirmed = verdict is Verdict.CONFIRM
        assert judge.likely is (likely_since is not None)
        assert judge.confirmed is confirmed
        assert likely_since is None or (number - likely_since) * 20 <= SETTINGS.hold_limit_ms


def test_rearm_forgets_the_evidence() -> None:
    judge = BargeInJudge(SETTINGS)
    for _ in range(6):
        judge.push(voiced=True)
    assert judge.confirmed
    judge.rearm()
    assert not judge.confirmed
    assert [verdict for _ in range(5) for verdict in judge.push(voiced=True)] == [Verdict.LIKELY]
    assert judge.push(voiced=True) == [Verdict.CONFIRM]


def test_new_settings_keep_the_doubt_and_the_evidence() -> None:
    judge = BargeInJudge(SETTINGS)
    for _ in range(4):
        judge.push(voiced=True)
    judge.configure(BargeInSettings(cut_votes=5, cut_frames=40))
    assert judge.push(voiced=True) == [Verdict.CONFIRM]


def test_on_its_guard_it_asks_for_more_and_not_for_ever() -> None:
    judge = BargeInJudge(SETTINGS)
    judge.guard(100)
    judge.guard(40)
    verdicts = [(n, v) for n in range(1, 5) for v in judge.push(voiced=True)]
    assert verdicts == [(4, Verdict.LIKELY)]
    judge.rearm()
    judge.guard(20)
    assert [v for _ in range(3) for v in judge.push(voiced=True)] == [Verdict.LIKELY]
    judge.guard(1000)
    assert [n for n in range(4, 12) for v in judge.push(voiced=True) if v is Verdict.CONFIRM] == [8]


@pytest.mark.parametrize(
    ("asked", "votes", "frames"),
    [
        (evidence(BargeIn.EAGER), 6, 12),
        (evidence(BargeIn.BALANCED), 16, 40),
        (evidence(BargeIn.CALM), 40, 100),
        (evidence(BargeIn.CALM, min_ms=500), 25, 62),
        (evidence(BargeIn.EAGER, min_ms=60), 3, 8),
        (evidence(BargeIn.BALANCED, threshold=1.0), 32, 80),
        (evidence(BargeIn.BALANCED, threshold=0.25), 8, 20),
        (evidence(BargeIn.BALANCED, threshold=0.0), 8, 20),
        (evidence(BargeIn.EAGER, min_ms=60, threshold=0.0), 3, 4),
    ],
)
def test_how_much_evidence_is_asked_for(asked: BargeInSettings, votes: int, frames: int) -> None:
    assert (asked.cut_votes, asked.cut_frames) == (votes, frames)
    assert asked.hold_limit_ms >= frames * 20


def test_the_default_is_balanced() -> None:
    assert BargeInSettings() == evidence(BargeIn.BALANCED)


@given(st.sampled_from(BargeIn), st.none() | st.integers(60, 5000), st.floats(0, 1))
def test_steady_speech_is_always_enough(preset: BargeIn, min_ms: int | None, threshold: float) -> None:
    judge = BargeInJudge(evidence(preset, min_ms=min_ms, threshold=threshold))
    verdicts = [v for _ in range(1000) for v in judge.push(voiced=True)]
    assert verdicts == [Verdict.LIKELY, Verdict.CONFIRM]
