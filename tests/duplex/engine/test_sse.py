from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duplex.engine.sse import SseDecoder
from duplex.errors import EngineRefused

STREAM = 'data: {"content":"今天天气"}\n\ndata: [DONE]\n\n'.encode()
EVENTS = ['{"content":"今天天气"}', "[DONE]"]


@given(st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_any_cut_gives_the_same_events(cuts: list[int]) -> None:
    decoder = SseDecoder()
    edges = [0, *sorted(cuts), len(STREAM)]
    events = [event for start, end in pairwise(edges) for event in decoder.feed(STREAM[start:end])]
    decoder.close()
    assert events == EVENTS


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"", []),
        (b"\n\n\n", []),
        (b"data: a\r\n\r\ndata:b\r\n\r\n", ["a", "b"]),
        (b"data:  two spaces\n\n", [" two spaces"]),
        (b": comment\nid: 7\nevent: x\nretry: 1\ndata: a\n\n", ["a"]),
        (b"data: first\ndata: second\n\n", ["first\nsecond"]),
        (b"data\n\n", [""]),
        (b"database: no\n\n", []),
    ],
)
def test_format(stream: bytes, events: list[str]) -> None:
    assert SseDecoder().feed(stream) == events


@pytest.mark.parametrize("rest", [b"data: [DO", b"data: [DONE]\n"])
def test_an_end_inside_an_event_is_refused(rest: bytes) -> None:
    decoder = SseDecoder()
    assert decoder.feed(rest) == []
    with pytest.raises(EngineRefused):
        decoder.close()


def test_bytes_that_are_not_utf8_are_refused() -> None:
    with pytest.raises(EngineRefused):
        SseDecoder().feed(b"data: \xff\n\n")


@pytest.mark.parametrize("piece", [b"data: 0123456789", b"data: 01234\n"])
def test_an_event_without_end_is_refused(piece: bytes) -> None:
    decoder = SseDecoder(max_pending_bytes=20)
    decoder.feed(piece)
    with pytest.raises(EngineRefused):
        decoder.feed(piece)
