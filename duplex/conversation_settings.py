"""How one conversation behaves."""

import enum
from dataclasses import dataclass, field, replace

from duplex.barge_in import BargeIn, evidence_for
from duplex.engine.base import ENGINE_OUTPUT_RATE_HZ, Mode
from duplex.vad import VadSettings

__all__ = ["AfterBreak", "ConversationSettings"]


class AfterBreak(enum.StrEnum):
    """What becomes of a duplex model that is still in its turn after a break."""

    LISTEN = "listen"
    """It is made to listen, by prefills without decode, until the user has finished. It remembers the conversation."""
    RESET = "reset"
    """It forgets everything and hears the interrupting words anew."""


@dataclass(frozen=True, slots=True)
class ConversationSettings:
    """What a client or the operator may choose. Rates are Hz, `_ms` milliseconds, `_s` seconds."""

    mode: Mode = Mode.DUPLEX
    after_break: AfterBreak = AfterBreak.LISTEN
    input_rate_hz: int = 24_000
    output_rate_hz: int = ENGINE_OUTPUT_RATE_HZ
    detect_turns: bool = True
    """False is push to talk: commit and response.create make the turns, and speech does not interrupt."""
    create_response: bool = True
    interrupt_response: bool = True
    idle_timeout_ms: int | None = None
    """Simplex: after an answer was played and nobody has spoken for so long, the model goes on by itself."""
    client_holds: bool = False
    """The client stops playing when a response is held; any other plays on what it was sent."""
    barge_in: BargeIn = BargeIn.BALANCED
    interrupt_min_ms: int | None = None
    """So much voice cuts an answer off, whatever `barge_in` says."""
    threshold: float = 0.5
    """OpenAI's: 0 to 1, more evidence the higher it is. With the two above it makes `vad.barge_in`: see `weighing`."""
    client_cancels_echo: bool = False
    """The microphone does not hear the answer: no echo is expected in it."""
    engine_hears_cleaned: bool = True
    """Where an echo canceller is at work, the model hears its result and not the microphone."""
    prefix_padding_ms: int = 300
    vad: VadSettings = field(default_factory=VadSettings)
    picture_slices: int = 1
    """Into how many tiles a picture is cut to be seen: more show more, and take the engine longer."""
    piece_ms: int = 100
    """Longest piece of reply audio: what is in flight cannot be recalled."""
    keep_s: int = 30
    """How much of the microphone's past is kept."""
    push_to_talk_s: int = 120
    """The longest uncommitted input in push to talk; the oldest is dropped beyond it, with a warning."""
    microphone_idle_s: float = 1.0
    """After so long without audio, while something waits for it, silence is assumed."""
    answer_wait_s: float = 10.0
    """How long after speech a duplex model is given its beat although the microphone is silent."""
    listen_limit_s: float = 15.0
    """The longest a duplex model is made to listen after a barge-in: noise must not gag it for ever."""
    break_deadline_s: float = 90.0
    """An engine that has not drained by then is given up."""

    @property
    def interrupts(self) -> bool:
        """Whether speech over an answer may cut it off."""
        return self.detect_turns and self.interrupt_response

    @property
    def kept_s(self) -> int:
        """How much of the microphone's past must be at hand."""
        return self.keep_s if self.detect_turns else self.push_to_talk_s

    def weighing(
        self, barge_in: BargeIn, interrupt_min_ms: int | None = None, threshold: float = 0.5
    ) -> "ConversationSettings":
        """These settings with so much evidence for an interruption."""
        if (barge_in, interrupt_min_ms, threshold) == (self.barge_in, self.interrupt_min_ms, self.threshold):
            return self
        weighed = evidence_for(barge_in, min_ms=interrupt_min_ms, threshold=threshold)
        return replace(
            self,
            barge_in=barge_in,
            interrupt_min_ms=interrupt_min_ms,
            threshold=threshold,
            vad=replace(self.vad, barge_in=weighed),
        )
