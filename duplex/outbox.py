"""The way out: a control lane, a paced audio lane, and the gate at the exit.

    Say    --> control lane --.
                               >-- gate --> dialect --> socket
    Speak  --> audio lane ----'

The control lane always goes first. The audio lane keeps text, sound and lifecycle of the responses in order and lets
sound leave in real time plus a small lead; while it is held nothing of it leaves and nothing is lost. The gate is asked
when a message leaves and not before: gated any earlier, a piece that waited for a slow client would still be heard
after the break.
"""

from collections import deque
from collections.abc import Callable

from duplex.audio import SAMPLE_BYTES
from duplex.effects import Say, Speak
from duplex.errors import ClientStalled
from duplex.messages import ResponseAudio
from duplex.playout import Pacer

__all__ = ["Outbox"]


class Outbox:
    """Decides what leaves next. All `now` are seconds of one monotonic clock.

    The control lane is bounded by `control_limit` messages: a client that leaves more unread has stalled. The audio
    lane has no bound of its own; whoever fills it must wait while `audio_s` is over its limit.
    """

    def __init__(self, admits: Callable[[int], bool], *, lead_s: float, control_limit: int = 512) -> None:
        self._admits = admits
        self._pacer = Pacer(lead_s)
        self._control_limit = control_limit
        self._control: deque[Say] = deque()
        self._audio: deque[Speak] = deque()
        self._rate_hz = 24_000
        self._audio_bytes = 0
        self._held_at: float | None = None

    @property
    def audio_s(self) -> float:
        """Seconds of sound that wait."""
        return self._seconds(self._audio_bytes)

    @property
    def control_fill(self) -> float:
        """How full the control lane is, from 0 to 1."""
        return len(self._control) / self._control_limit

    def set_rate(self, rate_hz: int) -> None:
        """Sound is at this rate from now on."""
        self._rate_hz = rate_hz

    def say(self, effect: Say) -> None:
        """Queue ahead of all audio. Raises `ClientStalled` when the lane is full."""
        if len(self._control) >= self._control_limit:
            raise ClientStalled(f"{self._control_limit} events wait unread: the client has stopped reading.")
        self._control.append(effect)

    def speak(self, effect: Speak) -> None:
        """Queue in order with the audio."""
        self._audio.append(effect)
        self._audio_bytes += self._size(effect)

    def hold(self, now: float) -> None:
        """Let nothing of the audio lane leave until `release` or `flush`."""
        if self._held_at is None:
            self._held_at = now

    def release(self, now: float, *, client_waited: bool) -> None:
        """Go on with the very next message.

        `client_waited` tells that the client stopped playing too: its queue is as full as it was. Otherwise it has
        played on, and gets a new lead.
        """
        if self._held_at is not None and client_waited:
            self._pacer.stood_still(max(0.0, now - self._held_at))
        self._held_at = None

    def restart(self, now: float, replayed_s: float) -> None:
        """The client was away and has played all it had; it has just got `replayed_s` of sound again, at once."""
        self._pacer.reset()
        self._pacer.sent(replayed_s, now)
        if self._held_at is not None:
            self._held_at = now

    def flush(self) -> None:
        """Drop everything that is no longer admitted; the client's queue is empty, so real time starts anew."""
        self._held_at = None
        self._audio = deque(effect for effect in self._audio if self._admits(effect.generation))
        self._audio_bytes = sum(map(self._size, self._audio))
        self._pacer.reset()

    def take(self, now: float) -> Say | Speak | None:
        """What may leave now, or None. Whoever takes a message sends it at once."""
        if self._control:
            return self._control.popleft()
        while self._audio and not self._admits(self._audio[0].generation):
            self._pop()
        if self._held_at is not None or not self._audio or self.due_at() > now:
            return None
        effect = self._pop()
        if isinstance(effect.message, ResponseAudio):
            self._pacer.sent(self._seconds(self._size(effect)), now)
        return effect

    def due_at(self) -> float:
        """When the next message may leave; infinity when there is none."""
        if self._control:
            return float("-inf")
        if self._held_at is not None or not self._audio:
            return float("inf")
        size = self._size(self._audio[0])
        return self._pacer.due_at(self._seconds(size)) if size else float("-inf")

    def _pop(self) -> Speak:
        effect = self._audio.popleft()
        self._audio_bytes -= self._size(effect)
        return effect

    def _seconds(self, size: int) -> float:
        return size / SAMPLE_BYTES / self._rate_hz

    @staticmethod
    def _size(effect: Speak) -> int:
        return len(effect.message.pcm) if isinstance(effect.message, ResponseAudio) else 0
