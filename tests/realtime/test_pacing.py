"""The shell that asks a dialect what is due: real tasks, and a clock moved by hand."""

import asyncio

from duplex.conversation_settings import ConversationSettings
from duplex.messages import Request, ServerMessage
from realtime.dialects.base import Frame, Paced
from realtime.pacing import Pacemaker


class HandMoved:
    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> float:
        return self.seconds


class Answering:
    """A dialect that says nothing of its own accord."""

    def __init__(self) -> None:
        self.event_id: str | None = None
        self.acknowledged: int | None = None
        self.closing = False

    @property
    def settings(self) -> ConversationSettings:
        raise NotImplementedError

    def greet(self) -> list[Frame]:
        return []

    def decode(self, frame: Frame) -> list[Request]:
        raise NotImplementedError

    def encode(self, message: ServerMessage) -> list[Frame]:
        raise NotImplementedError

    def farewell(self, reason: str) -> list[Frame]:
        return []


class Ticking(Answering):
    """Has one frame for each time in `times`; closes with the last one."""

    def __init__(self, *times: float) -> None:
        super().__init__()
        self.times = list(times)
        self.asked = asyncio.Event()

    def due_at(self) -> float:
        return self.times[0] if self.times else float("inf")

    def take(self, now: float) -> list[Frame]:
        self.asked.set()
        if now < self.due_at():
            return []
        frame = f"at {self.times.pop(0):.0f}"
        self.closing = not self.times
        return [frame]


class Wire:
    def __init__(self) -> None:
        self.sent: list[Frame] = []

    async def send(self, frames: list[Frame]) -> None:
        self.sent += frames


async def test_what_is_due_is_sent_in_order_and_the_end_is_noticed() -> None:
    clock, wire = HandMoved(), Wire()
    clock.seconds = 10.0
    await Pacemaker(Ticking(8.0, 9.0, 10.0), wire.send, clock).run()
    assert wire.sent == ["at 8", "at 9", "at 10"]


async def test_nothing_leaves_before_its_time_and_a_nudge_makes_it_look_again() -> None:
    clock, wire, dialect = HandMoved(), Wire(), Ticking(3600.0)
    pacemaker = Pacemaker(dialect, wire.send, clock)
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        tasks.create_task(pacemaker.run())
        await dialect.asked.wait()
        assert wire.sent == []
        dialect.asked.clear()
        pacemaker.nudge()
        await dialect.asked.wait()
        assert wire.sent == []
        clock.seconds = 3600.0
        pacemaker.nudge()
    assert wire.sent == ["at 3600"]


async def test_a_time_that_comes_needs_no_nudge() -> None:
    clock, wire, dialect = HandMoved(), Wire(), Ticking(0.001)
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        tasks.create_task(Pacemaker(dialect, wire.send, clock).run())
        await dialect.asked.wait()
        clock.seconds = 1.0
    assert wire.sent == ["at 0"]


async def test_a_dialect_that_only_answers_is_left_alone() -> None:
    wire, dialect = Wire(), Answering()
    assert not isinstance(dialect, Paced)
    pacemaker = Pacemaker(dialect, wire.send, HandMoved())
    running = asyncio.ensure_future(pacemaker.run())
    pacemaker.nudge()
    await asyncio.sleep(0)
    assert not running.done()
    running.cancel()
    assert wire.sent == []
