"""A hand-moved conversation: loud frames are speech, time moves only with the audio or when told to."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from duplex.audio import SAMPLE_BYTES
from duplex.barge_in import BargeIn, evidence_for
from duplex.conversation import Conversation
from duplex.conversation_settings import ConversationSettings
from duplex.effects import Effect, Prefill, Say, Speak
from duplex.engine.base import EngineEvent, Mode
from duplex.evidence import NO_SOUND, NO_VOICE, Evidence, SpeechDetector
from duplex.messages import AppendAudio, Request, ServerMessage
from duplex.turns import TurnState
from duplex.vad import VadSettings

__all__ = [
    "LOUD",
    "QUIET",
    "VOICE",
    "LoudIsSpeech",
    "Talk",
    "duplex",
    "heard",
    "kinds",
    "loud_s",
    "messages",
    "seconds",
    "simplex",
]


LOUD, QUIET = b"\x01\x01", b"\0\0"
RATE_HZ = 16_000

VOICE = Evidence(30.0, pitched=True)


class LoudIsSpeech:
    """Votes for every frame that is more than a resampler's dither."""

    def judge(self, frame: bytes, far: bytes = NO_SOUND) -> Evidence:
        loud = np.abs(np.frombuffer(frame, "<i2").astype(int)).max() > 50
        return VOICE if loud else NO_VOICE


class Talk:
    """Drives one `Conversation` and keeps every effect."""

    def __init__(self, settings: ConversationSettings, detector: SpeechDetector | None = None) -> None:
        self.now = 100.0
        self.conversation = Conversation(settings, detector or LoudIsSpeech(), self.now)
        self.effects: list[Effect] = []

    def hear(self, sample: bytes, seconds: float) -> list[Effect]:
        """Real-time microphone audio in frames of 20 ms."""
        return self._keep(effect for _ in range(round(seconds * 50)) for effect in self._frame(sample))

    def _frame(self, sample: bytes) -> list[Effect]:
        self.now += 0.02
        return self.conversation.receive(AppendAudio(sample * (RATE_HZ // 50)), self.now)

    def state(self) -> TurnState:
        return self.conversation.state

    def ask(self, request: Request) -> list[Effect]:
        return self._keep(self.conversation.receive(request, self.now))

    def engine(self, *events: EngineEvent) -> list[Effect]:
        return self._keep(effect for event in events for effect in self.conversation.receive_engine(event, self.now))

    def play(self) -> None:
        """Send everything spoken so far that is still admitted, at once."""
        for effect in self.effects:
            if isinstance(effect, Speak) and self.conversation.admits(effect.generation):
                self.conversation.receive_sent(effect.generation, effect.message, self.now)

    def wait(self, seconds: float) -> list[Effect]:
        """Let time pass, with every timeout on its way."""
        end = self.now + seconds
        effects: list[Effect] = []
        while (deadline := self.conversation.deadline()) is not None and deadline <= end:
            self.now = max(self.now, deadline)
            effects += self.conversation.receive_timeout(self.now)
        self.now = end
        return self._keep(effects)

    def _keep(self, effects: Iterable[Effect]) -> list[Effect]:
        new = list(effects)
        self.effects += new
        return new


def messages(effects: list[Effect]) -> list[ServerMessage]:
    """What is said, in either lane."""
    return [effect.message for effect in effects if isinstance(effect, Say | Speak)]


def kinds(effects: list[Effect]) -> list[type]:
    """Types, with messages in place of their lanes and prefills merged."""
    found: list[type] = []
    for effect in effects:
        kind = type(effect.message) if isinstance(effect, Say | Speak) else type(effect)
        if not (found and kind is Prefill is found[-1]):
            found.append(kind)
    return found


def heard(effects: list[Effect]) -> bytes:
    """All the model is made to hear."""
    return b"".join(effect.pcm for effect in effects if isinstance(effect, Prefill))


def loud_s(pcm: bytes) -> float:
    """Seconds of speech in what was heard."""
    return sum(pcm[at : at + 2] == LOUD for at in range(0, len(pcm), 2)) / RATE_HZ


def seconds(pcm: bytes) -> float:
    return len(pcm) / SAMPLE_BYTES / RATE_HZ


EAGER = VadSettings(barge_in=evidence_for(BargeIn.EAGER))
"""A cut takes 120 ms, so that tests of what follows it are short."""


def simplex(**changes: object) -> ConversationSettings:
    return replace(ConversationSettings(mode=Mode.SIMPLEX, input_rate_hz=RATE_HZ, vad=EAGER), **changes)  # type: ignore[arg-type]


def duplex(**changes: object) -> ConversationSettings:
    return replace(ConversationSettings(mode=Mode.DUPLEX, input_rate_hz=RATE_HZ, vad=EAGER), **changes)  # type: ignore[arg-type]
