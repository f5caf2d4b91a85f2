"""What waits for the engine: bounded, in order, and not always all of it."""

from collections import deque

from duplex.effects import Decode, EngineCommand, Interrupt, Prefill
from duplex.engine.base import ENGINE_INPUT_RATE_HZ

__all__ = ["EngineFeed"]


class EngineFeed:
    """The queue between a conversation, which never waits, and an engine, which takes one call at a time.

    Its policy, oldest first: a break overtakes everything; a decode that was waiting is then pointless and dropped,
    and with `forget` so is what the model would have heard. An engine that falls behind hears everything and thinks
    once, for the newest. Beyond `limit_s` of waiting audio the oldest is dropped and counted.
    """

    def __init__(self, limit_s: float, decodes_waiting: int = 2) -> None:
        self._limit_bytes = int(limit_s * ENGINE_INPUT_RATE_HZ) * 2
        self._decodes_waiting = decodes_waiting
        self._queue: deque[EngineCommand] = deque()
        self.dropped_s = 0.0
        """Seconds of audio dropped so far."""

    def __len__(self) -> int:
        return len(self._queue)

    def put(self, command: EngineCommand) -> None:
        """Queue a command by the policy above."""
        if isinstance(command, Interrupt):
            self._queue = deque(c for c in self._queue if isinstance(c, Interrupt) or not self._pointless(c, command))
            interrupts = sum(isinstance(c, Interrupt) for c in self._queue)
            self._queue.insert(interrupts, command)
            return
        self._queue.append(command)
        self._catch_up()
        self._bound()

    def take(self) -> EngineCommand | None:
        """The next command, or None."""
        return self._queue.popleft() if self._queue else None

    @staticmethod
    def _pointless(waiting: EngineCommand, interrupt: Interrupt) -> bool:
        return isinstance(waiting, Decode) or interrupt.forget

    def _catch_up(self) -> None:
        decodes = [at for at, command in enumerate(self._queue) if isinstance(command, Decode)]
        if len(decodes) > self._decodes_waiting:
            for at in reversed(decodes[:-1]):
                del self._queue[at]

    def _bound(self) -> None:
        waiting = sum(len(command.pcm) for command in self._queue if isinstance(command, Prefill))
        while waiting > self._limit_bytes:
            at, oldest = next((i, c) for i, c in enumerate(self._queue) if isinstance(c, Prefill))
            del self._queue[at]
            waiting -= len(oldest.pcm)
            self.dropped_s += len(oldest.pcm) / 2 / ENGINE_INPUT_RATE_HZ
