"""What an engine gets that is slower than its user."""

from duplex.effects import Decode, EngineCommand, Interrupt, Prefill
from duplex.feed import EngineFeed

SECOND = bytes(32_000)


def second(number: int) -> Prefill:
    return Prefill(bytes([number]) + SECOND[1:])


def filled(*commands: EngineCommand, limit_s: float = 10.0) -> EngineFeed:
    feed = EngineFeed(limit_s)
    for command in commands:
        feed.put(command)
    return feed


def drain(feed: EngineFeed) -> list[EngineCommand]:
    taken = []
    while (command := feed.take()) is not None:
        taken.append(command)
    return taken


def test_in_order_while_it_keeps_up() -> None:
    commands: list[EngineCommand] = [second(1), Decode(), second(2), Decode()]
    assert drain(filled(*commands)) == commands


def test_behind_it_hears_everything_and_thinks_once() -> None:
    feed = filled(second(1), Decode(), second(2), Decode(), second(3), Decode())
    assert drain(feed) == [second(1), second(2), second(3), Decode()]


def test_a_break_overtakes_and_makes_waiting_decodes_pointless() -> None:
    feed = filled(second(1), Decode(), second(2), Interrupt(forget=False))
    assert drain(feed) == [Interrupt(forget=False), second(1), second(2)]


def test_a_break_that_forgets_drops_what_would_have_been_heard() -> None:
    feed = filled(second(1), Decode(), Interrupt(forget=True), second(2), Decode())
    assert drain(feed) == [Interrupt(forget=True), second(2), Decode()]


def test_breaks_keep_their_order() -> None:
    feed = filled(second(1), Interrupt(forget=True), second(2), Interrupt(forget=False))
    assert drain(feed) == [Interrupt(forget=True), Interrupt(forget=False), second(2)]


def test_beyond_the_bound_the_oldest_audio_is_dropped_and_counted() -> None:
    feed = filled(*(second(n) for n in range(5)), limit_s=3.0)
    assert feed.dropped_s == 2.0
    assert drain(feed) == [second(2), second(3), second(4)]
    assert len(feed) == 0
