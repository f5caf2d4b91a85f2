"""After a break a duplex model is still in its turn, and would go on with the answer that was broken.

So it is made to listen: it hears every second and is not asked what it thinks, until somebody has spoken and finished.
The same as the conversation of the WebSocket does, on the seconds that HTTP callers send.
"""

from duplex.audio import SAMPLE_BYTES, Framer
from duplex.conversation_settings import ConversationSettings
from duplex.detectors import AnySound, FloorGatedDetector
from duplex.engine.base import ENGINE_INPUT_RATE_HZ
from duplex.evidence import VAD_FRAME_BYTES
from duplex.vad import GateMoment, VadGate, VadSettings

__all__ = ["ForcedListening"]

_LIMIT_SAMPLES = int(ConversationSettings().listen_limit_s * ENGINE_INPUT_RATE_HZ)
"""The longest it may last once somebody speaks."""


class ForcedListening:
    """Off until `start`."""

    def __init__(self, settings: VadSettings | None = None) -> None:
        # Whoever broke the answer off will be heard, however he sounds.
        self._gate = VadGate(FloorGatedDetector(AnySound()), settings or VadSettings())
        self._framer = Framer(VAD_FRAME_BYTES)
        self._spoken_samples = 0
        self._is_on = False

    @property
    def is_on(self) -> bool:
        """Whether the model is made to listen."""
        return self._is_on

    def start(self) -> None:
        """An answer was broken off. Who speaks already goes on speaking."""
        self._is_on = True
        self._spoken_samples = 0

    def hear_nothing_more(self) -> None:
        """The caller asks without having sent more: whoever spoke since the break has finished."""
        if self._spoken_samples:
            self._is_on = False

    def hear(self, pcm: bytes) -> None:
        """What the model hears: 16-bit mono PCM at `ENGINE_INPUT_RATE_HZ`, all of it, on or off."""
        events = [event for frame in self._framer.push(pcm) for event in self._gate.push(frame)]
        if self._gate.open:
            self._spoken_samples += len(pcm) // SAMPLE_BYTES
        has_ended = any(event.moment is GateMoment.RELEASE for event in events) and not self._gate.open
        if has_ended or self._spoken_samples >= _LIMIT_SAMPLES:
            self._is_on = False
