"""One spoken conversation as a sans-I/O object: audio, requests, engine events and timeouts in, effects out.

It never awaits and never looks at a clock. `DuplexSession` performs what it returns, in order.

Every response has a generation. A break raises the lowest one admitted, and the last line before the socket asks
`admits`: whatever is queued anywhere of an older response falls there.
"""

import math
from collections.abc import Mapping
from typing import assert_never

from duplex.after_break import interrupt
from duplex.audio import SAMPLE_BYTES
from duplex.clock import ms_to_samples, samples_to_ms
from duplex.conversation_settings import ConversationSettings
from duplex.delivery import Delivery, Sounding
from duplex.echo_canceller import EchoCanceller
from duplex.effects import Decode, Effect, Flush, Say
from duplex.engine.base import (
    ENGINE_INPUT_RATE_HZ,
    EngineAudio,
    EngineEvent,
    EngineIdle,
    EngineListen,
    EngineText,
    Mode,
)
from duplex.engine.context import needs_new_context
from duplex.errors import InvalidEvent
from duplex.evidence import SpeechDetector
from duplex.hearing import Chunker, microphone
from duplex.latency import TurnLatency
from duplex.messages import (
    AcknowledgePlayback,
    AppendAudio,
    Aside,
    BreakReason,
    CancelResponse,
    ClearInput,
    ClearOutput,
    CommitInput,
    Committed,
    Configure,
    Configured,
    CreateResponse,
    HearClip,
    InputCleared,
    ModelListens,
    Request,
    ResponseCut,
    ResponseEnded,
    ResponseStarted,
    ServerMessage,
    ShowPicture,
    SpeechStarted,
    SpeechStopped,
)
from duplex.refusals import already_answering, nothing_to_cancel, nothing_to_commit
from duplex.senses import CHUNK_SAMPLES, Senses
from duplex.turns import TurnAction, TurnEvent, TurnMachine, TurnState
from duplex.vad import GateEvent, GateMoment
from duplex.waiting import Waiting

__all__ = ["Conversation"]


class Conversation:
    """See the module's docstring. All `now` are seconds of one monotonic clock."""

    def __init__(
        self,
        settings: ConversationSettings,
        detector: SpeechDetector,
        now: float,
        canceller: EchoCanceller | None = None,
    ) -> None:
        self._settings = settings
        self._delivery = Delivery(settings)
        self._mic = microphone(settings, detector, self._delivery.far_end, canceller)
        self._chunks = Chunker(self._mic.recording, CHUNK_SAMPLES)
        self._senses = Senses(self._chunks, settings.mode)
        self._turns = TurnMachine()
        self._latency = TurnLatency()
        self._announced = False
        self._due: Mapping[str, str] | None = None
        self._next_metadata: Mapping[str, str] = {}
        self._waiting = Waiting(settings, self._turns, self._mic.gate, now)

    @property
    def settings(self) -> ConversationSettings:
        """The settings in force."""
        return self._settings

    @property
    def state(self) -> TurnState:
        """Who holds the floor."""
        return self._turns.state

    def wants_new_context(self, fill: float, now: float) -> bool:
        """Is it time to go on in an empty context? `fill` is that of the engine's, 0 to 1."""
        answering = self._turns.responding or self._turns.state is TurnState.BREAKING
        return needs_new_context(fill, is_answering=answering, is_silent=self._waiting.is_silent(now))

    def admits(self, generation: int) -> bool:
        """May something of this response still reach the client?"""
        return self._delivery.admits(generation)

    # --- what the client does

    def receive_audio(self, pcm: bytes, now: float) -> list[Effect]:
        """Take microphone PCM at the input rate. Raises `InvalidAudio` for half a sample, using nothing."""
        events = self._mic.push(pcm, now)
        self._waiting.heard_at = now
        return [effect for event in events for effect in self._on_gate(event, now)] + self._feed()

    def receive(self, request: Request, now: float) -> list[Effect]:
        """Take one request. Raises `ClientError`, changing nothing, when it cannot be granted."""
        match request:
            case AppendAudio(pcm):
                return self.receive_audio(pcm, now)
            case HearClip() | ShowPicture():
                return self._senses.perceive(request, self._settings.input_rate_hz)
            case Configure(settings):
                return self._configure(settings, now)
            case CommitInput():
                return self._commit(now)
            case ClearInput():
                return self._clear()
            case Aside():
                return [Say(request)]
            case _:
                return self._receive_about_response(request, now)

    def _receive_about_response(
        self, request: CreateResponse | CancelResponse | ClearOutput | AcknowledgePlayback, now: float
    ) -> list[Effect]:
        match request:
            case CreateResponse(metadata):
                return self._create_response(now, metadata)
            case CancelResponse():
                return self._cancel_response(now)
            case ClearOutput():
                return self._break(BreakReason.CLIENT_CANCELLED, now) if self._turns.audible else []
            case AcknowledgePlayback(generation, played_ms):
                self._delivery.acknowledge(generation, played_ms / 1000, now)
                return []
        assert_never(request)

    def _configure(self, settings: ConversationSettings, now: float) -> list[Effect]:
        """Use other settings from now on. Raises `InvalidAudio`, changing nothing, for an unsupported rate."""
        if settings.mode is not self._settings.mode:
            raise InvalidEvent("The mode of a conversation is chosen when it connects.", param="conversation")
        self._mic.configure(settings)
        if settings.detect_turns != self._settings.detect_turns:
            self._chunks.discard()
            self._announced = False
        self._settings = self._waiting.settings = settings
        self._delivery.configure(settings)
        released = self._apply(TurnEvent.RELEASE, now) if self._turns.held and not self._settings.interrupts else []
        return [Say(Configured()), *released]

    def _commit(self, now: float) -> list[Effect]:
        """Make what was said the next input. Raises `InvalidEvent` when nothing was."""
        if self._settings.mode is Mode.DUPLEX:
            # The model has heard it already, second by second.
            return [Say(Committed())]
        if self._settings.detect_turns and self._announced:
            return [effect for event in self._mic.gate.close() for effect in self._on_gate(event, now)]
        if self._settings.detect_turns:
            raise nothing_to_commit()
        committed = self._senses.commit()
        self._latency.speech_ended(now, now)
        return [*committed, Say(Committed())]

    def _clear(self) -> list[Effect]:
        """Forget input that was not committed."""
        if self._settings.mode is Mode.SIMPLEX:
            self._mic.gate.close()
            self._announced = False
            self._chunks.discard()
        return [Say(InputCleared())]

    def _create_response(self, now: float, metadata: Mapping[str, str]) -> list[Effect]:
        """Ask for an answer now. Raises `InvalidEvent` when one is being given.

        A duplex model cannot be made to speak: it is given silence, so that it can decide to.
        """
        # One that waits for a break to end counts too, unless it came of itself: then this request becomes its reason.
        if self._turns.responding or self._due:
            raise already_answering()
        if self._settings.mode is Mode.DUPLEX:
            self._next_metadata = dict(metadata)
            self._chunks.release()
            self._waiting.answer_until = now + self._settings.answer_wait_s
            return []
        return self._answer(now, metadata)

    def _cancel_response(self, now: float) -> list[Effect]:
        """Silence the answer at the client's request. Raises `InvalidEvent` when there is none."""
        if not self._turns.audible:
            if self._due is None:
                raise nothing_to_cancel()
            self._due = None
            return []
        return self._break(BreakReason.CLIENT_CANCELLED, now)

    def close(self) -> None:
        """End the conversation: nothing is admitted any more."""
        self._turns.apply(TurnEvent.CLOSE)
        self._delivery.refuse_all()

    # --- what the engine, the exit and the clock do

    def receive_engine(self, event: EngineEvent, now: float) -> list[Effect]:
        """Take one engine event."""
        if self._turns.state is TurnState.BREAKING:
            return self._on_drained(now) if event == EngineIdle(interrupted=True) else []
        match event:
            case EngineText() | EngineAudio():
                return self._on_output(event, now)
            case EngineListen():
                return [Say(ModelListens())]
            case EngineIdle():
                return self._on_ended(now) if self._turns.responding else []
        assert_never(event)

    def receive_sent(self, generation: int, message: ServerMessage, now: float) -> None:
        """A `Speak` has left through the exit."""
        evidence = self._settings.vad.barge_in
        sounding = self._delivery.sent(generation, message, now)
        if sounding is not Sounding.GOES_ON:
            self._guard(evidence.guard_begin_ms if sounding is Sounding.BEGINS else evidence.guard_again_ms)

    def lose_engine(self, now: float) -> list[Effect]:
        """Another engine takes over, and is given what was not answered. An answer that has begun ends here."""
        if self._turns.state is TurnState.BREAKING:
            return self._on_drained(now)
        if not (self._turns.responding and self._latency.has_output):
            return []
        self._turns.apply(TurnEvent.ENGINE_LOST)
        return [*self._cut_off(BreakReason.ENGINE_LOST, now), *self._answer_due(now)]

    def deadline(self) -> float | None:
        """When `receive_timeout` wants to be called next, if nothing happens before."""
        earliest = self._waiting.earliest(announced=self._announced, played_out_at=self._delivery.played_out_at)
        return None if earliest == math.inf else earliest

    def receive_timeout(self, now: float) -> list[Effect]:
        """Time has passed. Raises `EngineStalled` when a break was not answered in time."""
        effects: list[Effect] = []
        self._waiting.check_break(now)
        if now >= self._waiting.played_out_due(self._delivery.played_out_at):
            effects += self._apply(TurnEvent.PLAYED_OUT, now)
            self._waiting.idle_since = now
            effects += self._announce()
        if now >= self._waiting.idle_due():
            effects += self._go_on(now)
        if now >= self._waiting.silence_due(announced=self._announced):
            samples = int((now - self._waiting.heard_at) * self._mic.rate_hz)
            effects += self.receive_audio(bytes(samples * SAMPLE_BYTES), now)
        return effects

    # --- the user's speech

    def _on_gate(self, event: GateEvent, now: float) -> list[Effect]:
        match event.moment:
            case GateMoment.RELEASE:
                return self._on_release(event, now)
            case GateMoment.PAUSE:
                # The model may as well hear it now, while more is waited for.
                early = self._announced and self._settings.mode is Mode.SIMPLEX
                return [*self._senses.early(event.at)] if early else []
            case GateMoment.LIKELY:
                holds = self._settings.interrupts and self._turns.audible and not self._turns.held
                return self._apply(TurnEvent.HOLD, now) if holds else []
            case GateMoment.UNLIKELY:
                return self._apply(TurnEvent.RELEASE, now) if self._turns.held else []
            case GateMoment.CONFIRM if self._settings.interrupts and self._turns.audible:
                # Stock clients flush on speech_started: speech that began before the answer is announced once more.
                self._announced = False
                return self._break(BreakReason.TURN_DETECTED, now)
        return self._announce()

    def _guard(self, ms: int) -> None:
        # A hold can be taken back: it need not be guarded where an echo is only what a client's canceller leaves.
        self._mic.gate.guard(ms, holds=not self._settings.client_cancels_echo)

    def _announce(self) -> list[Effect]:
        """Say that the user speaks, once it is known not to be a mere noise over an answer."""
        gate = self._mic.gate
        unconfirmed = self._turns.audible and not gate.confirmed
        if not gate.open or self._announced or unconfirmed or not self._settings.detect_turns:
            return []
        self._announced, self._waiting.idle_since = True, math.inf
        start = max(0, gate.started_at - ms_to_samples(self._settings.prefix_padding_ms, ENGINE_INPUT_RATE_HZ))
        if self._settings.mode is Mode.SIMPLEX:
            self._chunks.skip_to(start)
        return [Say(SpeechStarted(samples_to_ms(start, ENGINE_INPUT_RATE_HZ)))]

    def _on_release(self, event: GateEvent, now: float) -> list[Effect]:
        announced, self._announced = self._announced, False
        if self._settings.mode is Mode.DUPLEX and (announced or not self._settings.detect_turns):
            self._chunks.release()
            self._waiting.answer_until = now + self._settings.answer_wait_s
        if not announced:
            return []
        self._latency.speech_ended(now - self._settings.vad.hangover_ms / 1000, now)
        stopped = Say(SpeechStopped(samples_to_ms(event.at, ENGINE_INPUT_RATE_HZ)))
        if self._settings.mode is Mode.DUPLEX:
            return [stopped, Say(Committed())]
        return [stopped, *self._senses.rest(event.at), Say(Committed()), *self._answer_by_itself(now)]

    def _feed(self) -> list[Effect]:
        """Hand whole seconds to the engine as they come."""
        if self._settings.mode is Mode.SIMPLEX:
            return [*self._senses.whole()] if self._announced else []
        return self._senses.beats(self._senses.whole())

    def _go_on(self, now: float) -> list[Effect]:
        """Nobody has spoken since the answer was played: the model hears the silence, and answers it."""
        timed_out = self._waiting.end_idle(samples_to_ms(self._mic.recording.end, ENGINE_INPUT_RATE_HZ), now)
        return [Say(timed_out), *self._senses.latest(), Say(Committed()), *self._answer_by_itself(now)]

    # --- the assistant's turn

    def _answer(self, now: float, metadata: Mapping[str, str]) -> list[Effect]:
        """Simplex: ask the engine for an answer as soon as it is free."""
        if self._turns.responding or self._turns.state is TurnState.BREAKING:
            self._due = metadata
            return []
        self._due, self._next_metadata = None, metadata
        self._latency.asked_at = now
        self._waiting.idle_since = math.inf
        return [*self._apply(TurnEvent.RESPONSE_STARTS, now), *self._senses.pictures(), Decode()]

    def _answer_by_itself(self, now: float) -> list[Effect]:
        return self._answer(now, {}) if self._settings.create_response else []

    def _answer_due(self, now: float) -> list[Effect]:
        return [] if self._due is None else self._answer(now, self._due)

    def _on_output(self, output: EngineText | EngineAudio, now: float) -> list[Effect]:
        """Text or sound of the response; a duplex model opens its turn with it."""
        opening: list[Effect] = []
        if not self._turns.responding:
            if self._settings.mode is Mode.SIMPLEX:
                return []
            opening = self._apply(TurnEvent.RESPONSE_STARTS, now)
        if isinstance(output, EngineText):
            self._latency.output("text", now)
            return [*opening, self._delivery.text(output.text)]
        self._latency.output("audio", now)
        return opening + self._delivery.sound(output.pcm)

    def _on_ended(self, now: float) -> list[Effect]:
        return [*self._delivery.rest(), *self._apply(TurnEvent.RESPONSE_ENDS, now), *self._answer_due(now)]

    def _on_drained(self, now: float) -> list[Effect]:
        return [*self._apply(TurnEvent.ENGINE_DRAINED, now), *self._announce(), *self._answer_due(now)]

    def _break(self, reason: BreakReason, now: float) -> list[Effect]:
        self._due = None
        interrupts = TurnAction.INTERRUPT in self._turns.apply(TurnEvent.BREAK)
        effects = self._cut_off(reason, now)
        if interrupts:
            self._waiting.broken_at = now
            effects.append(interrupt(self._settings, self._chunks, reason, self._mic.gate.started_at))
        return effects

    def _cut_off(self, reason: BreakReason, now: float) -> list[Effect]:
        """What is said when a response ends early; nobody has the floor any more."""
        heard_ms, heard_text = self._delivery.cut(now)
        self._guard(self._settings.vad.barge_in.guard_again_ms)
        onset_at = self._mic.onset_at(now) if reason is BreakReason.TURN_DETECTED else None
        latency_ms = self._latency.take_break(onset_at, now)
        return [Flush(), *self._announce(), Say(ResponseCut(reason, heard_ms, latency_ms, heard_text))]

    def _apply(self, event: TurnEvent, now: float) -> list[Effect]:
        effects: list[Effect] = []
        for action in self._turns.apply(event):
            if action is TurnAction.OPEN:
                effects.append(self._open(now))
            elif action is TurnAction.END:
                effects.append(self._delivery.speak(ResponseEnded(self._latency.take())))
            elif action is TurnAction.HOLD:
                self._latency.held_at = now
                effects += self._delivery.hold(now, client_holds=self._settings.client_holds)
            elif action is TurnAction.RELEASE:
                effects += self._delivery.release(now)
                self._guard(self._settings.vad.barge_in.guard_again_ms)
        return effects

    def _open(self, now: float) -> Effect:
        generation = self._delivery.open()
        self._latency.open(now)
        if not self._turns.held:
            self._mic.gate.rearm()
        metadata, self._next_metadata = self._next_metadata, {}
        return self._delivery.speak(ResponseStarted(generation, metadata))
