import numpy as np
import pytest

from duplex.engine.parrot.faults import Faults
from duplex.engine.parrot.mind import Mind
from tests.duplex.engine.parrot.harness import silence, speech, then


def step(mind: Mind, *chunks: object) -> str:
    """One decode after these prefills: L listens, S says a group, E says the last one."""
    for chunk in chunks:
        mind.hear(np.asarray(chunk, dtype=np.float32))
    made = mind.duplex_step()
    if made.group is None:
        assert made.listens
        assert not made.ends_turn
        return "L"
    return "E" if made.ends_turn else "S"


def answering(*faults: str) -> Mind:
    """In a turn of 4 groups, one of them said."""
    mind = Mind(Faults.parse([*faults, "answer_s=4"]))
    assert step(mind, then(speech(0.3), silence(0.7))) == "S"
    return mind


def test_it_listens_until_the_user_has_finished() -> None:
    mind = Mind(Faults())
    steps = [step(mind, chunk) for chunk in (silence(1), speech(1), speech(1), silence(1), silence(1), silence(1))]
    assert "".join(steps) == "LLLSSE"
    assert step(mind, silence(1)) == "L"
    assert not mind.in_turn


def test_decodes_without_prefill_go_on_with_the_turn() -> None:
    mind = answering()
    assert "".join(step(mind) for _ in range(4)) == "SSEL"


def test_words_under_its_own_voice_are_not_answered() -> None:
    mind = answering()
    assert "".join(step(mind, then(speech(0.3), silence(0.7))) for _ in range(3)) == "SSE"
    assert step(mind, silence(1)) == "L"


def test_words_that_go_on_after_the_turn_are_answered_whole() -> None:
    mind = answering()
    assert "".join(step(mind, chunk) for chunk in (silence(1), silence(1), speech(1))) == "SSE"
    assert step(mind, speech(1)) == "L"
    mind.hear(np.zeros(16_000, dtype=np.float32))
    group = mind.duplex_step().group
    assert group is not None
    assert group.text == b"I heard 2.0 s of speech:"


def test_a_broken_answer_goes_on_when_decoded() -> None:
    mind = answering()
    mind.note_break()
    assert "".join(step(mind, silence(1)) for _ in range(3)) == "SSE"


def test_a_broken_answer_goes_on_while_the_user_still_speaks() -> None:
    mind = answering()
    mind.note_break()
    assert step(mind, speech(1)) == "S"


@pytest.mark.parametrize(
    "chunks",
    [
        (then(speech(0.5), silence(0.5)),),
        (speech(1), then(speech(0.6), silence(0.4))),
        (speech(1), speech(1), silence(1)),
    ],
)
def test_made_to_listen_it_answers_the_new_words(chunks: tuple[object, ...]) -> None:
    mind = answering()
    mind.note_break()
    for chunk in chunks:
        mind.hear(np.asarray(chunk, dtype=np.float32))
    group = mind.duplex_step().group
    assert group is not None
    assert group.text.startswith(b"I heard")


def test_prefills_without_decode_alone_make_it_listen() -> None:
    assert answering()._answer[0].text.startswith(b" here is part 1")
    mind = answering()
    for chunk in (speech(1), silence(1)):
        mind.hear(chunk.astype(np.float32))
    group = mind.duplex_step().group
    assert group is not None
    assert group.text.startswith(b"I heard")


def test_made_to_listen_to_silence_it_goes_on() -> None:
    mind = answering()
    mind.note_break()
    assert step(mind, silence(1), silence(1), silence(1)) == "S"


def test_forgetting_ends_the_turn() -> None:
    mind = answering()
    mind.forget()
    assert step(mind, silence(1)) == "L"


def test_a_script() -> None:
    mind = Mind(Faults.parse(["script=lSSSSSELTL"]))
    made = []
    for _ in range(10):
        found = mind.duplex_step()
        made.append((found.group is not None, found.listens, found.ends_turn))
    listen, speak, end, both = (False, True, False), (True, False, False), (True, False, True), (True, True, False)
    assert made == [listen, speak, speak, speak, speak, speak, end, listen, both, listen]
    assert step(mind, silence(1)) == "L"
    assert step(mind, then(speech(0.3), silence(0.7))) == "S"


def test_simplex_says_all_at_once() -> None:
    mind = Mind(Faults())
    mind.hear(speech(1).astype(np.float32))
    first = mind.simplex_answer()
    assert first[-1].last
    assert b"".join(group.text for group in first).startswith(b"I heard 1.0 s of speech")
    assert [group.text for group in mind.simplex_answer()] == [b"I heard nothing."]
