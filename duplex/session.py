"""The thin shell around a conversation: it performs the effects and feeds back what happened.

Four tasks beside the caller's reader, all in one group, so that nothing outlives the session:

    writer    outbox -> dialect -> socket, the gate on its last line
    driver    feed -> engine, one call at a time
    listener  engine -> conversation
    timer     conversation.deadline() -> conversation.receive_timeout()

The reader calls `receive`, which never awaits: a socket is always read, whatever the engine does.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import assert_never

from duplex.clock import Clock
from duplex.conversation import Conversation
from duplex.effects import Decode, Effect, Flush, Hold, Interrupt, Prefill, Release, Say, Speak
from duplex.engine.base import Engine
from duplex.errors import ClientError, ClientStalled
from duplex.feed import EngineFeed
from duplex.messages import (
    AcknowledgePlayback,
    Configure,
    Refused,
    Request,
    ResponseCut,
    ResponseStarted,
    ServerMessage,
    Warned,
)
from duplex.outbox import Outbox
from duplex.tasks import beside, wait_at_most

__all__ = ["DuplexSession", "SessionLimits"]

log = logging.getLogger(__name__)

Transmit = Callable[[ServerMessage], Awaitable[None]]
"""Returns when the message has left. Raises `ClientStalled` when that takes longer than `SessionLimits.send_s`."""


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """The bounds of one session's queues, in seconds."""

    lead_s: float = 0.25
    """How far reply audio may run ahead of real time."""
    audio_waiting_s: float = 60.0
    """Reply audio that may wait for its time; beyond it the engine's events are left where they are."""
    input_waiting_s: float = 30.0
    """Microphone audio that may wait for the engine; beyond it the oldest is dropped, with a warning."""
    send_s: float = 10.0
    """How long one message may take to leave before the client counts as stalled."""


@dataclass(slots=True)
class SessionNumbers:
    """What is logged when a session ends."""

    responses: int = 0
    breaks: int = 0
    input_dropped_s: float = 0.0


class DuplexSession:
    """One client, one lease, one conversation."""

    def __init__(
        self,
        engine: Engine,
        conversation: Conversation,
        transmit: Transmit,
        clock: Clock,
        limits: SessionLimits,
    ) -> None:
        self._engine = engine
        self._conversation = conversation
        self._transmit = transmit
        self._clock = clock
        self._limits = limits
        self._outbox = Outbox(conversation.admits, lead_s=limits.lead_s)
        self._outbox.set_rate(conversation.settings.output_rate_hz)
        self._feed = EngineFeed(limits.input_waiting_s)
        self._outbox_changed = asyncio.Event()
        self._outbox_drained = asyncio.Event()
        self._feed_changed = asyncio.Event()
        self._deadline_moved = asyncio.Event()
        self._somebody_is_there = asyncio.Event()
        self._somebody_is_there.set()
        self._timer_wakes_at = float("inf")
        self.numbers = SessionNumbers()

    @property
    def output_rate_hz(self) -> int:
        """Rate of the sound that leaves."""
        return self._conversation.settings.output_rate_hz

    def admits(self, generation: int) -> bool:
        """May something of this response still reach the client?"""
        return self._conversation.admits(generation)

    def pause(self) -> None:
        """Nobody is there: from now on nothing leaves, and nothing is lost."""
        self._somebody_is_there.clear()

    def go_on(self, replayed_s: float, heard: AcknowledgePlayback) -> None:
        """Somebody is there again, and has got so much sound once more: what was `heard` is the rest."""
        self._outbox.restart(self._clock.now(), replayed_s)
        self.receive(heard)
        self._somebody_is_there.set()

    def receive(self, request: Request, event_id: str | None = None) -> None:
        """Take one request of the client. One that cannot be granted is answered with `Refused`."""
        try:
            self._perform(self._conversation.receive(request, self._clock.now()))
        except ClientStalled:
            raise
        except ClientError as error:
            self.refuse(error, event_id)
        if isinstance(request, Configure):
            self._outbox.set_rate(self._conversation.settings.output_rate_hz)

    def refuse(self, error: ClientError, event_id: str | None = None) -> None:
        """Tell the client what was wrong; the session lives on."""
        self._perform([Say(Refused(error.code, str(error), error.param, event_id))])

    def warn(self, code: str, text: str) -> None:
        """Tell the client that something was lost or healed."""
        self._perform([Say(Warned(code, text))])

    async def run(self, read: Callable[[], Awaitable[None]]) -> None:
        """Converse until `read` returns. Raises the first error of any task: `EngineError`, `ClientError`, or a bug."""
        try:
            async with beside(
                writer=self._write(), driver=self._drive(), listener=self._listen(), timer=self._keep_time()
            ):
                await read()
        finally:
            self._conversation.close()
            self.numbers.input_dropped_s = self._feed.dropped_s

    # --- effects

    def _perform(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Say():
                    self._count(effect.message)
                    self._outbox.say(effect)
                case Speak():
                    self._count(effect.message)
                    self._outbox.speak(effect)
                case Hold():
                    self._outbox.hold(self._clock.now())
                case Release(client_waited):
                    self._outbox.release(self._clock.now(), client_waited=client_waited)
                case Flush():
                    self._outbox.flush()
                    self._outbox_drained.set()
                case Prefill() | Decode() | Interrupt():
                    self._queue(effect)
                case _:
                    assert_never(effect)
        if effects:
            self._outbox_changed.set()
            self._mind_deadline()

    def _mind_deadline(self) -> None:
        """What changes nothing moves no deadline nearer: a frame of audio, fifty times a second, only moves it away."""
        deadline = self._conversation.deadline()
        if deadline is not None and deadline < self._timer_wakes_at:
            self._deadline_moved.set()

    def _queue(self, command: Prefill | Decode | Interrupt) -> None:
        dropped = self._feed.dropped_s
        self._feed.put(command)
        self._feed_changed.set()
        if dropped == 0.0 and self._feed.dropped_s > 0.0:
            self.warn("input_dropped", "The engine cannot keep up: the oldest audio was dropped.")

    def _count(self, message: ServerMessage) -> None:
        if isinstance(message, ResponseStarted):
            self.numbers.responses += 1
        elif isinstance(message, ResponseCut):
            self.numbers.breaks += 1

    # --- tasks

    async def _write(self) -> None:
        while True:
            await self._somebody_is_there.wait()
            now = self._clock.now()
            effect = self._outbox.take(now)
            if effect is None:
                await _wait(self._outbox_changed, self._outbox.due_at() - now)
                continue
            await self._transmit(effect.message)
            if isinstance(effect, Speak):
                self._conversation.receive_sent(effect.generation, effect.message, self._clock.now())
                self._mind_deadline()
                if self._outbox.audio_s < self._limits.audio_waiting_s:
                    self._outbox_drained.set()

    async def _drive(self) -> None:
        while True:
            command = self._feed.take()
            match command:
                case None:
                    await _wait(self._feed_changed, float("inf"))
                case Prefill(pcm, image):
                    await self._engine.prefill(pcm, image=image)
                case Decode():
                    await self._engine.decode()
                case Interrupt(forget):
                    await self._engine.interrupt(forget=forget)

    async def _listen(self) -> None:
        async for event in self._engine.events():
            self._perform(self._conversation.receive_engine(event, self._clock.now()))
            while self._outbox.audio_s >= self._limits.audio_waiting_s:
                await _wait(self._outbox_drained, float("inf"))

    async def _keep_time(self) -> None:
        while True:
            deadline = self._conversation.deadline()
            self._timer_wakes_at = float("inf") if deadline is None else deadline
            now = self._clock.now()
            if now < self._timer_wakes_at:
                await _wait(self._deadline_moved, self._timer_wakes_at - now)
                continue
            self._perform(self._conversation.receive_timeout(now))


async def _wait(event: asyncio.Event, seconds: float) -> None:
    """Wait for `event`, at most so long, and take it back."""
    if seconds == float("inf"):
        await event.wait()
    else:
        await wait_at_most(seconds, event)
    event.clear()
