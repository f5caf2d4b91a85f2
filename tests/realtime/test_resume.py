"""The journal: what a client that comes back is sent again."""

import json
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duplex.errors import InvalidEvent, NoSession
from duplex.messages import (
    AcknowledgePlayback,
    BreakReason,
    Configured,
    ResponseAudio,
    ResponseCut,
    ResponseEnded,
    ResponseStarted,
    ResponseText,
    ServerMessage,
)
from realtime.dialects.base import Frame
from realtime.resume import Journal, parse_resume, replaced_event, resumed_event, same_token

RATE_HZ = 8000
PIECE = ResponseAudio(bytes(1600))
"""100 ms."""
CUT = ResponseCut(BreakReason.TURN_DETECTED, 0, {})


def admits_all(_: int) -> bool:
    return True


def journal(*messages: ServerMessage | None, now: float = 0.0, **bounds: int) -> Journal:
    """One frame for each message, named after its place."""
    kept = Journal(**bounds)
    for place, message in enumerate(messages, start=1):
        kept.record(message, [f"{place}"], now, RATE_HZ)
    return kept


# --- clients that count


def test_a_counting_client_gets_exactly_what_it_has_not() -> None:
    kept = journal(None, ResponseStarted(1), ResponseText("a"), PIECE, PIECE, ResponseEnded({}))
    for has in range(7):
        replay = kept.after(has, admits_all)
        assert replay.frames == [str(n) for n in range(has + 1, 7)]
    assert kept.after(3, admits_all).audio_s == pytest.approx(0.2)
    assert kept.after(4, admits_all).heard == AcknowledgePlayback(1, 100)


def test_every_frame_of_a_message_takes_a_number() -> None:
    kept = Journal()
    kept.record(ResponseStarted(1), ["created", "item", "part"], 0.0, RATE_HZ)
    kept.record(PIECE, [PIECE.pcm], 0.0, RATE_HZ)
    assert kept.last == 4
    assert kept.after(2, admits_all).frames == ["part", PIECE.pcm]


def test_sound_of_a_response_that_was_cut_is_left_out_and_its_end_is_not() -> None:
    kept = journal(ResponseStarted(1), PIECE, PIECE, CUT, ResponseStarted(2), PIECE)
    assert kept.after(1, lambda generation: generation > 1).frames == ["4", "5", "6"]


def test_a_number_of_another_session_is_refused() -> None:
    with pytest.raises(NoSession) as refused:
        journal(None).after(2, admits_all)
    assert refused.value.code == "invalid_session_resume"


@pytest.mark.parametrize("bounds", [{"max_frames": 3}, {"max_bytes": 3}])
def test_what_has_left_the_buffer_is_refused_and_what_is_kept_is_not(bounds: dict[str, int]) -> None:
    kept = journal(*[None] * 5, **bounds)
    assert kept.after(2, admits_all).frames == ["3", "4", "5"]
    with pytest.raises(NoSession) as refused:
        kept.after(1, admits_all)
    assert refused.value.code == "session_resync_required"


def test_what_was_acknowledged_is_kept_no_longer() -> None:
    kept = journal(*[None] * 5)
    kept.acknowledge(3)
    assert kept.after(3, admits_all).frames == ["4", "5"]
    kept.acknowledge(1)
    with pytest.raises(NoSession):
        kept.after(2, admits_all)
    with pytest.raises(InvalidEvent) as refused:
        kept.acknowledge(6)
    assert refused.value.param == "server_event_seq"
    assert kept.after(5, admits_all).frames == []


# --- clients that do not


def test_a_client_that_does_not_count_gets_what_it_cannot_have_played() -> None:
    kept = journal(None, ResponseStarted(1), ResponseText("a"), PIECE, ResponseText("b"), PIECE, PIECE)
    assert kept.unheard(-1.0, admits_all).frames == ["2", "3", "4", "5", "6", "7"]
    late = kept.unheard(0.15, admits_all)
    assert late.frames == ["2", "6", "7"], "opened again, then the rest"
    assert late.heard == AcknowledgePlayback(1, 100)
    assert kept.unheard(0.35, admits_all).frames == []


def test_the_end_of_a_response_comes_with_its_unheard_sound() -> None:
    kept = journal(ResponseStarted(1), PIECE, PIECE, ResponseEnded({}), Configured())
    assert kept.unheard(0.15, admits_all).frames == ["1", "3", "4"]
    assert kept.unheard(0.25, admits_all).frames == []


def test_nothing_comes_again_of_what_was_cut_while_the_client_was_there() -> None:
    kept = Journal()
    kept.record(ResponseStarted(1), ["1"], 0.0, RATE_HZ)
    for place in range(2, 12):
        kept.record(PIECE, [str(place)], 0.0, RATE_HZ)
    kept.record(CUT, ["cut"], 0.2, RATE_HZ)
    kept.record(ResponseStarted(2), ["again"], 0.3, RATE_HZ)
    kept.record(PIECE, ["sound"], 0.3, RATE_HZ)
    assert kept.unheard(0.25, lambda generation: generation > 1).frames == ["again", "sound"]


def test_a_cut_the_client_missed_closes_the_response_without_its_sound() -> None:
    kept = journal(ResponseStarted(1), PIECE, PIECE, CUT)
    assert kept.unheard(-1.0, lambda generation: generation > 1).frames == ["1", "4"]


def test_a_response_whose_beginning_is_gone_is_left_out() -> None:
    kept = journal(ResponseStarted(1), PIECE, PIECE, ResponseEnded({}), ResponseStarted(2), PIECE, max_frames=5)
    assert kept.unheard(-1.0, admits_all).frames == ["5", "6"]


# --- a whole life, with losses anywhere


@dataclass
class Line:
    """A client of a lossy network: what was recorded reaches it up to some point, then it comes back."""

    kept: Journal = field(default_factory=Journal)
    spoken: list[Frame] = field(default_factory=list)
    heard: list[Frame] = field(default_factory=list)
    connected: bool = True
    has: int = 0

    def say(self, message: ServerMessage) -> None:
        frame = f"{len(self.spoken)}"
        self.kept.record(message, [frame], 0.0, RATE_HZ)
        self.spoken.append(frame)
        if self.connected:
            self._hear([frame])

    def lose(self) -> None:
        self.connected = False

    def come_back(self, only: int) -> None:
        """The replay may be lost in its middle as well."""
        replay = list(self.kept.after(self.has, admits_all).frames)
        self._hear(replay[:only])
        self.connected = only >= len(replay)

    def _hear(self, frames: list[Frame]) -> None:
        self.heard += frames
        self.has += len(frames)


_STEP = st.one_of(st.just("say"), st.just("lose"), st.just("ack"), st.integers(0, 12))


@given(st.lists(_STEP, max_size=60))
def test_what_was_heard_across_sockets_is_what_was_said_once_and_in_order(steps: list[str | int]) -> None:
    line = Line()
    line.say(ResponseStarted(1))
    for step in steps:
        if step == "say":
            line.say(PIECE)
        elif step == "lose":
            line.lose()
        elif step == "ack":
            line.kept.acknowledge(line.has)
        elif not line.connected and isinstance(step, int):
            line.come_back(step)
        assert line.heard == line.spoken[: len(line.heard)]
    line.come_back(len(line.spoken))
    assert line.heard == line.spoken


@given(st.lists(st.booleans(), max_size=40), st.integers(0, 45))
def test_sound_that_was_played_and_sound_that_comes_again_are_the_whole(kinds: list[bool], lost_after: int) -> None:
    """For a client that does not count, whose loudspeaker the journal knows exactly."""
    kept = Journal()
    kept.record(ResponseStarted(1), ["open"], 0.0, RATE_HZ)
    names = [f"{'sound' if sound else 'text'} {place}" for place, sound in enumerate(kinds)]
    for sound, name in zip(kinds, names, strict=True):
        kept.record(PIECE if sound else ResponseText("x"), [name], 0.0, RATE_HZ)
    since = lost_after / 10 + 0.05
    sounds = [name for name in names if name.startswith("sound")]
    again = [frame for frame in kept.unheard(since, admits_all).frames if str(frame).startswith("sound")]
    assert sounds[:lost_after] + again == sounds


@given(st.integers(1, 8), st.lists(st.integers(0, 5), max_size=30))
def test_the_bounds_hold_and_the_rest_is_gapless(bound: int, sizes: list[int]) -> None:
    kept = Journal(max_frames=bound, max_bytes=12)
    frames = ["x" * size for size in sizes]
    for frame in frames:
        kept.record(None, [frame], 0.0, RATE_HZ)
    for has in range(len(frames) + 1):
        try:
            replay = kept.after(has, admits_all).frames
        except NoSession:
            assert len(frames) - has > bound or sum(map(len, frames[has:])) > 12
        else:
            assert replay == frames[has:]


# --- who may


@pytest.mark.parametrize(
    ("frame", "param"),
    [
        (b"\0\0", None),
        ("{", None),
        ("[]", None),
        ('{"type":"session.update","session":{}}', None),
        ('{"type":"session.resume","session_id":"s"}', "resume_token"),
        ('{"type":"session.resume","session_id":7,"resume_token":"t"}', "session_id"),
        (
            '{"type":"session.resume","session_id":"s","resume_token":"t","last_received_server_event_seq":-1}',
            "last_received_server_event_seq",
        ),
    ],
)
def test_a_first_event_that_is_no_resume(frame: Frame, param: str | None) -> None:
    with pytest.raises(NoSession) as refused:
        parse_resume(frame)
    assert (refused.value.code, refused.value.param) == ("invalid_session_resume", param)


def test_a_resume_event() -> None:
    event = parse_resume('{"type":"session.resume","session_id":"s","resume_token":"t","incarnation":0}')
    assert (event.session_id, event.resume_token, event.last_received_server_event_seq) == ("s", "t", 0)


@pytest.mark.parametrize(("offered", "same"), [("abc", True), ("abd", False), ("", False), ("ä\ud800", False)])
def test_tokens_are_compared_whole(offered: str, same: bool) -> None:
    assert same_token(offered, "abc") is same


def test_what_is_said_about_sockets_has_an_id_and_no_number() -> None:
    for frame in (resumed_event("s", "t", 2), replaced_event("s", 1)):
        event = json.loads(frame)
        assert event["event_id"].startswith("event_s_")
        assert "server_event_seq" not in event
