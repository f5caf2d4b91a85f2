"""OpenAI's Live protocol: one continuous stream of sound in real time, zeros where nothing is said, and no turns.

There are no responses to open or to cancel: a break turns the stream to zeros, and so does a hold until it is resolved.
Everything that is sent leaves through `take`, in one order: `SteadyStream` says which sound is due.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, assert_never

from duplex.audio import whole_samples
from duplex.conversation_settings import ConversationSettings
from duplex.errors import ClientStalled, InvalidAudio, InvalidEvent
from duplex.g711 import G711_RATE_HZ, Law, compress, expand
from duplex.messages import (
    AppendAudio,
    Configure,
    Configured,
    Refused,
    Request,
    ResponseAudio,
    ResponseCut,
    ResponseEnded,
    ResponseHeld,
    ResponseReleased,
    ResponseText,
    ServerMessage,
    SpeechStarted,
    SpeechStopped,
    Warned,
)
from realtime.dialects.base import Frame, SessionFacts
from realtime.dialects.json_event import read_object, write_event, write_sound
from realtime.dialects.steady import SteadyStream
from realtime.items import decode_base64
from realtime.live_events import (
    CommentaryEvent,
    ContextEvent,
    LiveAppendEvent,
    LiveAudioFormat,
    LiveClientEvent,
    LiveCloseEvent,
    LiveUpdateEvent,
    MuteEvent,
    StartEvent,
    UnmuteEvent,
    parse_live,
)
from realtime.validation import unsupported

__all__ = ["MOST_EVENTS", "USAGE_EVERY_MS", "LiveDialect"]

USAGE_EVERY_MS = 10_000
"""How often the client is told how long the session has run."""

MOST_EVENTS = 512
"""A client that leaves more unread has stalled."""

_SPOKEN = "(speech)"
"""This engine writes nothing down of what it hears."""


class LiveDialect:
    """One connection's protocol state. `expires_at` is Unix time; `marks_speech` tells of the user's speech as text."""

    def __init__(
        self, facts: SessionFacts, settings: ConversationSettings, *, expires_at: int, marks_speech: bool = False
    ) -> None:
        self._facts = facts
        self._settings = settings
        self._marks_speech = marks_speech
        self._session: dict[str, Any] = {"id": facts.session_id, "status": "active", "expires_at": expires_at}
        self._starting: StartEvent | None = None
        self._stream: SteadyStream | None = None
        self._law: Law | None = None
        self._muted = False
        self._speech_from_ms = 0
        self._usage_told_ms = 0
        self._events_sent = 0
        self._waiting: deque[Frame] = deque()
        self._close_id: str | None = None
        self.event_id: str | None = None
        self.acknowledged: int | None = None
        self.closing = False

    @property
    def settings(self) -> ConversationSettings:
        """See `Dialect.settings`."""
        return self._settings

    # --- client to server

    def decode(self, frame: Frame) -> list[Request]:
        """See `Dialect.decode`."""
        self.event_id = None
        event = read_object(frame)
        if isinstance(event.get("event_id"), str):
            self.event_id = event["event_id"]
        parsed = parse_live(event)
        if self._starting is None and not isinstance(parsed, StartEvent | LiveCloseEvent):
            raise InvalidEvent("Send session.start first.", code="session_not_started", param="type")
        return self._request(parsed)

    def _request(self, event: LiveClientEvent) -> list[Request]:
        match event:
            case LiveAppendEvent(audio=audio):
                return [self._append(decode_base64(audio, "audio"))]
            case StartEvent():
                return [self._start(event)]
            case LiveCloseEvent(event_id=event_id):
                self._close_id = event_id
                self.closing = True
            case MuteEvent() | UnmuteEvent():
                self._muted = isinstance(event, MuteEvent)
                self._reply({"type": f"{event.type}d"}, event.event_id)
            case LiveUpdateEvent():
                self._update(event)
            case ContextEvent():
                self._take_note(event)
            case CommentaryEvent():
                raise unsupported("This engine speaks from what it hears and cannot be given words to say.", "content")
            case _:
                assert_never(event)
        return []

    def _append(self, sound: bytes) -> Request:
        pcm = sound if self._law is None else expand(sound, self._law)
        whole_samples(pcm)
        # Muted, the model hears silence: its clock must go on.
        return AppendAudio(bytes(len(pcm)) if self._muted else pcm)

    def _start(self, event: StartEvent) -> Request:
        if self._starting is not None:
            raise InvalidEvent("The session was started already.", code="session_already_started", param="type")
        audio = event.session.audio
        chosen = (audio and audio.format) or LiveAudioFormat(type="audio/pcm")
        rate_hz = _rate_hz(chosen)
        wishes = event.session.model_dump(exclude_unset=True)
        voice = ((wishes.get("audio") or {}).get("output") or {}).get("voice") or "default"
        self._session = wishes | self._session
        self._session["audio"] = {"format": {"type": chosen.type, "rate": rate_hz}, "output": {"voice": voice}}
        self._starting = event
        self._law = None if chosen.type == "audio/pcm" else Law(chosen.type.removeprefix("audio/"))
        self._settings = replace(self._settings, input_rate_hz=rate_hz, output_rate_hz=rate_hz)
        return Configure(self._settings)

    def _update(self, event: LiveUpdateEvent) -> None:
        fixed = sorted((event.session.model_extra or {}).keys() & {"model", "instructions", "audio", "input", "client"})
        if fixed:
            raise InvalidEvent(
                f"'{fixed[0]}' is fixed when the session starts.",
                code="immutable_parameter",
                param=f"session.{fixed[0]}",
            )
        self._session |= event.session.model_dump(include={"delegation", "triggers"}, exclude_unset=True)
        self._reply({"type": "session.updated", "session": dict(self._session)}, event.event_id)

    def _take_note(self, event: ContextEvent) -> None:
        at_ms = self._stream.elapsed_ms if self._stream else 0
        self._reply({"type": f"{event.type}ed", "start_ms": at_ms, "end_ms": at_ms}, event.event_id)
        self._note_ignored(event.type.split(".")[1], event.event_id)

    def _note_ignored(self, what: str, event_id: str | None) -> None:
        text = f"This engine takes no text: '{what}' is kept and changes nothing."
        self._reply({"type": "info", "code": "ignored_by_engine", "message": text}, event_id)

    # --- server to client

    def greet(self) -> list[Frame]:
        """Nothing: the client speaks first."""
        return []

    def encode(self, message: ServerMessage) -> list[Frame]:
        """See `Dialect.encode`; what there is to say waits for `take`."""
        match message:
            case Configured():
                self._begin()
            case Refused(code, text, param, event_id):
                error = {"type": "invalid_request_error", "code": code, "message": text, "param": param}
                self._reply({"type": "error", "error": {**error, "client_event_id": event_id}}, event_id)
            case Warned(code, text):
                self._reply({"type": "info", "code": code, "message": text})
            case SpeechStarted(at_ms):
                self._speech_from_ms = at_ms
            case SpeechStopped(at_ms) if self._marks_speech:
                times = {"start_ms": self._speech_from_ms, "end_ms": max(at_ms, self._speech_from_ms)}
                self._reply({"type": "session.input_transcript.delta", "delta": _SPOKEN, **times})
            case _ if self._stream is not None:
                _play(message, self._stream)
        return []

    def _begin(self) -> None:
        assert self._starting is not None, "only session.start configures a conversation"
        self._stream = SteadyStream(self._settings.output_rate_hz)
        self._reply({"type": "session.started", "session": dict(self._session)}, self._starting.event_id)
        if (self._starting.session.instructions or "").strip():
            self._note_ignored("instructions", self._starting.event_id)

    def due_at(self) -> float:
        """See `Paced.due_at`."""
        if self._waiting:
            return float("-inf")
        return self._stream.due_at() if self._stream else float("inf")

    def take(self, now: float) -> list[Frame]:
        """See `Paced.take`: answers and notices first, then one piece of the stream with its words."""
        frames = self._take_waiting()
        piece = self._stream.take(now) if self._stream else None
        if piece is None:
            return frames
        for text in piece.texts:
            times = {"start_ms": text.start_ms, "end_ms": text.end_ms}
            frames.append(self._frame({"type": "session.output_transcript.delta", "delta": text.text, **times}))
        sound = piece.pcm if self._law is None else compress(piece.pcm, self._law)
        # The one event without a number of its own: the protocol gives it none, and there are so many.
        frames.append(write_sound({"type": "session.output_audio.delta"}, "delta", sound))
        if self._elapsed_ms - self._usage_told_ms >= USAGE_EVERY_MS:
            self._usage_told_ms = self._elapsed_ms
            frames.append(self._frame({"type": "session.usage.updated", "usage": self._usage()}))
        return frames

    def farewell(self, reason: str) -> list[Frame]:
        """`session.closed` with what the session came to."""
        # Of the protocol's reasons the only one that means: not the client, and nothing was wrong.
        why = "remote_hangup" if reason == "server_shutdown" else "close_requested"
        closed = {"type": "session.closed", "reason": why, "usage": self._usage()}
        if self._starting is None:
            # A session that was never started has nothing that could be shown of it.
            return self._take_waiting()
        self._reply({**closed, "session": dict(self._session)}, self._close_id)
        return self._take_waiting()

    @property
    def _elapsed_ms(self) -> int:
        return self._stream.elapsed_ms if self._stream else 0

    def _usage(self) -> dict[str, float]:
        return {"seconds": self._elapsed_ms / 1000}

    def _take_waiting(self) -> list[Frame]:
        frames = list(self._waiting)
        self._waiting.clear()
        return frames

    def _reply(self, event: dict[str, Any], event_id: str | None = None) -> None:
        if len(self._waiting) >= MOST_EVENTS:
            raise ClientStalled(f"{MOST_EVENTS} events wait unread: the client has stopped reading.")
        self._waiting.append(self._frame(event if event_id is None else {**event, "client_event_id": event_id}))

    def _frame(self, event: Mapping[str, Any]) -> str:
        self._events_sent += 1
        return write_event({**event, "event_id": f"event_{self._facts.session_id}_{self._events_sent}"})


def _play(message: ServerMessage, stream: SteadyStream) -> None:
    match message:
        case ResponseAudio(pcm):
            stream.push(pcm)
        case ResponseText(text):
            stream.say(text)
        case ResponseEnded():
            stream.finish()
        case ResponseHeld():
            stream.hold()
        case ResponseReleased():
            stream.release()
        case ResponseCut():
            stream.clear()


def _rate_hz(chosen: LiveAudioFormat) -> int:
    rates = (16_000, 24_000) if chosen.type == "audio/pcm" else (G711_RATE_HZ,)
    rate_hz = rates[-1] if chosen.rate is None else chosen.rate
    if rate_hz not in rates:
        known = " or ".join(map(str, rates))
        raise InvalidAudio(
            f"{chosen.type} at {rate_hz} Hz is not supported; use {known}.", param="session.audio.format.rate"
        )
    return rate_hz
