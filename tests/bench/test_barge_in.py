"""Did the parrot answer the words that interrupted it?"""

import json
from dataclasses import replace

import numpy as np
import pytest
import soxr

from bench.barge_in import BargeIns, Cut, has_words, rows
from bench.errors import BenchError
from bench.microphone import Said
from bench.speech import RATE_HZ, Samples, Utterance, synthetic_speech
from duplex.engine.base import Mode
from duplex.engine.parrot.voice import compose
from web.talk_log import Reply

WORDS = Utterance("words", synthetic_speech(1.5, pitch_hz=120.0, seed=1))
OTHERS = Utterance("others", synthetic_speech(1.5, pitch_hz=180.0, seed=2))


def answer(words: Samples, heard_s: float, claimed_s: float = 1.5) -> Reply:
    """The first `heard_s` seconds of what the parrot says to `words`, which it takes to be `claimed_s` long."""
    margin = np.zeros(RATE_HZ // 10)
    sound = compose(np.concatenate([margin, words, margin]).astype(np.float32))
    pcm = (np.concatenate([np.zeros(2880), sound]) * 32767).astype("<i2").tobytes()
    return Reply(
        "resp_1", 0.0, bytearray(pcm[: round(heard_s * 48_000)]), transcript=f"I heard {claimed_s} s of speech:"
    )


def test_an_answer_with_the_words_has_them() -> None:
    assert has_words(answer(WORDS.samples, 3.0), WORDS)


def test_an_answer_cut_off_within_the_words_still_has_their_beginning() -> None:
    assert has_words(answer(WORDS.samples, 1.2), WORDS)


@pytest.mark.parametrize("heard_s", [1.2, 3.0])
def test_an_answer_to_other_words_has_them_not(heard_s: float) -> None:
    assert not has_words(answer(OTHERS.samples, heard_s), WORDS)


def test_an_answer_that_begins_with_a_stale_piece_is_still_searched() -> None:
    late = np.concatenate([OTHERS.samples[:2400], WORDS.samples])
    assert has_words(answer(late, 3.0), WORDS)


@pytest.mark.parametrize("claimed_s", [0.9, 2.1])
def test_an_answer_to_words_of_another_length_is_not_believed(claimed_s: float) -> None:
    assert not has_words(answer(WORDS.samples, 3.0, claimed_s), WORDS)


@pytest.mark.parametrize("transcript", ["", "I heard nothing.", "I heard", "1.5 s of speech"])
def test_an_answer_to_nothing_has_no_words(transcript: str) -> None:
    assert not has_words(replace(answer(WORDS.samples, 3.0), transcript=transcript), WORDS)


def test_of_an_answer_too_short_to_compare_only_the_claim_counts() -> None:
    assert has_words(answer(WORDS.samples, 0.5), WORDS)
    assert not has_words(answer(WORDS.samples, 0.5, claimed_s=0.2), WORDS)


def cut(latency_ms: float, *, mode: Mode = Mode.DUPLEX, stale_bytes: int = 0, following: Reply | None = None) -> Cut:
    reply = Reply("resp_0", 0.0, stale_bytes=stale_bytes, cleared_s=10.0 + latency_ms / 1000)
    said = Said(WORDS, 0)
    return Cut(mode, "clean", "words", "early", reply, said, 10.0, 9.99, following or answer(WORDS.samples, 3.0))


def call(*cuts: Cut, missed: int = 0, not_done_once: int = 0) -> BargeIns:
    return BargeIns(list(cuts), missed, len(cuts) + 1, not_done_once, [0.001])


def verdicts(result: BargeIns) -> dict[str, bool]:
    return {row.what: row.is_met for row in rows([result]) if row.goals}


def test_a_faultless_call_meets_every_goal() -> None:
    found = verdicts(call(cut(120.0), cut(140.0)))
    assert len(found) == 5
    assert all(found.values())


@pytest.mark.parametrize(
    ("broken", "what"),
    [
        (call(cut(161.0)), "barge-in: speech onset → cleared"),
        (call(cut(100.0), cut(100.0), cut(251.0)), "barge-in: speech onset → cleared"),
        (call(cut(120.0, stale_bytes=2)), "stale audio after cleared"),
        (call(cut(120.0), not_done_once=1), "responses without exactly one response.done"),
        (call(cut(120.0), missed=1), "answers not cut, or cut before the onset"),
        (call(cut(-5.0)), "answers not cut, or cut before the onset"),
        (call(cut(120.0, following=answer(OTHERS.samples, 3.0))), "next answers without the words"),
    ],
)
def test_each_fault_misses_its_own_goal(broken: BargeIns, what: str) -> None:
    missed = [name for name, met in verdicts(broken).items() if not met]
    assert missed == [what]


def test_what_came_after_the_deciding_frame_is_told_apart() -> None:
    found = next(row for row in rows([call(cut(113.0))]) if "deciding" in row.what)
    assert found.values == pytest.approx([3.0])


def test_conversations_are_shown_apart_and_every_cut_is_kept() -> None:
    found = list(rows([call(cut(120.0)), call(cut(130.0, mode=Mode.SIMPLEX))]))
    assert [row.what.strip() for row in found[1:3]] == ["duplex, clean", "simplex, clean"]
    cuts = json.loads(json.dumps(found[0].as_json()))["cuts"]
    assert [one["latency_ms"] for one in cuts] == [120.0, 130.0]


def test_a_call_without_a_single_cut_is_no_result() -> None:
    with pytest.raises(BenchError, match="Not one"):
        list(rows([call(missed=3)]))


def test_the_comparison_survives_the_way_through_24_khz() -> None:
    up = np.asarray(soxr.resample(WORDS.samples, RATE_HZ, 24_000))
    assert len(up) == 36_000
    assert has_words(answer(np.asarray(soxr.resample(up, 24_000, RATE_HZ)), 3.0), WORDS)
