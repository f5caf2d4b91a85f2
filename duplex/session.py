"""The thin shell around a conversation: it performs the effects and feeds back what happened.

Tasks beside the caller's reader, all in one group, so that nothing outlives the session:

    writer    outbox -> dialect -> socket, the gate on its last line
    engine    driver    feed -> engine, one call at a time
              listener  engine -> conversation
    timer     conversation.deadline() -> conversation.receive_timeout()

An engine that fails takes only its own two tasks with it: the session goes on with another one, where there is one.

The reader calls `receive`, which never awaits: a socket is always read, whatever the engine does.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import assert_never

from duplex.clock import Clock
from duplex.conversation import Conversation
from duplex.effects import Decode, Effect, Flush, Hold, Interrupt, Prefill, Release, Say, Speak
from duplex.engine.base import Engine, EngineListen
from duplex.errors import ClientError, ClientStalled, EngineError
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
from duplex.metrics import Metrics, SessionMeter
from duplex.outbox import Outbox
from duplex.tasks import beside, task_group

__all__ = ["DuplexSession", "SessionLimits"]

log = logging.getLogger(__name__)

Transmit = Callable[[ServerMessage], Awaitable[None]]
"""Returns when the message has left. Raises `ClientStalled` when that takes longer than `SessionLimits.send_s`."""

Replace = Callable[[EngineError], Awaitable[Engine]]
"""Gives an engine up that failed like this, and returns another one that has begun the same conversation. Raises when
there is none."""


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
    engines_lost: int = 0


class DuplexSession:
    """One client, one lease, one conversation."""

    def __init__(
        self,
        engine: Engine,
        conversation: Conversation,
        transmit: Transmit,
        clock: Clock,
        limits: SessionLimits,
        *,
        replace: Replace | None = None,
        meter: SessionMeter | None = None,
    ) -> None:
        """Without `replace` the session ends with its engine."""
        self._meter = meter or Metrics().meter("unnamed")
        self._engine = engine
        self._replace = replace
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
        self._context_fill = 0.0
        self._hang: EngineError | None = None
        self._hangs = asyncio.Event()
        self.numbers = SessionNumbers()

    @property
    def output_rate_hz(self) -> int:
        """Rate of the sound that leaves."""
        return self._conversation.settings.output_rate_hz

    def queue_fill(self) -> Mapping[str, float]:
        """How full the queues are, from 0 to 1."""
        return {
            "outbox_audio": self._outbox.audio_s / self._limits.audio_waiting_s,
            "outbox_control": self._outbox.control_fill,
            "engine_feed": self._feed.audio_s / self._limits.input_waiting_s,
            "engine_context": self._context_fill,
        }

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
            async with beside(writer=self._write(), engine=self._use_engines(), timer=self._keep_time()):
                await read()
        finally:
            self._conversation.close()
            self.numbers.input_dropped_s = self._feed.dropped_s
            self._meter.dropped(input_s=self._feed.dropped_s)
            # Whoever transmits knows this session: both would wait for the collector, with minutes of sound.
            del self._transmit

    # --- effects

    def _perform(self, effects: list[Effect]) -> None:
        for effect in effects:
            self._meter.decided(effect, self._clock.now())
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
            self._meter.sent(effect.message, self._clock.now())
            if isinstance(effect, Speak):
                self._conversation.receive_sent(effect.generation, effect.message, self._clock.now())
                self._mind_deadline()
                if self._outbox.audio_s < self._limits.audio_waiting_s:
                    self._outbox_drained.set()

    async def _use_engines(self) -> None:
        while True:
            try:
                async with task_group() as group:
                    group.create_task(self._drive(), name="driver")
                    group.create_task(self._listen(), name="listener")
                    group.create_task(self._watch_for_hang(), name="watch")
            except EngineError as error:
                if self._replace is None:
                    raise
                self._begin_again()
                self._engine = await self._replace(error)
            # Whatever was broken meanwhile was broken without an engine.
            self._begin_again()
            self.numbers.engines_lost += 1
            self.warn("engine_restarted", "The engine failed and was replaced: it remembers nothing of what was said.")

    def _begin_again(self) -> None:
        """What was not answered will be, by the next engine; what was begun ends here."""
        self._feed.begin_again()
        self._perform(self._conversation.lose_engine(self._clock.now()))
        self._hang = None
        self._hangs.clear()
        self._deadline_moved.set()

    async def _watch_for_hang(self) -> None:
        await self._hangs.wait()
        assert self._hang is not None
        try:
            raise self._hang
        finally:
            self._hang = None

    async def _drive(self) -> None:
        while True:
            await self._mind_context()
            command = self._feed.take()
            match command:
                case None:
                    await _wait(self._feed_changed, float("inf"))
                case Prefill(pcm, image):
                    slices = self._conversation.settings.picture_slices
                    await self._engine.prefill(pcm, image=image, slices=slices)
                case Decode():
                    await self._engine.decode()
                case Interrupt(forget):
                    await self._engine.interrupt(forget=forget)

    async def _mind_context(self) -> None:
        """Go on in an empty context before the engine makes room in a full one. What is said meanwhile waits."""
        self._context_fill = self._engine.context_fill
        if not self._conversation.wants_new_context(self._context_fill, self._clock.now()):
            return
        if await self._engine.renew():
            self._meter.context_renewed()
            self.warn("context_restarted", "The context was nearly full: the model remembers nothing of what was said.")

    async def _listen(self) -> None:
        async for event in self._engine.events():
            self._meter.heard(event, self._clock.now())
            if not isinstance(event, EngineListen):
                self._feed.answered()
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
            try:
                self._perform(self._conversation.receive_timeout(now))
            except EngineError as error:
                # Nothing is due from here until the engine was given up.
                self._hang, self._timer_wakes_at = error, float("inf")
                self._hangs.set()
                await _wait(self._deadline_moved, float("inf"))


async def _wait(event: asyncio.Event, seconds: float) -> None:
    """Wait for `event`, at most so long, and take it back.

    No `asyncio.timeout`: most waits end with their time, and a cancellation each time costs what a piece of sound does.
    """
    alarm = None if seconds == float("inf") else asyncio.get_running_loop().call_later(max(0.0, seconds), event.set)
    try:
        await event.wait()
    finally:
        if alarm is not None:
            alarm.cancel()
    event.clear()
