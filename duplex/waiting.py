"""When something is to happen although nothing comes."""

import math

from duplex.conversation_settings import ConversationSettings
from duplex.engine.base import Mode
from duplex.errors import EngineStalled
from duplex.messages import InputTimedOut
from duplex.turns import TurnMachine, TurnState
from duplex.vad import VadGate

__all__ = ["Waiting"]


class Waiting:
    """Since when a conversation waits for what. Times are seconds of one clock; a due time of infinity means never."""

    def __init__(self, settings: ConversationSettings, turns: TurnMachine, gate: VadGate, now: float) -> None:
        self.settings = settings
        """Those in force."""
        self._turns = turns
        self._gate = gate
        self.heard_at = now
        """When the microphone was last heard."""
        self.answer_until = now
        """So long a duplex model is given its beat after speech."""
        self.broken_at = now
        """When the engine was last told to be silent."""
        self.idle_since = math.inf
        """When the last answer was played, if nothing was said since."""

    def earliest(self, *, announced: bool, played_out_at: float) -> float:
        """The first of all that is due."""
        silence_or_sound = min(self.silence_due(announced=announced), self.played_out_due(played_out_at))
        return min(silence_or_sound, self.break_due(), self.idle_due())

    def is_silent(self, now: float) -> bool:
        """Nobody speaks, and nothing that was said waits for an answer."""
        listens = self._turns.state is TurnState.LISTENING and not self._gate.open
        return listens and (self.idle_since < math.inf or now >= self.answer_until)

    def silence_due(self, *, announced: bool) -> float:
        """A microphone that stops sending must still end announced speech, and must not stop a duplex model's beat."""
        settings, turns = self.settings, self._turns
        beat = settings.mode is Mode.DUPLEX and (turns.responding or self.heard_at < self.answer_until)
        waits = beat or turns.held or (announced and settings.detect_turns)
        return self.heard_at + settings.microphone_idle_s if waits else math.inf

    def break_due(self) -> float:
        """An engine that was told to be silent must be."""
        breaking = self._turns.state is TurnState.BREAKING
        return self.broken_at + self.settings.break_deadline_s if breaking else math.inf

    def check_break(self, now: float) -> None:
        """Raises `EngineStalled` when a break was not answered in time."""
        if now >= self.break_due():
            raise EngineStalled(f"The engine is not silent {self.settings.break_deadline_s:.0f} s after a break.")

    def end_idle(self, heard_ms: int, now: float) -> InputTimedOut:
        """A user who said nothing is spoken to; `heard_ms` of the microphone were heard so far."""
        idle_s, self.idle_since = now - self.idle_since, math.inf
        return InputTimedOut(max(0, heard_ms - round(idle_s * 1000)), heard_ms)

    def played_out_due(self, played_out_at: float) -> float:
        """A response is over when the client has played it."""
        return played_out_at if self._turns.draining else math.inf

    def idle_due(self) -> float:
        """A user who says nothing may be spoken to. A duplex model decides that by itself."""
        settings = self.settings
        if settings.idle_timeout_ms is None or settings.mode is Mode.DUPLEX or not settings.detect_turns:
            return math.inf
        waits = self._turns.state is TurnState.LISTENING and not self._gate.open
        return self.idle_since + settings.idle_timeout_ms / 1000 if waits else math.inf
