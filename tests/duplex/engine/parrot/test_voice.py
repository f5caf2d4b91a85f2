import itertools

import numpy as np
import pytest

from duplex.engine.parrot.hearing import silence
from duplex.engine.parrot.voice import TOKEN_SAMPLES, compose, groups
from tests.duplex.engine.parrot.harness import speech

WORDS = speech(1.0).astype(np.float32)


def test_an_earcon_then_the_words() -> None:
    pcm = compose(WORDS)
    assert len(pcm) == round((0.26 + 0.12 + 1.0 + 0.24) * 24_000)
    assert 0.1 < np.max(np.abs(pcm[:6240])) < 0.2
    start = round(0.38 * 24_000)
    inner = slice(600, -600)
    expected = speech(1.0, rate_hz=24_000)
    assert np.max(np.abs(pcm[start : start + 24_000][inner] - expected[inner])) < 0.01
    assert not pcm[-round(0.16 * 24_000) :].any()


def test_long_words_are_said_twice() -> None:
    assert len(compose(speech(4.0).astype(np.float32))) == round((0.26 + 2 * 4.12 + 0.24) * 24_000)


@pytest.mark.parametrize("answer_s", [0.1, 0.5, 3.0, 20.0])
@pytest.mark.parametrize("words", [WORDS, silence(0)], ids=["words", "nothing"])
def test_a_scripted_length(words: np.ndarray[tuple[int], np.dtype[np.float32]], answer_s: float) -> None:
    pcm = compose(words, answer_s=answer_s)
    assert len(pcm) == round(answer_s * 24_000)
    assert pcm.any()


def test_nothing_heard() -> None:
    pcm = compose(silence(0))
    assert len(pcm) == round((0.26 + 0.24) * 24_000)
    assert [group.text for group in groups(pcm, 0.0, tokens_per_group=50)] == [b"I heard nothing."]


def test_groups_hold_every_token_once() -> None:
    pcm = compose(WORDS, answer_s=3.5)
    made = groups(pcm, 1.0, tokens_per_group=26)
    assert [len(group.tokens) for group in made] == [26, 26, 26, 10]
    assert [group.last for group in made] == [False, False, False, True]
    assert all(0 < group.words <= 10 for group in made)
    said = np.concatenate([token.pcm for group in made for token in group.tokens])
    assert np.array_equal(said[: len(pcm)], pcm)
    assert len(said) % TOKEN_SAMPLES == 0
    assert b"".join(group.text for group in made).startswith(b"I heard 1.0 s of speech: here is part 1 of 3,")
    assert all(0 <= token.ident < 6561 for group in made for token in group.tokens)


def test_a_character_cut_at_every_border() -> None:
    made = groups(compose(WORDS, answer_s=2.5), 1.0, tokens_per_group=26, split_character=True)
    assert len(made) == 3
    for before, after in itertools.pairwise(made):
        assert before.text.endswith(b"\xe5")
        assert after.text.startswith(b"\xa5\xbd")
    assert b"".join(group.text for group in made).decode().count("好") == 2
