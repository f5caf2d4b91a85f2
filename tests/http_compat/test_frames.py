"""Which pictures are shown at once, which wait, and that every one that waits goes with the next sound."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duplex.errors import InvalidEvent
from http_compat.frames import MOST_KEPT_FRAMES, FrameStacks, KeptFrame, MainFrame

MAIN = MainFrame()


def kept(count: int) -> KeptFrame:
    return KeptFrame(count, is_complete=False)


COMPLETE = KeptFrame(4, is_complete=True)

Step = tuple[int, int | None, MainFrame | KeptFrame] | tuple[int, str]


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param([(7, "")], id="sound alone never waits"),
        pytest.param([(7, 0, MAIN), (7, "")], id="the main frame is not stacked again"),
        pytest.param(
            [(7, 0, MAIN), (7, 1, kept(1)), (7, 2, kept(2)), (7, 3, kept(3)), (7, 4, COMPLETE), (7, "bcde")],
            id="numbered and complete",
        ),
        pytest.param(
            [(7, None, MAIN), *((7, None, kept(n)) for n in (1, 2, 3)), (7, None, COMPLETE), (7, "bcde")],
            id="not numbered: the order of arrival",
        ),
        pytest.param([(7, 3, kept(1)), (7, 1, kept(2)), (7, "ba"), (7, "")], id="sorted, and shown once"),
        pytest.param([(7, 2, kept(1)), (7, 2, kept(1)), (7, "b")], id="sent again: the second counts"),
        pytest.param(
            [*((7, n, kept(n)) for n in (1, 2, 3)), (7, 4, COMPLETE), (7, 1, COMPLETE), (7, "ebcd")],
            id="sent again when all places are taken",
        ),
        pytest.param(
            [(7, None, MAIN), *((7, None, kept(n)) for n in (1, 2, 3)), *[(7, None, COMPLETE)] * 2, (7, "bcde")],
            id="the sixth picture of a chunk finds no room",
        ),
        pytest.param(
            [(7, 0, MAIN), (7, 1, kept(1)), (7, "b"), (7, 2, kept(1)), (8, 0, MAIN), (8, 1, kept(1)), (8, "df")],
            id="a late frame goes with the next sound, oldest first",
        ),
        pytest.param(
            [(7, None, MAIN), (7, ""), (7, None, kept(1)), (8, None, MAIN), (7, None, kept(2)), (8, "ce")],
            id="late and not numbered: a new chunk has begun, the old one gets no second main frame",
        ),
        pytest.param(
            [(7, ""), (7, None, MAIN), (8, ""), (8, None, MAIN)],
            id="one picture after each sound is a main frame",
        ),
        pytest.param([(7, None, MAIN), (6, 0, MAIN), (6, "")], id="numbered 0 is a main frame, however late"),
        pytest.param(
            [(7, None, MAIN), (8, None, MAIN), (8, None, kept(1)), (7, "c"), (8, None, kept(1)), (8, "e")],
            id="frames ahead of their sound go with the sound that comes",
        ),
        pytest.param(
            [(37, None, MAIN), (37, ""), (0, None, kept(1)), (0, "c"), (0, None, kept(1)), (1, None, MAIN), (1, "e")],
            id="the caller numbers its chunks afresh",
        ),
    ],
)
def test_what_becomes_of_each_picture(steps: list[Step]) -> None:
    """A step is (chunk, frame_index, what becomes of it) or (chunk of sound, frames shown with it). A picture is named
    by its place among the steps."""
    stacks = FrameStacks()
    for name, step in zip("abcdefghij", steps, strict=False):
        if len(step) == 2:
            audio_id, shown = step
            assert b"".join(stacks.take_audio(audio_id)).decode() == shown
        else:
            audio_id, frame_index, expected = step
            assert stacks.take_image(audio_id, frame_index, name.encode()) == expected


@pytest.mark.parametrize("frame_index", [-1, 5, 1000])
def test_other_indices_are_refused_and_change_nothing(frame_index: int) -> None:
    stacks = FrameStacks()
    with pytest.raises(InvalidEvent, match=str(frame_index)) as refused:
        stacks.take_image(1, frame_index, b"x")
    assert refused.value.param == "frame_index"
    assert stacks.take_image(1, None, b"x") == MAIN
    assert stacks.take_audio(1) == []


def test_frames_without_room_are_counted() -> None:
    stacks = FrameStacks()
    for index in (1, 2, 3, 4):
        stacks.take_image(1, index, b"x")
    assert stacks.take_image(2, 1, b"y") == KeptFrame(0, is_complete=False)
    assert stacks.take_image(2, 0, b"main frames need no room") == MAIN
    assert stacks.dropped == 1
    assert stacks.take_audio(1) == [b"x"] * 4


IDS = st.integers(-1, 6)


@given(st.lists(st.tuples(IDS, st.none() | st.integers(0, 4) | st.just("sound")), max_size=60))
def test_every_picture_is_shown_once_replaced_or_counted_whatever_the_order(
    arrivals: list[tuple[int, int | str | None]],
) -> None:
    stacks = FrameStacks()
    waiting: list[tuple[bytes, int, int | None]] = []
    for number, (audio_id, what) in enumerate([*arrivals, (0, "sound")]):
        name = str(number).encode()
        if isinstance(what, str):
            shown = stacks.take_audio(audio_id)
            assert len(shown) == len(set(shown)) <= MOST_KEPT_FRAMES
            assert set(shown) <= {name for name, _, _ in waiting}
            for place, (name, chunk, _) in enumerate(waiting):
                is_replaced = any(later[1] == chunk and later[2] is not None for later in waiting[place + 1 :])
                assert name in shown or is_replaced
            assert stacks.take_audio(audio_id) == []
            waiting.clear()
            continue
        dropped = stacks.dropped
        taken = stacks.take_image(audio_id, what, name)
        if isinstance(taken, MainFrame):
            assert not what
            continue
        assert what != 0
        assert taken.count <= MOST_KEPT_FRAMES
        if stacks.dropped == dropped:
            waiting.append((name, audio_id, what))
        else:
            assert len(waiting) >= MOST_KEPT_FRAMES
