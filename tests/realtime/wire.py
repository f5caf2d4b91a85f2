"""A dialect and a conversation in one hand: client events in, server events out, no socket and no clock but ours."""

import base64
import json
from collections import deque
from collections.abc import Iterable
from typing import Any

from duplex.conversation_settings import ConversationSettings
from duplex.effects import Decode, Effect, Interrupt, Prefill, Say, Speak
from duplex.engine.base import EngineAudio, EngineIdle, EngineText, Mode
from duplex.errors import ClientError
from duplex.evidence import SpeechDetector
from duplex.messages import AppendAudio, Refused, ServerMessage
from realtime.dialects.base import SessionFacts
from realtime.dialects.openai import OpenAIDialect
from realtime.dialects.openai_beta import Names
from tests.duplex.talk import Talk

__all__ = ["FACTS", "PIXEL", "Wire", "b64"]

FACTS = SessionFacts("abc", "minicpm-o-4.5", "parrot", stand_in=True)

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"
"""A whole PNG, in base64."""


def b64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


class Wire:
    """Everything the client receives is in `frames`, and parsed in `events`; the engine answers when it is told to."""

    def __init__(
        self,
        settings: ConversationSettings,
        *,
        extensions: bool = False,
        names: Names = Names.GA,
        detector: SpeechDetector | None = None,
    ) -> None:
        self.talk = Talk(settings, detector)
        self.dialect = OpenAIDialect(FACTS, settings, extensions=extensions, names=names)
        self.frames: list[str | bytes] = []
        self.prefills: list[Prefill] = []
        self.decodes = 0
        self.interrupts = 0
        self._queue: deque[Speak] = deque()
        self._answering = False
        self._transmit_frames(self.dialect.greet())

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(frame) for frame in self.frames if isinstance(frame, str)]

    @property
    def types(self) -> list[str]:
        return [event["type"] for event in self.events]

    def since(self, frames: int) -> list[dict[str, Any]]:
        return [json.loads(frame) for frame in self.frames[frames:] if isinstance(frame, str)]

    # --- the client

    def ask(self, event: object) -> list[dict[str, Any]]:
        """Send one event; gives what was answered at once."""
        before = len(self.frames)
        self.send(event if isinstance(event, str | bytes) else json.dumps(event))
        return self.since(before)

    def send(self, frame: str | bytes) -> None:
        """As `realtime.endpoint` and `duplex.session` do it."""
        try:
            requests = self.dialect.decode(frame)
        except ClientError as error:
            self._refuse(error)
            return
        for request in requests:
            try:
                effects = self.talk.ask(request)
            except ClientError as error:
                self._refuse(error)
            else:
                self._perform(effects)

    def hear(self, sample: bytes, seconds: float) -> None:
        """The microphone, in frames of 20 ms."""
        self._perform(self.talk.hear(sample, seconds))

    def push(self, pcm: bytes) -> None:
        """The microphone, in one piece."""
        self._perform(self.talk.ask(AppendAudio(pcm)))

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self._perform(self.talk.wait(seconds))

    def read(self, most: int = 1000) -> None:
        """Let what is queued in order with the sound leave, at most so many messages."""
        for _ in range(most):
            if not self._queue:
                return
            effect = self._queue.popleft()
            if self.talk.conversation.admits(effect.generation):
                self._transmit(effect.message)
                self.talk.conversation.receive_sent(effect.generation, effect.message, self.talk.now)

    # --- the engine, which keeps the port's promise

    def say(self, text: str, seconds: float = 0.1) -> bool:
        """A piece of an answer, if one may be given now."""
        if not (self.decodes or self._answering):
            return False
        self.decodes, self._answering = 0, True
        pcm = b"\x05\x04" * round(24_000 * seconds)
        self._perform(self.talk.engine(EngineText(text), *([EngineAudio(pcm)] if pcm else [])))
        return True

    def finish(self) -> bool:
        """The answer is over, if there is one."""
        simplex = self.talk.conversation.settings.mode is Mode.SIMPLEX
        if not (self._answering or (self.decodes and simplex)):
            return False
        self.decodes, self._answering = 0, False
        self._perform(self.talk.engine(EngineIdle()))
        return True

    def end(self) -> None:
        """The answer is over, and all of it sent."""
        self.finish()
        self.read()

    def drain(self) -> bool:
        """The engine is silent after a break, if it was asked to."""
        if not self.interrupts:
            return False
        self.interrupts -= 1
        self._perform(self.talk.engine(EngineIdle(interrupted=True)))
        return True

    def answer(self, text: str, seconds: float = 0.2) -> None:
        """A whole answer, and all of it sent."""
        assert self.say(text, seconds)
        assert self.finish()
        self.read()

    # --- effects

    def _refuse(self, error: ClientError) -> None:
        self._transmit(Refused(error.code, str(error), error.param, self.dialect.event_id))

    def _perform(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case Say(message):
                    self._transmit(message)
                case Speak():
                    self._queue.append(effect)
                case Prefill():
                    self.prefills.append(effect)
                case Decode():
                    self.decodes += 1
                case Interrupt():
                    self.interrupts += 1
                    self.decodes, self._answering = 0, False

    def _transmit(self, message: ServerMessage) -> None:
        self._transmit_frames(self.dialect.encode(message))

    def _transmit_frames(self, frames: Iterable[str | bytes]) -> None:
        self.frames += frames
