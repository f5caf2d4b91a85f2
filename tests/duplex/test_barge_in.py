"""The judge on scripted evidence."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duplex.barge_in import BargeIn, BargeInJudge, BargeInSettings, Verdict, evidence_for
from duplex.evidence import NO_VOICE, Evidence

MARKS = {
    "#": Evidence(20.0, pitched=True),
    "h": Evidence(20.0, pitched=False),
    "f": Evidence(4.0, pitched=True),
    "S": Evidence(44.0, pitched=False),
    "r": Evidence(15.0, pitched=True),
    ".": NO_VOICE,
}
"""A vowel, a hiss or a cough, a vowel hardly louder than the room, a slam, what rings on after it, nothing."""

SETTINGS = BargeInSettings(
    hold_votes=3,
    hold_frames=4,
    cut_votes=6,
    cut_frames=10,
    bridged_frames=0,
    pitched_votes=0,
    spread_votes=6,
    spread_frames=10,
    release_ms=80,
    hold_limit_ms=400,
)


def run(script: str, settings: BargeInSettings = SETTINGS) -> list[tuple[int, Verdict]]:
    """Returns (frame number, verdict)."""
    judge = BargeInJudge(settings)
    return [(number, verdict) for number, mark in enumerate(script, 1) for verdict in judge.push(MARKS[mark])]


def say(judge: BargeInJudge, script: str) -> list[Verdict]:
    return [verdict for mark in script for verdict in judge.push(MARKS[mark])]


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
        # Faint frames begin nothing, and are evidence once something has begun.
        ("ffffffffff", []),
        ("###fff", [(3, Verdict.LIKELY), (6, Verdict.CONFIRM)]),
    ],
)
def test_verdicts_and_when_they_come(script: str, expected: list[tuple[int, Verdict]]) -> None:
    assert run(script) == expected


@pytest.mark.parametrize(
    ("script", "confirmed_at"),
    [
        ("#" * 40, 18),
        # The closures of consonants count like the word around them, pauses between words do not.
        ("######....######....######", 21),
        ("######.....######.....######", 23),
        # A word of agreement of 350 ms, and a second one at once.
        ("#" * 17 + "." * 40, None),
        ("#" * 9 + "." * 12 + "#" * 9, 24),
        # Coughs have hardly a pitch; a voice in the middle of hissing does.
        ("h" * 60, None),
        ("hhhhhhhhhh.....hhhhhhh######", None),
        ("hhhhh" + "#" * 20, 18),
        # A slam rings on like a voice, but fainter and fainter; a voice over it is louder than that.
        ("SSSS" + "r" * 30, None),
        ("SSSS" + "r" * 4 + "#" * 20, 18),
        ("#" * 4 + "r" * 20, 18),
        # Whispered words at first, and then a voice.
        ("h" * 30 + "#######", 37),
    ],
)
def test_what_cuts_in_balanced(script: str, confirmed_at: int | None) -> None:
    confirmed = [number for number, verdict in run(script, BargeInSettings()) if verdict is Verdict.CONFIRM]
    assert confirmed == ([] if confirmed_at is None else [confirmed_at])


def test_eager_cuts_for_a_cough_too() -> None:
    confirmed = [n for n, verdict in run("h" * 20, evidence_for(BargeIn.EAGER)) if verdict is Verdict.CONFIRM]
    assert confirmed == [6]


def test_a_doubt_does_not_last_for_ever() -> None:
    verdicts = run("###" + "..#" * 10)
    assert verdicts[:2] == [(3, Verdict.LIKELY), (23, Verdict.UNLIKELY)]


@given(st.text("#hf.", max_size=300), st.booleans())
def test_verdicts_alternate_and_no_doubt_outlives_its_limit(script: str, balanced: bool) -> None:
    settings = BargeInSettings() if balanced else SETTINGS
    likely_since: int | None = None
    confirmed = False
    judge = BargeInJudge(settings)
    for number, mark in enumerate(script):
        for verdict in judge.push(MARKS[mark]):
            assert not confirmed, "after a confirmation nothing more is said"
            assert (likely_since is None) is (verdict is Verdict.LIKELY)
            likely_since = number if verdict is Verdict.LIKELY else None
            confirmed = verdict is Verdict.CONFIRM
        assert judge.likely is (likely_since is not None)
        assert judge.confirmed is confirmed
        assert likely_since is None or (number - likely_since) * 20 <= settings.hold_limit_ms


@given(st.text("hf.", max_size=300))
def test_without_a_pitch_nothing_cuts_but_for_eager(script: str) -> None:
    script = script.replace("f", "h")
    for preset in (BargeIn.BALANCED, BargeIn.CALM):
        assert Verdict.CONFIRM not in {verdict for _, verdict in run(script, evidence_for(preset))}


def test_rearm_forgets_the_evidence() -> None:
    judge = BargeInJudge(SETTINGS)
    say(judge, "######")
    assert judge.confirmed
    judge.rearm()
    assert not judge.confirmed
    assert say(judge, "#####") == [Verdict.LIKELY]
    assert say(judge, "#") == [Verdict.CONFIRM]


def test_new_settings_keep_the_doubt_and_the_evidence() -> None:
    judge = BargeInJudge(SETTINGS)
    say(judge, "####")
    judge.configure(BargeInSettings(cut_votes=5, pitched_votes=5))
    assert say(judge, "#") == [Verdict.CONFIRM]


def test_on_its_guard_it_asks_for_more_and_not_for_ever() -> None:
    judge = BargeInJudge(SETTINGS)
    judge.guard(100, holds=True)
    judge.guard(40, holds=True)
    assert [(n, v) for n in range(1, 5) for v in say(judge, "#")] == [(4, Verdict.LIKELY)]
    judge.rearm()
    judge.guard(20, holds=True)
    assert say(judge, "###") == [Verdict.LIKELY]
    judge.guard(1000, holds=True)
    assert [n for n in range(4, 12) for v in say(judge, "#") if v is Verdict.CONFIRM] == [8]


def test_a_guard_of_cuts_lets_an_answer_be_held_as_ever() -> None:
    judge = BargeInJudge(SETTINGS)
    judge.guard(1000, holds=False)
    assert [(n, v) for n in range(1, 10) for v in say(judge, "#")] == [(3, Verdict.LIKELY), (8, Verdict.CONFIRM)]


@pytest.mark.parametrize(
    ("asked", "votes", "frames", "pitched"),
    [
        (evidence_for(BargeIn.EAGER), 6, 12, 0),
        (evidence_for(BargeIn.BALANCED), 18, 40, 7),
        (evidence_for(BargeIn.CALM), 36, 100, 14),
        (evidence_for(BargeIn.CALM, min_ms=500), 25, 62, 10),
        (evidence_for(BargeIn.EAGER, min_ms=500), 25, 62, 0),
        (evidence_for(BargeIn.EAGER, min_ms=60), 3, 8, 0),
        (evidence_for(BargeIn.BALANCED, min_ms=60), 3, 8, 1),
        (evidence_for(BargeIn.BALANCED, threshold=1.0), 36, 80, 14),
        (evidence_for(BargeIn.BALANCED, threshold=0.25), 9, 20, 4),
        (evidence_for(BargeIn.BALANCED, threshold=0.0), 9, 20, 4),
        (evidence_for(BargeIn.EAGER, min_ms=60, threshold=0.0), 2, 4, 0),
    ],
)
def test_how_much_evidence_is_asked_for(asked: BargeInSettings, votes: int, frames: int, pitched: int) -> None:
    assert (asked.cut_votes, asked.cut_frames, asked.pitched_votes) == (votes, frames, pitched)
    assert asked.hold_limit_ms >= frames * 20


def test_so_much_voice_as_a_session_asks_for_is_heard_before_a_cut() -> None:
    settings = evidence_for(BargeIn.BALANCED, min_ms=700)
    script = "#########" + "." * 6 + "#" * 60
    assert [n for n, verdict in run(script, settings) if verdict is Verdict.CONFIRM] == [41]


def test_the_default_is_balanced() -> None:
    assert BargeInSettings() == evidence_for(BargeIn.BALANCED)


@given(st.sampled_from(BargeIn), st.none() | st.integers(60, 5000), st.floats(0, 1))
def test_steady_speech_is_always_enough(preset: BargeIn, min_ms: int | None, threshold: float) -> None:
    judge = BargeInJudge(evidence_for(preset, min_ms=min_ms, threshold=threshold))
    assert say(judge, "#" * 1000) == [Verdict.LIKELY, Verdict.CONFIRM]
