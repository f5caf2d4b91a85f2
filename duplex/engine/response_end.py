"""When a response is over, and when the engine hangs: decided from signs and times, without looking at a clock.

A response ends with the done flag. The engine forgets the flag in some cases, so silence ends it too: no new file for
some time after the text, unless the engine still owes audio. An engine that owes something and gives no sign for
`stall_s` hangs.
"""

import enum

from duplex.engine.base import Mode

__all__ = ["ResponseEnd", "Verdict"]


class Verdict(enum.Enum):
    """What to do now."""

    WAIT = enum.auto()
    OVER = enum.auto()
    """Nothing more will come of what was asked so far."""
    STALLED = enum.auto()


class ResponseEnd:
    """The signs of one response, and of the many decodes a duplex turn may span. Times are seconds of one clock."""

    def __init__(self, mode: Mode, *, stall_s: float) -> None:
        self._mode = mode
        self._stall_s = stall_s
        self._is_decoding = False
        self._is_draining = False
        self._is_turn_open = False
        self._is_flagged = False
        self._spoke_now = False
        self._listens = False
        self._may_speak = False
        self._byte_at = 0.0
        self._active_at = 0.0

    @property
    def is_decoding(self) -> bool:
        """Whether a decode has been asked for and not yet read to its end."""
        return self._is_decoding

    @property
    def is_turn_open(self) -> bool:
        """Whether the model has begun something that has not ended yet."""
        return self._is_turn_open

    @property
    def is_draining(self) -> bool:
        """Whether the response was broken and its tail is being thrown away."""
        return self._is_draining

    @property
    def is_flagged(self) -> bool:
        """Whether the last response ended as it should, with the flag."""
        return self._is_flagged

    def start_decode(self, now: float) -> None:
        """A decode has been asked for. In simplex that opens the turn."""
        self._is_decoding = True
        self._is_flagged = False
        self._spoke_now = False
        self._byte_at = now
        if self._mode is Mode.SIMPLEX:
            self._is_turn_open = True
            self._active_at = now

    def receive_byte(self, now: float) -> None:
        """The running decode has sent something."""
        self._byte_at = now

    def receive_text(self, now: float) -> None:
        """The running decode speaks."""
        self._is_turn_open = self._spoke_now = True
        self._listens = False
        self._active_at = now

    def receive_file(self, now: float, *, is_audio: bool = False) -> None:
        """A file appeared or grew. Audio belongs to a turn, even to one whose text we never saw."""
        self._active_at = now
        self._is_turn_open = self._is_turn_open or is_audio

    def end_decode(self, now: float, *, listens: bool, is_answer: bool = True) -> None:
        """The decode was read to its end. `listens`: the model chose to be silent. `is_answer`: it has told anything at
        all; where it has not, it may have spoken nevertheless, and be heard yet."""
        self._is_decoding = False
        self._listens = listens
        self._may_speak = self._may_speak or not is_answer
        if not listens:
            self._active_at = now

    def receive_flag(self) -> None:
        """The flag is there and the WAV it names was read."""
        if self._mode is Mode.DUPLEX:
            # The flag can come while the next step already runs; what that step has said belongs to a new turn.
            self._is_turn_open = self._is_decoding and self._spoke_now
        self._is_flagged = self._mode is Mode.SIMPLEX or not self._is_turn_open

    def drain(self, now: float) -> None:
        """Throw away what is left of the response. Called again, it restarts the quiet time."""
        self._is_draining = True
        self._active_at = now

    def close(self) -> None:
        """The response is over, whatever was missing."""
        self._is_turn_open = self._is_draining = self._listens = self._may_speak = False

    def verdict(self, now: float, *, is_audio_due: bool, quiet_s: float) -> Verdict:
        """`is_audio_due`: the engine was given more than it has rendered. `quiet_s`: how much silence means the end."""
        silence_s = now - self._active_at
        if self._is_decoding:
            hangs = min(silence_s, now - self._byte_at) >= self._stall_s
            return Verdict.STALLED if hangs else Verdict.WAIT
        is_silent = not (self._is_turn_open or self._may_speak)
        if self._is_flagged or (is_silent and (self._listens or not self._is_draining)):
            return Verdict.OVER
        if is_audio_due and not self._is_draining:
            return Verdict.STALLED if silence_s >= self._stall_s else Verdict.WAIT
        if self._mode is Mode.DUPLEX and self._is_turn_open and not (self._listens or self._is_draining):
            # The model is in the middle of its turn and waits for the next step.
            return Verdict.WAIT
        return Verdict.OVER if silence_s >= quiet_s else Verdict.WAIT
