"""What waits for the engine: bounded, in order, and not always all of it."""

from collections import deque
from dataclasses import replace

from duplex.effects import Decode, EngineCommand, Interrupt, Prefill
from duplex.engine.base import ENGINE_INPUT_RATE_HZ

__all__ = ["EngineFeed"]

_KEPT_PICTURES = 2
"""Of what was taken: a picture may have megabytes."""


class EngineFeed:
    """The queue between a conversation, which never waits, and an engine, which takes one call at a time.

    Its policy, oldest first: a break overtakes everything; a decode that was waiting is then pointless and dropped,
    and with `forget` so is what the model would have heard. An engine that falls behind hears everything and thinks
    once, for the newest. Beyond `limit_s` of waiting audio the oldest is dropped and counted.

    What was taken and not answered yet is kept within the same limit, so that another engine can be given it.
    """

    def __init__(self, limit_s: float, decodes_waiting: int = 2) -> None:
        self._limit_bytes = int(limit_s * ENGINE_INPUT_RATE_HZ) * 2
        self._decodes_waiting = decodes_waiting
        self._queue: deque[EngineCommand] = deque()
        self._unanswered: deque[Prefill | Decode] = deque()
        self.dropped_s = 0.0
        """Seconds of audio dropped so far."""

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def audio_s(self) -> float:
        """Seconds of audio that wait."""
        return self._waiting_bytes() / 2 / ENGINE_INPUT_RATE_HZ

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
        if not self._queue:
            return None
        command = self._queue.popleft()
        if isinstance(command, Interrupt):
            self._unanswered.clear()
        else:
            self._keep(command)
        return command

    def answered(self) -> None:
        """The engine has begun to answer the newest decode that was taken, or has finished without a word."""
        while any(isinstance(command, Decode) for command in self._unanswered):
            self._unanswered.popleft()

    def begin_again(self) -> None:
        """Another engine takes over, which has heard nothing: what was not answered comes first, then what waits. It
        has nothing to break."""
        waiting = (command for command in self._queue if not isinstance(command, Interrupt))
        self._queue = deque([*self._thinking_once(self._unanswered), *waiting])
        self._unanswered.clear()
        self._catch_up()
        self._bound()

    def _keep(self, command: Prefill | Decode) -> None:
        kept = self._unanswered
        kept.append(command)
        pictures = [at for at, old in enumerate(kept) if isinstance(old, Prefill) and old.image is not None]
        if len(pictures) > _KEPT_PICTURES:
            old = kept[pictures[0]]
            assert isinstance(old, Prefill)
            kept[pictures[0]] = replace(old, image=None)
        while sum(len(old.pcm) for old in kept if isinstance(old, Prefill)) > self._limit_bytes:
            kept.popleft()

    @staticmethod
    def _thinking_once(commands: deque[Prefill | Decode]) -> list[Prefill | Decode]:
        decodes = [at for at, command in enumerate(commands) if isinstance(command, Decode)]
        return [
            command
            for at, command in enumerate(commands)
            if (at == decodes[-1] if isinstance(command, Decode) else command.pcm or command.image)
        ]

    @staticmethod
    def _pointless(waiting: EngineCommand, interrupt: Interrupt) -> bool:
        return isinstance(waiting, Decode) or interrupt.forget

    def _catch_up(self) -> None:
        decodes = [at for at, command in enumerate(self._queue) if isinstance(command, Decode)]
        if len(decodes) > self._decodes_waiting:
            for at in reversed(decodes[:-1]):
                del self._queue[at]

    def _bound(self) -> None:
        waiting = self._waiting_bytes()
        while waiting > self._limit_bytes:
            at, oldest = next((i, c) for i, c in enumerate(self._queue) if isinstance(c, Prefill))
            del self._queue[at]
            waiting -= len(oldest.pcm)
            self.dropped_s += len(oldest.pcm) / 2 / ENGINE_INPUT_RATE_HZ

    def _waiting_bytes(self) -> int:
        return sum(len(command.pcm) for command in self._queue if isinstance(command, Prefill))
