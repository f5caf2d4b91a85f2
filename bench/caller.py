"""One caller: speaks 20 ms frames in real time, hears everything, and knows when each thing happened.

Times are seconds of CLOCK_MONOTONIC, the same clock in every process of the machine. A frame leaves when its last
sample has been heard, as from a real microphone; deadlines are counted from the start, so a late frame delays no other.
"""

import asyncio
import contextlib
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from bench.errors import BenchError
from bench.microphone import Microphone
from bench.speech import RATE_HZ
from web.talk_log import TalkLog

__all__ = ["Caller", "calling"]

_START_LIMIT_S = 30.0


class Caller:
    """A connection and what came over it."""

    def __init__(self, socket: ClientConnection, microphone: Microphone) -> None:
        self.log = TalkLog()
        self.done: Counter[str] = Counter()
        """`response.done` events by response."""
        self.lateness_s: list[float] = []
        """How long after its time each frame was handed to the socket."""
        self.microphone = microphone
        self.on_message: Callable[[dict[str, object] | bytes, float], None] | None = None
        """Told of each message and its time."""
        self._socket = socket
        self._changed = asyncio.Event()
        self._sent = asyncio.Event()
        self._began_s = 0.0

    def heard_at_s(self, sample: int) -> float:
        """When the microphone heard this sample of its stream."""
        return self._began_s + sample / RATE_HZ

    def sample_at(self, at_s: float) -> int:
        """Which sample of its stream the microphone hears then."""
        return round((at_s - self._began_s) * RATE_HZ)

    async def send(self, message: dict[str, object] | bytes) -> None:
        """An event, or audio outside the microphone's stream."""
        await self._socket.send(message if isinstance(message, bytes) else json.dumps(message))

    async def until(self, happened: Callable[[], bool], what: str, limit_s: float) -> None:
        """Wait for something in the log. Raises `BenchError` naming `what` when it does not come in time."""
        try:
            async with asyncio.timeout(limit_s):
                while not happened():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise BenchError(f"No {what} within {limit_s:.0f} s.") from None

    async def until_heard(self, sample: int) -> None:
        """Wait until the microphone has heard this sample and it was sent."""
        while self.microphone.position < sample:
            self._sent.clear()
            await self._sent.wait()

    async def hear(self) -> None:
        """Take every message with the time of its arrival, until the connection ends."""
        async for message in self._socket:
            now_s = time.monotonic()
            if isinstance(message, bytes):
                self.log.receive_audio(message, now_s)
                self._tell(message, now_s)
            else:
                event = json.loads(message)
                self.log.receive_text(message, now_s)
                self._count(event)
                self._tell(event, now_s)
            self._changed.set()
        raise BenchError(f"The server ended the call: {self._socket.close_code} {self._socket.close_reason}")

    async def speak(self) -> None:
        """Send the microphone's frames in real time, for ever."""
        self._began_s = time.monotonic()
        while True:
            frame = self.microphone.next_frame()
            due_s = self.heard_at_s(self.microphone.position)
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            self.lateness_s.append(time.monotonic() - due_s)
            await self._socket.send(frame)
            self._sent.set()

    def _tell(self, message: dict[str, object] | bytes, now_s: float) -> None:
        if self.on_message is not None:
            self.on_message(message, now_s)

    def _count(self, event: dict[str, object]) -> None:
        if event["type"] == "error":
            raise BenchError(f"The server refused something: {event['error']}")
        response = event.get("response")
        if event["type"] == "response.done" and isinstance(response, dict):
            self.done[str(response["id"])] += 1


@contextlib.asynccontextmanager
async def calling(url: str, microphone: Microphone | None) -> AsyncIterator[Caller]:
    """A call that has begun. Without a microphone nothing is sent but what the body sends.

    Raises `BenchError` when the server does not take the call or ends it.
    """
    try:
        async with connect(url, compression=None, proxy=None, max_size=None) as socket, asyncio.TaskGroup() as group:
            caller = Caller(socket, microphone or Microphone())
            tasks = [group.create_task(caller.hear(), name="hear")]
            await caller.until(lambda: caller.log.started, "session.created", _START_LIMIT_S)
            if microphone is not None:
                tasks.append(group.create_task(caller.speak(), name="speak"))
            yield caller
            for task in tasks:
                task.cancel()
    except* BenchError as group_error:
        raise group_error.exceptions[0] from None
    except* (OSError, ConnectionClosed) as group_error:
        raise BenchError(f"The connection to {url} broke: {group_error.exceptions[0]}") from None
