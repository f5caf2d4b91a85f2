"""Order, pacing and bounds of the way out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duplex.effects import Say, Speak
from duplex.errors import ClientStalled
from duplex.messages import Configured, ResponseAudio, ResponseEnded, ResponseStarted, ResponseText, ServerMessage
from duplex.outbox import Outbox

PIECE = ResponseAudio(bytes(4800))
"""100 ms at 24 kHz."""


def outbox() -> Outbox:
    return Outbox(lambda _: True, lead_s=0.25, control_limit=3)


def test_control_overtakes_audio() -> None:
    box = outbox()
    box.speak(Speak(1, PIECE))
    box.say(Say(Configured()))
    assert box.take(0.0) == Say(Configured())
    assert box.take(0.0) == Speak(1, PIECE)
    assert box.take(0.0) is None


def test_text_and_lifecycle_keep_their_place_among_the_sound() -> None:
    box = outbox()
    order: list[ServerMessage] = [
        ResponseStarted(1),
        ResponseText("a"),
        PIECE,
        PIECE,
        PIECE,
        ResponseText("b"),
        PIECE,
        ResponseEnded({}),
    ]
    for message in order:
        box.speak(Speak(1, message))
    left, now = [], 0.0
    while (due := box.due_at()) != float("inf"):
        now = max(now, due)
        effect = box.take(now)
        assert effect is not None
        left.append(effect.message)
    assert left == order


def test_sound_leaves_at_most_the_lead_ahead_of_real_time() -> None:
    box = outbox()
    for _ in range(50):
        box.speak(Speak(1, PIECE))
    sent_s = 0.0
    for tick in range(500):
        now = tick / 100
        while box.take(now):
            sent_s += 0.1
        assert sent_s <= now + 0.25 + 0.1
    assert sent_s == pytest.approx(5.0)


def test_a_late_engine_starts_real_time_anew() -> None:
    box = outbox()
    box.speak(Speak(1, PIECE))
    assert box.take(0.0)
    for _ in range(4):
        box.speak(Speak(1, PIECE))
    assert [box.take(9.0) is not None for _ in range(4)] == [True, True, False, False]


def test_the_rate_sets_what_a_second_is() -> None:
    box = outbox()
    box.set_rate(8000)
    box.speak(Speak(1, PIECE))
    assert box.audio_s == pytest.approx(0.3)


def test_a_client_that_reads_nothing_is_noticed_by_its_control_lane() -> None:
    box = outbox()
    for _ in range(3):
        box.say(Say(Configured()))
    with pytest.raises(ClientStalled):
        box.say(Say(Configured()))


def test_flush_keeps_what_is_still_admitted() -> None:
    box = Outbox(lambda generation: generation > 1, lead_s=0.25)
    box.speak(Speak(1, PIECE))
    box.speak(Speak(2, PIECE))
    box.flush()
    assert box.audio_s == pytest.approx(0.1)
    assert box.take(0.0) == Speak(2, PIECE)


def numbered(count: int) -> list[ResponseAudio]:
    """Pieces of 100 ms that can be told apart."""
    return [ResponseAudio(bytes([number]) * 4800) for number in range(count)]


def drain(box: Outbox, now: float) -> list[ServerMessage]:
    """All that may leave now."""
    left = []
    while (effect := box.take(now)) is not None:
        left.append(effect.message)
    return left


def test_while_held_only_control_leaves_and_then_the_very_next_piece() -> None:
    box = outbox()
    pieces = numbered(6)
    for piece in pieces:
        box.speak(Speak(1, piece))
    box.speak(Speak(1, ResponseText("a")))
    left = drain(box, 0.0)
    box.hold(0.05)
    box.say(Say(Configured()))
    assert drain(box, 9.0) == [Configured()]
    assert box.due_at() == float("inf")
    box.release(9.0, client_waited=False)
    for tick in range(100):
        left += drain(box, 9.0 + tick / 100)
    assert left == [*pieces, ResponseText("a")]


@pytest.mark.parametrize(("client_waited", "at_once"), [(True, 0), (False, 2)])
def test_a_client_that_waited_needs_no_new_lead(client_waited: bool, at_once: int) -> None:
    box = outbox()
    for piece in numbered(10):
        box.speak(Speak(1, piece))
    assert len(drain(box, 0.0)) == 2
    box.hold(0.0)
    box.hold(0.2)
    box.release(5.0, client_waited=client_waited)
    assert len(drain(box, 5.0)) == at_once
    assert len(drain(box, 5.06)) == 1


def test_a_flush_ends_the_hold() -> None:
    admitted = 1
    box = Outbox(lambda generation: generation >= admitted, lead_s=0.25)
    box.speak(Speak(1, PIECE))
    box.hold(0.0)
    admitted = 2
    box.flush()
    box.speak(Speak(2, PIECE))
    assert drain(box, 0.0) == [PIECE]


@given(st.lists(st.sampled_from(["speak", "hold", "release", "wait"]), max_size=80))
def test_whatever_is_held_and_released_arrives_once_and_in_order(steps: list[str]) -> None:
    box, now, left = outbox(), 0.0, []
    pieces = iter(numbered(100))
    said = []
    for step in steps:
        if step == "speak":
            said.append(next(pieces))
            box.speak(Speak(1, said[-1]))
        elif step == "hold":
            box.hold(now)
        elif step == "release":
            box.release(now, client_waited=True)
        now += 0.05
        left += drain(box, now)
    box.release(now, client_waited=False)
    left += [message for tick in range(1000) for message in drain(box, now + tick / 100)]
    assert left == said


def test_a_client_that_came_back_gets_a_new_lead_behind_what_it_was_sent_again() -> None:
    box = outbox()
    for _ in range(3):
        box.speak(Speak(1, PIECE))
    assert box.take(0.0) == box.take(0.0) == Speak(1, PIECE)
    box.restart(50.0, replayed_s=1.0)
    assert box.due_at() == pytest.approx(50.0 + 1.0 + 0.1 - 0.25)
    box.restart(60.0, replayed_s=0.0)
    assert box.take(60.0) == Speak(1, PIECE)


def test_a_hold_outlasts_the_clients_absence() -> None:
    box = outbox()
    box.speak(Speak(1, PIECE))
    box.hold(10.0)
    box.restart(40.0, replayed_s=0.0)
    assert box.take(40.0) is None
    box.release(41.0, client_waited=True)
    assert box.take(41.0) == Speak(1, PIECE)
