"""What is sent of the responses, and what of it was heard."""

import enum
import math

from duplex.audio import SAMPLE_BYTES
from duplex.clock import samples_to_s
from duplex.conversation_settings import ConversationSettings
from duplex.effects import Effect, Hold, Release, Say, Speak
from duplex.far_end import FarEnd
from duplex.heard_text import Spoken
from duplex.messages import (
    ResponseAudio,
    ResponseEnded,
    ResponseHeld,
    ResponseReleased,
    ResponseStarted,
    ResponseText,
    ServerMessage,
)
from duplex.playout import PlayoutClock
from duplex.speaking import Voice

__all__ = ["Delivery", "Sounding"]


class Sounding(enum.Enum):
    """What a piece that left means for who listens."""

    BEGINS = enum.auto()
    """The first sound of a response."""
    AGAIN = enum.auto()
    """The client had run dry inside it."""
    GOES_ON = enum.auto()
    """Nothing new, or no sound at all."""


class Delivery:
    """Numbers the responses and follows each to the client's loudspeaker. All `now` are seconds of one clock.

    A break raises the lowest generation that may still leave.
    """

    def __init__(self, settings: ConversationSettings) -> None:
        self.far_end = FarEnd(settings.output_rate_hz)
        """What the client plays, for whoever reads it beside the microphone."""
        self._echoes = not settings.client_cancels_echo
        self._tune(settings)
        self.generation = 0
        """Of the newest response; 0 before the first."""
        self._admitted = 1
        self._playing = 0
        self._playout = PlayoutClock()
        self._end_sent = False
        self._spoken: dict[int, Spoken] = {}
        self._told = False
        self._stopped = False

    @property
    def played_out_at(self) -> float:
        """When the client will have played all of the newest response; infinity while that cannot be known."""
        return self._playout.ends_at if self._end_sent else math.inf

    def admits(self, generation: int) -> bool:
        """May something of this response still reach the client?"""
        return generation >= self._admitted

    def configure(self, settings: ConversationSettings) -> None:
        """Use other settings from now on; a response under way changes its rate where it is."""
        if (settings.output_rate_hz, settings.piece_ms) != (self._rate_hz, self._piece_ms):
            self._tune(settings)
            self.far_end.set_rate(settings.output_rate_hz)

    def open(self) -> int:
        """Number a new response."""
        self.generation += 1
        self._end_sent = False
        self._voice = Voice(self._rate_hz, self._piece_ms)
        self._spoken[self.generation] = Spoken()
        return self.generation

    def speak(self, message: ServerMessage) -> Speak:
        """Something of the newest response, in order with its sound."""
        return Speak(self.generation, message)

    def text(self, text: str) -> Effect:
        """A piece of the newest response's text."""
        self._spoken[self.generation].text += text
        return self.speak(ResponseText(text))

    def sound(self, pcm: bytes) -> list[Effect]:
        """The engine's sound of the newest response, cut into pieces at the client's rate."""
        return self._pieces(self._voice.push(pcm))

    def rest(self) -> list[Effect]:
        """What the filter still holds of the newest response, at its end."""
        effects = self._pieces(self._voice.flush())
        self._spoken[self.generation].complete = True
        return effects

    def _pieces(self, pieces: list[bytes]) -> list[Effect]:
        samples = sum(len(piece) for piece in pieces) // SAMPLE_BYTES
        self._spoken[self.generation].audio_s += samples_to_s(samples, self._rate_hz)
        return [self.speak(ResponseAudio(piece)) for piece in pieces]

    def sent(self, generation: int, message: ServerMessage, now: float) -> Sounding:
        """Something of a response has left."""
        sounding = Sounding.GOES_ON
        if isinstance(message, ResponseStarted):
            self._playing, self._playout = generation, PlayoutClock()
            self._spoken = {number: spoken for number, spoken in self._spoken.items() if number >= generation}
            self.far_end.begin()
            if self._stopped:
                self._playout.hold(now)
        elif isinstance(message, ResponseAudio):
            if self._playout.is_dry(now):
                sounding = Sounding.AGAIN if self._playout.sent_s else Sounding.BEGINS
            if self._echoes:
                self.far_end.sent(message.pcm, now)
            self._playout.sent(samples_to_s(len(message.pcm) // SAMPLE_BYTES, self._rate_hz), now)
        elif isinstance(message, ResponseText) and generation in self._spoken:
            self._spoken[generation].sent += len(message.text)
        elif isinstance(message, ResponseEnded) and generation == self.generation:
            self._end_sent = True
        return sounding

    def acknowledge(self, generation: int, played_s: float, now: float) -> None:
        """The client has played so much of a response; one that does not play any more is ignored."""
        if generation == self._playing:
            self._playout.acknowledge(played_s, now)
            self.far_end.acknowledge(round(played_s * 1000), now)

    def hold(self, now: float, *, client_holds: bool) -> list[Effect]:
        """Stop. The client is told when something of a response can be heard there."""
        sounding = self._playing == self.generation or now < self._playout.ends_at
        self._told = self.admits(self._playing) and sounding
        self._stopped = client_holds
        if client_holds:
            self._playout.hold(now)
            self.far_end.hold(now)
        return [Hold(), *([Say(ResponseHeld())] if self._told else [])]

    def release(self, now: float) -> list[Effect]:
        """Go on where it stopped; the client is told if it was told to stop."""
        effects: list[Effect] = [Release(self._stopped), *([Say(ResponseReleased())] if self._told else [])]
        self._told = self._stopped = False
        self._playout.release(now)
        self.far_end.release(now)
        return effects

    def cut(self, now: float) -> tuple[int, str]:
        """Nothing sent so far is admitted any more. Returns how much of what played was heard: in ms, and in words."""
        heard_s = self._playout.played_s(now)
        spoken = self._spoken.get(self._playing, Spoken())
        self.far_end.flush(now)
        self.release(now)
        self.refuse_all()
        return int(heard_s * 1000), spoken.heard(heard_s)

    def refuse_all(self) -> None:
        """Admit nothing of the responses so far."""
        self._admitted = self.generation + 1

    def _tune(self, settings: ConversationSettings) -> None:
        self._rate_hz, self._piece_ms = settings.output_rate_hz, settings.piece_ms
        self._voice = Voice(self._rate_hz, self._piece_ms)
