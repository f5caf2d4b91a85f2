"""What happened in one `omni-duplex talk`: replies, latencies, breaks. Times are seconds of one monotonic clock."""

import json
from dataclasses import dataclass, field

from duplex.clock import samples_to_s
from duplex.engine.base import ENGINE_OUTPUT_RATE_HZ

__all__ = ["Reply", "TalkLog"]

_BYTES_PER_SAMPLE = 2
_NOT_SHOWN = {"response.output_audio_transcript.delta", "response.output_audio.delta"}


@dataclass(slots=True)
class Reply:
    """One response of the server. None means "not yet"."""

    response_id: str
    created_s: float
    pcm: bytearray = field(default_factory=bytearray)
    """What was to be heard: 16-bit mono at 24 kHz, up to the break if there was one."""
    stale_bytes: int = 0
    """Audio that came after its `output_audio_buffer.cleared`; a correct server sends none."""
    first_audio_s: float | None = None
    cleared_s: float | None = None
    done_s: float | None = None
    status: str = ""
    transcript: str = ""

    @property
    def duration_s(self) -> float:
        """How much audio came in time to be heard."""
        return samples_to_s(len(self.pcm) // _BYTES_PER_SAMPLE, ENGINE_OUTPUT_RATE_HZ)

    @property
    def answered(self) -> bool:
        """True when it was heard and is over."""
        return bool(self.pcm) and self.done_s is not None


class TalkLog:
    """Takes every message of the binary dialect and keeps account."""

    def __init__(self) -> None:
        self.replies: list[Reply] = []
        self.started = False
        """True once `session.created` came: audio sent earlier is thrown away by the server."""
        self.last_message_s = 0.0

    @property
    def active(self) -> Reply | None:
        """The reply that is going on."""
        return self.replies[-1] if self.replies and self.replies[-1].done_s is None else None

    def receive_audio(self, pcm: bytes, now_s: float) -> None:
        """A binary message: audio of the last `response.created`."""
        self.last_message_s = now_s
        if not self.replies:
            return
        reply = self.replies[-1]
        if reply.cleared_s is not None:
            reply.stale_bytes += len(pcm)
            return
        if reply.first_audio_s is None:
            reply.first_audio_s = now_s
        reply.pcm += pcm

    def receive_text(self, text: str, now_s: float) -> str | None:
        """A text message; returns the line to show for it. Raises `ValueError` when it is not a JSON object."""
        event = json.loads(text)
        if not isinstance(event, dict):
            raise TypeError("an event must be a JSON object")
        self.last_message_s = now_s
        kind = str(event.get("type"))
        shown = self._take(kind, event, now_s)
        return None if kind in _NOT_SHOWN else f"{kind} {shown}".rstrip()

    def _take(self, kind: str, event: dict[str, object], now_s: float) -> str:
        """Note what the event says and return what is worth showing of it."""
        if kind == "session.created":
            self.started = True
        elif kind == "response.created":
            self.replies.append(Reply(_text(event, "response", "id"), now_s))
        elif kind == "output_audio_buffer.cleared":
            reply = self._find(_text(event, "response_id"))
            if reply is not None:
                reply.cleared_s = reply.cleared_s or now_s
        elif kind == "response.output_audio_transcript.done":
            return self._transcript(event)
        elif kind == "response.done":
            return self._done(event, now_s)
        elif kind in {"error", "session.warning"}:
            return _text(event, "error", "message") or _text(event, "message")
        return ""

    def _transcript(self, event: dict[str, object]) -> str:
        reply = self._find(_text(event, "response_id"))
        transcript = _text(event, "transcript")
        if reply is not None:
            reply.transcript = transcript
        return f"“{transcript}”"

    def _done(self, event: dict[str, object], now_s: float) -> str:
        reply = self._find(_text(event, "response", "id"))
        status = _text(event, "response", "status")
        if reply is not None:
            reply.done_s = now_s
            reply.status = status
        return status

    def _find(self, response_id: str) -> Reply | None:
        return next((reply for reply in reversed(self.replies) if reply.response_id == response_id), None)


def _text(event: dict[str, object], *path: str) -> str:
    value: object = event
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, str) else ""
