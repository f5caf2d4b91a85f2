"""One HTTP conversation with one leased engine: requests in the order of their arrival, one answer at a time.

Three tasks in one group, so that nothing outlives the session:

    worker    the line of requests -> the engine, one call at a time
    listener  the engine's events -> the stream that has the floor
    breaker   breaks -> the engine, in the background: a stream ends at once, whatever the engine does

A request never talks to the engine itself.
"""

import asyncio
from collections.abc import Mapping
from typing import assert_never

from duplex.clock import Clock
from duplex.conversation_settings import AfterBreak
from duplex.engine.base import Engine, EngineAudio, EngineIdle, EngineListen, EngineText, Mode
from duplex.errors import EngineError, InvalidEvent, NoSession, OmniDuplexError
from duplex.metrics import Metrics, SessionMeter
from duplex.tasks import beside, wait_at_most
from http_compat.choice import SessionChoice
from http_compat.ears import Ears, StackFrames
from http_compat.floor import Floor, OnWav
from http_compat.identity import SessionIdentity
from http_compat.line import Errand, Line, Place
from http_compat.reply import Reply
from http_compat.rhythm import CallerRhythm
from http_compat.session_limits import SessionLimits
from http_compat.work import Answer, Hear, Heard, Upload

__all__ = ["HttpSession", "Work"]

Work = Hear | Answer

_ASK_AGAIN = "The session goes on with another engine, which remembers nothing of it: say it again in a few seconds."


class HttpSession:
    """See the module's docstring. `run` lives as long as the session; what requests call never waits."""

    def __init__(
        self,
        engine: Engine,
        choice: SessionChoice,
        *,
        clock: Clock,
        stack: StackFrames,
        after_break: AfterBreak = AfterBreak.LISTEN,
        limits: SessionLimits | None = None,
        on_wav: OnWav | None = None,
        meter: SessionMeter | None = None,
        identity: SessionIdentity | None = None,
    ) -> None:
        """`identity`: of the session that lost its engine and goes on here."""
        self.identity = identity or SessionIdentity()
        self._meter = meter or Metrics().meter("http")
        self.id, self.numbers = self.identity.id, self.identity.numbers
        self.choice = choice
        self._engine = engine
        self._clock = clock
        self._forgets = choice.mode is Mode.DUPLEX and after_break is AfterBreak.RESET
        self._limits = limits or SessionLimits()
        self._line: Line[Work] = Line(self._limits.waiting_requests)
        self._ears = Ears(engine, choice, clock, stack)
        self._floor = Floor(choice.mode, on_wav, self.identity.narration)
        self._rhythm = CallerRhythm()
        self._thinks = self._is_withdrawn = self._has_heard = False
        self._silent_steps = 0
        self._step_seen = asyncio.Event()
        self._answered = asyncio.Event()
        self._break_wanted = asyncio.Event()
        self._drained = asyncio.Event()
        self._calm = asyncio.Event()
        self._calm.set()
        self._over = asyncio.Event()
        self._farewell: str | None = None
        self._reason: OmniDuplexError = NoSession("The session has ended.")
        self._active_s = clock.now()

    # --- what requests ask for

    def join(self, errand: Errand) -> Place[Work]:
        """A place in the line, taken before the body is read.

        Raises `EngineBusy` when the line is full, and `NoSession` or what the engine failed with at the session's end.
        """
        self._check()
        self._rhythm.receive(is_busy=bool(self._line) or self._floor.is_taken)
        self.identity.is_stopped = False
        self._active_s = self._clock.now()
        return self._line.join(errand)

    async def hear(self, place: Place[Work], upload: Upload) -> Heard:
        """Let the engine hear an upload when it is its turn. Raises `NoSession`, `InvalidEvent` and `EngineError`."""
        self._check()
        hear = Hear(upload)
        place.fill(hear)
        return await hear.result

    def open_reply(self, place: Place[Work], *, keep_open: bool = False) -> Reply:
        """The stream that the answer will go to when it is its turn."""
        self.numbers.answers += 1
        reply = self._floor.new_reply(keep_open=keep_open)
        reply.asked_s = self._clock.now()
        if place.is_broken:
            reply.break_off()
        if self._over.is_set():
            self._leave(reply)
        place.fill(Answer(reply))
        return reply

    def break_off(self) -> bool:
        """End the round: the answer that is given or asked for, or the question that was not answered yet.

        Returns whether there was anything to end.
        """
        if self._over.is_set():
            return False
        asked = [place for place in self._line if place.errand is Errand.GENERATE]
        for place in asked:
            place.is_broken = True
            if isinstance(place.known, Answer):
                place.known.reply.break_off()
        was_heard = self._silence() or bool(asked)
        # What was said and not answered is withdrawn: a request for its answer that is on its way gets the break.
        self._is_withdrawn = not was_heard and self._ears.unanswered > 0
        is_break = was_heard or self._is_withdrawn
        self.numbers.breaks += is_break
        if was_heard:
            self._meter.answered("client_cancelled")
        return is_break

    def stop(self) -> bool:
        """The caller says that its call is over; it may go on nevertheless. Returns whether anything was ended."""
        was_heard = self.break_off()
        self.identity.is_stopped = True
        return was_heard

    def abandon(self, reply: Reply) -> None:
        """The client of a stream has gone: nothing of its answer may reach the next one."""
        if reply.is_over:
            return
        reply.drop()
        if reply is self._floor.reply:
            self._silence()

    def end(self, farewell: str | None = None) -> None:
        """End the session. Open streams end with a break, or say why with `farewell`."""
        if not self._over.is_set():
            self._farewell = farewell
            self._over.set()

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self._over.is_set()

    @property
    def has_a_beat(self) -> bool:
        """Whether its caller is expected to send every second."""
        return self.choice.mode is Mode.DUPLEX and self._has_heard

    @property
    def rests(self) -> bool:
        """Whether nothing is under way: all that was said was answered, and the answer was delivered."""
        return not (self._line or self._floor.is_taken or self._ears.unanswered)

    def queue_fill(self) -> Mapping[str, float]:
        """How full the queues are, from 0 to 1."""
        reply = self._floor.reply
        return {
            "http_line": len(self._line) / self._limits.waiting_requests,
            "http_reply": 0.0 if reply is None else reply.fill,
        }

    def idle_s(self) -> float:
        """For how long nothing was asked for and nothing said."""
        return 0.0 if self._line or self._floor.is_taken else self._clock.now() - self._active_s

    # --- its life

    async def run(self) -> None:
        """Converse until `end`. Raises `EngineError` when the engine failed; who waited for it has been told."""
        try:
            async with beside(worker=self._work(), listener=self._listen(), breaker=self._pass_on_breaks()):
                await self._over.wait()
        except EngineError as error:
            if not self._over.is_set():
                self._reason = type(error)(f"{str(error).removesuffix('.')}. {_ASK_AGAIN}")
                self._farewell = str(self._reason)
            raise
        finally:
            self._dismiss()

    def _dismiss(self) -> None:
        self._over.set()
        self._meter.dropped(pictures=self._ears.pictures_dropped)
        self.numbers.pictures_dropped += self._ears.pictures_dropped
        if self._floor.reply is not None:
            self._leave(self._floor.reply)
        self.identity.narration.rest()
        for place in self._line:
            match place.known:
                case Answer(reply):
                    self._leave(reply)
                case Hear() as hear:
                    hear.refuse(self._reason)

    def _leave(self, reply: Reply) -> None:
        if self._farewell is None:
            reply.break_off()
        else:
            reply.fail(self._farewell)

    def _check(self) -> None:
        if self._over.is_set():
            raise self._reason

    # --- the worker

    async def _work(self) -> None:
        while True:
            place = await self._line.first(self._patience_s())
            if place is None:
                await self._miss_the_caller()
            else:
                await self._serve(place)

    async def _serve(self, place: Place[Work]) -> None:
        match await place.work():
            case Hear() as hear:
                await self._hear(hear)
            case Answer(reply):
                await self._answer(reply)
        self._line.leave(place)
        self._active_s = self._clock.now()

    async def _hear(self, hear: Hear) -> None:
        await self._calm.wait()
        self._has_heard = True
        self._is_withdrawn = False
        try:
            if await self._ears.renew_context(is_answering=self._floor.turn_is_open):
                self._meter.context_renewed()
            hear.succeed(await self._ears.hear(hear.upload))
        except InvalidEvent as error:
            # The caller's fault: it is told, and the session goes on.
            hear.refuse(error)
        reply = self._floor.reply
        if reply is not None and reply.keep_open and not reply.is_over and self._ears.unheeded_s >= 1.0:
            await self._step(reply)

    async def _answer(self, reply: Reply) -> None:
        await self._hear_latecomers(reply)
        if self._is_withdrawn:
            self._is_withdrawn = False
            reply.break_off()
        if reply.is_over:
            self._ears.withdraw()
        elif self.choice.mode is Mode.SIMPLEX:
            await self._answer_whole(reply)
        else:
            self._floor.give(reply)
            self._silent_steps = 0
            if not reply.keep_open:
                await self._step(reply)

    async def _hear_latecomers(self, reply: Reply) -> None:
        """The end of what is to be answered may arrive after the request for the answer."""
        ears = self._ears
        if reply.keep_open:
            return
        patience_s = self._limits.pair_s
        if self.choice.mode is Mode.SIMPLEX and ears.marks_last and not ears.is_marked:
            patience_s = self._limits.tail_s
        elif ears.unanswered:
            return
        place = await self._line.first_prefill(patience_s)
        if place is not None:
            await self._serve(place)

    async def _answer_whole(self, reply: Reply) -> None:
        """Simplex: from the question to the last sound of the answer."""
        await self._calm.wait()
        await self._ears.hear_rest()
        self._ears.start_round()
        if reply.is_over:
            return
        self._floor.give(reply)
        self._answered.clear()
        await self._think()
        await self._answered.wait()

    async def _step(self, reply: Reply) -> None:
        """Duplex: one second of thinking."""
        await self._calm.wait()
        if not self._ears.unanswered:
            self._ears.forced_listening.hear_nothing_more()
        if not reply.keep_open:
            await self._ears.hear_rest()
        self._ears.start_round()
        if reply.is_over:
            return
        self._step_seen.clear()
        if not self._ears.forced_listening.is_on:
            await self._think()
            if await wait_at_most(self._limits.empty_step_s, self._step_seen):
                return
        self._floor.pass_over()

    async def _think(self) -> None:
        self._floor.start_step()
        self._thinks = True
        await self._engine.decode()
        self._thinks = False

    def _patience_s(self) -> float | None:
        """How long the worker waits for the next request before it acts by itself; None for ever."""
        floor = self._floor
        if floor.reply is None or floor.reply.is_over:
            return None
        if floor.reply.keep_open:
            return self._limits.keep_open_idle_s
        return self._rhythm.patience_s if floor.turn_is_open and not floor.listens else None

    async def _miss_the_caller(self) -> None:
        """The model is in its turn, or a stream is kept open, and the caller sends nothing."""
        reply = self._floor.reply
        if reply is None or reply.is_over:
            return
        self._rhythm.receive_nothing()
        if reply.keep_open:
            reply.finish()
        elif self._rhythm.waits and self._silent_steps < self._limits.silent_steps:
            self._silent_steps += 1
            await self._calm.wait()
            await self._ears.hear_silence()
            await self._step(reply)
        else:
            reply.finish(listens=False)

    # --- the listener

    async def _listen(self) -> None:
        async for event in self._engine.events():
            if event == EngineIdle(interrupted=True):
                self._floor.drained()
                self._answered.set()
                self._drained.set()
            elif self._calm.is_set():
                self._receive(event)

    def _receive(self, event: EngineText | EngineAudio | EngineListen | EngineIdle) -> None:
        self._step_seen.set()
        match event:
            case EngineText(text):
                self._floor.say(text)
            case EngineAudio():
                reply = self._floor.reply
                if reply is not None and reply.sound_s == 0.0:
                    self._meter.first_audio(self._clock.now() - reply.asked_s)
                self._floor.speak(event)
                if reply is not None and reply.is_stalled:
                    self.abandon(reply)
            case EngineListen():
                self._floor.listen()
            case EngineIdle():
                if self._floor.turn_is_open:
                    self._meter.answered("completed")
                self._floor.end_turn()
                self._ears.answered()
                self._answered.set()
                self._active_s = self._clock.now()
            case _:
                assert_never(event)

    # --- what ends an answer early

    def _silence(self) -> bool:
        """End the open stream at once, and the engine's answer in the background. Returns whether there was one."""
        is_running = self._floor.turn_is_open or self._thinks
        was_heard = is_running or self._floor.is_taken
        self._floor.break_off()
        if is_running and self._calm.is_set():
            if self.choice.mode is Mode.DUPLEX and not self._forgets:
                self._ears.forced_listening.start()
            self._calm.clear()
            self._break_wanted.set()
        return was_heard

    async def _pass_on_breaks(self) -> None:
        while True:
            await self._break_wanted.wait()
            self._break_wanted.clear()
            self._drained.clear()
            await self._engine.interrupt(forget=self._forgets)
            # Only when the listener has read this far does an idle engine mean that the next answer is over.
            await self._drained.wait()
            self._calm.set()
