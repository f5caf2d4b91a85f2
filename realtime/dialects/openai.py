"""OpenAI's Realtime protocol (GA): JSON events, base64 audio; with `binary`, raw PCM messages instead of base64.

A strict client never sees an event its own protocol does not know: extensions are sent only where they were asked for.
"""

import binascii
import json
from base64 import b64encode
from collections.abc import Iterable, Iterator
from typing import Any, assert_never

from duplex.audio import PcmFormat
from duplex.conversation_settings import ConversationSettings
from duplex.errors import InvalidAudio, InvalidEvent
from duplex.messages import (
    AcknowledgePlayback,
    AppendAudio,
    CancelResponse,
    ClearInput,
    ClearOutput,
    CommitInput,
    Committed,
    Configure,
    Configured,
    CreateResponse,
    InputCleared,
    ModelListens,
    Refused,
    Request,
    ResponseAudio,
    ResponseCut,
    ResponseEnded,
    ResponseHeld,
    ResponseReleased,
    ResponseStarted,
    ResponseText,
    ServerMessage,
    SpeechStarted,
    SpeechStopped,
    Warned,
)
from realtime.dialects.base import Frame, SessionFacts
from realtime.dialects.lifecycle import Event, ResponseLife
from realtime.dialects.session_object import first_session, merge, settings_of
from realtime.events import (
    AppendEvent,
    CancelEvent,
    ClearEvent,
    ClientEvent,
    CloseEvent,
    CommitEvent,
    CreateEvent,
    HeartbeatEvent,
    OutputClearEvent,
    PlaybackAckEvent,
    UpdateEvent,
    parse,
)

__all__ = ["OpenAIDialect"]

_REMEMBERED_RESPONSES = 8
"""Playback reports come late by less than a response or two."""


class OpenAIDialect:
    """One connection's protocol state. `binary` implies `extensions`."""

    def __init__(
        self, facts: SessionFacts, settings: ConversationSettings, *, extensions: bool = False, binary: bool = False
    ) -> None:
        self._facts = facts
        self._settings = settings
        self._input_format = PcmFormat(settings.input_rate_hz)
        self._extensions = extensions or binary
        self._binary = binary
        self._session = first_session(facts.session_id, facts.model, settings)
        self._events_sent = 0
        self._items = 0
        self._last_item_id: str | None = None
        self._user_item_id: str | None = None
        self._life: ResponseLife | None = None
        self._last_response_id = ""
        self._generations: dict[str, int] = {}
        self.event_id: str | None = None
        self.closing = False

    # --- client to server

    def decode(self, frame: Frame) -> list[Request]:
        """See `Dialect.decode`."""
        self.event_id = None
        if isinstance(frame, bytes):
            return self._decode_pcm(frame)
        try:
            event = json.loads(frame)
        except (ValueError, RecursionError):
            raise InvalidEvent("The message is not valid JSON.", code="invalid_json") from None
        if isinstance(event, dict) and isinstance(event.get("event_id"), str):
            self.event_id = event["event_id"]
        return self._request(parse(event))

    def _decode_pcm(self, frame: bytes) -> list[Request]:
        if not self._binary:
            raise InvalidEvent(
                "Binary messages are only understood on a connection opened with audio=binary; "
                "send input_audio_buffer.append with base64 audio instead.",
                code="invalid_type",
            )
        return [self._append(frame)]

    def _request(self, event: ClientEvent) -> list[Request]:
        match event:
            case AppendEvent(audio=audio):
                return [self._append(_pcm(audio))]
            case UpdateEvent(session=update):
                return [self._configure(update)]
            case CommitEvent():
                return [CommitInput()]
            case ClearEvent():
                return [ClearInput()]
            case CreateEvent():
                return [CreateResponse(event.metadata)]
            case CancelEvent():
                return [CancelResponse()]
            case _:
                return self._extension(event)

    def _extension(self, event: OutputClearEvent | PlaybackAckEvent | HeartbeatEvent | CloseEvent) -> list[Request]:
        match event:
            case OutputClearEvent():
                return [ClearOutput()]
            case PlaybackAckEvent(response_id=response_id, played_ms=played_ms):
                generation = self._generations.get(response_id)
                return [] if generation is None else [AcknowledgePlayback(generation, played_ms)]
            case HeartbeatEvent():
                return []
            case CloseEvent():
                self.closing = True
                return []
        assert_never(event)

    def _append(self, pcm: bytes) -> Request:
        # Checked before any of it is used, however the message is cut up later.
        self._input_format.samples(pcm)
        return AppendAudio(pcm)

    def _configure(self, update: dict[str, Any]) -> Request:
        merged = merge(self._session, update)
        settings = settings_of(merged, self._settings)
        # Merged only now: a refused update changes nothing.
        self._session, self._settings = merged, settings
        self._input_format = PcmFormat(settings.input_rate_hz)
        return Configure(settings)

    # --- server to client

    def greet(self) -> list[Frame]:
        """`session.created`, and for those who asked for extensions what the engine is."""
        events: list[Event] = [{"type": "session.created", "session": self._session}]
        if self._extensions:
            events.append(
                {
                    "type": "session.model_info",
                    "engine": self._facts.engine_kind,
                    "stand_in": self._facts.stand_in,
                    "conversation": str(self._settings.mode),
                    "ignored": ["instructions", "tools", "speed", "max_output_tokens", "transcription"],
                }
            )
        return self._texts(events)

    def farewell(self, reason: str) -> list[Frame]:
        """`session.closed` for those who asked for extensions."""
        return self._texts([{"type": "session.closed", "reason": reason}] if self._extensions else [])

    def encode(self, message: ServerMessage) -> list[Frame]:
        """See `Dialect.encode`."""
        if isinstance(message, ResponseAudio) and self._binary:
            return [message.pcm] if self._life else []
        return self._texts(self._events(message))

    def _events(self, message: ServerMessage) -> Iterable[Event]:
        match message:
            case ResponseStarted():
                return self._start(message)
            case ResponseText(text):
                return [self._life.text(text)] if self._life else []
            case ResponseAudio(pcm):
                return self._audio(pcm)
            case ResponseEnded(latency_ms):
                return self._end(None, latency_ms)
            case ResponseCut(reason, heard_ms, latency_ms, heard_text):
                return [*self._cleared(heard_ms, heard_text), *self._end(reason, latency_ms, heard_text)]
            case ResponseHeld() | ResponseReleased():
                return self._held(message)
            case Refused() | Warned() | Configured() | ModelListens():
                return self._notice(message)
            case _:
                return self._user_side(message)

    def _user_side(self, message: SpeechStarted | SpeechStopped | Committed | InputCleared) -> Iterator[Event]:
        match message:
            case SpeechStarted(at_ms):
                item_id = self._user_item()
                yield {"type": "input_audio_buffer.speech_started", "audio_start_ms": at_ms, "item_id": item_id}
            case SpeechStopped(at_ms):
                item_id = self._user_item()
                yield {"type": "input_audio_buffer.speech_stopped", "audio_end_ms": at_ms, "item_id": item_id}
            case Committed():
                yield from self._commit()
            case InputCleared():
                self._user_item_id = None
                yield {"type": "input_audio_buffer.cleared"}
            case _:
                assert_never(message)

    def _notice(self, message: Refused | Warned | Configured | ModelListens) -> Iterator[Event]:
        match message:
            case Refused(code, text, param, event_id):
                error = {
                    "type": "invalid_request_error",
                    "code": code,
                    "message": text,
                    "param": param,
                    "event_id": event_id,
                }
                yield {"type": "error", "error": error}
            case Configured():
                yield {"type": "session.updated", "session": self._session}
            case Warned(code, text) if self._extensions:
                yield {"type": "session.warning", "code": code, "message": text}
            case ModelListens() if self._extensions:
                yield {"type": "response.listen"}

    def _commit(self) -> Iterator[Event]:
        item_id, previous = self._user_item(), self._last_item_id
        self._user_item_id, self._last_item_id = None, item_id
        item = {
            "id": item_id,
            "object": "realtime.item",
            "type": "message",
            "status": "completed",
            "role": "user",
            "content": [{"type": "input_audio", "transcript": None}],
        }
        yield {"type": "input_audio_buffer.committed", "previous_item_id": previous, "item_id": item_id}
        yield {"type": "conversation.item.added", "previous_item_id": previous, "item": item}
        yield {"type": "conversation.item.done", "previous_item_id": previous, "item": item}

    def _start(self, started: ResponseStarted) -> Iterator[Event]:
        response_id = f"resp_{self._facts.session_id}_{started.generation}"
        item_id = self._new_item_id()
        self._life = ResponseLife(
            response_id=response_id,
            item_id=item_id,
            previous_item_id=self._last_item_id,
            conversation_id=f"conv_{self._facts.session_id}",
            voice=str(self._session["audio"]["output"].get("voice")),
            rate_hz=self._settings.output_rate_hz,
            metadata=started.metadata,
        )
        self._last_item_id, self._last_response_id = item_id, response_id
        self._generations[response_id] = started.generation
        while len(self._generations) > _REMEMBERED_RESPONSES:
            del self._generations[next(iter(self._generations))]
        return self._life.open()

    def _audio(self, pcm: bytes) -> list[Event]:
        if self._life is None:
            return []
        event = self._life.audio(b64encode(pcm).decode("ascii"))
        if self._extensions:
            event["sample_rate_hz"] = self._settings.output_rate_hz
        return [event]

    def _cleared(self, heard_ms: int, heard_text: str) -> list[Event]:
        if not self._extensions:
            return []
        cleared = {"response_id": self._last_response_id, "audio_end_ms": heard_ms, "transcript": heard_text}
        return [{"type": "output_audio_buffer.cleared", **cleared}]

    def _held(self, message: ResponseHeld | ResponseReleased) -> list[Event]:
        if not self._extensions:
            return []
        if isinstance(message, ResponseReleased):
            return [{"type": "output_audio_buffer.resumed", "response_id": self._last_response_id}]
        return [{"type": "output_audio_buffer.ducked", "response_id": self._last_response_id, "gain": 0.0}]

    def _end(self, cut: Any, latency_ms: Any, heard_text: str | None = None) -> Iterable[Event]:
        life, self._life = self._life, None
        return [] if life is None else life.close(cut, latency_ms, heard_text)

    def _user_item(self) -> str:
        if self._user_item_id is None:
            self._user_item_id = self._new_item_id()
        return self._user_item_id

    def _new_item_id(self) -> str:
        self._items += 1
        return f"item_{self._facts.session_id}_{self._items}"

    def _texts(self, events: Iterable[Event]) -> list[Frame]:
        frames: list[Frame] = []
        for event in events:
            self._events_sent += 1
            event["event_id"] = f"event_{self._facts.session_id}_{self._events_sent}"
            if self._extensions:
                event["server_event_seq"] = self._events_sent
            frames.append(json.dumps(event, ensure_ascii=False, separators=(",", ":")))
        return frames


def _pcm(audio: str) -> bytes:
    try:
        return binascii.a2b_base64(audio, strict_mode=True)
    except (binascii.Error, ValueError):
        raise InvalidAudio("'audio' is not valid base64.", param="audio") from None
